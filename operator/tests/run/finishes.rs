//! What goes well, and what goes on.

use crate::bench::{Bench, signal, until};
use rustix::process::Signal;

#[test]
fn a_benchmark_ends_with_a_table_and_a_page_and_is_never_repeated() {
    let bench = Bench::new(2, 3);
    let first = bench.run(&[]);
    assert_eq!(first.code, 0, "{}", first.stderr);
    assert!(first.stdout.contains("resnet20  vanilla  2/2    53.05"), "{}", first.stdout);
    assert!(first.stdout.contains("top-1 of the last epoch"), "the metric rule is printed: {}", first.stdout);
    assert!(first.stdout.contains("report.html") && bench.out().join("report.html").exists());
    let second = bench.run(&[]);
    assert_eq!((second.code, &second.stdout), (0, &first.stdout));
    for (method, trial) in [("vanilla", 0), ("vanilla", 1), ("mixup", 0), ("mixup", 1)] {
        assert_eq!(bench.trained(method, trial), (3, 1));
    }
}

#[test]
fn a_killed_trainer_is_tried_again_and_goes_on_from_its_checkpoint() {
    let bench = Bench::new(1, 3).script(r#"{"vanilla": ["kill", "ok"]}"#);
    let came = bench.run(&[]);
    assert_eq!(came.code, 0, "{}", came.stderr);
    assert!(
        came.stderr.contains("vanilla #0 will be tried again: mixbench-trainer was killed by signal 9"),
        "{}",
        came.stderr
    );
    assert_eq!(bench.trained("vanilla", 0), (3, 2));
    assert!(bench.text("vanilla", 0, "attempts.jsonl").contains("signal 9"));
}

#[test]
fn a_run_that_fails_stops_no_other_and_is_tried_again_when_the_benchmark_is() {
    let bench = Bench::new(1, 3).script(r#"{"mixup": ["data", "ok"]}"#);
    let came = bench.run(&[]);
    assert_eq!(came.code, 3);
    assert!(
        came.stderr.contains("no such folder: fashion") && came.stderr.contains("a line before the end"),
        "{}",
        came.stderr
    );
    assert!(came.stdout.contains("failed") && came.stdout.contains("log.txt"), "{}", came.stdout);
    assert_eq!(bench.trained("vanilla", 0), (3, 1));
    assert_eq!(bench.run(&[]).code, 0);
    assert_eq!(bench.trained("mixup", 0), (3, 2));
}

#[test]
fn a_trainer_that_refuses_its_run_is_quoted() {
    let bench = Bench::new(1, 3).script(r#"{"mixup": ["config"]}"#);
    let came = bench.run(&[]);
    assert_eq!(came.code, 3);
    assert!(came.stderr.contains("the run is wrong somehow"), "{}", came.stderr);
    assert!(bench.report(&[]).stdout.contains("the run is wrong somehow"));
}

#[test]
fn a_result_that_was_only_said_is_recorded() {
    let bench = Bench::new(1, 3).script(r#"{"mixup": ["forget"]}"#);
    let came = bench.run(&[]);
    assert_eq!(came.code, 0, "{}", came.stderr);
    assert!(bench.text("mixup", 0, "result.json").contains("correct1"));
    assert_eq!(bench.trained("mixup", 0), (3, 1));
}

#[test]
fn a_corrupt_result_is_moved_aside_and_its_run_repeated() {
    let bench = Bench::new(1, 3);
    assert_eq!(bench.run(&[]).code, 0);
    let result = bench.folder("mixup", 0).join("result.json");
    std::fs::write(&result, "{\"version\": 1, \"tr").unwrap();
    assert_eq!(bench.report(&[]).code, 3);
    let came = bench.run(&[]);
    assert_eq!(came.code, 0, "{}", came.stderr);
    assert!(came.stderr.contains("result.json.corrupt-1"), "{}", came.stderr);
    assert_eq!(bench.text("mixup", 0, "result.json.corrupt-1"), "{\"version\": 1, \"tr");
    assert!(bench.text("mixup", 0, "result.json").contains("correct1"));
    assert_eq!(bench.trained("vanilla", 0), (3, 1));
}

#[test]
fn an_orphan_is_taken_over_and_counts() {
    let bench = Bench::new(2, 4).script(r#"{"seconds": 0.4}"#);
    let mut first = bench.start(&["--parallelism", "1"]);
    bench.wait_for("vanilla", 1);
    signal(first.id(), Signal::KILL);
    first.wait().unwrap();
    let came = bench.run(&["--parallelism", "1"]);
    assert_eq!(came.code, 0, "{}", came.stderr);
    assert!(came.stderr.contains("still runs from before"), "{}", came.stderr);
    assert_eq!(bench.trained("vanilla", 0), (4, 1), "the orphan went on by itself");
    // One at a time: no trainer began before the one before it had ended.
    let mut spans: Vec<(u64, u64)> = Vec::new();
    for (method, trial) in [("vanilla", 0), ("mixup", 0), ("vanilla", 1), ("mixup", 1)] {
        let text = bench.text(method, trial, "events.jsonl");
        let time = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["time"].as_u64().unwrap();
        spans.push((time(text.lines().next().unwrap()), time(text.lines().last().unwrap())));
    }
    assert!(spans.windows(2).all(|w| w[0].1 <= w[1].0), "{spans:?}");
}

#[test]
fn runs_may_be_added() {
    let bench = Bench::new(1, 3);
    assert_eq!(bench.run(&[]).code, 0);
    bench.write("test", 2, 3);
    assert_eq!(bench.run(&[]).code, 0);
    assert_eq!(bench.trained("vanilla", 0), (3, 1));
    assert_eq!(bench.trained("vanilla", 1), (3, 1));
}

#[test]
fn each_run_sees_gpus_of_its_own() {
    let mut bench = Bench::new(2, 4).script(r#"{"seconds": 0.05}"#);
    bench.env = vec![("CUDA_VISIBLE_DEVICES", "4,5,6".into()), ("NNODES", "7".into())];
    let came = bench.run(&["--gpus", "1", "--parallelism", "4"]);
    assert_eq!(came.code, 0, "{}", came.stderr);
    assert!(came.stderr.contains("3 GPUs hold 3 runs at once"), "{}", came.stderr);
    let first: Vec<String> = [("vanilla", 0), ("mixup", 0), ("vanilla", 1)]
        .iter()
        .map(|(m, t)| bench.text(m, *t, "log.txt").lines().next().unwrap().split_once("gpus ").unwrap().1.to_owned())
        .collect();
    assert_eq!(first, ["4 nnodes None", "5 nnodes None", "6 nnodes None"]);
}

#[test]
fn machines_get_one_json_document() {
    let bench = Bench::new(1, 3);
    let came = bench.run(&["-o", "json"]);
    let report: serde_json::Value = serde_json::from_str(&came.stdout).unwrap();
    assert_eq!(report["outcome"], "pass");
    assert_eq!(report["runs"].as_array().unwrap().len(), 2);
    assert!(came.stderr.contains("report.html"));
    assert!(bench.run(&["-o", "yaml"]).stdout.contains("outcome: pass"));
    until(|| bench.out().join("report.html").exists());
}
