//! One launch per run folder: a lock that dies with the last process that holds it.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::FdFlags;
use rustix::process::{Pid, test_kill_process};

use super::error::LaunchError;

const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The lock of a run's folder. The file holds the pid of `launch`. Workers inherit the descriptor: after a `kill -9` of `launch` the folder
/// stays locked until its workers have written their last checkpoint.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Takes the lock. Where its holder is dead and only workers are left, waits up to `patience` for them.
    ///
    /// # Errors
    /// [`LaunchError::Locked`] when another launch lives, [`LaunchError::Create`] where the file cannot be made.
    pub(super) fn take(path: &Path, patience: Duration) -> Result<Self, LaunchError> {
        let until = Instant::now() + patience;
        loop {
            let mut file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)
                .map_err(|e| LaunchError::create(path, e))?;
            match file.try_lock() {
                Ok(()) if !is_at(&file, path) => {} // its last holder has removed it meanwhile: take the new one
                Ok(()) => {
                    rustix::io::fcntl_setfd(&file, FdFlags::empty())
                        .map_err(|e| LaunchError::create(path, e.into()))?;
                    write_pid(&mut file).map_err(|e| LaunchError::write(path, e))?;
                    return Ok(Self { path: path.to_owned(), _file: file });
                }
                Err(TryLockError::WouldBlock) => {
                    let pid = read_pid(&mut file);
                    if pid.is_some_and(alive) || Instant::now() >= until {
                        let pid = pid.map_or_else(|| "(unknown)".to_owned(), |p| p.to_string());
                        return Err(LaunchError::Locked { path: path.parent().unwrap_or(path).to_owned(), pid });
                    }
                    std::thread::sleep(LOOK_AGAIN);
                }
                Err(TryLockError::Error(e)) => return Err(LaunchError::create(path, e)),
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Still locked here: whoever waits sees that the file is gone and makes a new one.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    matches!((file.metadata(), path.metadata()), (Ok(a), Ok(b)) if (a.dev(), a.ino()) == (b.dev(), b.ino()))
}

fn write_pid(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn read_pid(file: &mut File) -> Option<i32> {
    let mut text = String::new();
    file.take(20).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn alive(pid: i32) -> bool {
    Pid::from_raw(pid).is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_second_taker_is_told_the_pid_of_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = Lock::take(&path, Duration::ZERO).unwrap();
        let error = Lock::take(&path, Duration::from_mins(1)).unwrap_err();
        assert!(matches!(&error, LaunchError::Locked { pid, .. } if *pid == std::process::id().to_string()), "{error}");
        drop(first);
        assert!(!path.exists());
        Lock::take(&path, Duration::ZERO).unwrap();
    }

    #[test]
    fn a_lock_file_that_nobody_holds_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        std::fs::write(&path, "12345678\n").unwrap();
        Lock::take(&path, Duration::ZERO).unwrap();
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = Lock::take(Path::new("/nonexistent/runs/x/lock"), Duration::ZERO).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/runs/x/lock"), "{error}");
    }
}
