//! Backbone × method: names, parameters, input sizes, stems, exclusions, duplicates.

use std::collections::BTreeMap;

use mixbench_crds::benchmark::{InlineReference, MAX_RUNS, Matrix, MethodRef};
use mixbench_crds::catalog::{BackboneCard, Catalog, MethodCard};
use mixbench_crds::recipe::Recipe;
use mixbench_crds::run::Param;
use mixbench_crds::training::{Stem, Training};

use super::ValidCell;
use super::problem::Problem;

/// A method of the matrix, its place and its card.
type Known<'a> = (usize, &'a MethodRef, &'static MethodCard);

/// The backbones and methods that are known and have good parameters; everything else becomes a problem.
pub(super) fn names<'a>(
    matrix: &'a Matrix,
    problems: &mut Vec<Problem>,
) -> (Vec<(usize, &'static BackboneCard)>, Vec<Known<'a>>) {
    let catalog = Catalog::get();
    let (mut backbones, mut methods) = (Vec::new(), Vec::new());
    for (i, backbone) in matrix.backbones.iter().enumerate() {
        if matrix.backbones[..i].iter().any(|b| b.name == backbone.name) {
            // The schema says so.
        } else if let Some(card) = catalog.backbone(&backbone.name) {
            backbones.push((i, card));
        } else {
            let known = catalog.backbones.iter().map(|b| b.name.as_ref());
            let path = format!("spec.matrix.backbones[{i}].name");
            problems.push(Problem::unknown(path, "backbone", &backbone.name, known));
        }
    }
    for (i, method) in matrix.methods.iter().enumerate() {
        if let Some(card) = catalog.method(&method.name) {
            let before = problems.len();
            params(card, method, i, problems);
            if problems.len() == before {
                methods.push((i, method, card));
            }
        } else {
            let known = catalog.methods.iter().map(|m| m.name.as_ref());
            let path = format!("spec.matrix.methods[{i}].name");
            problems.push(Problem::unknown(path, "method", &method.name, known));
        }
    }
    (backbones, methods)
}

/// Every cell that is not excluded.
pub(super) fn cells(
    recipe: &Recipe,
    training: &Training,
    matrix: &Matrix,
    problems: &mut Vec<Problem>,
) -> Vec<ValidCell> {
    let (backbones, methods) = names(matrix, problems);
    for (i, card) in &backbones {
        fits(card, training, &format!("spec.matrix.backbones[{i}].name"), problems);
    }
    let labels = labels(matrix, problems);
    let excluded = excluded(matrix, &labels, problems);
    let mut cells: Vec<ValidCell> = Vec::new();
    for (_, backbone) in backbones {
        for (i, method, card) in &methods {
            let label = &labels[*i];
            if excluded.contains(&(backbone.name.to_string(), label.clone())) {
                continue;
            }
            let params = resolve(recipe, &backbone.name, card, method);
            let twin = |c: &&ValidCell| c.backbone == backbone.name && c.method == card.name && c.params == params;
            if let Some(twin) = cells.iter().find(twin) {
                let what = format!("{} with `{label}` is the same cell as with `{}`", backbone.name, twin.label);
                let path = format!("spec.matrix.methods[{i}]");
                problems.push(Problem::new(path, what).remedy("give it other params, or remove it"));
            }
            let (backbone, method, label) = (backbone.name.to_string(), card.name.to_string(), label.clone());
            cells.push(ValidCell { backbone, method, label, params, inline: None });
        }
    }
    cells
}

/// Whether the recipe's images and stem suit a backbone.
fn fits(card: &BackboneCard, training: &Training, path: &str, problems: &mut Vec<Problem>) {
    if !card.stems.contains(&training.stem) {
        let name = |stem: &Stem| match stem {
            Stem::Imagenet => "imagenet",
            Stem::Small => "small",
        };
        let known: Vec<&str> = card.stems.iter().map(name).collect();
        let what = format!("{} cannot be built with the recipe's stem `{}`", card.name, name(&training.stem));
        let remedy = format!("set spec.recipe.overrides.stem: {}, or leave {} out", known.join(" or "), card.name);
        problems.push(Problem::new(path, what).remedy(remedy));
    }
    let sides = [("trainSize", training.train.crop.size()), ("testCrop", training.eval.crop)];
    for (field, side) in sides {
        if side < card.min_input || !side.is_multiple_of(card.input_multiple) {
            let step = card.input_multiple.max(1);
            let works = side.max(card.min_input).div_ceil(step) * step;
            let what = format!(
                "{} takes images of at least {} pixels in multiples of {step}, and {field} is {side}",
                card.name, card.min_input
            );
            problems.push(Problem::new(path, what).remedy(format!("set spec.recipe.overrides.{field}: {works}")));
        }
    }
}

/// Checks the parameters that a manifest gives.
fn params(card: &MethodCard, method: &MethodRef, index: usize, problems: &mut Vec<Problem>) {
    for (name, value) in &method.params {
        let path = format!("spec.matrix.methods[{index}].params.{name}");
        match card.params.iter().find(|p| p.name == *name) {
            None => {
                let known = card.params.iter().map(|p| p.name.as_ref());
                problems.push(Problem::unknown(path, &format!("parameter of {}", card.name), name, known));
            }
            Some(param) => {
                if let Err(error) = param.kind.parse(value) {
                    problems.push(Problem::new(path, error.to_string()).remedy(param.summary.trim_end_matches('.')));
                }
            }
        }
    }
}

/// The manifest's value, else the recipe's, else the catalog's default. Wrong values are reported elsewhere.
fn resolve(recipe: &Recipe, backbone: &str, card: &MethodCard, method: &MethodRef) -> BTreeMap<String, Param> {
    let value =
        |name: &str| method.params.get(name).map(String::as_str).or_else(|| recipe.param(backbone, &card.name, name));
    let param = |p: &mixbench_crds::catalog::ParamCard| {
        let parsed = value(&p.name).and_then(|text| p.kind.parse(text).ok());
        (p.name.to_string(), parsed.unwrap_or_else(|| p.kind.default_value()))
    };
    card.params.iter().map(param).collect()
}

/// What each method of the matrix is called; every label stands once.
fn labels(matrix: &Matrix, problems: &mut Vec<Problem>) -> Vec<String> {
    let label = |m: &MethodRef| {
        let alone = matrix.methods.iter().filter(|o| o.name == m.name).count() == 1;
        let given = m.params.iter().filter(|_| !alone).map(|(k, v)| format!(" {k}={v}"));
        m.label.clone().unwrap_or_else(|| std::iter::once(m.name.clone()).chain(given).collect())
    };
    let labels: Vec<String> = matrix.methods.iter().map(label).collect();
    for (i, label) in labels.iter().enumerate() {
        if let Some(first) = labels[..i].iter().position(|l| l == label) {
            let what = format!("`{label}` stands in spec.matrix.methods[{first}] already");
            let path = format!("spec.matrix.methods[{i}]");
            problems.push(Problem::new(path, what).remedy("give one of them a label or other params, or remove it"));
        }
    }
    labels
}

fn excluded(matrix: &Matrix, labels: &[String], problems: &mut Vec<Problem>) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (i, exclusion) in matrix.exclude.iter().enumerate() {
        let path = format!("spec.matrix.exclude[{i}]");
        let backbones = matrix.backbones.iter().map(|b| b.name.as_str());
        if !backbones.clone().any(|b| b == exclusion.backbone) {
            let path = format!("{path}.backbone");
            problems.push(Problem::unknown(path, "backbone of the matrix", &exclusion.backbone, backbones));
        } else if !labels.contains(&exclusion.method) {
            let path = format!("{path}.method");
            let known = labels.iter().map(String::as_str);
            problems.push(Problem::unknown(path, "method of the matrix", &exclusion.method, known));
        } else {
            let cell = (exclusion.backbone.clone(), exclusion.method.clone());
            if found.contains(&cell) {
                let what = format!("{} with {} is excluded already", cell.0, cell.1);
                problems.push(Problem::new(path, what).remedy("remove it"));
            }
            found.push(cell);
        }
    }
    found
}

/// Gives cells the manifest's own numbers.
pub(super) fn references(inline: &[InlineReference], cells: &mut [ValidCell], problems: &mut Vec<Problem>) {
    for (i, reference) in inline.iter().enumerate() {
        let path = format!("spec.reference.inline[{i}]");
        let top1 = reference.top1.parse::<f64>().ok().filter(|v| (0.0..=100.0).contains(v));
        if top1.is_none() {
            let what = format!("`{}` is out of range: 0 to 100 percent", reference.top1);
            problems.push(Problem::new(format!("{path}.top1"), what));
        }
        let cell = cells.iter_mut().find(|c| c.backbone == reference.backbone && c.label == reference.method);
        match cell {
            None => {
                let what = format!("the matrix has no cell {} with {}", reference.backbone, reference.method);
                problems
                    .push(Problem::new(path, what).remedy("name a backbone and the label of a method of the matrix"));
            }
            Some(cell) if cell.inline.is_some() => {
                let what = format!("{} with {} has a number already", reference.backbone, reference.method);
                problems.push(Problem::new(path, what).remedy("remove one of them"));
            }
            Some(cell) => {
                let source = reference.source.clone().unwrap_or_else(|| "the manifest".into());
                cell.inline = top1.map(|top1| (top1, source));
            }
        }
    }
}

/// Between one run and [`MAX_RUNS`].
pub(super) fn count(matrix: &Matrix, cells: usize, problems: &mut Vec<Problem>) {
    // Where names are wrong, cells are missing that the manifest means.
    let cells = cells.max(if problems.is_empty() { 0 } else { matrix.backbones.len() * matrix.methods.len() });
    let trials = matrix.trials;
    let runs = cells as u64 * u64::from(trials);
    if runs == 0 {
        let what = format!("the matrix has no run: {cells} cells × {trials} trials");
        problems.push(Problem::new("spec.matrix", what).remedy("exclude fewer cells, and set trials to at least 1"));
    } else if runs > u64::from(MAX_RUNS) {
        let what = format!("{cells} cells × {trials} trials are {runs} runs, at most {MAX_RUNS} are allowed");
        let remedy = "lower trials, or split it into several benchmarks";
        problems.push(Problem::new("spec.matrix.trials", what).remedy(remedy));
    }
}
