//! One turn of a benchmark on a cluster: observe, decide, write the status, act, tell.
//!
//! The status is written first, and only onto what was read. So an attempt is announced before its Job exists, a result stands in the status
//! before its Job may go, and of two operators that believe in the same Lease one loses the write and with it the turn.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::PostParams;
use kube::runtime::controller::Action as Again;
use kube::{Api, Resource as _, ResourceExt as _};
use mixbench_crds::benchmark::{BenchmarkStatus, MixupBenchmark, RunPhase};

use super::controller::Scope;
use super::hands::{self, Hands};
use super::reconcile::{Edge, TurnError};
use super::{asking, events, look, names, pulse, reference};
use crate::decide::{Decision, decide};
use crate::plan::plan;
use crate::status::{self, Context, Reason};
use crate::validate::validate;

/// A turn without any reason for one, in case a watch has lost something.
const RESYNC: Duration = Duration::from_mins(10);
/// Least time to the next turn that nothing but time is a reason for.
const PAUSE: Duration = Duration::from_secs(1);
/// Before another look after somebody else wrote the status. The watch brings what was written, mostly before.
const CONFLICT: Duration = Duration::from_secs(1);

/// Takes a turn.
///
/// # Errors
/// [`TurnError`], after everything was done that could be done.
pub(super) async fn turn(
    scope: &Scope,
    benchmark: &MixupBenchmark,
    alive: &pulse::Turn,
    now: Timestamp,
) -> Result<Again, TurnError> {
    if benchmark.metadata.deletion_timestamp.is_some() {
        // What it owns goes with it; what were created now would be in the way.
        return Ok(Again::await_change());
    }
    let edge = &*scope.edge;
    let uid = benchmark.uid().unwrap_or_default();
    let mut planned = match validate(benchmark) {
        Ok(spec) => plan(&spec),
        Err(problems) => {
            let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
            return refuse(scope, benchmark, alive, (Reason::Invalid, &said.join("; ")), now).await;
        }
    };
    let mut troubles = edge.memory.troubles(&uid);
    let other = planned.reference_benchmark.clone();
    let other = other.and_then(|name| scope.stores.beside(benchmark, &name));
    troubles.extend(reference::resolve(&mut planned, benchmark, other.as_ref()));
    let (picture, jobs, pods) = match look::look(scope, benchmark, &planned, alive, now).await? {
        Ok(view) => view,
        // A result that cannot be read must neither be lost nor trained again.
        Err(error) => {
            return refuse(scope, benchmark, alive, (Reason::StatusUnreadable, &error.to_string()), now).await;
        }
    };
    let look_again = picture.look_again;
    troubles.extend(picture.notes);
    let mut progress = edge.memory.progress(&uid);
    progress.retain(|run, _| was_live(benchmark, run));
    let decision = decide(&planned, &picture.observed, now);
    let context = Context { benchmark, now, troubles: &troubles, progress: &progress };
    let after = status::status(&planned, &picture.observed, context);
    match write(edge, benchmark, &after).await? {
        Written::Stands => alive.beat(),
        other => return Ok(other.again()),
    }

    let hands = Hands { edge, benchmark, plan: &planned, jobs: &jobs, alive };
    let done = hands.act(&decision, now).await;
    told(edge, benchmark, &done.started, &after);
    asking::ask(scope, benchmark, &planned, &after, &jobs, &pods);
    let troubles = done.failures.iter().map(|(run, error)| error.trouble(run.clone())).collect();
    let news = edge.memory.troubled(&uid, troubles);
    let more = done.failures.len().saturating_sub(1);
    match done.failures.into_iter().next() {
        Some((_, first)) => Err(TurnError::Act { first: Box::new(first), more }),
        None if news => Ok(Again::requeue(Duration::ZERO)),
        None => Ok(Again::requeue(next(benchmark, &decision, &after, look_again, now))),
    }
}

/// Whether the run was live when the status was written: what was heard of an attempt says nothing of the next one.
fn was_live(benchmark: &MixupBenchmark, run: &str) -> bool {
    let mut rows = benchmark.status.iter().flat_map(|status| &status.runs);
    rows.any(|row| row.id == run && matches!(row.state, RunPhase::Running | RunPhase::Stopping))
}

/// Says that nothing can be decided of the benchmark, and why. What runs goes on and keeps what it comes to, unless it shall be suspended.
async fn refuse(
    scope: &Scope,
    benchmark: &MixupBenchmark,
    alive: &pulse::Turn,
    (reason, message): (Reason, &str),
    now: Timestamp,
) -> Result<Again, TurnError> {
    let context = Context { benchmark, now, troubles: &[], progress: &BTreeMap::new() };
    let after = status::refused(reason, message, context);
    let written = write(&scope.edge, benchmark, &after).await?;
    if matches!(written, Written::Stands) {
        told(&scope.edge, benchmark, &[], &after);
        if benchmark.spec.suspend {
            hands::stop_all(&scope.edge.client, benchmark, &scope.stores.children(benchmark).0, alive).await?;
        }
    }
    Ok(written.again())
}

/// What became of a write of the status.
enum Written {
    /// It stands there, by this write or as it was.
    Stands,
    /// Somebody else wrote since it was read.
    Conflict,
    /// The benchmark is gone.
    Gone,
}

impl Written {
    /// When to look again where the turn is dropped.
    fn again(self) -> Again {
        match self {
            Self::Stands => Again::requeue(RESYNC),
            Self::Conflict => Again::requeue(CONFLICT.mul_f64(1.0 + fastrand::f64())),
            Self::Gone => Again::await_change(),
        }
    }
}

/// Writes the status onto the benchmark as it was read, unless it stands there already.
async fn write(edge: &Edge, benchmark: &MixupBenchmark, after: &BenchmarkStatus) -> Result<Written, TurnError> {
    let (namespace, name) = (benchmark.namespace().unwrap_or_default(), benchmark.name_any());
    if benchmark.status.as_ref() != Some(after) {
        let mut next = benchmark.clone();
        next.status = Some(after.clone());
        let api: Api<MixupBenchmark> = Api::namespaced(edge.client.clone(), &namespace);
        match api.replace_status(&name, &PostParams::default(), &next).await {
            Ok(_) => {}
            Err(kube::Error::Api(answer)) if answer.code == 409 => {
                tracing::debug!("the status was written by somebody else: the turn is dropped");
                return Ok(Written::Conflict);
            }
            Err(kube::Error::Api(answer)) if answer.code == 404 => return Ok(Written::Gone),
            Err(error) => return Err(TurnError::Status(Box::new(error))),
        }
    }
    edge.metrics.benchmark(&namespace, &name, Some(after));
    Ok(Written::Stands)
}

/// Tells which runs have started, and what the write of a status tells.
fn told(edge: &Edge, benchmark: &MixupBenchmark, started: &[String], after: &BenchmarkStatus) {
    let mut events: Vec<_> = started.iter().map(|run| events::started(run)).collect();
    events.extend(events::told(benchmark.status.as_ref(), after));
    if events.is_empty() {
        return;
    }
    edge.herald.tell(events, &benchmark.object_ref(&()), |run| {
        // Also of a run whose row names no Job any more: without it, events of different runs would count as one that repeats.
        let attempt = after.runs.iter().find(|r| r.id == run)?.attempt;
        let (name, uid) = (benchmark.name_any(), benchmark.uid().unwrap_or_default());
        Some(ObjectReference {
            api_version: Some("batch/v1".into()),
            kind: Some("Job".into()),
            namespace: benchmark.namespace(),
            name: Some(names::job_name(&name, &uid, run, attempt)),
            ..ObjectReference::default()
        })
    });
}

/// How long nothing needs to be looked at, unless something changes.
fn next(
    benchmark: &MixupBenchmark,
    decision: &Decision,
    after: &BenchmarkStatus,
    look_again: Option<Timestamp>,
    now: Timestamp,
) -> Duration {
    let live = after.runs.iter().any(|r| r.state == RunPhase::Running);
    let retire = retires(benchmark, decision);
    let waits = [decision.next_wakeup, look_again, retire].into_iter().flatten().map(|at| until(now, at));
    let asks = live.then_some(super::memory::PROGRESS_EVERY);
    waits.chain(asks).min().unwrap_or(RESYNC).clamp(PAUSE, RESYNC)
}

/// When the benchmark shall be deleted, if it is finished and says so.
pub(super) fn retires(benchmark: &MixupBenchmark, decision: &Decision) -> Option<Timestamp> {
    let seconds = benchmark.spec.retention.ttl_seconds_after_finished?;
    let ended = benchmark.status.as_ref()?.completion_time.as_ref()?.0;
    decision.finished.then(|| ended.checked_add(Duration::from_secs(seconds.into())).unwrap_or(Timestamp::MAX))
}

fn until(now: Timestamp, at: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
