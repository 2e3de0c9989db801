//! One epoch: its steps, what is read back of them, and its validation.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mixbench_crds::event::{Body, Epoch, Position};
use mixbench_crds::metric::Score;
use tch::Tensor;

use super::TrainError;
use super::engine::{Engine, Progress};
use super::feed::{Draw, Feed};
use super::validate::Validation;
use crate::data::Split;
use crate::data::loader::{Augment, Loader};
use crate::optim::schedule;

/// Time between two progress events.
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// How an epoch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// All its steps are done.
    Whole,
    /// A stop was asked for.
    Stopped,
}

impl Engine {
    /// Trains the steps of the running epoch that are still to do. `between` is called after each.
    ///
    /// # Errors
    /// Whatever ends a run.
    pub(super) fn train_epoch(
        &mut self,
        progress: &mut Progress,
        mut between: impl FnMut(Position) -> Result<(), TrainError>,
    ) -> Result<Ended, TrainError> {
        let (epoch, steps) = (progress.position.epoch, self.layout.steps());
        let mut feed = self.feed(epoch, progress.position.step)?;
        let mut losses = Losses::new(if self.device.is_cuda() { 20 } else { 1 });
        let mut meter = Meter::start();
        let ended = loop {
            if self.stopping()? {
                break Ended::Stopped;
            }
            let step = progress.position.step;
            if step == steps {
                break Ended::Whole;
            }
            let started = Instant::now();
            losses.push(self.step(&mut feed, epoch, step)?);
            progress.position.step += 1;
            progress.optimizer_steps += 1;
            if losses.full() {
                losses.flush(self, progress)?;
            }
            let seconds = started.elapsed().as_secs_f64();
            progress.epoch_seconds += seconds;
            progress.train_seconds += seconds;
            meter.add(self.layout.images_per_step());
            if self.rank == 0
                && let Some(images_per_second) = meter.read()
            {
                self.reporter.send(Body::Progress { epoch, step: step + 1, steps, images_per_second });
            }
            between(progress.position)?;
        };
        let started = Instant::now();
        losses.flush(self, progress)?; // waits for a device that is still at work
        let seconds = started.elapsed().as_secs_f64();
        progress.epoch_seconds += seconds;
        progress.train_seconds += seconds;
        Ok(ended)
    }

    /// Validates the weights; `None` if a stop was asked for meanwhile. Afterwards the epoch is finished and its event sent.
    ///
    /// # Errors
    /// Whatever ends a run.
    pub(super) fn finish_epoch(&mut self, progress: &mut Progress) -> Result<Option<()>, TrainError> {
        let started = Instant::now();
        self.share_buffers()?;
        let training = self.training();
        let validation = Validation {
            net: self.model.net.as_ref(),
            input: &self.input,
            device: self.device,
            precision: training.precision,
            source: &self.source,
            transform: &training.eval,
            batch: training.eval_batch as usize,
            threads: self.run.place.loader_threads as usize,
            shard: (self.rank, self.world_size()),
        };
        let Some(counts) = validation.count(|| self.stopping())? else { return Ok(None) };
        let mut counts = Tensor::from_slice(&[counts.correct1.cast_signed(), counts.correct5.cast_signed()]);
        self.world.all_reduce_sum(&mut counts)?;
        let count = |i: i64| counts.int64_value(&[i]).cast_unsigned();
        let (epoch, steps) = (progress.position.epoch, self.layout.steps());
        let score = Score { epoch: epoch + 1, correct1: count(0), correct5: count(1) };
        let told = Epoch {
            score,
            n: self.source.len(Split::Val) as u64,
            train_loss: progress.loss_sum / steps as f64,
            lr: schedule::lr(&training.schedule, training.epochs, steps, epoch, steps - 1),
            images: steps * self.layout.images_per_step(),
            train_seconds: progress.epoch_seconds,
            eval_seconds: started.elapsed().as_secs_f64(),
        };
        if self.rank == 0 {
            self.reporter.send(Body::Epoch(told.clone()));
        }
        progress.last_epoch = Some(told);
        progress.scores.push(score);
        progress.position.epoch += 1;
        progress.position.step = 0;
        (progress.loss_sum, progress.epoch_seconds) = (0.0, 0.0);
        Ok(Some(()))
    }

    fn feed(&self, epoch: u32, from: u64) -> Result<Feed, TrainError> {
        let seed = self.run.spec.seed;
        let augment = Augment::Train { transform: self.training().train.clone(), seed };
        let threads = self.run.place.loader_threads as usize;
        let loader = Loader::new(Arc::clone(&self.source), augment, self.layout.jobs(epoch, from), threads)?;
        Ok(Feed::new(loader, Draw { method: Arc::clone(&self.method), seed }, threads > 0)?)
    }
}

/// Losses of the last steps, still on the device.
struct Losses {
    waiting: Vec<Tensor>,
    interval: usize,
}

impl Losses {
    fn new(interval: usize) -> Self {
        Self { waiting: Vec::with_capacity(interval), interval }
    }

    fn push(&mut self, loss: Tensor) {
        self.waiting.push(loss);
    }

    fn full(&self) -> bool {
        self.waiting.len() >= self.interval
    }

    /// Averages over the processes and adds, step by step, so that the sum does not depend on where it was interrupted.
    ///
    /// # Errors
    /// [`TrainError::Diverged`] in all processes alike, naming the first step whose loss is not finite.
    fn flush(&mut self, engine: &Engine, progress: &mut Progress) -> Result<(), TrainError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let mut losses = Tensor::stack(&self.waiting, 0);
        engine.world.all_reduce_sum(&mut losses)?;
        let first = progress.position.step - self.waiting.len() as u64;
        self.waiting.clear();
        for (step, loss) in (first..).zip(Vec::<f64>::try_from(losses / f64::from(engine.world_size()))?) {
            if !loss.is_finite() {
                let mut at = progress.position;
                at.step = step;
                return Err(TrainError::Diverged {
                    what: format!("the loss ({loss})"),
                    at,
                    steps: engine.layout.steps(),
                });
            }
            progress.loss_sum += loss;
        }
        Ok(())
    }
}

/// Images per second.
struct Meter {
    since: Instant,
    images: u64,
}

impl Meter {
    fn start() -> Self {
        Self { since: Instant::now(), images: 0 }
    }

    fn add(&mut self, images: u64) {
        self.images += images;
    }

    /// The rate since the last reading, when it is time for one.
    fn read(&mut self) -> Option<f64> {
        let elapsed = self.since.elapsed();
        (elapsed >= REPORT_EVERY).then(|| {
            let rate = self.images as f64 / elapsed.as_secs_f64();
            *self = Self::start();
            rate
        })
    }
}
