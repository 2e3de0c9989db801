//! Every random draw of a run, addressed by what it is for and never by who makes it.
//!
//! A [`Key`] says which draw is meant (seed, [`Stream`], epoch, step or sample, micro-batch); [`Key::rng`] is the generator
//! of exactly that draw. Rank, thread and order of execution take no part, so that one process that accumulates two
//! micro-batches and two processes with one each make the same run, and a resumed run needs no generator state.
//!
//! ```
//! use mixbench_trainer::rng::{Key, Stream};
//! let lam = Key::new(42, Stream::Lam).step(3, 17, 0).rng().beta(0.2, 0.2);
//! assert!((0.0..=1.0).contains(&lam));
//! ```

use std::sync::{Mutex, MutexGuard, PoisonError};

mod distributions;
#[cfg(test)]
mod golden;
mod philox;

pub use philox::philox4x32_10;

/// What a draw is for. Two uses never share a stream, so that adding a draw to one cannot move another.
///
/// The numbers are part of every published result: append, never renumber, never reuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::EnumIter, strum::IntoStaticStr)]
#[repr(u32)]
pub enum Stream {
    /// The order of an epoch; keyed by (seed, epoch).
    Order = 1,
    /// Place and size of a random crop; keyed by sample.
    Crop = 2,
    /// Whether an image is mirrored; keyed by sample.
    Flip = 3,
    /// Which of several mixing modes a step uses.
    Mode = 16,
    /// The mixing ratio lam.
    Lam = 17,
    /// Who is mixed with whom.
    Perm = 18,
    /// Place of a pasted box.
    BBox = 19,
    /// Any other mask over the image.
    Mask = 20,
    /// Initial weights; keyed by (seed, index of the parameter).
    Init = 32,
    /// Seeds of libtorch's own generator, for dropout and drop path.
    Torch = 33,
}

/// The address of a draw. Fields that a use has no need of stay zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The run's seed.
    pub seed: u64,
    /// What the draw is for.
    pub stream: Stream,
    /// Epoch, counted from 0.
    pub epoch: u32,
    /// Step within the epoch, or sample index within the data set.
    pub index: u64,
    /// Micro-batch within the step, counted over all ranks.
    pub micro: u32,
}

impl Key {
    /// The key of a stream at epoch 0, index 0, micro-batch 0.
    pub const fn new(seed: u64, stream: Stream) -> Self {
        Self { seed, stream, epoch: 0, index: 0, micro: 0 }
    }

    /// The same stream at a micro-batch of a step of an epoch.
    #[must_use]
    pub const fn step(self, epoch: u32, step: u64, micro: u32) -> Self {
        Self { epoch, index: step, micro, ..self }
    }

    /// The same stream at a sample of an epoch.
    #[must_use]
    pub const fn sample(self, epoch: u32, index: u64) -> Self {
        Self { epoch, index, micro: 0, ..self }
    }

    /// The generator of this key, at its start.
    pub const fn rng(self) -> Rng {
        // The address is wider than Philox's counter. One more evaluation folds what is coarse (stream, epoch, micro-batch)
        // into a key of its own; the fine part stays a counter, where different values cannot collide.
        let seed = [self.seed as u32, (self.seed >> 32) as u32];
        let [k0, k1, salt, _] = philox4x32_10([self.stream as u32, self.epoch, self.micro, DOMAIN], seed);
        Rng { key: [k0, k1], counter: [0, self.index as u32, (self.index >> 32) as u32, salt], block: [0; 4], used: 4 }
    }

    /// A seed for libtorch's generator (`tch::manual_seed`), never negative.
    pub const fn torch_seed(self) -> i64 {
        (self.rng().next_u64() >> 1).cast_signed()
    }
}

/// Whoever seeds libtorch's generator and draws from it holds this meanwhile: the generator belongs to the process, and where several ranks are
/// threads of one, another would seed it in between.
pub(crate) fn torch_generator() -> MutexGuard<'static, ()> {
    static GENERATOR: Mutex<()> = Mutex::new(());
    GENERATOR.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps this use of Philox apart from any other use of it under the same seed: "mixb".
const DOMAIN: u32 = 0x6d69_7862;

/// A sequence of at least 2³⁴ independent 32-bit words, made by [`Key::rng`].
#[derive(Clone, Debug)]
pub struct Rng {
    key: [u32; 2],
    counter: [u32; 4],
    block: [u32; 4],
    used: usize,
}

impl Rng {
    /// 32 uniform bits.
    pub const fn next_u32(&mut self) -> u32 {
        if self.used == 4 {
            self.block = philox4x32_10(self.counter, self.key);
            self.counter[0] = self.counter[0].wrapping_add(1);
            self.used = 0;
        }
        self.used += 1;
        self.block[self.used - 1]
    }

    /// 64 uniform bits.
    pub const fn next_u64(&mut self) -> u64 {
        let low = self.next_u32() as u64;
        low | (self.next_u32() as u64) << 32
    }

    /// Uniform in `[0, 1)`, a multiple of 2⁻⁵³.
    pub const fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform in `0..n`, without bias (Lemire, "Fast Random Integer Generation in an Interval", 2019).
    ///
    /// # Panics
    /// If `n` is 0: there is nothing to choose from.
    pub const fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "Rng::below needs n > 0");
        let reject = n.wrapping_neg() % n;
        loop {
            let product = self.next_u64() as u128 * n as u128;
            if product as u64 >= reject {
                return (product >> 64) as u64;
            }
        }
    }

    /// A uniform permutation of `0..n` (Fisher and Yates), as indices for libtorch.
    pub fn permutation(&mut self, n: usize) -> Vec<i64> {
        let mut items: Vec<i64> = (0_i64..).take(n).collect();
        for last in (1..n).rev() {
            let other = self.below(last as u64 + 1) as usize;
            items.swap(last, other);
        }
        items
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;
    use strum::IntoEnumIterator;

    #[test]
    fn every_part_of_a_key_makes_another_draw() {
        let mut keys = Vec::new();
        for stream in Stream::iter() {
            for (seed, epoch, index, micro) in [
                (0, 0, 0, 0),
                (1, 0, 0, 0),
                (1 << 32, 0, 0, 0),
                (0, 1, 0, 0),
                (0, 0, 1, 0),
                (0, 0, 1 << 32, 0),
                (0, 0, 0, 1),
            ] {
                keys.push(Key { seed, stream, epoch, index, micro });
            }
        }
        let draws: HashSet<u64> = keys.iter().map(|key| key.rng().next_u64()).collect();
        assert_eq!(draws.len(), keys.len());
    }

    #[test]
    fn uniform_has_the_mean_and_variance_of_the_unit_interval() {
        let mut rng = Key::new(7, Stream::Lam).rng();
        let n = 100_000;
        let draws: Vec<f64> = (0..n).map(|_| rng.uniform()).collect();
        let mean = draws.iter().sum::<f64>() / f64::from(n);
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(n);
        assert!((mean - 0.5).abs() < 4.0 * (1.0f64 / 12.0 / f64::from(n)).sqrt(), "{mean}");
        assert!((variance - 1.0 / 12.0).abs() < 1e-3, "{variance}");
    }

    #[test]
    fn permutations_of_four_are_equally_frequent() {
        let mut counts = std::collections::HashMap::new();
        let n = 24_000;
        for step in 0..n {
            *counts.entry(Key::new(0, Stream::Perm).step(0, step, 0).rng().permutation(4)).or_insert(0u32) += 1;
        }
        assert_eq!(counts.len(), 24);
        let chi2: f64 = counts.values().map(|&c| (f64::from(c) - 1000.0).powi(2) / 1000.0).sum();
        assert!(chi2 < 49.7, "chi² {chi2} with 23 degrees of freedom: p < 0.001");
    }

    #[test]
    #[should_panic(expected = "n > 0")]
    fn nothing_cannot_be_chosen_from() {
        Key::new(0, Stream::Lam).rng().below(0);
    }

    proptest! {
        #[test]
        fn below_stays_below(seed: u64, n in 1u64..) {
            prop_assert!(Key::new(seed, Stream::BBox).rng().below(n) < n);
        }

        #[test]
        fn a_permutation_holds_each_index_once(seed: u64, n in 0usize..300) {
            let mut items = Key::new(seed, Stream::Perm).rng().permutation(n);
            items.sort_unstable();
            prop_assert!(items.iter().copied().eq((0_i64..).take(n)));
        }

        #[test]
        fn torch_seeds_are_not_negative(seed: u64, epoch: u32, step: u64, micro: u32) {
            prop_assert!(Key::new(seed, Stream::Torch).step(epoch, step, micro).torch_seed() >= 0);
        }
    }
}
