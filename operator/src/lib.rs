//! `mixbench`: from a manifest to a table of top-1 beside the published numbers.
//!
//! ```text
//! manifest ─validate─► ValidSpec ─plan─► Plan ─► decide(plan, observed, now) ─► [Action] ─► a backend
//! table ◄─ aggregate ◄─ results ◄─ events ◄─ trainer ◄──────────────────────────────────────┘
//! ```
//! `validate`, `plan`, `decide`, `aggregate` and `status` are pure: no clock, no files, no processes. Backends are the only edge.

pub mod aggregate;
pub mod backend;
pub mod cli;
pub mod decide;
pub mod history;
pub mod kube;
pub mod manifest;
pub mod plan;
pub mod report;
pub mod status;
pub mod validate;
