//! `mixbench lint`.

use std::fmt::Write as _;

use serde::Serialize;

use super::load::{self, Located};
use super::{Format, colour, print};
use crate::aggregate::Outcome;
use crate::plan;

/// Options of `mixbench lint`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Checks syntax, unknown fields, the schema and rules of the custom resource, and what the catalog knows of methods, backbones and
recipes. Prints every problem as FILE:LINE:COLUMN: FIELD: what is wrong; what to do.

Exit codes: 0 all are right, 4 one is not.

Examples:
  mixbench lint crds/benchmarks/quickstart.yaml
  mixbench lint crds/benchmarks/*.yaml -o json
  kubectl get mixb quickstart -o yaml | mixbench lint -")]
pub(super) struct Args {
    /// Manifests; several documents in a file are parted by ---, and - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// Write what was found for machines
    #[arg(short, long, value_enum)]
    output: Option<Format>,
}

/// What was found.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    benchmarks: Vec<Good>,
    problems: Vec<Located>,
}

/// A benchmark that is right.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Good {
    file: String,
    name: String,
    runs: usize,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let mut found = Found::default();
    for file in &args.files {
        match load::file(file) {
            Ok(loaded) => found.benchmarks.extend(loaded.into_iter().map(|l| {
                let runs = plan::plan(&l.spec).runs.len();
                Good { file: l.file, name: l.spec.name, runs }
            })),
            Err(problems) => found.problems.extend(problems),
        }
    }
    if let Some(format) = args.output {
        print(&format.render(&found)?)?;
    } else {
        let mut text = String::new();
        for Good { file, name, runs } in &found.benchmarks {
            writeln!(text, "{file}: {name} is right: {runs} runs")?;
        }
        print(&(text + &load::render(&found.problems, colour())))?;
    }
    Ok(if found.problems.is_empty() { Outcome::Pass } else { Outcome::Invalid })
}
