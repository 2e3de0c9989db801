//! A request to stop: set by a signal or by the end of the supervising process, read by the training loop between two steps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Set once, never cleared. Clones share one flag.
///
/// Ranks see their signals at different times: whoever reads the flag agrees with the other ranks on the step to stop at.
#[derive(Clone, Debug, Default)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// A flag that SIGTERM, SIGINT and SIGHUP set. They end the process no longer.
    ///
    /// # Errors
    /// The system refuses the handler.
    pub fn install() -> std::io::Result<Self> {
        let flag = Self::default();
        for signal in [SIGTERM, SIGINT, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&flag.0))?;
        }
        Ok(flag)
    }

    /// Asks for the stop.
    pub fn request(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether a stop was asked for.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_seen_by_every_clone() {
        let flag = StopFlag::default();
        let seen = flag.clone();
        assert!(!seen.requested());
        flag.request();
        assert!(seen.requested());
    }
}
