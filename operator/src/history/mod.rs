//! What an output folder says. The runner fills the same picture from live processes, the report from a folder that nobody may write any more.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use mixbench_crds::layout::{PLAN, RunDir};
use mixbench_crds::result::{ResultError, RunResult};
use mixbench_crds::run::Run;

use crate::plan::{PLAN_VERSION, Plan};

mod ended;
mod ledger;
mod lock;

pub use ended::{Ended, read_ends};
pub use ledger::{Attempt, End, Ledger, Progress};
pub use lock::{Lock, Locked, holder, is_held};

/// Why a folder cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The system refused.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// What could not be read.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is no plan.
    #[error(
        "{} holds no plan.json, so it is no output folder; name the --out of a `mixbench run`, by default mixbench-out/NAME",
        .0.display()
    )]
    NoPlan(PathBuf),
    /// The plan cannot be understood.
    #[error("{} is not a plan of this release: {why}; move it aside, and `mixbench run` writes it anew", path.display())]
    Plan {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// Reads the plan of an output folder.
///
/// # Errors
/// [`HistoryError`]; [`HistoryError::NoPlan`] when the folder has none.
pub fn read_plan(out: &Path) -> Result<Plan, HistoryError> {
    #[derive(serde::Deserialize)]
    struct Head {
        version: u32,
    }
    let path = out.join(PLAN);
    let bytes = read_if_there(&path)?.ok_or_else(|| HistoryError::NoPlan(out.to_owned()))?;
    let wrong = |why: String| HistoryError::Plan { path: path.clone(), why };
    let head: Head = serde_json::from_slice(&bytes).map_err(|e| wrong(e.to_string()))?;
    if head.version != PLAN_VERSION {
        return Err(wrong(format!("its version is {}, not {PLAN_VERSION}", head.version)));
    }
    serde_json::from_slice(&bytes).map_err(|e| wrong(e.to_string()))
}

/// All that the folder of one run says.
#[derive(Debug, Default)]
pub struct RunFolder {
    /// Its events, and how its attempts ended.
    pub ledger: Ledger,
    /// Its result: none when there is no file, the inner error when it cannot be believed.
    pub result: Option<Result<RunResult, ResultError>>,
    /// Number of the last attempt that was prepared, whether or not it said anything; 0 before the first.
    pub attempt: u32,
    /// Whether a process works on it.
    pub live: bool,
    /// Reads on in its events.
    pub tail: Option<Tail>,
}

impl RunFolder {
    /// The result, if there is one that can be believed.
    pub fn good(&self) -> Option<&RunResult> {
        self.result.as_ref()?.as_ref().ok()
    }
}

/// Reads the folder of run `id`, which need not exist.
///
/// # Errors
/// [`HistoryError`] where the system refuses. Lines that are no events are counted; a `run.json` or a result that cannot be read as such
/// is as none, since both are written anew.
pub fn read_run(out: &Path, id: &str) -> Result<RunFolder, HistoryError> {
    let dir = RunDir::new(out, id);
    let mut tail = Tail::new(dir.events());
    let mut ledger = Ledger::default();
    tail.read()?.iter().for_each(|line| ledger.push_line(line));
    for ended in read_ends(&dir)? {
        ledger.end(&ended);
    }
    let prepared = read_if_there(&dir.run())?.and_then(|text| Run::parse(&String::from_utf8_lossy(&text)).ok());
    let attempt = prepared.map_or(0, |run| run.attempt).max(ledger.last_attempt());
    let result = read_result(&dir, id)?;
    // The lock is only touched where the files do not answer, since `launch` takes it as well.
    let open = ledger.attempts.get(&attempt).is_none_or(|a| a.end.is_none());
    let live = result.is_none() && attempt > 0 && open && is_held(&dir.lock())?;
    Ok(RunFolder { ledger, result, attempt, live, tail: Some(tail) })
}

/// A file of events that grows: each [`read`](Tail::read) takes the complete lines that are new.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    offset: u64,
}

impl Tail {
    /// From the start of a file that need not exist yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path, offset: 0 }
    }

    /// From the end of the last complete line that is there now.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn at_end(path: PathBuf) -> Result<Self, HistoryError> {
        let mut tail = Self::new(path);
        tail.read()?;
        Ok(tail)
    }

    /// The new complete lines. A torn last line stays for the next time.
    ///
    /// # Errors
    /// [`HistoryError`], but not for a file that does not exist.
    pub fn read(&mut self) -> Result<Vec<String>, HistoryError> {
        let wrap = |source| HistoryError::Io { path: self.path.clone(), source };
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(wrap(e)),
        };
        file.seek(SeekFrom::Start(self.offset)).map_err(wrap)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(wrap)?;
        let complete = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        self.offset += complete as u64;
        let text = String::from_utf8_lossy(&bytes[..complete]);
        Ok(text.lines().map(str::to_owned).collect())
    }
}

/// Reads the result of run `id`: none when there is no file, the inner error when it cannot be believed.
///
/// # Errors
/// [`HistoryError`] when the file exists and cannot be read.
pub fn read_result(dir: &RunDir, id: &str) -> Result<Option<Result<RunResult, ResultError>>, HistoryError> {
    Ok(read_if_there(&dir.result())?.map(|bytes| RunResult::parse(&String::from_utf8_lossy(&bytes), id)))
}

/// A file's bytes, or none when it does not exist.
///
/// # Errors
/// [`HistoryError`].
pub fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, HistoryError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(HistoryError::Io { path: path.to_owned(), source }),
    }
}

/// The last `lines` lines of a run's log, at most `limit` bytes of it; empty without a log.
///
/// # Errors
/// [`HistoryError`] when the log exists and cannot be read.
pub fn log_tail(dir: &RunDir, lines: usize, limit: u64) -> Result<Vec<String>, HistoryError> {
    let path = dir.log();
    let wrap = |source| HistoryError::Io { path: path.clone(), source };
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(wrap(e)),
    };
    let length = file.metadata().map_err(wrap)?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(limit))).map_err(wrap)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(wrap)?;
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    Ok(all[all.len().saturating_sub(lines)..].iter().map(|l| (*l).to_owned()).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_last_line_waits_for_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        let mut tail = Tail::new(path.clone());
        assert!(tail.read().unwrap().is_empty());
        std::fs::write(&path, "one\ntw").unwrap();
        assert_eq!(tail.read().unwrap(), ["one"]);
        std::fs::write(&path, "one\ntwo\n").unwrap();
        assert_eq!(tail.read().unwrap(), ["two"]);
    }

    #[test]
    fn the_log_is_read_from_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::at(dir.path());
        assert!(log_tail(&run, 2, 100).unwrap().is_empty());
        std::fs::write(run.log(), "a\n\nb\nc\n").unwrap();
        assert_eq!(log_tail(&run, 2, 100).unwrap(), ["b", "c"]);
    }

    #[test]
    fn a_folder_without_a_plan_is_refused_with_a_remedy() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read_plan(dir.path()).unwrap_err().to_string().contains("--out"));
        std::fs::write(dir.path().join(PLAN), "{\"version\": 99}").unwrap();
        assert!(read_plan(dir.path()).unwrap_err().to_string().contains("version is 99"));
    }

    #[test]
    fn a_run_without_a_folder_was_never_started() {
        let dir = tempfile::tempdir().unwrap();
        let run = read_run(dir.path(), "r").unwrap();
        assert_eq!((run.attempt, run.live, run.result.is_none()), (0, false, true));
    }
}
