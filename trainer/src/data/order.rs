//! The order in which an epoch visits the images: a keyed permutation that is computed, not stored.
//!
//! No list lies in memory, and any position can be asked for, so a run resumes at any step by arithmetic alone. The
//! permutation is a Feistel network over the smallest even number of bits that holds `n`, walked along its cycle until it
//! falls below `n` (Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002).

use crate::rng::{Key, Rng, Stream};

/// Enough that even orders of a handful of images look uniform (tested below); for large sets four would do.
const ROUNDS: usize = 8;

/// A permutation of `0..n` of one epoch of one seed.
#[derive(Clone, Debug)]
pub struct Order {
    n: usize,
    half_bits: u32,
    rounds: [u32; 2 * ROUNDS],
}

impl Order {
    /// The order of `epoch` (from 0) over `n` images.
    ///
    /// # Panics
    /// If `n` is 0: an empty data set is refused when it is opened.
    pub fn new(seed: u64, epoch: u32, n: usize) -> Self {
        assert!(n > 0, "an order needs at least one image");
        let bits = usize::BITS - (n - 1).leading_zeros();
        let mut rng = Key::new(seed, Stream::Order).step(epoch, 0, 0).rng();
        Self { n, half_bits: bits.div_ceil(2).max(1), rounds: std::array::from_fn(|_| Rng::next_u32(&mut rng)) }
    }

    /// How many images the order holds.
    pub const fn len(&self) -> usize {
        self.n
    }

    /// Never: an order holds at least one image.
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// The image at position `position` of the epoch.
    ///
    /// # Panics
    /// If `position` is `n` or more.
    pub fn get(&self, position: usize) -> usize {
        assert!(position < self.n, "position {position} of an order of {}", self.n);
        let mut x = position as u64;
        loop {
            x = self.encrypt(x);
            if x < self.n as u64 {
                return x as usize;
            }
        }
    }

    /// One pass of the network: a bijection of `0..2^(2 half_bits)`.
    fn encrypt(&self, x: u64) -> u64 {
        let mask = (1u64 << self.half_bits) - 1;
        let (mut left, mut right) = (x >> self.half_bits, x & mask);
        for keys in self.rounds.chunks_exact(2) {
            (left, right) = (right, left ^ (mix(right as u32, keys[0], keys[1]) & mask));
        }
        left << self.half_bits | right
    }
}

/// A round function: the finaliser of MurmurHash3 over 64 bits, which spreads each bit of its input over all of its output.
const fn mix(half: u32, key_low: u32, key_high: u32) -> u64 {
    let mut h = half as u64 ^ (key_low as u64 | (key_high as u64) << 32);
    h = (h ^ h >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    h = (h ^ h >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    h ^ h >> 33
}

/// How many steps an epoch of `n` images takes: the last one is filled up, never dropped.
pub const fn steps_per_epoch(n: usize, global_batch: usize) -> usize {
    n.div_ceil(global_batch)
}

/// The images of step `step` (from 0): `order[step · G .. (step + 1) · G]`, the tail filled from the start of the order.
pub fn batch_indices(order: &Order, step: usize, global_batch: usize) -> Vec<usize> {
    let first = step * global_batch;
    (first..first + global_batch).map(|position| order.get(position % order.len())).collect()
}

/// The images of micro-batch `micro` (from 0, counted over all ranks) of a step: a consecutive piece of its batch.
pub fn micro_indices(order: &Order, step: usize, global_batch: usize, micro: usize, micro_batch: usize) -> Vec<usize> {
    let first = step * global_batch + micro * micro_batch;
    (first..first + micro_batch).map(|position| order.get(position % order.len())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_epoch_with_a_tail_pads_from_its_start() {
        let order = Order::new(1, 0, 10);
        assert_eq!(steps_per_epoch(10, 4), 3);
        let last = batch_indices(&order, 2, 4);
        assert_eq!(last, [order.get(8), order.get(9), order.get(0), order.get(1)]);
    }

    #[test]
    fn a_batch_larger_than_the_data_goes_round() {
        let order = Order::new(1, 0, 3);
        let batch = batch_indices(&order, 0, 8);
        assert_eq!(batch[..3], batch[3..6]);
        assert_eq!(batch[..2], batch[6..]);
    }

    #[test]
    fn small_orders_are_close_to_uniform() {
        for n in [2usize, 3, 5, 10, 17] {
            let epochs = 4000u32;
            let mut counts = vec![vec![0u32; n]; n];
            for epoch in 0..epochs {
                let order = Order::new(0, epoch, n);
                (0..n).for_each(|i| counts[i][order.get(i)] += 1);
            }
            let expected = f64::from(epochs) / n as f64;
            let chi2: f64 = counts.iter().flatten().map(|&c| (f64::from(c) - expected).powi(2) / expected).sum();
            let freedom = ((n - 1) * (n - 1)) as f64;
            assert!(chi2 < freedom + 4.0 * (2.0 * freedom).sqrt() + 6.0, "n = {n}: chi² {chi2}, {freedom} degrees");
        }
    }

    proptest! {
        #[test]
        fn an_order_is_a_bijection(seed: u64, epoch: u32, n in 1usize..3000) {
            let order = Order::new(seed, epoch, n);
            let mut seen = vec![false; n];
            for i in 0..n {
                prop_assert!(!std::mem::replace(&mut seen[order.get(i)], true));
            }
        }

        #[test]
        fn large_orders_stay_in_range_and_apart(seed: u64, n in 1_000_000usize..1 << 40, i: usize, j: usize) {
            let (order, i, j) = (Order::new(seed, 0, n), i % n, j % n);
            prop_assert!(order.get(i) < n);
            prop_assert_eq!(i == j, order.get(i) == order.get(j));
        }

        #[test]
        fn micro_batches_are_the_batch_cut_in_pieces(seed: u64, n in 1usize..500, step in 0usize..9, micro in 1usize..7, count in 1usize..5) {
            let order = Order::new(seed, 1, n);
            let whole = batch_indices(&order, step, micro * count);
            let pieces: Vec<usize> = (0..count).flat_map(|m| micro_indices(&order, step, micro * count, m, micro)).collect();
            prop_assert_eq!(whole, pieces);
        }

        #[test]
        fn an_epoch_visits_every_image(n in 1usize..300, batch in 1usize..64) {
            let order = Order::new(9, 2, n);
            let mut seen = vec![false; n];
            for step in 0..steps_per_epoch(n, batch) {
                for i in batch_indices(&order, step, batch) {
                    seen[i] = true;
                }
            }
            prop_assert!(seen.into_iter().all(|s| s));
        }
    }
}
