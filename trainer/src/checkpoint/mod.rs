//! Checkpoints, format v1: everything that a run needs to go on as if nothing had happened, in one safetensors file.
//!
//! The file's metadata hold a JSON [`Header`] under `mixbench` and, under `sha256`, a digest of that header and of every tensor. Tensors:
//!
//! | name | what |
//! |---|---|
//! | `model/NAME` | trainable parameters, named as torchvision names them |
//! | `buffer/NAME` | BatchNorm statistics (rank 0's, which are everyone's at the end of an epoch) |
//! | `optim/NAME` | the optimizer's state |
//! | `method/NAME` | a method's own state |
//! | `rank/R/buffer/NAME` | what rank R holds instead of `buffer/NAME` in the middle of an epoch |
//!
//! Weights load into torchvision without any code of ours:
//!
//! ```python
//! from safetensors.torch import load_file
//! tensors = load_file("epoch-0100-step-000000.safetensors")
//! state = {name.split("/", 1)[1]: t for name, t in tensors.items() if name.startswith(("model/", "buffer/"))}
//! torchvision.models.resnet18(num_classes=1000).load_state_dict(state, strict=False)   # lacks only num_batches_tracked
//! ```
//!
//! A file appears under its name only when it is complete and on the disk; older files go only after that.

mod blob;
mod error;
mod file;
mod header;
mod store;
mod writer;

use std::collections::BTreeMap;

pub use blob::Blob;
pub use error::CheckpointError;
pub use file::{decode, read, weights, weights_sha256, write};
#[cfg(test)]
pub(crate) use header::tests::spec as test_spec;
pub use header::{CHECKPOINT_VERSION, Header};
pub use store::{Found, Store, file_name};
pub use writer::{Writer, Written};

/// Tensors by name, on the host.
pub type Tensors = BTreeMap<String, Blob>;

/// Name prefix of trainable parameters.
pub const MODEL: &str = "model/";
/// Name prefix of BatchNorm statistics.
pub const BUFFER: &str = "buffer/";
/// Name prefix of the optimizer's state.
pub const OPTIM: &str = "optim/";
/// Name prefix of a method's own state.
pub const METHOD: &str = "method/";

/// A checkpoint in host memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// What the file says of itself.
    pub header: Header,
    /// Every tensor.
    pub tensors: Tensors,
}

impl Checkpoint {
    /// The tensors under a prefix such as [`MODEL`], named without it.
    pub fn section<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a Blob)> {
        self.tensors.iter().filter_map(move |(name, blob)| Some((name.strip_prefix(prefix)?, blob)))
    }

    /// Name of the tensor that rank `rank` holds as BatchNorm statistic `name` in the middle of an epoch.
    pub fn rank_buffer(rank: u32, name: &str) -> String {
        if rank == 0 { format!("{BUFFER}{name}") } else { format!("rank/{rank}/{BUFFER}{name}") }
    }
}
