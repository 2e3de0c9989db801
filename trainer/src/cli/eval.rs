//! `eval`.

use std::path::PathBuf;

use clap::Args;

const EXAMPLES: &str = "Examples:
  mixbench-trainer eval --run out/runs/resnet20-mixup-0-3f2a9c0d1e/run.json
  mixbench-trainer eval --run run.json --checkpoint checkpoints/epoch-6.safetensors --data idx:fashion -o json";

/// Top-1 and top-5 of a checkpoint on the validation split
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct EvalArgs {
    /// The run document
    #[arg(long, value_name = "FILE")]
    pub run: PathBuf,
    /// The checkpoint [default: the newest valid one in the folder of the run document]
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// Data: builtin:NAME, idx:DIR or imagefolder:DIR [default: those of the run]
    #[arg(long, value_name = "URI")]
    pub data: Option<String>,
    /// Images of a forward pass [default: the run's evalBatch]
    #[arg(long, value_name = "N")]
    pub batch: Option<u32>,
    /// Evaluate on GPU 0 instead of the CPU
    #[arg(long)]
    pub gpu: bool,
    /// How the numbers are printed
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// How an answer is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For a person
    Table,
    /// One JSON object
    Json,
}
