//! Locks that die with the process that holds them: `launch` holds its run's, `mixbench run` its folder's.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::HistoryError;

/// A lock that is held until it is dropped or the process ends.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code, reason = "closing the file is what unlocks")] File);

/// An attempt to lock.
#[derive(Debug)]
pub enum Locked {
    /// Ours now.
    Ours(Lock),
    /// Another's.
    Theirs {
        /// Its process, where that can be told.
        pid: Option<u32>,
    },
}

impl Lock {
    /// Takes the lock and writes the process id into the file.
    ///
    /// # Errors
    /// The file cannot be made, locked or written.
    pub fn take(path: &Path) -> Result<Locked, HistoryError> {
        let wrap = |source| HistoryError::Io { path: path.to_owned(), source };
        let mut file =
            OpenOptions::new().create(true).read(true).write(true).truncate(false).open(path).map_err(wrap)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(Locked::Theirs { pid: holder_of(&mut file) }),
            Err(e) => return Err(wrap(e.into())),
        }
        file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(wrap)?;
        Ok(Locked::Ours(Self(file)))
    }
}

/// Whether a process holds the lock; a file that does not exist is held by nobody.
///
/// # Errors
/// The file cannot be opened or asked.
pub fn is_held(path: &Path) -> Result<bool, HistoryError> {
    let wrap = |source| HistoryError::Io { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(wrap(e)),
    };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(Errno::WOULDBLOCK) => Ok(true),
        Err(e) => Err(wrap(e.into())),
    }
}

/// The process that holds the lock, where that can be told.
pub fn holder(path: &Path) -> Option<u32> {
    holder_of(&mut File::open(path).ok()?)
}

/// The id that the holder wrote into the file, else what the kernel says.
fn holder_of(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    let written = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_string(&mut text));
    let named = written.ok().and_then(|_| text.split_whitespace().next()?.parse().ok());
    named.or_else(|| in_table(&std::fs::read_to_string("/proc/locks").ok()?, file.metadata().ok()?.ino()))
}

/// The process that holds a `flock` on this inode, out of the kernel's table.
fn in_table(table: &str, inode: u64) -> Option<u32> {
    table.lines().find_map(|line| {
        // `1: FLOCK  ADVISORY  WRITE 4711 08:01:123456 0 EOF`
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, "WRITE", pid, place, ..] = words[..] else { return None };
        let found: u64 = place.rsplit(':').next()?.parse().ok()?;
        (found == inode).then(|| pid.parse().ok())?
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_held_lock_names_its_process_and_is_free_when_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        assert!(!is_held(&path).unwrap());
        let Locked::Ours(lock) = Lock::take(&path).unwrap() else { panic!("nobody else holds it") };
        assert!(is_held(&path).unwrap());
        let Locked::Theirs { pid } = Lock::take(&path).unwrap() else { panic!("it is held") };
        assert_eq!(pid, Some(std::process::id()));
        drop(lock);
        assert!(!is_held(&path).unwrap());
    }

    #[test]
    fn the_kernels_table_is_searched_by_inode() {
        let table = "1: POSIX  ADVISORY  WRITE 7 08:01:99 0 EOF\n2: FLOCK  ADVISORY  WRITE 4711 08:01:99 0 EOF\n";
        assert_eq!(in_table(table, 99), Some(4711));
        assert_eq!(in_table(table, 9), None);
    }
}
