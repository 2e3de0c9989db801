//! What the status remembers, in both directions: results and ends of attempts into rows, and out of them what [`decide`](crate::decide::decide) wants to see.
//! Budgets and results thereby outlive Jobs, pods and the operator.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use mixbench_crds::benchmark::{AttemptEnd, BenchmarkStatus, EndReason, Environment, ResultRow, RunStatus};
use mixbench_crds::metric::{Metric, Score};
use mixbench_crds::result::{RESULT_VERSION, ResultError, RunResult};

use crate::decide::policy::Budget;
use crate::decide::{Attempt, AttemptState, ObservedRun};

/// Most ends that a row keeps; the budgets are spent long before.
const MAX_ENDS: usize = 16;

/// Why the result of a row cannot be read.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum RecordError {
    /// A field is not what this release writes there.
    #[error(
        "status.runs[{run}].result.{field} is `{value}`, which this release cannot read; use the release that wrote it"
    )]
    Field {
        /// Id of the run.
        run: String,
        /// Name of the field.
        field: &'static str,
        /// What stands there.
        value: String,
    },
    /// Its numbers are impossible.
    #[error("status.runs[{run}]: {source}")]
    Impossible {
        /// Id of the run.
        run: String,
        /// Why.
        source: ResultError,
    },
}

/// What a row says of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Remembered {
    /// Its result and the attempts that ended.
    pub run: ObservedRun,
    /// The attempt that was started and whose end the row does not tell, and when it was started.
    pub open: Option<(u32, Timestamp)>,
}

/// Every recorded result, by run id, whether or not a plan still has the run. A row whose result cannot be read is left out; [`remembered`] tells why.
pub fn results(status: &BenchmarkStatus) -> BTreeMap<String, RunResult> {
    let result = |row: &RunStatus| Some((row.id.clone(), result(row, &status.environments)?.ok()?));
    status.runs.iter().filter_map(result).collect()
}

/// What a row remembers of its run.
///
/// # Errors
/// [`RecordError`] where the row has a result that cannot be read: the run must neither count as done nor be run again unnoticed.
pub fn remembered(row: &RunStatus, environments: &[Environment]) -> Result<Remembered, RecordError> {
    if let Some(result) = result(row, environments) {
        let at = row.completion_time.as_ref().map_or(Timestamp::UNIX_EPOCH, |t| t.0);
        let state = AttemptState::Ended { reason: EndReason::Finished, at, result: None, message: String::new() };
        let attempts = vec![Attempt { number: row.attempt, state, forgiven: false }];
        return Ok(Remembered { run: ObservedRun { result: Some(result?), attempts }, open: None });
    }
    let last = row.ends.iter().map(|e| e.attempt).max().unwrap_or(0);
    let said = |end: &AttemptEnd| row.message.clone().filter(|_| end.attempt == last).unwrap_or_default();
    let attempt = |end: &AttemptEnd| Attempt {
        number: end.attempt,
        state: AttemptState::Ended { reason: end.reason, at: end.at.0, result: None, message: said(end) },
        forgiven: false,
    };
    let run = ObservedRun { result: None, attempts: row.ends.iter().map(attempt).collect() };
    let since = row.start_time.as_ref().map_or(Timestamp::UNIX_EPOCH, |t| t.0);
    Ok(Remembered { run, open: (row.attempt > last).then_some((row.attempt, since)) })
}

/// The ends that a row must keep: all that are charged to a budget, and the last one, whose number no other attempt may take.
pub(super) fn ends(seen: &ObservedRun) -> Vec<AttemptEnd> {
    if seen.result.is_some() {
        return Vec::new();
    }
    let last = seen.attempts.iter().filter(|a| !a.state.live()).map(|a| a.number).max();
    let kept = |a: &Attempt| Some(a.number) == last || (!a.forgiven && a.budget() != Some(Budget::Free));
    let mut ends: Vec<AttemptEnd> = seen.attempts.iter().filter(|a| kept(a)).filter_map(end).collect();
    ends.sort_by_key(|e| e.attempt);
    ends.split_off(ends.len().saturating_sub(MAX_ENDS))
}

fn end(attempt: &Attempt) -> Option<AttemptEnd> {
    match &attempt.state {
        AttemptState::Ended { reason, at, .. } => {
            Some(AttemptEnd { attempt: attempt.number, reason: *reason, at: Time(*at) })
        }
        AttemptState::Running { .. } | AttemptState::Stopping { .. } => None,
    }
}

/// A result as a row keeps it; its environment is added to the list where it is new.
pub(super) fn result_row(result: &RunResult, environments: &mut Vec<Environment>) -> ResultRow {
    let environment = Environment {
        data_fingerprint: result.data_fingerprint.clone(),
        device: result.device.clone(),
        libtorch: result.libtorch.clone(),
    };
    let index = environments.iter().position(|e| *e == environment).unwrap_or_else(|| {
        environments.push(environment);
        environments.len() - 1
    });
    let scores: Vec<String> =
        result.window.iter().map(|s| format!("{}:{}/{}", s.epoch, s.correct1, s.correct5)).collect();
    ResultRow {
        attempt: result.attempt,
        metric: match result.metric {
            Metric::Last => "last".to_owned(),
            Metric::Best => "best".to_owned(),
            Metric::MedianLast { epochs } => format!("{MEDIAN_LAST}{epochs}"),
        },
        scores: scores.join(" "),
        n: result.n,
        epochs: result.epochs,
        images: result.images,
        // The shortest text that reads back as the same number.
        train_seconds: format!("{:?}", result.train_seconds),
        parameters: result.parameters,
        environment: index as u32,
        checkpoint: result.checkpoint.clone(),
    }
}

/// The result that a row keeps, if it has one.
fn result(row: &RunStatus, environments: &[Environment]) -> Option<Result<RunResult, RecordError>> {
    Some(read(row, row.result.as_ref()?, environments))
}

fn read(row: &RunStatus, kept: &ResultRow, environments: &[Environment]) -> Result<RunResult, RecordError> {
    let wrong =
        |field, value: &dyn ToString| RecordError::Field { run: row.id.clone(), field, value: value.to_string() };
    let metric = metric(&kept.metric).ok_or_else(|| wrong("metric", &kept.metric))?;
    let window: Option<Vec<Score>> = kept.scores.split_whitespace().map(score).collect();
    let environment =
        environments.get(kept.environment as usize).ok_or_else(|| wrong("environment", &kept.environment))?;
    let result = RunResult {
        version: RESULT_VERSION,
        run: row.id.clone(),
        nonce: String::new(),
        attempt: kept.attempt,
        metric,
        window: window.ok_or_else(|| wrong("scores", &kept.scores))?,
        epochs: kept.epochs,
        n: kept.n,
        images: kept.images,
        train_seconds: kept.train_seconds.parse().map_err(|_| wrong("trainSeconds", &kept.train_seconds))?,
        data_fingerprint: environment.data_fingerprint.clone(),
        parameters: kept.parameters,
        device: environment.device.clone(),
        libtorch: environment.libtorch.clone(),
        checkpoint: kept.checkpoint.clone(),
    };
    result.check(&row.id).map_err(|source| RecordError::Impossible { run: row.id.clone(), source })?;
    Ok(result)
}

const MEDIAN_LAST: &str = "median-last ";

fn metric(text: &str) -> Option<Metric> {
    match text {
        "last" => Some(Metric::Last),
        "best" => Some(Metric::Best),
        other => Some(Metric::MedianLast { epochs: other.strip_prefix(MEDIAN_LAST)?.parse().ok()? }),
    }
}

fn score(text: &str) -> Option<Score> {
    let (epoch, counts) = text.split_once(':')?;
    let (correct1, correct5) = counts.split_once('/')?;
    Some(Score { epoch: epoch.parse().ok()?, correct1: correct1.parse().ok()?, correct5: correct5.parse().ok()? })
}

#[cfg(test)]
mod tests;
