//! Runs that only a test imagines: they end when the script says, under the test's own clock.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use mixbench_crds::event::{Body, EVENT_VERSION, Event};
use mixbench_crds::exit::Exit;
use mixbench_crds::metric::{Metric, Score};
use mixbench_crds::result::{RESULT_VERSION, RunResult};
use mixbench_crds::run::Run;

use super::{Backend, BackendError};
use crate::decide::{Action, Attempt, AttemptState, Observed, ObservedRun};

/// How long an attempt takes to stop when it is told to.
pub const STOPPING: Duration = Duration::from_secs(1);

/// What becomes of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Scripted {
    /// How long it lives.
    pub after: Duration,
    /// How it ends; [`Exit::Ok`] leaves a result.
    pub exit: Option<Exit>,
    /// Top-1 in percent that it reaches.
    pub top1: f64,
}

impl Default for Scripted {
    /// Ten seconds, a result of 50 %.
    fn default() -> Self {
        Self { after: Duration::from_secs(10), exit: Some(Exit::Ok), top1: 50.0 }
    }
}

/// The imagination.
#[derive(Debug, Default)]
pub struct Fake {
    /// What becomes of the attempts of a run, in order; those that are not named are as [`Scripted::default`].
    pub script: BTreeMap<String, Vec<Scripted>>,
    /// Everything that was asked for, in order.
    pub asked: Vec<Action>,
    runs: BTreeMap<String, ObservedRun>,
}

impl Fake {
    /// A backend with this script.
    pub fn new(script: BTreeMap<String, Vec<Scripted>>) -> Self {
        Self { script, ..Self::default() }
    }

    /// Attempts that live.
    pub fn live(&self) -> usize {
        self.runs.values().map(|r| r.live().count()).sum()
    }

    fn scripted(&self, run: &str, attempt: u32) -> Scripted {
        self.script.get(run).and_then(|s| s.get(attempt as usize - 1)).cloned().unwrap_or_default()
    }

    fn attempt(&mut self, run: &str, number: u32) -> Option<&mut Attempt> {
        self.runs.get_mut(run)?.attempts.iter_mut().find(|a| a.number == number)
    }

    fn end(&mut self, run: &str, number: u32, exit: Option<Exit>, at: Timestamp) {
        let top1 = self.scripted(run, number).top1;
        let result = (exit == Some(Exit::Ok)).then(|| Box::new(result(run, number, top1)));
        if let Some(attempt) = self.attempt(run, number) {
            attempt.state = AttemptState::Ended { reason: exit.into(), at, result, message: "as scripted".to_owned() };
        }
    }
}

impl Backend for Fake {
    fn observe(&mut self, now: Timestamp) -> Result<Observed, BackendError> {
        let mut ends = Vec::new();
        for (run, seen) in &self.runs {
            for attempt in &seen.attempts {
                let scripted = self.scripted(run, attempt.number);
                let (since, after, exit) = match attempt.state {
                    AttemptState::Running { since } => (since, scripted.after, scripted.exit),
                    AttemptState::Stopping { since } => (since, STOPPING, Some(Exit::Stopped)),
                    AttemptState::Ended { .. } => continue,
                };
                if since.checked_add(after).is_ok_and(|end| end <= now) {
                    ends.push((run.clone(), attempt.number, exit));
                }
            }
        }
        for (run, number, exit) in ends {
            self.end(&run, number, exit, now);
        }
        Ok(Observed { suspended: false, parallelism: None, runs: self.runs.clone() })
    }

    fn act(&mut self, action: &Action, now: Timestamp) -> Result<(), BackendError> {
        self.asked.push(action.clone());
        match action {
            Action::Record { run, result, .. } => {
                self.runs.entry(run.clone()).or_default().result = Some((**result).clone());
            }
            Action::Start { run, attempt } => {
                let state = AttemptState::Running { since: now };
                let attempt = Attempt { number: *attempt, state, forgiven: false };
                self.runs.entry(run.clone()).or_default().attempts.push(attempt);
            }
            Action::Stop { run, attempt, .. } => {
                if let Some(attempt) = self.attempt(run, *attempt).filter(|a| a.state.live()) {
                    attempt.state = AttemptState::Stopping { since: now };
                }
            }
            Action::Kill { run, attempt } => self.end(run, *attempt, None, now),
        }
        Ok(())
    }
}

/// A result with this top-1, of 10 000 images.
pub fn result(run: &str, attempt: u32, top1: f64) -> RunResult {
    let n = 10_000;
    #[allow(clippy::cast_sign_loss, reason = "it is clamped")]
    let correct1 = (top1 / 100.0 * n as f64).round().clamp(0.0, n as f64) as u64;
    RunResult {
        version: RESULT_VERSION,
        run: run.to_owned(),
        nonce: String::new(),
        attempt,
        metric: Metric::Last,
        window: vec![Score { epoch: 1, correct1, correct5: n }],
        epochs: 1,
        n,
        images: 1000,
        train_seconds: 10.0,
        data_fingerprint: "0".to_owned(),
        parameters: 1,
        device: "imagined".to_owned(),
        libtorch: "2.11.0".to_owned(),
        checkpoint: None,
    }
}

/// The result of the whole training of this attempt, which reaches this top-1 in every epoch.
pub fn trained(run: &Run, top1: f64) -> RunResult {
    let training = &run.spec.training;
    let short = result(&run.id, run.attempt, top1);
    let scores: Vec<Score> =
        (1..=training.epochs).map(|epoch| Score { epoch, correct5: short.n - 1, ..short.window[0] }).collect();
    RunResult {
        nonce: run.nonce.clone(),
        metric: training.metric,
        window: training.metric.window(&scores),
        epochs: training.epochs,
        train_seconds: 12.345_678_9,
        data_fingerprint: "ab".repeat(32),
        parameters: 272_474,
        ..short
    }
}

/// What the trainer of this attempt says.
pub fn said(run: &Run, body: Body) -> Event {
    let (id, nonce) = (run.id.clone(), run.nonce.clone());
    Event { version: EVENT_VERSION, run: id, attempt: run.attempt, nonce, time: 0, body }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::plan;
    use super::super::{Wish, turn};
    use super::*;
    use crate::decide::Decision;
    use crate::plan::Plan;

    /// Takes a turn a second until all is finished or the seconds have passed.
    fn drive(plan: &Plan, fake: &mut Fake, seconds: i64, wish: impl Fn(i64) -> Wish) -> Decision {
        let mut last = Decision::default();
        for second in 0..seconds {
            let now = Timestamp::from_second(1_000_000 + second).expect("a time");
            last = turn(plan, fake, wish(second), now).expect("a fake never fails");
            assert!(fake.live() <= plan.parallelism as usize);
            if last.finished {
                break;
            }
        }
        last
    }

    #[test]
    fn turns_finish_a_plan_and_start_each_run_once() {
        let plan = plan(3, 2);
        let mut fake = Fake::default();
        assert!(drive(&plan, &mut fake, 1000, |_| Wish::default()).finished);
        let starts = fake.asked.iter().filter(|a| matches!(a, Action::Start { .. })).count();
        let records = fake.asked.iter().filter(|a| matches!(a, Action::Record { .. })).count();
        assert_eq!((starts, records), (6, 6));
    }

    #[test]
    fn a_lost_peer_is_tried_again_and_wrong_data_are_not() {
        let plan = plan(2, 1);
        let once = |exit| vec![Scripted { exit: Some(exit), ..Scripted::default() }];
        let script =
            [(0, Exit::Collective), (1, Exit::Data)].map(|(i, exit)| (plan.runs[i].run.id.clone(), once(exit)));
        let mut fake = Fake::new(script.into());
        assert!(drive(&plan, &mut fake, 1000, |_| Wish::default()).finished);
        let starts = |i: usize| {
            let id = &plan.runs[i].run.id;
            fake.asked.iter().filter(|a| matches!(a, Action::Start { run, .. } if run == id)).count()
        };
        assert_eq!((starts(0), starts(1)), (2, 1));
    }

    #[test]
    fn what_is_suspended_stops_and_goes_on_later() {
        let plan = plan(1, 2);
        let mut fake = Fake::default();
        let between = |s: i64| Wish { suspended: (3..20).contains(&s), parallelism: None };
        drive(&plan, &mut fake, 19, between);
        assert_eq!(fake.live(), 0);
        assert!(drive(&plan, &mut fake, 1000, |_| Wish::default()).finished);
    }
}
