//! What a worker says to `launch`: event bodies, a JSON line each, through an inherited pipe.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use mixbench_crds::event::{Body, Epoch, Started};

/// Environment variable with the number of the inherited descriptor that a worker reports to.
pub const REPORT_FD: &str = "MIXBENCH_REPORT_FD";

/// A worker's line to `launch`. Clones share it, and any thread may use it.
///
/// Only rank 0 sends [`Body::Started`], [`Body::Epoch`], [`Body::Progress`], [`Body::Checkpoint`], [`Body::Finished`] and [`Body::Stopped`];
/// every rank sends [`Body::Warning`] and [`Body::Failed`].
#[derive(Clone)]
pub struct Reporter(Arc<Mutex<Inner>>);

struct Inner {
    /// `None` once the other end is gone: a closed pipe never ends a run.
    sink: Option<Box<dyn Write + Send>>,
    latest: Latest,
}

/// The newest of each kind that was sent: what the progress endpoint serves.
#[derive(Clone, Debug, Default)]
pub struct Latest {
    /// Facts of the attempt.
    pub started: Option<Started>,
    /// The last epoch.
    pub epoch: Option<Epoch>,
    /// The last progress inside an epoch, and nothing else.
    pub progress: Option<Body>,
}

impl Reporter {
    /// Reports into `sink`.
    pub fn to(sink: impl Write + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Inner { sink: Some(Box::new(sink)), latest: Latest::default() })))
    }

    /// Reports to nobody; for tests and tools that train without `launch`.
    pub fn none() -> Self {
        Self::to(io::sink())
    }

    /// Reports to the pipe with this descriptor number, which the process has inherited.
    ///
    /// # Errors
    /// There is no such open descriptor.
    pub fn inherited(fd: u32) -> io::Result<Self> {
        // Opened by name: a number cannot be turned into an owned descriptor without `unsafe`.
        Ok(Self::to(std::fs::OpenOptions::new().write(true).open(format!("/proc/self/fd/{fd}"))?))
    }

    /// Sends one body. Never fails: when nobody listens any more, training goes on.
    pub fn send(&self, body: Body) {
        let mut line = serde_json::to_string(&body).expect("a body has string keys");
        line.push('\n');
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sink) = &mut inner.sink
            && sink.write_all(line.as_bytes()).and_then(|()| sink.flush()).is_err()
        {
            inner.sink = None;
        }
        match body {
            Body::Started(started) => inner.latest.started = Some(started),
            Body::Epoch(epoch) => {
                inner.latest.epoch = Some(epoch);
                inner.latest.progress = None;
            }
            Body::Progress { .. } => inner.latest.progress = Some(body),
            _ => {}
        }
    }

    /// The newest of each kind.
    pub fn latest(&self) -> Latest {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).latest.clone()
    }
}

impl std::fmt::Debug for Reporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Reporter").field(&self.latest()).finish()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn warning(message: &str) -> Body {
        Body::Warning { message: message.into() }
    }

    #[test]
    fn a_body_is_one_line() {
        let (mut read, write) = io::pipe().unwrap();
        let reporter = Reporter::to(write);
        reporter.send(warning("two\nlines"));
        drop(reporter);
        let text = io::read_to_string(&mut read).unwrap();
        assert_eq!(text.lines().count(), 1);
        assert_eq!(serde_json::from_str::<Body>(&text).unwrap(), warning("two\nlines"));
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let (read, write) = io::pipe().unwrap();
        let reporter = Reporter::to(write);
        drop(read);
        reporter.send(warning("nobody hears this"));
        reporter.send(warning("nor this"));
    }

    #[test]
    fn an_epoch_ends_the_progress_before_it() {
        let reporter = Reporter::none();
        reporter.send(Body::Progress { epoch: 0, step: 3, steps: 9, images_per_second: 1.0 });
        assert!(reporter.latest().progress.is_some());
        let score = mixbench_crds::metric::Score { epoch: 1, correct1: 1, correct5: 2 };
        let epoch = Epoch { score, n: 4, train_loss: 1.0, lr: 0.1, images: 9, train_seconds: 1.0, eval_seconds: 1.0 };
        reporter.send(Body::Epoch(epoch));
        assert!(reporter.latest().progress.is_none());
        assert_eq!(reporter.latest().epoch.unwrap().score.epoch, 1);
    }
}
