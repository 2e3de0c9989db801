//! NCCL: collectives between NVIDIA GPUs, inside libtorch. <https://github.com/NVIDIA/nccl>
//!
//! What lies in host memory goes over gloo, so that ranks agree on a flag without waiting for their GPUs.

use nccl_rs::{Backend, Group};

use super::{Collective, DeviceKind};

/// The row of [`super::COLLECTIVES`].
pub const COLLECTIVE: Collective =
    Collective { name: "nccl", device: DeviceKind::Cuda, open: |store, index| Group::new(store, Backend::Nccl(index)) };
