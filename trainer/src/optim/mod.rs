//! From logits to a step: the loss, the learning rate over time, and the optimizer.

pub mod loss;
pub mod schedule;
mod sgd;

pub use sgd::{OptimError, Sgd};
