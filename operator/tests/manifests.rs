//! `mixbench lint`, `plan`, `crd` and `completions` as a person calls them: output, exit codes, and that nothing is written.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;
use tempfile::TempDir;

#[path = "bad/mod.rs"]
mod bad;

const MANIFESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crds/benchmarks");

fn manifest(name: &str) -> PathBuf {
    Path::new(MANIFESTS).join(name)
}

/// Runs `mixbench` in an empty folder, which must stay empty.
fn mixbench(args: &[&str], stdin: &str) -> (i32, String, String) {
    let dir = TempDir::new().unwrap();
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("mixbench"));
    let Output { status, stdout, stderr } =
        command.args(args).current_dir(dir.path()).write_stdin(stdin.to_owned()).output().unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is written");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// The quickstart with one piece replaced.
fn changed(from: &str, to: &str) -> String {
    let good = std::fs::read_to_string(manifest("quickstart.yaml")).unwrap();
    assert!(good.contains(from), "the quickstart has no {from}");
    good.replacen(from, to, 1)
}

#[test]
fn every_committed_manifest_is_right() {
    for entry in std::fs::read_dir(MANIFESTS).unwrap() {
        let path = entry.unwrap().path();
        let (code, out, _) = mixbench(&["lint", path.to_str().unwrap()], "");
        assert_eq!(code, 0, "{out}");
        assert!(out.contains(" is right: "), "{out}");
    }
}

#[test]
fn a_bad_manifest_ends_with_4_and_says_where() {
    let cases = [
        (
            ("- name: cutmix", "- name: cutmx"),
            "-:15:7: spec.matrix.methods[2].name: unknown method `cutmx`; did you mean `cutmix`?",
        ),
        (("trials: 2", "trials: two"), "-:17:5: spec.matrix.trials: `two` is a text, not a whole number"),
        (("{alpha: \"1.0\"}", "{alpha: \"-1\"}"), "-:14:16: spec.matrix.methods[1].params.alpha: -1 is out of range"),
        (("kind: MixupBenchmark", "kind: Pod"), "-:3:1: kind: `Pod` is not MixupBenchmark; write kind: MixupBenchmark"),
        (("trials: 2", "trials: 2\n    trials: 3"), "-:18:5: duplicate"),
        (
            ("processesPerNode: 2", "processesPerNode: 3"),
            "-:19:29: spec.trainer.processesPerNode: globalBatch 32 is not a multiple",
        ),
    ];
    for ((from, to), expected) in cases {
        let text = changed(from, to);
        for command in ["lint", "plan"] {
            let (code, out, err) = mixbench(&[command, "-"], &text);
            assert_eq!(code, 4, "{command} {to}: {out}{err}");
            assert!((out + &err).contains(expected), "{command} {to}: wanted {expected}\n{err}");
        }
    }
}

#[test]
fn every_bad_manifest_is_refused_where_it_is_wrong() {
    let dir = TempDir::new().unwrap();
    let cases = bad::cases();
    let mut args = vec!["lint".to_owned()];
    for (i, (manifest, _)) in cases.iter().enumerate() {
        let file = dir.path().join(format!("{i}.yaml"));
        std::fs::write(&file, serde_saphyr::to_string(manifest).unwrap()).unwrap();
        args.push(file.to_str().unwrap().to_owned());
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (code, out, _) = mixbench(&args, "");
    assert_eq!(code, 4);
    let mut missed = Vec::new();
    for (file, (_, case)) in args[1..].iter().zip(&cases) {
        let said: Vec<&str> = out.lines().filter_map(|line| line.strip_prefix(file)).collect();
        let wanted: Vec<&String> = [&case.words, &case.value, &case.lint].into_iter().flatten().collect();
        let about =
            |line: &&str| line.contains(&format!(": {}", case.field)) && wanted.iter().all(|w| line.contains(*w));
        if said.len() != 1 || !said.iter().any(about) {
            missed.push(format!("{}: wanted {wanted:?} at {}\n{said:#?}", case.case, case.field));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
    assert_eq!(mixbench(&["lint", "-"], &serde_saphyr::to_string(&bad::good()).unwrap()).0, 0);
}

#[test]
fn broken_yaml_shows_its_line_and_a_caret() {
    let (code, out, _) =
        mixbench(&["lint", "-"], &changed("metadata: {name: quickstart}", "metadata: {name: quickstart"));
    assert_eq!(code, 4);
    let caret = out.lines().any(|line| line.trim_start().starts_with('|') && line.contains('^'));
    assert!(out.starts_with("-:") && caret, "{out}");
}

#[test]
fn several_documents_and_files_are_checked_in_one_go() {
    let two = changed("name: quickstart}", "name: second}") + "---\n" + &changed("resnet20", "resnet2000");
    let (code, out, _) = mixbench(&["lint", manifest("smoke.yaml").to_str().unwrap(), "-", "missing.yaml"], &two);
    assert_eq!(code, 4);
    assert!(out.contains("smoke is right: 2 runs"), "{out}");
    assert!(out.contains("unknown backbone `resnet2000`; did you mean `resnet20`?"), "{out}");
    assert!(out.contains("missing.yaml: cannot read it: No such file"), "{out}");
    let twice = changed("x", "x") + "---\n" + &changed("x", "x");
    assert!(mixbench(&["lint", "-"], &twice).1.contains("metadata.name: `quickstart` stands in this file already"));
    assert!(mixbench(&["lint", "-"], "# nothing\n").1.contains("there is no benchmark in it"));
}

#[test]
fn lint_and_plan_speak_to_machines() {
    let (code, out, _) = mixbench(&["lint", "-", "-o", "json"], &changed("cutmix", "cutmx"));
    let found: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, 4);
    assert_eq!(found["problems"][0]["path"], "spec.matrix.methods[2].name");
    assert_eq!(found["problems"][0]["line"], 15);
    assert_eq!(found["problems"][0]["remedy"], "did you mean `cutmix`?");

    let quickstart = manifest("quickstart.yaml");
    let (code, out, _) = mixbench(&["plan", quickstart.to_str().unwrap(), "-o", "json"], "");
    let plan: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, 0);
    assert_eq!(plan["totals"]["runs"], 6);
    assert_eq!(plan["runs"].as_array().unwrap().len(), 6);
    let (_, yaml, _) = mixbench(&["plan", quickstart.to_str().unwrap(), "-o", "yaml"], "");
    let same: serde_json::Value = serde_saphyr::from_str(&yaml).unwrap();
    assert_eq!(same, plan);
}

#[test]
fn the_plan_shows_every_run_its_parameters_and_its_published_number() {
    let (code, out, _) = mixbench(&["plan", manifest("imagenet-resnets-100ep.yaml").to_str().unwrap()], "");
    assert_eq!(code, 0);
    for number in
        ["70.04", "69.98", "68.95", "73.85", "73.97", "73.58", "76.83", "77.12", "77.17", "78.18", "78.97", "78.96"]
    {
        assert_eq!(out.matches(number).count(), 3, "{number}\n{out}");
    }
    assert!(out.contains("36 runs, 1 at once · 3600 epochs · 4,612,608,000 training images"), "{out}");
    assert!(!out.contains('\x1b'), "no colours outside a terminal");
}

#[test]
fn what_only_a_cluster_knows_is_said_by_plan_and_refused_by_run() {
    let manifest = changed("  trainer:", "  reference: {benchmark: nightly}\n  trainer:");
    let (code, out, _) = mixbench(&["plan", "-"], &manifest);
    assert_eq!(code, 0);
    assert!(
        out.contains("reference: the means of the benchmark nightly where it has the cell; only a cluster"),
        "{out}"
    );
    let (code, _, err) = mixbench(&["run", "-"], &manifest);
    assert_eq!(code, 4);
    let said = "spec.reference.benchmark: the means of `nightly` are known on a cluster only; write its numbers into";
    assert!(err.contains(said), "{err}");
}

#[test]
fn usage_errors_end_with_4_and_help_with_0() {
    for args in [&["lint"][..], &["nonsense"], &["plan", "a", "b"], &["lint", "-", "--output", "xml"], &[]] {
        assert_eq!(mixbench(args, "").0, 4, "{args:?}");
    }
    for args in [&["--help"][..], &["--version"], &["lint", "--help"], &["plan", "--help"], &["crd", "--help"]] {
        assert_eq!(mixbench(args, "").0, 0, "{args:?}");
    }
    let (_, help, _) = mixbench(&["--help"], "");
    for code in ["0  pass", "1  regressed", "2  inconclusive", "3  failed", "4  invalid"] {
        assert!(help.contains(code), "{help}");
    }
}

#[test]
fn the_definition_and_the_completions_are_printed() {
    let (code, crd, _) = mixbench(&["crd"], "");
    assert_eq!((code, crd.lines().nth(1)), (0, Some("kind: CustomResourceDefinition")));
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let (code, text, _) = mixbench(&["completions", shell], "");
        assert!(code == 0 && text.contains("mixbench"), "{shell}");
    }
}
