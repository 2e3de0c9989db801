//! A checkpoint evaluated by itself.

use mixbench_crds::training::Precision;

use super::*;
use crate::eval::{Asked, EvalError, evaluate};

#[test]
fn an_evaluation_is_the_validation_of_its_epoch() {
    for precision in [Precision::F32, Precision::Bf16] {
        let (folder, run) = setup("vanilla", 3, |spec| {
            spec.training.precision = precision;
            spec.training.channels_last = precision == Precision::Bf16;
        });
        let dir = folder.path().join("run");
        let outcome = train(&run, &dir, &auto(), None);
        let asked = |epoch: u32| Asked {
            checkpoint: Some(RunDir::at(&dir).checkpoints().join(format!("epoch-000{epoch}-step-000000.safetensors"))),
            ..Asked::default()
        };
        for (score, _) in curve(&outcome.events) {
            let found = evaluate(&asked(score.epoch), |w| panic!("{w}")).unwrap();
            assert_eq!((found.correct1, found.correct5, found.n), (score.correct1, score.correct5, 30));
        }
    }
}

#[test]
fn an_evaluation_needs_a_checkpoint_of_the_run_and_data_with_its_classes() {
    let (folder, run) = setup("vanilla", 1, |spec| spec.training.epochs = 1);
    let dir = RunDir::at(folder.path().join("run"));
    let (data, document) = (folder.path().join("data"), dir.run());
    let ask = |run: &Run, asked: Asked| {
        std::fs::create_dir_all(dir.path()).unwrap();
        std::fs::write(&document, serde_json::to_string(run).unwrap()).unwrap();
        evaluate(&asked, |_| ())
    };
    let of_run = || Asked { run: Some(document.clone()), ..Asked::default() };
    assert!(matches!(ask(&run, Asked::default()), Err(EvalError::Nothing)));
    assert!(matches!(ask(&run, of_run()), Err(EvalError::None { .. })));

    assert_eq!(train(&run, dir.path(), &auto(), None).exit(), Exit::Ok);
    let found = ask(&run, of_run()).unwrap();
    assert_eq!((found.position, found.n), (Position { epoch: 1, step: 0 }, 30));
    assert_eq!(ask(&run, Asked { batch: Some(30), ..of_run() }).unwrap().n, 30);

    let other = common::run(&data, "mixup", 1, |_| ());
    let error = ask(&other, of_run()).unwrap_err();
    assert_eq!(error.exit(), Exit::Data);
    assert!(error.to_string().contains("is of another run"), "{error}");

    let error = ask(&run, Asked { data: Some("builtin:fashion-mnist-2k".into()), ..of_run() }).unwrap_err();
    assert!(matches!(error, EvalError::Classes { network: 6, data: 10, .. }), "{error}");
}
