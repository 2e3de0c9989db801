//! What needs a GPU. Where there is none, each test says so and passes.
//!
//! The tests find CUDA when the libtorch in use has its CUDA library: `LD_LIBRARY_PATH=<torch>/lib cargo test -p nccl-rs --test gpu`.

use std::env;
use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use nccl_rs::{
    AdamW, Autocast, Backend, Cuda, Ddp, Dtype, Error, Graph, Group, Rendezvous, Sgd, Store, Stream, copy_non_blocking,
    fused_adamw_, fused_sgd_, is_pinned, memory_stats, pinned_empty, reset_peak_memory, to_channels_last_, zero_grads,
};
use tch::{Device, Kind, Tensor};

type Result<T = ()> = std::result::Result<T, Error>;

const GPU: Device = Device::Cuda(0);
const MIB: u64 = 1 << 20;

/// Whether there is a GPU. Every test asks first, so that CUDA is in the process before libtorch looks for it.
fn gpu() -> Result<bool> {
    let there = nccl_rs::init()? == Cuda::Loaded && nccl_rs::device_count() > 0;
    if !there {
        eprintln!("skipped: no CUDA device");
    }
    Ok(there)
}

fn join(port: u16, rank: usize, world_size: usize, listener: Option<TcpListener>, backend: Backend) -> Result<Group> {
    let (host, timeout) = ("127.0.0.1".to_owned(), Duration::from_mins(1));
    Group::new(&Store::open(Rendezvous { host, port, rank, world_size, listener, timeout })?, backend)
}

fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
    let port = listener.local_addr().expect("bound").port();
    (listener, port)
}

fn wave(sizes: &[i64], phase: f64) -> Tensor {
    let n: i64 = sizes.iter().product();
    (Tensor::arange(n, (Kind::Double, Device::Cpu)) + phase).sin().view(sizes).to_device(GPU)
}

fn distance(a: &Tensor, b: &Tensor) -> f64 {
    (a.to_device(Device::Cpu) - b.to_device(Device::Cpu)).abs().max().double_value(&[])
}

/// The gradient of a small model on `x`, with DDP over `group` where there is one.
fn gradient(group: Option<&Group>, x: &Tensor) -> Result<Tensor> {
    let w = wave(&[5, 6], 1.0).set_requires_grad(true);
    let ddp = group.map(|group| Ddp::new(group, &[&w], 1 << 20)).transpose()?;
    for step in 0..2 {
        ddp.as_ref().map_or(Ok(()), Ddp::prepare_forward)?;
        let loss = x.matmul(&w.tr()).tanh().square().mean(Kind::Double);
        ddp.as_ref().map_or(Ok(()), Ddp::prepare_backward)?;
        loss.backward();
        if step == 0 {
            zero_grads(&[&w])?;
        }
    }
    Ok(w.grad().copy())
}

#[test]
fn versions_name_cudnn_and_nccl() -> Result {
    if gpu()? {
        let versions = nccl_rs::versions()?;
        assert!(versions.cudnn.is_some() && versions.nccl.is_some(), "{versions:?}");
    }
    Ok(())
}

/// Tells a second process of this test binary where to be rank 1.
const PEER: &str = "NCCL_RS_TEST_PEER";

/// Two processes, since the ranks of one process would share autograd's one thread per GPU and wait for each other in it.
#[test]
fn gloo_carries_cuda_tensors_of_two_processes_on_one_gpu() -> Result {
    if !gpu()? {
        return Ok(());
    }
    let work = |group: &Group| {
        let mut one = Tensor::ones([3], (Kind::Float, GPU));
        group.all_reduce_sum(&mut one)?;
        assert_eq!(one, Tensor::full([3], 2.0, (Kind::Float, GPU)));
        let x = wave(&[8, 6], 0.0);
        let (whole, got) = (gradient(None, &x)?, gradient(Some(group), &x.chunk(2, 0)[group.rank()])?);
        assert!(distance(&got, &whole) < 1e-12, "{}", distance(&got, &whole));
        group.barrier()
    };
    if let Ok(port) = env::var(PEER) {
        return work(&join(port.parse().expect("a port"), 1, 2, None, Backend::Gloo)?);
    }
    let (socket, port) = listener();
    let mut peer = Command::new(env::current_exe().expect("this binary"))
        .args(["--exact", "gloo_carries_cuda_tensors_of_two_processes_on_one_gpu", "--nocapture"])
        .env(PEER, port.to_string())
        .spawn()
        .expect("a second process");
    let worked = join(port, 0, 2, Some(socket), Backend::Gloo).and_then(|group| work(&group));
    assert!(peer.wait().expect("its end").success(), "rank 1 failed; rank 0: {worked:?}");
    worked
}

#[test]
fn nccl_serves_a_world_of_one_and_its_cpu_tensors_go_over_gloo() -> Result {
    if !gpu()? {
        return Ok(());
    }
    let x = wave(&[8, 6], 0.0);
    let (socket, port) = listener();
    let group = join(port, 0, 1, Some(socket), Backend::Nccl(0))?;
    for device in [GPU, Device::Cpu] {
        let mut one = Tensor::ones([3], (Kind::Float, device));
        group.all_reduce_sum(&mut one)?;
        group.broadcast(&mut one, 0)?;
        assert_eq!(one, Tensor::ones([3], (Kind::Float, device)));
    }
    group.barrier()?;
    assert!(distance(&gradient(Some(&group), &x)?, &gradient(None, &x)?) < 1e-12);
    Ok(())
}

#[test]
fn a_pinned_batch_is_copied_on_a_stream_of_its_own() -> Result {
    if !gpu()? {
        return Ok(());
    }
    let mut host = pinned_empty(&[64, 3, 32, 32], Kind::Uint8)?;
    assert!(is_pinned(&host)?);
    let _ = host.fill_(7);
    let (main, side) = (Stream::current(0)?, Stream::new(0, true)?);
    let mut batch = Tensor::zeros([64, 3, 32, 32], (Kind::Float, GPU));
    side.wait(&main.record()?)?;
    let start = side.record_timed()?;
    {
        let _current = side.make_current()?;
        copy_non_blocking(&mut batch, &host)?;
    }
    let end = side.record_timed()?;
    side.keep(&batch)?;
    main.wait(&end)?;
    assert!((batch.mean(Kind::Float).double_value(&[]) - 7.0).abs() < 1e-6);
    end.synchronize()?;
    assert!(end.is_done()? && end.since(&start)? > Duration::ZERO);
    Ok(())
}

#[test]
fn a_recorded_graph_computes_when_replayed() -> Result {
    if !gpu()? {
        return Ok(());
    }
    let stream = Stream::new(0, false)?;
    let mut x = Tensor::ones([4], (Kind::Float, GPU));
    nccl_rs::synchronize(0)?;
    let mut graph = Graph::record(&stream, || {
        let _ = x.g_mul_scalar_(2.0);
        Ok(())
    })?;
    for _ in 0..3 {
        graph.replay()?;
    }
    nccl_rs::synchronize(0)?;
    assert_eq!(x, Tensor::full([4], 8.0, (Kind::Float, GPU)));
    Ok(())
}

#[test]
fn products_on_the_gpu_run_in_bf16_inside_a_guard_only() -> Result {
    if gpu()? {
        let x = Tensor::ones([8, 8], (Kind::Float, GPU));
        {
            let _bf16 = Autocast::new(GPU, Dtype::Bf16);
            assert_eq!(x.matmul(&x).kind(), Kind::BFloat16);
        }
        assert_eq!(x.matmul(&x).kind(), Kind::Float);
    }
    Ok(())
}

#[test]
fn fused_steps_on_the_gpu_are_those_on_the_cpu() -> Result {
    if !gpu()? {
        return Ok(());
    }
    let run = |device: Device| -> Result<Vec<Tensor>> {
        let start = |phase| wave(&[16, 8, 3, 3], phase).to_device(device);
        let mut tensors: Vec<Tensor> = [0.0, 1.0].into_iter().map(start).collect();
        let (mut state, mut grad): (Vec<_>, _) = ((0..3).map(|_| start(0.0).zeros_like()).collect(), start(2.0));
        for t in tensors.iter_mut().chain(&mut state).chain([&mut grad]) {
            to_channels_last_(t)?;
        }
        for step in 1..=3 {
            let sgd = Sgd { lr: 0.1, momentum: 0.9, weight_decay: 1e-4, nesterov: true, first_step: step == 1 };
            fused_sgd_(&[&tensors[0]], &[&grad], &[&state[0]], &sgd)?;
            let adamw = AdamW { lr: 1e-3, betas: (0.9, 0.999), eps: 1e-8, weight_decay: 0.05, step };
            fused_adamw_(&[&tensors[1]], &[&grad], &[&state[1]], &[&state[2]], &adamw)?;
        }
        Ok(tensors)
    };
    for (cpu, gpu) in run(Device::Cpu)?.iter().zip(&run(GPU)?) {
        assert!(distance(cpu, gpu) < 1e-12, "{}", distance(cpu, gpu));
    }
    Ok(())
}

#[test]
fn memory_statistics_see_a_tensor_come_and_go() -> Result {
    if !gpu()? {
        return Ok(());
    }
    let big = Tensor::zeros([256 << 20], (Kind::Uint8, GPU));
    let with = memory_stats(0)?;
    assert!(with.allocated >= 256 * MIB && with.reserved >= with.allocated && with.total > with.free, "{with:?}");
    drop(big);
    reset_peak_memory(0)?;
    let without = memory_stats(0)?;
    assert!(without.total == with.total && without.reserved >= without.allocated, "{without:?}");
    nccl_rs::empty_cache()
}
