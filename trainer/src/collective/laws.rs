//! What every row of [`COLLECTIVES`] must hold to. Ranks are threads, except where one has to die.

use std::net::TcpListener;
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use std::{env, thread};

use anyhow::{Context, Result, ensure};
use nccl_rs::Rendezvous;
use tch::{Device, Kind, Tensor};

use super::{COLLECTIVES, Collective, CollectiveError, DeviceKind, World};

fn meeting(port: u16, rank: usize, world_size: usize, listener: Option<TcpListener>) -> Rendezvous {
    Rendezvous { host: "127.0.0.1".into(), port, rank, world_size, listener, timeout: Duration::from_secs(30) }
}

fn listener() -> Result<(TcpListener, u16)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    Ok((listener, port))
}

/// Calls `law` with each row and a number of ranks that it can serve here: NCCL wants a device of its own for each.
fn for_each_row(mut law: impl FnMut(&Collective, usize) -> Result<()>) -> Result<()> {
    nccl_rs::init()?;
    for row in COLLECTIVES {
        let ranks = match row.device {
            DeviceKind::Cpu => 3,
            DeviceKind::Cuda => row.device.count().min(3),
        };
        if ranks == 0 {
            eprintln!("{}: skipped: no CUDA device", row.name);
            continue;
        }
        law(row, ranks).with_context(|| format!("{} with {ranks} ranks", row.name))?;
    }
    Ok(())
}

fn device(row: &Collective, rank: usize) -> Device {
    match row.device {
        DeviceKind::Cpu => Device::Cpu,
        DeviceKind::Cuda => Device::Cuda(rank),
    }
}

/// Runs `work` on every rank of a world.
fn on_ranks(row: &Collective, ranks: usize, work: impl Fn(World, Device) -> Result<()> + Sync) -> Result<()> {
    let (socket, port) = listener()?;
    let mut socket = Some(socket);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..ranks)
            .map(|rank| {
                let (at, work) = (meeting(port, rank, ranks, socket.take()), &work);
                scope.spawn(move || {
                    let device = device(row, rank);
                    work(World::join(at, device)?, device)
                })
            })
            .collect();
        threads.into_iter().try_for_each(|t| t.join().map_err(|_| anyhow::anyhow!("a rank panicked"))?)
    })
}

#[test]
fn a_sum_is_the_sum_over_all_ranks() -> Result<()> {
    for_each_row(|row, ranks| {
        on_ranks(row, ranks, |world, device| {
            let total = (world.world_size * (world.world_size + 1) / 2) as i64;
            for kind in [Kind::Float, Kind::Double, Kind::Int64] {
                let ramp = Tensor::arange(100, (kind, device));
                let mut sum = &ramp * (world.rank as i64 + 1);
                world.all_reduce_sum(&mut sum)?;
                ensure!(sum == ramp * total, "{kind:?}");
            }
            Ok(())
        })
    })
}

#[test]
fn a_broadcast_gives_every_rank_the_roots_values() -> Result<()> {
    for_each_row(|row, ranks| {
        on_ranks(row, ranks, |world, device| {
            for root in 0..world.world_size {
                let mut x = Tensor::full([7], world.rank as i64, (Kind::Float, device));
                world.broadcast(&mut x, root)?;
                ensure!(x == Tensor::full([7], root as i64, (Kind::Float, device)), "root {root}");
            }
            let said = if world.is_root() { &b"rank 0 says"[..] } else { b"?" };
            ensure!(world.bytes_of_root(said)? == b"rank 0 says");
            ensure!(world.bytes_of_root(b"")?.is_empty());
            Ok(())
        })
    })
}

#[test]
fn one_flag_is_enough_for_all_to_agree() -> Result<()> {
    for_each_row(|row, ranks| {
        on_ranks(row, ranks, |world, _| {
            ensure!(!world.agree_any(false)?);
            ensure!(world.agree_any(world.rank == world.world_size - 1)?);
            Ok(())
        })
    })
}

#[test]
fn nobody_leaves_a_barrier_before_the_last_has_come() -> Result<()> {
    for_each_row(|row, ranks| {
        let late = Duration::from_millis(200);
        on_ranks(row, ranks, |world, _| {
            world.barrier()?;
            let start = Instant::now();
            if world.rank == world.world_size - 1 {
                thread::sleep(late);
            }
            world.barrier()?;
            ensure!(start.elapsed() + Duration::from_millis(20) >= late, "left after {:?}", start.elapsed());
            Ok(())
        })
    })
}

/// Ends the other process with the test.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Tells a second process of this test binary which row and port it is to be rank 1 of.
const PEER: &str = "MIXBENCH_TEST_PEER";

#[test]
fn a_killed_peer_is_an_error_within_seconds() -> Result<()> {
    nccl_rs::init()?;
    if let Ok(told) = env::var(PEER) {
        let (name, port) = told.split_once(' ').context("row and port")?;
        let row = COLLECTIVES.iter().find(|row| row.name == name).context("row")?;
        let world = World::join(meeting(port.parse()?, 1, 2, None), device(row, 1))?;
        world.agree_any(true)?;
        thread::sleep(Duration::from_mins(1));
        return Ok(());
    }
    for_each_row(|row, ranks| {
        if ranks < 2 {
            eprintln!("{}: skipped: one CUDA device serves one rank", row.name);
            return Ok(());
        }
        let (socket, port) = listener()?;
        let mut peer = Peer(
            Command::new(env::current_exe()?)
                .args(["--exact", "collective::laws::a_killed_peer_is_an_error_within_seconds", "--nocapture"])
                .env(PEER, format!("{} {port}", row.name))
                .spawn()?,
        );
        let world = World::join(meeting(port, 0, 2, Some(socket)), device(row, 0))?;
        ensure!(world.agree_any(false)?);
        peer.0.kill()?;
        let start = Instant::now();
        let error = (0..3).find_map(|_| world.agree_any(false).err()).context("no error after the peer's death")?;
        ensure!(matches!(error, CollectiveError::Lost(_)), "{error}");
        ensure!(start.elapsed() < Duration::from_secs(5), "after {:?}", start.elapsed());
        Ok(())
    })
}

#[test]
fn a_world_of_one_needs_nobody() -> Result<()> {
    let world = World::join(meeting(1, 0, 1, None), Device::Cpu)?;
    let mut x = Tensor::from(3.0);
    world.all_reduce_sum(&mut x)?;
    world.broadcast(&mut x, 0)?;
    world.barrier()?;
    ensure!(x == Tensor::from(3.0) && world.is_root() && world.group.is_none());
    ensure!(world.agree_any(true)? && !world.agree_any(false)?);
    ensure!(world.bytes_of_root(b"mine")? == b"mine");
    ensure!(world.ddp(&[], 1)?.is_none());
    Ok(())
}

#[test]
fn an_occupied_port_keeps_the_ranks_from_joining_and_is_named() -> Result<()> {
    let (_taken, port) = listener()?;
    let error = World::join(meeting(port, 0, 2, None), Device::Cpu).err().context("joined")?;
    ensure!(matches!(error, CollectiveError::Join(_)) && error.to_string().contains(&port.to_string()), "{error}");
    Ok(())
}
