//! What the operator wrote is gone.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use mixbench_crds::benchmark::{MixupBenchmark, RunPhase};
use serde_json::json;

use crate::support::bench::{run_of, spec, with, with_storage};
use crate::support::stage::Stage;
use crate::support::trained::{Trained, assert_right, expected, finished};

/// One run is recorded and its Job still there, one is recorded and its Job gone, one runs.
async fn row_05(restart: bool) {
    let mut stage = Stage::new().await;
    let trained = Trained::default();
    let _playing = stage.kubelet.play(|_| None);
    let three = with(with_storage(spec(&["vanilla", "mixup", "cutmix"])), json!({"parallelism": 3}));
    stage.create("smoke", three).await;
    let pods = stage.pods(3).await;
    for pod in &pods {
        trained.note(pod);
    }
    stage.status("smoke", "all run", |status| status.running == 3).await;
    let of = |method: &str| pods.iter().find(|pod| run_of(pod).spec.method.name == method).unwrap();
    let job = |pod: &Pod| pod.labels()["batch.kubernetes.io/job-name"].clone();
    for method in ["vanilla", "mixup"] {
        stage.kubelet.end(of(method), finished(of(method))).await;
    }
    stage.status("smoke", "two are recorded", |status| status.succeeded == 2).await;
    if restart {
        stage.operator().kill();
    }
    stage.delete::<Job>(&job(of("mixup"))).await;
    stage.all("its Job is gone", |jobs: &[Job]| jobs.len() == 2).await;
    stage.all("its pod is gone", |pods: &[Pod]| pods.len() == 2).await;
    let nothing = Patch::Merge(json!({"status": null}));
    stage.api::<MixupBenchmark>().patch_status("smoke", &PatchParams::default(), &nothing).await.unwrap();
    if restart {
        stage.start_operator(&[]);
    }

    // What still exists tells its result again; the rest is tried again, and storage would answer at once.
    let what = "it is rebuilt from what exists";
    let rebuilt = stage.status("smoke", what, |status| status.succeeded == 1 && status.running == 2).await;
    let row = rebuilt.runs.iter().find(|row| row.state == RunPhase::Succeeded).unwrap();
    assert_eq!((row.id.as_str(), row.top1.clone()), (&*run_of(of("vanilla")).id, Some(expected(&row.id))));
    for pod in stage.pods(2).await {
        trained.note(&pod);
        stage.kubelet.end(&pod, finished(&pod)).await;
    }
    assert_right(&stage.finished("smoke").await);
    let counts: Vec<usize> = ["vanilla", "mixup", "cutmix"].map(|m| trained.pods()[&run_of(of(m)).id]).into();
    assert_eq!(counts, [1, 2, 1], "pods of each run");
}

#[tokio::test]
async fn row_05_a_status_that_is_wiped() {
    row_05(false).await;
}

#[tokio::test]
async fn row_05_a_status_that_is_wiped_while_no_operator_runs() {
    row_05(true).await;
}
