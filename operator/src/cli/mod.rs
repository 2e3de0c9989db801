//! The command line. Every command returns an [`Outcome`], whose number is the exit code.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};

use clap::{Parser, Subcommand, ValueEnum};

use crate::aggregate::Outcome;

mod cluster;
mod columns;
mod completions;
mod crd;
mod lint;
pub mod load;
mod operator;
mod plan;
mod report;
mod run;
mod submit;
mod wait;

#[cfg(test)]
mod frozen;

/// Train image classifiers with mixup methods and compare top-1 with the published numbers.
#[derive(Debug, Parser)]
#[command(
    name = "mixbench",
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = EXIT_CODES
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  pass: every cell with a reference passed (or there was nothing to judge)
  1  regressed: a cell is surely below its reference by more than the tolerance
  2  inconclusive: no cell regressed, and one needs more trials
  3  failed: a run failed, was stopped, or is missing, or the waiting for it ended first
  4  invalid: the manifest or the command line is wrong, or there is no such benchmark; nothing was written

Examples:
  mixbench lint crds/benchmarks/*.yaml
  mixbench plan crds/benchmarks/quickstart.yaml
  mixbench run crds/benchmarks/quickstart.yaml
  mixbench report mixbench-out/quickstart --format markdown
  mixbench submit crds/benchmarks/quickstart.yaml --wait

`mixbench COMMAND --help` shows examples of a command.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Check manifests without running anything
    Lint(lint::Args),
    /// Show every run of a manifest, what it is compared with, and what it costs
    Plan(plan::Args),
    /// Train everything that a manifest plans, on this machine
    Run(run::Args),
    /// Show what an output folder, or a benchmark on a cluster, came to
    Report(report::Args),
    /// Create a manifest's benchmark on a cluster, and wait for it if told to
    Submit(submit::Args),
    /// Wait until a benchmark on a cluster is finished
    Wait(wait::Args),
    /// Look after the benchmarks of a cluster
    Operator(operator::Args),
    /// Print the custom resource definition for a cluster
    Crd(crd::Args),
    /// Print the completions of a shell
    Completions(completions::Args),
}

/// Runs the command line of this process.
///
/// # Errors
/// What no outcome stands for, such as a closed disk.
pub fn main(args: impl IntoIterator<Item = OsString>) -> anyhow::Result<Outcome> {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors; clap's own 2 is taken by another outcome.
            let outcome = if error.use_stderr() { Outcome::Invalid } else { Outcome::Pass };
            error.print()?;
            return Ok(outcome);
        }
    };
    match cli.command {
        Command::Lint(args) => lint::run(&args),
        Command::Plan(args) => plan::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Submit(args) => submit::run(&args),
        Command::Wait(args) => wait::run(&args),
        Command::Operator(args) => operator::run(&args),
        Command::Crd(args) => crd::run(&args),
        Command::Completions(args) => completions::run(&args),
    }
}

/// How a command writes what machines shall read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

impl Format {
    /// A value as text that ends with a line's end.
    ///
    /// # Errors
    /// Where the value has no such form.
    pub fn render<T: serde::Serialize>(self, value: &T) -> anyhow::Result<String> {
        Ok(match self {
            Self::Json => serde_json::to_string_pretty(value)? + "\n",
            Self::Yaml => serde_saphyr::to_string(value)?,
        })
    }
}

/// Writes to standard output. A reader that has gone (`| head`) is no error.
///
/// # Errors
/// Any other failure to write.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Whether standard output takes colours: a terminal, unless `NO_COLOR` is set.
pub fn colour() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}
