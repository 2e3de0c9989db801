//! What is said of a run while it runs. Pure.

use mixbench_crds::metric::percent;

use super::super::plan::duration;
use crate::decide::RunState;
use crate::history::Ledger;
use crate::plan::{Plan, PlannedRun};

/// A run's name for people.
pub(in crate::cli) fn name(plan: &Plan, planned: &PlannedRun) -> String {
    let cell = &plan.cells[planned.cell];
    format!("{} × {} #{}", cell.backbone, cell.label, planned.run.trial)
}

/// How far a run got: epochs and steps as a share of `1000 × epochs`.
pub(super) fn position(ledger: &Ledger) -> u64 {
    let done = ledger.epochs_done();
    let within = ledger.progress.filter(|p| p.position.epoch >= done && p.steps > 0);
    u64::from(done) * 1000 + within.map_or(0, |p| (1000 * p.position.step / p.steps).min(1000))
}

/// `epoch 3/6 · top-1 71.20 · 610 images/s · 32 s left`, as far as it is known.
pub(super) fn state(plan: &Plan, planned: &PlannedRun, ledger: &Ledger) -> String {
    let epochs = planned.run.spec.training.epochs;
    let mut parts = vec![format!("epoch {}/{epochs}", ledger.epochs_done())];
    parts.extend(ledger.top1(plan.metric).map(|top1| format!("top-1 {}", percent(top1))));
    parts.extend(ledger.images_per_second().map(|speed| format!("{speed:.0} images/s")));
    let left = ledger.seconds_left(epochs).filter(|_| ledger.epochs_done() < epochs);
    parts.extend(left.map(|s| format!("{} left", duration(s))));
    parts.join(" · ")
}

/// How far all runs together got.
pub(super) fn total<'a>(plan: &Plan, states: &[RunState], ledger: impl Fn(&str) -> Option<&'a Ledger>) -> String {
    let count = |wanted: fn(&RunState) -> bool| states.iter().filter(|s| wanted(s)).count();
    let mut parts = vec![format!("{}/{} runs finished", count(|s| matches!(s, RunState::Succeeded)), plan.runs.len())];
    let others = [
        (count(|s| matches!(s, RunState::Running { .. })), "running"),
        (count(|s| matches!(s, RunState::Stopping { .. })), "stopping"),
        (count(|s| matches!(s, RunState::BackingOff { .. })), "waiting to be tried again"),
        (count(|s| matches!(s, RunState::Failed { .. })), "failed"),
    ];
    parts.extend(others.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")));
    parts.extend(seconds_left(plan, states, ledger).map(|s| format!("about {} left", duration(s))));
    parts.join(" · ")
}

/// Seconds until all runs are done, if each epoch takes what one took so far with its backbone, else with any; none before the first.
fn seconds_left<'a>(plan: &Plan, states: &[RunState], ledger: impl Fn(&str) -> Option<&'a Ledger>) -> Option<f64> {
    let of_epoch = |backbone: Option<&str>| {
        let runs = plan.runs.iter().filter(|r| backbone.is_none_or(|b| b == r.run.spec.backbone.name));
        let epochs: Vec<f64> = runs
            .filter_map(|r| ledger(&r.run.id))
            .flat_map(|l| l.epochs.values().map(|e| e.train_seconds + e.eval_seconds))
            .collect();
        (!epochs.is_empty()).then(|| epochs.iter().sum::<f64>() / epochs.len() as f64)
    };
    let any = of_epoch(None)?;
    let mut total = 0.0;
    let mut longest: f64 = 0.0;
    for (planned, state) in plan.runs.iter().zip(states) {
        if matches!(state, RunState::Succeeded | RunState::Failed { .. }) {
            continue;
        }
        let done = ledger(&planned.run.id).map_or(0.0, |l| position(l) as f64 / 1000.0);
        let each = of_epoch(Some(&planned.run.spec.backbone.name)).unwrap_or(any);
        let left = (f64::from(planned.run.spec.training.epochs) - done).max(0.0) * each;
        total += left;
        longest = longest.max(left);
    }
    (total > 0.0).then(|| (total / f64::from(plan.parallelism)).max(longest))
}

/// Why cores stay idle, where they do and something can be done.
pub(super) fn idle(plan: &Plan, cores: usize) -> Option<String> {
    let world = &plan.runs.first()?.run.spec.world;
    if world.gpus_per_node > 0 {
        return None;
    }
    let each = (world.local_size() * world.threads_per_process).max(1) as usize;
    let at_once = (plan.parallelism as usize).min(plan.runs.len());
    let used = at_once * each;
    if used >= cores {
        return None;
    }
    let more = (cores / each).min(plan.runs.len());
    let remedy = if more > at_once {
        format!("--parallelism {more} uses more")
    } else {
        "more threadsPerProcess under `trainer` would use more, as other runs: the thread count is part of a result"
            .to_owned()
    };
    Some(format!("{used} of {cores} cores are used; {remedy}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::fixture::plan;
    use mixbench_crds::event::{Body, EVENT_VERSION, Epoch, Event};
    use mixbench_crds::metric::Score;

    fn ledger(epochs: u32) -> Ledger {
        let mut ledger = Ledger::default();
        for epoch in 1..=epochs {
            let body = Body::Epoch(Epoch {
                score: Score { epoch, correct1: 50 + u64::from(epoch), correct5: 100 },
                n: 100,
                train_loss: 1.0,
                lr: 0.1,
                images: 2000,
                train_seconds: 8.0,
                eval_seconds: 2.0,
            });
            let (version, run, nonce) = (EVENT_VERSION, "r".to_owned(), String::new());
            ledger.push(&Event { version, run, attempt: 1, nonce, time: 1, body });
        }
        ledger
    }

    #[test]
    fn a_run_says_as_much_as_is_known() {
        let plan = plan(1, 1);
        assert_eq!(state(&plan, &plan.runs[0], &ledger(0)), "epoch 0/8");
        assert_eq!(state(&plan, &plan.runs[0], &ledger(2)), "epoch 2/8 · top-1 52.00 · 250 images/s · 1 min 0 s left");
        assert_eq!(position(&ledger(2)), 2000);
    }

    #[test]
    fn the_whole_is_as_long_as_its_runs_by_parallelism() {
        let plan = plan(2, 2);
        let ledger = ledger(3);
        let mut states = vec![RunState::Queued; 4];
        states[0] = RunState::Running { attempt: 1 };
        let first = plan.runs[0].run.id.clone();
        let text = total(&plan, &states, |id| (id == first).then_some(&ledger));
        // 5 epochs are left of the first run and 8 of three others, 10 s each, two at once.
        assert_eq!(text, "0/4 runs finished · 1 running · about 2 min 25 s left");
    }

    #[test]
    fn idle_cores_are_told_with_a_remedy() {
        let plan = plan(3, 2);
        assert_eq!(idle(&plan, 2), None);
        assert!(idle(&plan, 4).expect("two are idle").contains("--parallelism 4"));
        let mut wide = plan.clone();
        wide.runs.iter_mut().for_each(|r| r.run.spec.world.processes_per_node = 3);
        wide.parallelism = 1;
        assert!(idle(&wide, 4).expect("one is idle").contains("threadsPerProcess"));
    }
}
