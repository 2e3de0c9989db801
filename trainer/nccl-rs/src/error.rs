//! What can go wrong between Rust and libtorch.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// A failure in libtorch or on the way to the other ranks.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// CUDA's library is there, but does not load or came too late.
    #[error("cannot use CUDA: {0}")]
    Cuda(String),
    /// The rendezvous port cannot be listened on.
    #[error("cannot listen on {address}: {source}; another program has the port, choose another one (--master-port)")]
    Listen {
        /// What was to be bound.
        address: SocketAddr,
        /// The system's answer.
        source: io::Error,
    },
    /// A listening socket that was handed over is not usable.
    #[error("the listening socket for the rendezvous is not usable: {0}")]
    Listener(#[source] io::Error),
    /// The rendezvous host has no address.
    #[error("no address for `{host}` after {} s: {source}; check the name and the cluster's DNS", waited.as_secs())]
    Lookup {
        /// The name that was looked up.
        host: String,
        /// How long it was tried.
        waited: Duration,
        /// The last answer.
        source: io::Error,
    },
    /// The ranks did not come together.
    #[error("rank {rank} of {world_size} did not meet the others at {host}:{port}: {message}")]
    Rendezvous {
        /// This rank.
        rank: usize,
        /// The number of ranks expected.
        world_size: usize,
        /// Host of rank 0's store.
        host: String,
        /// Its port.
        port: u16,
        /// c10d's words.
        message: String,
    },
    /// Ranks were started for worlds of different sizes.
    #[error(
        "rank {rank} was started for a world of {mine} ranks, rank 0 for {theirs}: start all with the same world size"
    )]
    WorldSize {
        /// This rank.
        rank: usize,
        /// Its world size.
        mine: usize,
        /// Rank 0's world size.
        theirs: usize,
    },
    /// Two processes call themselves the same rank.
    #[error("rank {rank} was started twice: give each process its own rank")]
    DuplicateRank {
        /// The rank.
        rank: usize,
    },
    /// A collective operation failed, mostly because a peer died or hung.
    #[error("{operation} failed: {message}")]
    Collective {
        /// Which operation.
        operation: &'static str,
        /// c10d's words.
        message: String,
    },
    /// Any other failure inside libtorch.
    #[error("libtorch: {0}")]
    Torch(String),
}

impl From<cxx::Exception> for Error {
    fn from(exception: cxx::Exception) -> Self {
        Self::Torch(exception.what().to_owned())
    }
}

/// For `map_err`: a failed collective under its name.
pub(crate) fn collective(operation: &'static str) -> impl FnOnce(cxx::Exception) -> Error {
    move |exception| Error::Collective { operation, message: exception.what().to_owned() }
}
