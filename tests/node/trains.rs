//! What goes well.

use std::time::Instant;

use crate::space::{Row, Space, calm, figure, manifest, pods, processes, row, until};

/// Results of a machine as the status has them, in the order of the ids.
fn expected(name: &str) -> Vec<Row> {
    calm(name).iter().map(|(id, run)| row(id, run)).collect()
}

fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort_by(|a, b| a.id.cmp(&b.id));
    rows
}

#[test]
fn the_smoke_benchmark_gives_the_numbers_of_mixbench_run() {
    let space = Space::new("smoke");
    let begun = Instant::now();
    space.apply(&manifest("smoke.yaml"));
    let running = || space.pods("smoke").iter().any(|pod| !processes(pod, "mixbench-trainer").is_empty());
    let first = until("a pod runs", running);
    let rows = space.finished("smoke");
    let all = begun.elapsed();
    assert_eq!(sorted(rows), expected("smoke"));
    assert!(space.has("smoke", "GatePassed", 0));

    let operator = pods("mixbench-system", "app.kubernetes.io/name=mixbench");
    let status = std::fs::read_to_string(format!("/proc/{}/status", processes(&operator[0], "operator")[0])).unwrap();
    let memory = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    figure(&format!(
        "smoke.yaml: apply to first pod {:.1} s, to Finished {:.1} s; operator {memory}",
        first.as_secs_f64(),
        all.as_secs_f64()
    ));
}

#[test]
fn two_pods_of_a_run_meet_by_name_and_give_the_numbers_of_one_machine() {
    let space = Space::new("two-nodes");
    let begun = Instant::now();
    space.apply(&manifest("two-nodes.yaml"));
    until("both pods of a run run", || {
        space.pods("two-nodes").iter().filter(|pod| !processes(pod, "worker").is_empty()).count() >= 2
    });
    let rows = sorted(space.finished("two-nodes"));
    figure(&format!("two-nodes.yaml: apply to Finished {:.1} s", begun.elapsed().as_secs_f64()));
    let one = expected("smoke");
    assert_eq!(rows.len(), one.len());
    for (two, one) in rows.into_iter().zip(one) {
        assert_ne!(two.id, one.id, "another world is another run");
        let method = |id: &str| id.rsplit_once('-').unwrap().0.to_owned();
        assert_eq!(method(&two.id), method(&one.id));
        assert_eq!(two, Row { id: two.id.clone(), ..one });
    }
}

#[test]
fn the_static_program_finds_the_api_server_by_its_name() {
    let space = Space::new("by-name");
    space.apply(&manifest("by-name.yaml").replace("VERSION", env!("CARGO_PKG_VERSION")));
    let ended = || {
        space.kubectl(&[
            "get",
            "pod",
            "by-name",
            "-o",
            "jsonpath={.status.containerStatuses[0].state.terminated.exitCode}",
        ])
    };
    until("it ends", || !ended().is_empty());
    let said = space.kubectl(&["logs", "by-name"]);
    // Who may not read benchmarks has been heard, by a server that was found and whose certificate holds.
    assert!(said.contains("forbidden"), "{said}");
}
