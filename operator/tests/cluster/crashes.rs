//! The operator dies, at any moment.

use futures::StreamExt;
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use kube::api::PostParams;
use mixbench::kube::names;
use mixbench_crds::benchmark::EndReason;
use rustix::process::Signal;
use serde_json::json;

use crate::support::bench::{run_of, spec, with, with_storage};
use crate::support::control::Control;
use crate::support::proxy::Fault;
use crate::support::stage::{LEASE, Stage, is, reason};
use crate::support::trained::{Trained, assert_right, finished};

/// Two runs, one after the other.
fn one_by_one() -> serde_json::Value {
    with(spec(&["vanilla", "cutmix"]), json!({"parallelism": 1}))
}

/// Calls that a benchmark of two runs takes from the operator's start to the last TTL.
async fn calls_of_a_whole_benchmark() -> usize {
    let stage = Stage::new().await;
    let _playing = stage.kubelet.play(Trained::default().finishing());
    stage.create("smoke", one_by_one()).await;
    stage.finished("smoke").await;
    let ttl = |jobs: &[Job]| jobs.iter().all(|j| j.spec.as_ref().unwrap().ttl_seconds_after_finished.is_some());
    stage.all("Jobs get their TTL", ttl).await;
    stage.rest(1).await;
    stage.proxy.calls().len()
}

/// The operator dies at its call number `nth`, and another one takes over: all the same every run is trained once.
async fn dies_at(nth: usize, fault: Fault) {
    let mut stage = Stage::without_operator(&Control::shared()).await;
    let mut struck = stage.proxy.fail_after(nth, 1, fault, |_| true);
    let trained = Trained::default();
    let _playing = stage.kubelet.play(trained.finishing());
    stage.create("smoke", one_by_one()).await;
    stage.start_operator(&[]);
    struck.reach(1).await;
    stage.restart_operator();
    let status = stage.finished("smoke").await;
    assert_right(&status);
    trained.assert_once(2);
    let jobs = stage.list::<Job>().await;
    assert!(jobs.len() <= 2, "after a death at call {nth} ({fault:?}): {:?}", stage.proxy.calls());
}

async fn dies_everywhere(fault: Fault) {
    let calls = calls_of_a_whole_benchmark().await;
    assert!(calls > 10, "{calls}");
    // The last few may not come to pass in every order of events, and nothing would wait for them.
    futures::stream::iter(0..calls - 2).map(|nth| dies_at(nth, fault)).buffer_unordered(6).collect::<()>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_01_a_crash_before_any_call_to_the_api_server() {
    dies_everywhere(Fault::Hang).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_01_a_crash_after_any_call_to_the_api_server() {
    dies_everywhere(Fault::HangAfterCommit).await;
}

#[tokio::test]
async fn row_01_a_name_that_is_taken() {
    let mut stage = Stage::without_operator(&Control::shared()).await;
    let trained = Trained::default();
    let created = stage.create("smoke", spec(&["vanilla"])).await;
    // What the operator would call its first Job: another's stands there already.
    let plan = mixbench::plan::plan(&mixbench::validate::validate(&created).unwrap());
    let name = names::job_name("smoke", &created.uid().unwrap(), &plan.runs[0].run.id, 1);
    let container = json!({"name": "c", "image": "none"});
    let foreign = json!({"metadata": {"name": name}, "spec": {"suspend": true,
        "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}});
    stage.api::<Job>().create(&PostParams::default(), &serde_json::from_value(foreign).unwrap()).await.unwrap();
    let _playing = stage.kubelet.play(trained.finishing());
    stage.start_operator(&[]);
    let status = stage.status("smoke", "the collision is told", |status| is(status, "Degraded", "True")).await;
    assert_eq!(reason(&status, "Degraded"), "NameCollision");
    let job = stage.jobs(1).await.remove(0);
    assert!(job.metadata.owner_references.is_none(), "the foreign Job was touched");
    stage.delete::<Job>(&name).await;
    assert_right(&stage.finished("smoke").await);
}

#[tokio::test]
async fn row_02_a_crash_between_the_end_of_a_job_and_the_status() {
    let mut stage = Stage::new().await;
    stage.create("smoke", spec(&["vanilla"])).await;
    let pod = stage.pod().await;
    stage.kubelet.run(&pod).await;
    stage.status("smoke", "the run is seen to run", |status| status.running == 1).await;
    let mut struck = stage.proxy.fail(usize::MAX, Fault::Answer(500), |call| call.resource == "mixupbenchmarks/status");
    stage.kubelet.end(&pod, finished(&pod)).await;
    struck.reach(1).await;
    let complete = |jobs: &[Job]| jobs.iter().all(|j| j.status.as_ref().is_some_and(|s| s.completion_time.is_some()));
    stage.all("the Job ends", complete).await;
    stage.rest(2).await;
    let ttl = |job: &Job| job.spec.as_ref().unwrap().ttl_seconds_after_finished;
    assert_eq!(ttl(&stage.jobs(1).await[0]), None, "its result stands nowhere yet");
    stage.operator().kill();
    stage.proxy.heal();
    stage.start_operator(&[]);
    assert_right(&stage.finished("smoke").await);
    stage.all("the Job gets its TTL", |jobs: &[Job]| jobs.iter().all(|job| ttl(job) == Some(3600))).await;
    let calls = stage.proxy.calls();
    let recorded = calls.iter().rposition(|call| call.is("update", "mixupbenchmarks/status") && call.code == Some(200));
    let patched = calls.iter().position(|call| call.is("patch", "jobs"));
    assert!(recorded < patched, "the TTL came first: {calls:#?}");
    assert_eq!(stage.proxy.count(|call| call.is("create", "jobs")), 1);
}

#[tokio::test]
async fn row_02_a_result_whose_pod_is_gone_before_anyone_read_it() {
    let mut stage = Stage::new().await;
    stage.create("smoke", with_storage(spec(&["vanilla"]))).await;
    let pod = stage.pod().await;
    stage.kubelet.run(&pod).await;
    stage.status("smoke", "it runs", |status| status.running == 1).await;
    stage.operator().kill();
    stage.kubelet.end(&pod, finished(&pod)).await;
    let complete = |jobs: &[Job]| jobs.iter().all(|j| j.status.as_ref().is_some_and(|s| s.completion_time.is_some()));
    stage.all("the Job ends", complete).await;
    stage.kubelet.vanish(&pod).await;
    stage.start_operator(&[]);
    // Storage holds it: the next attempt says it again.
    let again = stage.pod().await;
    assert_eq!(run_of(&again).attempt, 2);
    let status = stage.status("smoke", "it is told", |status| !status.runs[0].ends.is_empty()).await;
    assert_eq!(status.runs[0].ends.last().unwrap().reason, EndReason::ResultLost);
    stage.kubelet.run_to(&again, finished(&again)).await;
    assert_right(&stage.finished("smoke").await);
}

#[tokio::test]
async fn an_operator_that_is_told_to_end_does_so_and_the_next_goes_on() {
    let mut stage = Stage::new().await;
    let _playing = stage.kubelet.play(|_| None);
    stage.create("smoke", spec(&["vanilla"])).await;
    let pod = stage.pod().await;
    stage.status("smoke", "it runs", |status| status.running == 1).await;
    let ended = stage.operator().terminate();
    assert!(ended.success(), "{ended}");
    stage.kubelet.end(&pod, finished(&pod)).await;
    stage.start_operator(&[]);
    assert_right(&stage.finished("smoke").await);
    stage.jobs(1).await;
}

/// Eight runs, four at once.
fn many() -> serde_json::Value {
    with(spec(&["vanilla", "mixup"]), json!({"matrix": {"trials": 4}, "parallelism": 4}))
}

#[tokio::test]
async fn row_10_two_operators_without_a_lease_start_nothing_twice() {
    let mut stage = Stage::new().await;
    let trained = Trained::default();
    let _playing = stage.kubelet.play(trained.finishing());
    let mut other = stage.another_operator(&["--no-lease"]);
    stage.create("many", many()).await;
    assert_right(&stage.finished("many").await);
    trained.assert_once(8);
    assert!(stage.operator().alive() && other.alive());
}

#[tokio::test]
async fn row_10_a_leader_that_was_paused_writes_nothing_when_it_wakes() {
    let stage = Stage::without_operator(&Control::shared()).await;
    let trained = Trained::default();
    let _playing = stage.kubelet.play(|_| None);
    let lease = ["--lease-namespace", stage.namespace.as_str(), "--lease-name", LEASE];
    let first = stage.another_operator(&lease);
    stage.create("many", many()).await;
    let pods = stage.pods(4).await;
    first.signal(Signal::STOP);
    for pod in &pods {
        trained.note(pod);
        stage.kubelet.end(pod, finished(pod)).await;
    }
    // Whoever comes now waits until the lease has run out.
    let mut second = stage.another_operator(&lease);
    let pods = stage.pods(4).await;
    first.signal(Signal::CONT);
    stage.rest(2).await;
    for pod in &pods {
        trained.note(pod);
        stage.kubelet.end(pod, finished(pod)).await;
    }
    assert_right(&stage.finished("many").await);
    trained.assert_once(8);
    assert_eq!(stage.list::<Job>().await.len(), 8);
    assert!(second.alive());
}
