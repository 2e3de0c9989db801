//! What stands beside the runs: what keeps them waiting, how far they are, and what they are compared with.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use k8s_openapi::api::core::v1::ResourceQuota;
use kube::api::PostParams;
use mixbench_crds::benchmark::EndReason;
use serde_json::{Value, json};

use crate::support::bench::{run_of, spec, with};
use crate::support::stage::{Stage, is, reason};
use crate::support::trained::{Trained, assert_right, finished};

#[tokio::test]
async fn a_quota_that_is_full_is_told_and_waited_for() {
    let mut stage = Stage::new().await;
    let trained = Trained::default();
    let _playing = stage.kubelet.play(trained.finishing());
    let quota = json!({"metadata": {"name": "none"}, "spec": {"hard": {"count/jobs.batch": "0"}}});
    stage.api::<ResourceQuota>().create(&PostParams::default(), &serde_json::from_value(quota).unwrap()).await.unwrap();
    let counted =
        |all: &[ResourceQuota]| all.iter().any(|quota| quota.status.as_ref().is_some_and(|s| s.used.is_some()));
    stage.all("the quota is counted", counted).await;
    stage.create("smoke", spec(&["vanilla"])).await;
    let degraded = |status: &_| is(status, "Degraded", "True");
    let status = stage.status("smoke", "it is told", degraded).await;
    assert_eq!((reason(&status, "Degraded"), status.failed), ("QuotaExceeded", 0));
    stage.rest(5).await;
    let tries = stage.proxy.count(|call| call.is("create", "jobs"));
    assert!(tries <= 12, "{tries} tries within seconds");
    stage.delete::<ResourceQuota>("none").await;
    let status = stage.finished("smoke").await;
    assert_right(&status);
    assert_eq!(reason(&status, "Degraded"), "Healthy");
    trained.assert_once(1);
    assert!(stage.operator().alive());
}

#[tokio::test]
async fn why_a_pod_does_not_start_is_told() {
    let stage = Stage::new().await;
    stage.create("smoke", spec(&["vanilla"])).await;
    let pod = stage.pod().await;
    let unschedulable = json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": "0/4 nodes are available: 4 Insufficient nvidia.com/gpu."}]);
    stage.kubelet.patch(&pod, json!({"conditions": unschedulable})).await.unwrap();
    let waits = |status: &_| reason(status, "Progressing") == "WaitingForCapacity";
    let status = stage.status("smoke", "it waits for a node", waits).await;
    let progressing = status.conditions.iter().find(|c| c.type_ == "Progressing").unwrap();
    assert!(progressing.message.contains("4 Insufficient nvidia.com/gpu"), "{progressing:?}");
    assert!(is(&status, "Progressing", "True") && is(&status, "Degraded", "False"), "to wait is no failure");

    let scheduled = json!([{"type": "PodScheduled", "status": "True"}]);
    let waiting =
        json!({"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image \"no.such/image:1\""}});
    let container =
        json!([{"name": "trainer", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": waiting}]);
    stage.kubelet.patch(&pod, json!({"conditions": scheduled, "containerStatuses": container})).await.unwrap();
    let status = stage.status("smoke", "it is told", |status| is(status, "Degraded", "True")).await;
    assert_eq!(reason(&status, "Degraded"), "ImagePull");

    stage.kubelet.run(&pod).await;
    stage.status("smoke", "it runs", |status| is(status, "Degraded", "False")).await;
    stage.kubelet.end(&pod, finished(&pod)).await;
    assert_right(&stage.finished("smoke").await);
}

/// Answers every request of one process with this JSON, and counts them.
fn serve(address: SocketAddr, answer: &Value) -> Arc<AtomicUsize> {
    let listener = TcpListener::bind(address).unwrap();
    let (counter, body) = (Arc::<AtomicUsize>::default(), answer.to_string());
    let count = counter.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            count.fetch_add(1, Ordering::Relaxed);
            let mut request = [0; 1024];
            assert!(stream.read(&mut request).is_ok_and(|bytes| bytes > 0));
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()).ok();
        }
    });
    counter
}

#[tokio::test]
async fn how_far_a_live_run_is_stands_in_the_status_and_the_metrics() {
    let mut stage = Stage::new().await;
    stage.create("smoke", spec(&["vanilla"])).await;
    let pod = stage.pod().await;
    let run = run_of(&pod);
    let epoch = json!({"epoch": 1, "correct1": 6123, "correct5": 9000, "n": 10_000, "trainLoss": 1.5, "lr": 0.1,
        "images": 2000, "trainSeconds": 4.0, "evalSeconds": 1.0});
    // An address of its own for each process that runs this.
    let [high, low] = u16::try_from(std::process::id() % 65_521).unwrap().to_be_bytes();
    let address = format!("127.67.{high}.{low}");
    let asked = serve(format!("{address}:9090").parse().unwrap(), &json!({"run": run.id, "epoch": epoch}));
    stage.kubelet.run_at(&pod, &address).await;
    let status = stage.status("smoke", "it is told", |status| status.runs[0].progress.is_some()).await;
    let progress = status.runs[0].progress.clone().unwrap();
    assert_eq!((progress.epoch, progress.top1.as_deref()), (1, Some("61.23")));
    assert_eq!((progress.images_per_second, progress.eta_seconds), (Some(500), Some(5)));
    assert_eq!((&status.runs[0].top1, status.runs[0].ends.len()), (&None, 0), "what is live is no result");
    let metrics = stage.operator().page("/metrics");
    let told = |line: &str| {
        line.starts_with("mixbench_run_top1_ratio{") && line.contains(&run.id) && line.ends_with(" 0.6123")
    };
    assert!(metrics.lines().any(told), "{metrics}");
    stage.rest(3).await;
    assert_eq!(asked.load(Ordering::Relaxed), 1, "once a minute is enough");
    stage.kubelet.end(&pod, finished(&pod)).await;
    let status = stage.finished("smoke").await;
    assert_right(&status);
    assert_eq!(status.runs[0].progress, None);
}

#[tokio::test]
async fn another_benchmark_is_the_reference_once_it_is_finished() {
    let stage = Stage::new().await;
    let _playing = stage.kubelet.play(Trained::default().finishing());
    let two = with(spec(&["vanilla", "cutmix"]), json!({"matrix": {"trials": 3}, "parallelism": 6}));
    stage.create("candidate", with(two.clone(), json!({"reference": {"benchmark": "base"}}))).await;
    let status = stage.finished("candidate").await;
    assert_right(&status);
    assert_eq!(reason(&status, "GatePassed"), "ReferenceMissing");
    assert!(is(&status, "GatePassed", "Unknown"), "{:?}", status.conditions);
    stage.create("base", two).await;
    stage.finished("base").await;
    let status = stage.status("candidate", "it is judged", |status| is(status, "GatePassed", "True")).await;
    assert_eq!(reason(&status, "GatePassed"), "Pass");
    for cell in &status.cells {
        assert_eq!((&cell.reference, cell.delta.as_deref()), (&cell.mean, Some("+0.00")), "{cell:?}");
    }
    assert!(status.runs.iter().all(|row| row.ends.iter().all(|end| end.reason == EndReason::Finished)));
}
