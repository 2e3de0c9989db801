//! What can be wrong with a checkpoint.

use std::io;
use std::path::{Path, PathBuf};

use mixbench_crds::exit::Exit;

use super::CHECKPOINT_VERSION;

/// Why a checkpoint was not written or cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Nothing can be created there.
    #[error("cannot write in {path}: {source}; choose a folder that this user may write to")]
    CannotCreate {
        /// The folder or file.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// Reading or writing failed midway.
    #[error("{path}: {source}; earlier checkpoints are intact, so the run goes on from them once there is room")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// A file that was named cannot be read.
    #[error("cannot read checkpoint {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// Truncated, altered, or no checkpoint.
    #[error("{path} is not a complete checkpoint: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// Another format version.
    #[error(
        "{path} has checkpoint version {found}, this build reads {CHECKPOINT_VERSION}; use the release of mixbench that wrote it"
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
    /// Of another run or model.
    #[error(
        "{path} is of another run ({run}): {differs}; nothing was changed, name a checkpoint of this run or another output folder"
    )]
    OtherRun {
        /// The file.
        path: PathBuf,
        /// Id of the run that wrote it.
        run: String,
        /// What differs, with both values.
        differs: String,
    },
    /// The weights do not fit the network.
    #[error(
        "{path} does not fit {backbone} with {classes} classes: {differs}; nothing was changed, name a checkpoint of this model"
    )]
    OtherModel {
        /// The file.
        path: PathBuf,
        /// The network.
        backbone: String,
        /// Its classes.
        classes: i64,
        /// What differs.
        differs: String,
    },
    /// Of other data than the run has now.
    #[error(
        "{path} was trained on data with fingerprint {found}, but the data now have {now}; nothing was changed, give the run the data that it began with"
    )]
    OtherData {
        /// The file.
        path: PathBuf,
        /// Fingerprint in the checkpoint.
        found: String,
        /// Fingerprint of the data that were opened.
        now: String,
    },
    /// In the middle of an epoch, with another number of processes.
    #[error(
        "{path} stands in the middle of an epoch of {found} processes, but this run has {wanted}; \
         resume with {found} processes, or from a checkpoint at the end of an epoch (its name ends in step-000000)"
    )]
    OtherWorld {
        /// The file.
        path: PathBuf,
        /// Processes that wrote it.
        found: u32,
        /// Processes now.
        wanted: u32,
    },
    /// A value that is not finite: the file is not written.
    #[error("{name} holds a value that is not finite, so no checkpoint is written; the last finite one stays")]
    NotFinite {
        /// The tensor.
        name: String,
    },
    /// libtorch refused a tensor.
    #[error("a tensor cannot be copied: {0}")]
    Tensor(#[from] tch::TchError),
}

impl CheckpointError {
    /// The exit code that a run ends with.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::CannotCreate { .. } => Exit::CannotCreate,
            Self::Io { .. } => Exit::Io,
            Self::Unreadable { .. }
            | Self::Damaged { .. }
            | Self::Version { .. }
            | Self::OtherRun { .. }
            | Self::OtherModel { .. }
            | Self::OtherData { .. } => Exit::Data,
            Self::OtherWorld { .. } => Exit::Config,
            Self::NotFinite { .. } => Exit::Diverged,
            Self::Tensor(_) => Exit::Internal,
        }
    }

    /// An error of creating something at `path`: a place that cannot be written to, or a failure of the disk.
    pub(super) fn creating(path: &Path, source: io::Error) -> Self {
        use io::ErrorKind::{
            AlreadyExists, IsADirectory, NotADirectory, NotFound, PermissionDenied, ReadOnlyFilesystem,
        };
        let path = path.to_owned();
        match source.kind() {
            PermissionDenied | ReadOnlyFilesystem | NotADirectory | IsADirectory | NotFound | AlreadyExists => {
                Self::CannotCreate { path, source }
            }
            _ => Self::Io { path, source },
        }
    }

    pub(super) fn damaged(path: &Path, reason: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), reason: reason.into() }
    }
}
