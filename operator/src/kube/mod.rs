//! Benchmarks on a cluster: the edge that lets the same `decide` as `mixbench run` start Jobs instead of processes.
//!
//! ```text
//! watches ─► reflector stores ─observe─► Observed ─decide─► [Action] ─status write (CAS)─► Jobs created, deleted, given their TTL ─► events
//! ```
//! What is named after an arrow's left side is pure; only `client`, `lease`, `http`, `progress`, `controller`, `look`,
//! `turn`, `act`, `events` and `desk` talk to anybody. Correctness rests on names and on resource versions, never on the Lease.

pub mod act;
mod asking;
pub mod client;
pub mod controller;
pub mod desk;
pub mod events;
#[cfg(test)]
pub(crate) mod fake;
mod hands;
pub mod http;
mod invalid;
pub mod job;
pub mod lease;
pub mod log;
mod look;
pub mod memory;
pub mod metrics;
pub mod names;
pub mod observe;
pub mod pod;
pub mod progress;
pub mod pulse;
pub mod reconcile;
pub mod record;
pub mod reference;
pub mod trouble;
mod turn;
#[cfg(test)]
pub(crate) mod world;

#[cfg(test)]
mod handbook;
