//! Process groups: collective operations over the ranks of a world.

use crate::error::{Error, collective};
use crate::ffi::{cpp, cpp_mut, into_tch, sys, sys::Reduce};
use crate::locate::Endpoint;
use crate::store::{Store, millis};
use crate::stream::index;
use cxx::UniquePtr;
use std::fmt;
use tch::Tensor;

/// What carries the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// Gloo over TCP, for CPU tensors (and, copied through the host, for CUDA tensors).
    Gloo,
    /// NCCL for tensors on the CUDA device of this index; CPU tensors of the same group go over gloo, so that ranks can agree on
    /// small things without waiting for the device. A failure of NCCL while kernels run ends the process (c10d's watchdog).
    Nccl(usize),
}

/// The ranks of a world, connected. All ranks call the same operations in the same order, with tensors of the same size, kind and
/// memory format; each call returns when the result is there (on a GPU: when the stream will see it). A dead peer makes it return
/// an error at once, a hanging one when the store's timeout is up.
pub struct Group {
    pub(crate) handle: UniquePtr<sys::Group>,
    rank: usize,
    world_size: usize,
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Group(rank {} of {})", self.rank, self.world_size)
    }
}

impl Group {
    /// Connects all ranks of the store.
    ///
    /// # Errors
    /// [`Error::Rendezvous`] if not all ranks come in time or the backend cannot be used here.
    pub fn new(store: &Store, backend: Backend) -> Result<Self, Error> {
        let failed = |e: cxx::Exception| store.failed(&e);
        let (name, timeout) = (store.next_group(), millis(store.timeout));
        let (address, is_interface) = match &store.endpoint {
            Endpoint::Address(ip) => (ip.to_string(), false),
            Endpoint::Interface(interface) => (interface.clone(), true),
        };
        let Store { rank, world_size, .. } = *store;
        let handle =
            sys::group_gloo(&store.client, &name, index(rank), index(world_size), timeout, &address, is_interface)
                .map_err(failed)?;
        if let Backend::Nccl(device) = backend {
            sys::group_add_nccl(&handle, &store.client, &name, index(device), timeout).map_err(failed)?;
        }
        Ok(Self { handle, rank, world_size })
    }

    /// This rank, in `0..world_size`.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// The number of ranks.
    pub fn world_size(&self) -> usize {
        self.world_size
    }

    /// Replaces the tensor by its sum over all ranks.
    ///
    /// # Errors
    /// [`Error::Collective`] if a peer is gone or the tensor is a view with gaps.
    pub fn all_reduce_sum(&self, tensor: &mut Tensor) -> Result<(), Error> {
        self.all_reduce(tensor, Reduce::Sum)
    }

    /// Replaces the floating-point tensor by its mean over all ranks.
    ///
    /// # Errors
    /// As [`Group::all_reduce_sum`].
    pub fn all_reduce_avg(&self, tensor: &mut Tensor) -> Result<(), Error> {
        self.all_reduce(tensor, Reduce::Avg)
    }

    /// Replaces each element by its maximum over all ranks.
    ///
    /// # Errors
    /// As [`Group::all_reduce_sum`].
    pub fn all_reduce_max(&self, tensor: &mut Tensor) -> Result<(), Error> {
        self.all_reduce(tensor, Reduce::Max)
    }

    /// Replaces each element by its minimum over all ranks.
    ///
    /// # Errors
    /// As [`Group::all_reduce_sum`].
    pub fn all_reduce_min(&self, tensor: &mut Tensor) -> Result<(), Error> {
        self.all_reduce(tensor, Reduce::Min)
    }

    fn all_reduce(&self, tensor: &mut Tensor, op: Reduce) -> Result<(), Error> {
        sys::all_reduce(&self.handle, cpp_mut(tensor), op).map_err(collective("all-reduce"))
    }

    /// Replaces the tensor by that of rank `root`.
    ///
    /// # Errors
    /// As [`Group::all_reduce_sum`].
    pub fn broadcast(&self, tensor: &mut Tensor, root: usize) -> Result<(), Error> {
        sys::broadcast(&self.handle, cpp_mut(tensor), index(root)).map_err(collective("broadcast"))
    }

    /// The tensors of all ranks, stacked: sizes `[world_size, …]`.
    ///
    /// # Errors
    /// [`Error::Collective`] if a peer is gone.
    pub fn all_gather(&self, tensor: &Tensor) -> Result<Tensor, Error> {
        sys::all_gather(&self.handle, cpp(tensor)).map(into_tch).map_err(collective("all-gather"))
    }

    /// Returns once all ranks have called it.
    ///
    /// # Errors
    /// [`Error::Collective`] if a peer is gone.
    pub fn barrier(&self) -> Result<(), Error> {
        sys::barrier(&self.handle).map_err(collective("barrier"))
    }
}

/// Ranks as threads of one process, each with its own connection.
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::cast_possible_wrap)]
pub(crate) mod ranks {
    use super::*;
    use crate::Rendezvous;
    use std::net::TcpListener;
    use std::thread;
    use std::time::Duration;

    pub(crate) fn run<T: Send>(world_size: usize, work: impl Fn(Group) -> T + Sync) -> Vec<T> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut listener = Some(listener);
        let (timeout, host) = (Duration::from_secs(20), "127.0.0.1".to_owned());
        thread::scope(|scope| {
            let ranks: Vec<_> = (0..world_size)
                .map(|rank| {
                    let at =
                        Rendezvous { host: host.clone(), port, rank, world_size, listener: listener.take(), timeout };
                    let work = &work;
                    scope.spawn(move || work(Group::new(&Store::open(at).unwrap(), Backend::Gloo).unwrap()))
                })
                .collect();
            ranks.into_iter().map(|r| r.join().unwrap()).collect()
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::cast_possible_wrap)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};
    use tch::{Device, Kind};

    #[test]
    fn reductions_hold_for_each_kind_and_world() {
        for world_size in 1..=3 {
            ranks::run(world_size, |group| {
                let n = world_size as i64;
                for kind in [Kind::Float, Kind::Double, Kind::Int64] {
                    let mine = Tensor::arange(5, (kind, Device::Cpu)) * (group.rank() as i64 + 1);
                    let all = Tensor::arange(5, (kind, Device::Cpu));
                    let reduced = |op: fn(&Group, &mut Tensor) -> Result<(), Error>| {
                        let mut t = mine.copy();
                        op(&group, &mut t).unwrap();
                        t
                    };
                    assert_eq!(reduced(Group::all_reduce_sum), &all * (n * (n + 1) / 2));
                    assert_eq!(reduced(Group::all_reduce_max), &all * n);
                    assert_eq!(reduced(Group::all_reduce_min), all);
                    let gathered = group.all_gather(&mine).unwrap();
                    assert_eq!(gathered.size(), [n, 5]);
                    assert_eq!(gathered.get(n - 1), &all * n);
                    let mut from_last = mine.copy();
                    group.broadcast(&mut from_last, world_size - 1).unwrap();
                    assert_eq!(from_last, &all * n);
                }
                let mut mean = Tensor::from(group.rank() as f64);
                group.all_reduce_avg(&mut mean).unwrap();
                assert!((mean.double_value(&[]) - (n - 1) as f64 / 2.0).abs() < 1e-15);
                group.barrier().unwrap();
            });
        }
    }

    #[test]
    fn channels_last_is_reduced_in_place_and_a_view_with_gaps_is_refused() {
        ranks::run(2, |group| {
            let mut x = Tensor::arange(24, (Kind::Float, Device::Cpu)).view([1, 2, 3, 4]);
            let want = &x * 2;
            crate::to_channels_last_(&mut x).unwrap();
            group.all_reduce_sum(&mut x).unwrap();
            assert!(crate::is_channels_last(&x));
            assert_eq!(x, want);
            let mut view = x.slice(3, 0, 4, 2);
            let error = group.all_reduce_sum(&mut view).unwrap_err();
            assert!(error.to_string().contains("dense"), "{error}");
        });
    }

    #[test]
    fn a_leaf_that_requires_grad_can_be_reduced_and_broadcast() {
        ranks::run(2, |group| {
            let mut w = Tensor::from_slice(&[group.rank() as f32 + 1.0]).set_requires_grad(true);
            group.broadcast(&mut w, 1).unwrap();
            group.all_reduce_avg(&mut w).unwrap();
            assert!(w.requires_grad() && w.is_leaf());
            assert_eq!(w.detach(), Tensor::from_slice(&[2.0f32]));
        });
    }

    #[test]
    fn a_peer_that_is_gone_is_an_error_at_once() {
        // A peer that leaves while the others still connect to it is another failure.
        let connected = std::sync::Barrier::new(3);
        ranks::run(3, |group| {
            connected.wait();
            if group.rank() == 2 {
                return;
            }
            let start = Instant::now();
            let error = (0..3).find_map(|_| group.all_reduce_sum(&mut Tensor::from(1.0f64)).err()).unwrap();
            assert!(matches!(error, Error::Collective { operation: "all-reduce", .. }), "{error}");
            assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
        });
    }

    #[test]
    fn two_groups_over_one_store_do_not_mix() {
        let at = |rank, port, listener| crate::Rendezvous {
            host: "127.0.0.1".into(),
            port,
            rank,
            world_size: 2,
            listener,
            timeout: Duration::from_secs(20),
        };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let work = |store: Store| {
            let (a, b) = (Group::new(&store, Backend::Gloo).unwrap(), Group::new(&store, Backend::Gloo).unwrap());
            let mut x = Tensor::from(1.0f64);
            a.all_reduce_sum(&mut x).unwrap();
            b.all_reduce_sum(&mut x).unwrap();
            assert_eq!(x, Tensor::from(4.0f64));
        };
        let other = std::thread::spawn(move || work(Store::open(at(1, port, None)).unwrap()));
        work(Store::open(at(0, port, Some(listener))).unwrap());
        other.join().unwrap();
    }

    #[test]
    fn nccl_without_cuda_is_a_clear_error() {
        if crate::init().unwrap() == crate::Cuda::Absent {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            let timeout = Duration::from_secs(5);
            let at = crate::Rendezvous {
                host: "127.0.0.1".into(),
                port,
                rank: 0,
                world_size: 1,
                listener: Some(listener),
                timeout,
            };
            let error = Group::new(&Store::open(at).unwrap(), Backend::Nccl(0)).err().unwrap();
            assert!(error.to_string().contains("no CUDA in this process"), "{error}");
        }
    }
}
