//! From a plan and what is seen of it to the status of the resource: counts, rows, and conditions with a closed list of reasons.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use mixbench_crds::benchmark::{
    BenchmarkStatus, CellStatus, Environment, MAX_RUNS, MixupBenchmark, RunPhase, RunProgress, RunStatus,
};
use mixbench_crds::metric::{percent, points};
use mixbench_crds::result::RunResult;

use crate::aggregate::{self, Cell, Verdict};
use crate::decide::{AttemptState, Observed, ObservedRun, RunState, decide, foresee};
use crate::kube::names;
use crate::plan::Plan;

mod conditions;
mod reason;
pub mod record;
pub mod text;

pub use crate::kube::trouble::{Trouble, TroubleKind};
pub use reason::Reason;

/// Longest message of a run in bytes of JSON.
const MESSAGE: usize = 200;
/// Most that the operator's clock and the API server's may differ before a start is told by the latter.
const SKEW_SECONDS: i64 = 60;

/// What a status is made from beside the plan and what is seen.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The resource: its name and generation, and the status before, whose times stay where nothing changed.
    pub benchmark: &'a MixupBenchmark,
    /// Now.
    pub now: Timestamp,
    /// What is in the way.
    pub troubles: &'a [Trouble],
    /// How far live runs are, by run id; a run that is not here keeps what its row says.
    pub progress: &'a BTreeMap<String, RunProgress>,
}

impl<'a> Context<'a> {
    fn before(&self) -> Option<&'a BenchmarkStatus> {
        self.benchmark.status.as_ref()
    }

    /// Now, to the second: what Kubernetes keeps of a time.
    fn time(&self) -> Time {
        Time(Timestamp::from_second(self.now.as_second()).unwrap_or(self.now))
    }
}

/// The status of a benchmark that can be planned, as it is once the turn's decision is carried out: whoever writes it first and acts then
/// announces every attempt before it starts, and records every result before its Job may go. Pure.
pub fn status(plan: &Plan, observed: &Observed, context: Context<'_>) -> BenchmarkStatus {
    let decision = decide(plan, observed, context.now);
    let ahead = foresee(observed, &decision.actions, context.now);
    let (observed, decision) = (&ahead, decide(plan, &ahead, context.now));
    let stations = &decision.states;
    let count = |wanted: fn(&RunState) -> bool| stations.iter().filter(|s| wanted(s)).count() as u32;
    let results: BTreeMap<String, RunResult> =
        observed.runs.iter().filter_map(|(id, run)| Some((id.clone(), run.result.clone()?))).collect();
    let cells = aggregate::aggregate(plan, &results);
    let mut status = BenchmarkStatus {
        observed_generation: context.benchmark.metadata.generation,
        total: stations.len() as u32,
        queued: count(|s| matches!(s, RunState::Queued | RunState::BackingOff { .. })),
        running: count(|s| matches!(s, RunState::Running { .. } | RunState::Stopping { .. })),
        succeeded: count(|s| matches!(s, RunState::Succeeded)),
        failed: count(|s| matches!(s, RunState::Failed { .. })),
        best: best(&cells),
        cells: cells.iter().map(cell_row).collect(),
        ..BenchmarkStatus::default()
    };
    status.summary = summary(&status);
    rows(&mut status, plan, stations, observed, context);
    let starts = status.runs.iter().filter_map(|r| r.start_time.as_ref());
    status.start_time = starts.min_by_key(|t| t.0).cloned();
    let before = context.before().and_then(|b| b.completion_time.clone());
    let ends = status.runs.iter().filter_map(|r| r.completion_time.as_ref());
    let last = ends.max_by_key(|t| t.0).cloned();
    status.completion_time = if decision.finished { before.or(last).or_else(|| Some(context.time())) } else { None };
    status.conditions = conditions::conditions(&status, plan, observed, decision.finished, &cells, context);
    status
}

/// The status of a benchmark with which nothing can be done: its manifest is wrong ([`Reason::Invalid`]) or its status cannot be read
/// ([`Reason::StatusUnreadable`]). What was recorded before stays.
pub fn refused(reason: Reason, message: &str, context: Context<'_>) -> BenchmarkStatus {
    let mut status = context.before().cloned().unwrap_or_default();
    status.observed_generation = context.benchmark.metadata.generation;
    let accepted = conditions::refused(reason, message, context);
    status.conditions.retain(|c| c.type_ != accepted.type_);
    status.conditions.insert(0, accepted);
    status
}

/// A row for every planned run, and one for every result that the plan has no run for, as far as there may be rows.
fn rows(status: &mut BenchmarkStatus, plan: &Plan, stations: &[RunState], observed: &Observed, context: Context<'_>) {
    let nothing = ObservedRun::default();
    let before: BTreeMap<&str, &RunStatus> =
        context.before().into_iter().flat_map(|b| &b.runs).map(|r| (r.id.as_str(), r)).collect();
    for (planned, state) in plan.runs.iter().zip(stations) {
        let id = planned.run.id.as_str();
        let seen = observed.runs.get(id).unwrap_or(&nothing);
        let row = run_row(id, state, seen, before.get(id).copied(), context, &mut status.environments);
        status.runs.push(row);
    }
    let planned: BTreeSet<&str> = plan.runs.iter().map(|r| r.run.id.as_str()).collect();
    let mut others: Vec<(&String, &ObservedRun)> =
        observed.runs.iter().filter(|(id, run)| run.result.is_some() && !planned.contains(id.as_str())).collect();
    // Where there is no room for all, the newest stay.
    others.sort_by_key(|(_, run)| std::cmp::Reverse(run.last_end()));
    others.truncate((MAX_RUNS as usize).saturating_sub(status.runs.len()));
    others.sort_by_key(|(id, _)| *id);
    for (id, seen) in others {
        let earlier = before.get(id.as_str()).copied();
        let row = run_row(id, &RunState::Succeeded, seen, earlier, context, &mut status.environments);
        status.runs.push(RunStatus { unplanned: true, ..row });
    }
}

fn summary(status: &BenchmarkStatus) -> String {
    let mut parts = vec![format!("{}/{} done", status.succeeded, status.total)];
    let counts = [(status.running, "running"), (status.queued, "queued"), (status.failed, "failed")];
    parts.extend(counts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")));
    parts.join(", ")
}

fn best(cells: &[Cell]) -> String {
    let with_mean = cells.iter().filter_map(|c| Some((c.mean?, c)));
    let highest = with_mean.max_by(|a, b| a.0.total_cmp(&b.0));
    highest.map(|(mean, c)| format!("{} {} {}", c.backbone, c.label, percent(mean))).unwrap_or_default()
}

fn cell_row(cell: &Cell) -> CellStatus {
    CellStatus {
        backbone: cell.backbone.clone(),
        method: cell.label.clone(),
        n: cell.n,
        mean: cell.mean.map(percent),
        std: cell.std.map(percent),
        ci95: cell.ci95.map(percent),
        reference: cell.reference.top1().map(percent),
        delta: cell.delta.map(points),
        verdict: match cell.verdict {
            Verdict::Pass => "Pass",
            Verdict::Regressed => "Regressed",
            Verdict::Inconclusive => "Inconclusive",
            Verdict::NoReference => "NoReference",
        }
        .into(),
    }
}

fn run_row(
    id: &str,
    state: &RunState,
    seen: &ObservedRun,
    before: Option<&RunStatus>,
    context: Context<'_>,
    environments: &mut Vec<Environment>,
) -> RunStatus {
    let phase = match state {
        RunState::Queued => RunPhase::Queued,
        RunState::BackingOff { .. } => RunPhase::BackingOff,
        RunState::Running { .. } => RunPhase::Running,
        RunState::Stopping { .. } => RunPhase::Stopping,
        RunState::Succeeded => RunPhase::Succeeded,
        RunState::Failed { .. } => RunPhase::Failed,
    };
    let live = matches!(phase, RunPhase::Running | RunPhase::Stopping);
    let over = matches!(phase, RunPhase::Succeeded | RunPhase::Failed);
    let attempt = seen.last_number();
    let metadata = &context.benchmark.metadata;
    let job = metadata.uid.as_deref().filter(|_| attempt > 0 && phase != RunPhase::Succeeded);
    let same_attempt = before.filter(|b| b.attempt == attempt);
    let told = context.progress.get(id).or_else(|| same_attempt?.progress.as_ref());
    let message = seen.last_words().filter(|_| phase != RunPhase::Succeeded).map(|m| text::plain(m, MESSAGE));
    let result = seen.result.as_ref();
    RunStatus {
        id: id.to_owned(),
        state: phase,
        attempt,
        job: job.map(|uid| names::job_name(metadata.name.as_deref().unwrap_or_default(), uid, id, attempt)),
        start_time: start_time(seen, before, context),
        completion_time: seen.last_end().filter(|_| over).map(Time),
        top1: result.map(|r| percent(r.top1())),
        top5: result.map(|r| percent(r.top5())),
        #[allow(clippy::cast_sign_loss, reason = "a checked result has no negative seconds")]
        train_seconds: result.map(|r| r.train_seconds.round() as u32),
        progress: told.filter(|_| live).cloned(),
        message: message.filter(|m| !m.is_empty()),
        ends: record::ends(seen),
        result: result.map(|r| record::result_row(r, environments)),
        unplanned: false,
    }
}

/// When the first attempt started: once its Job is seen by the API server's clock, unless that says nearly the same as what stands there.
fn start_time(seen: &ObservedRun, before: Option<&RunStatus>, context: Context<'_>) -> Option<Time> {
    let stands = before.and_then(|b| b.start_time.clone());
    let first = seen.attempts.iter().find(|a| a.number == 1);
    let told = match first.map(|a| &a.state) {
        Some(AttemptState::Running { since }) => Timestamp::from_second(since.as_second()).ok().map(Time),
        _ => None,
    };
    match (stands, told) {
        (Some(stands), Some(told)) if (stands.0.as_second() - told.0.as_second()).abs() > SKEW_SECONDS => Some(told),
        (Some(stands), _) => Some(stands),
        (None, Some(told)) => Some(told),
        (None, None) => (seen.last_number() > 0).then(|| context.time()),
    }
}

#[cfg(test)]
mod tests;
