//! `worker`.

use std::path::PathBuf;

use clap::Args;

/// Train as one process of a run; `launch` starts it
///
/// Its rank, its peers and its line to `launch` come through the environment (docs/protocol.md), so it is of no use alone.
#[derive(Debug, Args)]
pub struct WorkerArgs {
    /// The run document
    #[arg(long, value_name = "FILE")]
    pub run: PathBuf,
    /// The run's folder
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// Go on from this checkpoint with everything
    #[arg(long, value_name = "FILE")]
    pub resume_from: Option<PathBuf>,
    /// Go on from the newest valid checkpoint in the run's folder, if there is one
    #[arg(long)]
    pub auto_resume: bool,
    /// Take the weights, and nothing else, from this checkpoint
    #[arg(long, value_name = "FILE")]
    pub load_checkpoint: Option<PathBuf>,
    /// Rank of this process
    #[arg(long, env = "RANK", hide = true)]
    pub rank: u32,
    /// Rank on this machine
    #[arg(long, env = "LOCAL_RANK", hide = true)]
    pub local_rank: u32,
    /// Where the store is
    #[arg(long, env = "MASTER_ADDR", hide = true)]
    pub master_addr: String,
    /// Port of the store
    #[arg(long, env = "MASTER_PORT", hide = true)]
    pub master_port: u16,
    /// Descriptor of the pipe that ends with `launch`
    #[arg(long, env = "MIXBENCH_LIFELINE_FD", hide = true)]
    pub lifeline_fd: u32,
    /// Descriptor of the report pipe
    #[arg(long, env = "MIXBENCH_REPORT_FD", hide = true)]
    pub report_fd: u32,
    /// Seconds for the last checkpoint once `launch` is gone
    #[arg(long, env = "MIXBENCH_GRACE", default_value_t = 30, hide = true)]
    pub grace: u64,
    /// Port of the progress endpoint, in rank 0
    #[arg(long, env = "MIXBENCH_METRICS_PORT", hide = true)]
    pub metrics_port: Option<u16>,
}
