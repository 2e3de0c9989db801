//! `mixbench run` and `mixbench report` with a trainer that only speaks the protocol.
#![allow(clippy::unwrap_used, missing_docs)]

mod bench;
mod finishes;
mod refuses;
mod reports;
mod stops;
