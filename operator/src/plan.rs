//! The plan: every run of a benchmark, fully resolved, in the order in which they start.

use std::collections::BTreeMap;

use mixbench_crds::benchmark::OnInconclusive;
use mixbench_crds::catalog::Catalog;
use mixbench_crds::metric::Metric;
use mixbench_crds::published::{self, Published};
use mixbench_crds::run::{Backbone, Method, Param, RUN_VERSION, Run, RunSpec};
use serde::{Deserialize, Serialize};

use crate::validate::{ValidCell, ValidSpec};

/// Version of [`Plan`] that this build writes and reads.
pub const PLAN_VERSION: u32 = 1;

/// All runs of a benchmark: `plan.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// [`PLAN_VERSION`].
    pub version: u32,
    /// Name of the benchmark.
    pub name: String,
    /// Name of the recipe.
    pub recipe: String,
    /// How the epochs of a run become one top-1.
    pub metric: Metric,
    /// Backbone × method, in the order of the manifest.
    pub cells: Vec<PlannedCell>,
    /// Breadth first: trial 0 of every cell, then trial 1, so that a table fills early.
    pub runs: Vec<PlannedRun>,
    /// Most runs at once, ≥ 1.
    pub parallelism: u32,
    /// How cells are judged.
    pub gate: Gate,
    /// Images of the training split, where the data set is a known one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_images: Option<u64>,
    /// Volume claim that the data lie on; none where `place.dataUri` of the runs says it all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_volume: Option<String>,
    /// Benchmark of the same namespace whose means are references; only a cluster knows them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference_benchmark: Option<String>,
}

/// All trials of one backbone with one method.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedCell {
    /// Name of the backbone.
    pub backbone: String,
    /// Name of the method.
    pub method: String,
    /// The method as tables show it: its label, else its name.
    pub label: String,
    /// Every parameter of the method.
    pub params: BTreeMap<String, Param>,
    /// What the mean is compared with.
    pub reference: Reference,
}

/// What a cell's mean is compared with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Reference {
    /// A number.
    Known {
        /// Top-1 in percent.
        top1: f64,
        /// Where it comes from.
        source: String,
    },
    /// No number applies.
    None {
        /// Why not, such as `published with alpha 0.2`.
        why: String,
    },
}

impl Reference {
    /// The number in percent, if there is one.
    pub const fn top1(&self) -> Option<f64> {
        match self {
            Self::Known { top1, .. } => Some(*top1),
            Self::None { .. } => None,
        }
    }
}

/// One run of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedRun {
    /// The run as its trainer gets it, but for `attempt` and `nonce`.
    pub run: Run,
    /// Index into [`Plan::cells`].
    pub cell: usize,
}

/// How cells are judged against their references.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gate {
    /// How far below its reference a mean may lie, in percentage points, ≥ 0.
    pub tolerance: f64,
    /// One-sided confidence of the bounds, in 0.5..1; none compares the plain mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// Finished trials that a verdict needs, ≥ 1.
    pub min_trials: u32,
    /// What an inconclusive cell counts as.
    pub on_inconclusive: OnInconclusive,
}

impl Plan {
    /// The planned run of this id.
    pub fn run(&self, id: &str) -> Option<&PlannedRun> {
        self.runs.iter().find(|r| r.run.id == id)
    }
}

/// Plans every run. Pure: the same spec gives the same plan, to the byte.
pub fn plan(spec: &ValidSpec) -> Plan {
    let cells = spec.cells.iter().map(|cell| PlannedCell {
        backbone: cell.backbone.clone(),
        method: cell.method.clone(),
        label: cell.label.clone(),
        params: cell.params.clone(),
        reference: reference(spec, cell),
    });
    let runs = (0..spec.trials).flat_map(|trial| (0..spec.cells.len()).map(move |cell| (trial, cell)));
    Plan {
        version: PLAN_VERSION,
        name: spec.name.clone(),
        recipe: spec.recipe.name.clone(),
        metric: spec.training.metric,
        cells: cells.collect(),
        runs: runs.map(|(trial, cell)| PlannedRun { run: run(spec, trial, &spec.cells[cell]), cell }).collect(),
        parallelism: spec.parallelism,
        gate: spec.gate.clone(),
        train_images: spec.dataset.map(|d| d.train),
        data_volume: spec.data_volume.clone(),
        reference_benchmark: spec.reference_benchmark.clone(),
    }
}

fn run(spec: &ValidSpec, trial: u32, cell: &ValidCell) -> Run {
    let run_spec = RunSpec {
        backbone: Backbone { name: cell.backbone.clone() },
        method: Method { name: cell.method.clone(), params: cell.params.clone() },
        data: spec.data.clone(),
        training: spec.training.clone(),
        world: spec.world.clone(),
        seed: spec.base_seed + u64::from(trial),
        load_checkpoint: spec.load_checkpoint.clone(),
    };
    Run {
        version: RUN_VERSION,
        id: run_spec.id(trial),
        trial,
        recipe: spec.recipe.name.clone(),
        spec: run_spec,
        attempt: 0,
        nonce: String::new(),
        place: spec.place.clone(),
    }
}

/// What a cell is compared with: the manifest's own number, else the published one where everything that it depends on is the same.
fn reference(spec: &ValidSpec, cell: &ValidCell) -> Reference {
    if let Some((top1, source)) = &cell.inline {
        return Reference::Known { top1: *top1, source: source.clone() };
    }
    match published_for(spec, cell) {
        Ok(p) => Reference::Known { top1: p.top1, source: format!("published ({})", p.source) },
        Err(why) => Reference::None { why },
    }
}

fn published_for(spec: &ValidSpec, cell: &ValidCell) -> Result<&'static Published, String> {
    let recipe = spec.recipe;
    if !spec.published {
        return Err("spec.reference.published is false".into());
    }
    let Some(dataset) = &recipe.dataset else {
        return Err(format!("the recipe {} has no published numbers", recipe.name));
    };
    let Some(published) = published::find(&recipe.name, &cell.backbone, &cell.method) else {
        return Err(format!("nothing published for {} with {} under {}", cell.backbone, cell.method, recipe.name));
    };
    if *dataset != spec.data.name {
        return Err(format!("published on {dataset}, not on {}", spec.data.name));
    }
    let same = |a: [f64; 3], b: [f64; 3]| a.iter().zip(&b).all(|(a, b)| a.total_cmp(b).is_eq());
    if spec.dataset.is_some_and(|d| !same(d.mean, spec.data.mean) || !same(d.std, spec.data.std)) {
        return Err("published with another mean and std of the pixels".into());
    }
    if !spec.changed.is_empty() {
        return Err(format!("published with another training: {}", spec.changed.join(", ")));
    }
    if spec.load_checkpoint.is_some() {
        return Err("published from fresh weights, not from a checkpoint".into());
    }
    for (name, value) in &cell.params {
        let card = Catalog::get().method(&cell.method).and_then(|m| m.params.iter().find(|p| p.name == *name));
        let used = match published.alpha.as_deref().filter(|_| name == "alpha") {
            Some(alpha) => Some(alpha),
            None => recipe.param(&cell.backbone, &cell.method, name),
        };
        let agrees = |text: &str| card.is_some_and(|c| c.kind.parse(text).is_ok_and(|p| p == *value));
        match used {
            Some(used) if !used.split(';').any(agrees) => return Err(format!("published with {name} {used}")),
            None if card.is_none_or(|c| c.kind.default_value() != *value) => {
                return Err(format!("published with another {name}"));
            }
            _ => {}
        }
    }
    Ok(published)
}

/// What a plan costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// Runs.
    pub runs: usize,
    /// Epochs of all runs.
    pub epochs: u64,
    /// Training images of all runs, padding included; none where the data set is not a known one.
    pub images: Option<u64>,
}

impl Plan {
    /// What it costs.
    pub fn totals(&self) -> Totals {
        Totals {
            runs: self.runs.len(),
            epochs: self.runs.iter().map(|r| u64::from(r.run.spec.training.epochs)).sum(),
            images: self.runs.iter().map(|r| self.images_of(&r.run)).sum(),
        }
    }

    /// Training images of a run, padding included, where the data set is a known one.
    pub fn images_of(&self, run: &Run) -> Option<u64> {
        let training = &run.spec.training;
        let steps = training.steps_per_epoch(self.train_images?);
        Some(u64::from(training.epochs) * steps * u64::from(training.global_batch))
    }

    /// Seconds of training of all runs one after the other, from the images a second that each backbone reached before; none where one is missing.
    pub fn estimate(&self, images_per_second: &BTreeMap<String, f64>) -> Option<f64> {
        let seconds = |r: &PlannedRun| {
            let speed = images_per_second.get(&r.run.spec.backbone.name).filter(|s| **s > 0.0)?;
            Some(self.images_of(&r.run)? as f64 / speed)
        };
        self.runs.iter().map(seconds).sum()
    }
}

#[cfg(test)]
mod tests;
