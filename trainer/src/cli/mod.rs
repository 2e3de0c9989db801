//! The command line. It is small on purpose: what a run does stands in its document.

mod catalog;
mod eval;
mod launch;
mod preview;
mod worker;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use mixbench_crds::exit::Exit;

pub use catalog::CatalogArgs;
pub use eval::EvalArgs;
pub use launch::LaunchArgs;
pub use preview::PreviewArgs;
pub use worker::WorkerArgs;

const EXITS: &str = "Exit codes:
   0  finished, the result stands
  64  the run or the command line is wrong; nothing was written
  65  the data or a checkpoint is not what the run needs
  70  a defect of mixbench itself
  73  cannot write where told, or the folder is in use
  74  reading or writing failed midway (a full disk, a lost volume)
  75  stopped on request after a checkpoint; start again to go on
  76  a peer died or hung, or the processes could not meet
  77  the loss or the weights are no longer finite
  78  out of memory";

/// Trains one run of a mixbench plan over libtorch, on CPUs or GPUs, in one process or many.
#[derive(Debug, Parser)]
#[command(name = "mixbench-trainer", version, after_help = EXITS)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Launch(LaunchArgs),
    Worker(WorkerArgs),
    Preview(PreviewArgs),
    Catalog(CatalogArgs),
    Eval(EvalArgs),
    /// Print completions for a shell
    ///
    /// For example: mixbench-trainer completions bash > ~/.local/share/bash-completion/completions/mixbench-trainer
    Completions {
        /// Shell to complete in
        shell: clap_complete::Shell,
    },
}

/// Reads the command line, does what it says and returns the exit code.
pub fn main() -> ExitCode {
    let exit = match Cli::try_parse() {
        Ok(cli) => cli.run(),
        Err(e) => {
            let _ = e.print();
            if e.use_stderr() { Exit::Config } else { Exit::Ok }
        }
    };
    ExitCode::from(exit.code())
}

impl Cli {
    fn run(self) -> Exit {
        match self.command {
            Command::Launch(args) => said(crate::launch::launch(args.into()), crate::launch::LaunchError::exit),
            Command::Preview(args) => said(args.run(), crate::preview::PreviewError::exit),
            Command::Catalog(args) => said(args.run(), crate::catalog::CatalogError::exit),
            Command::Worker(args) => crate::worker::main(args),
            Command::Eval(args) => said(args.run(), crate::eval::EvalError::exit),
            Command::Completions { shell } => {
                clap_complete::generate(shell, &mut Self::command(), "mixbench-trainer", &mut std::io::stdout());
                Exit::Ok
            }
        }
    }
}

/// The exit; an error is one line for a person first.
fn said<E: std::error::Error>(outcome: Result<Exit, E>, exit: impl FnOnce(&E) -> Exit) -> Exit {
    outcome.unwrap_or_else(|e| {
        eprintln!("mixbench-trainer: {e}");
        exit(&e)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    /// Knobs belong into manifest, recipe or card. What is here stays.
    #[test]
    fn the_command_line_is_frozen() {
        let listed = |command: &clap::Command| {
            let arguments = command.get_arguments().filter(|a| !a.is_hide_set()).map(|a| format!(" {}", a.get_id()));
            format!("{}:{}", command.get_name(), arguments.collect::<String>())
        };
        let all: Vec<_> = Cli::command().get_subcommands().map(listed).collect();
        assert_eq!(
            all,
            [
                "launch: run dir nproc nnodes node_rank master_addr master_port resume_from auto_resume load_checkpoint \
                 termination_log grace metrics_port",
                "worker: run dir resume_from auto_resume load_checkpoint",
                "preview: run method param data seed epoch step micro rows out save",
                "catalog: check",
                "eval: checkpoint run data batch gpu output",
                "completions: shell",
            ]
        );
    }

    #[test]
    fn every_command_for_people_shows_how_it_is_called() {
        for mut command in Cli::command().get_subcommands().filter(|c| c.get_name() != "worker").cloned() {
            let help = command.render_long_help().to_string();
            assert!(help.contains(&format!("mixbench-trainer {} ", command.get_name())), "{help}");
        }
    }

    #[test]
    fn the_help_names_every_exit_code() {
        for exit in Exit::ALL {
            assert!(EXITS.contains(&format!("{:>4}  ", exit.code())), "{}", exit.code());
        }
    }
}
