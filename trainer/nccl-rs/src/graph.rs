//! CUDA graphs: a sequence of kernels recorded once and replayed with one launch.

use crate::error::Error;
use crate::ffi::sys;
use crate::stream::Stream;
use cxx::UniquePtr;

/// A recorded sequence of kernels.
///
/// Every tensor that the recording read or wrote must stay alive and in place while the graph is replayed; numbers that were
/// passed from the host, such as a learning rate, are frozen in it.
pub struct Graph {
    graph: UniquePtr<sys::Graph>,
}

impl Graph {
    /// Records what `work` enqueues on `stream`, which must not be the device's default stream. Nothing is computed yet.
    ///
    /// # Errors
    /// Whatever `work` returns; [`Error::Torch`] without CUDA, or if `work` does what cannot be recorded (such as reading a value
    /// back to the host).
    pub fn record(stream: &Stream, work: impl FnOnce() -> Result<(), Error>) -> Result<Self, Error> {
        let mut graph = sys::graph_new()?;
        let _current = stream.make_current()?;
        sys::graph_begin(graph.pin_mut())?;
        let worked = work();
        let ended = sys::graph_end(graph.pin_mut());
        worked?;
        ended?;
        Ok(Self { graph })
    }

    /// Enqueues the recorded kernels on the current stream.
    ///
    /// # Errors
    /// [`Error::Torch`] if CUDA refuses.
    pub fn replay(&mut self) -> Result<(), Error> {
        Ok(sys::graph_replay(self.graph.pin_mut())?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{Cuda, init};

    #[test]
    fn without_cuda_there_are_no_graphs() {
        if init().unwrap() == Cuda::Absent {
            let message = sys::graph_new().err().unwrap().to_string();
            assert!(message.contains("no CUDA in this process"), "{message}");
        }
    }
}
