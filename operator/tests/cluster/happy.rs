//! Nothing goes wrong.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use mixbench_crds::exit::Exit;
use serde_json::json;

use crate::support::bench::{failed, run_of, spec, with};
use crate::support::kubelet::End;
use crate::support::said::Call;
use crate::support::stage::{Stage, is, reason};
use crate::support::trained::{Trained, assert_right, finished};

#[tokio::test]
async fn a_benchmark_ends_with_its_top1_in_the_status() {
    let stage = Stage::new().await;
    let trained = Trained::default();
    let _playing = stage.kubelet.play(trained.finishing());
    stage.create("smoke", spec(&["vanilla", "cutmix"])).await;
    let status = stage.finished("smoke").await;
    assert_right(&status);
    trained.assert_once(2);
    assert!(is(&status, "Complete", "True") && is(&status, "Failed", "False"));
    assert!(is(&status, "GatePassed", "True"), "{:?}", status.conditions);
    assert_eq!(reason(&status, "GatePassed"), "NoReference");
    assert_eq!(status.summary, "2/2 done");
    assert_eq!(status.best, "resnet20 cutmix 72.75");
    let ttl = |jobs: &[Job]| jobs.iter().all(|j| j.spec.as_ref().unwrap().ttl_seconds_after_finished == Some(3600));
    assert_eq!(stage.all("Jobs get their TTL", ttl).await.len(), 2);
    assert!(stage.services().await.is_empty(), "one pod needs no name");

    // Then there is nothing more to do.
    stage.rest(2).await;
    let mark = stage.proxy.calls().len();
    stage.rest(5).await;
    let more = stage.proxy.calls().split_off(mark);
    assert!(!more.iter().any(|call| call.verb != "watch"), "{more:?}");
    let writes: Vec<_> = stage.proxy.calls().into_iter().filter(Call::writes).collect();
    // Besides those of the runs: the event of the end, and a TTL that is given twice where the cache is late to show it.
    assert!(writes.len() <= 2 * 6 + 2, "{} writes for 2 runs: {writes:#?}", writes.len());
    let told = ["RunStarted", "RunStarted", "RunSucceeded", "RunSucceeded"];
    assert_eq!(stage.events_of_runs(4).await, told);
}

#[tokio::test]
async fn nothing_is_written_while_runs_go_on() {
    let stage = Stage::new().await;
    let _playing = stage.kubelet.play(|_| None);
    stage.create("smoke", spec(&["vanilla"])).await;
    let pod = stage.pod().await;
    stage.status("smoke", "the run is seen to run", |status| status.running == 1).await;
    stage.rest(2).await;
    let mark = stage.proxy.calls().len();
    stage.rest(8).await;
    let more = stage.proxy.calls().split_off(mark);
    assert!(!more.iter().any(|call| call.verb != "watch"), "{more:?}");
    stage.kubelet.end(&pod, finished(&pod)).await;
    assert_right(&stage.finished("smoke").await);
}

#[tokio::test]
async fn two_nodes_meet_by_the_name_of_a_headless_service() {
    let stage = Stage::new().await;
    let index = |pod: &Pod| pod.annotations().get("batch.kubernetes.io/job-completion-index").cloned().unwrap();
    // The other node trains on until it is told to stop: rank 0 speaks for all.
    let _playing = stage.kubelet.play(move |pod| (index(pod) == "0").then(|| finished(pod)));
    stage.create("pair", with(spec(&["vanilla"]), json!({"trainer": {"nodes": 2}}))).await;
    let job = stage.jobs(1).await.remove(0);
    let template = job.spec.as_ref().unwrap().template.spec.clone().unwrap();
    assert_right(&stage.finished("pair").await);

    let services = stage.services().await;
    assert_eq!(services.len(), 1);
    let service = services[0].spec.clone().unwrap();
    assert_eq!(service.cluster_ip.as_deref(), Some("None"));
    assert_eq!(service.publish_not_ready_addresses, Some(true), "nodes meet before they are ready");
    let labels: BTreeMap<String, String> = job.spec.unwrap().template.metadata.unwrap().labels.unwrap();
    let selector = service.selector.unwrap();
    // What the Job controller adds to its pods may be selected as well.
    let added = ["batch.kubernetes.io/job-name", "job-name", "batch.kubernetes.io/controller-uid", "controller-uid"];
    assert!(!selector.is_empty());
    for (name, value) in &selector {
        assert!(labels.get(name) == Some(value) || added.contains(&name.as_str()), "{name}={value} selects no pod");
    }
    assert_eq!(template.subdomain, Some(services[0].name_any()));
    let env = template.containers[0].env.clone().unwrap();
    let master = env.iter().find(|variable| variable.name == "MASTER_ADDR").unwrap().value.clone().unwrap();
    assert_eq!(master, format!("{}-0.{}", job.metadata.name.unwrap(), services[0].name_any()));
}

#[tokio::test]
async fn a_benchmark_of_many_runs_keeps_to_its_parallelism() {
    let stage = Stage::new().await;
    let _playing = stage.kubelet.play(|_| None);
    let trials = json!({"matrix": {"trials": 4}, "parallelism": 3});
    stage.create("many", with(spec(&["vanilla", "mixup"]), trials)).await;
    let mut left = 8;
    while left > 0 {
        let live = left.min(3);
        let pods = stage.pods(live).await;
        let status = stage.status("many", "slots fill", |status| status.running as usize == live).await;
        assert_eq!(status.queued as usize, left - live);
        stage.kubelet.end(&pods[0], finished(&pods[0])).await;
        left -= 1;
    }
    assert_right(&stage.finished("many").await);
}

#[tokio::test]
async fn a_wrong_manifest_is_said_to_be_wrong_and_starts_nothing() {
    let stage = Stage::new().await;
    // Which parameters a method takes is known to the operator only.
    let methods = json!([{"name": "mixup", "params": {"no_such_parameter": "1"}}]);
    let wrong = with(spec(&[]), json!({"matrix": {"methods": methods}}));
    stage.create("wrong", wrong).await;
    let status = stage.status("wrong", "it is refused", |status| is(status, "Accepted", "False")).await;
    let accepted = status.conditions.iter().find(|c| c.type_ == "Accepted").unwrap();
    assert_eq!(accepted.reason, "Invalid");
    assert!(accepted.message.contains("no_such_parameter"), "{}", accepted.message);
    stage.rest(1).await;
    assert!(stage.list::<Job>().await.is_empty());
}

#[tokio::test]
async fn a_run_that_fails_for_good_fails_the_benchmark_and_no_other_run() {
    let stage = Stage::new().await;
    let _playing = stage.kubelet.play(|pod| {
        let run = run_of(pod);
        let diverged = || End::new(77, failed(&run, Exit::Diverged, "the loss is NaN in epoch 1"));
        Some(if run.spec.method.name == "mixup" { diverged() } else { finished(pod) })
    });
    stage.create("half", spec(&["mixup", "vanilla"])).await;
    let status = stage.finished("half").await;
    assert!(is(&status, "Failed", "True") && is(&status, "Complete", "False"));
    assert_eq!((status.succeeded, status.failed), (1, 1));
    let failed = status.runs.iter().find(|row| row.top1.is_none()).unwrap();
    assert!(failed.message.as_deref().unwrap().contains("the loss is NaN"), "{failed:?}");
    assert_eq!(failed.attempt, 1, "the same would happen again");
}
