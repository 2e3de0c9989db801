//! Batches of pixels, made in the background and handed over in order.
//!
//! The consumer gives out jobs and keeps, for each, the end of a channel on which its batch will arrive. So the order needs no
//! sorting, at most `threads + 2` batches exist at a time, and a thread that dies is an error where its batch was due, not a
//! hang. What a batch holds depends on its job alone, never on the number of threads.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use mixbench_crds::training::{EvalTransform, TrainTransform};

use super::crop::draw_crop;
use super::error::DataError;
use super::order::{Order, micro_indices};
use super::source::{Source, Split};
use super::transform::{Scratch, eval_pixels, train_pixels};

/// Which batch of a run: the address of its draws.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct BatchId {
    /// Epoch, from 0.
    pub epoch: u32,
    /// Step of the epoch, or batch of a validation; from 0.
    pub step: u64,
    /// Micro-batch of the step, counted over all ranks; from 0.
    pub micro: u32,
}

/// A batch to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its address.
    pub id: BatchId,
    /// Its images, by index in the split; at least one.
    pub indices: Vec<usize>,
}

/// What is done to each image, and with that, which split it is of.
#[derive(Clone, Debug)]
pub enum Augment {
    /// Random crop and flip of training images, drawn under `seed`.
    Train {
        /// The recipe's transform.
        transform: TrainTransform,
        /// The run's seed.
        seed: u64,
    },
    /// The fixed crop of validation images.
    Eval(EvalTransform),
}

impl Augment {
    /// The split that it is for.
    pub const fn split(&self) -> Split {
        match self {
            Self::Train { .. } => Split::Train,
            Self::Eval(_) => Split::Val,
        }
    }

    /// Side of the resulting squares, in pixels.
    pub const fn side(&self) -> usize {
        match self {
            Self::Train { transform, .. } => transform.crop.size() as usize,
            Self::Eval(transform) => transform.crop as usize,
        }
    }
}

/// A batch in host memory. Its pixel buffer goes back to the loader when it is dropped.
#[derive(Debug, Default)]
pub struct HostBatch {
    /// Its address.
    pub id: BatchId,
    /// `n · h · w · c` bytes, NHWC.
    pub pixels: Vec<u8>,
    /// Class of each image.
    pub labels: Vec<i64>,
    /// Index of each image in its split.
    pub indices: Vec<usize>,
    /// Images.
    pub n: usize,
    /// Rows.
    pub h: usize,
    /// Columns.
    pub w: usize,
    /// Channels: 3.
    pub c: usize,
    home: Option<Sender<Vec<u8>>>,
}

impl Drop for HostBatch {
    fn drop(&mut self) {
        if let Some(home) = &self.home {
            // A full or deserted pool just frees the buffer.
            let _ = home.try_send(std::mem::take(&mut self.pixels));
        }
    }
}

/// The training jobs of the batches `ids`, over `n` images in the order of `seed`.
pub fn train_jobs(
    seed: u64,
    n: usize,
    global_batch: usize,
    micro_batch: usize,
    ids: impl IntoIterator<Item = BatchId>,
) -> impl Iterator<Item = Job> {
    let mut current: Option<(u32, Order)> = None;
    ids.into_iter().map(move |id| {
        let (_, order) = match current.take() {
            Some(kept) if kept.0 == id.epoch => current.insert(kept),
            _ => current.insert((id.epoch, Order::new(seed, id.epoch, n))),
        };
        Job { id, indices: micro_indices(order, id.step as usize, global_batch, id.micro as usize, micro_batch) }
    })
}

/// The validation jobs of the images `range`, each once; the last batch may be smaller.
pub fn eval_jobs(range: std::ops::Range<usize>, batch: usize) -> impl Iterator<Item = Job> {
    (0..range.len().div_ceil(batch)).map(move |step| {
        let first = range.start + step * batch;
        let id = BatchId { step: step as u64, ..BatchId::default() };
        Job { id, indices: (first..range.end.min(first + batch)).collect() }
    })
}

/// What all threads of a loader share.
struct Shared {
    source: Arc<dyn Source>,
    augment: Augment,
    stop: AtomicBool,
    home: Sender<Vec<u8>>,
    spare: Receiver<Vec<u8>>,
}

type Answer = Result<HostBatch, DataError>;

/// An iterator over the batches of its jobs, in their order. After an error it ends.
pub struct Loader {
    shared: Arc<Shared>,
    jobs: Box<dyn Iterator<Item = Job> + Send>,
    /// To the threads; `None` makes batches in the calling thread.
    hand_out: Option<Sender<(Job, Sender<Answer>)>>,
    due: VecDeque<Receiver<Answer>>,
    depth: usize,
    threads: Vec<JoinHandle<()>>,
    scratch: Scratch,
    failed: bool,
}

impl Loader {
    /// Starts `threads` threads (0: batches are made in the thread that asks) on the first jobs.
    pub fn new(
        source: Arc<dyn Source>,
        augment: Augment,
        jobs: impl Iterator<Item = Job> + Send + 'static,
        threads: usize,
    ) -> Result<Self, DataError> {
        let depth = if threads == 0 { 0 } else { threads + 2 };
        let (home, spare) = bounded(depth + 2);
        let shared = Arc::new(Shared { source, augment, stop: AtomicBool::new(false), home, spare });
        let mut loader = Self {
            shared,
            jobs: Box::new(jobs),
            hand_out: None,
            due: VecDeque::with_capacity(depth),
            depth,
            threads: Vec::with_capacity(threads),
            scratch: Scratch::default(),
            failed: false,
        };
        if threads > 0 {
            let (hand_out, take) = bounded::<(Job, Sender<Answer>)>(depth);
            loader.hand_out = Some(hand_out);
            for number in 0..threads {
                let (shared, take) = (Arc::clone(&loader.shared), take.clone());
                let work = move || {
                    let mut scratch = Scratch::default();
                    for (job, answer) in take {
                        // Nobody listens any more when the loader was dropped.
                        let _ = answer.send(shared.make(job, &mut scratch));
                    }
                };
                let thread = std::thread::Builder::new().name(format!("loader-{number}")).spawn(work);
                loader.threads.push(thread.map_err(|source| DataError::Spawn { threads, source })?);
            }
            loader.top_up();
        }
        Ok(loader)
    }

    fn top_up(&mut self) {
        let Some(hand_out) = &self.hand_out else { return };
        while self.due.len() < self.depth {
            let Some(job) = self.jobs.next() else { return };
            let (answer, due) = bounded(1);
            self.due.push_back(due);
            if hand_out.send((job, answer)).is_err() {
                return; // All threads are gone; the answer that is due says so.
            }
        }
    }
}

impl Iterator for Loader {
    type Item = Answer;

    fn next(&mut self) -> Option<Answer> {
        if self.failed {
            return None;
        }
        let answer = if self.hand_out.is_some() {
            self.top_up();
            let answer = self.due.pop_front()?.recv().unwrap_or(Err(DataError::Thread));
            self.top_up();
            answer
        } else {
            let job = self.jobs.next()?;
            self.shared.make(job, &mut self.scratch)
        };
        self.failed = answer.is_err();
        Some(answer)
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.hand_out = None;
        for thread in self.threads.drain(..) {
            // A panic was reported where its batch was due.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn make(&self, job: Job, scratch: &mut Scratch) -> Answer {
        let Job { id, indices } = job;
        let (split, side) = (self.augment.split(), self.augment.side());
        let mut batch = HostBatch {
            id,
            pixels: self.spare.try_recv().unwrap_or_default(),
            labels: indices.iter().map(|&index| self.source.label(split, index)).collect(),
            n: indices.len(),
            h: side,
            w: side,
            c: 3,
            indices,
            home: Some(self.home.clone()),
        };
        let bytes = side * side * 3;
        batch.pixels.resize(batch.n * bytes, 0);
        for (&index, out) in batch.indices.iter().zip(batch.pixels.chunks_exact_mut(bytes)) {
            if self.stop.load(Ordering::Relaxed) {
                return Err(DataError::Thread);
            }
            let image = self.source.image(split, index)?;
            match &self.augment {
                Augment::Train { transform, seed } => {
                    let crop =
                        draw_crop(transform, (image.width, image.height), *seed, id.epoch, index as u64).map_err(
                            |source| DataError::Crop { name: self.source.name(split, index), split, index, source },
                        )?;
                    train_pixels(&image, &crop, transform, scratch, out);
                }
                Augment::Eval(transform) => eval_pixels(&image, transform, scratch, out),
            }
        }
        Ok(batch)
    }
}

#[cfg(test)]
mod tests;
