//! Pods and their nodes fail.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::DeleteParams;
use mixbench_crds::benchmark::EndReason;
use mixbench_crds::exit::Exit;
use serde_json::json;

use crate::support::bench::{failed, run_of, spec, stopped, with};
use crate::support::kubelet::End;
use crate::support::stage::{Stage, is};
use crate::support::trained::{Trained, assert_right, finished};

/// Waits for the pod of this attempt, and runs it.
async fn attempt(stage: &Stage, number: u32) -> Pod {
    let pod = stage.pod().await;
    assert_eq!(run_of(&pod).attempt, number);
    stage.kubelet.run(&pod).await;
    stage.status("smoke", "it is seen to run", |s| s.running == 1 && s.runs[0].attempt == number).await;
    pod
}

#[tokio::test]
async fn kubectl_delete_pod_is_charged_to_nobody() {
    let stage = Stage::new().await;
    stage.create("smoke", spec(&["vanilla"])).await;
    // It sets no DisruptionTarget: that the trainer says 75 is what tells it from a crash. More often than any budget would pay for.
    for number in 1..=4 {
        let pod = attempt(&stage, number).await;
        stage.api::<Pod>().delete(&pod.name_any(), &DeleteParams::default()).await.unwrap();
        stage.kubelet.confirm(&pod, End::new(75, stopped(&run_of(&pod)))).await;
    }
    let pod = attempt(&stage, 5).await;
    stage.kubelet.end(&pod, finished(&pod)).await;
    assert_right(&stage.finished("smoke").await);
}

#[tokio::test]
async fn row_21_a_drained_node_and_a_lost_one_are_charged_to_infrastructure() {
    let stage = Stage::new().await;
    stage.create("smoke", spec(&["vanilla"])).await;
    let pod = attempt(&stage, 1).await;
    stage.kubelet.disrupt(&pod).await;
    stage.kubelet.confirm(&pod, End::new(137, "")).await;
    let pod = attempt(&stage, 2).await;
    stage.kubelet.lose(&pod).await;
    let pod = attempt(&stage, 3).await;
    stage.kubelet.end(&pod, End::new(137, "")).await;
    let pod = attempt(&stage, 4).await;
    stage.kubelet.end(&pod, End::new(76, failed(&run_of(&pod), Exit::Collective, "rank 0: a peer hung"))).await;
    let status = stage.finished("smoke").await;
    assert!(is(&status, "Failed", "True"), "three more attempts are paid for, and no fourth");
    assert_eq!((status.failed, status.runs[0].attempt), (1, 4));
    assert!(status.runs[0].message.as_deref().unwrap().contains("a peer hung"), "{:?}", status.runs[0]);
    let reasons: Vec<EndReason> = status.runs[0].ends.iter().map(|end| end.reason).collect();
    assert_eq!(reasons, [EndReason::Disrupted, EndReason::Disrupted, EndReason::Killed, EndReason::Collective]);
    assert_eq!(stage.events_of_runs(2).await, ["RunFailed", "RunStarted"], "two, however many attempts");
}

#[tokio::test]
async fn row_23_one_node_of_two_fails() {
    let stage = Stage::new().await;
    stage.create("pair", with(spec(&["vanilla"]), json!({"trainer": {"nodes": 2}}))).await;
    let pods = stage.pods(2).await;
    for pod in &pods {
        stage.kubelet.run(pod).await;
    }
    stage.status("pair", "it is seen to run", |status| status.running == 1).await;
    stage.kubelet.end(&pods[1], End::new(137, "")).await;
    let told =
        |all: &[Pod]| all.iter().any(|pod| pod.uid() == pods[0].uid() && pod.metadata.deletion_timestamp.is_some());
    stage.all("the other is told to stop", told).await;
    stage.rest(4).await;
    assert_eq!(stage.list::<Pod>().await.len(), 2, "the next attempt waits for the last pod of this one");
    stage.kubelet.confirm(&pods[0], End::new(76, failed(&run_of(&pods[0]), Exit::Collective, "a peer is gone"))).await;
    let next = stage.pods(2).await;
    assert!(next.iter().all(|pod| run_of(pod).attempt == 2));
    stage.kubelet.run(&next[0]).await;
    stage.kubelet.run_to(&next[1], End::new(0, "")).await;
    stage.kubelet.end(&next[0], finished(&next[0])).await;
    assert_right(&stage.finished("pair").await);
}

#[tokio::test]
async fn a_new_operator_goes_on_with_the_service_of_the_old_one() {
    let mut stage = Stage::new().await;
    let trained = Trained::default();
    let both = with(spec(&["vanilla", "mixup"]), json!({"parallelism": 1, "trainer": {"nodes": 2}}));
    stage.create("pair", both).await;
    for _ in 0..2 {
        let pods = stage.pods(2).await;
        for pod in &pods {
            stage.kubelet.run(pod).await;
        }
        stage.status("pair", "it is seen to run", |status| status.running == 1).await;
        stage.restart_operator();
        trained.note(&pods[0]);
        stage.kubelet.end(&pods[1], End::new(0, "")).await;
        stage.kubelet.end(&pods[0], finished(&pods[0])).await;
    }
    assert_right(&stage.finished("pair").await);
    trained.assert_once(2);
    assert_eq!(stage.services().await.len(), 1);
}

#[tokio::test]
async fn row_26_out_of_memory_is_not_tried_again() {
    let stage = Stage::new().await;
    let _playing = stage.kubelet.play(|pod| match run_of(pod).spec.method.name.as_str() {
        "vanilla" => Some(End::oom()),
        "mixup" => Some(End::new(78, failed(&run_of(pod), Exit::OutOfMemory, "no room for 64 MiB"))),
        _ => Some(finished(pod)),
    });
    stage.create("smoke", spec(&["vanilla", "mixup", "cutmix"])).await;
    let status = stage.finished("smoke").await;
    assert_eq!((status.succeeded, status.failed), (1, 2), "other cells go on");
    assert!(status.runs.iter().all(|row| row.attempt == 1), "{:?}", status.runs);
}
