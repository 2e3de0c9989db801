//! Where a run stands, out of the attempts that it had.

use jiff::Timestamp;
use mixbench_crds::result::RunResult;

use super::policy::{Budget, budget, wait};
use super::{Attempt, AttemptState, ObservedRun, RunState};

impl ObservedRun {
    /// Attempts that occupy a slot, in order of number.
    pub fn live(&self) -> impl Iterator<Item = &Attempt> {
        let mut live: Vec<&Attempt> = self.attempts.iter().filter(|a| a.state.live()).collect();
        live.sort_by_key(|a| a.number);
        live.into_iter()
    }

    /// Whether there is a result, recorded or not.
    pub fn done(&self) -> bool {
        self.result.is_some() || self.unrecorded().is_some()
    }

    /// The first result that an attempt left and that is not recorded yet.
    pub(super) fn unrecorded(&self) -> Option<(u32, &RunResult)> {
        let results = self.attempts.iter().filter_map(|a| match &a.state {
            AttemptState::Ended { result: Some(result), .. } => Some((a.number, result.as_ref())),
            _ => None,
        });
        results.min_by_key(|(number, _)| *number)
    }

    /// Number of the last attempt; 0 before the first.
    pub fn last_number(&self) -> u32 {
        self.attempts.iter().map(|a| a.number).max().unwrap_or(0)
    }

    /// When its last attempt ended, if that has; a live one is not over.
    pub fn last_end(&self) -> Option<Timestamp> {
        match &self.attempts.iter().max_by_key(|a| a.number)?.state {
            AttemptState::Ended { at, .. } => Some(*at),
            AttemptState::Running { .. } | AttemptState::Stopping { .. } => None,
        }
    }

    /// What the last attempt that ended said.
    pub fn last_words(&self) -> Option<&str> {
        let ended = self.attempts.iter().filter(|a| !a.state.live());
        match &ended.max_by_key(|a| a.number)?.state {
            AttemptState::Ended { message, .. } => Some(message),
            AttemptState::Running { .. } | AttemptState::Stopping { .. } => None,
        }
    }

    /// Where the run stands at `now`.
    pub fn state(&self, now: Timestamp) -> RunState {
        if let Some(newest) = self.live().max_by_key(|a| a.number) {
            return match newest.state {
                AttemptState::Stopping { .. } => RunState::Stopping { attempt: newest.number },
                _ => RunState::Running { attempt: newest.number },
            };
        }
        if self.done() {
            return RunState::Succeeded;
        }
        let charged: Vec<&Attempt> = self.attempts.iter().filter(|a| !a.forgiven).collect();
        let Some(last) = charged.iter().max_by_key(|a| a.number) else { return RunState::Queued };
        let AttemptState::Ended { reason, at, message, .. } = &last.state else { return RunState::Queued };
        let spent = |wanted: Budget| {
            let count = charged.iter().filter(|a| a.budget() == Some(wanted)).count();
            wanted.retries().is_some_and(|retries| count > retries as usize)
        };
        if spent(Budget::Infrastructure) || spent(Budget::Application) {
            return RunState::Failed { reason: *reason, message: message.clone() };
        }
        let paid = charged.iter().filter(|a| a.budget() != Some(Budget::Free)).count();
        // Numbers without a trace are free ends that nobody had to remember.
        let counted = self.attempts.iter().filter(|a| a.forgiven || a.budget() != Some(Budget::Free));
        let free = last.number.saturating_sub(counted.map(|a| a.number).max().unwrap_or(0));
        // An end that lies in the future was written under another clock: how long ago it was cannot be known, so nothing is waited for.
        match at.checked_add(wait(paid as u32, free)) {
            Ok(until) if *at <= now && now < until => RunState::BackingOff { until, message: message.clone() },
            _ => RunState::Queued,
        }
    }
}

impl Attempt {
    /// The budget that its end is charged to; none while it lives.
    pub fn budget(&self) -> Option<Budget> {
        match &self.state {
            AttemptState::Ended { reason, .. } => Some(budget(*reason)),
            _ => None,
        }
    }
}
