//! Nothing but tests: `e2e` starts both programs as a person would, `node` has the operator start them in pods; both link only the contract.

use std::collections::BTreeMap;

use mixbench_crds::event::{Body, Epoch, Event};
use mixbench_crds::layout::RunDir;

/// What was said of a run, in all attempts.
pub fn events(run: &RunDir) -> Vec<Event> {
    let text = std::fs::read_to_string(run.events()).unwrap_or_default();
    text.lines().filter_map(|line| Event::parse(line).ok()).collect()
}

/// The epochs of a run, the last word on each, without the times: losses and counts agree to the bit or not at all.
pub fn epochs(run: &RunDir) -> BTreeMap<u32, Epoch> {
    let bodies = events(run).into_iter().map(|event| event.body);
    bodies
        .filter_map(|body| match body {
            Body::Epoch(epoch) => Some((epoch.score.epoch, Epoch { train_seconds: 0.0, eval_seconds: 0.0, ..epoch })),
            _ => None,
        })
        .collect()
}
