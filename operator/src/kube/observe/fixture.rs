//! Jobs and pods as an API server shows them.

use std::sync::LazyLock;

use k8s_openapi::api::batch::v1::{Job, JobCondition};
use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use mixbench_crds::event::{Body, Position};
use mixbench_crds::exit::Exit;
use mixbench_crds::result::RunResult;

use super::super::job::{Defaults, attempt, job};
use super::*;
use crate::backend::fake;
use crate::{manifest, plan, validate};

pub(super) const UID: &str = "0b1a2f6e-6f6b-4b52-8d43-0d2f6c1a9e11";

pub(super) fn now() -> Timestamp {
    at(0)
}

/// So many seconds from now.
pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).expect("a time")
}

/// The quickstart, with storage or without.
pub(super) fn benchmark(storage: bool) -> MixupBenchmark {
    let text = include_str!("../../../../crds/benchmarks/quickstart.yaml");
    let mut benchmark = validate::check(&manifest::parse(text).expect("YAML")[0]).expect("good").0;
    benchmark.metadata.namespace = Some("team".into());
    benchmark.metadata.uid = Some(UID.into());
    if storage {
        let volume = serde_json::json!({"claimName": "results"});
        benchmark.spec.storage.volume = serde_json::from_value(volume).expect("a volume");
    }
    benchmark
}

/// Its plan, which storage does not change.
pub(super) fn the_plan() -> &'static Plan {
    static PLAN: LazyLock<Plan> = LazyLock::new(|| plan::plan(&validate::validate(&benchmark(false)).expect("good")));
    &PLAN
}

/// Run `index` as its attempt `number` gets it.
fn made(benchmark: &MixupBenchmark, index: usize, number: u32) -> Run {
    attempt(benchmark, &the_plan().runs[index].run, number)
}

/// The Job of an attempt of run `index`, just created and started.
pub(super) fn started(benchmark: &MixupBenchmark, index: usize, number: u32, since: Timestamp) -> Job {
    let run = made(benchmark, index, number);
    let mut job = job(benchmark, &run, &Defaults { image: "trainer".into(), pull_policy: None });
    job.metadata.uid = Some(format!("uid-of-{}", job.metadata.name.as_deref().expect("a name")));
    job.metadata.creation_timestamp = Some(Time(since));
    job.status.get_or_insert_default().start_time = Some(Time(since));
    job
}

/// The Job with its last condition.
pub(super) fn over(mut job: Job, kind: &str, message: &str, at: Timestamp) -> Job {
    let condition = JobCondition {
        type_: kind.into(),
        status: "True".into(),
        reason: Some(if kind == "Failed" { "PodFailurePolicy" } else { "SuccessPolicy" }.into()),
        message: Some(message.into()),
        last_transition_time: Some(Time(at)),
        ..JobCondition::default()
    };
    job.status.get_or_insert_default().conditions = Some(vec![condition]);
    job
}

pub(super) fn deleted(mut job: Job, at: Timestamp) -> Job {
    job.metadata.deletion_timestamp = Some(Time(at));
    job
}

/// The running pod of machine `index`.
pub(super) fn pod(job: &Job, index: u32) -> Pod {
    let template = job.spec.as_ref().expect("a spec").template.metadata.clone().expect("metadata");
    let name = job.metadata.name.clone().expect("a name");
    let mut labels = template.labels.expect("labels");
    labels.insert(names::JOB_NAME.into(), name.clone());
    labels.insert(names::COMPLETION_INDEX.into(), index.to_string());
    let owner = OwnerReference {
        api_version: "batch/v1".into(),
        kind: "Job".into(),
        name: name.clone(),
        uid: job.metadata.uid.clone().expect("a UID"),
        controller: Some(true),
        block_owner_deletion: Some(true),
    };
    let mut pod = Pod {
        metadata: ObjectMeta {
            name: Some(format!("{name}-{index}-x")),
            labels: Some(labels),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        ..Pod::default()
    };
    pod.status.get_or_insert_default().phase = Some("Running".into());
    pod
}

/// The pod once its trainer has ended.
pub(super) fn ended(mut pod: Pod, code: i32, reason: &str, message: &str) -> Pod {
    let terminated = ContainerStateTerminated {
        exit_code: code,
        reason: Some(reason.into()),
        message: Some(message.to_owned()).filter(|m| !m.is_empty()),
        finished_at: Some(Time(now())),
        ..ContainerStateTerminated::default()
    };
    let container = ContainerStatus {
        name: names::CONTAINER.into(),
        state: Some(ContainerState { terminated: Some(terminated), ..ContainerState::default() }),
        ..ContainerStatus::default()
    };
    let status = pod.status.get_or_insert_default();
    status.phase = Some(if code == 0 { "Succeeded" } else { "Failed" }.into());
    status.container_statuses = Some(vec![container]);
    pod
}

/// The pod with a condition.
pub(super) fn with_condition(mut pod: Pod, kind: &str, status: &str, reason: &str, message: &str) -> Pod {
    pod.status.get_or_insert_default().conditions.get_or_insert_default().push(PodCondition {
        type_: kind.into(),
        status: status.into(),
        reason: Some(reason.into()),
        message: Some(message.into()),
        ..PodCondition::default()
    });
    pod
}

/// The result of an attempt, and what it says last.
pub(super) fn finished(benchmark: &MixupBenchmark, index: usize, number: u32) -> (RunResult, String) {
    let run = made(benchmark, index, number);
    let result = fake::trained(&run, 70.0 + f64::from(number) / 10.0);
    let said = word(&run, Body::Finished { result: result.clone() });
    (result, said)
}

/// How an attempt says that it failed.
pub(super) fn failed(benchmark: &MixupBenchmark, index: usize, number: u32, exit: Exit, message: &str) -> String {
    let run = made(benchmark, index, number);
    word(&run, Body::Failed { exit, message: message.into(), rank: None })
}

/// How an attempt says that it was stopped.
pub(super) fn stopped(benchmark: &MixupBenchmark, index: usize, number: u32) -> String {
    let run = made(benchmark, index, number);
    word(&run, Body::Stopped { position: Position::default(), checkpoint: None })
}

fn word(run: &Run, body: Body) -> String {
    fake::said(run, body).to_termination()
}

/// What is seen of a benchmark with these Jobs and pods, which are all that there are.
pub(super) fn look(benchmark: &MixupBenchmark, jobs: &[Job], pods: &[Pod], gone: &[&str]) -> Picture {
    let listed = jobs.iter().filter_map(|job| job.metadata.name.clone()).collect();
    look_at(benchmark, jobs, pods, gone, &listed)
}

/// The same, where the API server has listed the pods of these Jobs only.
pub(super) fn look_at(
    benchmark: &MixupBenchmark,
    jobs: &[Job],
    pods: &[Pod],
    gone: &[&str],
    listed: &BTreeSet<String>,
) -> Picture {
    let jobs: Vec<Arc<Job>> = jobs.iter().cloned().map(Arc::new).collect();
    let pods: Vec<Arc<Pod>> = pods.iter().cloned().map(Arc::new).collect();
    let gone = gone.iter().map(|name| (*name).to_owned()).collect();
    let never = BTreeSet::new();
    let seen = Seen { benchmark, plan: the_plan(), jobs: &jobs, pods: &pods, gone: &gone, listed, never: &never };
    observe(&seen, now()).expect("readable")
}
