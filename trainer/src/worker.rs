//! One training process: what it needs to know before it trains.

use std::path::PathBuf;

use mixbench_crds::layout::RunDir;
use mixbench_crds::run::Run;
use tch::Device;

use crate::report::Reporter;
use crate::stop::StopFlag;

/// What `crate::train::run` is given. A field `world: crate::collective::World` joins it together with that module.
#[derive(Debug)]
pub struct WorkerContext {
    /// The run; `run.place` already holds what the command line of `launch` said.
    pub run: Run,
    /// The run's folder. Workers write only below [`RunDir::checkpoints`]; events and results are `launch`'s.
    pub dir: RunDir,
    /// Rank of this process, 0..world size.
    pub rank: u32,
    /// Rank on this machine, 0..local size: the number of its GPU.
    pub local_rank: u32,
    /// Where tensors live: `Device::Cuda(local_rank)` where the world has GPUs.
    pub device: Device,
    /// The line to `launch`.
    pub reporter: Reporter,
    /// Set when the run shall stop.
    pub stop: StopFlag,
    /// Where the weights come from.
    pub options: Options,
}

/// Where a run's first weights come from. `resume_from` and `auto_resume` are never both set: what is named wins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Go on from this checkpoint with everything; it must be of this run.
    pub resume_from: Option<PathBuf>,
    /// Go on from the newest valid checkpoint in the run's folder, else begin.
    pub auto_resume: bool,
    /// Take the weights, and nothing else, from this checkpoint; ignored when the run is resumed.
    pub load_checkpoint: Option<PathBuf>,
}
