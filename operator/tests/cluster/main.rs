//! The operator on a real control plane whose nodes the test plays: `make test-cluster`.
//!
//! Tests named `row_…` stand for the rows of the list of faults that the operator promises to bear.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../bad/mod.rs"]
mod bad;
mod desk;
mod lease;
mod manifests;
#[allow(dead_code, reason = "modules that use the rest join one by one")]
mod support;
mod tools;
