//! The folder of a run's checkpoints.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use mixbench_crds::event::Position;

use super::{Checkpoint, CheckpointError, file};

const SUFFIX: &str = ".safetensors";

/// `epoch-0003-step-000000.safetensors`: sorted by name is sorted by position, up to 9999 epochs.
pub fn file_name(position: Position) -> String {
    format!("epoch-{:04}-step-{:06}{SUFFIX}", position.epoch, position.step)
}

fn position(name: &str) -> Option<Position> {
    let (epoch, step) = name.strip_suffix(SUFFIX)?.strip_prefix("epoch-")?.split_once("-step-")?;
    Some(Position { epoch: epoch.parse().ok()?, step: step.parse().ok()? })
}

/// The checkpoints of one run in one folder.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
    keep: usize,
}

/// The newest checkpoint that can be used.
#[derive(Debug)]
pub struct Found {
    /// Its file.
    pub path: PathBuf,
    /// What it holds.
    pub checkpoint: Checkpoint,
}

impl Store {
    /// A folder that is made if it is not there, where the `keep` newest checkpoints stay: never fewer than two, so that a damaged one is no loss
    /// of the run.
    ///
    /// # Errors
    /// [`CheckpointError::CannotCreate`] or [`CheckpointError::Io`] if nothing can be written there: better known now than after an epoch.
    pub fn open(folder: &Path, keep: u32) -> Result<Self, CheckpointError> {
        fs::create_dir_all(folder).map_err(|e| CheckpointError::creating(folder, e))?;
        let store = Self { keep: (keep as usize).max(2), ..Self::at(folder) };
        for entry in store.entries()? {
            if entry.extension().is_some_and(|e| e == "tmp") {
                let _ = fs::remove_file(&entry); // left by a process that was killed; it is written over in any case
            }
        }
        let probe = folder.join("probe.tmp");
        File::create(&probe).map_err(|e| CheckpointError::creating(&probe, e))?;
        fs::remove_file(&probe).map_err(|e| CheckpointError::creating(&probe, e))?;
        Ok(store)
    }

    /// A folder that is there, to be read.
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), keep: 2 }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Files and positions of the checkpoints, newest first.
    ///
    /// # Errors
    /// [`CheckpointError::Io`].
    pub fn list(&self) -> Result<Vec<(Position, PathBuf)>, CheckpointError> {
        let mut found: Vec<_> = self
            .entries()?
            .into_iter()
            .filter_map(|path| Some((position(path.file_name()?.to_str()?)?, path)))
            .collect();
        found.sort_by_key(|(position, _)| std::cmp::Reverse(*position));
        Ok(found)
    }

    /// The newest checkpoint that is whole; each damaged one that is newer is told to `warn`.
    ///
    /// # Errors
    /// [`CheckpointError::Version`] for a file of another release: it is whole, and training over it would lose it.
    pub fn newest(&self, mut warn: impl FnMut(String)) -> Result<Option<Found>, CheckpointError> {
        for (_, path) in self.list()? {
            match file::read(&path) {
                Ok(checkpoint) => return Ok(Some(Found { path, checkpoint })),
                Err(e @ (CheckpointError::Damaged { .. } | CheckpointError::Unreadable { .. })) => {
                    warn(format!("{e}; the one before is used"));
                }
                Err(e) => return Err(e),
            }
        }
        Ok(None)
    }

    /// Writes a checkpoint under the name of its position; when it is on the disk, all but the newest up to it go.
    ///
    /// # Errors
    /// As [`file::write`]; no file is removed then.
    pub fn save(&self, checkpoint: &Checkpoint) -> Result<PathBuf, CheckpointError> {
        let here = checkpoint.header.position;
        let path = self.folder.join(file_name(here));
        file::write(&path, checkpoint)?;
        // Files beyond this position are of a damaged end or a longer attempt; they do not count, and are written over when training gets there.
        for (_, old) in self.list()?.into_iter().filter(|(position, _)| *position <= here).skip(self.keep) {
            fs::remove_file(&old).map_err(|source| CheckpointError::Io { path: old, source })?;
        }
        Ok(path)
    }

    fn entries(&self) -> Result<Vec<PathBuf>, CheckpointError> {
        let io = |source| CheckpointError::Io { path: self.folder.clone(), source };
        fs::read_dir(&self.folder).map_err(io)?.map(|entry| Ok(entry.map_err(io)?.path())).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::file::tests::checkpoint;
    use super::*;

    fn names(store: &Store) -> Vec<String> {
        store.list().unwrap().into_iter().map(|(p, _)| format!("{}.{}", p.epoch, p.step)).collect()
    }

    #[test]
    fn names_tell_positions_and_sort_by_them() {
        for p in [Position { epoch: 0, step: 0 }, Position { epoch: 299, step: 1_234_567 }] {
            assert_eq!(position(&file_name(p)), Some(p));
        }
        assert_eq!(file_name(Position { epoch: 3, step: 0 }), "epoch-0003-step-000000.safetensors");
        assert_eq!(position("epoch-0003-step-000000.tmp"), None);
        assert_eq!(position("best.safetensors"), None);
    }

    #[test]
    fn the_newest_two_stay_whatever_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("new/checkpoints"), 1).unwrap();
        for (epoch, step) in [(1, 0), (2, 0), (2, 7), (3, 0)] {
            store.save(&checkpoint(epoch, step)).unwrap();
        }
        assert_eq!(names(&store), ["3.0", "2.7"]);
    }

    #[test]
    fn a_damaged_newest_one_is_told_and_the_one_before_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 2).unwrap();
        store.save(&checkpoint(1, 0)).unwrap();
        let newest = store.save(&checkpoint(2, 0)).unwrap();
        File::options().write(true).open(&newest).unwrap().set_len(100).unwrap();
        let mut warnings = Vec::new();
        let found = store.newest(|w| warnings.push(w)).unwrap().unwrap();
        assert_eq!(found.checkpoint, checkpoint(1, 0));
        assert!(warnings.len() == 1 && warnings[0].contains("epoch-0002-step-000000.safetensors"), "{warnings:?}");

        store.save(&checkpoint(1, 5)).unwrap();
        assert_eq!(names(&store), ["2.0", "1.5", "1.0"], "a damaged file does not push a whole one out");
    }

    #[test]
    fn an_empty_folder_holds_nothing_and_leftovers_go() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("epoch-0001-step-000000.tmp"), "half").unwrap();
        fs::write(folder.path().join("notes.txt"), "mine").unwrap();
        let store = Store::open(folder.path(), 2).unwrap();
        assert!(store.newest(|w| panic!("{w}")).unwrap().is_none());
        assert!(folder.path().join("notes.txt").exists() && fs::read_dir(folder.path()).unwrap().count() == 1);
    }

    #[test]
    fn a_file_in_place_of_the_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoints");
        fs::write(&path, "").unwrap();
        let error = Store::open(&path, 2).unwrap_err();
        assert_eq!(error.exit().code(), 73, "{error}");
    }
}
