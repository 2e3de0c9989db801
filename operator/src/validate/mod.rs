//! From a manifest to a benchmark that can be planned: everything that can be known to be wrong before a process starts is found here.

use std::collections::BTreeMap;

use mixbench_crds::benchmark::MixupBenchmark;
use mixbench_crds::catalog::DatasetCard;
use mixbench_crds::recipe::Recipe;
use mixbench_crds::run::{Data, Param, Place, World};
use mixbench_crds::training::Training;

use crate::manifest::Node;
use crate::plan::Gate;

mod cells;
mod problem;
mod schema;
mod training;
mod world;

#[cfg(test)]
mod tests;

pub use problem::Problem;
pub use schema::rules;

/// A benchmark in which every name is known, every number is in its range and every batch divides.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidSpec {
    /// Name of the benchmark.
    pub name: String,
    /// The recipe as published.
    pub recipe: &'static Recipe,
    /// The recipe with the manifest's overrides.
    pub training: Training,
    /// In what the training differs from the recipe's, in words.
    pub changed: Vec<String>,
    /// What is learnt.
    pub data: Data,
    /// The data set, where it is a known one.
    pub dataset: Option<&'static DatasetCard>,
    /// Volume claim that the data lie on.
    pub data_volume: Option<String>,
    /// Backbone × method without what is excluded, in the order of the manifest.
    pub cells: Vec<ValidCell>,
    /// Runs of each cell, ≥ 1.
    pub trials: u32,
    /// Seed of trial 0.
    pub base_seed: u64,
    /// Processes and devices of each run.
    pub world: World,
    /// Where runs happen.
    pub place: Place,
    /// Most runs at once, ≥ 1.
    pub parallelism: u32,
    /// Whether nothing shall run for now.
    pub suspend: bool,
    /// How cells are judged.
    pub gate: Gate,
    /// Whether published numbers are used.
    pub published: bool,
    /// Benchmark of the same namespace whose means are references.
    pub reference_benchmark: Option<String>,
    /// Checkpoint whose weights every run starts from.
    pub load_checkpoint: Option<String>,
}

/// One backbone with one method.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidCell {
    /// Name of the backbone.
    pub backbone: String,
    /// Name of the method.
    pub method: String,
    /// The method as tables show it.
    pub label: String,
    /// Every parameter: the manifest's, else the recipe's, else the catalog's default.
    pub params: BTreeMap<String, Param>,
    /// The manifest's own number to compare with, and where it comes from.
    pub inline: Option<(f64, String)>,
}

/// A benchmark out of a document, with everything that is wrong with it.
///
/// # Errors
/// All problems at once, in the order of the checks.
pub fn check(document: &Node) -> Result<(MixupBenchmark, ValidSpec), Vec<Problem>> {
    let mut problems = schema::check(document);
    let mut json = document.to_json();
    if let Some(top) = json.as_object_mut() {
        // What a cluster says of a benchmark is no part of what is asked for.
        top.remove("status");
    }
    schema::quote(&mut json);
    match serde_json::from_value::<MixupBenchmark>(json) {
        Ok(benchmark) => match validate(&benchmark) {
            Ok(spec) if problems.is_empty() => return Ok((benchmark, spec)),
            Ok(_) => {}
            Err(more) => {
                let known: Vec<String> = problems.iter().map(|p| p.path.clone()).collect();
                // What the schema says of a field, or of one inside it, is nearer to the cause.
                let said = |p: &Problem| known.iter().any(|k| k.strip_prefix(&p.path).is_some_and(starts_below));
                problems.extend(more.into_iter().filter(|p| !said(p)));
            }
        },
        Err(error) if problems.is_empty() => problems.push(Problem::new("", error.to_string())),
        Err(_) => {}
    }
    Err(problems)
}

/// Whether the rest of a path is empty or goes on below it.
fn starts_below(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with(['.', '['])
}

/// The rules that need the catalog, the recipes and the published numbers. Pure.
///
/// # Errors
/// All problems at once.
pub fn validate(benchmark: &MixupBenchmark) -> Result<ValidSpec, Vec<Problem>> {
    let spec = &benchmark.spec;
    let mut problems = Vec::new();
    let (data, dataset, data_uri) = world::data(&spec.data, &mut problems);
    let Some(recipe) = Recipe::find(&spec.recipe.name) else {
        let known = Recipe::all().iter().map(|r| r.name.as_str());
        problems.push(Problem::unknown("spec.recipe.name", "recipe", &spec.recipe.name, known));
        cells::names(&spec.matrix, &mut problems);
        return Err(problems);
    };
    let (training, changed) = training::resolve(recipe, spec.recipe.overrides.as_ref(), &mut problems);
    let world = world::world(&spec.trainer);
    world::batches(&training, &world, spec.recipe.overrides.as_ref(), &mut problems);
    let mut cells = cells::cells(recipe, &training, &spec.matrix, &mut problems);
    cells::count(&spec.matrix, cells.len(), &mut problems);
    if problems.is_empty() {
        cells::references(&spec.reference.inline, &mut cells, &mut problems);
    }
    let gate = world::gate(&spec.gate, &mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }
    let metadata = &benchmark.metadata;
    let generated = || metadata.generate_name.as_deref().map(|n| n.trim_end_matches('-').to_owned());
    Ok(ValidSpec {
        name: metadata.name.clone().or_else(generated).unwrap_or_default(),
        recipe,
        training,
        changed,
        data,
        dataset,
        data_volume: spec.data.volume.as_ref().map(|v| v.claim_name.clone()),
        cells,
        trials: spec.matrix.trials,
        base_seed: spec.matrix.base_seed,
        world,
        place: Place {
            data_uri,
            loader_threads: spec.trainer.loader_threads,
            checkpoint_every: spec.storage.every_epochs,
            checkpoint_keep: spec.storage.keep,
            resume_from: None,
            auto_resume: true,
        },
        parallelism: spec.parallelism,
        suspend: spec.suspend,
        gate,
        published: spec.reference.published,
        reference_benchmark: spec.reference.benchmark.clone(),
        load_checkpoint: spec.load_checkpoint.clone(),
    })
}
