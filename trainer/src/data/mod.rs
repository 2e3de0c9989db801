//! From bytes on a disk to batches of pixels.

pub mod crop;
pub mod decode;
#[cfg(test)]
mod golden;
pub mod image;
pub mod order;
pub mod resize;
pub mod transform;
