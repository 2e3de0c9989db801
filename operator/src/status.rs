//! From a plan and what is seen of it to the status of the resource: counts, rows, and conditions with a closed list of reasons.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use mixbench_crds::benchmark::{BenchmarkStatus, CellStatus, RunPhase, RunStatus};
use mixbench_crds::metric::percent;
use mixbench_crds::result::RunResult;

use crate::aggregate::{self, Cell, Outcome, Verdict};
use crate::decide::{Observed, ObservedRun, RunState, decide};
use crate::plan::Plan;

/// Longest message of a run in characters.
const MESSAGE: usize = 200;

/// Why a condition is as it is; CamelCase in the resource. The list is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr, strum::EnumIter)]
pub enum Reason {
    /// Accepted: the manifest is right.
    Valid,
    /// Accepted is false: the manifest is wrong; the message says where.
    Invalid,
    /// Progressing: runs are live.
    RunsActive,
    /// Progressing: runs wait for a slot.
    Queued,
    /// Progressing: runs wait for their next attempt.
    BackingOff,
    /// Progressing is false: everything is done.
    Done,
    /// Suspended: `spec.suspend` is true and nothing is live.
    Suspended,
    /// Suspended is not yet true: runs still stop.
    Stopping,
    /// Suspended is false.
    NotSuspended,
    /// Degraded: a run failed for good or waits after a failure.
    RunsFailing,
    /// Degraded is false.
    Healthy,
    /// Complete, Finished: every run is recorded.
    AllRecorded,
    /// Failed, Finished: everything has ended and a run is missing.
    RunsFailed,
    /// Complete, Failed, Finished, GatePassed: it is not over yet.
    NotFinished,
    /// GatePassed: every cell with a reference passed.
    Pass,
    /// GatePassed is false: a cell regressed.
    Regressed,
    /// GatePassed is unknown: a cell needs more trials.
    Inconclusive,
    /// GatePassed: no cell has a reference.
    NoReference,
}

/// Generation of the spec, the status before (whose transition times stay where nothing changed), and the time.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// `metadata.generation`.
    pub generation: Option<i64>,
    /// What stands there now.
    pub before: Option<&'a BenchmarkStatus>,
    /// Now.
    pub now: Timestamp,
}

/// The status of a benchmark that can be planned. Pure.
pub fn status(plan: &Plan, observed: &Observed, context: Context<'_>) -> BenchmarkStatus {
    let decision = decide(plan, observed, context.now);
    let stations = &decision.states;
    let count = |wanted: fn(&RunState) -> bool| stations.iter().filter(|s| wanted(s)).count() as u32;
    let results: BTreeMap<String, RunResult> =
        observed.runs.iter().filter_map(|(id, run)| Some((id.clone(), run.result.clone()?))).collect();
    let cells = aggregate::aggregate(plan, &results);
    let mut status = BenchmarkStatus {
        observed_generation: context.generation,
        total: stations.len() as u32,
        queued: count(|s| matches!(s, RunState::Queued | RunState::BackingOff { .. })),
        running: count(|s| matches!(s, RunState::Running { .. } | RunState::Stopping { .. })),
        succeeded: count(|s| matches!(s, RunState::Succeeded)),
        failed: count(|s| matches!(s, RunState::Failed { .. })),
        best: best(&cells),
        cells: cells.iter().map(cell_row).collect(),
        start_time: context.before.and_then(|b| b.start_time.clone()),
        completion_time: context.before.and_then(|b| b.completion_time.clone()),
        ..BenchmarkStatus::default()
    };
    status.summary = summary(&status);
    let nothing = ObservedRun::default();
    status.runs = plan
        .runs
        .iter()
        .zip(stations)
        .map(|(planned, state)| run_row(&planned.run.id, state, observed.runs.get(&planned.run.id).unwrap_or(&nothing)))
        .collect();
    let begun = status.runs.iter().any(|r| r.attempt > 0);
    if begun && status.start_time.is_none() {
        status.start_time = Some(Time(context.now));
    }
    status.completion_time = decision.finished.then(|| status.completion_time.take().unwrap_or(Time(context.now)));
    status.conditions = conditions(&status, plan, observed, decision.finished, &cells, context);
    status
}

/// The status of a benchmark whose manifest is wrong: nothing is planned, and what was recorded before stays.
pub fn refused(message: &str, context: Context<'_>) -> BenchmarkStatus {
    let mut status = context.before.cloned().unwrap_or_default();
    status.observed_generation = context.generation;
    let said = Said { kind: "Accepted", status: "False", reason: Reason::Invalid, message: message.to_owned() };
    let accepted = said.condition(context);
    status.conditions.retain(|c| c.type_ != accepted.type_);
    status.conditions.insert(0, accepted);
    status
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
        delta: cell.delta.map(|d| format!("{d:+.2}")),
        verdict: match cell.verdict {
            Verdict::Pass => "Pass",
            Verdict::Regressed => "Regressed",
            Verdict::Inconclusive => "Inconclusive",
            Verdict::NoReference => "NoReference",
        }
        .into(),
    }
}

fn run_row(id: &str, state: &RunState, seen: &ObservedRun) -> RunStatus {
    let (phase, message) = match state {
        RunState::Queued => (RunPhase::Queued, None),
        RunState::BackingOff { message, .. } => (RunPhase::BackingOff, Some(message)),
        RunState::Running { .. } => (RunPhase::Running, None),
        RunState::Stopping { .. } => (RunPhase::Stopping, None),
        RunState::Succeeded => (RunPhase::Succeeded, None),
        RunState::Failed { message, .. } => (RunPhase::Failed, Some(message)),
    };
    let result = seen.result.as_ref();
    RunStatus {
        id: id.to_owned(),
        state: phase,
        attempt: seen.last_number(),
        top1: result.map(|r| percent(r.top1())),
        top5: result.map(|r| percent(r.top5())),
        #[allow(clippy::cast_sign_loss, reason = "a checked result has no negative seconds")]
        train_seconds: result.map(|r| r.train_seconds.round() as u32),
        message: message.filter(|m| !m.is_empty()).map(|m| m.chars().take(MESSAGE).collect()),
    }
}

/// What one condition says.
struct Said {
    kind: &'static str,
    status: &'static str,
    reason: Reason,
    message: String,
}

impl Said {
    fn condition(self, context: Context<'_>) -> Condition {
        let before = context.before.and_then(|b| b.conditions.iter().find(|c| c.type_ == self.kind));
        let same = before.filter(|c| c.status == self.status);
        Condition {
            type_: self.kind.into(),
            status: self.status.into(),
            reason: <&str>::from(self.reason).into(),
            message: self.message,
            observed_generation: context.generation,
            last_transition_time: same.map_or(Time(context.now), |c| c.last_transition_time.clone()),
        }
    }
}

fn conditions(
    status: &BenchmarkStatus,
    plan: &Plan,
    observed: &Observed,
    finished: bool,
    cells: &[Cell],
    context: Context<'_>,
) -> Vec<Condition> {
    let truth = |yes: bool| if yes { "True" } else { "False" };
    let say = |kind, status, reason, message: String| Said { kind, status, reason, message };
    let backing_off = status.runs.iter().filter(|r| r.state == RunPhase::BackingOff).count() as u32;
    let ended_well = finished && status.failed == 0;

    let progressing = match () {
        () if finished => (false, Reason::Done),
        () if observed.suspended && status.running > 0 => (true, Reason::Stopping),
        () if observed.suspended => (false, Reason::Suspended),
        () if status.running > 0 => (true, Reason::RunsActive),
        () if backing_off > 0 && backing_off == status.queued => (true, Reason::BackingOff),
        () => (true, Reason::Queued),
    };
    let suspended = match () {
        () if !observed.suspended => (false, Reason::NotSuspended),
        () if status.running > 0 => (false, Reason::Stopping),
        () => (true, Reason::Suspended),
    };
    let degraded = match status.failed + backing_off {
        0 => (false, Reason::Healthy),
        _ => (true, Reason::RunsFailing),
    };
    let over = |yes: bool, reason: Reason| if finished { (yes, reason) } else { (false, Reason::NotFinished) };
    let complete = over(ended_well, if ended_well { Reason::AllRecorded } else { Reason::RunsFailed });
    let failed = over(!ended_well, complete.1);
    let (gate, gate_reason) = gate(plan, cells, finished);
    let failing: Vec<&str> = status.runs.iter().filter(|r| r.message.is_some()).map(|r| r.id.as_str()).collect();

    let said = [
        say("Accepted", "True", Reason::Valid, format!("{} runs are planned", status.total)),
        say("Progressing", truth(progressing.0), progressing.1, status.summary.clone()),
        say("Suspended", truth(suspended.0), suspended.1, String::new()),
        say("Degraded", truth(degraded.0), degraded.1, failing.iter().take(8).copied().collect::<Vec<_>>().join(", ")),
        say("Complete", truth(complete.0), complete.1, String::new()),
        say("Failed", truth(failed.0), failed.1, String::new()),
        say("Finished", truth(finished), complete.1, status.summary.clone()),
        say("GatePassed", gate, gate_reason, verdicts(cells)),
    ];
    said.into_iter().map(|s| s.condition(context)).collect()
}

/// Whether the gate is passed, and why. A benchmark with a missing run has not passed.
fn gate(plan: &Plan, cells: &[Cell], finished: bool) -> (&'static str, Reason) {
    if !finished {
        return ("Unknown", Reason::NotFinished);
    }
    match aggregate::outcome(&plan.gate, cells) {
        Outcome::Pass if cells.iter().all(|c| c.verdict == Verdict::NoReference) => ("True", Reason::NoReference),
        Outcome::Pass => ("True", Reason::Pass),
        Outcome::Regressed => ("False", Reason::Regressed),
        Outcome::Inconclusive => ("Unknown", Reason::Inconclusive),
        Outcome::Failed | Outcome::Invalid => ("False", Reason::RunsFailed),
    }
}

/// How many cells have which verdict.
fn verdicts(cells: &[Cell]) -> String {
    let all = [Verdict::Pass, Verdict::Regressed, Verdict::Inconclusive, Verdict::NoReference];
    let count = |v: Verdict| cells.iter().filter(|c| c.verdict == v).count();
    let parts: Vec<String> = all.into_iter().filter(|v| count(*v) > 0).map(|v| format!("{} {v}", count(v))).collect();
    parts.join(", ")
}

#[cfg(test)]
mod tests;
