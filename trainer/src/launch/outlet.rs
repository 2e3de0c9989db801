//! Standard output and standard error of `launch`, decoupled from the run: whoever reads them may be slow, stuck or gone.

use std::io::Write;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::Duration;

/// Lines that may wait for a slow reader before further ones are dropped there.
const BACKLOG: usize = 4096;

/// A writer of lines that never blocks and never fails.
#[derive(Debug)]
pub(super) struct Outlet {
    lines: SyncSender<String>,
    done: Receiver<()>,
}

impl Outlet {
    /// An outlet that writes into `sink` from a thread of its own.
    pub(super) fn new(mut sink: impl Write + Send + 'static) -> Self {
        let (lines, waiting) = mpsc::sync_channel::<String>(BACKLOG);
        let (finished, done) = mpsc::channel();
        std::thread::spawn(move || {
            let mut open = true;
            for line in waiting {
                open = open && writeln!(sink, "{line}").and_then(|()| sink.flush()).is_ok();
            }
            let _ = finished.send(());
        });
        Self { lines, done }
    }

    /// A sender of lines for another thread.
    pub(super) fn sender(&self) -> SyncSender<String> {
        self.lines.clone()
    }

    /// Writes a line, or drops it where the reader is too far behind.
    pub(super) fn line(&self, line: String) {
        let _ = self.lines.try_send(line);
    }

    /// Waits until everything is written, `patience` at most.
    pub(super) fn close(self, patience: Duration) {
        drop(self.lines);
        let _ = self.done.recv_timeout(patience);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn lines_come_out_in_order() {
        let (mut read, write) = std::io::pipe().unwrap();
        let outlet = Outlet::new(write);
        outlet.line("one".into());
        outlet.line("two".into());
        outlet.close(Duration::from_secs(5));
        let mut text = String::new();
        read.read_to_string(&mut text).unwrap();
        assert_eq!(text, "one\ntwo\n");
    }

    #[test]
    fn neither_a_stuck_nor_a_gone_reader_stops_the_writer() {
        let (stuck, write) = std::io::pipe().unwrap();
        let outlet = Outlet::new(write);
        for _ in 0..3 * BACKLOG {
            outlet.line("x".repeat(100));
        }
        outlet.close(Duration::from_millis(10));
        drop(stuck);

        let (gone, write) = std::io::pipe().unwrap();
        drop(gone);
        let outlet = Outlet::new(write);
        outlet.line("one".into());
        outlet.line("two".into());
        outlet.close(Duration::from_secs(5));
    }
}
