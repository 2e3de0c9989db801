//! Writing so that a crash at any point leaves the old file or the new one.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use super::super::BackendError;

/// Replaces a file as a whole: temporary file, sync, rename, sync of the folder.
///
/// # Errors
/// [`BackendError::Write`] with the path.
pub fn replace(path: &Path, text: &str) -> Result<(), BackendError> {
    let wrap = |source| BackendError::Write { path: path.to_owned(), source };
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    let mut file = File::create(&temporary).map_err(wrap)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(wrap)?;
    std::fs::rename(&temporary, path).and_then(|()| sync_folder(path)).map_err(wrap)
}

/// Appends a line and waits until the disk has it. A last line that a crash cut short gets its end first.
///
/// # Errors
/// [`BackendError::Write`] with the path.
pub fn append(path: &Path, line: &str) -> Result<(), BackendError> {
    let wrap = |source| BackendError::Write { path: path.to_owned(), source };
    let torn = match std::fs::read(path) {
        Ok(bytes) => bytes.last().is_some_and(|b| *b != b'\n'),
        Err(e) if e.kind() == ErrorKind::NotFound => false,
        Err(e) => return Err(wrap(e)),
    };
    let mut file = OpenOptions::new().append(true).create(true).open(path).map_err(wrap)?;
    let text = format!("{}{line}\n", if torn { "\n" } else { "" });
    file.write_all(text.as_bytes()).and_then(|()| file.sync_data()).map_err(wrap)
}

/// Moves a file to the first free name with `suffix` and a number, and returns that name. Nothing is ever overwritten.
///
/// # Errors
/// [`BackendError::Write`] with the path.
pub fn move_aside(path: &Path, suffix: &str) -> Result<PathBuf, BackendError> {
    let wrap = |source| BackendError::Write { path: path.to_owned(), source };
    for number in 1.. {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{suffix}-{number}"));
        let aside = PathBuf::from(name);
        // A hard link refuses a name that is taken, which a rename would not.
        match std::fs::hard_link(path, &aside) {
            Ok(()) => {
                std::fs::remove_file(path).and_then(|()| sync_folder(path)).map_err(wrap)?;
                return Ok(aside);
            }
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(wrap(e)),
        }
    }
    unreachable!("numbers do not end")
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    // A bare name has an empty parent, which is no folder's name.
    let folder = |p: &'_ Path| if p.as_os_str().is_empty() { PathBuf::from(".") } else { p.to_owned() };
    path.parent().map_or(Ok(()), |parent| File::open(folder(parent))?.sync_all())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        replace(&path, "one").unwrap();
        replace(&path, "two").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_error_names_the_path() {
        let error = replace(Path::new("/nonexistent/a.json"), "").unwrap_err();
        assert!(error.to_string().contains("/nonexistent/a.json"));
    }

    #[test]
    fn a_bare_name_lies_in_the_folder_of_the_process() {
        sync_folder(Path::new("Cargo.toml")).unwrap();
    }

    #[test]
    fn a_torn_line_spoils_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jsonl");
        std::fs::write(&path, "tor").unwrap();
        append(&path, "whole").unwrap();
        append(&path, "more").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "tor\nwhole\nmore\n");
    }

    #[test]
    fn what_is_moved_aside_overwrites_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("result.json");
        for text in ["a", "b"] {
            std::fs::write(&path, text).unwrap();
            move_aside(&path, "corrupt").unwrap();
        }
        assert_eq!(std::fs::read_to_string(dir.path().join("result.json.corrupt-1")).unwrap(), "a");
        assert_eq!(std::fs::read_to_string(dir.path().join("result.json.corrupt-2")).unwrap(), "b");
        assert!(!path.exists());
    }
}
