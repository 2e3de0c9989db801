//! Ctrl-C.

use std::io::BufRead;
use std::time::{Duration, Instant};

use crate::bench::{Bench, came, signal, until};
use rustix::process::Signal;

#[test]
fn ctrl_c_stops_every_run_at_a_checkpoint_and_the_next_command_goes_on() {
    let bench = Bench::new(1, 5).script(r#"{"seconds": 0.2}"#);
    let running = bench.start(&[]);
    bench.wait_for("vanilla", 2);
    bench.wait_for("mixup", 1);
    signal(running.id(), Signal::INT);
    let stopped = came(running.wait_with_output().unwrap());
    assert_eq!(stopped.code, 3);
    assert!(stopped.stderr.contains("stopped with 0 of 2 runs finished"), "{}", stopped.stderr);
    assert!(bench.text("vanilla", 0, "events.jsonl").lines().last().unwrap().contains("\"stopped\""));
    let half = bench.report(&[]);
    assert_eq!(half.code, 3);
    assert!(half.stdout.contains("incomplete"), "{}", half.stdout);

    let came = bench.run(&[]);
    assert_eq!(came.code, 0, "{}", came.stderr);
    assert_eq!(bench.trained("vanilla", 0), (5, 2));
    assert_eq!(bench.trained("mixup", 0), (5, 2));
}

#[test]
fn a_second_ctrl_c_kills() {
    let bench = Bench::new(1, 1000).script(r#"{"seconds": 0.1, "vanilla": ["deaf"], "mixup": ["deaf"]}"#);
    let running = bench.start(&[]);
    bench.wait_for("vanilla", 1);
    bench.wait_for("mixup", 1);
    signal(running.id(), Signal::INT);
    std::thread::sleep(Duration::from_millis(600));
    signal(running.id(), Signal::INT);
    let since = Instant::now();
    let stopped = came(running.wait_with_output().unwrap());
    assert_eq!(stopped.code, 3);
    assert!(since.elapsed() < Duration::from_secs(10));
    let pid = bench.text("vanilla", 0, "log.txt").split_whitespace().nth(3).unwrap().to_owned();
    until(|| !std::path::Path::new("/proc").join(&pid).exists());
}

#[test]
fn an_orphan_is_stopped_like_any_other() {
    let bench = Bench::new(1, 1000).script(r#"{"seconds": 0.1}"#);
    let mut first = bench.start(&["--parallelism", "1"]);
    bench.wait_for("vanilla", 1);
    signal(first.id(), Signal::KILL);
    first.wait().unwrap();
    let mut second = bench.start(&["--parallelism", "1"]);
    // It listens to signals before it looks at what runs.
    let mut said = std::io::BufReader::new(second.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(said.any(|line| line.contains("still runs from before")));
    signal(second.id(), Signal::TERM);
    assert_eq!(came(second.wait_with_output().unwrap()).code, 3);
    assert!(bench.text("vanilla", 0, "events.jsonl").lines().last().unwrap().contains("\"stopped\""));
    assert_eq!(bench.trained("vanilla", 0).1, 1);
}
