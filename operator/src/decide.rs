//! What to do next. One scheduler for processes and for Jobs: a pure function of the plan, what is seen, and the time.

use std::collections::BTreeMap;

use jiff::Timestamp;
use mixbench_crds::benchmark::EndReason;
use mixbench_crds::result::RunResult;

use crate::plan::Plan;

pub mod policy;
mod standing;

#[cfg(test)]
mod laws;

use policy::GRACE;

/// What a backend sees, once a turn.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Whether everything shall stop and nothing start (Ctrl-C, `spec.suspend`).
    pub suspended: bool,
    /// Most runs at once from now on, where it differs from the plan's.
    pub parallelism: Option<u32>,
    /// By run id. A run that is not here was never started; a run here that the plan does not have is left over from another plan.
    pub runs: BTreeMap<String, ObservedRun>,
}

/// What is seen of one run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObservedRun {
    /// The recorded result (`result.json`, `.status`). Once here, the run is done for ever.
    pub result: Option<RunResult>,
    /// Every attempt that left a trace, in any order.
    pub attempts: Vec<Attempt>,
}

/// One process tree or Job.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// From 1.
    pub number: u32,
    /// What it does.
    pub state: AttemptState,
    /// Not charged to any budget: it ended before a person started the scheduler anew.
    pub forgiven: bool,
}

/// What an attempt does. `Running` and `Stopping` are live, whoever started them: an orphan counts as well.
#[derive(Clone, Debug, PartialEq)]
pub enum AttemptState {
    /// It works.
    Running {
        /// When it started.
        since: Timestamp,
    },
    /// It was told to stop and still lives.
    Stopping {
        /// When it was told.
        since: Timestamp,
    },
    /// It is gone.
    Ended {
        /// Why it ended.
        reason: EndReason,
        /// When that was seen first.
        at: Timestamp,
        /// A result that is not recorded yet.
        result: Option<Box<RunResult>>,
        /// Its last words.
        message: String,
    },
}

impl AttemptState {
    /// Whether it occupies a slot.
    pub const fn live(&self) -> bool {
        matches!(self, Self::Running { .. } | Self::Stopping { .. })
    }
}

/// What a backend shall do. Every action may be asked for again until it shows in [`Observed`].
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Record this result, durably, before anything else happens to the run.
    Record {
        /// Id of the run.
        run: String,
        /// The attempt that it came from.
        attempt: u32,
        /// The result.
        result: Box<RunResult>,
    },
    /// Ask a live attempt to stop (SIGTERM; delete the Job).
    Stop {
        /// Id of the run.
        run: String,
        /// Which attempt.
        attempt: u32,
        /// Why.
        reason: StopReason,
    },
    /// End an attempt that was asked to stop and did not within its grace (SIGKILL).
    Kill {
        /// Id of the run.
        run: String,
        /// Which attempt.
        attempt: u32,
    },
    /// Start a run.
    Start {
        /// Id of the run.
        run: String,
        /// Which attempt, higher than any before.
        attempt: u32,
    },
}

/// Why an attempt is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr, strum::Display)]
pub enum StopReason {
    /// The benchmark is suspended.
    Suspended,
    /// The run's result is recorded already.
    Recorded,
    /// A later attempt of the run is live.
    Duplicate,
    /// The plan has no such run.
    Unplanned,
}

/// The answer of [`decide`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// What to do, in this order.
    pub actions: Vec<Action>,
    /// When to look again even if nothing happens; none means: only an event changes anything.
    pub next_wakeup: Option<Timestamp>,
    /// Every planned run is recorded or has failed for good, nothing is live, and there is nothing to do.
    pub finished: bool,
    /// State of every planned run, in the plan's order, before the actions.
    pub states: Vec<RunState>,
}

/// Where a planned run stands.
#[derive(Clone, Debug, PartialEq)]
pub enum RunState {
    /// Waits for a slot.
    Queued,
    /// Waits for its next attempt.
    BackingOff {
        /// When it may start.
        until: Timestamp,
        /// What the last attempt said.
        message: String,
    },
    /// Live.
    Running {
        /// Which attempt.
        attempt: u32,
    },
    /// Live, and was told to stop.
    Stopping {
        /// Which attempt.
        attempt: u32,
    },
    /// Recorded, or about to be.
    Succeeded,
    /// Its budget is spent.
    Failed {
        /// Why its last attempt ended.
        reason: EndReason,
        /// What the last attempt said.
        message: String,
    },
}

/// Decides what to do next.
///
/// * A recorded result is never run again, nothing starts while suspended, and a run has one live attempt at most.
/// * Everything live counts against `parallelism`, orphans and what still stops too; lowering it kills nothing.
/// * The clock may jump: forward it only shortens waits, backward it never lengthens one beyond its own length.
pub fn decide(plan: &Plan, observed: &Observed, now: Timestamp) -> Decision {
    let mut turn = Turn { now, decision: Decision::default() };
    let nothing = ObservedRun::default();
    let planned: BTreeMap<&str, &ObservedRun> =
        plan.runs.iter().map(|r| (r.run.id.as_str(), observed.runs.get(&r.run.id).unwrap_or(&nothing))).collect();

    for (id, seen) in &observed.runs {
        turn.record(id, seen);
        if planned.contains_key(id.as_str()) {
            turn.tidy(id, seen, observed.suspended);
        } else {
            seen.live().for_each(|attempt| turn.stop(id, attempt, StopReason::Unplanned));
        }
    }

    let live: usize = observed.runs.values().map(|seen| seen.live().count()).sum();
    let most = observed.parallelism.unwrap_or(plan.parallelism) as usize;
    let mut free = if observed.suspended { 0 } else { most.saturating_sub(live) };
    for run in &plan.runs {
        let id = &run.run.id;
        let seen = planned[id.as_str()];
        let state = seen.state(now);
        match &state {
            RunState::Queued if free > 0 => {
                free -= 1;
                turn.decision.actions.push(Action::Start { run: id.clone(), attempt: seen.last_number() + 1 });
            }
            RunState::BackingOff { until, .. } if !observed.suspended => turn.wake(*until),
            _ => {}
        }
        turn.decision.states.push(state);
    }
    turn.decision.finished = live == 0
        && turn.decision.actions.is_empty()
        && turn.decision.states.iter().all(|s| matches!(s, RunState::Succeeded | RunState::Failed { .. }));
    turn.decision
}

/// One turn in the making.
struct Turn {
    now: Timestamp,
    decision: Decision,
}

impl Turn {
    /// Records what can be recorded, planned or not: a finished training is never thrown away.
    fn record(&mut self, id: &str, seen: &ObservedRun) {
        if seen.result.is_none()
            && let Some((attempt, result)) = seen.unrecorded()
        {
            self.decision.actions.push(Action::Record {
                run: id.to_owned(),
                attempt,
                result: Box::new(result.clone()),
            });
        }
    }

    /// Stops what should not live.
    fn tidy(&mut self, id: &str, seen: &ObservedRun, suspended: bool) {
        let newest = seen.live().map(|a| a.number).max();
        for attempt in seen.live() {
            if seen.done() {
                self.stop(id, attempt, StopReason::Recorded);
            } else if Some(attempt.number) != newest {
                self.stop(id, attempt, StopReason::Duplicate);
            } else if suspended {
                self.stop(id, attempt, StopReason::Suspended);
            } else if matches!(attempt.state, AttemptState::Stopping { .. }) {
                self.overdue(id, attempt);
            }
        }
    }

    fn stop(&mut self, id: &str, attempt: &Attempt, reason: StopReason) {
        if matches!(attempt.state, AttemptState::Running { .. }) {
            self.decision.actions.push(Action::Stop { run: id.to_owned(), attempt: attempt.number, reason });
        } else {
            self.overdue(id, attempt);
        }
    }

    /// Kills an attempt that was told to stop longer ago than [`GRACE`].
    fn overdue(&mut self, id: &str, attempt: &Attempt) {
        let AttemptState::Stopping { since } = attempt.state else { return };
        match since.checked_add(GRACE) {
            Ok(end) if self.now < end => self.wake(end),
            _ => {
                self.decision.actions.push(Action::Kill { run: id.to_owned(), attempt: attempt.number });
                // Nobody can end what a lost machine keeps: it is asked less and less often.
                let overdue = self.now.duration_since(since).unsigned_abs() / 4;
                if let Ok(again) = self.now.checked_add(overdue.clamp(policy::BACKOFF, policy::BACKOFF_MAX)) {
                    self.wake(again);
                }
            }
        }
    }

    fn wake(&mut self, at: Timestamp) {
        let earliest = self.decision.next_wakeup.map_or(at, |t| t.min(at));
        self.decision.next_wakeup = Some(earliest);
    }
}

/// What will be seen once a decision is carried out: whoever writes down first what it is about to do, writes this.
pub fn foresee(observed: &Observed, actions: &[Action], now: Timestamp) -> Observed {
    let mut ahead = observed.clone();
    for action in actions {
        match action {
            Action::Record { run, result, .. } => {
                ahead.runs.entry(run.clone()).or_default().result = Some((**result).clone());
            }
            Action::Start { run, attempt } => {
                let state = AttemptState::Running { since: now };
                let attempt = Attempt { number: *attempt, state, forgiven: false };
                ahead.runs.entry(run.clone()).or_default().attempts.push(attempt);
            }
            Action::Stop { run, attempt, .. } => {
                let seen = ahead.runs.get_mut(run).map(|r| r.attempts.as_mut_slice()).unwrap_or_default();
                for stopped in seen.iter_mut().filter(|a| a.number == *attempt && a.state.live()) {
                    stopped.state = AttemptState::Stopping { since: now };
                }
            }
            // What is killed is seen when it is gone.
            Action::Kill { .. } => {}
        }
    }
    ahead
}
