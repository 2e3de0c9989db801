//! `eval`.

use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::Args;
use mixbench_crds::exit::Exit;
use mixbench_crds::metric::percent;

use crate::eval::{Asked, EvalError, Evaluation, evaluate};

const EXAMPLES: &str = "Examples:
  mixbench-trainer eval --checkpoint out/runs/resnet20-mixup-0-3f2a9c0d1e/checkpoints/epoch-0006-step-000000.safetensors
  mixbench-trainer eval --run out/runs/resnet20-mixup-0-3f2a9c0d1e/run.json
  mixbench-trainer eval --checkpoint FILE --data idx:fashion -o json";

/// Print the top-1 and top-5 of a checkpoint on the validation images
///
/// One process evaluates, whatever the run had; the numbers are those of the epoch's own validation.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct EvalArgs {
    /// The checkpoint [default: the newest valid one in the folder of the run document]
    #[arg(long, value_name = "FILE", required_unless_present = "run")]
    pub checkpoint: Option<PathBuf>,
    /// The run document; a checkpoint holds all that is needed of it
    #[arg(long, value_name = "FILE")]
    pub run: Option<PathBuf>,
    /// Data: builtin:NAME, idx:DIR or imagefolder:DIR [default: those of the run]
    #[arg(long, value_name = "URI")]
    pub data: Option<String>,
    /// Images of a forward pass [default: the run's evalBatch]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
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

impl EvalArgs {
    /// Evaluates and prints.
    ///
    /// # Errors
    /// [`EvalError`].
    pub(super) fn run(self) -> Result<Exit, EvalError> {
        let Self { checkpoint, run, data, batch, gpu, output } = self;
        nccl_rs::init().map_err(crate::train::TrainError::from)?; // before the first tensor
        let evaluation =
            evaluate(&Asked { checkpoint, run, data, batch, gpu }, |message| eprintln!("mixbench-trainer: {message}"))?;
        let text = match output {
            Output::Table => table(&evaluation),
            Output::Json => serde_json::to_string(&evaluation).expect("an evaluation has string keys"),
        };
        // Nobody reads on: the answer was given all the same.
        let _ = writeln!(io::stdout(), "{text}");
        Ok(Exit::Ok)
    }
}

fn table(evaluation: &Evaluation) -> String {
    let Evaluation { checkpoint, run, position, data, correct1, correct5, n, top1, top5 } = evaluation;
    format!(
        "checkpoint  {}\nrun         {run}, after epoch {} and step {}\ndata        {data}\n\
         top-1       {} %  ({correct1} of {n})\ntop-5       {} %  ({correct5} of {n})",
        checkpoint.display(),
        position.epoch,
        position.step,
        percent(*top1),
        percent(*top5)
    )
}
