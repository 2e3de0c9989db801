//! The part of the kubelet, and of the scheduler, played by the test.

use std::future::Future;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Binding, Node, ObjectReference, Pod};
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use mixbench_crds::exit::Exit;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::bench::{finished, run_of, stopped};

/// The one node.
const NODE: &str = "node";
/// Address of pods that nobody shall reach: of the loopback, where nobody listens.
const NOWHERE: &str = "127.66.0.1";
/// What containers of runs are called.
const CONTAINER: &str = "trainer";

/// How a container ends.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct End {
    /// Its exit code.
    pub(crate) code: i32,
    /// Its termination message.
    pub(crate) message: String,
    /// What the kubelet says of it.
    pub(crate) reason: &'static str,
}

impl End {
    /// With a code and last words.
    pub(crate) fn new(code: i32, message: impl Into<String>) -> Self {
        let reason = if code == 0 { "Completed" } else { "Error" };
        Self { code, message: message.into(), reason }
    }

    /// As a trainer ends that has finished its run with this top-1 in percent.
    pub(crate) fn finished(pod: &Pod, top1: f64) -> Self {
        Self::new(0, finished(&run_of(pod), top1))
    }

    /// Killed by the kernel for its memory.
    pub(crate) fn oom() -> Self {
        Self { code: 137, message: String::new(), reason: "OOMKilled" }
    }
}

/// The kubelet of a namespace.
#[derive(Clone)]
pub(crate) struct Kubelet {
    pods: Api<Pod>,
}

/// A kubelet that plays by itself until this is dropped.
pub(crate) struct Playing(JoinHandle<()>);

impl Drop for Playing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Kubelet {
    /// That of this namespace.
    pub(crate) async fn new(client: Client, namespace: &str) -> Self {
        let nodes: Api<Node> = Api::all(client.clone());
        let node = serde_json::from_value(json!({"metadata": {"name": NODE}})).unwrap();
        match nodes.create(&PostParams::default(), &node).await {
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            other => drop(other.unwrap()),
        }
        Self { pods: Api::namespaced(client, namespace) }
    }

    /// Gives a pod its node and says that it runs.
    pub(crate) async fn run(&self, pod: &Pod) {
        self.run_at(pod, NOWHERE).await;
    }

    /// The same, at this address.
    pub(crate) async fn run_at(&self, pod: &Pod, address: &str) {
        self.try_run(pod, address).await.unwrap();
    }

    /// Ends a pod's container.
    pub(crate) async fn end(&self, pod: &Pod, end: End) {
        self.try_end(pod, end).await.unwrap();
    }

    /// Runs a pod and ends it.
    pub(crate) async fn run_to(&self, pod: &Pod, end: End) {
        self.run(pod).await;
        self.end(pod, end).await;
    }

    /// What happens to a pod of a drained or preempted node: it gets the condition, and is deleted gracefully.
    pub(crate) async fn disrupt(&self, pod: &Pod) {
        let condition = json!([{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
            "message": "drained by the test", "lastTransitionTime": jiff::Timestamp::now()}]);
        self.patch(pod, json!({"conditions": condition})).await.unwrap();
        self.pods.delete(&name(pod), &DeleteParams::default()).await.unwrap();
    }

    /// Confirms that a pod which is being deleted is gone; it says these last words.
    pub(crate) async fn confirm(&self, pod: &Pod, end: End) {
        self.try_end(pod, end).await.unwrap();
        // Once it has ended, the garbage collector may be quicker.
        match self.pods.delete(&name(pod), &DeleteParams::default().grace_period(0)).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            other => drop(other.unwrap()),
        }
    }

    /// The node of a running pod is gone: the garbage collector of pods says that it has failed, and nobody knows how its container ended.
    pub(crate) async fn lose(&self, pod: &Pod) {
        let condition = json!([{"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC",
            "message": "PodGC: node no longer exists", "lastTransitionTime": jiff::Timestamp::now()}]);
        self.patch(pod, json!({"phase": "Failed", "conditions": condition})).await.unwrap();
        self.vanish(pod).await;
    }

    /// Removes a pod without a word.
    pub(crate) async fn vanish(&self, pod: &Pod) {
        self.pods.delete(&name(pod), &DeleteParams::default().grace_period(0)).await.unwrap();
    }

    /// Plays by itself: pods run at once and end as the script says, none leaves them running; deleted ones stop after a checkpoint.
    pub(crate) fn play(&self, script: impl Fn(&Pod) -> Option<End> + Send + Sync + 'static) -> Playing {
        let (kubelet, script) = (self.clone(), Arc::new(script));
        let seen = watcher(kubelet.pods.clone(), watcher::Config::default()).default_backoff().applied_objects();
        Playing(tokio::spawn(async move {
            let mut seen = std::pin::pin!(seen);
            while let Some(pod) = seen.next().await {
                if let Ok(pod) = pod {
                    kubelet.next(&pod, &*script).await;
                }
            }
        }))
    }

    /// Plays by itself, and every run reaches this top-1 in percent.
    pub(crate) fn all_finish(&self, top1: f64) -> Playing {
        self.play(move |pod| Some(End::finished(pod, top1)))
    }

    async fn next(&self, pod: &Pod, script: &(impl Fn(&Pod) -> Option<End> + ?Sized)) {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending");
        let over = matches!(phase, "Succeeded" | "Failed");
        // Someone else may have been quicker (the garbage collector, the test itself): that is no failure of the kubelet.
        if pod.metadata.deletion_timestamp.is_some() {
            if !over {
                let end = End::new(Exit::Stopped.code().into(), stopped(&run_of(pod)));
                self.try_end(pod, end).await.ok();
            }
            self.pods.delete(&name(pod), &DeleteParams::default().grace_period(0)).await.ok();
        } else if phase == "Pending" {
            self.try_run(pod, NOWHERE).await.ok();
        } else if !over && let Some(end) = script(pod) {
            self.try_end(pod, end).await.ok();
        }
    }

    async fn try_run(&self, pod: &Pod, ip: &str) -> kube::Result<()> {
        if pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_none()) {
            let target = ObjectReference { kind: Some("Node".into()), name: Some(NODE.into()), ..<_>::default() };
            let metadata = ObjectMeta { name: pod.metadata.name.clone(), ..<_>::default() };
            let binding = Binding { metadata, target };
            let post = PostParams::default();
            let _: Value = self.pods.create_subresource("binding", &name(pod), &post, &binding).await?;
        }
        let state = json!({"running": {"startedAt": jiff::Timestamp::now()}});
        let ready = json!([{"type": "Ready", "status": "True"}]);
        let status = json!({"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "hostIP": "192.0.2.1",
            "startTime": jiff::Timestamp::now(), "conditions": ready, "containerStatuses": containers(true, &state)});
        self.patch(pod, status).await
    }

    async fn try_end(&self, pod: &Pod, end: End) -> kube::Result<()> {
        let now = jiff::Timestamp::now();
        let state = json!({"terminated": {"exitCode": end.code, "message": end.message, "reason": end.reason,
            "startedAt": now, "finishedAt": now}});
        let phase = if end.code == 0 { "Succeeded" } else { "Failed" };
        self.patch(pod, json!({"phase": phase, "containerStatuses": containers(false, &state)})).await
    }

    /// Changes a pod's status.
    pub(crate) async fn patch(&self, pod: &Pod, status: Value) -> kube::Result<()> {
        let patch = Patch::Strategic(json!({"status": status}));
        self.pods.patch_status(&name(pod), &PatchParams::default(), &patch).await.map(drop)
    }
}

fn containers(ready: bool, state: &Value) -> Value {
    json!([{"name": CONTAINER, "image": "", "imageID": "", "ready": ready, "restartCount": 0, "state": state}])
}

fn name(pod: &Pod) -> String {
    pod.metadata.name.clone().unwrap()
}

/// What comes true in time.
pub(crate) fn try_for<T>(seconds: u64, mut ask: impl AsyncFnMut() -> Option<T>) -> impl Future<Output = Option<T>> {
    let end = tokio::time::Instant::now() + std::time::Duration::from_secs(seconds);
    async move {
        loop {
            if let Some(found) = ask().await {
                return Some(found);
            }
            if tokio::time::Instant::now() >= end {
                return None;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}
