//! What is refused, with its remedy, and leaves what is there untouched.

use crate::bench::{Bench, came, signal};
use rustix::process::Signal;

#[test]
fn a_folder_is_worked_on_by_one() {
    let bench = Bench::new(1, 100).script(r#"{"seconds": 0.1}"#);
    let running = bench.start(&[]);
    bench.wait_for("vanilla", 1);
    let second = bench.run(&[]);
    assert_eq!(second.code, 4);
    assert!(second.stderr.contains(&format!("process {}", running.id())), "{}", second.stderr);
    signal(running.id(), Signal::TERM);
    assert_eq!(came(running.wait_with_output().unwrap()).code, 3);
}

#[test]
fn another_benchmarks_folder_is_left_alone() {
    let bench = Bench::new(1, 3);
    assert_eq!(bench.run(&[]).code, 0);
    let before = std::fs::read(bench.out().join("plan.json")).unwrap();

    bench.write("other", 1, 3);
    let other = bench.run(&[]);
    assert_eq!(other.code, 4);
    assert!(
        other.stderr.contains("holds the benchmark `test`, not `other`") && other.stderr.contains("--out"),
        "{}",
        other.stderr
    );

    bench.write("test", 1, 4);
    let changed = bench.run(&[]);
    assert_eq!(changed.code, 4);
    assert!(changed.stderr.contains("2 of its 2 runs are not planned any more"), "{}", changed.stderr);
    assert_eq!(std::fs::read(bench.out().join("plan.json")).unwrap(), before);
}

#[test]
fn gpus_that_are_not_there_are_named_with_the_way_out() {
    let mut bench = Bench::new(1, 3);
    bench.env = vec![("CUDA_VISIBLE_DEVICES", String::new())];
    let came = bench.run(&["--gpus", "2"]);
    assert_eq!(came.code, 4);
    assert!(came.stderr.contains("needs 2 GPUs") && came.stderr.contains("gpusPerNode: 0"), "{}", came.stderr);
    assert!(!bench.out().exists());
}

#[test]
fn a_missing_trainer_is_named_with_the_way_out() {
    let mut bench = Bench::new(1, 3);
    bench.env = vec![("MIXBENCH_TRAINER", "/nowhere/trainer".into())];
    let came = bench.run(&[]);
    assert_eq!(came.code, 4);
    assert!(came.stderr.contains("/nowhere/trainer"), "{}", came.stderr);
    assert!(!bench.out().exists());
}

#[test]
fn options_are_checked_with_the_manifest() {
    let bench = Bench::new(1, 3);
    let came = bench.run(&["--gpus", "3"]);
    assert_eq!(came.code, 4);
    assert!(came.stderr.contains("globalBatch 32 is not a multiple"), "{}", came.stderr);
    assert_eq!(bench.run(&["--parallelism", "0"]).code, 4);
    assert_eq!(bench.run(&["--data", "nonsense"]).code, 4);
    assert!(!bench.out().exists());
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let bench = Bench::new(1, 3);
    std::fs::write(bench.out(), "a file").unwrap();
    let came = bench.run(&[]);
    assert_eq!(came.code, 3);
    assert!(came.stderr.contains(bench.out().to_str().unwrap()), "{}", came.stderr);
}
