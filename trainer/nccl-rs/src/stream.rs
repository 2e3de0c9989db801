//! Streams, events and memory of an accelerator. Without one, each of these is an error.

use crate::error::Error;
use crate::ffi::{cpp, sys};
use cxx::UniquePtr;
use std::marker::PhantomData;
use std::time::Duration;
use tch::Tensor;

/// libtorch's index of a device. Larger numbers than any machine has are refused by libtorch.
pub(crate) fn index(device: usize) -> i32 {
    i32::try_from(device).unwrap_or(i32::MAX)
}

/// The number of accelerators that this process can use.
pub fn device_count() -> usize {
    usize::try_from(sys::device_count()).unwrap_or(0)
}

/// Makes `device` the calling thread's current one.
///
/// # Errors
/// [`Error::Torch`] if there is no such device.
pub fn set_device(device: usize) -> Result<(), Error> {
    Ok(sys::set_device(index(device))?)
}

/// Waits until everything enqueued on `device` is done.
///
/// # Errors
/// [`Error::Torch`] if there is no such device, or if a kernel failed.
pub fn synchronize(device: usize) -> Result<(), Error> {
    Ok(sys::synchronize(index(device))?)
}

/// Bytes of a device's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryStats {
    /// In tensors now.
    pub allocated: u64,
    /// The most that was in tensors since the last [`reset_peak_memory`].
    pub peak_allocated: u64,
    /// Held by libtorch's allocator, in use or not.
    pub reserved: u64,
    /// Free on the device, whoever else uses it.
    pub free: u64,
    /// All of the device.
    pub total: u64,
}

/// What libtorch's allocator holds of `device`.
///
/// # Errors
/// [`Error::Torch`] if there is no such device.
pub fn memory_stats(device: usize) -> Result<MemoryStats, Error> {
    let sys::MemoryStats { allocated, peak_allocated, reserved, free, total } = sys::memory_stats(index(device))?;
    Ok(MemoryStats { allocated, peak_allocated, reserved, free, total })
}

/// Starts [`MemoryStats::peak_allocated`] anew.
///
/// # Errors
/// [`Error::Torch`] if there is no such device.
pub fn reset_peak_memory(device: usize) -> Result<(), Error> {
    Ok(sys::reset_peak_memory(index(device))?)
}

/// Gives memory that no tensor uses back to the device.
///
/// # Errors
/// [`Error::Torch`] without an accelerator.
pub fn empty_cache() -> Result<(), Error> {
    Ok(sys::empty_cache()?)
}

/// A queue of kernels on a device.
pub struct Stream {
    stream: UniquePtr<sys::Stream>,
    device: usize,
}

impl Stream {
    /// A stream from libtorch's pool.
    ///
    /// # Errors
    /// [`Error::Torch`] if there is no such device.
    pub fn new(device: usize, high_priority: bool) -> Result<Self, Error> {
        Ok(Self { stream: sys::stream_new(index(device), high_priority)?, device })
    }

    /// The stream on which the calling thread now enqueues its work for `device`.
    ///
    /// # Errors
    /// [`Error::Torch`] if there is no such device.
    pub fn current(device: usize) -> Result<Self, Error> {
        Ok(Self { stream: sys::stream_current(index(device))?, device })
    }

    /// Makes this the calling thread's current stream until the guard is dropped.
    ///
    /// # Errors
    /// [`Error::Torch`] if libtorch refuses.
    pub fn make_current(&self) -> Result<StreamGuard, Error> {
        let before = Self::current(self.device)?;
        sys::stream_make_current(&self.stream)?;
        Ok(StreamGuard { before, thread: PhantomData })
    }

    /// An event that is done when everything enqueued here so far is.
    ///
    /// # Errors
    /// [`Error::Torch`] if libtorch refuses.
    pub fn record(&self) -> Result<Event, Error> {
        Ok(Event { event: sys::event_record(&self.stream, false)? })
    }

    /// As [`Stream::record`], for [`Event::since`].
    ///
    /// # Errors
    /// [`Error::Torch`] if libtorch refuses.
    pub fn record_timed(&self) -> Result<Event, Error> {
        Ok(Event { event: sys::event_record(&self.stream, true)? })
    }

    /// Lets what is enqueued here from now on wait for `event`; the host does not wait.
    ///
    /// # Errors
    /// [`Error::Torch`] if libtorch refuses.
    pub fn wait(&self, event: &Event) -> Result<(), Error> {
        Ok(sys::stream_wait_event(&self.stream, &event.event)?)
    }

    /// Waits on the host for everything enqueued here.
    ///
    /// # Errors
    /// [`Error::Torch`] if a kernel failed.
    pub fn synchronize(&self) -> Result<(), Error> {
        Ok(sys::stream_synchronize(&self.stream)?)
    }

    /// Keeps the memory of `tensor`, made on another stream, from being given to others before this stream is done with it.
    ///
    /// # Errors
    /// [`Error::Torch`] if the tensor is not on this device.
    pub fn keep(&self, tensor: &Tensor) -> Result<(), Error> {
        Ok(sys::stream_keep(&self.stream, cpp(tensor))?)
    }
}

/// Puts back the stream that was current before [`Stream::make_current`].
#[must_use = "the stream is current until the guard is dropped"]
pub struct StreamGuard {
    before: Stream,
    // The current stream is the thread's own.
    thread: PhantomData<*const ()>,
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        // It was current before, so libtorch has no reason to refuse it; and a destructor has nobody to tell.
        let _ = sys::stream_make_current(&self.before.stream);
    }
}

/// A point in a stream.
pub struct Event {
    event: UniquePtr<sys::Event>,
}

impl Event {
    /// Whether the stream has passed this point.
    ///
    /// # Errors
    /// [`Error::Torch`] if a kernel before it failed.
    pub fn is_done(&self) -> Result<bool, Error> {
        Ok(sys::event_done(&self.event)?)
    }

    /// Waits on the host until the stream has passed this point.
    ///
    /// # Errors
    /// [`Error::Torch`] if a kernel before it failed.
    pub fn synchronize(&self) -> Result<(), Error> {
        Ok(sys::event_synchronize(&self.event)?)
    }

    /// The device's time from `start` to this event, both recorded with [`Stream::record_timed`] and done.
    ///
    /// # Errors
    /// [`Error::Torch`] if one is not timed or not done.
    pub fn since(&self, start: &Self) -> Result<Duration, Error> {
        Ok(Duration::from_secs_f64(sys::event_elapsed_ms(&start.event, &self.event)?.max(0.0) / 1e3))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn without_an_accelerator_everything_is_a_clear_error() {
        if device_count() > 0 {
            return;
        }
        for message in [
            Stream::new(0, false).err().unwrap().to_string(),
            Stream::current(0).err().unwrap().to_string(),
            memory_stats(0).unwrap_err().to_string(),
            reset_peak_memory(0).unwrap_err().to_string(),
            set_device(0).unwrap_err().to_string(),
            synchronize(0).unwrap_err().to_string(),
            empty_cache().unwrap_err().to_string(),
        ] {
            assert!(message.contains("no accelerator"), "{message}");
        }
    }
}
