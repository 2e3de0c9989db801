//! The operator on a real control plane whose nodes the test plays: `make test-cluster`.
//!
//! Tests named `row_…` stand for the rows of the list of faults that the operator promises to bear.
#![allow(clippy::unwrap_used, missing_docs)]

mod answers;
#[path = "../bad/mod.rs"]
mod bad;
mod besides;
mod children;
mod crashes;
mod desk;
mod edits;
mod happy;
mod lease;
mod manifests;
mod nodes;
mod support;
mod tools;
mod watching;
mod wiped;
mod words;
