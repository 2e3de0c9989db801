//! Gloo: collectives between CPUs over TCP, inside libtorch. <https://github.com/pytorch/gloo>

use nccl_rs::{Backend, Group};

use super::{Collective, DeviceKind};

/// The row of [`super::COLLECTIVES`].
pub const COLLECTIVE: Collective =
    Collective { name: "gloo", device: DeviceKind::Cpu, open: |store, _| Group::new(store, Backend::Gloo) };
