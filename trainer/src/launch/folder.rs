//! The files of a run's folder that only `launch` writes. A crash at any point leaves each of them whole or absent, except for a last line
//! without an end in `events.jsonl`, which the next attempt ends.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use mixbench_crds::layout::RunDir;
use mixbench_crds::result::RunResult;
use mixbench_crds::run::Run;

use super::error::LaunchError;

/// Writer of `events.jsonl`, opened by the first line.
#[derive(Debug)]
pub(super) struct Journal {
    dir: RunDir,
    file: Option<File>,
}

impl Journal {
    /// A journal of this folder; nothing is written yet.
    pub(super) const fn new(dir: RunDir) -> Self {
        Self { dir, file: None }
    }

    /// Appends a line; `sync` waits until the disk has it.
    ///
    /// # Errors
    /// [`LaunchError::Create`] or [`LaunchError::Write`] with the path.
    pub(super) fn append(&mut self, line: &str, sync: bool) -> Result<(), LaunchError> {
        let path = self.dir.events();
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(open_at_line_start(&path).map_err(|e| LaunchError::create(&path, e))?),
        };
        let written = file.write_all(format!("{line}\n").as_bytes());
        written.and_then(|()| if sync { file.sync_data() } else { Ok(()) }).map_err(|e| LaunchError::write(&path, e))
    }
}

/// Opens a file of lines for appending. A last line that a crash cut short gets its end, so that it spoils no other.
fn open_at_line_start(path: &Path) -> io::Result<File> {
    let mut file = File::options().read(true).append(true).create(true).open(path)?;
    if file.metadata()?.len() > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}

/// The folder's result, if the run is finished.
///
/// # Errors
/// [`LaunchError::BadResult`]: it is never overwritten.
pub(super) fn finished(dir: &RunDir, run: &Run) -> Result<Option<RunResult>, LaunchError> {
    let path = dir.result();
    match std::fs::read_to_string(&path) {
        Ok(text) => match RunResult::parse(&text, &run.id) {
            Ok(result) => Ok(Some(result)),
            Err(source) => Err(LaunchError::BadResult { path, source }),
        },
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(LaunchError::Create { path, source }),
    }
}

/// Writes the result; it stands on disk when this returns.
///
/// # Errors
/// [`LaunchError::Create`] or [`LaunchError::Write`] with the path; no half of a result is ever seen.
pub(super) fn write_result(dir: &RunDir, result: &RunResult) -> Result<(), LaunchError> {
    let mut text = serde_json::to_string_pretty(result).expect("a result has string keys");
    text.push('\n');
    replace(&dir.result(), &text)
}

/// Refuses a folder that holds another run, and leaves the run's document where there is none or an earlier attempt's.
///
/// # Errors
/// [`LaunchError::OtherRun`] or a failure to write.
pub(super) fn keep_run(dir: &RunDir, run: &Run, text: &str) -> Result<(), LaunchError> {
    let path = dir.run();
    match std::fs::read_to_string(&path) {
        Ok(there) if there == text => Ok(()),
        Ok(_) => check_run(dir, run).and_then(|()| replace(&path, text)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => replace(&path, text),
        Err(e) => Err(LaunchError::create(&path, e)),
    }
}

/// Refuses a folder that holds another run.
///
/// # Errors
/// [`LaunchError::OtherRun`].
pub(super) fn check_run(dir: &RunDir, run: &Run) -> Result<(), LaunchError> {
    #[derive(serde::Deserialize)]
    struct Head {
        id: String,
    }
    let path = dir.run();
    match std::fs::read_to_string(&path).ok().and_then(|text| serde_json::from_str::<Head>(&text).ok()) {
        Some(there) if there.id != run.id => {
            Err(LaunchError::OtherRun { path, found: there.id, wanted: run.id.clone() })
        }
        _ => Ok(()),
    }
}

/// Replaces a file as a whole: temporary file, sync, rename, sync of the folder.
fn replace(path: &Path, text: &str) -> Result<(), LaunchError> {
    let temporary = path.with_extension("json.tmp");
    let written = File::create(&temporary).map_err(|e| LaunchError::create(&temporary, e)).and_then(|mut file| {
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(|e| LaunchError::write(path, e))
    });
    let renamed = written.and_then(|()| {
        std::fs::rename(&temporary, path).map_err(|e| LaunchError::write(path, e))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        File::open(folder).and_then(|f| f.sync_all()).map_err(|e| LaunchError::write(path, e))
    });
    if renamed.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    renamed
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use mixbench_crds::exit::Exit;

    #[test]
    fn a_line_cut_by_a_crash_gets_its_end_and_spoils_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::at(dir.path());
        std::fs::write(run.events(), "{\"whole\":1}\n{\"cut").unwrap();
        Journal::new(run.clone()).append("{\"next\":2}", true).unwrap();
        assert_eq!(std::fs::read_to_string(run.events()).unwrap(), "{\"whole\":1}\n{\"cut\n{\"next\":2}\n");
        Journal::new(run.clone()).append("{\"last\":3}", false).unwrap();
        assert!(std::fs::read_to_string(run.events()).unwrap().ends_with("{\"next\":2}\n{\"last\":3}\n"));
    }

    #[test]
    fn a_journal_without_lines_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::at(dir.path());
        drop(Journal::new(run.clone()));
        assert!(!run.events().exists());
    }

    #[test]
    fn a_full_disk_leaves_the_earlier_file_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("result.json");
        replace(&path, "earlier").unwrap();
        std::os::unix::fs::symlink("/dev/full", path.with_extension("json.tmp")).unwrap();
        let error = replace(&path, "later").unwrap_err();
        assert_eq!(error.exit(), Exit::Io);
        assert!(error.to_string().contains("result.json"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "earlier");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_full_disk_fails_the_journal_with_its_path() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::at(dir.path());
        std::os::unix::fs::symlink("/dev/full", run.events()).unwrap();
        let error = Journal::new(run).append("{}", false).unwrap_err();
        assert_eq!(error.exit(), Exit::Io);
        assert!(error.to_string().contains("events.jsonl"), "{error}");
    }
}
