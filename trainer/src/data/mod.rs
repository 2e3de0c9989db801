//! From bytes on a disk to batches of pixels.

pub mod order;
