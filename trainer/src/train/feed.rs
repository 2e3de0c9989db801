//! Batches and the draws that belong to them, made ahead of the training thread.

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, bounded};

use crate::data::DataError;
use crate::data::loader::{BatchId, HostBatch, Loader};
use crate::methods::{Drawn, Mix};

/// A batch and what its method drew for it.
pub(super) type Fed = (HostBatch, Drawn);

/// The micro-batches of an epoch in order.
pub(super) enum Feed {
    /// Made when they are asked for, in the thread that asks.
    Inline(Loader, Draw),
    /// Made ahead.
    Ahead {
        /// Where they arrive.
        fed: Receiver<Result<Fed, DataError>>,
        /// Who draws.
        thread: Option<JoinHandle<()>>,
    },
}

/// A method and the seed that it draws under.
#[derive(Clone)]
pub(super) struct Draw {
    /// What mixes.
    pub(super) method: Arc<dyn Mix>,
    /// The run's seed.
    pub(super) seed: u64,
}

impl Draw {
    /// What the method draws for a batch: keyed by seed, epoch and step, and by the micro-batch only for methods of that scope.
    pub(super) fn of(&self, batch: &HostBatch) -> Drawn {
        let BatchId { epoch, step, micro } = batch.id;
        let step = u32::try_from(step).expect("an epoch has fewer than 2³² steps");
        self.method.draw(&self.method.scope().key(self.seed, epoch, step, micro), batch)
    }
}

impl Feed {
    /// Draws for the batches of `loader`, in a thread of its own if `ahead`.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn new(loader: Loader, draw: Draw, ahead: bool) -> Result<Self, DataError> {
        if !ahead {
            return Ok(Self::Inline(loader, draw));
        }
        let (send, fed) = bounded(2);
        let work = move || {
            for batch in loader {
                let fed = batch.map(|batch| {
                    let drawn = draw.of(&batch);
                    (batch, drawn)
                });
                if send.send(fed).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("draw".into()).spawn(work);
        Ok(Self::Ahead { fed, thread: Some(thread.map_err(|source| DataError::Spawn { threads: 1, source })?) })
    }

    /// The next micro-batch.
    ///
    /// # Errors
    /// An image cannot be read, or a thread died.
    pub(super) fn take(&mut self) -> Result<Fed, DataError> {
        match self {
            Self::Inline(loader, draw) => {
                let batch = loader.next().unwrap_or(Err(DataError::Thread))?;
                let drawn = draw.of(&batch);
                Ok((batch, drawn))
            }
            Self::Ahead { fed, .. } => fed.recv().unwrap_or(Err(DataError::Thread)),
        }
    }
}

impl Drop for Feed {
    /// Lets go of the threads, so that none reads data that nobody wants.
    fn drop(&mut self) {
        if let Self::Ahead { fed, thread } = self {
            *fed = crossbeam_channel::never(); // the thread's next send fails
            if let Some(thread) = thread.take() {
                let _ = thread.join(); // a panic there was told where its batch was due
            }
        }
    }
}
