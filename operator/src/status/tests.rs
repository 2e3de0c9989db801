//! The status at every station of a benchmark.

use mixbench_crds::benchmark::MixupBenchmark;
use mixbench_crds::exit::Exit;
use mixbench_crds::metric::{Metric, Score};
use strum::IntoEnumIterator;

use super::*;
use crate::decide::{Attempt, AttemptState};
use crate::{manifest, plan, validate};

fn some_plan() -> Plan {
    let text = include_str!("../../../crds/benchmarks/quickstart.yaml");
    plan::plan(&validate::check(&manifest::parse(text).expect("YAML")[0]).expect("good").1)
}

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).expect("a time")
}

fn context(before: Option<&BenchmarkStatus>) -> Context<'_> {
    Context { generation: Some(3), before, now: now() }
}

fn result(run: &str, correct1: u64) -> RunResult {
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

fn ended(exit: Option<Exit>) -> Attempt {
    let state = AttemptState::Ended { exit, at: now(), result: None, message: "the loss is not finite".into() };
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
fn before_the_first_run_everything_is_queued() {
    let status = status(&some_plan(), &Observed::default(), context(None));
    assert_eq!(status.summary, "0/6 done, 6 queued");
    assert_eq!(says(&status, "Progressing"), "True Queued");
    assert_eq!(says(&status, "Finished"), "False NotFinished");
    assert_eq!(says(&status, "GatePassed"), "Unknown NotFinished");
    assert_eq!((status.start_time, status.completion_time), (None, None));
}

#[test]
fn a_finished_benchmark_is_complete_and_without_references_its_gate_is_open() {
    let plan = some_plan();
    let status = status(&plan, &all_done(&plan), context(None));
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
    let status = status(&plan, &seen, context(None));
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
    assert_eq!(says(&status(&plan, &seen, context(None)), "Suspended"), "False Stopping");
    seen.runs.clear();
    let status = status(&plan, &seen, context(None));
    assert_eq!(says(&status, "Suspended"), "True Suspended");
    assert_eq!(says(&status, "Progressing"), "False Suspended");
}

#[test]
fn a_condition_keeps_its_time_until_its_status_changes() {
    let plan = some_plan();
    let first = status(&plan, &Observed::default(), context(None));
    let later = now().checked_add(jiff::SignedDuration::from_secs(60)).expect("near");
    let at = |s: &BenchmarkStatus, kind: &str| {
        s.conditions.iter().find(|c| c.type_ == kind).expect("a condition").last_transition_time.0
    };
    let second = status(&plan, &all_done(&plan), Context { generation: Some(3), before: Some(&first), now: later });
    assert_eq!(at(&second, "Accepted"), now());
    assert_eq!(at(&second, "Finished"), later);
}

#[test]
fn a_refused_manifest_says_so_and_keeps_what_was_recorded() {
    let plan = some_plan();
    let before = status(&plan, &all_done(&plan), context(None));
    let status = refused("spec.recipe.name: unknown recipe `x`", context(Some(&before)));
    assert_eq!(says(&status, "Accepted"), "False Invalid");
    assert_eq!(status.runs, before.runs);
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

#[test]
fn the_status_of_512_runs_fits_into_an_object() {
    let mut plan = some_plan();
    let (run, cell) = (plan.runs[0].clone(), plan.cells[0].clone());
    plan.cells = vec![cell; 512];
    plan.runs = (0..512)
        .map(|i| {
            let mut planned = run.clone();
            planned.cell = i;
            planned.run.id = format!("resnext101-32x4d-attentivemix-{i}-0123456789");
            planned
        })
        .collect();
    let mut seen = all_done(&plan);
    for run in seen.runs.values_mut() {
        run.attempts[0] = ended(Some(Exit::Diverged));
    }
    let text = include_str!("../../../crds/benchmarks/quickstart.yaml");
    let mut benchmark: MixupBenchmark = validate::check(&manifest::parse(text).expect("YAML")[0]).expect("good").0;
    benchmark.status = Some(status(&plan, &seen, context(None)));
    let bytes = serde_json::to_vec(&benchmark).expect("JSON").len();
    assert!(bytes <= 512 * 1024, "{bytes} bytes");
}
