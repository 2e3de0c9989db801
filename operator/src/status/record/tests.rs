//! What a status remembers is what was told to it, and 512 runs of it fit into an object.

use mixbench_crds::benchmark::{MAX_RUNS, MixupBenchmark, RunPhase};
use mixbench_crds::exit::Exit;
use proptest::prelude::*;

use super::super::tests::{ended, result, seen_at, some_benchmark, some_plan};
use super::*;
use crate::decide::Observed;
use crate::plan::Plan;

fn some_metric() -> impl Strategy<Value = Metric> {
    prop_oneof![Just(Metric::Last), Just(Metric::Best), (1_u32..20).prop_map(|epochs| Metric::MedianLast { epochs })]
}

/// A result that passes its checks.
fn some_result() -> impl Strategy<Value = RunResult> {
    let window = proptest::collection::vec((1_u32..=300, 0_u64..=50_000, 0_u64..=50_000), 1..12);
    let words = ("[0-9a-f]{64}", "[ -~]{0,60}", "[0-9.a-z+]{1,16}", proptest::option::of("[a-z/0-9.-]{1,60}"));
    let numbers = (1_u32..9, any::<u32>(), 0.0_f64..1e9, any::<u32>());
    (some_metric(), window, words, numbers).prop_map(|(metric, window, words, (attempt, images, seconds, size))| {
        let (data_fingerprint, device, libtorch, checkpoint) = words;
        let score = |(epoch, a, b): (u32, u64, u64)| Score { epoch, correct1: a.min(b), correct5: a.max(b) };
        RunResult {
            attempt,
            metric,
            window: window.into_iter().map(score).collect(),
            epochs: 300,
            n: 50_000,
            images: images.into(),
            train_seconds: seconds,
            data_fingerprint,
            parameters: size.into(),
            device,
            libtorch,
            checkpoint,
            ..result("resnet20-mixup-0-d2a8809256", 1)
        }
    })
}

proptest! {
    #[test]
    fn a_result_comes_back_as_it_was(results in proptest::collection::vec(some_result(), 1..6)) {
        let mut environments = Vec::new();
        let rows: Vec<ResultRow> = results.iter().map(|r| result_row(r, &mut environments)).collect();
        for (row, result) in rows.into_iter().zip(results) {
            let row = RunStatus { result: Some(row), ..empty_row(&result.run) };
            let text = serde_json::to_string(&row).expect("JSON");
            let row: RunStatus = serde_json::from_str(&text).expect("the same JSON");
            let back = remembered(&row, &environments).expect("readable").run.result.expect("a result");
            prop_assert_eq!(back.top1().to_bits(), result.top1().to_bits());
            prop_assert_eq!(back, result);
        }
    }
}

fn empty_row(id: &str) -> RunStatus {
    RunStatus {
        id: id.to_owned(),
        state: RunPhase::Queued,
        attempt: 0,
        job: None,
        start_time: None,
        completion_time: None,
        top1: None,
        top5: None,
        train_seconds: None,
        progress: None,
        message: None,
        ends: Vec::new(),
        result: None,
        unplanned: false,
    }
}

/// The same run after its Jobs, its pods and the operator are gone.
fn after_everything_is_gone(plan: &Plan, seen: &ObservedRun, at: Timestamp) -> Remembered {
    let id = &plan.runs[0].run.id;
    let runs = BTreeMap::from([(id.clone(), seen.clone())]);
    let status = seen_at(at, plan, &Observed { suspended: true, runs, ..Observed::default() }, None);
    remembered(&status.runs[0], &status.environments).expect("readable")
}

fn end_of(number: u32, reason: EndReason, at: Timestamp) -> Attempt {
    let state = AttemptState::Ended { reason, at, result: None, message: format!("end {number}") };
    Attempt { number, state, forgiven: false }
}

#[test]
fn budgets_and_waits_are_the_same_after_everything_is_gone() {
    let (plan, now) = (some_plan(), Timestamp::from_second(1_800_000_000).expect("a time"));
    let reasons = EndReason::ALL;
    for (i, first) in reasons.iter().enumerate() {
        for second in reasons {
            for third in [reasons[(i + 5) % reasons.len()], EndReason::Lost] {
                let all = [*first, second, third].into_iter().zip(1..).map(|(r, n)| end_of(n, r, now));
                let seen = ObservedRun { result: None, attempts: all.collect() };
                let back = after_everything_is_gone(&plan, &seen, now);
                assert_eq!(back.open, None);
                assert_eq!(back.run.last_number(), 3);
                for wait in [0, 3, 7, 15, 31] {
                    let at = now.checked_add(jiff::SignedDuration::from_secs(wait)).expect("near");
                    assert_eq!(back.run.state(at), seen.state(at), "{first:?} {second:?} {third:?} after {wait} s");
                }
            }
        }
    }
}

#[test]
fn an_attempt_that_was_started_and_did_not_end_is_open() {
    let (plan, now) = (some_plan(), Timestamp::from_second(1_800_000_000).expect("a time"));
    let live = Attempt { number: 2, state: AttemptState::Running { since: now }, forgiven: false };
    let seen = ObservedRun { result: None, attempts: vec![end_of(1, EndReason::Disrupted, now), live] };
    let back = after_everything_is_gone(&plan, &seen, now);
    assert_eq!(back.open.map(|(n, _)| n), Some(2));
    assert_eq!(back.run.attempts, [end_of(1, EndReason::Disrupted, now)]);
}

#[test]
fn a_recorded_run_stays_so_and_keeps_its_number() {
    let (plan, now) = (some_plan(), Timestamp::from_second(1_800_000_000).expect("a time"));
    let result = RunResult { attempt: 2, ..result(&plan.runs[0].run.id, 801) };
    let attempts = vec![end_of(1, EndReason::Io, now), end_of(2, EndReason::Finished, now)];
    let back = after_everything_is_gone(&plan, &ObservedRun { result: Some(result.clone()), attempts }, now);
    assert_eq!((back.run.last_number(), back.run.last_end(), back.open), (2, Some(now), None));
    assert_eq!(back.run.result, Some(result));
}

#[test]
fn a_result_that_cannot_be_read_is_neither_done_nor_forgotten() {
    let mut environments = Vec::new();
    let good = result_row(&result("r", 1), &mut environments);
    let error = |kept: ResultRow| {
        let row = RunStatus { result: Some(kept), ..empty_row("r") };
        remembered(&row, &environments).expect_err("unreadable").to_string()
    };
    assert!(error(ResultRow { metric: "mean".into(), ..good.clone() }).contains("metric is `mean`"));
    assert!(error(ResultRow { scores: "6:1".into(), ..good.clone() }).contains("scores is `6:1`"));
    assert!(error(ResultRow { environment: 7, ..good.clone() }).contains("environment is `7`"));
    assert!(error(ResultRow { n: 1, ..good }).contains("out of range"));
}

#[test]
fn a_result_that_the_plan_has_no_run_for_is_kept_and_counts_nowhere() {
    let (plan, now) = (some_plan(), Timestamp::from_second(1_800_000_000).expect("a time"));
    let id = "resnet20-mixup-0-0000000000";
    let run = ObservedRun { result: Some(result(id, 800)), attempts: vec![end_of(1, EndReason::Finished, now)] };
    let runs = BTreeMap::from([(id.to_owned(), run)]);
    let status = seen_at(now, &plan, &Observed { suspended: true, runs, ..Observed::default() }, None);
    let row = status.runs.last().expect("a row");
    assert!(row.unplanned && row.state == RunPhase::Succeeded && row.id == id);
    assert_eq!((status.total, status.succeeded, status.summary.as_str()), (6, 0, "0/6 done, 6 queued"));
    assert_eq!(results(&status).get(id).map(RunResult::top1), Some(80.0));
}

/// A benchmark with as many runs as there may be, each in a cell of its own and everything as long as it gets.
fn widest(seen: impl Fn(&str, usize) -> ObservedRun) -> MixupBenchmark {
    let mut plan = some_plan();
    let (run, cell) = (plan.runs[0].clone(), plan.cells[0].clone());
    plan.cells = (0..MAX_RUNS).map(|_| cell.clone()).collect();
    plan.runs = (0..MAX_RUNS as usize)
        .map(|i| {
            let mut planned = run.clone();
            planned.cell = i;
            planned.run.id = format!("resnext101-32x4d-attentivemix-{i}-0123456789");
            planned
        })
        .collect();
    for cell in &mut plan.cells {
        cell.backbone = "resnext101-32x4d".into();
        cell.label = "attentivemix with alpha 0.2 and more".into();
        cell.reference = crate::plan::Reference::Known { top1: 79.27, source: "published".into() };
    }
    let seen: BTreeMap<String, ObservedRun> =
        plan.runs.iter().enumerate().map(|(i, r)| (r.run.id.clone(), seen(&r.run.id, i))).collect();
    let now = Timestamp::from_second(1_800_000_000).expect("a time");
    let mut benchmark = some_benchmark();
    benchmark.status = Some(seen_at(now, &plan, &Observed { runs: seen, ..Observed::default() }, None));
    benchmark
}

fn bytes(benchmark: &MixupBenchmark) -> usize {
    serde_json::to_vec(benchmark).expect("JSON").len()
}

#[test]
fn the_status_of_512_runs_that_succeeded_fits_into_an_object() {
    let now = Timestamp::from_second(1_800_000_000).expect("a time");
    let widest = widest(|id, i| {
        let score = |epoch| Score { epoch, correct1: 39_000 + i as u64, correct5: 49_876 };
        let result = RunResult {
            attempt: 4,
            metric: Metric::MedianLast { epochs: 10 },
            window: (291..=300).map(score).collect(),
            epochs: 300,
            n: 50_000,
            images: 384_350_100,
            train_seconds: 123_456.789_012_345_67,
            data_fingerprint: "9c".repeat(32),
            parameters: 44_177_704,
            device: format!("NVIDIA H100 80GB HBM3, driver 580.95.{:02}", i % 16),
            libtorch: "2.11.0+cu128".into(),
            checkpoint: Some("checkpoints/epoch-0300-step-000000.safetensors".into()),
            ..result(id, 1)
        };
        ObservedRun { result: Some(result), attempts: vec![end_of(4, EndReason::Finished, now)] }
    });
    let status = widest.status.as_ref().expect("a status");
    assert_eq!((status.succeeded, status.environments.len()), (512, 16));
    assert!(bytes(&widest) <= 512 * 1024, "{} bytes", bytes(&widest));
}

#[test]
fn the_status_of_512_runs_that_failed_at_length_fits_into_an_object() {
    let now = Timestamp::from_second(1_800_000_000).expect("a time");
    let widest = widest(|_, _| {
        let mut last = ended(Some(Exit::OutOfMemory));
        last.number = 1004;
        if let AttemptState::Ended { message, .. } = &mut last.state {
            *message = "\"\u{1b}é\\".repeat(4096);
        }
        let earlier = (1001..1004).map(|n| end_of(n, EndReason::Collective, now));
        ObservedRun { result: None, attempts: earlier.chain([last]).collect() }
    });
    let status = widest.status.as_ref().expect("a status");
    assert_eq!((status.failed, status.runs[0].ends.len()), (512, 4));
    assert!(bytes(&widest) <= 512 * 1024, "{} bytes", bytes(&widest));
}
