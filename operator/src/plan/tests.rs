//! The plan of the committed manifests, and when a published number applies.

use super::*;
use crate::{manifest, validate};

const IMAGENET: &str = include_str!("../../../crds/benchmarks/imagenet-resnets-100ep.yaml");
const QUICKSTART: &str = include_str!("../../../crds/benchmarks/quickstart.yaml");

fn planned(text: &str) -> Plan {
    let document = manifest::parse(text).expect("YAML").remove(0);
    plan(&validate::check(&document).expect("a good manifest").1)
}

/// Why the first cell of a changed ImageNet manifest has no published number.
fn why(from: &str, to: &str) -> String {
    assert!(IMAGENET.contains(from));
    match planned(&IMAGENET.replacen(from, to, 1)).cells.remove(1).reference {
        Reference::Known { .. } => "it has one".into(),
        Reference::None { why } => why,
    }
}

#[test]
fn the_imagenet_manifest_shows_its_twelve_published_numbers() {
    let plan = planned(IMAGENET);
    let numbers: Vec<Option<f64>> = plan.cells.iter().map(|c| c.reference.top1()).collect();
    let published = [[70.04, 69.98, 68.95], [73.85, 73.97, 73.58], [76.83, 77.12, 77.17], [78.18, 78.97, 78.96]];
    assert_eq!(numbers, published.as_flattened().iter().map(|n| Some(*n)).collect::<Vec<_>>());
    assert_eq!(plan.runs[0].run.spec.training.accumulation(plan.runs[0].run.spec.world.size()), Some(1));
}

#[test]
fn a_published_number_applies_to_the_published_training_only() {
    assert_eq!(why("- name: mixup", "- name: mixup\n      params: {alpha: \"0.20\"}"), "it has one");
    assert_eq!(why("- name: mixup", "- name: mixup\n      params: {alpha: \"1\"}"), "published with alpha 0.2");
    assert_eq!(
        why("{name: pytorch-100ep}", "{name: pytorch-100ep, overrides: {epochs: 90, lr: \"0.2\"}}"),
        "published with another training: epochs 90 instead of 100, schedule.lr 0.2 instead of 0.1"
    );
    let same = "{name: pytorch-100ep, overrides: {epochs: 100, evalBatch: 200, channelsLast: true}}";
    assert_eq!(why("{name: pytorch-100ep}", same), "it has one");
    let half = "{name: pytorch-100ep, overrides: {precision: bf16}}";
    assert_eq!(
        why("{name: pytorch-100ep}", half),
        "published with another training: precision \"bf16\" instead of \"f32\""
    );
    let elsewhere = "name: my-images, mean: [\"0.5\", \"0.5\", \"0.5\"], std: [\"0.2\", \"0.2\", \"0.2\"]";
    assert_eq!(why("name: imagenet-1k", elsewhere), "published on imagenet-1k, not on my-images");
    assert_eq!(why("spec:", "spec:\n  reference: {published: false}"), "spec.reference.published is false");
    assert_eq!(
        why("spec:", "spec:\n  loadCheckpoint: best.safetensors"),
        "published from fresh weights, not from a checkpoint"
    );
    assert_eq!(
        planned(QUICKSTART).cells[0].reference,
        Reference::None { why: "the recipe quickstart has no published numbers".into() }
    );
}

#[test]
fn a_number_of_ones_own_wins() {
    let inline =
        "spec:\n  reference: {inline: [{backbone: resnet18, method: mixup, top1: \"71.5\", source: our paper}]}";
    let plan = planned(&IMAGENET.replacen("spec:", inline, 1));
    assert_eq!(plan.cells[1].reference, Reference::Known { top1: 71.5, source: "our paper".into() });
    assert_eq!(plan.cells[0].reference.top1(), Some(70.04));
}

#[test]
fn runs_are_breadth_first_with_a_seed_for_each_trial() {
    let plan = planned(&QUICKSTART.replace("baseSeed: 0", "baseSeed: 7"));
    let order: Vec<(usize, u32, u64)> = plan.runs.iter().map(|r| (r.cell, r.run.trial, r.run.spec.seed)).collect();
    assert_eq!(order, [(0, 0, 7), (1, 0, 7), (2, 0, 7), (0, 1, 8), (1, 1, 8), (2, 1, 8)]);
    let mut ids: Vec<&str> = plan.runs.iter().map(|r| r.run.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 6);
}

#[test]
fn raising_trials_keeps_every_earlier_run() {
    let before = planned(QUICKSTART);
    let after = planned(&QUICKSTART.replace("trials: 2", "trials: 3"));
    assert_eq!(before.runs[..], after.runs[..before.runs.len()]);
}

#[test]
fn where_a_run_happens_changes_no_id() {
    let ids = |text: &str| planned(text).runs.into_iter().map(|r| r.run.id).collect::<Vec<_>>();
    let moved = QUICKSTART.replace("spec:", "spec:\n  parallelism: 4\n  storage: {everyEpochs: 3, keep: 5}");
    assert_eq!(ids(QUICKSTART), ids(&moved.replace("processesPerNode: 2", "processesPerNode: 2, loaderThreads: 0")));
    assert_ne!(ids(QUICKSTART), ids(&QUICKSTART.replace("processesPerNode: 2", "processesPerNode: 1")));
}

#[test]
fn a_plan_survives_its_file_and_is_the_same_every_time() {
    let plan = planned(IMAGENET);
    let text = serde_json::to_string(&plan).expect("JSON");
    assert_eq!(serde_json::from_str::<Plan>(&text).expect("a plan"), plan);
    assert_eq!(text, serde_json::to_string(&planned(IMAGENET)).expect("JSON"));
    for planned in &plan.runs {
        let run = serde_json::to_string(&planned.run).expect("JSON");
        assert_eq!(Run::parse(&run).expect("its id belongs to its spec"), planned.run);
    }
}

#[test]
fn totals_count_padded_images_and_the_time_rests_on_earlier_speeds() {
    let plan = planned(QUICKSTART);
    assert_eq!(plan.totals(), Totals { runs: 6, epochs: 48, images: Some(48 * 2016) });
    let speeds = BTreeMap::from([("resnet20".to_owned(), 512.0)]);
    assert_eq!(plan.estimate(&speeds), Some(48.0 * 2016.0 / 512.0));
    assert_eq!(plan.estimate(&BTreeMap::new()), None);
}
