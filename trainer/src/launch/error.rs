//! Why `launch` ends without a result, before or beside what its workers say.

use std::io;
use std::path::{Path, PathBuf};

use mixbench_crds::exit::Exit;
use mixbench_crds::result::ResultError;

use crate::document::DocumentError;

/// Why a launch failed. Every message names the value and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The run document cannot be used.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// Command line and run do not agree.
    #[error("{0}")]
    Usage(String),
    /// The folder already holds another run.
    #[error("{} holds run `{found}`, not `{wanted}`; give each run a folder of its own (--dir)", path.display())]
    OtherRun {
        /// The folder's run document.
        path: PathBuf,
        /// Id in it.
        found: String,
        /// Id that was asked for.
        wanted: String,
    },
    /// The result of an earlier attempt is not valid.
    #[error("{}: {source}; move the file away to train this run again", path.display())]
    BadResult {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: ResultError,
    },
    /// Another launch works in the folder.
    #[error("{} is in use by process {pid}; wait for it or stop it (kill {pid}) before this run is launched again", path.display())]
    Locked {
        /// The run's folder.
        path: PathBuf,
        /// Who holds the lock, as far as it is known.
        pid: String,
    },
    /// A file or folder cannot be made or opened for writing.
    #[error("cannot write {}: {source}; make its folder writable for this user", path.display())]
    Create {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Writing failed midway.
    #[error("writing {} failed: {source}; free space there and launch the run again, it goes on from its newest checkpoint", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The address where the workers shall meet is taken.
    #[error("cannot listen on {address}: {source}; end what uses the port or choose another with --master-port")]
    Listen {
        /// Address and port.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// The machine with rank 0 is not known by this name.
    #[error(
        "`{host}` (--master-addr) was not resolved within {seconds} s: {source}; is the name right and that machine up?"
    )]
    Resolve {
        /// The name.
        host: String,
        /// How long it was tried.
        seconds: u64,
        /// What the system says.
        source: io::Error,
    },
    /// A worker process cannot be started.
    #[error("cannot start a worker process: {source}; check the limits of processes and memory")]
    Spawn {
        /// What the system says.
        source: io::Error,
    },
}

impl LaunchError {
    /// A failure to open or create `path`; a full disk is a failure to write.
    pub(super) fn create(path: &Path, source: io::Error) -> Self {
        if out_of_space(&source) { Self::write(path, source) } else { Self::Create { path: path.to_owned(), source } }
    }

    /// A failure to write what was opened.
    pub(super) fn write(path: &Path, source: io::Error) -> Self {
        Self::Write { path: path.to_owned(), source }
    }

    /// The exit code that it ends with.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Document(_) | Self::Usage(_) | Self::OtherRun { .. } => Exit::Config,
            Self::BadResult { .. } => Exit::Data,
            Self::Locked { .. } | Self::Create { .. } => Exit::CannotCreate,
            Self::Write { .. } => Exit::Io,
            Self::Listen { .. } | Self::Resolve { .. } => Exit::Collective,
            Self::Spawn { .. } => Exit::OutOfMemory,
        }
    }
}

fn out_of_space(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
        || e.raw_os_error() == Some(5) // EIO has no kind of its own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_a_failed_write_even_when_a_file_is_made() {
        let path = Path::new("runs/x/result.json");
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let forbidden = || io::Error::from(io::ErrorKind::PermissionDenied);
        assert_eq!(LaunchError::create(path, full()).exit(), Exit::Io);
        assert_eq!(LaunchError::create(path, forbidden()).exit(), Exit::CannotCreate);
        assert!(LaunchError::create(path, forbidden()).to_string().contains("runs/x/result.json"));
    }
}
