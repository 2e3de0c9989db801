//! `preview`.

use std::path::PathBuf;

use clap::Args;
use mixbench_crds::exit::Exit;

use crate::preview::{Options, PreviewError, run};

const EXAMPLES: &str = "Examples:
  mixbench-trainer preview --method cutmix --param alpha=1.0 --out cutmix.png
  mixbench-trainer preview --run run.json --epoch 3 --step 10 --out batch.png --save batch.safetensors";

/// Draw what a method does to a batch: A | B | mixed | mask
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct PreviewArgs {
    /// Take method, data and seed from this run document
    #[arg(long, value_name = "FILE", conflicts_with_all = ["method", "param", "seed"], required_unless_present = "method")]
    pub run: Option<PathBuf>,
    /// Method of the catalog
    #[arg(long, value_name = "NAME")]
    pub method: Option<String>,
    /// Parameter of the method; may be repeated [default: the catalog's]
    #[arg(long, value_name = "NAME=VALUE")]
    pub param: Vec<String>,
    /// Data: builtin:NAME, idx:DIR or imagefolder:DIR [default: those of the run, or builtin:fashion-mnist-2k]
    #[arg(long, value_name = "URI")]
    pub data: Option<String>,
    /// Seed of the draws
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Epoch of the draws, from 0
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub epoch: u32,
    /// Step of the epoch, from 0
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub step: u32,
    /// Micro-batch of the step, from 0
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub micro: u32,
    /// Images that are drawn, one a row
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub rows: usize,
    /// The picture
    #[arg(long, value_name = "FILE.png")]
    pub out: PathBuf,
    /// Save inputs, permutation, lam, mask, soft targets and all else that was drawn, for a recomputation elsewhere
    #[arg(long, value_name = "FILE.safetensors")]
    pub save: Option<PathBuf>,
}

impl PreviewArgs {
    /// Writes the files.
    pub(super) fn run(self) -> Result<Exit, PreviewError> {
        let Self { run: document, method, param, data, seed, epoch, step, micro, rows, out, save } = self;
        run(&Options { run: document, method, param, data, seed, epoch, step, micro, rows, out, save })?;
        Ok(Exit::Ok)
    }
}
