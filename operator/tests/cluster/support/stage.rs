//! A namespace with everything that a test needs.

use std::fmt::Debug;
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, Pod, Service, ServiceAccount};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource, ResourceExt};
use mixbench_crds::benchmark::{BenchmarkStatus, MixupBenchmark};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::control::Control;
use super::kubelet::{Kubelet, try_for};
use super::operator::Operator;
use super::proxy::Proxy;

/// Longest wait for anything. A test that waits so long has failed.
const PATIENCE: u64 = 60;
/// Name of the only Lease that the chart's role lets the operator take, in each test's namespace.
pub(crate) const LEASE: &str = "mixbench";
/// Whom the chart gives its roles to.
const OPERATOR: &str = "system:serviceaccount:mixbench-system:mixbench";

/// A namespace with a proxy before the API server, an operator behind it, and a kubelet.
pub(crate) struct Stage {
    /// Reaches the API server past the proxy.
    pub(crate) client: Client,
    /// The namespace, which enforces Pod Security `restricted`.
    pub(crate) namespace: String,
    /// What the operator's requests pass through.
    pub(crate) proxy: Proxy,
    /// Plays the node.
    pub(crate) kubelet: Kubelet,
    operator: Option<Operator>,
    folder: tempfile::TempDir,
}

impl Stage {
    /// A new one on the shared control plane, with an operator that runs.
    pub(crate) async fn new() -> Self {
        let mut stage = Self::without_operator(&Control::shared()).await;
        stage.start_operator(&[]);
        stage
    }

    /// A new one on this control plane; no operator runs yet.
    pub(crate) async fn without_operator(control: &Control) -> Self {
        let client = control.client().await;
        let namespace = namespace(&client).await;
        let stage = Self {
            proxy: Proxy::start(control.config().await),
            kubelet: Kubelet::new(client.clone(), &namespace).await,
            client,
            namespace,
            operator: None,
            folder: tempfile::tempdir().unwrap(),
        };
        let url = stage.proxy.url();
        std::fs::write(stage.kubeconfig(), kubeconfig(&url, &json!({}))).unwrap();
        std::fs::write(stage.operators_kubeconfig(), kubeconfig(&url, &json!({"as": OPERATOR}))).unwrap();
        stage
    }

    /// A kubeconfig of the administrator that leads through the proxy.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// The same of the operator, who has only the rights that the chart gives.
    fn operators_kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig-of-the-operator")
    }

    /// Starts an operator of this namespace, without a lease, with further arguments.
    pub(crate) fn start_operator(&mut self, more: &[&str]) {
        self.operator = Some(self.another_operator(&[&["--no-lease"], more].concat()));
    }

    /// Starts one more of this namespace.
    pub(crate) fn another_operator(&self, arguments: &[&str]) -> Operator {
        self.operator_with_log("log", arguments)
    }

    /// The same, which writes to a log of this name.
    pub(crate) fn operator_with_log(&self, log: &str, arguments: &[&str]) -> Operator {
        let arguments = [&["--namespace", &self.namespace], arguments].concat();
        Operator::start(&self.operators_kubeconfig(), &self.folder.path().join(log), &arguments)
    }

    /// The operator that was started last.
    pub(crate) fn operator(&mut self) -> &mut Operator {
        self.operator.as_mut().expect("an operator was started")
    }

    /// SIGKILL, and a new one at once.
    pub(crate) fn restart_operator(&mut self) {
        self.operator().kill();
        self.start_operator(&[]);
    }

    /// Objects of the namespace.
    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Applies a benchmark, as `kubectl create` does it.
    pub(crate) async fn create(&self, name: &str, spec: Value) -> MixupBenchmark {
        self.try_create(name, spec).await.unwrap()
    }

    /// The same, which may be refused.
    pub(crate) async fn try_create(&self, name: &str, spec: Value) -> kube::Result<MixupBenchmark> {
        let manifest = json!({"apiVersion": "mixbench.dev/v1alpha1", "kind": "MixupBenchmark",
            "metadata": {"name": name}, "spec": spec});
        let resource = kube::api::ApiResource::erase::<MixupBenchmark>(&());
        let api: Api<kube::api::DynamicObject> = Api::namespaced_with(self.client.clone(), &self.namespace, &resource);
        let object = api.create(&PostParams::default(), &serde_json::from_value(manifest).unwrap()).await?;
        Ok(object.try_parse().unwrap())
    }

    /// Merges into the spec, as `kubectl patch --type merge` does it.
    pub(crate) async fn patch(&self, name: &str, spec: Value) -> kube::Result<MixupBenchmark> {
        let patch = Patch::Merge(json!({"spec": spec}));
        self.api::<MixupBenchmark>().patch(name, &PatchParams::default(), &patch).await
    }

    /// Deletes an object, its children after it.
    pub(crate) async fn delete<K>(&self, name: &str)
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
        K::DynamicType: Default,
    {
        self.api::<K>().delete(name, &DeleteParams::background()).await.unwrap();
    }

    /// Waits until the status of a benchmark is as it should be.
    pub(crate) async fn status(
        &self,
        name: &str,
        what: &str,
        holds: impl Fn(&BenchmarkStatus) -> bool,
    ) -> BenchmarkStatus {
        let api = self.api::<MixupBenchmark>();
        let mut last = None;
        let found = try_for(PATIENCE, async || {
            last = api.get(name).await.unwrap().status;
            last.clone().filter(&holds)
        });
        match found.await {
            Some(status) => status,
            None => panic!("{what}: not within {PATIENCE} s; {name} stands at {}", json!(last)),
        }
    }

    /// Waits until it has ended, in whatever way.
    pub(crate) async fn finished(&self, name: &str) -> BenchmarkStatus {
        self.status(name, "it ends", |status| is(status, "Finished", "True")).await
    }

    /// All objects of a kind in the namespace.
    pub(crate) async fn list<K>(&self) -> Vec<K>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
        K::DynamicType: Default,
    {
        self.api::<K>().list(&ListParams::default()).await.unwrap().items
    }

    /// Waits until the objects of a kind are as they should be.
    pub(crate) async fn all<K>(&self, what: &str, holds: impl Fn(&[K]) -> bool) -> Vec<K>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope> + Clone + DeserializeOwned + Debug + ResourceExt,
        K::DynamicType: Default,
    {
        let mut names = Vec::new();
        let found = try_for(PATIENCE, async || {
            let all = self.list::<K>().await;
            names = all.iter().map(ResourceExt::name_any).collect();
            holds(&all).then_some(all)
        });
        match found.await {
            Some(all) => all,
            None => panic!("{what}: not within {PATIENCE} s; there are {names:?}"),
        }
    }

    /// Waits for so many Jobs.
    pub(crate) async fn jobs(&self, count: usize) -> Vec<Job> {
        self.all("Jobs", |jobs: &[Job]| jobs.len() == count).await
    }

    /// Waits for the pods of so many nodes that no Job is rid of yet, in order of name.
    pub(crate) async fn pods(&self, count: usize) -> Vec<Pod> {
        let live = |pod: &&Pod| {
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            pod.metadata.deletion_timestamp.is_none() && !matches!(phase, Some("Succeeded" | "Failed"))
        };
        let all = self.all("pods", |pods: &[Pod]| pods.iter().filter(live).count() == count).await;
        let mut pods: Vec<Pod> = all.iter().filter(live).cloned().collect();
        pods.sort_by_key(ResourceExt::name_any);
        pods
    }

    /// Waits for the one live pod.
    pub(crate) async fn pod(&self) -> Pod {
        self.pods(1).await.remove(0)
    }

    /// The Services of the namespace.
    pub(crate) async fn services(&self) -> Vec<Service> {
        self.list().await
    }

    /// Reasons of the events that were told of runs, in order of the alphabet, once there are so many.
    pub(crate) async fn events_of_runs(&self, count: usize) -> Vec<String> {
        let of_run = |event: &Event| Some(event.reason.clone()?).filter(|reason| reason.starts_with("Run"));
        let told = |all: &[Event]| all.iter().filter_map(of_run).count() >= count;
        let mut reasons: Vec<String> = self.all("events", told).await.iter().filter_map(of_run).collect();
        reasons.sort();
        reasons
    }

    /// Lets time pass in which nothing should happen.
    pub(crate) async fn rest(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }
}

/// Whether a condition stands there with this status.
pub(crate) fn is(status: &BenchmarkStatus, condition: &str, truth: &str) -> bool {
    status.conditions.iter().any(|c| c.type_ == condition && c.status == truth)
}

/// Reason of a condition.
pub(crate) fn reason<'a>(status: &'a BenchmarkStatus, condition: &str) -> &'a str {
    status.conditions.iter().find(|c| c.type_ == condition).map_or("", |c| &c.reason)
}

/// A new namespace in which pods can be created.
async fn namespace(client: &Client) -> String {
    let namespace = json!({"metadata": {"generateName": "test-",
        "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    let all: Api<Namespace> = Api::all(client.clone());
    let created = all.create(&PostParams::default(), &serde_json::from_value(namespace).unwrap()).await.unwrap();
    let name = created.name_any();
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &name);
    try_for(PATIENCE, async || accounts.get_opt("default").await.unwrap()).await.expect("a service account");
    copy::<Role>(client, &name).await;
    copy::<RoleBinding>(client, &name).await;
    name
}

/// Gives a namespace what the chart puts beside its Lease: the role, and who has it.
async fn copy<K>(client: &Client, namespace: &str)
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope> + Clone + DeserializeOwned + Serialize + Debug,
    K::DynamicType: Default,
{
    let charts: Api<K> = Api::namespaced(client.clone(), "mixbench-system");
    let mut object = charts.get("mixbench-lease").await.unwrap();
    *object.meta_mut() = ObjectMeta { name: object.meta().name.clone(), ..ObjectMeta::default() };
    Api::<K>::namespaced(client.clone(), namespace).create(&PostParams::default(), &object).await.unwrap();
}

fn kubeconfig(server: &str, user: &Value) -> String {
    json!({"apiVersion": "v1", "kind": "Config", "current-context": "proxy",
        "clusters": [{"name": "proxy", "cluster": {"server": server}}],
        "users": [{"name": "proxy", "user": user}],
        "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}]})
    .to_string()
}
