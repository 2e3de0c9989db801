//! mixbench-trainer: data-parallel training of one run over libtorch.

pub mod data;
pub mod rng;
