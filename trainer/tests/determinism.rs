//! The same run gives the same bits, however often and wherever it was interrupted.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/launched.rs"]
mod launched;

use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use mixbench_crds::event::{Body, Event};
use mixbench_crds::exit::Exit;
use mixbench_crds::metric::Score;
use mixbench_trainer::checkpoint::Checkpoint;

use launched::{Case, signal, wait_for};

/// Four epochs of eight steps.
fn case(processes: u32) -> Case {
    let method = ["vanilla", "mixup", "cutmix"][processes as usize - 1];
    Case::of(method, 96, processes, |spec| spec.training.epochs = 4)
}

/// The last word on each epoch: score and loss.
fn curve(case: &Case) -> Vec<(Score, f64)> {
    let mut epochs = std::collections::BTreeMap::new();
    for line in fs::read_to_string(case.dir().events()).unwrap().lines() {
        if let Body::Epoch(e) = Event::parse(line).unwrap().body {
            epochs.insert(e.score.epoch, (e.score, e.train_loss));
        }
    }
    epochs.into_values().collect()
}

/// The final state without what a clock says.
fn timeless(case: &Case) -> Checkpoint {
    let mut last = case.newest();
    last.header = last.header.timeless();
    last.header.data_uri = String::new();
    last
}

/// Numbers that differ from test run to test run, so that in time every step is hit.
fn random(below: u64) -> u64 {
    use std::hash::BuildHasher as _;
    std::hash::RandomState::new().hash_one(below) % below
}

/// Who is killed.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Launch,
    Rank(usize),
}

#[test]
fn a_run_killed_at_random_steps_gives_the_bits_of_an_undisturbed_one() {
    for (processes, victims) in [
        (1, [Victim::Rank(0), Victim::Launch, Victim::Rank(0)]),
        (2, [Victim::Rank(1), Victim::Rank(0), Victim::Launch]),
        (3, [Victim::Launch, Victim::Rank(2), Victim::Rank(0)]),
    ] {
        let undisturbed = case(processes);
        let mut launched = undisturbed.start(&[]);
        launched.until(|b| matches!(b, Body::Started(_)));
        let start = Instant::now();
        assert_eq!(launched.end().0, Some(Exit::Ok));
        let whole = start.elapsed();

        let killed = case(processes);
        let mut hits = 0;
        for victim in victims {
            let mut launched = killed.start(&[]);
            launched.until(|b| matches!(b, Body::Started(_) | Body::Finished { .. }));
            // Within the first half of what is needed in all, so that most attempts are hit while they train.
            sleep(Duration::from_millis(random(whole.as_millis() as u64 / 2 + 1)));
            let workers = launched.workers();
            let pid = match victim {
                Victim::Launch => Some(launched.child.id()),
                Victim::Rank(rank) => workers.get(rank).copied(),
            };
            if let Some(pid) = pid {
                let _ =
                    Command::new("kill").args(["-KILL", &pid.to_string()]).stderr(std::process::Stdio::null()).status();
            }
            let exit = launched.exit();
            hits += u32::from(exit != Some(Exit::Ok));
            eprintln!("{processes} processes, {victim:?}: {exit:?}");
        }
        assert_eq!(killed.launch(&[]).0, Some(Exit::Ok));
        assert_eq!(curve(&killed), curve(&undisturbed), "{processes} processes, {hits} hits");
        assert!(timeless(&killed) == timeless(&undisturbed), "{processes} processes, {hits} hits");
        assert!(hits > 0, "no attempt was hit");
    }
}

#[test]
fn a_run_stopped_by_sigterm_in_the_middle_of_an_epoch_gives_the_same_bits() {
    let undisturbed = case(2);
    assert_eq!(undisturbed.launch(&[]).0, Some(Exit::Ok));
    let stopped = case(2);
    let mut inside = 0;
    for _ in 0..8 {
        let mut launched = stopped.start(&[]);
        launched.until(|b| matches!(b, Body::Started(_)));
        sleep(Duration::from_millis(random(300)));
        signal(launched.child.id(), "TERM");
        let (exit, last) = launched.end();
        match last {
            Body::Stopped { position, .. } => {
                assert_eq!(exit, Some(Exit::Stopped));
                inside += u32::from(position.step > 0);
            }
            Body::Finished { .. } => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(inside > 0, "no stop in the middle of an epoch");
    assert_eq!(stopped.launch(&[]).0, Some(Exit::Ok));
    assert_eq!(curve(&stopped), curve(&undisturbed));
    assert!(timeless(&stopped) == timeless(&undisturbed));
}

#[test]
fn a_disk_that_is_full_keeps_the_checkpoints_before_and_the_run_goes_on_when_there_is_room() {
    let undisturbed = case(1);
    assert_eq!(undisturbed.launch(&[]).0, Some(Exit::Ok));
    let full = case(1);
    let mut launched = full.start(&[]);
    launched.until_epoch(2);
    signal(launched.child.id(), "TERM");
    launched.end();
    let kept = full.newest();

    // A limit on the size of files stands for a disk without room.
    let program = env!("CARGO_BIN_EXE_mixbench-trainer");
    let command = format!("trap '' XFSZ; ulimit -f 64; exec {program} launch --run {}", full.dir().run().display());
    let output = Command::new("sh").args(["-c", &command]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(i32::from(Exit::Io.code())), "{said}");
    let last = Event::parse(said.lines().last().unwrap()).unwrap().body;
    let Body::Failed { exit: Exit::Io, message, .. } = last else { panic!("{last:?}") };
    assert!(message.contains("checkpoints/epoch-000"), "{message}");
    assert_eq!(full.newest(), kept);

    assert_eq!(full.launch(&[]).0, Some(Exit::Ok));
    assert_eq!(curve(&full), curve(&undisturbed));
    assert!(timeless(&full) == timeless(&undisturbed));
    wait_for("the lock goes", || !full.dir().lock().exists());
}

#[test]
fn the_eval_command_prints_the_validation_of_the_epoch() {
    let case = Case::of("mixup", 24, 2, |_| ());
    assert_eq!(case.launch(&[]).0, Some(Exit::Ok));
    let [.., (score, _)] = curve(&case)[..] else { panic!("no epoch") };
    let run = case.dir().run();
    let eval = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mixbench-trainer"));
        let output = command.args(["eval", "--run", run.to_str().unwrap()]).args(args).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, json, _) = eval(&["-o", "json"]);
    let found: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(code, Some(0));
    assert_eq!([&found["correct1"], &found["correct5"], &found["n"]], [score.correct1, score.correct5, 12]);
    assert!((found["top1"].as_f64().unwrap() - 100.0 * score.correct1 as f64 / 12.0).abs() < 1e-9);
    let (_, table, _) = eval(&[]);
    assert!(table.contains(&format!("({} of 12)", score.correct1)) && table.contains("after epoch 2"), "{table}");

    let (code, _, said) = eval(&["--data", "idx:/nowhere"]);
    assert_eq!(code, Some(i32::from(Exit::Data.code())), "{said}");
    assert!(said.contains("/nowhere"), "{said}");
}
