//! The operator on a real node: pods train, and what happens to them happens to processes. `make e2e` brings the node, the images, the
//! chart and the results of `mixbench run` that these are compared with.
#![allow(clippy::unwrap_used, missing_docs)]

mod disturbed;
mod space;
mod trains;
