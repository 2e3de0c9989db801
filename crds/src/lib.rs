//! The contract between the two halves of mixbench.
//!
//! The planner turns a manifest into [`run::Run`]s; a trainer takes one run and answers with [`event::Event`] lines and one
//! [`result::RunResult`]. Everything that both must agree on lives here and nowhere else: the recipes, the catalog of methods,
//! backbones and data sets, the metric rules, the published numbers, the folder layout and the exit codes. The custom resource itself stands
//! behind the feature `kube`, which the trainer never enables.

#[cfg(feature = "kube")]
pub mod benchmark;
pub mod catalog;
pub mod event;
pub mod exit;
pub mod hex;
pub mod layout;
pub mod metric;
pub mod published;
pub mod recipe;
pub mod result;
pub mod run;
pub mod training;
