//! The one cxx bridge. Everything here is private; the other modules wrap it.

use cxx::UniquePtr;
use std::borrow::Borrow;
use std::pin::Pin;

#[cxx::bridge(namespace = "bridge")]
pub(crate) mod sys {
    /// How values of several ranks become one.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Reduce {
        Sum,
        Avg,
        Max,
        Min,
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Half {
        Bf16,
        F16,
    }

    struct SgdStep {
        lr: f64,
        momentum: f64,
        weight_decay: f64,
        nesterov: bool,
        first: bool,
    }

    struct AdamWStep {
        lr: f64,
        beta1: f64,
        beta2: f64,
        eps: f64,
        weight_decay: f64,
        step: i64,
    }

    struct MemoryStats {
        allocated: u64,
        peak_allocated: u64,
        reserved: u64,
        free: u64,
        total: u64,
    }

    unsafe extern "C++" {
        include!("tensor.h");
        type Tensor;
        type TensorList;
        fn list_with_capacity(n: usize) -> UniquePtr<TensorList>;
        fn list_push(list: Pin<&mut TensorList>, tensor: &Tensor);

        include!("load.h");
        type Graph;
        fn load_cuda() -> Result<bool>;
        fn load_plugin(bytes: &[u8]) -> Result<()>;
        fn torch_version() -> String;
        fn cudnn_version() -> Result<i64>;
        fn nccl_version() -> Result<String>;
        fn tune_malloc() -> bool;
        fn set_cudnn_benchmark(on: bool) -> Result<()>;
        fn set_cudnn_deterministic(on: bool) -> Result<()>;
        fn set_tf32(on: bool) -> Result<()>;
        fn set_deterministic_algorithms(on: bool) -> Result<()>;
        fn graph_new() -> Result<UniquePtr<Graph>>;
        fn graph_begin(graph: Pin<&mut Graph>) -> Result<()>;
        fn graph_end(graph: Pin<&mut Graph>) -> Result<()>;
        fn graph_replay(graph: Pin<&mut Graph>) -> Result<()>;

        include!("group.h");
        type Store;
        type Group;
        fn store_new(host: &str, port: u16, fd: i32, world_size: i32, timeout_ms: i64) -> Result<UniquePtr<Store>>;
        fn store_add(store: &Store, key: &str, n: i64) -> Result<i64>;
        fn store_set(store: &Store, key: &str, value: &[u8]) -> Result<()>;
        fn store_get(store: &Store, key: &str) -> Result<Vec<u8>>;
        fn group_gloo(
            store: &Store,
            prefix: &str,
            rank: i32,
            size: i32,
            timeout_ms: i64,
            address: &str,
            is_interface: bool,
        ) -> Result<UniquePtr<Group>>;
        fn group_add_nccl(group: &Group, store: &Store, prefix: &str, device: i32, timeout_ms: i64) -> Result<()>;
        fn all_reduce(group: &Group, tensor: Pin<&mut Tensor>, op: Reduce) -> Result<()>;
        fn broadcast(group: &Group, tensor: Pin<&mut Tensor>, root: i32) -> Result<()>;
        fn all_gather(group: &Group, tensor: &Tensor) -> Result<UniquePtr<Tensor>>;
        fn barrier(group: &Group) -> Result<()>;

        include!("ddp.h");
        type Ddp;
        fn ddp_new(group: &Group, params: &TensorList, bucket_bytes: usize) -> Result<UniquePtr<Ddp>>;
        fn ddp_prepare_forward(ddp: &Ddp) -> Result<()>;
        fn ddp_prepare_backward(ddp: &Ddp) -> Result<()>;
        fn ddp_bucket_sizes(ddp: &Ddp) -> Result<Vec<usize>>;

        include!("optim.h");
        fn fused_sgd(params: &TensorList, grads: &TensorList, bufs: &TensorList, step: &SgdStep) -> Result<()>;
        fn fused_adamw(
            params: &TensorList,
            grads: &TensorList,
            exp_avgs: &TensorList,
            exp_avg_sqs: &TensorList,
            step: &AdamWStep,
        ) -> Result<()>;
        fn foreach_zero(tensors: &TensorList) -> Result<()>;
        fn foreach_mul(tensors: &TensorList, factor: f64) -> Result<()>;
        fn foreach_lerp(tensors: &TensorList, ends: &TensorList, weight: f64) -> Result<()>;
        fn clip_grad_norm(grads: &TensorList, max_norm: f64) -> Result<UniquePtr<Tensor>>;

        include!("memory.h");
        fn to_channels_last(tensor: Pin<&mut Tensor>) -> Result<()>;
        fn is_channels_last(tensor: &Tensor) -> bool;
        fn pinned_empty(sizes: &[i64], bytes: bool) -> Result<UniquePtr<Tensor>>;
        fn is_pinned(tensor: &Tensor) -> Result<bool>;
        fn pin_memory(tensor: &Tensor) -> Result<UniquePtr<Tensor>>;
        fn copy_non_blocking(to: Pin<&mut Tensor>, from: &Tensor) -> Result<()>;
        fn autocast_enabled(cuda: bool) -> bool;
        fn autocast_dtype(cuda: bool) -> Half;
        fn autocast_set(cuda: bool, on: bool, dtype: Half);
        fn autocast_enter();
        fn autocast_exit();

        include!("stream.h");
        type Stream;
        type Event;
        fn device_count() -> i32;
        fn set_device(device: i32) -> Result<()>;
        fn synchronize(device: i32) -> Result<()>;
        fn memory_stats(device: i32) -> Result<MemoryStats>;
        fn reset_peak_memory(device: i32) -> Result<()>;
        fn empty_cache() -> Result<()>;
        fn stream_new(device: i32, high_priority: bool) -> Result<UniquePtr<Stream>>;
        fn stream_current(device: i32) -> Result<UniquePtr<Stream>>;
        fn stream_make_current(stream: &Stream) -> Result<()>;
        fn stream_wait_event(stream: &Stream, event: &Event) -> Result<()>;
        fn stream_synchronize(stream: &Stream) -> Result<()>;
        fn stream_keep(stream: &Stream, tensor: &Tensor) -> Result<()>;
        fn event_record(stream: &Stream, timed: bool) -> Result<UniquePtr<Event>>;
        fn event_done(event: &Event) -> Result<bool>;
        fn event_synchronize(event: &Event) -> Result<()>;
        fn event_elapsed_ms(start: &Event, end: &Event) -> Result<f64>;
    }
}

// SAFETY: a c10d store locks around each request on its connection; it belongs to no thread.
unsafe impl Send for sys::Store {}
// SAFETY: a process group queues work under a mutex; it belongs to no thread.
unsafe impl Send for sys::Group {}
// SAFETY: the reducer locks its state, and its hooks already run on autograd's threads.
unsafe impl Send for sys::Ddp {}
// SAFETY: a plain value of device, index and id.
unsafe impl Send for sys::Stream {}
// SAFETY: an event is not tied to a thread; that it is not Sync keeps two threads from using it at once.
unsafe impl Send for sys::Event {}

/// A tch tensor seen as the C++ object it points to.
pub(crate) fn cpp(tensor: &tch::Tensor) -> &sys::Tensor {
    // SAFETY: tch's pointer is a live `at::Tensor*` (torch_api.h: `typedef torch::Tensor *tensor`) for as long as the tch tensor.
    unsafe { &*tensor.as_ptr().cast::<sys::Tensor>() }
}

/// As [`cpp`], for what writes to the tensor.
pub(crate) fn cpp_mut(tensor: &mut tch::Tensor) -> Pin<&mut sys::Tensor> {
    // SAFETY: as in `cpp`; the exclusive borrow of the tch tensor is the only way to this pointer, and C++ never moves the object.
    unsafe { Pin::new_unchecked(&mut *tensor.as_mut_ptr().cast::<sys::Tensor>()) }
}

/// Hands a tensor made in C++ over to tch, which frees it.
pub(crate) fn into_tch(tensor: UniquePtr<sys::Tensor>) -> tch::Tensor {
    // SAFETY: the pointer comes from `new at::Tensor` and nobody else has it; tch's drop is `delete` on the same type.
    unsafe { tch::Tensor::from_ptr(tensor.into_raw().cast()) }
}

/// References to tensors, as a C++ vector.
pub(crate) fn list<T: Borrow<tch::Tensor>>(tensors: &[T]) -> UniquePtr<sys::TensorList> {
    let mut list = sys::list_with_capacity(tensors.len());
    for tensor in tensors {
        sys::list_push(list.pin_mut(), cpp(tensor.borrow()));
    }
    list
}
