//! Rendezvous: a key-value store in rank 0's process, through which the ranks find each other.

use crate::error::Error;
use crate::ffi::sys;
use crate::locate::{self, Endpoint};
use cxx::UniquePtr;
use std::cell::Cell;
use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;
use std::time::{Duration, Instant};

/// Where and as what a process meets the others.
#[derive(Debug)]
pub struct Rendezvous {
    /// Host of rank 0: a name or an address. On one node "127.0.0.1".
    pub host: String,
    /// Port of rank 0's store.
    pub port: u16,
    /// This process, in `0..world_size`.
    pub rank: usize,
    /// The number of processes.
    pub world_size: usize,
    /// A socket on which rank 0 serves, bound beforehand so that runs never race for a port. Without it rank 0 binds `port`.
    pub listener: Option<TcpListener>,
    /// How long to look `host` up, to connect, and to wait in each collective operation. Whole seconds; at least one.
    pub timeout: Duration,
}

/// A connection to the store; in rank 0 also its server, which ends when the store and all groups made over it are dropped.
pub struct Store {
    pub(crate) client: UniquePtr<sys::Store>,
    pub(crate) rank: usize,
    pub(crate) world_size: usize,
    pub(crate) timeout: Duration,
    pub(crate) endpoint: Endpoint,
    address: SocketAddr,
    groups: Cell<usize>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store(rank {} of {} at {})", self.rank, self.world_size, self.address)
    }
}

impl Store {
    /// Serves (rank 0) or connects, and checks that all ranks were started for the same world.
    ///
    /// Gloo then uses loopback if the host is this machine's loopback, otherwise the address from which this machine reaches the
    /// host, or the interface named by `GLOO_SOCKET_IFNAME`.
    ///
    /// # Errors
    /// [`Error::Listen`] if the port is taken; [`Error::Lookup`] and [`Error::Rendezvous`] once the time is up;
    /// [`Error::WorldSize`] and [`Error::DuplicateRank`] if the ranks do not fit together.
    pub fn open(rendezvous: Rendezvous) -> Result<Self, Error> {
        let Rendezvous { host, port, rank, world_size, listener, timeout } = rendezvous;
        let timeout = timeout.max(Duration::from_secs(1));
        let deadline = Instant::now() + timeout;
        let failed = |message: String| Error::Rendezvous { rank, world_size, host: host.clone(), port, message };
        let mut address = locate::lookup(&host, port, deadline)?;
        let endpoint = Endpoint::towards(address).map_err(|e| failed(format!("no route from this machine: {e}")))?;
        let mut fd = -1;
        if rank == 0 {
            let listener = listener.map_or_else(|| locate::listen(address), Ok)?;
            address = locate::served_at(&listener).map_err(Error::Listener)?;
            fd = listener.into_raw_fd();
        } else {
            address = locate::reach(&host, port, deadline).map_err(|e| failed(e.to_string()))?;
        }
        let world = i32::try_from(world_size).map_err(|e| failed(e.to_string()))?;
        let client = sys::store_new(&address.ip().to_string(), address.port(), fd, world, millis(timeout))
            .map_err(|e| failed(e.what().to_owned()))?;
        let store = Self { client, rank, world_size, timeout, endpoint, address, groups: Cell::new(0) };
        store.check_world()?;
        Ok(store)
    }

    fn check_world(&self) -> Result<(), Error> {
        let failed = |e: cxx::Exception| self.failed(&e);
        let Self { rank, world_size, .. } = *self;
        if rank == 0 {
            sys::store_set(&self.client, "world_size", world_size.to_string().as_bytes()).map_err(failed)?;
        }
        let theirs = sys::store_get(&self.client, "world_size").map_err(failed)?;
        let theirs = String::from_utf8_lossy(&theirs).parse().unwrap_or(0);
        if theirs != world_size {
            return Err(Error::WorldSize { rank, mine: world_size, theirs });
        }
        if sys::store_add(&self.client, &format!("rank/{rank}"), 1).map_err(failed)? > 1 {
            return Err(Error::DuplicateRank { rank });
        }
        Ok(())
    }

    /// Adds `n` to the counter `key`, which starts at 0, and returns the sum.
    ///
    /// # Errors
    /// [`Error::Rendezvous`] if rank 0 is gone.
    pub fn add(&self, key: &str, n: i64) -> Result<i64, Error> {
        sys::store_add(&self.client, &format!("user/{key}"), n).map_err(|e| self.failed(&e))
    }

    /// Sets `key` for all ranks.
    ///
    /// # Errors
    /// [`Error::Rendezvous`] if rank 0 is gone.
    pub fn set(&self, key: &str, value: &[u8]) -> Result<(), Error> {
        sys::store_set(&self.client, &format!("user/{key}"), value).map_err(|e| self.failed(&e))
    }

    /// The value of `key`, waiting for a rank to set it.
    ///
    /// # Errors
    /// [`Error::Rendezvous`] if rank 0 is gone or the time is up.
    pub fn get(&self, key: &str) -> Result<Vec<u8>, Error> {
        sys::store_get(&self.client, &format!("user/{key}")).map_err(|e| self.failed(&e))
    }

    /// A name for the next group. All ranks make their groups in the same order.
    pub(crate) fn next_group(&self) -> String {
        format!("group/{}", self.groups.replace(self.groups.get() + 1))
    }

    pub(crate) fn failed(&self, exception: &cxx::Exception) -> Error {
        Error::Rendezvous {
            rank: self.rank,
            world_size: self.world_size,
            host: self.address.ip().to_string(),
            port: self.address.port(),
            message: exception.what().to_owned(),
        }
    }
}

/// c10d counts milliseconds.
pub(crate) fn millis(timeout: Duration) -> i64 {
    i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::thread;

    fn rendezvous(port: u16, rank: usize, world_size: usize, listener: Option<TcpListener>) -> Rendezvous {
        Rendezvous { host: "127.0.0.1".into(), port, rank, world_size, listener, timeout: Duration::from_secs(10) }
    }

    fn bound() -> (TcpListener, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, port)
    }

    #[test]
    fn ranks_share_keys_over_a_socket_bound_beforehand() {
        let (listener, port) = bound();
        let other = thread::spawn(move || {
            let store = Store::open(rendezvous(port, 1, 2, None)).unwrap();
            store.set("greeting", b"hello").unwrap();
            store.add("count", 2).unwrap();
        });
        let store = Store::open(rendezvous(port, 0, 2, Some(listener))).unwrap();
        assert_eq!(store.get("greeting").unwrap(), b"hello");
        other.join().unwrap();
        assert_eq!(store.add("count", 3).unwrap(), 5);
    }

    #[test]
    fn rank_0_binds_the_port_itself_where_no_socket_is_given() {
        let port = bound().1;
        let store = Store::open(rendezvous(port, 0, 1, None)).unwrap();
        assert_eq!(store.address.port(), port);
        assert_eq!(store.endpoint, Endpoint::Address(Ipv4Addr::LOCALHOST.into()));
    }

    #[test]
    fn an_occupied_port_is_named() {
        let (_taken, port) = bound();
        let error = Store::open(rendezvous(port, 0, 1, None)).err().unwrap();
        assert!(matches!(&error, Error::Listen { address, .. } if address.port() == port), "{error}");
        assert!(error.to_string().contains("--master-port"), "{error}");
    }

    #[test]
    fn a_client_without_a_server_gives_up_in_time() {
        let port = bound().1;
        let start = Instant::now();
        let error =
            Store::open(Rendezvous { timeout: Duration::from_secs(1), ..rendezvous(port, 1, 2, None) }).err().unwrap();
        assert!(matches!(error, Error::Rendezvous { rank: 1, .. }), "{error}");
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    }

    #[test]
    fn worlds_of_different_sizes_and_double_ranks_are_noticed() {
        let (listener, port) = bound();
        let _server = Store::open(rendezvous(port, 0, 2, Some(listener))).unwrap();
        let error = Store::open(rendezvous(port, 1, 3, None)).err().unwrap();
        assert!(matches!(error, Error::WorldSize { rank: 1, mine: 3, theirs: 2 }), "{error}");
        let _first = Store::open(rendezvous(port, 1, 2, None)).unwrap();
        let error = Store::open(rendezvous(port, 1, 2, None)).err().unwrap();
        assert!(matches!(error, Error::DuplicateRank { rank: 1 }), "{error}");
    }
}
