//! What a benchmark came to: one value, built from a plan and an output folder or a status on a cluster, that every format renders.
//!
//! ```text
//! Plan + folder ─► Report ─► Grid (rows, once) ─► table, markdown, csv
//!                    └────────────────────────► json, junit, html
//! ```

use jiff::Timestamp;
use mixbench_crds::metric::{Metric, percent};
use serde::{Deserialize, Serialize};

use crate::aggregate::{Cell, Outcome, Verdict};
use crate::plan::Gate;

mod build;
mod cluster;
mod csv;
mod escape;
mod folder;
pub mod grid;
mod html;
mod junit;
mod markdown;
mod text;

#[cfg(test)]
pub(crate) mod fixture;

/// Version of [`Report`] that this build writes.
pub const REPORT_VERSION: u32 = 1;

/// What a benchmark came to, finished or not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// [`REPORT_VERSION`].
    pub version: u32,
    /// Name of the benchmark.
    pub name: String,
    /// Name of the recipe.
    pub recipe: String,
    /// The recipe's name in tables.
    pub recipe_title: String,
    /// Where the recipe comes from.
    pub recipe_source: String,
    /// What training differs in from the recipe, as `path = value`.
    pub overrides: Vec<String>,
    /// Declared name of the data.
    pub data: String,
    /// How the epochs of a run become one top-1.
    pub metric: Metric,
    /// [`Report::metric`] in words.
    pub metric_rule: String,
    /// How cells are judged.
    pub gate: Gate,
    /// What it came to; `failed` as long as a planned run is missing.
    pub outcome: Outcome,
    /// Every cell, in the order of the plan.
    pub cells: Vec<CellRow>,
    /// Every run, in the order of the plan.
    pub runs: Vec<RunRow>,
    /// Where it was measured.
    pub environment: Environment,
    /// When the report was made.
    pub generated: Timestamp,
    /// The command that makes it anew, but for its `--format`.
    #[serde(default)]
    pub command: String,
}

/// A cell and how far it got.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CellRow {
    /// The judged cell.
    #[serde(flatten)]
    pub cell: Cell,
    /// How far it got.
    pub status: CellStatus,
    /// What went wrong with its runs, a line each.
    pub problems: Vec<String>,
}

/// How far a cell got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CellStatus {
    /// Every trial is in: the verdict stands.
    Complete,
    /// Trials are missing and none has failed.
    Incomplete,
    /// A trial failed.
    Failed,
}

/// A run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunRow {
    /// Its id.
    pub id: String,
    /// Index into [`Report::cells`].
    pub cell: usize,
    /// Number of the trial, from 0.
    pub trial: u32,
    /// Seed of every draw.
    pub seed: u64,
    /// Where it stands.
    pub status: RunStatus,
    /// Top-1 in percent: by the metric rule once finished, else over the epochs so far.
    pub top1: Option<f64>,
    /// Top-5 in percent, of the same epochs; only once finished.
    pub top5: Option<f64>,
    /// Epochs finished.
    pub epochs: u32,
    /// Epochs planned.
    pub epochs_planned: u32,
    /// Training images a second.
    pub images_per_second: Option<f64>,
    /// Seconds of training.
    pub train_seconds: f64,
    /// Attempts that were started.
    pub attempts: u32,
    /// Device in words.
    pub device: Option<String>,
    /// Processes.
    pub world_size: u32,
    /// What went wrong, if something did.
    pub message: Option<String>,
    /// Where its log lies, relative to the output folder; on a cluster the command that shows it.
    pub log: String,
    /// One point for every validated epoch.
    pub curve: Vec<Point>,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::Display, strum::IntoStaticStr)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum RunStatus {
    /// Never started.
    Waiting,
    /// A process works on it.
    Running,
    /// Stopped on request, or its process was killed; it goes on when the benchmark is run again.
    Stopped,
    /// Its last attempt failed.
    Failed,
    /// It has a result.
    Finished,
}

/// A validated epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Point {
    /// Epochs finished.
    pub epoch: u32,
    /// Top-1 in percent.
    pub top1: f64,
    /// Mean training loss.
    pub train_loss: f64,
    /// Learning rate of the last step.
    pub lr: f64,
}

/// Where it was measured. Lists hold each value once: more than one means that runs differ.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Environment {
    /// Version of mixbench that made the report.
    pub mixbench: String,
    /// Versions of libtorch.
    pub libtorch: Vec<String>,
    /// Devices in words.
    pub devices: Vec<String>,
    /// Fingerprints of the data.
    pub data_fingerprints: Vec<String>,
    /// First event of any run.
    pub first_event: Option<Timestamp>,
    /// Last event of any run.
    pub last_event: Option<Timestamp>,
}

/// What a report is written as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Aligned columns for people.
    #[default]
    Table,
    /// A GitHub-flavoured Markdown table.
    Markdown,
    /// One row a cell, numbers unrounded where they are not percentages.
    Csv,
    /// Everything: cells, runs and curves.
    Json,
    /// One test case a cell, for CI systems.
    Junit,
    /// One self-contained page with curves and bars.
    Html,
}

impl Format {
    /// The report in this format, with a line's end at its end. `colour` is for terminals and only the table uses it.
    pub fn render(self, report: &Report, colour: bool) -> String {
        match self {
            Self::Table => text::render(report, colour),
            Self::Markdown => markdown::render(report),
            Self::Csv => csv::render(report),
            Self::Json => report.to_json(),
            Self::Junit => junit::render(report),
            Self::Html => html::render(report),
        }
    }
}

impl Report {
    /// Pretty JSON with a line's end at its end.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a report has string keys");
        text.push('\n');
        text
    }

    /// The rule in a sentence, as it stands above every table.
    fn rule(&self) -> String {
        format!("{}; mean over trials", self.metric_rule)
    }

    /// How cells are judged, in a sentence.
    fn gate_rule(&self) -> String {
        let least = |n: u32| trials(self.gate.min_trials.max(n));
        let tolerance = percent(self.gate.tolerance);
        match self.gate.confidence {
            Some(confidence) => format!(
                "a cell passes if top-1 is at most {tolerance} points below the published number with {} % confidence (one-sided t-bound, at least {})",
                round(confidence * 100.0),
                least(2)
            ),
            None => format!(
                "a cell passes if mean top-1 is at most {tolerance} points below the published number (at least {})",
                least(1)
            ),
        }
    }

    /// Problems of all cells, each with the cell's name.
    fn problems(&self) -> impl Iterator<Item = String> {
        self.cells.iter().flat_map(|row| {
            row.problems.iter().map(move |p| format!("{} × {}: {p}", row.cell.backbone, row.cell.label))
        })
    }
}

impl CellRow {
    /// The word in the verdict's column.
    pub fn word(&self) -> &'static str {
        match self.status {
            CellStatus::Complete => self.cell.verdict.into(),
            CellStatus::Incomplete => "incomplete",
            CellStatus::Failed => "failed",
        }
    }

    /// Whether the word is good, bad or neither.
    pub const fn mood(&self) -> Mood {
        match (self.status, self.cell.verdict) {
            (CellStatus::Failed, _) | (CellStatus::Complete, Verdict::Regressed) => Mood::Bad,
            (CellStatus::Complete, Verdict::Pass) => Mood::Good,
            (CellStatus::Complete, Verdict::Inconclusive) => Mood::Unsure,
            (CellStatus::Complete, Verdict::NoReference) | (CellStatus::Incomplete, _) => Mood::Neutral,
        }
    }

    /// Seconds of training of a run, on average over the finished trials.
    pub fn seconds_per_run(&self) -> Option<f64> {
        (self.cell.n > 0).then(|| self.cell.train_seconds / f64::from(self.cell.n))
    }
}

/// What a colour says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// As hoped.
    Good,
    /// Not as hoped.
    Bad,
    /// Not known yet.
    Unsure,
    /// Nothing to hope.
    Neutral,
}

/// So many trials, in words.
fn trials(n: u32) -> String {
    if n == 1 { "1 trial".to_owned() } else { format!("{n} trials") }
}

/// A number without needless zeros.
fn round(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
