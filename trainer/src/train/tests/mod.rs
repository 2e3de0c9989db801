//! Whole runs with threads as ranks.
#![allow(clippy::unwrap_used)]

#[path = "../../../tests/common/mod.rs"]
mod common;
mod double_batch;
mod evaluation;
mod refusals;
mod resume;

use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mixbench_crds::event::{Body, Position};
use mixbench_crds::exit::Exit;
use mixbench_crds::layout::RunDir;
use mixbench_crds::run::{Run, RunSpec};
use nccl_rs::Rendezvous;
use tch::Device;

use super::*;
use crate::collective::World;
use crate::stop::StopFlag;
use crate::worker::Options;

/// What the processes of a run said and how they ended, by rank.
struct Outcome {
    events: Vec<Body>,
    exits: Vec<Result<(), TrainError>>,
}

impl Outcome {
    /// The exit that explains the run best.
    fn exit(&self) -> Exit {
        Exit::most_specific(self.exits.iter().map(|e| e.as_ref().err().map_or(Exit::Ok, TrainError::exit)))
    }

    fn message(&self) -> String {
        self.exits[0].as_ref().err().map(ToString::to_string).unwrap_or_default()
    }

    fn warnings<'a>(&'a self) -> Vec<&'a str> {
        let text = |e: &'a Body| if let Body::Warning { message } = e { Some(message.as_str()) } else { None };
        self.events.iter().filter_map(text).collect()
    }
}

/// A sink for one process's report.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn events(&self) -> Vec<Body> {
        let bytes = self.0.lock().unwrap();
        String::from_utf8_lossy(&bytes).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Gives each rank of a run, in a thread of its own, what a worker gets.
fn on_ranks<T: Send>(
    run: &Run,
    dir: &Path,
    options: &Options,
    work: impl Fn(WorkerContext) -> T + Sync,
) -> (Vec<Body>, Vec<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (mut listener, lines, world_size) = (Some(listener), Lines::default(), run.spec.world.size());
    let results = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..world_size)
            .map(|rank| {
                let at = Rendezvous {
                    host: "127.0.0.1".into(),
                    port,
                    rank: rank as usize,
                    world_size: world_size as usize,
                    listener: listener.take(),
                    timeout: Duration::from_secs(20),
                };
                let (run, dir, options, lines, work) =
                    (run.clone(), RunDir::at(dir), options.clone(), lines.clone(), &work);
                scope.spawn(move || {
                    let reporter = if rank == 0 { Reporter::to(lines) } else { Reporter::none() };
                    let world = World::join(at, Device::Cpu).unwrap();
                    world.barrier().unwrap(); // none leaves while others still connect
                    let stop = StopFlag::default();
                    let (local_rank, device) = (rank, Device::Cpu);
                    work(WorkerContext { run, dir, rank, local_rank, device, world, reporter, stop, options })
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    (lines.events(), results)
}

/// Trains a run, asking its last rank alone to stop at a position.
fn train(run: &Run, dir: &Path, options: &Options, stop_at: Option<Position>) -> Outcome {
    let (events, exits) = on_ranks(run, dir, options, |ctx| {
        let (stop, last) = (ctx.stop.clone(), ctx.rank + 1 == run.spec.world.size());
        drive(ctx, move |position| {
            if last && stop_at == Some(position) {
                stop.request();
            }
        })
    });
    Outcome { events, exits }
}

fn auto() -> Options {
    Options { auto_resume: true, ..Options::default() }
}

fn newest(dir: &Path) -> Checkpoint {
    let store = Store::open(&RunDir::at(dir).checkpoints(), 2).unwrap();
    store.newest(|w| panic!("{w}")).unwrap().unwrap().checkpoint
}

/// A run's state without what a clock says.
fn timeless(mut checkpoint: Checkpoint) -> Checkpoint {
    checkpoint.header = checkpoint.header.timeless();
    checkpoint
}

/// Epochs' scores and losses without what a clock says; of an epoch that is told again, the last word counts.
fn curve(events: &[Body]) -> Vec<(mixbench_crds::metric::Score, f64)> {
    let point = |e: &Body| if let Body::Epoch(e) = e { Some((e.score.epoch, (e.score, e.train_loss))) } else { None };
    events.iter().filter_map(point).collect::<std::collections::BTreeMap<_, _>>().into_values().collect()
}

/// 58 images: an epoch has 5 steps, the last one filled up.
fn setup(method: &str, processes: u32, edit: impl FnOnce(&mut RunSpec)) -> (tempfile::TempDir, Run) {
    let folder = tempfile::tempdir().unwrap();
    common::images(&folder.path().join("data"), 58, 30, 3);
    let run = common::run(&folder.path().join("data"), method, processes, edit);
    (folder, run)
}

/// Files of a folder with their contents.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    all.sort();
    all
}
