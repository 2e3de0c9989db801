//! What the processes write to standard error: passed through, and kept in the run's `log.txt`.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::mpsc::SyncSender;
use std::sync::{Mutex, PoisonError};

/// Bytes that are kept until the file is opened.
const EARLY: usize = 64 * 1024;

/// The log. Losing it never ends a run.
#[derive(Debug)]
pub(super) struct Log {
    through: SyncSender<String>,
    /// Whether lines name their rank.
    ranks: bool,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
enum Kept {
    /// A refused run leaves nothing behind, so the file waits until the run has begun.
    Early(String),
    Open(File),
    Lost,
}

impl Log {
    /// A log that passes lines on to `through`.
    pub(super) const fn new(through: SyncSender<String>, ranks: bool) -> Self {
        Self { through, ranks, kept: Mutex::new(Kept::Early(String::new())) }
    }

    /// A line of a worker.
    pub(super) fn worker(&self, rank: u32, line: &str) {
        self.line(if self.ranks { format!("[rank {rank}] {line}") } else { line.to_owned() });
    }

    /// A line.
    pub(super) fn line(&self, line: String) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *kept {
            Kept::Early(text) if text.len() < EARLY => {
                text.push_str(&line);
                text.push('\n');
            }
            Kept::Open(file) => {
                if file.write_all(format!("{line}\n").as_bytes()).is_err() {
                    *kept = Kept::Lost;
                }
            }
            Kept::Early(_) | Kept::Lost => {}
        }
        drop(kept);
        let _ = self.through.try_send(line);
    }

    /// Opens the file and writes what has come so far.
    pub(super) fn open(&self, path: PathBuf) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Kept::Early(text) = &*kept {
            let opened = File::options().append(true).create(true).open(path);
            *kept = match opened.and_then(|mut file| file.write_all(text.as_bytes()).map(|()| file)) {
                Ok(file) => Kept::Open(file),
                Err(_) => Kept::Lost,
            };
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn early_lines_reach_the_file_once_there_is_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.txt");
        let (through, lines) = std::sync::mpsc::sync_channel(9);
        let log = Log::new(through, true);
        log.worker(1, "early");
        assert!(!path.exists());
        log.open(path.clone());
        log.worker(0, "late");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "[rank 1] early\n[rank 0] late\n");
        drop(log);
        assert_eq!(lines.iter().collect::<Vec<_>>(), ["[rank 1] early", "[rank 0] late"]);
    }

    #[test]
    fn a_full_disk_loses_the_log_and_nothing_else() {
        let (through, lines) = std::sync::mpsc::sync_channel(9);
        let log = Log::new(through, false);
        log.open("/dev/full".into());
        log.line("one".into());
        log.line("two".into());
        assert_eq!(lines.try_iter().count(), 2);
    }
}
