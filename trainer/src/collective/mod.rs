//! How the ranks of a run exchange tensors: one row per carrier, and the [`World`] that training sees.

pub mod gloo;
pub mod nccl;
mod world;

#[cfg(test)]
#[allow(clippy::cast_possible_wrap)]
mod laws;

pub use world::World;

use nccl_rs::{Group, Store};
use tch::Device;

/// Every carrier. The laws in the tests are checked for each row.
pub const COLLECTIVES: &[Collective] = &[gloo::COLLECTIVE, nccl::COLLECTIVE];

/// A way of exchanging tensors between processes.
#[derive(Debug, Clone, Copy)]
pub struct Collective {
    /// Its name in logs and results.
    pub name: &'static str,
    /// Where the tensors lie.
    pub device: DeviceKind,
    /// Connects all ranks of a store; takes the index of this rank's device, which is 0 for a CPU.
    pub open: fn(&Store, usize) -> Result<Group, nccl_rs::Error>,
}

/// A kind of device, without its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKind {
    /// Host memory.
    Cpu,
    /// NVIDIA GPUs.
    Cuda,
}

impl DeviceKind {
    /// The number of such devices in this machine; CPUs count as one.
    pub fn count(self) -> usize {
        match self {
            Self::Cpu => 1,
            Self::Cuda => nccl_rs::device_count(),
        }
    }
}

impl Collective {
    /// The carrier for tensors on `device`.
    ///
    /// # Errors
    /// [`CollectiveError::NoCarrier`] for devices other than CPU and CUDA.
    pub fn for_device(device: Device) -> Result<&'static Self, CollectiveError> {
        let kind = match device {
            Device::Cpu => DeviceKind::Cpu,
            Device::Cuda(_) => DeviceKind::Cuda,
            Device::Mps | Device::Vulkan => return Err(CollectiveError::NoCarrier(device)),
        };
        COLLECTIVES.iter().find(|c| c.device == kind).ok_or(CollectiveError::NoCarrier(device))
    }
}

/// Why the ranks of a run cannot work together. The worker ends with [`mixbench_crds::exit::Exit::Collective`].
#[derive(Debug, thiserror::Error)]
pub enum CollectiveError {
    /// No row of [`COLLECTIVES`] serves the device.
    #[error("no collective for {0:?}: several processes need CPUs or CUDA devices")]
    NoCarrier(Device),
    /// The ranks did not come together: an occupied port, another world size, a rank that never started.
    #[error("cannot join the other ranks: {0}")]
    Join(#[source] nccl_rs::Error),
    /// A peer died or hung after the ranks had come together.
    #[error("lost the other ranks: {0}")]
    Lost(#[source] nccl_rs::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_devices_are_unique_and_lower_case() {
        for (i, a) in COLLECTIVES.iter().enumerate() {
            assert_eq!(a.name, a.name.to_lowercase());
            assert!(COLLECTIVES[..i].iter().all(|b| a.name != b.name && a.device != b.device));
        }
    }

    #[test]
    fn a_device_finds_its_carrier() {
        let name = |device| Collective::for_device(device).map(|c| c.name).map_err(|e| e.to_string());
        assert_eq!(name(Device::Cpu), Ok("gloo"));
        assert_eq!(name(Device::Cuda(3)), Ok("nccl"));
        assert_eq!(
            name(Device::Vulkan),
            Err("no collective for Vulkan: several processes need CPUs or CUDA devices".into())
        );
    }
}
