//! Writes checkpoints while training goes on.

use std::path::PathBuf;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use mixbench_crds::event::Position;

use super::{Checkpoint, CheckpointError, Store, file};

/// A checkpoint that is on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// What it holds.
    pub position: Position,
    /// Its file.
    pub path: PathBuf,
}

/// A thread that writes one checkpoint at a time.
pub struct Writer {
    work: Option<Sender<Checkpoint>>,
    done: Receiver<Result<Written, CheckpointError>>,
    pending: usize,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// [`CheckpointError::Io`] if the system gives no thread.
    pub fn start(store: Store) -> Result<Self, CheckpointError> {
        let (work, inbox) = bounded::<Checkpoint>(1);
        let (outbox, done) = bounded(4);
        let folder = store.folder().to_owned();
        let write = move || {
            for mut checkpoint in inbox {
                checkpoint.header.weights_sha256 = file::weights_sha256(&checkpoint.tensors);
                let position = checkpoint.header.position;
                if outbox.send(store.save(&checkpoint).map(|path| Written { position, path })).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("checkpoint".into())
            .spawn(write)
            .map_err(|source| CheckpointError::Io { path: folder, source })?;
        Ok(Self { work: Some(work), done, pending: 0, thread: Some(thread) })
    }

    /// Hands a checkpoint over; its `weights_sha256` is filled in on the way. Waits for the one before, so at most one copy of the weights lies in
    /// memory beside the one being written.
    ///
    /// # Errors
    /// The failure of an earlier one.
    pub fn submit(&mut self, checkpoint: Checkpoint) -> Result<Vec<Written>, CheckpointError> {
        let written = self.wait()?;
        self.work
            .as_ref()
            .expect("taken only when dropped")
            .send(checkpoint)
            .expect("the thread lives as long as this");
        self.pending += 1;
        Ok(written)
    }

    /// What has been finished since the last call; never waits.
    ///
    /// # Errors
    /// The failure of a write.
    pub fn poll(&mut self) -> Result<Vec<Written>, CheckpointError> {
        let results: Vec<_> = self.done.try_iter().collect();
        self.pending -= results.len();
        results.into_iter().collect()
    }

    /// Waits until nothing is left to be written.
    ///
    /// # Errors
    /// The failure of a write.
    pub fn wait(&mut self) -> Result<Vec<Written>, CheckpointError> {
        let results: Vec<_> = self.done.iter().take(std::mem::take(&mut self.pending)).collect();
        results.into_iter().collect()
    }
}

impl Drop for Writer {
    /// Lets the thread finish what it has.
    fn drop(&mut self) {
        self.work = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic there was printed there
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::file::tests::checkpoint;
    use super::*;

    #[test]
    fn what_was_handed_over_is_on_the_disk_after_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 2).unwrap();
        let mut writer = Writer::start(store.clone()).unwrap();
        let mut written = writer.submit(checkpoint(1, 0)).unwrap();
        written.extend(writer.submit(checkpoint(2, 0)).unwrap());
        written.extend(writer.wait().unwrap());
        assert_eq!(written.iter().map(|w| w.position.epoch).collect::<Vec<_>>(), [1, 2]);
        assert!(writer.poll().unwrap().is_empty());
        assert_eq!(store.newest(|w| panic!("{w}")).unwrap().unwrap().checkpoint, checkpoint(2, 0));
    }

    #[test]
    fn a_failure_is_told_and_the_thread_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoints");
        let mut writer = Writer::start(Store::open(&path, 2).unwrap()).unwrap();
        std::fs::remove_dir(&path).unwrap();
        writer.submit(checkpoint(1, 0)).unwrap();
        assert!(writer.wait().is_err());
        std::fs::create_dir(&path).unwrap();
        writer.submit(checkpoint(1, 0)).unwrap();
        assert_eq!(writer.wait().unwrap().len(), 1);
    }
}
