//! `mixbench`: see [`mixbench::cli`].

use std::process::ExitCode;

use mixbench::aggregate::Outcome;

fn main() -> ExitCode {
    let outcome = mixbench::cli::main(std::env::args_os()).unwrap_or_else(|error| {
        eprintln!("mixbench: {error:#}");
        Outcome::Failed
    });
    ExitCode::from(outcome.code())
}
