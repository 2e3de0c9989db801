//! Laws of [`decide`] over random interleavings of ends, crashes, suspensions, changes of parallelism and jumps of the clock.

use jiff::SignedDuration;
use mixbench_crds::exit::Exit;
use proptest::prelude::*;

use super::*;
use crate::backend::fake;
use crate::{manifest, plan, validate};

/// Something that happens between two turns.
#[derive(Clone, Debug)]
enum Happening {
    /// The scheduler takes a turn and dies after so many of its actions.
    Turn { survives: usize },
    /// The clock moves, perhaps backwards.
    Clock { seconds: i64 },
    /// A live attempt ends.
    End { which: usize, how: End },
    /// Everything shall stop, or go on.
    Suspend(bool),
    /// Another number of runs at once.
    Parallelism(u32),
    /// A process that no plan knows, or a second one of a planned run.
    Orphan { planned: bool },
    /// A person starts the scheduler anew.
    Forgive,
}

/// How an attempt ends.
#[derive(Clone, Debug)]
enum End {
    WithResult,
    Exit(Option<Exit>),
}

fn happening() -> impl Strategy<Value = Happening> {
    let exits: Vec<Option<Exit>> = Exit::ALL.into_iter().map(Some).chain([None]).collect();
    let end = prop_oneof![Just(End::WithResult), proptest::sample::select(exits).prop_map(End::Exit)];
    prop_oneof![
        6 => (0_usize..12).prop_map(|survives| Happening::Turn { survives }),
        3 => (-400_i64..400).prop_map(|seconds| Happening::Clock { seconds }),
        5 => (any::<usize>(), end).prop_map(|(which, how)| Happening::End { which, how }),
        1 => any::<bool>().prop_map(Happening::Suspend),
        1 => (1_u32..5).prop_map(Happening::Parallelism),
        1 => any::<bool>().prop_map(|planned| Happening::Orphan { planned }),
        1 => Just(Happening::Forgive),
    ]
}

fn some_plan() -> Plan {
    let text = include_str!("../../../crds/benchmarks/quickstart.yaml");
    let document = manifest::parse(text).expect("YAML").remove(0);
    plan::plan(&validate::check(&document).expect("a good manifest").1)
}

/// A world that does what it is told, and a witness of the laws.
struct World {
    plan: Plan,
    seen: Observed,
    now: Timestamp,
    /// Every attempt number that was ever started, by run.
    started: BTreeMap<String, Vec<u32>>,
    recorded: BTreeMap<String, RunResult>,
}

impl World {
    fn new() -> Self {
        let now = Timestamp::from_second(1_800_000_000).expect("a time");
        let seen = Observed { parallelism: Some(2), ..Observed::default() };
        Self { plan: some_plan(), seen, now, started: BTreeMap::new(), recorded: BTreeMap::new() }
    }

    fn live(&self) -> usize {
        self.seen.runs.values().map(|r| r.live().count()).sum()
    }

    /// One turn, all of whose laws are checked, and the first `survives` of its actions.
    fn turn(&mut self, survives: usize) -> Decision {
        let decision = decide(&self.plan, &self.seen, self.now);
        assert_eq!(decision, decide(&self.plan, &self.seen, self.now), "the same sight gives the same decision");
        let mut mirrored = self.seen.clone();
        mirrored.runs.values_mut().for_each(|r| r.attempts.reverse());
        assert_eq!(decision, decide(&self.plan, &mirrored, self.now), "the order of attempts means nothing");
        self.check_progress(&decision);
        self.check_foresight(&decision);
        for action in decision.actions.iter().take(survives) {
            self.act(action);
        }
        decision
    }

    /// Nothing waits for ever: where nothing is live and nothing is done, there is a time to look again.
    fn check_progress(&self, decision: &Decision) {
        if decision.finished {
            assert_eq!(self.live(), 0);
            return;
        }
        if self.live() == 0 && !self.seen.suspended && decision.actions.is_empty() {
            let wakeup = decision.next_wakeup.expect("a time to look again");
            let wait = wakeup.duration_since(self.now);
            assert!(
                wait > SignedDuration::ZERO && wait <= SignedDuration::try_from(policy::BACKOFF_MAX).expect("short")
            );
        }
        if self.seen.suspended {
            let running = self.seen.runs.values().flat_map(ObservedRun::live);
            let running = running.filter(|a| matches!(a.state, AttemptState::Running { .. })).count();
            let stops = decision.actions.iter().filter(|a| matches!(a, Action::Stop { .. })).count();
            assert_eq!(running, stops, "everything is told to stop");
        }
    }

    /// What is foreseen is what comes: the turn after it has nothing left to do but to kill.
    fn check_foresight(&self, decision: &Decision) {
        let ahead = foresee(&self.seen, &decision.actions, self.now);
        let next = decide(&self.plan, &ahead, self.now);
        let left = next.actions.iter().find(|a| !matches!(a, Action::Kill { .. }));
        assert_eq!(left, None, "foreseen is not done");
    }

    fn act(&mut self, action: &Action) {
        let now = self.now;
        match action {
            Action::Start { run, attempt } => {
                assert!(!self.seen.suspended, "nothing starts while suspended");
                assert!((self.live() as u32) < self.seen.parallelism.expect("set"), "never above parallelism");
                assert!(!self.recorded.contains_key(run), "a recorded result is never run again");
                assert!(self.plan.run(run).is_some(), "only planned runs start");
                let entry = self.seen.runs.entry(run.clone()).or_default();
                assert_eq!(entry.live().count(), 0, "one live attempt at most");
                assert!(entry.last_number() < *attempt, "attempts increase");
                assert!(
                    self.started.get(run).is_none_or(|all| all.iter().all(|a| a < attempt)),
                    "a number is used once"
                );
                self.started.entry(run.clone()).or_default().push(*attempt);
                let state = AttemptState::Running { since: now };
                entry.attempts.push(Attempt { number: *attempt, state, forgiven: false });
            }
            Action::Stop { run, attempt, .. } => {
                self.attempt(run, *attempt).state = AttemptState::Stopping { since: now };
            }
            Action::Kill { run, attempt } => self.end(&run.clone(), *attempt, &End::Exit(None)),
            Action::Record { run, result, .. } => {
                assert!(!self.recorded.contains_key(run), "a result is recorded once");
                self.recorded.insert(run.clone(), (**result).clone());
                self.seen.runs.entry(run.clone()).or_default().result = Some((**result).clone());
            }
        }
    }

    fn attempt(&mut self, run: &str, number: u32) -> &mut Attempt {
        let entry = self.seen.runs.get_mut(run).expect("an action is about something seen");
        let attempt = entry.attempts.iter_mut().find(|a| a.number == number && a.state.live());
        attempt.expect("only live attempts are stopped")
    }

    fn end(&mut self, run: &str, number: u32, how: &End) {
        let at = self.now;
        let (exit, result) = match how {
            End::WithResult => (Some(Exit::Ok), Some(Box::new(fake::result(run, number, 80.0)))),
            End::Exit(exit) => (*exit, None),
        };
        self.attempt(run, number).state =
            AttemptState::Ended { reason: exit.into(), at, result, message: "over".into() };
    }

    fn happen(&mut self, happening: &Happening) {
        match happening {
            Happening::Turn { survives } => {
                self.turn(*survives);
            }
            Happening::Clock { seconds } => {
                self.now = self.now.checked_add(SignedDuration::from_secs(*seconds)).expect("near");
            }
            Happening::End { which, how } => {
                let live: Vec<(String, u32)> = self.all_live();
                if let Some((run, number)) = live.get(which % live.len().max(1)).cloned() {
                    self.end(&run, number, how);
                }
            }
            Happening::Suspend(on) => self.seen.suspended = *on,
            Happening::Parallelism(n) => self.seen.parallelism = Some(*n),
            Happening::Orphan { planned } => {
                let id = if *planned { self.plan.runs[0].run.id.clone() } else { "left-over".to_owned() };
                let entry = self.seen.runs.entry(id.clone()).or_default();
                let number = entry.last_number() + 1;
                let state = AttemptState::Running { since: self.now };
                entry.attempts.push(Attempt { number, state, forgiven: false });
                self.started.entry(id).or_default().push(number);
            }
            Happening::Forgive => {
                for attempt in self.seen.runs.values_mut().flat_map(|r| &mut r.attempts) {
                    attempt.forgiven |= !attempt.state.live();
                }
            }
        }
    }

    fn all_live(&self) -> Vec<(String, u32)> {
        let of = |(id, run): (&String, &ObservedRun)| run.live().map(|a| (id.clone(), a.number)).collect::<Vec<_>>();
        self.seen.runs.iter().flat_map(of).collect()
    }

    /// From now on everything goes well: it must come to an end, with every run recorded or failed for good.
    fn goes_well(&mut self) {
        self.seen.suspended = false;
        for _ in 0..100 {
            let decision = self.turn(usize::MAX);
            if decision.finished {
                assert!(decision.actions.is_empty());
                let states = self.plan.runs.iter().zip(&decision.states);
                for (run, state) in states {
                    let recorded = self.recorded.contains_key(&run.run.id);
                    assert_eq!(recorded, matches!(state, RunState::Succeeded), "{state:?}");
                }
                return;
            }
            for (run, number) in self.all_live() {
                self.end(&run, number, &End::WithResult);
            }
            self.now = decision.next_wakeup.unwrap_or(self.now).max(self.now);
        }
        panic!("it never came to an end: {:?}", self.seen);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_laws_hold_over_every_interleaving(script in proptest::collection::vec(happening(), 0..80)) {
        let mut world = World::new();
        for happening in &script {
            world.happen(happening);
        }
        world.goes_well();
    }
}

fn ended(number: u32, exit: Option<Exit>, at: Timestamp) -> Attempt {
    let state = AttemptState::Ended { reason: exit.into(), at, result: None, message: "over".into() };
    Attempt { number, state, forgiven: false }
}

#[test]
fn three_further_attempts_are_paid_for_machines_and_none_for_the_run_itself() {
    let now = Timestamp::from_second(1_800_000_000).expect("a time");
    let later = now.checked_add(SignedDuration::from_hours(1)).expect("near");
    let state =
        |exit, n| ObservedRun { result: None, attempts: (1..=n).map(|i| ended(i, exit, now)).collect() }.state(later);
    assert_eq!(state(Some(Exit::Collective), 3), RunState::Queued);
    assert!(matches!(state(Some(Exit::Collective), 4), RunState::Failed { .. }));
    assert!(matches!(state(None, 4), RunState::Failed { reason: EndReason::Killed, .. }));
    assert!(matches!(state(Some(Exit::Diverged), 1), RunState::Failed { .. }));
    assert_eq!(state(Some(Exit::Stopped), 50), RunState::Queued);
}

#[test]
fn a_further_attempt_waits_twice_as_long_and_not_at_all_after_the_clock_went_back() {
    let now = Timestamp::from_second(1_800_000_000).expect("a time");
    let at = |seconds| now.checked_add(SignedDuration::from_secs(seconds)).expect("near");
    let run = ObservedRun { result: None, attempts: vec![ended(1, None, now), ended(2, None, now)] };
    assert_eq!(run.state(at(3)), RunState::BackingOff { until: at(4), message: "over".into() });
    assert_eq!(run.state(at(4)), RunState::Queued);
    assert_eq!(run.state(at(-1)), RunState::Queued);
}

#[test]
fn an_attempt_that_does_not_stop_is_killed_after_its_grace() {
    let plan = some_plan();
    let now = Timestamp::from_second(1_800_000_000).expect("a time");
    let state = AttemptState::Stopping { since: now };
    let run = ObservedRun { result: None, attempts: vec![Attempt { number: 1, state, forgiven: false }] };
    let id = plan.runs[0].run.id.clone();
    let seen = Observed { suspended: true, parallelism: None, runs: BTreeMap::from([(id.clone(), run)]) };
    let end = now.checked_add(GRACE).expect("near");
    assert_eq!(decide(&plan, &seen, now).next_wakeup, Some(end));
    assert_eq!(decide(&plan, &seen, end).actions, [Action::Kill { run: id, attempt: 1 }]);
    let again = |hours| {
        let late = now.checked_add(SignedDuration::from_hours(hours)).expect("near");
        decide(&plan, &seen, late).next_wakeup.expect("it is tried again").duration_since(late)
    };
    assert_eq!(again(10), SignedDuration::from_mins(5), "what a lost machine keeps is asked for less and less often");
}

#[test]
fn a_result_is_recorded_though_the_plan_has_its_run_no_longer() {
    let plan = some_plan();
    let now = Timestamp::from_second(1_800_000_000).expect("a time");
    let told = Some(Box::new(fake::result("left-over", 2, 80.0)));
    let state = AttemptState::Ended { reason: EndReason::Finished, at: now, result: told, message: String::new() };
    let run = ObservedRun { result: None, attempts: vec![Attempt { number: 2, state, forgiven: false }] };
    let seen = Observed { suspended: true, parallelism: None, runs: BTreeMap::from([("left-over".to_owned(), run)]) };
    let actions = decide(&plan, &seen, now).actions;
    assert!(matches!(&actions[..], [Action::Record { run, attempt: 2, .. }] if run == "left-over"), "{actions:?}");
    assert_eq!(decide(&plan, &foresee(&seen, &actions, now), now).actions, [], "once is enough");
}

#[test]
fn a_run_whose_job_is_deleted_as_fast_as_it_is_made_waits_longer_each_time_but_never_for_long() {
    let now = Timestamp::from_second(1_800_000_000).expect("a time");
    let lost = |number| {
        let mut attempt = ended(number, None, now);
        if let AttemptState::Ended { reason, .. } = &mut attempt.state {
            *reason = EndReason::Lost;
        }
        attempt
    };
    // Of free ends the status remembers only the last.
    let wait = |number| match (ObservedRun { result: None, attempts: vec![lost(number)] }).state(now) {
        RunState::BackingOff { until, .. } => until.duration_since(now).as_secs(),
        other => panic!("{other:?}"),
    };
    assert_eq!([1, 2, 3, 5, 50].map(wait), [2, 4, 8, 32, 32]);
}

#[test]
fn runs_start_in_the_order_of_the_plan_as_far_as_there_are_slots() {
    let plan = some_plan();
    let seen = Observed { parallelism: Some(2), ..Observed::default() };
    let decision = decide(&plan, &seen, Timestamp::UNIX_EPOCH);
    let start = |i: usize| Action::Start { run: plan.runs[i].run.id.clone(), attempt: 1 };
    assert_eq!(decision.actions, [start(0), start(1)]);
}
