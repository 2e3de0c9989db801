//! What tch lacks of libtorch 2.11, as safe Rust: process groups and data parallelism (`torch.distributed`'s own C++ engine,
//! with gloo on CPUs and NCCL on GPUs), fused optimizers, memory formats, autocast, streams, events, CUDA graphs.
//!
//! [`init`] must be the first thing in `main`: it brings CUDA into the process where its library lies beside libtorch_cpu. The
//! binary is linked to the CPU library only and runs on machines without any CUDA.
//!
//! This is the only crate with `unsafe` and C++; every failure of libtorch comes back as an [`Error`].

mod autocast;
mod cuda;
mod ddp;
mod error;
#[allow(unreachable_pub, reason = "cxx writes `pub`")]
mod ffi;
mod graph;
mod group;
mod locate;
mod memory;
mod optim;
mod process;
mod store;
mod stream;

pub use autocast::{Autocast, Dtype};
pub use cuda::{
    Cuda, Versions, init, set_cudnn_benchmark, set_cudnn_deterministic, set_deterministic_algorithms, set_tf32,
    tune_malloc, versions,
};
pub use ddp::Ddp;
pub use error::Error;
pub use graph::Graph;
pub use group::{Backend, Group};
pub use memory::{copy_non_blocking, is_channels_last, is_pinned, pin_memory, pinned_empty, to_channels_last_};
pub use optim::{
    AdamW, Sgd, clip_grad_norm_, foreach_lerp_, foreach_mul_, foreach_zero_, fused_adamw_, fused_sgd_, zero_grads,
};
pub use process::exit_now;
pub use store::{Rendezvous, Store};
pub use stream::{
    Event, MemoryStats, Stream, StreamGuard, device_count, empty_cache, memory_stats, reset_peak_memory, set_device,
    synchronize,
};
