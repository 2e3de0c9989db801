//! The status at every station of a benchmark.

use mixbench_crds::benchmark::{EndReason, MixupBenchmark};
use mixbench_crds::exit::Exit;
use mixbench_crds::metric::{Metric, Score};
use strum::IntoEnumIterator;

use super::*;
use crate::decide::{Attempt, AttemptState};
use crate::{manifest, plan, validate};

pub(super) fn some_benchmark() -> MixupBenchmark {
    let text = include_str!("../../../crds/benchmarks/quickstart.yaml");
    let mut benchmark = validate::check(&manifest::parse(text).expect("YAML")[0]).expect("good").0;
    benchmark.metadata.uid = Some("uid-1".into());
    benchmark.metadata.generation = Some(3);
    benchmark
}

pub(super) fn some_plan() -> Plan {
    plan::plan(&validate::validate(&some_benchmark()).expect("good"))
}

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).expect("a time")
}

/// The status after a turn that sees this, where `before` stood.
pub(super) fn seen_at(
    at: Timestamp,
    plan: &Plan,
    seen: &Observed,
    before: Option<&BenchmarkStatus>,
) -> BenchmarkStatus {
    let benchmark = MixupBenchmark { status: before.cloned(), ..some_benchmark() };
    let context = Context { benchmark: &benchmark, now: at, troubles: &[], progress: &BTreeMap::new() };
    super::status(plan, seen, context)
}

fn status(plan: &Plan, seen: &Observed) -> BenchmarkStatus {
    seen_at(now(), plan, seen, None)
}

fn troubled(plan: &Plan, seen: &Observed, troubles: &[Trouble]) -> BenchmarkStatus {
    let benchmark = some_benchmark();
    super::status(plan, seen, Context { benchmark: &benchmark, now: now(), troubles, progress: &BTreeMap::new() })
}

pub(super) fn result(run: &str, correct1: u64) -> RunResult {
    RunResult {
        version: mixbench_crds::result::RESULT_VERSION,
        run: run.into(),
        nonce: String::new(),
        attempt: 1,
        metric: Metric::Last,
        window: vec![Score { epoch: 6, correct1, correct5: 990 }],
        epochs: 6,
        n: 1000,
        images: 12_288,
        train_seconds: 20.4,
        data_fingerprint: String::new(),
        parameters: 1,
        device: "cpu".into(),
        libtorch: "2.11.0".into(),
        checkpoint: None,
    }
}

pub(super) fn ended(exit: Option<Exit>) -> Attempt {
    let state =
        AttemptState::Ended { reason: exit.into(), at: now(), result: None, message: "the loss is not finite".into() };
    Attempt { number: 1, state, forgiven: false }
}

fn all_done(plan: &Plan) -> Observed {
    let runs = plan.runs.iter().enumerate().map(|(i, r)| {
        let result = Some(result(&r.run.id, 800 + i as u64));
        (r.run.id.clone(), ObservedRun { result, attempts: vec![ended(Some(Exit::Ok))] })
    });
    Observed { runs: runs.collect(), ..Observed::default() }
}

fn says(status: &BenchmarkStatus, kind: &str) -> String {
    let c = status.conditions.iter().find(|c| c.type_ == kind).expect("a condition");
    format!("{} {}", c.status, c.reason)
}

#[test]
fn what_is_about_to_start_is_announced_and_the_rest_is_queued() {
    let status = status(&some_plan(), &Observed { suspended: true, ..Observed::default() });
    assert_eq!(status.summary, "0/6 done, 6 queued");
    assert_eq!((status.start_time, status.completion_time), (None, None));

    let status = super::tests::status(&some_plan(), &Observed::default());
    assert_eq!(status.summary, "0/6 done, 1 running, 5 queued");
    assert_eq!(says(&status, "Progressing"), "True RunsActive");
    assert_eq!(says(&status, "Finished"), "False NotFinished");
    assert_eq!(says(&status, "GatePassed"), "Unknown NotFinished");
    let first = &status.runs[0];
    assert_eq!((first.attempt, first.state), (1, RunPhase::Running));
    assert_eq!(first.job, Some(names::job_name("quickstart", "uid-1", &first.id, 1)));
    assert_eq!((status.start_time, status.completion_time), (Some(Time(now())), None));
}

#[test]
fn a_result_stands_in_the_very_status_that_ends_the_benchmark() {
    let plan = some_plan();
    let mut seen = all_done(&plan);
    let id = plan.runs[0].run.id.clone();
    let state = AttemptState::Ended {
        reason: EndReason::Finished,
        at: now(),
        result: Some(Box::new(result(&id, 800))),
        message: String::new(),
    };
    seen.runs.insert(id, ObservedRun { result: None, attempts: vec![Attempt { number: 1, state, forgiven: false }] });
    let status = status(&plan, &seen);
    assert_eq!(says(&status, "Finished"), "True AllRecorded");
    assert_eq!(record::results(&status).len(), 6);
}

#[test]
fn a_finished_benchmark_is_complete_and_without_references_its_gate_is_open() {
    let plan = some_plan();
    let status = status(&plan, &all_done(&plan));
    assert_eq!(status.summary, "6/6 done");
    assert_eq!(status.best, "resnet20 cutmix 80.35");
    assert_eq!(says(&status, "Complete"), "True AllRecorded");
    assert_eq!(says(&status, "Failed"), "False AllRecorded");
    assert_eq!(says(&status, "Finished"), "True AllRecorded");
    assert_eq!(says(&status, "GatePassed"), "True NoReference");
    assert_eq!(status.runs[0].top1.as_deref(), Some("80.00"));
    assert_eq!(status.cells[0].mean.as_deref(), Some("80.15"));
    assert_eq!(status.completion_time, Some(Time(now())));
}

#[test]
fn a_failed_run_ends_in_failed_and_finished() {
    let plan = some_plan();
    let mut seen = all_done(&plan);
    let run = ObservedRun { result: None, attempts: vec![ended(Some(Exit::Diverged))] };
    seen.runs.insert(plan.runs[0].run.id.clone(), run);
    let status = status(&plan, &seen);
    assert_eq!(says(&status, "Failed"), "True RunsFailed");
    assert_eq!(says(&status, "Complete"), "False RunsFailed");
    assert_eq!(says(&status, "Finished"), "True RunsFailed");
    assert_eq!(says(&status, "GatePassed"), "False RunsFailed");
    assert_eq!(says(&status, "Degraded"), "True RunsFailing");
    assert_eq!(status.runs[0].message.as_deref(), Some("the loss is not finite"));
}

#[test]
fn suspended_is_true_once_nothing_is_live() {
    let plan = some_plan();
    let state = AttemptState::Stopping { since: now() };
    let run = ObservedRun { result: None, attempts: vec![Attempt { number: 1, state, forgiven: false }] };
    let runs = BTreeMap::from([(plan.runs[0].run.id.clone(), run)]);
    let mut seen = Observed { suspended: true, parallelism: None, runs };
    assert_eq!(says(&status(&plan, &seen), "Suspended"), "False Stopping");
    seen.runs.clear();
    let status = status(&plan, &seen);
    assert_eq!(says(&status, "Suspended"), "True Suspended");
    assert_eq!(says(&status, "Progressing"), "False Suspended");
}

#[test]
fn a_condition_keeps_its_time_until_its_status_changes() {
    let plan = some_plan();
    let first = status(&plan, &Observed::default());
    let later = now().checked_add(jiff::SignedDuration::from_secs(60)).expect("near");
    let at = |s: &BenchmarkStatus, kind: &str| {
        s.conditions.iter().find(|c| c.type_ == kind).expect("a condition").last_transition_time.0
    };
    let second = seen_at(later, &plan, &all_done(&plan), Some(&first));
    assert_eq!(at(&second, "Accepted"), now());
    assert_eq!(at(&second, "Finished"), later);
}

#[test]
fn a_refused_manifest_says_so_and_keeps_what_was_recorded() {
    let plan = some_plan();
    let before = status(&plan, &all_done(&plan));
    let benchmark = MixupBenchmark { status: Some(before.clone()), ..some_benchmark() };
    let context = Context { benchmark: &benchmark, now: now(), troubles: &[], progress: &BTreeMap::new() };
    let status = refused(Reason::Invalid, "spec.recipe.name: unknown recipe `x`", context);
    assert_eq!(says(&status, "Accepted"), "False Invalid");
    assert_eq!(status.runs, before.runs);
}

#[test]
fn the_worst_trouble_names_the_condition_and_every_run_that_has_it() {
    let plan = some_plan();
    let trouble = |kind, run: usize, message: &str| Trouble {
        kind,
        run: Some(plan.runs[run].run.id.clone()),
        message: message.into(),
    };
    let troubles = [
        trouble(TroubleKind::WaitingForCapacity, 0, "0/1 nodes are available"),
        trouble(TroubleKind::ImagePull, 1, "no such image"),
        trouble(TroubleKind::ImagePull, 2, "no such image"),
        trouble(TroubleKind::ApiErrors, 3, "etcd"),
    ];
    let status = troubled(&plan, &Observed::default(), &troubles);
    assert_eq!(says(&status, "Degraded"), "True ImagePull");
    let degraded = status.conditions.iter().find(|c| c.type_ == "Degraded").expect("a condition");
    assert_eq!(degraded.message, format!("{}, {}: no such image", plan.runs[1].run.id, plan.runs[2].run.id));
    assert_eq!(says(&status, "Progressing"), "True WaitingForCapacity");
    let only_waiting = troubled(&plan, &Observed::default(), &troubles[..1]);
    assert_eq!(says(&only_waiting, "Degraded"), "False Healthy");
}

#[test]
fn a_start_is_told_by_the_clock_of_the_api_server_where_the_two_differ_much() {
    let plan = some_plan();
    let first = status(&plan, &Observed::default());
    let live = |since: i64| {
        let since = Timestamp::from_second(since).expect("a time");
        let attempt = Attempt { number: 1, state: AttemptState::Running { since }, forgiven: false };
        let run = ObservedRun { result: None, attempts: vec![attempt] };
        Observed { runs: BTreeMap::from([(plan.runs[0].run.id.clone(), run)]), ..Observed::default() }
    };
    let start =
        |since| seen_at(now(), &plan, &live(since), Some(&first)).runs[0].start_time.clone().expect("started").0;
    assert_eq!(start(now().as_second() + 2), now(), "not worth a write");
    assert_eq!(start(now().as_second() - 3600).as_second(), now().as_second() - 3600);
}

#[test]
fn reasons_are_words_that_kubernetes_takes() {
    for reason in Reason::iter() {
        let word: &str = reason.into();
        assert!(
            word.chars().all(char::is_alphanumeric) && word.starts_with(|c: char| c.is_ascii_uppercase()),
            "{word}"
        );
    }
}
