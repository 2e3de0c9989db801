//! Processes × accumulation is one result.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/launched.rs"]
mod launched;

use mixbench_crds::exit::Exit;
use mixbench_trainer::checkpoint::{Checkpoint, MODEL};

use launched::Case;

/// The weights after five steps of 12 images in micro-batches of 6, whose norms learn.
fn five_steps(method: &str, processes: u32) -> Checkpoint {
    let case = Case::of(method, 60, processes, |spec| {
        spec.training.micro_batch = 6;
        spec.training.epochs = 1;
        spec.training.schedule.warmup_epochs = 0;
    });
    assert_eq!(case.launch(&[]).0, Some(Exit::Ok));
    let last = case.newest();
    assert_eq!(last.header.optimizer_steps, 5);
    last
}

#[test]
fn two_processes_are_one_process_that_accumulates_two_micro_batches() {
    for method in ["vanilla", "mixup", "cutmix"] {
        let (two, one) = (five_steps(method, 2), five_steps(method, 1));
        let mut far = 0.0_f64;
        for ((name, a), (_, b)) in two.section(MODEL).zip(one.section(MODEL)) {
            let apart = (a.tensor().unwrap() - b.tensor().unwrap()).abs().max().double_value(&[]);
            assert!(apart <= 1e-6, "{method}: {name} is {apart:e} apart");
            far = far.max(apart);
        }
        eprintln!("{method}: at most {far:e} apart");
    }
}
