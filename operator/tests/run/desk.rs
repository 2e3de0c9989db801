//! `mixbench submit`, `wait` and `report NAME` where there is no cluster to talk to.

use std::process::Command;

use crate::bench::{Bench, Came, came};

/// `mixbench` with these arguments, in a folder without any cluster's address.
fn mixbench(bench: &Bench, arguments: &[&str]) -> Came {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mixbench"));
    command.current_dir(bench.manifest().parent().unwrap()).env("HOME", "nowhere").args(arguments);
    for variable in ["KUBECONFIG", "KUBERNETES_SERVICE_HOST", "MIXBENCH_KUBECONFIG", "MIXBENCH_CONTEXT"] {
        command.env_remove(variable);
    }
    came(command.output().unwrap())
}

/// What a command that is refused says.
fn refused(bench: &Bench, arguments: &[&str]) -> String {
    let came = mixbench(bench, arguments);
    assert_eq!((came.code, came.stdout.as_str()), (4, ""), "{arguments:?}: {}", came.stderr);
    came.stderr
}

#[test]
fn without_a_kubeconfig_the_flag_is_named() {
    let bench = Bench::new(1, 3);
    for arguments in [&["submit", "test.yaml"][..], &["wait", "test"], &["report", "mixb/test"]] {
        let said = refused(&bench, arguments);
        assert!(said.contains("no cluster can be asked") && said.contains("--kubeconfig FILE"), "{said}");
    }
    std::fs::write(bench.manifest().with_file_name("kube"), "current-context: a\n").unwrap();
    let said = refused(&bench, &["wait", "test", "--kubeconfig", "kube", "--context", "other"]);
    assert!(said.contains("other"), "the context is named: {said}");
}

#[test]
fn what_is_neither_a_folder_nor_on_a_cluster_is_told_in_both_readings() {
    let bench = Bench::new(1, 3);
    let said = refused(&bench, &["report", "quickstart"]);
    assert!(said.contains("`quickstart` is no folder here") && said.contains("no cluster can be asked"), "{said}");
    let said = refused(&bench, &["report", "quick/start"]);
    assert!(said.contains("quick/start holds no plan.json"), "{said}");
    std::fs::create_dir(bench.out()).unwrap();
    let said = refused(&bench, &["report", "out"]);
    assert!(said.contains("out holds no plan.json") && said.contains("mixb/out"), "{said}");
}

#[test]
fn a_manifest_is_refused_in_the_words_of_lint() {
    let bench = Bench::new(0, 3);
    let lint = mixbench(&bench, &["lint", "test.yaml"]);
    assert_eq!(lint.code, 4);
    assert_eq!(refused(&bench, &["submit", "test.yaml"]), lint.stdout);
}

#[test]
fn flags_that_cannot_be_meant_are_refused_before_anything_is_created() {
    let bench = Bench::new(1, 3);
    let said = refused(&bench, &["submit", "test.yaml", "--junit", "junit.xml"]);
    assert!(said.contains("--junit needs --wait"), "{said}");
    let said = refused(&bench, &["wait", "test", "--timeout", "300"]);
    assert!(said.contains("with units, such as 90s"), "{said}");
    let said = refused(&bench, &["wait", "test", "--junit", "none/junit.xml"]);
    assert!(said.contains("there is no folder none"), "{said}");
    let said = refused(&bench, &["wait", "Test"]);
    assert!(said.contains("`Test` names no benchmark"), "{said}");
    let manifest =
        std::fs::read_to_string(bench.manifest()).unwrap().replace("{name: test}", "{name: test, namespace: a}");
    std::fs::write(bench.manifest(), manifest).unwrap();
    let said = refused(&bench, &["submit", "test.yaml", "-n", "b"]);
    assert!(said.contains("`a` is not the `b` of -n"), "{said}");
}
