//! How often a person asked to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// A count of Ctrl-C, SIGTERM and a closed terminal.
#[derive(Clone, Debug)]
pub(super) struct Stops(Arc<AtomicU32>);

impl Stops {
    /// From now on the signals only count.
    ///
    /// # Errors
    /// The system refuses a handler.
    pub(super) fn listen() -> std::io::Result<Self> {
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
        let count = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&count);
        std::thread::spawn(move || {
            for _ in &mut signals {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        });
        Ok(Self(count))
    }

    pub(super) fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}
