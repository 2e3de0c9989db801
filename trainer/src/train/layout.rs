//! Which images which process learns from, and when: arithmetic only.
//!
//! A step of an epoch takes the next `globalBatch` images of the epoch's order and cuts them into consecutive micro-batches. Of the W·A
//! micro-batches of a step, rank r takes r·A .. (r+1)·A, so that W processes that accumulate A micro-batches each and one process that accumulates
//! W·A compute the same sum in nearly the same order.

use std::ops::Range;

use mixbench_crds::event::Position;
use mixbench_crds::training::Training;

use super::TrainError;
use crate::data::loader::{self, BatchId, Job};
use crate::data::order;

/// The steps of an epoch and this process's part in each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    images: usize,
    global_batch: usize,
    micro_batch: usize,
    accumulation: u32,
    rank: u32,
    seed: u64,
}

impl Layout {
    /// The part of rank `rank` of `world_size` in epochs of `images` images.
    ///
    /// # Errors
    /// [`TrainError::Batch`] if the global batch is not a whole number of micro-batches for each process.
    pub(super) fn new(
        training: &Training,
        images: usize,
        rank: u32,
        world_size: u32,
        seed: u64,
    ) -> Result<Self, TrainError> {
        let accumulation = training.accumulation(world_size).ok_or(TrainError::Batch {
            global: training.global_batch,
            micro: training.micro_batch,
            world_size,
        })?;
        let (global_batch, micro_batch) = (training.global_batch as usize, training.micro_batch as usize);
        Ok(Self { images, global_batch, micro_batch, accumulation, rank, seed })
    }

    /// Steps of an epoch.
    pub(super) fn steps(&self) -> u64 {
        order::steps_per_epoch(self.images, self.global_batch) as u64
    }

    /// Micro-batches that this process sums in a step.
    pub(super) fn accumulation(&self) -> u32 {
        self.accumulation
    }

    /// Images that all processes see in a step.
    pub(super) fn images_per_step(&self) -> u64 {
        self.global_batch as u64
    }

    /// Images that all processes have seen at `position`, padding included.
    pub(super) fn images_at(&self, position: Position) -> u64 {
        (u64::from(position.epoch) * self.steps() + position.step) * self.images_per_step()
    }

    /// This process's micro-batches of an epoch from step `from` on.
    pub(super) fn jobs(&self, epoch: u32, from: u64) -> impl Iterator<Item = Job> + Send + use<> {
        let mine: Range<u32> = self.rank * self.accumulation..(self.rank + 1) * self.accumulation;
        let ids =
            (from..self.steps()).flat_map(move |step| mine.clone().map(move |micro| BatchId { epoch, step, micro }));
        loader::train_jobs(self.seed, self.images, self.global_batch, self.micro_batch, ids)
    }
}

/// Validation batches of `batch` images out of `images` that rank `rank` of `world_size` looks at: every image once over all ranks, in batches that
/// are the same whatever the world is, so that their logits are.
pub(super) fn eval_jobs(images: usize, batch: usize, rank: u32, world_size: u32) -> impl Iterator<Item = Job> + Send {
    loader::eval_jobs(0..images, batch.max(1)).skip(rank as usize).step_by(world_size as usize)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::checkpoint::test_spec;
    use proptest::prelude::*;

    fn layout(global: u32, micro: u32, images: usize, rank: u32, world_size: u32) -> Result<Layout, TrainError> {
        let training = Training { global_batch: global, micro_batch: micro, ..test_spec().training };
        Layout::new(&training, images, rank, world_size, 7)
    }

    #[test]
    fn an_indivisible_batch_is_refused_with_all_three_numbers() {
        let message = layout(12, 5, 100, 0, 2).unwrap_err().to_string();
        assert!(message.contains("12") && message.contains('5') && message.contains('2'), "{message}");
        assert!(layout(8, 8, 100, 0, 2).is_err(), "a batch too small for the world");
    }

    #[test]
    fn an_epoch_can_be_entered_at_any_step() {
        let layout = layout(6, 2, 20, 0, 1).unwrap();
        assert_eq!((layout.steps(), layout.images_at(Position { epoch: 2, step: 1 })), (4, 54));
        let all: Vec<_> = layout.jobs(3, 0).collect();
        assert_eq!(all.len(), 12);
        assert_eq!(layout.jobs(3, 2).collect::<Vec<_>>(), all[6..]);
        assert_eq!(layout.jobs(3, 4).count(), 0);
    }

    proptest! {
        #[test]
        fn ranks_share_a_step_without_overlap(world in 1u32..5, accumulation in 1u32..4, micro in 1u32..6, images in 1usize..80) {
            let global = world * accumulation * micro;
            let jobs = |rank, world| layout(global, micro, images, rank, world).unwrap().jobs(0, 0).collect::<Vec<_>>();
            let mut all: Vec<_> = (0..world).flat_map(|rank| jobs(rank, world)).collect();
            all.sort_by_key(|job| (job.id.step, job.id.micro));
            prop_assert_eq!(all, jobs(0, 1));
        }

        #[test]
        fn every_validation_image_is_counted_once_in_the_same_batches(world in 1u32..5, batch in 1usize..9, images in 1usize..60) {
            let mut all: Vec<_> = (0..world).flat_map(|rank| eval_jobs(images, batch, rank, world)).collect();
            all.sort_by_key(|job| job.id.step);
            prop_assert_eq!(&all, &eval_jobs(images, batch, 0, 1).collect::<Vec<_>>());
            prop_assert_eq!(all.into_iter().flat_map(|job| job.indices).collect::<Vec<_>>(), (0..images).collect::<Vec<_>>());
        }
    }
}
