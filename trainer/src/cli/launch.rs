//! `launch`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::launch::Asked;

const EXAMPLES: &str = "Examples:
  mixbench-trainer launch --run out/runs/resnet20-mixup-0-3f2a9c0d1e/run.json
  mixbench-trainer launch --run run.json --dir /data/run1 --auto-resume
  mixbench-trainer launch --run run.json --nnodes 2 --node-rank 1 --master-addr node0

One JSON event a line comes out on standard output, logs on standard error. The run's folder gets events.jsonl, log.txt,
checkpoints/ and, at the end, result.json. A run whose result stands is not trained again.
SIGTERM or Ctrl-C: checkpoint, then exit 75; a second one ends at once.";

/// Train one run: start its processes on this machine and watch over them
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct LaunchArgs {
    /// The run document, as `mixbench plan` and `mixbench run` write it
    #[arg(long, value_name = "FILE")]
    run: PathBuf,
    /// The run's folder [default: the folder of the run document]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Processes on this machine; must be what the run is planned for
    #[arg(long, value_name = "N", env = "NPROC_PER_NODE")]
    nproc: Option<u32>,
    /// Machines; must be what the run is planned for
    #[arg(long, value_name = "N", env = "NNODES")]
    nnodes: Option<u32>,
    /// Number of this machine, from 0 [env: or JOB_COMPLETION_INDEX]
    #[arg(long, value_name = "R", env = "NODE_RANK")]
    node_rank: Option<u32>,
    /// Name or address of machine 0; not needed on one machine
    #[arg(long, value_name = "HOST", env = "MASTER_ADDR")]
    master_addr: Option<String>,
    /// Port on machine 0 [default: 29500; a free one where the run has one machine]
    #[arg(long, value_name = "PORT", env = "MASTER_PORT")]
    master_port: Option<u16>,
    /// Go on from this checkpoint with everything: weights, optimizer, position
    #[arg(long, value_name = "FILE")]
    resume_from: Option<PathBuf>,
    /// Go on from the newest valid checkpoint in the run's folder, if there is one
    #[arg(long)]
    auto_resume: bool,
    /// Where the checkpoint lies that the run's loadCheckpoint takes its weights from
    #[arg(long, value_name = "FILE")]
    load_checkpoint: Option<PathBuf>,
    /// Write the last event there too, cut to 2 KiB (Kubernetes: /dev/termination-log)
    #[arg(long, value_name = "FILE", env = "MIXBENCH_TERMINATION_LOG")]
    termination_log: Option<PathBuf>,
    /// Seconds from a request to stop until processes that still run are killed
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    grace: u64,
    /// Serve rank 0's progress there: /progress (JSON) and /metrics (Prometheus)
    #[arg(long, value_name = "PORT", env = "MIXBENCH_METRICS_PORT")]
    metrics_port: Option<u16>,
}

impl From<LaunchArgs> for Asked {
    fn from(args: LaunchArgs) -> Self {
        // Kubernetes numbers the pods of an indexed Job so.
        let index = || std::env::var("JOB_COMPLETION_INDEX").ok().and_then(|i| i.parse().ok());
        Self {
            run: args.run,
            dir: args.dir,
            nproc: args.nproc,
            nnodes: args.nnodes,
            node_rank: args.node_rank.or_else(index),
            master_addr: args.master_addr,
            master_port: args.master_port,
            resume_from: args.resume_from,
            auto_resume: args.auto_resume,
            load_checkpoint: args.load_checkpoint,
            termination_log: args.termination_log,
            grace: Duration::from_secs(args.grace),
            metrics_port: args.metrics_port,
        }
    }
}
