//! What is said of a benchmark in conditions.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use mixbench_crds::benchmark::{BenchmarkStatus, RunPhase, RunStatus};

use super::{Context, Reason, Trouble, TroubleKind, text};
use crate::aggregate::{self, Cell, Outcome, Verdict};
use crate::decide::Observed;
use crate::decide::policy::{Budget, budget};
use crate::plan::Plan;

/// Longest message of a condition in bytes of JSON.
const MESSAGE: usize = 1024;
/// Most runs that a condition names.
const NAMED: usize = 8;

/// What one condition says.
struct Said {
    kind: &'static str,
    status: &'static str,
    reason: Reason,
    message: String,
}

impl Said {
    fn condition(self, context: Context<'_>) -> Condition {
        let before = context.before().and_then(|b| b.conditions.iter().find(|c| c.type_ == self.kind));
        let same = before.filter(|c| c.status == self.status);
        Condition {
            type_: self.kind.into(),
            status: self.status.into(),
            reason: <&str>::from(self.reason).into(),
            message: text::plain(&self.message, MESSAGE),
            observed_generation: context.benchmark.metadata.generation,
            last_transition_time: same.map_or_else(|| context.time(), |c| c.last_transition_time.clone()),
        }
    }
}

/// Accepted is false.
pub(super) fn refused(reason: Reason, message: &str, context: Context<'_>) -> Condition {
    Said { kind: "Accepted", status: "False", reason, message: message.to_owned() }.condition(context)
}

/// All conditions of a benchmark that can be planned.
pub(super) fn conditions(
    status: &BenchmarkStatus,
    plan: &Plan,
    observed: &Observed,
    finished: bool,
    cells: &[Cell],
    context: Context<'_>,
) -> Vec<Condition> {
    let truth = |yes: bool| if yes { "True" } else { "False" };
    let say = |kind, status, reason, message: String| Said { kind, status, reason, message };
    let ended_well = finished && status.failed == 0;

    let progressing = progressing(status, observed, finished, context);
    let suspended = match () {
        () if !observed.suspended => (false, Reason::NotSuspended),
        () if status.running > 0 => (false, Reason::Stopping),
        () => (true, Reason::Suspended),
    };
    let (degraded, why) = degraded(status, context);
    let over = |yes: bool, reason: Reason| if finished { (yes, reason) } else { (false, Reason::NotFinished) };
    let complete = over(ended_well, if ended_well { Reason::AllRecorded } else { Reason::RunsFailed });
    let failed = over(!ended_well, complete.1);
    let (gate, gate_reason, gate_message) = gate(plan, cells, finished, context);
    let (accepted, planned) = accepted(status, context);

    let said = [
        say("Accepted", "True", accepted, planned),
        say("Progressing", truth(progressing.0), progressing.1, progressing.2),
        say("Suspended", truth(suspended.0), suspended.1, String::new()),
        say("Degraded", truth(degraded != Reason::Healthy), degraded, why),
        say("Complete", truth(complete.0), complete.1, String::new()),
        say("Failed", truth(failed.0), failed.1, String::new()),
        say("Finished", truth(finished), complete.1, status.summary.clone()),
        say("GatePassed", gate, gate_reason, gate_message),
    ];
    said.into_iter().map(|s| s.condition(context)).collect()
}

fn accepted(status: &BenchmarkStatus, context: Context<'_>) -> (Reason, String) {
    let planned = format!("{} runs are planned", status.total);
    if context.benchmark.spec.storage.volume.is_some() {
        return (Reason::Valid, planned);
    }
    let afresh = "without spec.storage.volume an attempt that fails or is suspended starts afresh";
    (Reason::StorageNone, format!("{planned}; {afresh}"))
}

fn progressing(
    status: &BenchmarkStatus,
    observed: &Observed,
    finished: bool,
    context: Context<'_>,
) -> (bool, Reason, String) {
    let count = |phase| status.runs.iter().filter(|r| r.state == phase).count() as u32;
    let waits: Vec<&Trouble> = context.troubles.iter().filter(|t| t.kind == TroubleKind::WaitingForCapacity).collect();
    let waiting = |row: &RunStatus| waits.iter().any(|t| t.run.as_ref() == Some(&row.id));
    let working = status.runs.iter().any(|r| r.state == RunPhase::Running && !waiting(r));
    let summary = || status.summary.clone();
    match () {
        () if finished => (false, Reason::Done, summary()),
        () if observed.suspended && status.running > 0 => (true, Reason::Stopping, summary()),
        () if observed.suspended => (false, Reason::Suspended, summary()),
        () if !waits.is_empty() && !working => (true, Reason::WaitingForCapacity, told(&waits)),
        () if status.running > 0 => (true, Reason::RunsActive, summary()),
        () if count(RunPhase::BackingOff) > 0 && count(RunPhase::BackingOff) == status.queued => {
            (true, Reason::BackingOff, summary())
        }
        () => (true, Reason::Queued, summary()),
    }
}

/// The worst that is in the way, else the runs that failed or wait after a failure.
fn degraded(status: &BenchmarkStatus, context: Context<'_>) -> (Reason, String) {
    let kinds = context.troubles.iter().map(|t| t.kind).filter(|k| k.degrades());
    if let Some(worst) = kinds.min() {
        let these: Vec<&Trouble> = context.troubles.iter().filter(|t| t.kind == worst).collect();
        return (worst.reason(), told(&these));
    }
    let failing: Vec<&str> = status.runs.iter().filter(|r| failing(r)).map(|r| r.id.as_str()).collect();
    if failing.is_empty() { (Reason::Healthy, String::new()) } else { (Reason::RunsFailing, named(&failing)) }
}

/// Failed for good, or waits after an end that is charged to a budget.
fn failing(row: &RunStatus) -> bool {
    let charged = row.ends.last().is_some_and(|e| budget(e.reason) != Budget::Free);
    row.state == RunPhase::Failed || (row.state == RunPhase::BackingOff && charged)
}

/// Troubles of one kind: each message once, with the runs that it is about.
fn told(troubles: &[&Trouble]) -> String {
    let mut by_message: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for trouble in troubles {
        by_message.entry(&trouble.message).or_default().extend(trouble.run.as_deref());
    }
    let one = |(message, runs): (&&str, &Vec<&str>)| {
        if runs.is_empty() { (*message).to_owned() } else { format!("{}: {message}", named(runs)) }
    };
    by_message.iter().map(one).collect::<Vec<_>>().join("; ")
}

fn named(runs: &[&str]) -> String {
    let first = runs.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    match runs.len().saturating_sub(NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// Whether the gate is passed, and why. A benchmark with a missing run has not passed.
fn gate(plan: &Plan, cells: &[Cell], finished: bool, context: Context<'_>) -> (&'static str, Reason, String) {
    if !finished {
        return ("Unknown", Reason::NotFinished, verdicts(cells));
    }
    let no_reference = context
        .troubles
        .iter()
        .find(|t| matches!(t.kind, TroubleKind::ReferenceMissing | TroubleKind::ReferenceUnfinished));
    let outcome = aggregate::outcome(&plan.gate, cells);
    if let Some(trouble) = no_reference.filter(|_| outcome != Outcome::Failed) {
        return ("Unknown", trouble.kind.reason(), trouble.message.clone());
    }
    let (status, reason) = match outcome {
        Outcome::Pass if cells.iter().all(|c| c.verdict == Verdict::NoReference) => ("True", Reason::NoReference),
        Outcome::Pass => ("True", Reason::Pass),
        Outcome::Regressed => ("False", Reason::Regressed),
        Outcome::Inconclusive => ("Unknown", Reason::Inconclusive),
        Outcome::Failed | Outcome::Invalid => ("False", Reason::RunsFailed),
    };
    (status, reason, verdicts(cells))
}

/// How many cells have which verdict.
fn verdicts(cells: &[Cell]) -> String {
    let all = [Verdict::Pass, Verdict::Regressed, Verdict::Inconclusive, Verdict::NoReference];
    let count = |v: Verdict| cells.iter().filter(|c| c.verdict == v).count();
    let parts: Vec<String> = all.into_iter().filter(|v| count(*v) > 0).map(|v| format!("{} {v}", count(v))).collect();
    parts.join(", ")
}
