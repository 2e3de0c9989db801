//! mixbench-trainer: data-parallel training of one run over libtorch.

pub mod backbones;
pub mod catalog;
pub mod checkpoint;
pub mod cli;
pub mod collective;
pub mod data;
pub mod device;
pub mod document;
pub mod eval;
pub mod failure;
pub mod launch;
pub mod logging;
pub mod methods;
pub mod optim;
pub mod preview;
pub mod progress;
pub mod report;
pub mod rng;
pub mod stop;
pub mod train;
pub mod worker;
