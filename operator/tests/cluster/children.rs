//! Children and parents are deleted.

use std::time::{Duration, Instant};

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, Pod, Service};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, ResourceExt};
use mixbench_crds::benchmark::{AttemptEnd, EndReason, MixupBenchmark, crd};
use serde_json::json;

use crate::support::bench::{run_of, spec, with};
use crate::support::control::OwnControl;
use crate::support::kubelet::{End, try_for};
use crate::support::stage::Stage;
use crate::support::trained::{Trained, assert_right, finished};

#[tokio::test]
async fn row_14_a_job_that_is_deleted_while_it_runs() {
    let stage = Stage::new().await;
    stage.create("smoke", spec(&["vanilla"])).await;
    // More often than any budget would pay for. Its pod may have time for its last words, or not.
    for attempt in 1..=4 {
        let pod = stage.pod().await;
        assert_eq!(run_of(&pod).attempt, attempt);
        stage.kubelet.run(&pod).await;
        stage.status("smoke", "the attempt is seen to run", |s| s.running == 1 && s.runs[0].attempt == attempt).await;
        let job = pod.labels()["batch.kubernetes.io/job-name"].clone();
        stage.delete::<Job>(&job).await;
        stage.all("the Job is gone", |jobs: &[Job]| jobs.iter().all(|other| other.name_any() != job)).await;
        stage.kubelet.confirm(&pod, End::new([137, 75][attempt as usize % 2], "")).await;
        // Whether the last words are heard before the pod is gone depends on how soon its turn comes.
        let free = |end: &AttemptEnd| matches!(end.reason, EndReason::Lost | EndReason::Stopped);
        let told = |end: &AttemptEnd| end.attempt == attempt && free(end);
        stage.status("smoke", "it is told", |status| status.runs[0].ends.iter().any(told)).await;
    }
    let pod = stage.pod().await;
    stage.kubelet.run_to(&pod, finished(&pod)).await;
    let status = stage.finished("smoke").await;
    assert_right(&status);
    assert_eq!(status.runs[0].attempt, 5);
}

#[tokio::test]
async fn row_15_jobs_that_are_deleted_after_their_success() {
    let mut stage = Stage::new().await;
    let trained = Trained::default();
    let noted = trained.clone();
    let _playing = stage.kubelet.play(move |pod| {
        noted.note(pod);
        (run_of(pod).spec.method.name == "vanilla").then(|| finished(pod))
    });
    stage.create("smoke", spec(&["vanilla", "cutmix"])).await;
    let recorded = stage.status("smoke", "one is recorded", |status| status.succeeded == 1).await;
    let pod = stage.pod().await;
    let keep = pod.labels()["batch.kubernetes.io/job-name"].clone();
    for job in stage.jobs(2).await.iter().filter(|job| job.name_any() != keep) {
        stage.delete::<Job>(&job.name_any()).await;
    }
    stage.jobs(1).await;
    stage.rest(2).await;
    stage.restart_operator();
    stage.rest(2).await;
    let after = stage.status("smoke", "it stays recorded", |status| status.succeeded == 1).await;
    assert_eq!(after.runs[0], recorded.runs[0]);
    stage.jobs(1).await;
    stage.kubelet.end(&pod, finished(&pod)).await;
    assert_right(&stage.finished("smoke").await);

    stage.api::<Job>().delete_collection(&DeleteParams::background(), &<_>::default()).await.unwrap();
    stage.all("no pod is left", |pods: &[Pod]| pods.is_empty()).await;
    stage.restart_operator();
    stage.rest(3).await;
    assert_right(&stage.finished("smoke").await);
    assert!(stage.list::<Job>().await.is_empty());
    trained.assert_once(2);
}

#[tokio::test]
async fn row_16_a_benchmark_that_is_deleted_while_it_runs() {
    for how in [DeleteParams::background(), DeleteParams::foreground()] {
        let mut stage = Stage::new().await;
        let _playing = stage.kubelet.play(|_| None);
        stage.create("pair", with(spec(&["vanilla", "cutmix"]), json!({"trainer": {"nodes": 2}}))).await;
        stage.pods(4).await;
        stage.status("pair", "both run", |status| status.running == 2).await;
        let mark = stage.proxy.calls().len();
        stage.api::<MixupBenchmark>().delete("pair", &how).await.unwrap();
        stage.all("its Jobs are gone", |jobs: &[Job]| jobs.is_empty()).await;
        stage.all("its pods are gone", |pods: &[Pod]| pods.is_empty()).await;
        stage.all("its Services are gone", |services: &[Service]| services.is_empty()).await;
        stage.all("it is gone", |all: &[MixupBenchmark]| all.is_empty()).await;
        stage.rest(1).await;
        let created = stage.proxy.calls().split_off(mark).into_iter().filter(|c| c.is("create", "jobs")).count();
        assert_eq!((created, stage.list::<Job>().await.len()), (0, 0));
        assert!(stage.operator().alive());
    }
}

#[tokio::test]
async fn row_17_a_benchmark_that_is_deleted_and_made_anew_under_its_name() {
    for how in [DeleteParams::background(), DeleteParams::orphan()] {
        let stage = Stage::new().await;
        stage.create("smoke", spec(&["vanilla"])).await;
        let old = stage.pod().await;
        stage.kubelet.run(&old).await;
        stage.status("smoke", "it runs", |status| status.running == 1).await;
        stage.api::<MixupBenchmark>().delete("smoke", &how).await.unwrap();
        try_for(60, async || stage.try_create("smoke", spec(&["vanilla"])).await.ok()).await.expect("it is made anew");
        let both = |pods: &[Pod]| pods.iter().any(|pod| pod.uid() != old.uid());
        let pods = stage.all("a pod of the new one", both).await;
        let new = pods.iter().find(|pod| pod.uid() != old.uid()).unwrap();
        assert_ne!(run_of(&old).nonce, run_of(new).nonce);
        stage.kubelet.run(new).await;
        // The old one finishes with another result.
        stage.kubelet.end(&old, End::finished(&old, 1.0)).await;
        stage.rest(2).await;
        stage.status("smoke", "the old result is not taken", |status| status.running == 1).await;
        stage.kubelet.end(new, finished(new)).await;
        assert_right(&stage.finished("smoke").await);
    }
}

#[tokio::test]
async fn row_18_a_namespace_that_is_deleted() {
    let mut stage = Stage::new().await;
    let _playing = stage.kubelet.play(|_| None);
    stage.create("smoke", spec(&["vanilla", "cutmix"])).await;
    stage.pods(2).await;
    let begun = Instant::now();
    gone(&stage).await;
    assert!(begun.elapsed() < Duration::from_secs(40), "it took {:?}", begun.elapsed());
    stage.rest(2).await;
    assert!(stage.operator().alive());
}

/// Deletes the stage's namespace and waits until it is gone.
async fn gone(stage: &Stage) {
    let namespaces: Api<Namespace> = Api::all(stage.client.clone());
    namespaces.delete(&stage.namespace, &DeleteParams::default()).await.unwrap();
    let mut last = None;
    let gone = try_for(60, async || {
        last = namespaces.get_opt(&stage.namespace).await.unwrap();
        last.is_none().then_some(())
    });
    let gone = gone.await.is_some();
    assert!(gone, "something holds the namespace: {}", json!(last.map(|namespace| namespace.status)));
}

#[tokio::test]
async fn row_18_a_definition_that_is_deleted() {
    // Everyone else's benchmarks would go with it.
    let own = OwnControl::start();
    let mut stage = Stage::without_operator(&own.control).await;
    stage.start_operator(&[]);
    let _playing = stage.kubelet.play(|pod| (run_of(pod).spec.method.name == "cutmix").then(|| finished(pod)));
    // The garbage collector learns of a new definition within half a minute; only then does it see that one is gone.
    stage.create("first", spec(&["vanilla"])).await;
    stage.pod().await;
    stage.delete::<MixupBenchmark>("first").await;
    stage.all("the Jobs of the first are gone", |jobs: &[Job]| jobs.is_empty()).await;
    stage.create("smoke", spec(&["vanilla"])).await;
    stage.pod().await;
    stage.status("smoke", "it runs", |status| status.running == 1).await;
    let definitions: Api<CustomResourceDefinition> = Api::all(stage.client.clone());
    definitions.delete("mixupbenchmarks.mixbench.dev", &DeleteParams::default()).await.unwrap();
    stage.all("its Jobs are gone", |jobs: &[Job]| jobs.is_empty()).await;
    stage.all("its pods are gone", |pods: &[Pod]| pods.is_empty()).await;
    stage.rest(3).await;
    assert!(stage.operator().alive(), "an operator without its resource waits for it");
    definitions.create(&PostParams::default(), &crd()).await.unwrap();
    try_for(30, async || stage.try_create("again", spec(&["cutmix"])).await.ok()).await.expect("a new definition");
    assert_right(&stage.finished("again").await);
    gone(&stage).await;
}
