//! What a benchmark's status says of the runs of its plan. There are no curves: a status has no room for every epoch.

use std::collections::BTreeMap;

use jiff::Timestamp;
use mixbench_crds::benchmark::{BenchmarkStatus, EndReason, MixupBenchmark, RunPhase, RunStatus as RunRow};
use mixbench_crds::result::RunResult;

use super::build::Seen;
use super::{Environment, Report, RunStatus};
use crate::aggregate::Outcome;
use crate::kube::reference;
use crate::plan::plan;
use crate::status::{Reason, record};
use crate::validate::{Problem, validate};

impl Report {
    /// The report of a benchmark whose runs are Jobs, as far as its status knows them. `command` makes it anew, but for its `--format`. Pure.
    ///
    /// # Errors
    /// Why this build cannot plan it.
    pub fn of_benchmark(benchmark: &MixupBenchmark, command: String, now: Timestamp) -> Result<Self, Vec<Problem>> {
        let nothing = BenchmarkStatus::default();
        let status = benchmark.status.as_ref().unwrap_or(&nothing);
        let mut plan = plan(&validate(benchmark)?);
        reference::recall(&mut plan, benchmark);
        let rows: BTreeMap<&str, &RunRow> = status.runs.iter().map(|r| (r.id.as_str(), r)).collect();
        let namespace = benchmark.metadata.namespace.as_deref().unwrap_or("default");
        let seen = |id: &str| match rows.get(id) {
            Some(row) => seen(row, status, namespace),
            None => Seen::nothing(String::new()),
        };
        let mut report = Self::build(&plan, |planned| seen(&planned.run.id), command, now);
        if report.outcome != Outcome::Failed && unjudged(status) {
            report.outcome = Outcome::Inconclusive;
        }
        Ok(report)
    }
}

/// Whether the benchmark to compare with has told nothing yet: then the operator leaves the gate open.
fn unjudged(status: &BenchmarkStatus) -> bool {
    let open = [Reason::ReferenceMissing, Reason::ReferenceUnfinished].map(<&str>::from);
    status.conditions.iter().any(|c| c.type_ == "GatePassed" && open.contains(&c.reason.as_str()))
}

fn seen(row: &RunRow, status: &BenchmarkStatus, namespace: &str) -> Seen {
    let remembered = record::remembered(row, &status.environments).map(|r| r.run.result).map_err(|e| e.to_string());
    let (stands, message) = standing(row, remembered.as_ref().map(Option::as_ref).map_err(String::as_str));
    let progress = row.progress.as_ref();
    let job = row.job.as_deref();
    Seen {
        status: stands,
        message,
        result: remembered.ok().flatten(),
        attempts: row.attempt,
        epochs: progress.map_or(0, |p| p.epoch),
        top1: progress.and_then(|p| p.top1.as_deref()?.parse().ok()),
        images_per_second: progress.and_then(|p| p.images_per_second).map(f64::from),
        environment: Environment {
            first_event: row.start_time.as_ref().map(|t| t.0),
            last_event: row.completion_time.as_ref().map(|t| t.0),
            ..Environment::default()
        },
        ..Seen::nothing(job.map_or(String::new(), |job| format!("kubectl logs -n {namespace} job/{job}")))
    }
}

fn standing(row: &RunRow, result: Result<Option<&RunResult>, &str>) -> (RunStatus, Option<String>) {
    let message = row.message.as_deref().unwrap_or("no reason was told");
    match (row.state, result) {
        (_, Ok(Some(_))) => (RunStatus::Finished, None),
        (_, Err(why)) => (RunStatus::Stopped, Some(why.to_owned())),
        (RunPhase::Succeeded, Ok(None)) => {
            (RunStatus::Stopped, Some("finished, but the status holds no result".to_owned()))
        }
        (RunPhase::Running | RunPhase::Stopping, Ok(None)) => (RunStatus::Running, None),
        (RunPhase::Failed, Ok(None)) => {
            let reason = row.ends.iter().max_by_key(|e| e.attempt).map_or("killed".to_owned(), |e| kebab(e.reason));
            (RunStatus::Failed, Some(format!("{message} ({reason})")))
        }
        (RunPhase::BackingOff, Ok(None)) => (RunStatus::Stopped, Some(format!("will be tried again: {message}"))),
        (RunPhase::Queued, Ok(None)) if row.attempt == 0 => (RunStatus::Waiting, None),
        (RunPhase::Queued, Ok(None)) => (RunStatus::Stopped, row.message.clone()),
    }
}

/// The reason as the contract spells exits: `OutOfMemory` is out-of-memory.
fn kebab(reason: EndReason) -> String {
    let mut text = String::new();
    for c in format!("{reason:?}").chars() {
        if c.is_ascii_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.push(c.to_ascii_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use mixbench_crds::benchmark::{AttemptEnd, CellStatus};
    use mixbench_crds::metric::Score;
    use serde_json::{Value, json};

    use super::*;
    use crate::backend::fake::result;
    use crate::decide::{Observed, ObservedRun};
    use crate::history::RunFolder;
    use crate::plan::{Plan, Reference};
    use crate::report::{CellRow, Format};
    use crate::status::{Context, status};

    /// The quickstart with these fields of its spec instead, as the API server gives it.
    fn benchmark(fields: &[(&str, Value)]) -> MixupBenchmark {
        let text = include_str!("../../../crds/benchmarks/quickstart.yaml");
        let (benchmark, _) = crate::validate::check(&crate::manifest::parse(text).expect("YAML")[0]).expect("good");
        let mut json = serde_json::to_value(benchmark).expect("JSON");
        json["metadata"]["namespace"] = "ml".into();
        for (name, value) in fields {
            json["spec"][name] = value.clone();
        }
        serde_json::from_value(json).expect("a benchmark")
    }

    fn report(benchmark: &MixupBenchmark) -> Report {
        let command = "mixbench report quickstart -n ml".to_owned();
        Report::of_benchmark(benchmark, command, Timestamp::UNIX_EPOCH).expect("it can be planned")
    }

    /// Results of all runs but the last, with digits that no rounding keeps.
    fn results(plan: &Plan) -> BTreeMap<String, RunResult> {
        let some = &plan.runs[..plan.runs.len() - 1];
        let one = |(i, planned): (usize, &crate::plan::PlannedRun)| {
            let mut result = result(&planned.run.id, 1, 50.0);
            result.n = 9973;
            result.images = 16_000 + i as u64;
            result.train_seconds = 20.123_456_789 / (i + 3) as f64;
            result.epochs = planned.run.spec.training.epochs;
            result.window = vec![Score { epoch: result.epochs, correct1: 5003 + 17 * i as u64, correct5: 9001 }];
            (planned.run.id.clone(), result)
        };
        some.iter().enumerate().map(one).collect()
    }

    /// The benchmark with the status that the operator writes for these results, read back from the API server.
    fn with_status(benchmark: MixupBenchmark, results: &BTreeMap<String, RunResult>) -> MixupBenchmark {
        turned(benchmark, None, results)
    }

    /// The same, beside another benchmark.
    fn turned(
        mut benchmark: MixupBenchmark,
        other: Option<&MixupBenchmark>,
        results: &BTreeMap<String, RunResult>,
    ) -> MixupBenchmark {
        let mut plan = plan(&validate(&benchmark).expect("valid"));
        let troubles: Vec<_> = reference::resolve(&mut plan, &benchmark, other).into_iter().collect();
        let run = |(id, result): (&String, &RunResult)| {
            (id.clone(), ObservedRun { result: Some(result.clone()), ..ObservedRun::default() })
        };
        let observed = Observed { suspended: true, runs: results.iter().map(run).collect(), ..Observed::default() };
        let progress = BTreeMap::new();
        let context =
            Context { benchmark: &benchmark, now: Timestamp::UNIX_EPOCH, troubles: &troubles, progress: &progress };
        benchmark.status = Some(status(&plan, &observed, context));
        serde_json::from_str(&serde_json::to_string(&benchmark).expect("JSON")).expect("the same")
    }

    #[test]
    fn a_cluster_and_a_folder_with_the_same_results_give_the_same_report_to_the_last_digit() {
        let inline = json!([{"backbone": "resnet20", "method": "vanilla", "top1": "50.1", "source": "a test"}]);
        let benchmark = benchmark(&[("reference", json!({"inline": inline}))]);
        let plan = plan(&validate(&benchmark).expect("valid"));
        let results = results(&plan);
        let folder = |r: &RunResult| RunFolder { result: Some(Ok(r.clone())), attempt: 1, ..RunFolder::default() };
        let folders = results.iter().map(|(id, r)| (id.clone(), folder(r))).collect();
        let here = Report::new(&plan, &folders, Timestamp::UNIX_EPOCH);
        let there = report(&with_status(benchmark, &results));
        for format in [Format::Table, Format::Markdown, Format::Csv, Format::Junit] {
            assert_eq!(format.render(&there, false), format.render(&here, false));
        }
        assert_eq!(there.cells, here.cells);
        assert_eq!(there.environment.data_fingerprints, here.environment.data_fingerprints);
        assert_eq!(there.outcome, here.outcome);
    }

    #[test]
    fn a_page_is_made_without_curves_and_says_how_to_make_it_anew() {
        let benchmark = benchmark(&[]);
        let plan = plan(&validate(&benchmark).expect("valid"));
        let page = Format::Html.render(&report(&with_status(benchmark, &results(&plan))), false);
        assert!(page.contains("<code>mixbench report quickstart -n ml --format html</code>"));
        assert!(!page.contains("chart curves") && page.contains("50.34"));
    }

    #[test]
    fn what_was_never_looked_at_waits() {
        let report = report(&benchmark(&[]));
        assert!(report.runs.iter().all(|r| r.status == RunStatus::Waiting));
        assert_eq!(report.cells.iter().map(CellRow::word).collect::<Vec<_>>(), ["incomplete"; 3]);
    }

    #[test]
    fn another_benchmarks_means_are_those_that_the_operator_compared_with() {
        let benchmark = benchmark(&[("reference", json!({"benchmark": "baseline"}))]);
        let plan = plan(&validate(&benchmark).expect("valid"));
        let mut benchmark = with_status(benchmark, &results(&plan));
        let mixup = |cell: &&mut CellStatus| cell.method == "mixup";
        let status = benchmark.status.as_mut().expect("a status");
        status.cells.iter_mut().find(mixup).expect("a cell").reference = Some("50.20".into());
        let report = report(&benchmark);
        let references: Vec<Option<f64>> = report.cells.iter().map(|c| c.cell.reference.top1()).collect();
        assert_eq!(references, [None, Some(50.2), None]);
        assert_eq!(
            report.cells[1].cell.reference,
            Reference::Known { top1: 50.2, source: "benchmark baseline".into() }
        );
    }

    /// What the operator's gate says, as an outcome.
    fn gate(benchmark: &MixupBenchmark) -> Outcome {
        let status = benchmark.status.as_ref().expect("a status");
        let gate = status.conditions.iter().find(|c| c.type_ == "GatePassed").expect("a gate");
        match (gate.status.as_str(), gate.reason.as_str()) {
            ("True", _) => Outcome::Pass,
            ("False", "Regressed") => Outcome::Regressed,
            ("Unknown", "Inconclusive" | "ReferenceMissing" | "ReferenceUnfinished") => Outcome::Inconclusive,
            _ => Outcome::Failed,
        }
    }

    #[test]
    fn the_outcome_is_what_the_operators_gate_says() {
        let compared = |top1: &str| json!({"inline": [{"backbone": "resnet20", "method": "vanilla", "top1": top1}]});
        let other = json!({"benchmark": "baseline"});
        let unfinished = benchmark(&[]);
        let cases = [
            (json!({}), None, Outcome::Pass),
            (compared("10"), None, Outcome::Pass),
            (compared("90"), None, Outcome::Regressed),
            (compared("50.5"), None, Outcome::Inconclusive),
            (other.clone(), None, Outcome::Inconclusive),
            (other, Some(&unfinished), Outcome::Inconclusive),
        ];
        for (reference, other, outcome) in cases {
            let benchmark = benchmark(&[("reference", reference.clone())]);
            let plan = plan(&validate(&benchmark).expect("valid"));
            let mut results = results(&plan);
            let mut last = result(&plan.runs[plan.runs.len() - 1].run.id, 1, 50.0);
            last.window = vec![Score { epoch: 1, correct1: 4, correct5: 5 }];
            results.insert(last.run.clone(), last);
            let benchmark = turned(benchmark, other, &results);
            assert_eq!((gate(&benchmark), report(&benchmark).outcome), (outcome, outcome), "{reference}");
        }
        let missing = with_status(benchmark(&[]), &BTreeMap::new());
        assert_eq!((gate(&missing), report(&missing).outcome), (Outcome::Failed, Outcome::Failed));
    }

    #[test]
    fn where_a_run_stands_is_read_from_its_row() {
        let end = |attempt, reason| AttemptEnd { attempt, reason, at: Time(Timestamp::UNIX_EPOCH) };
        let row = |state: RunPhase, attempt: u32| {
            let mut row: RunRow = serde_json::from_value(json!({"id": "r", "state": state})).expect("a row");
            row.attempt = attempt;
            row.message = Some("no".into());
            row.ends = vec![end(2, EndReason::OutOfMemory), end(1, EndReason::Lost)];
            row
        };
        let cases = [
            (row(RunPhase::Queued, 0), RunStatus::Waiting, None),
            (row(RunPhase::Queued, 2), RunStatus::Stopped, Some("no")),
            (row(RunPhase::Running, 1), RunStatus::Running, None),
            (row(RunPhase::Stopping, 1), RunStatus::Running, None),
            (row(RunPhase::BackingOff, 1), RunStatus::Stopped, Some("will be tried again: no")),
            (row(RunPhase::Failed, 2), RunStatus::Failed, Some("no (out-of-memory)")),
            (row(RunPhase::Succeeded, 1), RunStatus::Stopped, Some("finished, but the status holds no result")),
        ];
        for (row, status, message) in cases {
            assert_eq!(standing(&row, Ok(None)), (status, message.map(str::to_owned)));
            assert_eq!(standing(&row, Ok(Some(&result("r", 1, 50.0)))), (RunStatus::Finished, None));
        }
        let unreadable = standing(&row(RunPhase::Succeeded, 1), Err("scores is `x`"));
        assert_eq!(unreadable, (RunStatus::Stopped, Some("scores is `x`".to_owned())));
    }

    #[test]
    fn a_failed_trial_names_the_command_that_shows_its_log() {
        let mut benchmark = benchmark(&[]);
        let plan = plan(&validate(&benchmark).expect("valid"));
        let row = json!({"id": plan.runs[1].run.id, "state": "Failed", "attempt": 4, "job": "quickstart-0123456789-a4",
            "message": "no such folder: x", "ends": [{"attempt": 4, "reason": "Data", "at": "2026-01-01T00:00:00Z"}]});
        let status = json!({"runs": [row]});
        benchmark.status = Some(serde_json::from_value(status).expect("a status"));
        let report = report(&benchmark);
        assert_eq!(
            report.cells[1].problems,
            ["trial 0 failed: no such folder: x (data); log: kubectl logs -n ml job/quickstart-0123456789-a4"]
        );
        assert_eq!((report.runs[1].attempts, report.runs[1].status), (4, RunStatus::Failed));
    }

    #[test]
    fn how_far_a_live_run_is_shows_without_counting() {
        let mut benchmark = benchmark(&[]);
        let plan = plan(&validate(&benchmark).expect("valid"));
        let progress = json!({"epoch": 3, "top1": "61.50", "imagesPerSecond": 700});
        let row = json!({"id": plan.runs[0].run.id, "state": "Running", "attempt": 1, "progress": progress});
        benchmark.status = Some(serde_json::from_value(json!({"runs": [row]})).expect("a status"));
        let report = report(&benchmark);
        let run = &report.runs[0];
        assert_eq!((run.epochs, run.top1, run.images_per_second), (3, Some(61.5), Some(700.0)));
        assert_eq!(report.cells[0].cell.n, 0);
    }
}
