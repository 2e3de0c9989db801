//! Training of one run by one of its processes.
//!
//! All processes run the same loop: train an epoch's steps, validate, checkpoint. What they must agree on (a stop, a loss that is not finite) they
//! ask each other at the same points, so that none waits for one that has left.

mod agree;
mod engine;
mod epoch;
mod error;
mod feed;
pub mod input;
mod layout;
pub(crate) mod resume;
mod step;
pub mod validate;

use std::path::{Path, PathBuf};

use mixbench_crds::event::{Body, Position, Started};
use mixbench_crds::layout::RunDir;
use mixbench_crds::result::{RESULT_VERSION, RunResult};

pub(crate) use engine::kind;
pub use error::TrainError;

use crate::checkpoint::{Checkpoint, CheckpointError, Store, Writer, Written};
use crate::data::Split;
use crate::device;
use crate::report::Reporter;
use crate::worker::WorkerContext;
use engine::{Engine, Progress};
use epoch::Ended;

/// Trains a run to its end, or until a stop is asked for.
///
/// # Errors
/// [`TrainError`]; [`TrainError::Stopped`] when the run can go on, with its event sent and its checkpoint written. No other failure's event is sent.
pub fn run(ctx: WorkerContext) -> Result<(), TrainError> {
    drive(ctx, |_| ())
}

/// As [`run`]; `watch` is called after every step.
fn drive(ctx: WorkerContext, mut watch: impl FnMut(Position)) -> Result<(), TrainError> {
    let (dir, options) = (ctx.dir.clone(), ctx.options.clone());
    let mut engine = Engine::new(ctx)?;
    let store =
        (engine.rank == 0).then(|| Store::open(&dir.checkpoints(), engine.run.place.checkpoint_keep)).transpose()?;
    let begun = engine.begin(&options, store.as_ref())?;
    let mut progress = begun.progress;
    let resumed = begun.from.map(|path| Written { position: progress.position, path });
    if engine.rank == 0 {
        engine.reporter.send(Body::Started(started(&engine, resumed.as_ref().map(|from| from.position))));
        // Told again after every resume: the word may have died with an earlier `launch`, and a repeated epoch replaces the one before.
        if let Some(told) = &progress.last_epoch {
            engine.reporter.send(Body::Epoch(told.clone()));
        }
        for note in engine.source.notes() {
            engine.reporter.send(Body::Warning { message: note.clone() });
        }
    }
    let mut saver = Saver::start(store, &dir, &engine.reporter, resumed)?;
    let epochs = engine.training().epochs;
    let every = engine.run.place.checkpoint_every.max(1);
    while progress.position.epoch < epochs {
        let between = |position| {
            watch(position);
            saver.poll()
        };
        let whole = engine.train_epoch(&mut progress, between)? == Ended::Whole;
        if !whole || engine.finish_epoch(&mut progress)?.is_none() {
            return stop(&engine, &mut saver, &progress);
        }
        let done = progress.position.epoch;
        if done == epochs || done.is_multiple_of(every) {
            saver.save(progress.position, engine.snapshot(&progress)?)?;
        }
    }
    saver.wait()?;
    if engine.rank == 0 {
        engine.reporter.send(Body::Finished { result: result(&engine, &progress, saver.relative()) });
    }
    Ok(())
}

fn stop(engine: &Engine, saver: &mut Saver, progress: &Progress) -> Result<(), TrainError> {
    let position = progress.position;
    if position != Position::default() && saver.saved != Some(position) {
        saver.save(position, engine.snapshot(progress)?)?;
    }
    saver.wait()?;
    if engine.rank == 0 {
        engine.reporter.send(Body::Stopped { position, checkpoint: saver.relative() });
    }
    Err(TrainError::Stopped(position))
}

fn started(engine: &Engine, resumed: Option<Position>) -> Started {
    Started {
        world_size: engine.world_size(),
        device: device::describe(engine.device),
        libtorch: libtorch(),
        data_fingerprint: engine.fingerprint.clone(),
        classes: u32::try_from(engine.classes).expect("classes that were counted"),
        train_images: engine.source.len(Split::Train) as u64,
        val_images: engine.source.len(Split::Val) as u64,
        parameters: engine.parameters(),
        steps: engine.layout.steps(),
        resumed,
    }
}

fn result(engine: &Engine, progress: &Progress, checkpoint: Option<String>) -> RunResult {
    let metric = engine.training().metric;
    RunResult {
        version: RESULT_VERSION,
        run: engine.run.id.clone(),
        nonce: engine.run.nonce.clone(),
        attempt: engine.run.attempt,
        metric,
        window: metric.window(&progress.scores),
        epochs: progress.position.epoch,
        n: engine.source.len(Split::Val) as u64,
        images: engine.layout.images_at(progress.position),
        train_seconds: progress.train_seconds,
        data_fingerprint: engine.fingerprint.clone(),
        parameters: engine.parameters(),
        device: device::describe(engine.device),
        libtorch: libtorch(),
        checkpoint,
    }
}

/// Version of libtorch in this process.
pub(crate) fn libtorch() -> String {
    nccl_rs::versions().map_or_else(|_| "unknown".into(), |v| v.libtorch)
}

/// Hands checkpoints to the writing thread and tells of those that are on the disk. Other ranks than 0 only keep count.
struct Saver {
    writer: Option<Writer>,
    reporter: Reporter,
    root: PathBuf,
    /// Position of the newest checkpoint of the run's folder, written or on its way; the same in all ranks.
    saved: Option<Position>,
    last: Option<PathBuf>,
}

impl Saver {
    fn start(
        store: Option<Store>,
        dir: &RunDir,
        reporter: &Reporter,
        resumed: Option<Written>,
    ) -> Result<Self, CheckpointError> {
        let writer = store.map(Writer::start).transpose()?;
        // One from elsewhere does not count: the next attempt would not find it.
        let (saved, last) =
            resumed.filter(|w| w.path.starts_with(dir.checkpoints())).map(|w| (w.position, w.path)).unzip();
        Ok(Self { writer, reporter: reporter.clone(), root: dir.path().to_owned(), saved, last })
    }

    fn save(&mut self, position: Position, checkpoint: Option<Checkpoint>) -> Result<(), TrainError> {
        self.saved = Some(position);
        if let (Some(writer), Some(checkpoint)) = (&mut self.writer, checkpoint) {
            let written = writer.submit(checkpoint)?;
            self.tell(written);
        }
        Ok(())
    }

    fn poll(&mut self) -> Result<(), TrainError> {
        let written = self.writer.as_mut().map_or(Ok(Vec::new()), Writer::poll)?;
        self.tell(written);
        Ok(())
    }

    fn wait(&mut self) -> Result<(), TrainError> {
        let written = self.writer.as_mut().map_or(Ok(Vec::new()), Writer::wait)?;
        self.tell(written);
        Ok(())
    }

    fn tell(&mut self, written: Vec<Written>) {
        for Written { position, path } in written {
            self.reporter.send(Body::Checkpoint { path: relative(&self.root, &path), position });
            self.last = Some(path);
        }
    }

    /// The newest checkpoint on the disk, relative to the run's folder.
    fn relative(&self) -> Option<String> {
        self.last.as_ref().map(|path| relative(&self.root, path))
    }
}

fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
