//! What an output folder says of the runs of a plan.

use std::collections::BTreeMap;

use jiff::Timestamp;
use mixbench_crds::exit::Exit;

use super::build::Seen;
use super::{Environment, Point, Report, RunStatus};
use crate::history::{Attempt, End, RunFolder};
use crate::plan::Plan;

impl Report {
    /// The report of a plan, as far as its runs got. `folders` are by run id.
    pub fn new(plan: &Plan, folders: &BTreeMap<String, RunFolder>, now: Timestamp) -> Self {
        let nothing = RunFolder::default();
        let folder = |id: &str| folders.get(id).unwrap_or(&nothing);
        let command = "mixbench report DIR".to_owned();
        Self::build(plan, |planned| seen(plan, &planned.run.id, folder(&planned.run.id)), command, now)
    }
}

fn seen(plan: &Plan, id: &str, folder: &RunFolder) -> Seen {
    let ledger = &folder.ledger;
    let (status, message) = standing(folder, ledger.attempts.get(&folder.attempt));
    let started = ledger.attempts.values().rev().find_map(|a| a.started.as_ref());
    let points = ledger.epochs.values().filter(|e| e.n > 0).map(|e| Point {
        epoch: e.score.epoch,
        top1: 100.0 * e.score.correct1 as f64 / e.n as f64,
        train_loss: e.train_loss,
        lr: e.lr,
    });
    Seen {
        status,
        message,
        result: folder.good().cloned(),
        attempts: folder.attempt,
        epochs: ledger.epochs_done(),
        top1: ledger.top1(plan.metric),
        images_per_second: ledger.images_per_second(),
        // Not `sum`, whose nothing is −0.0.
        train_seconds: ledger.epochs.values().fold(0.0, |sum, e| sum + e.train_seconds),
        device: started.map(|s| s.device.clone()),
        log: format!("runs/{id}/log.txt"),
        curve: points.collect(),
        environment: environment(folder),
    }
}

/// What the attempts said of themselves.
fn environment(folder: &RunFolder) -> Environment {
    let mut found = Environment::default();
    let time = |ms: u64| Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok();
    for attempt in folder.ledger.attempts.values() {
        if let Some(started) = &attempt.started {
            found.libtorch.push(started.libtorch.clone());
            found.devices.push(started.device.clone());
            found.data_fingerprints.push(started.data_fingerprint.clone());
        }
        if let Some((first, last)) = attempt.span {
            found.first_event = found.first_event.into_iter().chain(time(first)).min();
            found.last_event = found.last_event.max(time(last));
        }
    }
    found
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::{Outcome, Verdict};
    use crate::backend::fake::result;
    use crate::backend::fixture::plan;
    use crate::report::CellRow;
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
}
