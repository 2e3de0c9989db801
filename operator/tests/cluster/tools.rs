//! The tools of these tests do what the tests rely on.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client, Config};
use serde_json::json;

use crate::support::control::Control;
use crate::support::kubelet::End;
use crate::support::proxy::{Fault, Order};
use crate::support::stage::Stage;

/// A client that goes through the stage's proxy.
fn through(stage: &Stage) -> Client {
    let mut config = Config::new(stage.proxy.url().parse().unwrap());
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

/// A Job of one pod that passes Pod Security `restricted`.
fn job() -> Job {
    let security = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
    let container = json!({"name": "trainer", "image": "none", "securityContext": security});
    let pod = json!({"restartPolicy": "Never", "containers": [container],
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}}});
    serde_json::from_value(json!({"metadata": {"name": "job"}, "spec": {"backoffLimit": 0, "template": {"spec": pod}}}))
        .unwrap()
}

fn code(result: kube::Result<impl std::fmt::Debug>) -> u16 {
    match result {
        Err(kube::Error::Api(status)) => status.code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_proxy_counts_what_it_passes_on_and_fails_what_it_is_told_to() {
    let mut stage = Stage::without_operator(&Control::shared()).await;
    let jobs: Api<Job> = Api::namespaced(through(&stage), &stage.namespace);
    let struck = stage.proxy.fail(1, Fault::Answer(403), |call| call.is("create", "jobs"));
    let post = PostParams::default();
    assert_eq!(code(jobs.create(&post, &job()).await), 403);
    assert_eq!((struck.count(), stage.list::<Job>().await.len()), (1, 0));
    stage.proxy.fail(1, Fault::AfterCommit(500), |call| call.is("create", "jobs"));
    assert_eq!(code(jobs.create(&post, &job()).await), 500);
    assert_eq!(code(jobs.create(&post, &job()).await), 409);
    assert_eq!(stage.proxy.count(|call| call.is("create", "jobs")), 3);
    assert_eq!(stage.proxy.calls().last().unwrap().code, Some(409));

    stage.proxy.down();
    assert!(jobs.get("job").await.is_err());
    stage.proxy.up();
    jobs.get("job").await.unwrap();
    assert_eq!(stage.proxy.calls().last().unwrap().name.as_deref(), Some("job"));
}

#[tokio::test]
async fn the_proxy_holds_and_ends_watches() {
    use futures::StreamExt;
    use kube::api::{WatchEvent, WatchParams};

    let stage = Stage::without_operator(&Control::shared()).await;
    let jobs: Api<Job> = Api::namespaced(through(&stage), &stage.namespace);
    stage.proxy.freeze("jobs");
    let mut watch = Box::pin(jobs.watch(&WatchParams::default(), "0").await.unwrap());
    stage.api::<Job>().create(&PostParams::default(), &job()).await.unwrap();
    let quiet = tokio::time::timeout(std::time::Duration::from_millis(500), watch.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    stage.proxy.heal();
    let mut added = 0;
    loop {
        match watch.next().await.unwrap().unwrap() {
            WatchEvent::Added(_) if added == 0 => stage.proxy.watches(Order::Replay),
            WatchEvent::Added(_) if added == 1 => stage.proxy.watches(Order::Expire),
            WatchEvent::Error(status) => break assert_eq!((status.code, added), (410, 2)),
            WatchEvent::Modified(_) | WatchEvent::Bookmark(_) => continue,
            other => panic!("{other:?}"),
        }
        added += 1;
    }
    assert!(watch.next().await.is_none());
}

#[tokio::test]
async fn the_kubelet_runs_ends_and_removes_pods() {
    let stage = Stage::without_operator(&Control::shared()).await;
    stage.api::<Job>().create(&PostParams::default(), &job()).await.unwrap();
    let pod = stage.pod().await;
    stage.kubelet.run(&pod).await;
    stage.api::<Job>().delete("job", &DeleteParams::background()).await.unwrap();
    let dying = |pods: &[Pod]| pods.iter().all(|pod| pod.metadata.deletion_timestamp.is_some());
    let pods = stage.all("the pod is told to stop", dying).await;
    assert_eq!(pods.len(), 1, "a running pod is gone only when its kubelet says so");
    stage.kubelet.confirm(&pods[0], End::new(75, "stopped")).await;
    stage.all("the pod is gone", |pods: &[Pod]| pods.is_empty()).await;
}
