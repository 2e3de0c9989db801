//! `mixbench report`.

use std::path::PathBuf;

use jiff::Timestamp;

use super::{colour, print};
use crate::aggregate::Outcome;
use crate::backend::local::files;
use crate::history::{HistoryError, read_plan, read_run};
use crate::report::{Format, Report};

/// Options of `mixbench report`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The folder may be in progress, and some of its runs may have failed.

Exit codes: 0 pass, 1 regressed, 2 inconclusive, 3 a run failed or is missing, 4 there is no such folder.

Examples:
  mixbench report mixbench-out/quickstart
  mixbench report mixbench-out/quickstart --format markdown >> README.md
  mixbench report mixbench-out/quickstart --format junit --output junit.xml
  mixbench report mixbench-out/quickstart --format html --output report.html")]
pub(super) struct Args {
    /// Output folder of `mixbench run`
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// What it is written as
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Write it to a file instead of standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let report = match read(&args.dir) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("mixbench: {error}");
            return Ok(match error {
                HistoryError::Io { .. } => Outcome::Failed,
                HistoryError::NoPlan(_) | HistoryError::Plan { .. } => Outcome::Invalid,
            });
        }
    };
    match &args.output {
        Some(path) => files::replace(path, &args.format.render(&report, false))?,
        None => print(&args.format.render(&report, colour()))?,
    }
    Ok(report.outcome)
}

fn read(dir: &std::path::Path) -> Result<Report, HistoryError> {
    let plan = read_plan(dir)?;
    let mut folders = std::collections::BTreeMap::new();
    for planned in &plan.runs {
        folders.insert(planned.run.id.clone(), read_run(dir, &planned.run.id)?);
    }
    Ok(Report::new(&plan, &folders, Timestamp::now()))
}
