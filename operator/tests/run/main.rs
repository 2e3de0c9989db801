//! `mixbench run` and `mixbench report` with a trainer that only speaks the protocol, and what needs a cluster where there is none.
#![allow(clippy::unwrap_used, missing_docs)]

mod bench;
mod desk;
mod finishes;
mod refuses;
mod reports;
mod stops;
