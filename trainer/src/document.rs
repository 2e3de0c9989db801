//! The run document on the disk: what `launch`, its workers, `eval` and `preview` begin with.

use std::io;
use std::path::{Path, PathBuf};

use mixbench_crds::run::{Run, RunError};

/// Why a run document cannot be used; the exit code is 64.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// It cannot be read.
    #[error("cannot read the run {}: {source}; write it with `mixbench plan`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is not a run of this build's.
    #[error("{}: {source}", path.display())]
    Run {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: RunError,
    },
}

/// The run in the file `path`, and the file's text.
///
/// # Errors
/// [`DocumentError`] names the file.
pub fn read(path: &Path) -> Result<(Run, String), DocumentError> {
    let text = std::fs::read_to_string(path).map_err(|source| DocumentError::Read { path: path.to_owned(), source })?;
    let run = Run::parse(&text).map_err(|source| DocumentError::Run { path: path.to_owned(), source })?;
    Ok((run, text))
}
