//! A run as a tree of processes that train for real.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)] // each test binary uses a part; a test may fail by a panic

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use mixbench_crds::event::{Body, Event};
use mixbench_crds::exit::Exit;
use mixbench_crds::layout::RunDir;
use mixbench_crds::metric::Score;
use mixbench_crds::result::RunResult;
use mixbench_crds::run::{Run, RunSpec};
use mixbench_trainer::checkpoint::{self, Checkpoint, Store};
use tempfile::TempDir;

use crate::common;

/// Longer than anything here takes.
pub const SOON: Duration = Duration::from_secs(90);

/// A run in a folder of its own.
pub struct Case {
    pub root: TempDir,
    pub run: Run,
}

impl Case {
    /// A run with MixUp on 36 + 12 images, in steps of 12.
    pub fn new(processes: u32, edit: impl FnOnce(&mut RunSpec)) -> Self {
        Self::of("mixup", 36, processes, edit)
    }

    /// A run on so many training images.
    pub fn of(method: &str, images: usize, processes: u32, edit: impl FnOnce(&mut RunSpec)) -> Self {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("data");
        common::images(&data, images, 12, 5);
        let run = common::run(&data, method, processes, edit);
        let case = Self { root, run };
        fs::create_dir(case.dir().path()).unwrap();
        fs::write(case.dir().run(), serde_json::to_string(&case.run).unwrap()).unwrap();
        case
    }

    pub fn dir(&self) -> RunDir {
        RunDir::at(self.root.path().join("run"))
    }

    pub fn start(&self, args: &[&str]) -> Launched {
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
    pub fn launch(&self, args: &[&str]) -> (Option<Exit>, Body) {
        self.start(args).end()
    }

    pub fn result(&self) -> RunResult {
        RunResult::parse(&fs::read_to_string(self.dir().result()).unwrap(), &self.run.id).unwrap()
    }

    /// The newest checkpoint.
    pub fn newest(&self) -> Checkpoint {
        Store::at(&self.dir().checkpoints()).newest(|w| panic!("{w}")).unwrap().unwrap().checkpoint
    }

    /// Scores and digest of the weights of the finished run.
    pub fn outcome(&self) -> (Vec<Score>, String) {
        let result = self.result();
        let file = self.dir().path().join(result.checkpoint.as_ref().unwrap());
        (result.window, checkpoint::weights_sha256(&checkpoint::read(&file).unwrap().tensors))
    }
}

/// A `launch` at work.
pub struct Launched {
    pub child: Child,
    pub stdout: Option<BufReader<ChildStdout>>,
}

impl Launched {
    pub fn next(&mut self) -> Option<Body> {
        let mut line = String::new();
        self.stdout.as_mut().unwrap().read_line(&mut line).unwrap();
        (!line.is_empty()).then(|| Event::parse(&line).unwrap().body)
    }

    /// Reads until `wanted` holds.
    pub fn until(&mut self, wanted: impl Fn(&Body) -> bool) -> Body {
        loop {
            let body = self.next().expect("the event comes");
            if wanted(&body) {
                return body;
            }
        }
    }

    pub fn until_epoch(&mut self, epoch: u32) {
        self.until(|b| matches!(b, Body::Epoch(e) if e.score.epoch == epoch));
    }

    /// The exit and the last event.
    pub fn end(mut self) -> (Option<Exit>, Body) {
        let last = std::iter::from_fn(|| self.next()).last().expect("a last word");
        (self.exit(), last)
    }

    pub fn exit(mut self) -> Option<Exit> {
        self.child.wait().unwrap().code().and_then(Exit::from_code)
    }

    /// Pids of the workers that live, in order of rank.
    pub fn workers(&self) -> Vec<u32> {
        let pid = self.child.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let mut ranked: Vec<(u32, u32)> = children
            .split_whitespace()
            .filter_map(|child| {
                let environment = fs::read(format!("/proc/{child}/environ")).ok()?; // one may have just ended
                let rank = environment.split(|b| *b == 0).find_map(|v| v.strip_prefix(b"RANK="))?;
                Some((std::str::from_utf8(rank).unwrap().parse().unwrap(), child.parse().unwrap()))
            })
            .collect();
        ranked.sort_unstable();
        ranked.into_iter().map(|(_, pid)| pid).collect()
    }

    /// How many processes `launch` has started.
    pub fn workers_or_none(&self) -> usize {
        let pid = self.child.id();
        fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).map_or(0, |c| c.split_whitespace().count())
    }

    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }
}

pub fn signal(pid: u32, name: &str) {
    assert!(Command::new("kill").args([format!("-{name}"), pid.to_string()]).status().unwrap().success());
}

pub fn gone(pid: u32) -> bool {
    // A zombie that nobody has collected is as good as gone.
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

pub fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < SOON, "{what}");
        sleep(Duration::from_millis(20));
    }
}
