//! A run goes on from where it was as if nothing had happened.

use super::*;
use crate::checkpoint::MODEL;

#[test]
fn a_run_stopped_anywhere_goes_on_to_the_same_bits_on_one_two_and_three_processes() {
    for (processes, method, stops) in [
        (1, "cutmix", vec![(0, 1), (1, 3)]),
        (2, "mixup", vec![(0, 5), (1, 2)]),
        (3, "vanilla", vec![(0, 2), (0, 4), (1, 1)]),
    ] {
        let (folder, run) = setup(method, processes, |_| ());
        let (through, pieces) = (folder.path().join("through"), folder.path().join("pieces"));
        let whole = train(&run, &through, &auto(), None);
        assert_eq!(whole.exit(), Exit::Ok, "{}", whole.message());
        let mut events = Vec::new();
        for (epoch, step) in stops {
            let stopped = train(&run, &pieces, &auto(), Some(Position { epoch, step }));
            assert!(
                stopped
                    .exits
                    .iter()
                    .all(|e| matches!(e, Err(TrainError::Stopped(p)) if *p == Position { epoch, step }))
            );
            assert!(matches!(stopped.events.last(), Some(Body::Stopped { checkpoint: Some(_), .. })));
            assert_eq!(newest(&pieces).header.position, Position { epoch, step });
            events.extend(stopped.events);
        }
        let resumed = train(&run, &pieces, &auto(), None);
        assert_eq!(resumed.exit(), Exit::Ok, "{}", resumed.message());
        assert_eq!(curve(&resumed.events), curve(&whole.events), "what was told of the first epoch is told again");
        events.extend(resumed.events);
        assert_eq!(curve(&whole.events), curve(&events), "{processes} processes");
        assert_eq!(timeless(newest(&through)), timeless(newest(&pieces)), "{processes} processes");

        let Some(Body::Finished { result }) = events.last() else { panic!("{events:?}") };
        assert_eq!((result.epochs, result.images, result.n), (2, 120, 30));
        assert_eq!(result.checkpoint.as_deref(), Some("checkpoints/epoch-0002-step-000000.safetensors"));
        result.check(&run.id).unwrap();
    }
}

#[test]
fn another_number_of_loader_threads_changes_no_bit() {
    let (folder, mut run) = setup("mixup", 1, |spec| spec.training.epochs = 1);
    let mut seen = Vec::new();
    for threads in [0, 1, 3] {
        run.place.loader_threads = threads;
        let dir = folder.path().join(threads.to_string());
        assert_eq!(train(&run, &dir, &auto(), None).exit(), Exit::Ok);
        seen.push(timeless(newest(&dir)));
    }
    assert!(seen[0] == seen[1] && seen[1] == seen[2]);
}

#[test]
fn a_damaged_newest_checkpoint_is_told_and_the_one_before_gives_the_same_bits() {
    let (folder, run) = setup("mixup", 2, |_| ());
    let dir = folder.path().join("run");
    assert_eq!(train(&run, &dir, &auto(), None).exit(), Exit::Ok);
    let whole = timeless(newest(&dir));
    let path = RunDir::at(&dir).checkpoints().join("epoch-0002-step-000000.safetensors");
    let length = std::fs::metadata(&path).unwrap().len();
    std::fs::File::options().write(true).open(&path).unwrap().set_len(length / 2).unwrap();
    let again = train(&run, &dir, &auto(), None);
    assert_eq!(again.exit(), Exit::Ok, "{}", again.message());
    assert!(again.warnings()[0].contains("epoch-0002-step-000000.safetensors"), "{:?}", again.warnings());
    assert_eq!(timeless(newest(&dir)), whole);
}

#[test]
fn another_number_of_processes_goes_on_from_the_end_of_an_epoch() {
    let (folder, run) = setup("cutmix", 1, |spec| spec.training.micro_batch = 6);
    let (dir, elsewhere) = (folder.path().join("run"), folder.path().join("elsewhere"));
    train(&run, &dir, &auto(), Some(Position { epoch: 1, step: 1 }));
    let two = common::run(&folder.path().join("data"), "cutmix", 2, |_| ());
    let from = RunDir::at(&dir).checkpoints().join("epoch-0001-step-000000.safetensors");
    let outcome = train(&two, &elsewhere, &Options { resume_from: Some(from), ..Options::default() }, None);
    assert_eq!(outcome.exit(), Exit::Ok, "{}", outcome.message());
    assert!(outcome.warnings()[0].contains("1 process(es)"), "{:?}", outcome.warnings());
    let header = newest(&elsewhere).header;
    assert_eq!((header.position.epoch, header.scores.len(), header.images), (2, 2, 120));
}

#[test]
fn weights_alone_begin_at_epoch_0_and_those_of_another_model_are_refused() {
    let (folder, run) = setup("vanilla", 2, |_| ());
    let (dir, other) = (folder.path().join("run"), folder.path().join("other"));
    train(&run, &dir, &auto(), None);
    let weights = RunDir::at(&dir).checkpoints().join("epoch-0002-step-000000.safetensors");
    let options = Options { load_checkpoint: Some(weights.clone()), ..auto() };
    let tuned = common::run(&folder.path().join("data"), "vanilla", 2, |spec| spec.training.schedule.lr = 1e-12);
    let outcome = train(&tuned, &other, &options, None);
    assert_eq!(outcome.exit(), Exit::Ok, "{}", outcome.message());
    assert_eq!(curve(&outcome.events).len(), 2, "it begins at epoch 0");
    let (a, b) = (newest(&dir), newest(&other));
    let apart = |name: &str| {
        let tensor = |c: &Checkpoint| c.tensors[&format!("{MODEL}{name}")].tensor().unwrap();
        (tensor(&a) - tensor(&b)).abs().max().double_value(&[])
    };
    assert!(apart("conv1.weight") < 1e-6);

    let deeper = common::run(&folder.path().join("data"), "vanilla", 2, |spec| spec.backbone.name = "resnet18".into());
    let refused = train(&deeper, &folder.path().join("third"), &options, None);
    assert_eq!(refused.exit(), Exit::Data);
    assert!(refused.message().contains("does not fit resnet18 with 6 classes"), "{}", refused.message());
}

#[test]
fn a_stop_before_the_first_step_leaves_no_checkpoint() {
    let (folder, run) = setup("vanilla", 1, |_| ());
    let dir = folder.path().join("run");
    let (events, exits) = on_ranks(&run, &dir, &auto(), |ctx| {
        ctx.stop.request();
        super::run(ctx).map_err(|e| e.exit())
    });
    assert_eq!(exits, [Err(Exit::Stopped)]);
    assert_eq!(events.last(), Some(&Body::Stopped { position: Position::default(), checkpoint: None }));
    assert_eq!(contents(&RunDir::at(&dir).checkpoints()), []);
}
