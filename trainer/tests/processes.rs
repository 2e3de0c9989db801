//! A run as a tree of processes that train for real: killed, stopped, cut off from its reader or its disk, it ends with the right word, and
//! what it left behind leads to the same weights.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/launched.rs"]
mod launched;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use mixbench_crds::event::{Body, Event, Position};
use mixbench_crds::exit::Exit;
use mixbench_crds::layout::RunDir;
use mixbench_crds::metric::Score;

use launched::{Case, Launched, gone, signal, wait_for};

/// A run of so many processes that has finished one epoch of eight, and what comes out of the same run when nothing disturbs it.
fn midway(processes: u32) -> (Case, Launched, (Vec<Score>, String)) {
    let of_eight = || Case::new(processes, |spec| spec.training.epochs = 8);
    let undisturbed = of_eight();
    undisturbed.launch(&[]);
    let case = of_eight();
    let mut launched = case.start(&[]);
    launched.until_epoch(1);
    (case, launched, undisturbed.outcome())
}

#[test]
fn a_run_finishes_and_is_not_trained_again() {
    let case = Case::new(2, |_| {});
    let (exit, last) = case.launch(&[]);
    assert_eq!(exit, Some(Exit::Ok));
    let Body::Finished { result } = last else { panic!("{last:?}") };
    assert_eq!(result, case.result());
    let events = fs::read_to_string(case.dir().events()).unwrap();
    let bodies: Vec<Body> = events.lines().map(|line| Event::parse(line).unwrap().body).collect();
    assert!(matches!(bodies.first(), Some(Body::Started(s)) if s.world_size == 2 && s.resumed.is_none()));
    assert!(matches!(bodies.last(), Some(Body::Finished { .. })));
    assert!(!case.dir().lock().exists());
    let again = case.launch(&[]);
    assert_eq!(again, (Some(Exit::Ok), Body::Finished { result }));
    assert_eq!(fs::read_to_string(case.dir().events()).unwrap(), events);
}

#[test]
fn a_killed_worker_ends_the_run_within_seconds_and_the_next_attempt_gives_the_same_weights() {
    let (case, launched, undisturbed) = midway(2);
    let workers = launched.workers();
    signal(workers[1], "KILL");
    let start = Instant::now();
    let (exit, last) = launched.end();
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert_eq!(exit, Some(Exit::Collective));
    let Body::Failed { exit, message, rank } = last else { panic!("{last:?}") };
    assert_eq!((exit, rank), (Exit::Collective, Some(1)));
    assert!(message.contains("rank 1 was killed by signal 9"), "{message}");
    assert!(workers.iter().all(|pid| gone(*pid)));

    assert_eq!(case.launch(&[]).0, Some(Exit::Ok));
    assert_eq!(case.outcome(), undisturbed);
}

#[test]
fn workers_whose_launch_is_killed_stop_by_themselves_and_the_next_launch_waits_for_them() {
    let (case, launched, undisturbed) = midway(2);
    let workers = launched.workers();
    launched.signal("KILL");
    assert_eq!(launched.exit(), None);
    let (exit, last) = case.launch(&[]);
    assert_eq!(exit, Some(Exit::Ok), "{last:?}");
    assert!(workers.iter().all(|pid| gone(*pid)));
    assert_eq!(case.outcome(), undisturbed);
}

#[test]
fn a_request_to_stop_leaves_a_checkpoint_that_the_next_attempt_goes_on_from() {
    let (case, launched, undisturbed) = midway(3);
    launched.signal("TERM");
    let (exit, last) = launched.end();
    assert_eq!(exit, Some(Exit::Stopped));
    let Body::Stopped { position, checkpoint: Some(checkpoint) } = last else { panic!("{last:?}") };
    assert!(position >= Position { epoch: 1, step: 0 });
    assert!(case.dir().path().join(checkpoint).exists());

    let mut launched = case.start(&[]);
    let started = launched.until(|b| matches!(b, Body::Started(_)));
    assert!(matches!(started, Body::Started(s) if s.resumed == Some(position)));
    assert_eq!(launched.end().0, Some(Exit::Ok));
    assert_eq!(case.outcome(), undisturbed);
}

#[test]
fn a_request_that_comes_before_training_stops_the_run_too() {
    let case = Case::new(2, |_| {});
    let launched = case.start(&[]);
    wait_for("workers", || launched.workers_or_none() == 2);
    launched.signal("INT");
    let (exit, last) = launched.end();
    assert_eq!(exit, Some(Exit::Stopped), "{last:?}");
    assert!(matches!(last, Body::Stopped { .. }), "{last:?}");
}

#[test]
fn a_reader_that_goes_away_does_not_end_the_run() {
    let case = Case::new(1, |_| {});
    let mut launched = case.start(&[]);
    launched.until(|b| matches!(b, Body::Started(_)));
    launched.stdout = None;
    assert_eq!(launched.exit(), Some(Exit::Ok));
    assert_eq!(case.result().epochs, 2);
}

#[test]
fn a_full_disk_ends_with_74_and_the_path_and_the_next_attempt_goes_on() {
    let case = Case::new(1, |_| {});
    symlink("/dev/full", case.dir().events()).unwrap();
    let expect = |(exit, last): (Option<Exit>, Body), path: &Path| {
        assert_eq!(exit, Some(Exit::Io), "{last:?}");
        let Body::Failed { exit: Exit::Io, message, .. } = last else { panic!("{last:?}") };
        assert!(message.contains(path.to_str().unwrap()), "{message}");
    };
    expect(case.launch(&[]), &case.dir().events());
    fs::remove_file(case.dir().events()).unwrap();

    let temporary = case.dir().result().with_extension("json.tmp");
    symlink("/dev/full", &temporary).unwrap();
    expect(case.launch(&[]), &case.dir().result());
    assert!(!case.dir().result().exists() && !temporary.exists());

    // The weights were whole: nothing is trained again.
    let mut launched = case.start(&[]);
    let started = launched.until(|b| matches!(b, Body::Started(_)));
    assert!(matches!(started, Body::Started(s) if s.resumed == Some(Position { epoch: 2, step: 0 })));
    assert_eq!(launched.end().0, Some(Exit::Ok));
}

#[test]
fn data_that_are_not_there_end_with_65_and_are_named() {
    let case = Case::new(2, |_| {});
    fs::remove_dir_all(case.root.path().join("data")).unwrap();
    let (exit, last) = case.launch(&[]);
    assert_eq!(exit, Some(Exit::Data));
    let Body::Failed { exit: Exit::Data, message, .. } = last else { panic!("{last:?}") };
    assert!(message.contains(case.root.path().join("data").to_str().unwrap()), "{message}");
}

#[test]
fn gpus_that_are_not_there_are_refused_and_nothing_written() {
    if Path::new("/dev/nvidiactl").exists() {
        eprintln!("skipped: there may be GPUs here");
        return;
    }
    let case = Case::new(2, |spec| spec.world.gpus_per_node = 2);
    let (exit, last) = case.launch(&[]);
    assert_eq!(exit, Some(Exit::Config));
    let Body::Failed { exit: Exit::Config, message, .. } = last else { panic!("{last:?}") };
    assert!(message.contains("gpusPerNode: 0"), "{message}");
    let files: Vec<_> = fs::read_dir(case.dir().path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(files, ["run.json"]);
}

#[test]
fn two_machines_train_what_one_does() {
    let one = Case::new(2, |_| {});
    one.launch(&[]);

    let case = Case::new(1, |spec| {
        spec.training.micro_batch = 6;
        spec.world.nodes = 2;
    });
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let zero = case.start(&["--node-rank", "0", "--master-port", &port]);
    let elsewhere = case.root.path().join("elsewhere");
    let args = ["--node-rank", "1", "--master-addr", "127.0.0.1", "--master-port", &port, "--dir"];
    let first = case.start(&[&args[..], &[elsewhere.to_str().unwrap()]].concat());
    assert_eq!(zero.end().0, Some(Exit::Ok));
    assert_eq!(first.exit(), Some(Exit::Ok));
    assert_eq!(case.outcome(), one.outcome());
    assert!(!RunDir::at(elsewhere).events().exists());
}
