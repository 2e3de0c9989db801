//! Bad manifests, each with its message.

use super::*;
use crate::manifest;

const GOOD: &str = r#"
apiVersion: mixbench.dev/v1alpha1
kind: MixupBenchmark
metadata: {name: quickstart}
spec:
  recipe: {name: quickstart}
  data: {uri: "builtin:fashion-mnist-2k"}
  matrix:
    backbones:
    - name: resnet20
    methods:
    - name: vanilla
    - name: mixup
      params: {alpha: "1.0"}
    trials: 2
    baseSeed: 0
  trainer: {gpusPerNode: 0, processesPerNode: 2}
"#;

fn problems(text: &str) -> Vec<String> {
    let documents = manifest::parse(text).expect("the test is about valid YAML");
    check(&documents[0]).err().into_iter().flatten().map(|p| p.to_string()).collect()
}

/// Replaces one piece of the good manifest and expects exactly these problems.
#[track_caller]
fn refused(from: &str, to: &str, expected: &[&str]) {
    assert!(GOOD.contains(from), "the good manifest has no {from}");
    assert_eq!(problems(&GOOD.replacen(from, to, 1)), expected);
}

#[test]
fn a_good_manifest_is_right() {
    assert_eq!(problems(GOOD), [""; 0]);
    let (_, spec) = check(&manifest::parse(GOOD).expect("YAML")[0]).expect("right");
    assert_eq!((spec.cells.len(), spec.trials, spec.world.size()), (2, 2, 2));
    assert_eq!(spec.cells[1].params["alpha"], Param::Number(1.0));
    assert_eq!(spec.data.name, "fashion-mnist-2k");
}

#[test]
fn a_name_may_be_left_to_the_server() {
    let generated = |start: &str| problems(&GOOD.replacen("name: quickstart", &format!("generateName: {start}"), 1));
    assert_eq!(generated("nightly-"), [""; 0]);
    assert_eq!(generated(&"n".repeat(70)), [""; 0], "the server cuts it");
    assert!(generated("Nightly-")[0].contains("metadata.name Nightly-xxxxx is no label"));
}

#[test]
fn unknown_names_are_refused_with_a_suggestion() {
    refused(
        "name: mixup",
        "name: mxup",
        &["spec.matrix.methods[1].name: unknown method `mxup`; did you mean `mixup`?"],
    );
    refused(
        "name: resnet20",
        "name: resnet21",
        &["spec.matrix.backbones[0].name: unknown backbone `resnet21`; did you mean `resnet20`?"],
    );
    refused(
        "recipe: {name: quickstart}",
        "recipe: {name: quick-start}",
        &["spec.recipe.name: unknown recipe `quick-start`; did you mean `quickstart`?"],
    );
    refused(
        "fashion-mnist-2k",
        "fashion-mnist",
        &["spec.data.uri: unknown built-in data set `fashion-mnist`; did you mean `fashion-mnist-2k`?"],
    );
}

#[test]
fn unknown_fields_are_refused_with_a_suggestion() {
    refused("trials: 2", "trails: 2", &["spec.matrix.trails: unknown field `trails`; did you mean `trials`?"]);
    refused(
        "{name: quickstart}\nspec",
        "{name: q, label: x}\nspec",
        &["metadata.label: unknown field `label`; did you mean `labels`?"],
    );
    refused("\nspec:", "\nsepc: {}\nspec:", &["sepc: unknown field `sepc`; did you mean `spec`?"]);
    refused(
        "{alpha: ",
        "{alhpa: ",
        &["spec.matrix.methods[1].params.alhpa: unknown parameter of mixup `alhpa`; did you mean `alpha`?"],
    );
    refused(
        "- name: vanilla",
        "- name: vanilla\n      params: {alpha: \"1\"}",
        &["spec.matrix.methods[0].params.alpha: unknown parameter of vanilla `alpha`; there is none; leave it out"],
    );
}

#[test]
fn a_whole_number_is_written_with_digits_alone() {
    let why = |shown| format!("spec.matrix.trials: `{shown}` is a number with a fraction, not a whole number");
    let remedy = "write it with digits alone, without point, exponent or leading zero";
    refused("trials: 2", "trials: 2.0", &[&format!("{}; {remedy}", why("2.0"))]);
    refused("trials: 2", "trials: 010", &[&format!("{}; {remedy}", why("10.0"))]);
    refused("trials: 2", "trials: 2.5", &[&why("2.5")]);
}

#[test]
fn another_kind_or_version_is_refused() {
    refused("MixupBenchmark", "Job", &["kind: `Job` is not MixupBenchmark; write kind: MixupBenchmark"]);
    refused(
        "v1alpha1",
        "v2",
        &["apiVersion: version `v2` is not one that this build reads; write apiVersion: mixbench.dev/v1alpha1"],
    );
    refused(
        "mixbench.dev/v1alpha1",
        "batch/v1",
        &["apiVersion: `batch/v1` is not mixbench.dev/v1alpha1; write apiVersion: mixbench.dev/v1alpha1"],
    );
}

#[test]
fn alpha_must_be_a_number_in_its_range_in_quotes() {
    let summary = "α of the symmetric Beta(α, α) that λ is drawn from";
    let at = "spec.matrix.methods[1].params.alpha";
    refused("\"1.0\"", "\"0\"", &[&format!("{at}: 0 is out of range: 0 < value ≤ 64; {summary}")]);
    refused("\"1.0\"", "\"65\"", &[&format!("{at}: 65 is out of range: 0 < value ≤ 64; {summary}")]);
    refused("\"1.0\"", "one", &[&format!("{at}: `one` is not a number; {summary}")]);
    refused("\"1.0\"", "\"NaN\"", &[&format!("{at}: `NaN` is not a finite number; {summary}")]);
    refused(
        "\"1.0\"",
        "1.0",
        &[&format!("{at}: `1.0` is a number with a fraction, not a text; write it in quotes: \"1.0\"")],
    );
}

#[test]
fn zero_runs_and_more_than_512_are_refused() {
    refused("trials: 2", "trials: 0", &["spec.matrix.trials: 0 is out of range: 1 to 64"]);
    let at_least = "spec.matrix.backbones: has 0 entries, at least 1 are needed";
    refused("backbones:\n    - name: resnet20\n", "backbones: []\n", &[at_least]);
    let all = "trials: 2\n    exclude: [{backbone: resnet20, method: vanilla}, {backbone: resnet20, method: mixup}]";
    refused(
        "trials: 2",
        all,
        &["spec.matrix.exclude: 1 backbones × 2 methods without 2 exclusions are no run: exclude fewer"],
    );
    let method = |i| format!("    - {{name: mixup, params: {{alpha: \"0.{i}\"}}}}");
    let methods: Vec<String> = (1..=9).map(method).collect();
    let many = GOOD.replace("    trials: 2", &(methods.join("\n") + "\n    trials: 64"));
    let expected = [
        "spec.matrix.trials: 11 cells × 64 trials are 704 runs, at most 512 are allowed: lower trials, or split it into several benchmarks",
    ];
    assert_eq!(problems(&many), expected);
}

#[test]
fn an_indivisible_batch_names_the_numbers_and_a_way_out() {
    refused(
        "processesPerNode: 2",
        "processesPerNode: 3",
        &[
            "spec.trainer.processesPerNode: globalBatch 32 is not a multiple of microBatch 16 × 3 processes = 48 images at once; \
         set spec.recipe.overrides.globalBatch: 48, or use another number of processes",
        ],
    );
    refused(
        "processesPerNode: 2",
        "processesPerNode: 4",
        &[
            "spec.trainer.processesPerNode: globalBatch 32 is not a multiple of microBatch 16 × 4 processes = 64 images at once; \
         set spec.recipe.overrides.microBatch: 8, or globalBatch: 64",
        ],
    );
    refused(
        "recipe: {name: quickstart}",
        "recipe: {name: quickstart, overrides: {microBatch: 48}}",
        &[
            "spec.recipe.overrides.microBatch: globalBatch 32 is not a multiple of microBatch 48 × 2 processes = 96 images at once; \
         set spec.recipe.overrides.microBatch: 16, or globalBatch: 96",
        ],
    );
}

#[test]
fn a_stem_or_a_size_that_the_backbone_does_not_take_is_refused() {
    refused(
        "recipe: {name: quickstart}",
        "recipe: {name: quickstart, overrides: {stem: imagenet}}",
        &["spec.matrix.backbones[0].name: resnet20 cannot be built with the recipe's stem `imagenet`; \
         set spec.recipe.overrides.stem: small, or leave resnet20 out"],
    );
}

#[test]
fn data_must_lie_in_one_known_place() {
    refused(
        "uri: \"builtin:fashion-mnist-2k\"",
        "name: imagenet-1k",
        &["spec.data: give exactly one of uri and volume"],
    );
    refused(
        "builtin:fashion-mnist-2k",
        "s3://bucket/x",
        &["spec.data.uri: unknown kind of data in s3://bucket/x: it must begin with builtin:, idx:, imagefolder:"],
    );
    let unnamed = problems(&GOOD.replace("builtin:fashion-mnist-2k", "idx:/data"));
    assert!(unnamed[0].starts_with("spec.data.name: is missing: what lies at idx:/data must be named"), "{unnamed:?}");
    let strange = problems(&GOOD.replace("{uri: \"builtin:fashion-mnist-2k\"}", "{name: mine, uri: \"idx:/data\"}"));
    assert_eq!(strange.len(), 2, "{strange:?}");
    assert!(strange[0].contains("spec.data.mean: is missing, and `mine` is not a data set with known values"));
}

#[test]
fn a_cell_or_a_label_stands_once() {
    refused(
        "    - name: vanilla\n",
        "    - {name: mixup, label: again, params: {alpha: \"1\"}}\n",
        &["spec.matrix.methods[1]: resnet20 with `mixup alpha=1.0` is the same cell as with `again`; \
         give it other params, or remove it"],
    );
    refused(
        "- name: vanilla",
        "- {name: vanilla, label: mixup}",
        &["spec.matrix.methods[1]: `mixup` stands in spec.matrix.methods[0] already; \
         give one of them a label or other params, or remove it"],
    );
    refused(
        "- name: resnet20",
        "- name: resnet20\n    - name: resnet20",
        &["spec.matrix.backbones[1].name: `resnet20` stands in spec.matrix.backbones[0] already; remove one of them"],
    );
}

#[test]
fn gpus_have_one_process_each() {
    refused(
        "gpusPerNode: 0",
        "gpusPerNode: 2",
        &[
            "spec.trainer.processesPerNode: 2 processes with 2 GPUs: every GPU has one process; set gpusPerNode: 0, or leave \
             processesPerNode out",
        ],
    );
}

#[test]
fn everything_that_is_wrong_is_found_at_once() {
    let bad = GOOD
        .replace("name: vanilla", "name: vanila")
        .replace("\"1.0\"", "99")
        .replace("trials: 2", "trials: x")
        .replace("processesPerNode: 2", "processPerNode: 2");
    let found = problems(&bad);
    assert_eq!(found.len(), 4, "{found:#?}");
}

#[test]
fn what_may_change_is_suspend_parallelism_and_trials_upwards() {
    let json = |text: &str| manifest::parse(text).expect("YAML")[0].to_json();
    let old = json(GOOD);
    let after = |from: &str, to: &str| {
        let changed: Vec<String> =
            rules(&json(&GOOD.replace(from, to)), Some(&old)).into_iter().map(|p| p.message).collect();
        changed
    };
    assert_eq!(after("trials: 2", "trials: 3"), [""; 0]);
    assert_eq!(after("spec:", "spec:\n  suspend: true\n  parallelism: 4"), [""; 0]);
    assert_eq!(
        after("trials: 2", "trials: 1"),
        ["trials can only be raised, and 1 is below 2: the runs have begun; create another benchmark with fewer"]
    );
    let fixed =
        |field: &str| format!("spec.{field} cannot be changed: the runs have begun; create another benchmark with it");
    assert_eq!(after("recipe: {name: quickstart}", "recipe: {name: pytorch-100ep}"), [fixed("recipe")]);
    assert_eq!(after("spec:", "spec:\n  loadCheckpoint: x"), [fixed("loadCheckpoint")]);
    assert_eq!(after("baseSeed: 0", "baseSeed: 1"), [fixed("matrix.baseSeed")]);
    assert_eq!(after("spec:", "spec:\n  gate: {confidence: none}"), [fixed("gate")]);
}

#[test]
fn a_name_must_fit_into_labels() {
    refused(
        "{name: quickstart}\nspec",
        "{name: Quick.Start}\nspec",
        &["metadata.name: metadata.name Quick.Start is no label: at most 63 lower-case letters, digits and hyphens"],
    );
}
