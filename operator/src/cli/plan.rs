//! `mixbench plan`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use mixbench_crds::layout::RunDir;
use mixbench_crds::metric::percent;
use serde::Serialize;

use super::{Format, colour, columns, load, print};
use crate::aggregate::Outcome;
use crate::history;
use crate::plan::{self, Plan, PlannedCell, Reference, Totals};

/// Options of `mixbench plan`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes: 0 the manifest is right, 4 it is not.

Examples:
  mixbench plan crds/benchmarks/quickstart.yaml
  mixbench plan crds/benchmarks/imagenet-resnets-100ep.yaml -o json
  mixbench plan crds/benchmarks/quickstart.yaml --out mixbench-out/quickstart")]
pub(super) struct Args {
    /// Manifest with one benchmark; - is standard input
    #[arg(value_name = "FILE")]
    file: String,
    /// Write the whole plan for machines
    #[arg(short, long, value_enum)]
    output: Option<Format>,
    /// Output folder of an earlier run on this machine: estimates the time from its images per second
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// The plan and what it costs, for machines.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    #[serde(flatten)]
    plan: &'a Plan,
    totals: Totals,
    #[serde(skip_serializing_if = "Option::is_none")]
    estimated_seconds: Option<f64>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let Some(loaded) = load::one_or_say(&args.file) else { return Ok(Outcome::Invalid) };
    let plan = plan::plan(&loaded.spec);
    let speeds = match args.out.as_deref().map(speeds).transpose() {
        Ok(speeds) => speeds,
        Err(error) => {
            eprintln!("mixbench: --out: {error:#}");
            return Ok(Outcome::Invalid);
        }
    };
    let seconds = speeds.as_ref().and_then(|speeds| plan.estimate(speeds));
    let text = match args.output {
        Some(format) => format.render(&Document { plan: &plan, totals: plan.totals(), estimated_seconds: seconds })?,
        None => people(&plan, args.out.is_some(), seconds, colour()),
    };
    print(&text)?;
    Ok(Outcome::Pass)
}

/// Training images a second of each backbone, over all believable results of an output folder.
fn speeds(out: &Path) -> anyhow::Result<BTreeMap<String, f64>> {
    let mut sums = BTreeMap::<String, (f64, f64)>::new();
    for planned in &history::read_plan(out)?.runs {
        let run = &planned.run;
        if let Some(Ok(result)) = history::read_result(&RunDir::new(out, &run.id), &run.id)? {
            let sum = sums.entry(run.spec.backbone.name.clone()).or_default();
            sum.0 += result.images as f64;
            sum.1 += result.train_seconds;
        }
    }
    let speed = |(images, seconds): (f64, f64)| (seconds > 0.0).then(|| images / seconds);
    Ok(sums.into_iter().filter_map(|(backbone, sum)| Some((backbone, speed(sum)?))).collect())
}

fn people(plan: &Plan, asked: bool, seconds: Option<f64>, colour: bool) -> String {
    let mut out = String::new();
    let first = &plan.runs[0].run.spec;
    let (data, world) = (&first.data.name, &first.world);
    let on = if world.gpus_per_node > 0 { "GPU" } else { "CPU" };
    let mut line = |text: String| writeln!(out, "{text}").expect("a string");
    line(format!("{} · recipe {} · data {data} · {} {on} processes a run", plan.name, plan.recipe, world.size()));
    line(format!("{}; mean over trials", plan.metric));
    line(String::new());
    let head = ["run", "seed", "backbone", "method", "parameters", "reference"].map(str::to_owned).to_vec();
    let rows = plan.runs.iter().map(|r| {
        let cell = &plan.cells[r.cell];
        let reference = cell.reference.top1().map_or_else(|| "–".to_owned(), percent);
        vec![
            r.run.id.clone(),
            r.run.spec.seed.to_string(),
            cell.backbone.clone(),
            cell.label.clone(),
            params(cell),
            reference,
        ]
    });
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let table = columns::render(&rows, &[1, 5], colour);
    out.push_str(&table);
    let mut line = |text: String| writeln!(out, "{text}").expect("a string");
    line(String::new());
    for (source, cells) in sources(plan) {
        line(format!("reference: {source} ({cells} {})", if cells == 1 { "cell" } else { "cells" }));
    }
    if let Some(other) = &plan.reference_benchmark {
        line(format!("reference: the means of the benchmark {other} where it has the cell; only a cluster knows them"));
    }
    let totals = plan.totals();
    let images = totals.images.map_or_else(|| "an unknown number of".to_owned(), thousands);
    line(format!(
        "{} runs, {} at once · {} epochs · {images} training images",
        totals.runs, plan.parallelism, totals.epochs
    ));
    match seconds {
        Some(seconds) => line(format!("about {} of training, one run after the other", duration(seconds))),
        None if asked => {
            line("no estimate: the folder has no result of every backbone, or the data set's size is not known".into());
        }
        None => {}
    }
    out
}

fn params(cell: &PlannedCell) -> String {
    let all: Vec<String> = cell.params.iter().map(|(name, value)| format!("{name}={value}")).collect();
    if all.is_empty() { "–".into() } else { all.join(" ") }
}

/// Where references come from, or why there is none, and for how many cells.
fn sources(plan: &Plan) -> Vec<(String, usize)> {
    let mut found: Vec<(String, usize)> = Vec::new();
    for cell in &plan.cells {
        let text = match &cell.reference {
            Reference::Known { source, .. } => source.clone(),
            Reference::None { why } => format!("none: {why}"),
        };
        match found.iter_mut().find(|(known, _)| *known == text) {
            Some((_, n)) => *n += 1,
            None => found.push((text, 1)),
        }
    }
    found
}

/// 1234567 as 1,234,567.
fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Seconds for people: 95 as 1 min 35 s.
pub(super) fn duration(seconds: f64) -> String {
    #[allow(clippy::cast_sign_loss, reason = "not below 0")]
    let s = seconds.round().max(0.0) as u64;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min {} s", s / 60, s % 60),
        3600..86400 => format!("{} h {} min", s / 3600, s % 3600 / 60),
        _ => format!("{} d {} h", s / 86400, s % 86400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!([0, 999, 1000, 1_281_167].map(thousands), ["0", "999", "1,000", "1,281,167"]);
        assert_eq!([59.6, 95.0, 7260.0, 180_000.0].map(duration), ["1 min 0 s", "1 min 35 s", "2 h 1 min", "2 d 2 h"]);
    }
}
