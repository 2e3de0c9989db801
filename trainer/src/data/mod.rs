//! From bytes on a disk to batches of pixels.

mod builtin;
pub mod crop;
pub mod datasets;
pub mod decode;
pub mod error;
mod folder;
#[cfg(test)]
mod golden;
mod idx;
pub mod image;
pub mod loader;
pub mod order;
pub mod resize;
pub mod source;
pub mod transform;

pub use datasets::DATASETS;
pub use error::DataError;
pub use image::Image;
pub use loader::{Augment, BatchId, HostBatch, Loader};
pub use source::{SOURCES, Source, Split, open};
