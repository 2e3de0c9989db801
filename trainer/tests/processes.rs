//! A run as a tree of processes that train for real: killed, stopped, cut off from its reader or its disk, it ends with the right word, and
//! what it left behind leads to the same weights.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use mixbench_crds::event::{Body, Event, Position};
use mixbench_crds::exit::Exit;
use mixbench_crds::layout::RunDir;
use mixbench_crds::result::RunResult;
use mixbench_crds::run::{Run, RunSpec};
use mixbench_trainer::checkpoint;
use tempfile::TempDir;

/// Longer than anything here takes.
const SOON: Duration = Duration::from_secs(90);

struct Case {
    root: TempDir,
    run: Run,
}

impl Case {
    /// A run on 36 + 12 images, in steps of 12.
    fn new(processes: u32, edit: impl FnOnce(&mut RunSpec)) -> Self {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("data");
        common::images(&data, 36, 12, 5);
        let run = common::run(&data, "mixup", processes, edit);
        let case = Self { root, run };
        fs::create_dir(case.dir().path()).unwrap();
        fs::write(case.dir().run(), serde_json::to_string(&case.run).unwrap()).unwrap();
        case
    }

    fn dir(&self) -> RunDir {
        RunDir::at(self.root.path().join("run"))
    }

    fn start(&self, args: &[&str]) -> Launched {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mixbench-trainer"));
        for name in ["MASTER_ADDR", "MASTER_PORT", "NNODES", "NODE_RANK", "NPROC_PER_NODE", "JOB_COMPLETION_INDEX"] {
            command.env_remove(name);
        }
        command.arg("launch").arg("--run").arg(self.dir().run()).args(args);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Launched { child, stdout: Some(stdout) }
    }

    /// Launches and waits for the end.
    fn launch(&self, args: &[&str]) -> (Option<Exit>, Body) {
        self.start(args).end()
    }

    fn result(&self) -> RunResult {
        RunResult::parse(&fs::read_to_string(self.dir().result()).unwrap(), &self.run.id).unwrap()
    }

    /// Scores and digest of the weights of the finished run.
    fn outcome(&self) -> (Vec<mixbench_crds::metric::Score>, String) {
        let result = self.result();
        let file = self.dir().path().join(result.checkpoint.as_ref().unwrap());
        (result.window, checkpoint::weights_sha256(&checkpoint::read(&file).unwrap().tensors))
    }
}

struct Launched {
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
}

impl Launched {
    fn next(&mut self) -> Option<Body> {
        let mut line = String::new();
        self.stdout.as_mut().unwrap().read_line(&mut line).unwrap();
        (!line.is_empty()).then(|| Event::parse(&line).unwrap().body)
    }

    /// Reads until `wanted` holds.
    fn until(&mut self, wanted: impl Fn(&Body) -> bool) -> Body {
        loop {
            let body = self.next().expect("the event comes");
            if wanted(&body) {
                return body;
            }
        }
    }

    fn until_epoch(&mut self, epoch: u32) {
        self.until(|b| matches!(b, Body::Epoch(e) if e.score.epoch == epoch));
    }

    /// The exit and the last event.
    fn end(mut self) -> (Option<Exit>, Body) {
        let last = std::iter::from_fn(|| self.next()).last().expect("a last word");
        (self.exit(), last)
    }

    fn exit(mut self) -> Option<Exit> {
        self.child.wait().unwrap().code().and_then(Exit::from_code)
    }

    /// Pids of the workers, in order of rank.
    fn workers(&self) -> Vec<u32> {
        let pid = self.child.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let mut ranked: Vec<(u32, u32)> = children
            .split_whitespace()
            .map(|child| {
                let environment = fs::read(format!("/proc/{child}/environ")).unwrap();
                let rank = environment.split(|b| *b == 0).find_map(|v| v.strip_prefix(b"RANK=")).unwrap();
                (std::str::from_utf8(rank).unwrap().parse().unwrap(), child.parse().unwrap())
            })
            .collect();
        ranked.sort_unstable();
        ranked.into_iter().map(|(_, pid)| pid).collect()
    }

    fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }
}

fn signal(pid: u32, name: &str) {
    assert!(Command::new("kill").args([format!("-{name}"), pid.to_string()]).status().unwrap().success());
}

fn gone(pid: u32) -> bool {
    // A zombie that nobody has collected is as good as gone.
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < SOON, "{what}");
        sleep(Duration::from_millis(20));
    }
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
    let undisturbed = Case::new(2, |spec| spec.training.epochs = 8);
    undisturbed.launch(&[]);

    let case = Case::new(2, |spec| spec.training.epochs = 8);
    let mut launched = case.start(&[]);
    launched.until_epoch(1);
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
    assert_eq!(case.outcome(), undisturbed.outcome());
}

#[test]
fn workers_whose_launch_is_killed_stop_by_themselves_and_the_next_launch_waits_for_them() {
    let undisturbed = Case::new(2, |spec| spec.training.epochs = 8);
    undisturbed.launch(&[]);

    let case = Case::new(2, |spec| spec.training.epochs = 8);
    let mut launched = case.start(&[]);
    launched.until_epoch(1);
    let workers = launched.workers();
    launched.signal("KILL");
    assert_eq!(launched.exit(), None);
    let (exit, last) = case.launch(&[]);
    assert_eq!(exit, Some(Exit::Ok), "{last:?}");
    assert!(workers.iter().all(|pid| gone(*pid)));
    assert_eq!(case.outcome(), undisturbed.outcome());
}

#[test]
fn a_request_to_stop_leaves_a_checkpoint_that_the_next_attempt_goes_on_from() {
    let undisturbed = Case::new(3, |spec| spec.training.epochs = 8);
    undisturbed.launch(&[]);

    let case = Case::new(3, |spec| spec.training.epochs = 8);
    let mut launched = case.start(&[]);
    launched.until_epoch(1);
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
    assert_eq!(case.outcome(), undisturbed.outcome());
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

impl Launched {
    fn workers_or_none(&self) -> usize {
        let pid = self.child.id();
        fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).map_or(0, |c| c.split_whitespace().count())
    }
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
