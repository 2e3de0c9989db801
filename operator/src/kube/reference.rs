//! Another benchmark as reference: its means are what cells of the same backbone and label are compared with.

use mixbench_crds::benchmark::{BenchmarkStatus, CellStatus, MixupBenchmark};

use super::trouble::{Trouble, TroubleKind};
use crate::plan::{Plan, PlannedCell, Reference};
use crate::status::Reason;

/// Puts the means of the benchmark that `own` names into its plan; `other` is that benchmark, where it is there. What is in the way is
/// returned: then no cell is compared with anything but a number of its own manifest. A benchmark that has been judged keeps what it was
/// compared with, whatever becomes of the other one. Pure.
pub fn resolve(plan: &mut Plan, own: &MixupBenchmark, other: Option<&MixupBenchmark>) -> Option<Trouble> {
    let name = plan.reference_benchmark.clone()?;
    let cells = plan.cells.iter_mut().filter(|cell| !given(own, cell));
    let source = format!("benchmark {name}");
    if let Some(judged) = own.status.as_ref().filter(|status| is_judged(status)) {
        compare(cells, &judged.cells, |cell| cell.reference.as_deref(), &source);
        return None;
    }
    let (kind, message) = match other.map(|other| other.status.as_ref().filter(|status| is(status, "Finished"))) {
        Some(Some(status)) => {
            compare(cells, &status.cells, |cell| cell.mean.as_deref(), &source);
            return None;
        }
        Some(None) => {
            (TroubleKind::ReferenceUnfinished, format!("benchmark {name}, the reference, is not finished yet"))
        }
        None => (
            TroubleKind::ReferenceMissing,
            format!("benchmark {name}, the reference, is not there; create it in the same namespace"),
        ),
    };
    for cell in cells {
        cell.reference = Reference::None { why: message.clone() };
    }
    Some(Trouble { kind, run: None, message })
}

/// Puts into the plan what the benchmark's own status says that its cells were compared with, whoever has asked the other one: for whoever
/// reads a status and sees no other benchmark. Pure.
pub fn recall(plan: &mut Plan, own: &MixupBenchmark) {
    let Some(name) = plan.reference_benchmark.clone() else { return };
    let rows: &[CellStatus] = own.status.as_ref().map_or(&[], |status| &status.cells);
    for cell in plan.cells.iter_mut().filter(|cell| !given(own, cell)) {
        if rows.iter().any(|row| same(row, cell) && row.reference.is_some()) {
            compare([cell].into_iter(), rows, |row| row.reference.as_deref(), &format!("benchmark {name}"));
        } else {
            cell.reference =
                Reference::None { why: format!("benchmark {name}, the reference, has told no mean of it yet") };
        }
    }
}

/// Whether the manifest gives the cell a number of its own.
fn given(own: &MixupBenchmark, cell: &PlannedCell) -> bool {
    own.spec.reference.inline.iter().any(|i| i.backbone == cell.backbone && i.method == cell.label)
}

fn same(row: &CellStatus, cell: &PlannedCell) -> bool {
    row.backbone == cell.backbone && row.method == cell.label
}

/// Gives each cell the number of its counterpart; one without keeps what it has.
fn compare<'a>(
    cells: impl Iterator<Item = &'a mut PlannedCell>,
    with: &[CellStatus],
    number: impl Fn(&CellStatus) -> Option<&str>,
    source: &str,
) {
    for cell in cells {
        let counterpart = with.iter().find(|row| same(row, cell));
        let Some(top1) = counterpart.and_then(&number).and_then(|text| text.parse::<f64>().ok()) else { continue };
        // What it has may be the very number: a published one, where the other benchmark had no such cell.
        if cell.reference.top1().is_none_or(|known| (known - top1).abs() > f64::EPSILON) {
            cell.reference = Reference::Known { top1, source: source.to_owned() };
        }
    }
}

/// Whether it has ended and was compared with whatever it should be compared with.
fn is_judged(status: &BenchmarkStatus) -> bool {
    let open = [Reason::NotFinished, Reason::ReferenceMissing, Reason::ReferenceUnfinished].map(<&str>::from);
    let gate = status.conditions.iter().find(|c| c.type_ == "GatePassed");
    is(status, "Finished") && gate.is_some_and(|gate| !open.contains(&gate.reason.as_str()))
}

fn is(status: &BenchmarkStatus, condition: &str) -> bool {
    status.conditions.iter().any(|c| c.type_ == condition && c.status == "True")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::backend::fixture;

    /// A benchmark whose cells have these numbers, in this state.
    fn benchmark(cells: &[Value], finished: bool, gate: &str) -> MixupBenchmark {
        let time = "2026-01-01T00:00:00Z";
        let condition = |kind: &str, status: bool, reason: &str| {
            json!({"type": kind, "status": if status { "True" } else { "False" }, "reason": reason, "message": "",
                "lastTransitionTime": time})
        };
        let inline = json!([{"backbone": "resnet20", "method": "method1", "top1": "50"}]);
        serde_json::from_value(json!({
            "apiVersion": "mixbench.dev/v1alpha1", "kind": "MixupBenchmark", "metadata": {"name": "any"},
            "spec": {"recipe": {"name": "quickstart"}, "data": {"uri": "builtin:fashion-mnist"},
                "matrix": {"backbones": [], "methods": []}, "reference": {"benchmark": "base", "inline": inline}},
            "status": {"cells": cells,
                "conditions": [condition("Finished", finished, "AllRecorded"), condition("GatePassed", true, gate)]},
        }))
        .expect("a benchmark")
    }

    fn cell(method: &str, mean: &str, reference: Option<&str>) -> Value {
        json!({"backbone": "resnet20", "method": method, "n": 2, "mean": mean, "reference": reference, "verdict": "Pass"})
    }

    /// Three cells: the second has a number of its own, the third a published one.
    fn plan() -> Plan {
        let mut plan = fixture::plan(3, 1);
        plan.reference_benchmark = Some("base".into());
        plan.cells[1].reference = Reference::Known { top1: 50.0, source: "mine".into() };
        plan.cells[2].reference = Reference::Known { top1: 60.0, source: "published (x)".into() };
        plan
    }

    fn numbers(plan: &Plan) -> Vec<Option<f64>> {
        plan.cells.iter().map(|c| c.reference.top1()).collect()
    }

    #[test]
    fn means_of_a_finished_benchmark_win_over_published_numbers_and_not_over_given_ones() {
        let own = benchmark(&[], false, "NotFinished");
        let means = [cell("method0", "71.25", None), cell("method1", "72", None), cell("method2", "73", None)];
        let mut all = plan();
        assert_eq!(resolve(&mut all, &own, Some(&benchmark(&means, true, "Pass"))), None);
        assert_eq!(numbers(&all), [Some(71.25), Some(50.0), Some(73.0)]);
        let mut few = plan();
        assert_eq!(resolve(&mut few, &own, Some(&benchmark(&means[..1], true, "Pass"))), None);
        assert_eq!(numbers(&few), [Some(71.25), Some(50.0), Some(60.0)], "without a counterpart it keeps what it has");
    }

    #[test]
    fn nothing_is_compared_with_what_is_not_there_or_not_finished() {
        let own = benchmark(&[], false, "NotFinished");
        let unfinished = benchmark(&[cell("method0", "71", None)], false, "NotFinished");
        let cases = [(None, TroubleKind::ReferenceMissing), (Some(&unfinished), TroubleKind::ReferenceUnfinished)];
        for (other, kind) in cases {
            let mut plan = plan();
            let trouble = resolve(&mut plan, &own, other).expect("it is in the way");
            assert_eq!(trouble.kind, kind);
            assert!(trouble.message.contains("base"));
            assert_eq!(numbers(&plan), [None, Some(50.0), None]);
        }
    }

    #[test]
    fn who_was_judged_stays_judged_when_the_other_one_goes() {
        let judged = [
            cell("method0", "70", Some("71.25")),
            cell("method1", "70", Some("50")),
            cell("method2", "70", Some("60")),
        ];
        let mut kept = plan();
        assert_eq!(resolve(&mut kept, &benchmark(&judged, true, "Regressed"), None), None);
        assert_eq!(numbers(&kept), [Some(71.25), Some(50.0), Some(60.0)]);
        assert_eq!(kept.cells[2].reference, plan().cells[2].reference, "its source too");
        let mut open = plan();
        assert!(resolve(&mut open, &benchmark(&judged, true, "ReferenceMissing"), None).is_some());
    }

    #[test]
    fn a_status_says_what_its_cells_were_compared_with() {
        let rows =
            [cell("method0", "70", Some("71.25")), cell("method1", "70", Some("50.1")), cell("method2", "70", None)];
        for finished in [false, true] {
            let mut plan = plan();
            recall(&mut plan, &benchmark(&rows, finished, "NotFinished"));
            assert_eq!(numbers(&plan), [Some(71.25), Some(50.0), None]);
        }
        let mut published = plan();
        recall(&mut published, &benchmark(&[cell("method2", "70", Some("60"))], true, "Pass"));
        assert_eq!(published.cells[2].reference, plan().cells[2].reference, "its source too");
    }

    #[test]
    fn a_plan_without_such_a_reference_is_left_alone() {
        let mut plain = fixture::plan(2, 1);
        let before = plain.clone();
        assert_eq!(resolve(&mut plain, &benchmark(&[], false, "NotFinished"), None), None);
        assert_eq!(plain, before);
    }
}
