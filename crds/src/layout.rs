//! Names inside an output folder or storage volume.

use std::path::{Path, PathBuf};

/// The plan of the folder.
pub const PLAN: &str = "plan.json";
/// The page that `mixbench run` leaves.
pub const REPORT: &str = "report.html";

/// Locked by `mixbench run` as long as it works on the folder.
pub const LOCK: &str = "lock";

/// Folder of one run and the files in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDir(PathBuf);

impl RunDir {
    /// `OUT/runs/ID`.
    pub fn new(out: &Path, id: &str) -> Self {
        Self(out.join("runs").join(id))
    }

    /// A folder that holds one run's files, wherever it lies.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The run.
    pub fn run(&self) -> PathBuf {
        self.0.join("run.json")
    }

    /// Every event of every attempt, a line each; only `launch` appends.
    pub fn events(&self) -> PathBuf {
        self.0.join("events.jsonl")
    }

    /// How each attempt ended, a line each, as whoever started it saw it: it knows the ends that no event tells, such as SIGKILL.
    pub fn attempts(&self) -> PathBuf {
        self.0.join("attempts.jsonl")
    }

    /// The result; its presence means that the run is finished.
    pub fn result(&self) -> PathBuf {
        self.0.join("result.json")
    }

    /// Log lines of the processes (standard error).
    pub fn log(&self) -> PathBuf {
        self.0.join("log.txt")
    }

    /// Folder of the checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.0.join("checkpoints")
    }

    /// Locked by `launch` as long as it lives.
    pub fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }
}
