//! Someone edits the spec.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::json;

use crate::support::bench::{run_of, spec, stopped, with};
use crate::support::kubelet::End;
use crate::support::proxy::Fault;
use crate::support::stage::{Stage, is, reason};
use crate::support::trained::{Trained, assert_right, finished};

#[tokio::test]
async fn row_19_edits_of_what_must_not_change_are_refused() {
    let stage = Stage::new().await;
    stage.create("smoke", with(spec(&["vanilla"]), json!({"matrix": {"trials": 2}, "suspend": true}))).await;
    for edit in [
        json!({"matrix": {"methods": [{"name": "cutmix"}]}}),
        json!({"matrix": {"backbones": [{"name": "resnet32"}]}}),
        json!({"matrix": {"trials": 1}}),
        json!({"matrix": {"baseSeed": 7}}),
        json!({"recipe": {"overrides": {"epochs": 3}}}),
        json!({"data": {"uri": "builtin:digits"}}),
        json!({"trainer": {"nodes": 2}}),
        json!({"trainer": {"image": "localhost/other:1"}}),
        json!({"storage": {"keep": 5}}),
        json!({"gate": {"confidence": "0.9"}}),
    ] {
        match stage.patch("smoke", edit.clone()).await {
            Err(kube::Error::Api(status)) if status.code == 422 => {}
            other => panic!("{edit}: {other:?}"),
        }
    }
    for edit in [
        json!({"suspend": false}),
        json!({"parallelism": 7}),
        json!({"matrix": {"trials": 3}}),
        json!({"retention": {"runJobsTtlSeconds": 60}}),
        json!({"retention": {"ttlSecondsAfterFinished": 600}}),
    ] {
        stage.patch("smoke", edit).await.unwrap();
    }
}

#[tokio::test]
async fn row_19_a_lower_parallelism_kills_nothing() {
    let stage = Stage::new().await;
    let _playing = stage.kubelet.play(|_| None);
    stage.create("smoke", with(spec(&["vanilla", "mixup", "cutmix"]), json!({"parallelism": 2}))).await;
    let pods = stage.pods(2).await;
    stage.patch("smoke", json!({"parallelism": 1})).await.unwrap();
    stage.status("smoke", "the edit is seen", |status| status.observed_generation == Some(2)).await;
    stage.rest(2).await;
    let uids = |pods: &[Pod]| pods.iter().map(|pod| pod.uid().unwrap()).collect::<Vec<_>>();
    assert_eq!(uids(&stage.pods(2).await), uids(&pods), "both go on");
    stage.kubelet.end(&pods[0], finished(&pods[0])).await;
    stage.status("smoke", "one is recorded", |status| status.succeeded == 1).await;
    stage.rest(2).await;
    assert_eq!(stage.list::<Job>().await.len(), 2, "the slot of the first is no longer there");
    stage.kubelet.end(&pods[1], finished(&pods[1])).await;
    let last = stage.pod().await;
    stage.kubelet.end(&last, finished(&last)).await;
    assert_right(&stage.finished("smoke").await);
}

#[tokio::test]
async fn row_19_more_trials_after_the_end() {
    let stage = Stage::new().await;
    let trained = Trained::default();
    let _playing = stage.kubelet.play(trained.finishing());
    stage.create("smoke", spec(&["vanilla", "cutmix"])).await;
    let before = stage.finished("smoke").await;
    stage.patch("smoke", json!({"matrix": {"trials": 2}})).await.unwrap();
    let ended = |status: &_| is(status, "Finished", "True");
    let after = stage.status("smoke", "4 runs end", |status| status.total == 4 && ended(status)).await;
    assert_right(&after);
    trained.assert_once(4);
    assert_eq!(&after.runs[..2], &before.runs[..], "what is recorded stays");
}

#[tokio::test]
async fn row_19_the_ttl_of_jobs_is_that_of_their_end() {
    let stage = Stage::new().await;
    let _playing = stage.kubelet.play(Trained::default().finishing());
    stage.create("smoke", with(spec(&["vanilla"]), json!({"retention": {"runJobsTtlSeconds": 1}}))).await;
    stage.jobs(1).await;
    stage.all("the Job is gone after its TTL", |jobs: &[Job]| jobs.is_empty()).await;
    assert_right(&stage.finished("smoke").await);
    stage.rest(2).await;
    assert!(stage.list::<Job>().await.is_empty());

    stage.patch("smoke", json!({"retention": {"ttlSecondsAfterFinished": 1}})).await.unwrap();
    let none = |all: &[mixbench_crds::benchmark::MixupBenchmark]| all.is_empty();
    stage.all("the benchmark is gone after its own", none).await;
}

#[tokio::test]
async fn row_20_suspend_and_resume_again_and_again() {
    let stage = Stage::new().await;
    // More often than any budget would pay for; a checkpoint is written each time.
    let _playing = stage.kubelet.play(|_| None);
    stage.create("smoke", spec(&["vanilla", "cutmix"])).await;
    for attempt in 1..=4 {
        let pods = stage.pods(2).await;
        assert!(pods.iter().all(|pod| run_of(pod).attempt == attempt), "attempt {attempt}");
        stage.patch("smoke", json!({"suspend": true})).await.unwrap();
        let suspended = stage.status("smoke", "it is suspended", |status| is(status, "Suspended", "True")).await;
        assert_eq!((suspended.running, reason(&suspended, "Progressing")), (0, "Suspended"));
        assert!(stage.list::<Pod>().await.is_empty(), "nothing lives while it is suspended");
        stage.patch("smoke", json!({"suspend": false})).await.unwrap();
    }
    for pod in stage.pods(2).await {
        stage.kubelet.end(&pod, finished(&pod)).await;
    }
    assert_right(&stage.finished("smoke").await);
}

#[tokio::test]
async fn row_20_resumed_while_pods_still_stop() {
    let stage = Stage::new().await;
    stage.create("smoke", spec(&["vanilla"])).await;
    let pod = stage.pod().await;
    stage.kubelet.run(&pod).await;
    stage.status("smoke", "it runs", |status| status.running == 1).await;
    stage.patch("smoke", json!({"suspend": true})).await.unwrap();
    let stopping = |pods: &[Pod]| pods.len() == 1 && pods[0].metadata.deletion_timestamp.is_some();
    stage.all("its pod is told to stop", stopping).await;
    let status = stage.status("smoke", "it is seen", |status| status.observed_generation == Some(2)).await;
    assert!(is(&status, "Suspended", "False"), "a pod still writes its checkpoint");
    stage.patch("smoke", json!({"suspend": false})).await.unwrap();
    stage.rest(3).await;
    assert_eq!(stage.list::<Pod>().await.len(), 1, "two pods would share a folder");
    stage.kubelet.confirm(&pod, End::new(75, stopped(&run_of(&pod)))).await;
    let next = stage.pod().await;
    assert_eq!(run_of(&next).attempt, 2);
    stage.kubelet.run_to(&next, finished(&next)).await;
    assert_right(&stage.finished("smoke").await);
}

#[tokio::test]
async fn suspended_from_the_start_nothing_starts() {
    let stage = Stage::new().await;
    let _playing = stage.kubelet.play(Trained::default().finishing());
    stage.create("smoke", with(spec(&["vanilla"]), json!({"suspend": true}))).await;
    stage.status("smoke", "it is suspended", |status| is(status, "Suspended", "True")).await;
    stage.rest(1).await;
    assert!(stage.list::<Job>().await.is_empty());
    stage.patch("smoke", json!({"suspend": false})).await.unwrap();
    assert_right(&stage.finished("smoke").await);
}

#[tokio::test]
async fn row_13_jobs_that_cannot_be_deleted_at_first() {
    let mut stage = Stage::new().await;
    let _playing = stage.kubelet.play(|_| None);
    stage.create("smoke", spec(&["vanilla"])).await;
    stage.pod().await;
    stage.status("smoke", "it runs", |status| status.running == 1).await;
    let mut struck = stage.proxy.fail(4, Fault::Answer(403), |call| call.is("delete", "jobs"));
    stage.patch("smoke", json!({"suspend": true})).await.unwrap();
    struck.reach(2).await;
    let status = stage.status("smoke", "it is seen", |status| status.observed_generation == Some(2)).await;
    assert!(is(&status, "Suspended", "False"), "it still runs");
    let status = stage.status("smoke", "it is suspended", |status| is(status, "Suspended", "True")).await;
    assert_eq!((struck.count(), status.running), (4, 0));
    assert!(stage.operator().alive());
}
