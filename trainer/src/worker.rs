//! One training process: what it needs to know before it trains.

use std::path::PathBuf;

use mixbench_crds::layout::RunDir;
use mixbench_crds::run::Run;
use tch::Device;

use crate::collective::World;
use crate::report::Reporter;
use crate::stop::StopFlag;

/// Environment variables between `launch` and a worker, beside the usual `RANK`, `LOCAL_RANK`, `WORLD_SIZE`, `MASTER_ADDR` and `MASTER_PORT`.
pub mod env {
    pub use crate::report::REPORT_FD;
    /// Set to `stdin` where standard input is the bound socket that rank 0 serves the store on.
    pub const LISTEN: &str = "MIXBENCH_LISTEN";
    /// Descriptor of a pipe that ends when `launch` does.
    pub const LIFELINE_FD: &str = "MIXBENCH_LIFELINE_FD";
    /// Seconds that a worker without `launch` has for its last checkpoint.
    pub const GRACE: &str = "MIXBENCH_GRACE";
    /// Port of rank 0's progress endpoint.
    pub const METRICS_PORT: &str = "MIXBENCH_METRICS_PORT";
}

/// What [`crate::train::run`] is given.
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
    /// All processes of the run.
    pub world: World,
    /// The line to `launch`.
    pub reporter: Reporter,
    /// Set when the run shall stop.
    pub stop: StopFlag,
    /// Where the weights come from.
    pub options: Options,
}

/// Where a run's first weights come from, in this order: the newest valid checkpoint of the run's folder (`auto_resume`), else `resume_from`, else
/// `load_checkpoint`, else the initialiser. So a second attempt goes on from where the first came to, not from where that began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Go on from this checkpoint with everything; it must be of this run.
    pub resume_from: Option<PathBuf>,
    /// Go on from the newest valid checkpoint in the run's folder, if there is one.
    pub auto_resume: bool,
    /// Take the weights, and nothing else, from this checkpoint; ignored when the run is resumed.
    pub load_checkpoint: Option<PathBuf>,
}
