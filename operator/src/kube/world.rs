//! A cluster for tests of turns: the API server in memory, caches filled from it, and pods that do what the test says.

use std::sync::Arc;

use futures::channel::mpsc;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::ObjectMeta;
use kube::runtime::controller::Action as Again;
use kube::runtime::events::Event as Told;
use kube::runtime::reflector::store::{Store, Writer};
use kube::runtime::watcher::Event;
use mixbench_crds::benchmark::{BenchmarkStatus, MixupBenchmark};
use mixbench_crds::event::Body;
use mixbench_crds::run::Run;
use serde_json::{Value, json};
use tokio::sync::mpsc::Receiver;

use super::controller::{Guarded, Scope, Stores};
use super::events::Herald;
use super::fake::Server;
use super::job::Defaults;
use super::memory::Memory;
use super::metrics::Metrics;
use super::names;
use super::pulse::Pulse;
use super::reconcile::{Edge, TurnError};
use super::turn::turn;
use crate::backend::fake;

/// Name of the benchmark that turns are taken of.
pub(crate) const NAME: &str = "bench";

pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) edge: Arc<Edge>,
    pub(crate) events: Receiver<(Told, k8s_openapi::api::core::v1::ObjectReference)>,
    pub(crate) now: Timestamp,
}

/// Two runs on CPUs, both at once.
pub(crate) fn spec() -> Value {
    json!({
        "recipe": {"name": "quickstart", "overrides": {"epochs": 2}},
        "data": {"uri": "builtin:fashion-mnist-2k"},
        "matrix": {"backbones": [{"name": "resnet20"}], "methods": [{"name": "vanilla"}, {"name": "cutmix"}], "trials": 1},
        "parallelism": 2,
        "trainer": {"gpusPerNode": 0},
    })
}

impl World {
    /// One with this benchmark and nothing else.
    pub(crate) fn new(spec: &Value) -> Self {
        let server = Server::default();
        server.put(
            "mixupbenchmarks",
            json!({"apiVersion": "mixbench.dev/v1alpha1", "kind": "MixupBenchmark",
            "metadata": {"name": NAME, "namespace": "default", "generation": 1,
                "creationTimestamp": "2026-01-01T00:00:00Z"}, "spec": spec}),
        );
        let (edge, events) = edge(&server);
        Self { server, edge, events, now: "2026-01-01T00:00:10Z".parse().expect("a time") }
    }

    /// The operator is killed and started again.
    pub(crate) fn restart(&mut self) {
        (self.edge, self.events) = edge(&self.server);
    }

    /// What a turn sees, if the caches are as new as the server.
    pub(crate) fn scope(&self) -> Scope {
        let stores = Stores::new(
            filled(self.server.all::<Guarded>("mixupbenchmarks")),
            filled(self.server.all::<Job>("jobs")),
            filled(self.server.all::<Pod>("pods")),
        );
        Scope { edge: Arc::clone(&self.edge), stores, poke: mpsc::unbounded().0 }
    }

    /// A turn with these caches.
    pub(crate) async fn turn_in(&self, scope: &Scope) -> Result<Again, TurnError> {
        let found = scope.stores.benchmarks.find(|b| b.name_any() == NAME);
        let Some(object) = found else { return Ok(Again::await_change()) };
        let benchmark = object.0.as_ref().expect("it can be read");
        turn(scope, benchmark, &self.edge.pulse.begin(), self.now).await
    }

    /// A turn a second later.
    pub(crate) async fn turn(&mut self) -> Result<Again, TurnError> {
        self.now += jiff::SignedDuration::from_secs(1);
        self.turn_in(&self.scope()).await
    }

    /// Turns until one makes no call.
    pub(crate) async fn settle(&mut self) {
        for _ in 0..20 {
            let before = self.server.calls().len();
            self.turn().await.expect("nothing fails");
            if self.server.calls().len() == before {
                return;
            }
        }
        panic!("turns never end: {:?}", self.server.calls());
    }

    pub(crate) fn benchmark(&self) -> MixupBenchmark {
        let all: Vec<MixupBenchmark> = self.server.all("mixupbenchmarks");
        all.into_iter().find(|b| b.name_any() == NAME).expect("it is there")
    }

    pub(crate) fn status(&self) -> BenchmarkStatus {
        self.benchmark().status.expect("it was written")
    }

    /// Status and reason of a condition.
    pub(crate) fn condition(&self, kind: &str) -> (String, String) {
        let status = self.status();
        let found = status.conditions.into_iter().find(|c| c.type_ == kind).expect("every condition is always there");
        (found.status, found.reason)
    }

    pub(crate) fn jobs(&self) -> Vec<Job> {
        self.server.all("jobs")
    }

    /// Changes the spec, as `kubectl edit` does.
    pub(crate) fn edit(&self, change: impl FnOnce(&mut Value)) {
        self.server.change("mixupbenchmarks", NAME, |object| {
            object["metadata"]["generation"] = json!(object["metadata"]["generation"].as_i64().unwrap_or(0) + 1);
            change(&mut object["spec"]);
        });
    }

    /// The Job controller and the kubelet start the pod of every Job that has none.
    pub(crate) fn pods_start(&self) {
        for job in self.jobs() {
            let name = format!("{}-0", job.name_any());
            let pods: Vec<Pod> = self.server.all("pods");
            if pods.iter().any(|pod| pod.name_any() == name) {
                continue;
            }
            let template = job.spec.as_ref().map(|s| s.template.clone()).expect("a spec");
            let mut meta: ObjectMeta = template.metadata.unwrap_or_default();
            meta.name = Some(name.clone());
            meta.namespace = job.namespace();
            let labels = meta.labels.get_or_insert_default();
            labels.insert(names::JOB_NAME.into(), job.name_any());
            labels.insert(names::COMPLETION_INDEX.into(), "0".into());
            let owner = json!([{"apiVersion": "batch/v1", "kind": "Job", "name": job.name_any(), "uid": job.uid(),
                "controller": true}]);
            meta.owner_references = serde_json::from_value(owner).expect("an owner");
            let status = json!({"phase": "Running", "startTime": self.now, "podIP": "127.0.0.1"});
            self.server.put("pods", json!({"metadata": meta, "spec": template.spec, "status": status}));
            self.server.change("jobs", &job.name_any(), |job| {
                job["status"] = json!({"active": 1, "ready": 1, "startTime": self.now});
            });
        }
    }

    /// The pod of a Job ends with a result, and so does the Job.
    pub(crate) fn finish(&self, job: &Job, top1: f64) {
        let pods: Vec<Pod> = self.server.all("pods");
        let pod = pods.iter().find(|pod| pod.name_any() == format!("{}-0", job.name_any())).expect("it has a pod");
        let run = Run::parse(&pod.annotations()[names::RUN_DOCUMENT]).expect("the pod has its run");
        let said = fake::said(&run, Body::Finished { result: fake::trained(&run, top1) });
        self.end(job, 0, &said.to_termination(), "Complete");
    }

    /// The pod of a Job ends with this exit code and these last words, and the Job with this condition.
    pub(crate) fn end(&self, job: &Job, code: i32, message: &str, condition: &str) {
        let phase = if code == 0 { "Succeeded" } else { "Failed" };
        let terminated = json!({"exitCode": code, "message": message, "finishedAt": self.now});
        self.server.change("pods", &format!("{}-0", job.name_any()), |pod| {
            pod["status"] = json!({"phase": phase, "containerStatuses": [{"name": names::CONTAINER, "ready": false,
                "restartCount": 0, "image": "", "imageID": "", "state": {"terminated": terminated}}]});
        });
        self.server.change("jobs", &job.name_any(), |job| {
            let condition = json!({"type": condition, "status": "True", "lastTransitionTime": self.now});
            job["status"] = json!({"startTime": self.now, "completionTime": self.now, "conditions": [condition]});
        });
    }

    /// The garbage collector: Jobs that are being deleted are gone, with their pods.
    pub(crate) fn collect(&self) {
        for job in self.jobs().iter().filter(|job| job.metadata.deletion_timestamp.is_some()) {
            self.server.remove("pods", &format!("{}-0", job.name_any()));
            self.server.remove("jobs", &job.name_any());
        }
    }
}

fn edge(server: &Server) -> (Arc<Edge>, Receiver<(Told, k8s_openapi::api::core::v1::ObjectReference)>) {
    let (herald, events) = Herald::overheard();
    let edge = Edge {
        client: server.client(),
        metrics: Metrics::new(),
        pulse: Pulse::default(),
        defaults: Defaults { image: "trainer:test".into(), pull_policy: None },
        concurrency: 0,
        herald,
        memory: Memory::default(),
    };
    (Arc::new(edge), events)
}

/// A store as a watch fills it.
fn filled<K>(objects: Vec<K>) -> Store<K>
where
    K: kube::runtime::reflector::Lookup<DynamicType = ()> + Clone + 'static,
{
    let mut writer = Writer::new(());
    writer.apply_watcher_event(&Event::Init);
    for object in objects {
        writer.apply_watcher_event(&Event::InitApply(object));
    }
    writer.apply_watcher_event(&Event::InitDone);
    writer.as_reader()
}
