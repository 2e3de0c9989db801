//! From a plan and what the folder says to a report.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use mixbench_crds::exit::Exit;
use mixbench_crds::recipe::Recipe;
use mixbench_crds::result::RunResult;

use super::{CellRow, CellStatus, Environment, Point, REPORT_VERSION, Report, RunRow, RunStatus};
use crate::aggregate::{Cell, aggregate, outcome};
use crate::history::{Attempt, End, RunFolder};
use crate::plan::{Plan, PlannedRun};

impl Report {
    /// The report of a plan, as far as its runs got. `folders` are by run id.
    pub fn new(plan: &Plan, folders: &BTreeMap<String, RunFolder>, now: Timestamp) -> Self {
        let nothing = RunFolder::default();
        let folder = |run: &PlannedRun| folders.get(&run.run.id).unwrap_or(&nothing);
        let results: BTreeMap<String, RunResult> =
            folders.iter().filter_map(|(id, f)| Some((id.clone(), f.good()?.clone()))).collect();
        let runs: Vec<RunRow> = plan.runs.iter().map(|r| run_row(plan, r, folder(r))).collect();
        let cells = aggregate(plan, &results);
        let recipe = Recipe::find(&plan.recipe);
        let data = plan.runs.first().map_or(String::new(), |r| r.run.spec.data.name.clone());
        Self {
            version: REPORT_VERSION,
            name: plan.name.clone(),
            recipe: plan.recipe.clone(),
            recipe_title: recipe.map_or_else(|| plan.recipe.clone(), |r| r.title.clone()),
            recipe_source: recipe.map_or(String::new(), |r| r.source.clone()),
            overrides: recipe.map_or(Vec::new(), |r| overrides(plan, r)),
            data,
            metric: plan.metric,
            metric_rule: plan.metric.to_string(),
            gate: plan.gate.clone(),
            outcome: outcome(&plan.gate, &cells),
            cells: cells.into_iter().enumerate().map(|(index, cell)| cell_row(index, cell, &runs)).collect(),
            environment: environment(plan.runs.iter().map(folder)),
            runs,
            generated: now,
        }
    }
}

/// What training differs in from the recipe, as `path = value`.
fn overrides(plan: &Plan, recipe: &Recipe) -> Vec<String> {
    let Some(run) = plan.runs.first() else { return Vec::new() };
    let value = |training| serde_json::to_value(training).expect("a recipe has string keys and finite numbers");
    let mut found = Vec::new();
    differences("", &value(&recipe.training), &value(&run.run.spec.training), &mut found);
    found
}

fn differences(path: &str, old: &serde_json::Value, new: &serde_json::Value, found: &mut Vec<String>) {
    use serde_json::Value::{Null, Object};
    match (old, new) {
        (Object(old), Object(new)) => {
            for key in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
                let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                differences(&inner, old.get(key).unwrap_or(&Null), new.get(key).unwrap_or(&Null), found);
            }
        }
        (old, new) if old == new => {}
        (_, new) => found.push(format!("{path} = {new}")),
    }
}

fn cell_row(index: usize, cell: Cell, runs: &[RunRow]) -> CellRow {
    let mine: Vec<&RunRow> = runs.iter().filter(|r| r.cell == index).collect();
    let failed = mine.iter().filter(|r| r.status == RunStatus::Failed);
    let problems: Vec<String> = failed
        .map(|r| format!("trial {} failed: {}; log: {}", r.trial, r.message.as_deref().unwrap_or("no reason"), r.log))
        .collect();
    let status = match (problems.is_empty(), cell.n < cell.trials) {
        (false, _) => CellStatus::Failed,
        (true, true) => CellStatus::Incomplete,
        (true, false) => CellStatus::Complete,
    };
    CellRow { cell, status, problems }
}

fn run_row(plan: &Plan, planned: &PlannedRun, folder: &RunFolder) -> RunRow {
    let run = &planned.run;
    let ledger = &folder.ledger;
    let last = ledger.attempts.get(&folder.attempt);
    let result = folder.good();
    let (status, message) = standing(folder, last);
    let started = ledger.attempts.values().rev().find_map(|a| a.started.as_ref());
    // Not `sum`, whose nothing is −0.0.
    let seconds = ledger.epochs.values().fold(0.0, |sum, e| sum + e.train_seconds);
    let points = ledger.epochs.values().filter(|e| e.n > 0).map(|e| Point {
        epoch: e.score.epoch,
        top1: 100.0 * e.score.correct1 as f64 / e.n as f64,
        train_loss: e.train_loss,
        lr: e.lr,
    });
    RunRow {
        id: run.id.clone(),
        cell: planned.cell,
        trial: run.trial,
        seed: run.spec.seed,
        status,
        top1: result.map(RunResult::top1).or_else(|| ledger.top1(plan.metric)),
        top5: result.map(RunResult::top5),
        epochs: result.map_or_else(|| ledger.epochs_done(), |r| r.epochs),
        epochs_planned: run.spec.training.epochs,
        images_per_second: match result {
            Some(r) if r.train_seconds > 0.0 => Some(r.images as f64 / r.train_seconds),
            Some(_) => None,
            None => ledger.images_per_second(),
        },
        train_seconds: result.map_or(seconds, |r| r.train_seconds),
        attempts: folder.attempt,
        device: result.map(|r| r.device.clone()).or_else(|| Some(started?.device.clone())),
        world_size: run.spec.world.size(),
        message,
        log: format!("runs/{}/log.txt", run.id),
        curve: points.collect(),
    }
}

fn standing(folder: &RunFolder, last: Option<&Attempt>) -> (RunStatus, Option<String>) {
    match &folder.result {
        Some(Ok(_)) => return (RunStatus::Finished, None),
        Some(Err(e)) => return (RunStatus::Stopped, Some(format!("result.json is not believed: {e}"))),
        None if folder.live => return (RunStatus::Running, None),
        None => {}
    }
    match last.and_then(|a| a.end.as_ref()) {
        _ if folder.attempt == 0 => (RunStatus::Waiting, None),
        Some(End::Failed { exit, message }) => {
            let exit = exit.map_or("killed".to_owned(), exit_name);
            (RunStatus::Failed, Some(format!("{message} ({exit})")))
        }
        Some(End::Stopped { .. }) => (RunStatus::Stopped, Some("stopped on request".to_owned())),
        Some(End::Finished) => (RunStatus::Stopped, Some("finished, but its result.json is gone".to_owned())),
        None => (RunStatus::Stopped, Some("its process ended without a word".to_owned())),
    }
}

/// The exit as the contract spells it.
fn exit_name(exit: Exit) -> String {
    let name = serde_json::to_value(exit).ok().and_then(|v| Some(v.as_str()?.to_owned()));
    name.unwrap_or_else(|| exit.code().to_string())
}

fn environment<'a>(folders: impl Iterator<Item = &'a RunFolder>) -> Environment {
    let mut libtorch = BTreeSet::new();
    let mut devices = BTreeSet::new();
    let mut fingerprints = BTreeSet::new();
    let mut span: Option<(u64, u64)> = None;
    for folder in folders {
        for attempt in folder.ledger.attempts.values() {
            if let Some(started) = &attempt.started {
                libtorch.insert(started.libtorch.clone());
                devices.insert(started.device.clone());
                fingerprints.insert(started.data_fingerprint.clone());
            }
            if let Some((first, last)) = attempt.span {
                span = Some(span.map_or((first, last), |(a, b)| (a.min(first), b.max(last))));
            }
        }
        if let Some(result) = folder.good() {
            libtorch.insert(result.libtorch.clone());
            devices.insert(result.device.clone());
            fingerprints.insert(result.data_fingerprint.clone());
        }
    }
    let time = |ms: u64| Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok();
    Environment {
        mixbench: env!("CARGO_PKG_VERSION").to_owned(),
        libtorch: libtorch.into_iter().collect(),
        devices: devices.into_iter().collect(),
        data_fingerprints: fingerprints.into_iter().collect(),
        first_event: span.and_then(|(first, _)| time(first)),
        last_event: span.and_then(|(_, last)| time(last)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::{Outcome, Verdict};
    use crate::backend::fake::result;
    use crate::backend::fixture::plan;
    use mixbench_crds::event::Position;
    use mixbench_crds::result::ResultError;

    /// A folder whose last attempt ended so.
    fn ended(end: Option<End>) -> RunFolder {
        let mut folder = RunFolder { attempt: 1, ..RunFolder::default() };
        folder.ledger.attempts.insert(1, Attempt { end, ..Attempt::default() });
        folder
    }

    fn failed(exit: Option<Exit>) -> RunFolder {
        ended(Some(End::Failed { exit, message: "no".into() }))
    }

    #[test]
    fn where_a_run_stands_is_read_from_its_folder() {
        let stopped = End::Stopped { position: Position::default(), saved: true };
        let cases = [
            (RunFolder::default(), RunStatus::Waiting, None),
            (RunFolder { live: true, ..ended(None) }, RunStatus::Running, None),
            (ended(None), RunStatus::Stopped, Some("without a word")),
            (ended(Some(stopped)), RunStatus::Stopped, Some("on request")),
            (ended(Some(End::Finished)), RunStatus::Stopped, Some("result.json is gone")),
            (failed(Some(Exit::OutOfMemory)), RunStatus::Failed, Some("no (out-of-memory)")),
            (failed(None), RunStatus::Failed, Some("no (killed)")),
            (RunFolder { result: Some(Ok(result("r", 1, 50.0))), ..ended(None) }, RunStatus::Finished, None),
            (
                RunFolder { result: Some(Err(ResultError::Version(9))), ..ended(None) },
                RunStatus::Stopped,
                Some("version 9"),
            ),
        ];
        for (folder, status, words) in cases {
            let (found, message) = standing(&folder, folder.ledger.attempts.get(&folder.attempt));
            assert_eq!(found, status);
            match words {
                Some(words) => assert!(message.as_deref().unwrap_or_default().contains(words), "{message:?}"),
                None => assert_eq!(message, None),
            }
        }
    }

    #[test]
    fn a_cell_with_a_failed_trial_has_no_verdict() {
        let plan = plan(2, 2);
        let mut folders = BTreeMap::new();
        for (i, run) in plan.runs.iter().enumerate() {
            let id = run.run.id.clone();
            let finished = RunFolder { result: Some(Ok(result(&id, 1, 50.0))), ..ended(Some(End::Finished)) };
            folders.insert(id, if i == 0 { failed(Some(Exit::Data)) } else { finished });
        }
        let report = Report::new(&plan, &folders, Timestamp::UNIX_EPOCH);
        assert_eq!(report.outcome, Outcome::Failed);
        assert_eq!(report.cells.iter().map(CellRow::word).collect::<Vec<_>>(), ["failed", "no-reference"]);
        assert_eq!(report.cells[0].problems.len(), 1);
        assert_eq!(report.cells[1].cell.verdict, Verdict::NoReference);
        assert_eq!(report.environment.devices, ["imagined"]);
    }

    #[test]
    fn what_differs_from_the_recipe_is_listed() {
        let mut plan = plan(1, 1);
        assert!(Report::new(&plan, &BTreeMap::new(), Timestamp::UNIX_EPOCH).overrides.is_empty());
        plan.runs[0].run.spec.training.epochs = 99;
        plan.runs[0].run.spec.training.schedule.lr = 0.5;
        let report = Report::new(&plan, &BTreeMap::new(), Timestamp::UNIX_EPOCH);
        assert_eq!(report.overrides, ["epochs = 99", "schedule.lr = 0.5"]);
    }
}
