//! Why a training process ends without a result.

use mixbench_crds::event::Position;
use mixbench_crds::exit::Exit;

use crate::backbones::BackboneError;
use crate::checkpoint::CheckpointError;
use crate::collective::CollectiveError;
use crate::data::DataError;
use crate::device::DeviceError;
use crate::failure;
use crate::methods::MethodError;
use crate::optim::OptimError;

/// Why a training process ends without a result; [`TrainError::exit`] is its exit code.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// Stopped on request: no failure, and the [`Stopped`](mixbench_crds::event::Body::Stopped) event is already sent.
    #[error("stopped on request in epoch {} after step {}", .0.epoch, .0.step)]
    Stopped(Position),
    /// The global batch cannot be shared out.
    #[error(
        "globalBatch {global} is not a whole number of microBatch {micro} × {world_size} process(es); \
         change one of them so that globalBatch ÷ (microBatch × processes) is 1, 2, 3, …"
    )]
    Batch {
        /// Images of a step.
        global: u32,
        /// Images of a forward pass.
        micro: u32,
        /// Processes.
        world_size: u32,
    },
    /// The processes that have met are not those of the run.
    #[error(
        "the run is for {wanted} processes, but {found} were started; start it with `mixbench-trainer launch`, which counts them itself"
    )]
    World {
        /// Processes of the run.
        wanted: u32,
        /// Processes that have met.
        found: u32,
    },
    /// No such device, or it cannot be used.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The backbone cannot be built.
    #[error(transparent)]
    Backbone(#[from] BackboneError),
    /// The method cannot be built.
    #[error(transparent)]
    Method(#[from] MethodError),
    /// The data cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The data are not those that the manifest names.
    #[error(
        "the data at {uri} have sha256 {found}, but the manifest says {wanted}; give it the right data, or correct data.sha256"
    )]
    Fingerprint {
        /// Where the data lie.
        uri: String,
        /// What they are.
        found: String,
        /// What they should be.
        wanted: String,
    },
    /// The processes see different data.
    #[error(
        "rank {rank} sees data with fingerprint {mine}, rank 0 sees {theirs}; every machine must have the same data under the same path"
    )]
    DataDiffer {
        /// This process.
        rank: u32,
        /// Its data.
        mine: String,
        /// Rank 0's data.
        theirs: String,
    },
    /// A checkpoint cannot be written or used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A saved optimizer state that does not fit.
    #[error("{0}")]
    OptimizerState(String),
    /// The loss or the weights are no longer finite.
    #[error(
        "{what} is not finite in epoch {} at step {} (of {steps}, from 0); the last checkpoint holds finite weights. A lower learning rate, a longer \
         warm-up, clipGradNorm or another precision may help",
        .at.epoch, .at.step
    )]
    Diverged {
        /// What it was seen in, with the value.
        what: String,
        /// The step it was seen at, counted from 0.
        at: Position,
        /// Steps of an epoch.
        steps: u64,
    },
    /// A peer died or hung.
    #[error("{0}; another process of this run has probably ended, see its message")]
    Collective(#[from] CollectiveError),
    /// Memory ran out.
    #[error(
        "out of memory: {0}; use a smaller microBatch (the global batch is then summed over more micro-batches, but BatchNorm sees fewer images)"
    )]
    OutOfMemory(String),
    /// libtorch refused an operation.
    #[error("libtorch: {0}")]
    Torch(String),
}

impl TrainError {
    /// The exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Stopped(_) => Exit::Stopped,
            Self::Batch { .. } | Self::World { .. } | Self::Device(_) | Self::Backbone(_) | Self::Method(_) => {
                Exit::Config
            }
            Self::Data(e) => e.exit(),
            Self::Fingerprint { .. } | Self::DataDiffer { .. } | Self::OptimizerState(_) => Exit::Data,
            Self::Checkpoint(e) => e.exit(),
            Self::Diverged { .. } => Exit::Diverged,
            Self::Collective(_) => Exit::Collective,
            Self::OutOfMemory(_) => Exit::OutOfMemory,
            Self::Torch(_) => Exit::Internal,
        }
    }

    /// What a failure inside libtorch means, by its words: it has one kind of exception for everything.
    pub(super) fn torch(message: &str) -> Self {
        match failure::classify(message) {
            Exit::OutOfMemory => Self::OutOfMemory(failure::plain(message)),
            _ => Self::Torch(failure::plain(message)),
        }
    }
}

impl From<nccl_rs::Error> for TrainError {
    fn from(error: nccl_rs::Error) -> Self {
        match error {
            nccl_rs::Error::Torch(message) => Self::torch(&message),
            other => Self::Collective(CollectiveError::Lost(other)),
        }
    }
}

impl From<OptimError> for TrainError {
    fn from(error: OptimError) -> Self {
        match error {
            OptimError::State(_) => Self::OptimizerState(error.to_string()),
            OptimError::Torch(e) => e.into(),
        }
    }
}

impl From<tch::TchError> for TrainError {
    fn from(error: tch::TchError) -> Self {
        Self::torch(&error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn want_of_memory_is_told_from_other_failures_of_libtorch() {
        for (message, exit) in [
            ("CUDA out of memory. Tried to allocate 2 GiB\nframes", Exit::OutOfMemory),
            (
                "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried",
                Exit::OutOfMemory,
            ),
            ("shape '[3]' is invalid", Exit::Internal),
        ] {
            assert_eq!(TrainError::torch(message).exit(), exit, "{message}");
        }
    }
}
