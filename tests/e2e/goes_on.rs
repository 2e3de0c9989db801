//! What is interrupted and goes on as if it had not been.

use mixbench_crds::event::Body;
use rustix::process::Signal;

use crate::bench::{Bench, came, epochs, events, processes_in, result, signal, until};

const BUILTIN: &str = "{uri: \"builtin:fashion-mnist-2k\"}";

#[test]
fn a_benchmark_that_is_stopped_and_then_killed_ends_as_an_undisturbed_one() {
    let calm = Bench::one_run(BUILTIN);
    assert_eq!(calm.run(&[]).code, 0);

    let bench = Bench::one_run(BUILTIN);
    // Ctrl-C during the first epoch.
    let running = bench.start();
    until(|| bench.runs().iter().any(|run| events(run).iter().any(|e| matches!(e.body, Body::Started(_)))));
    signal(running.id(), Signal::INT);
    let stopped = came(&running.wait_with_output().unwrap());
    assert_eq!(stopped.code, 3, "{stopped:?}");
    let run = &bench.runs()[0];
    assert!(events(run).iter().any(|e| matches!(e.body, Body::Stopped { .. })), "{stopped:?}");
    assert!(processes_in(&bench.out()).is_empty());

    // kill -9 of everything during the second.
    let running = bench.start();
    until(|| epochs(run).contains_key(&1));
    for pid in processes_in(&bench.out()) {
        signal(pid, Signal::KILL);
    }
    assert_eq!(came(&running.wait_with_output().unwrap()).code, -1);
    until(|| processes_in(&bench.out()).is_empty());

    let last = bench.run(&[]);
    assert_eq!(last.code, 0, "{last:?}");
    let (undisturbed, result) = (result(&calm.runs()[0]), result(run));
    assert!(result.attempt >= 2 && undisturbed.attempt == 1);
    assert_eq!(result.window, undisturbed.window);
    assert_eq!(epochs(run), epochs(&calm.runs()[0]), "losses agree to the bit");
}
