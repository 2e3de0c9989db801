//! What a run refuses, with its exit code, and what it leaves alone then.

use super::*;

#[test]
fn what_does_not_belong_to_a_run_is_refused_and_nothing_is_touched() {
    let (folder, run) = setup("vanilla", 2, |_| ());
    let dir = folder.path().join("run");
    let data = folder.path().join("data");
    train(&run, &dir, &auto(), Some(Position { epoch: 1, step: 2 }));
    let checkpoints = RunDir::at(&dir).checkpoints();
    let before = contents(&checkpoints);
    let refused = |run: &Run, exit: Exit, words: &[&str]| {
        let outcome = train(run, &dir, &auto(), None);
        assert_eq!(outcome.exit(), exit, "{}", outcome.message());
        assert!(words.iter().all(|w| outcome.message().contains(w)), "{}", outcome.message());
        assert_eq!(contents(&checkpoints), before);
    };

    refused(
        &common::run(&data, "mixup", 2, |_| ()),
        Exit::Data,
        &["method", "vanilla", "mixup", "another output folder"],
    );
    let wide = |spec: &mut RunSpec| spec.training.micro_batch = 6;
    refused(&common::run(&data, "vanilla", 1, wide), Exit::Config, &["2 processes", "has 1", "step-000000"]);

    common::images(&data, 58, 30, 4);
    std::fs::remove_file(data.join("t10k-labels-idx1-ubyte")).unwrap();
    refused(&run, Exit::Data, &["t10k-labels"]);
    common::images(&data, 60, 30, 4);
    refused(&run, Exit::Data, &["fingerprint", "the data that it began with"]);
}

#[test]
fn a_loss_that_is_not_finite_ends_all_processes_alike_and_the_last_finite_checkpoint_stays() {
    let (folder, run) = setup("vanilla", 2, |spec| {
        spec.training.schedule.lr = 1e30;
        spec.training.schedule.warmup_start = 1e-32;
    });
    let dir = folder.path().join("run");
    let outcome = train(&run, &dir, &auto(), None);
    for exit in &outcome.exits {
        let error = exit.as_ref().unwrap_err();
        assert_eq!(error.exit(), Exit::Diverged, "{error}");
        assert!(error.to_string().contains("in epoch 0 at step"), "{error}");
    }
    assert!(Store::at(&RunDir::at(&dir).checkpoints()).newest(|w| panic!("{w}")).unwrap().is_none());
}

#[test]
fn a_checkpoint_is_not_written_where_a_weight_is_not_finite() {
    let (folder, run) = setup("vanilla", 2, |_| ());
    let (_, exits) = on_ranks(&run, folder.path(), &Options::default(), |ctx| {
        let mut engine = Engine::new(ctx).unwrap();
        if engine.rank == 1 {
            let _filled = tch::no_grad(|| engine.model.buffers[0].1.fill_(f64::NAN));
        }
        engine.snapshot(&Progress::default()).map(|_| ()).unwrap_err().exit()
    });
    assert_eq!(exits, [Exit::Diverged; 2]);
}

#[test]
fn what_does_not_fit_together_is_refused_before_anything_is_written() {
    let (folder, run) = setup("vanilla", 2, |spec| spec.training.micro_batch = 5);
    let dir = folder.path().join("run");
    let outcome = train(&run, &dir, &auto(), None);
    assert_eq!(outcome.exit(), Exit::Config, "{}", outcome.message());
    let run = common::run(&folder.path().join("data"), "vanilla", 1, |spec| spec.data.sha256 = Some("0".repeat(64)));
    let outcome = train(&run, &dir, &auto(), None);
    assert_eq!(outcome.exit(), Exit::Data, "{}", outcome.message());
    assert!(outcome.message().contains("data.sha256"));
    assert!(!dir.exists());
}

/// Writes a grey PNG.
fn png(path: &Path, level: u8) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut encoder = png::Encoder::new(std::fs::File::create(path).unwrap(), 10, 10);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(&[level; 100]).unwrap();
}

#[test]
fn an_image_that_does_not_decode_is_named_and_no_checkpoint_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for i in 0..24u8 {
        png(&data.join(format!("train/{}/{i}.png", i % 2)), i * 9);
        png(&data.join(format!("val/{}/{i}.png", i % 2)), i * 9);
    }
    let mut run = common::run(&data, "cutmix", 2, |_| ());
    run.place.data_uri = format!("imagefolder:{}", data.display());
    let dir = folder.path().join("run");
    let stopped = train(&run, &dir, &auto(), Some(Position { epoch: 1, step: 1 }));
    assert_eq!(stopped.exit(), Exit::Stopped, "{}", stopped.message());
    let before = contents(&RunDir::at(&dir).checkpoints());

    // Same name, size and label, so the data still pass for those that the run began with.
    for i in 0..24u8 {
        let bad = data.join(format!("train/{}/{i}.png", i % 2));
        let mut bytes = std::fs::read(&bad).unwrap();
        let length = bytes.len();
        bytes[length / 2..].fill(0);
        std::fs::write(&bad, bytes).unwrap();
    }
    let outcome = train(&run, &dir, &auto(), None);
    let messages: Vec<String> = outcome.exits.iter().filter_map(|e| Some(e.as_ref().err()?.to_string())).collect();
    assert_eq!(outcome.exit(), Exit::Data, "{messages:?}");
    assert!(messages.iter().any(|m| m.contains("data/train/") && m.contains(".png")), "{messages:?}");
    assert_eq!(contents(&RunDir::at(&dir).checkpoints()), before);
}
