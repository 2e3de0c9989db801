//! The loop: watches fill stores and say whose turn it is; turns of one benchmark never overlap.
//!
//! This is kube's `Controller` in its open form ([`applier`]), because its `owns` keeps no store and takes one namespace: here every kind
//! is watched once, trimmed to what is read, and a turn reads nothing but the stores.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc;
use futures::future::{self, BoxFuture, FutureExt as _, Shared};
use futures::stream::{self, BoxStream, StreamExt as _};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use kube::api::ObjectMeta;
use kube::core::DeserializeGuard;
use kube::runtime::controller::{self, Action, ReconcileReason, ReconcileRequest};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::reflector::store::{Store, Writer};
use kube::runtime::utils::{Backoff, CancelableJoinHandle};
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{WatchStreamExt as _, applier};
use kube::{Api, Client, Resource, ResourceExt as _};
use mixbench_crds::benchmark::MixupBenchmark;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::names;
use super::reconcile::{Edge, error_policy, reconcile};

/// A benchmark, or why this object is none: a strange one must not stop the watch over all others.
pub type Guarded = DeserializeGuard<MixupBenchmark>;

/// Quiet time after a change before a turn: a Job's end comes as several changes of it and of its pods.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// First and longest wait before a watch that failed is tried again: an API server that is back is at work again within five seconds.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(3));

/// What is seen of one namespace, or of all.
#[derive(Clone, Debug)]
pub struct Stores {
    /// Benchmarks.
    pub benchmarks: Store<Guarded>,
    /// Their Jobs, without pod template and managed fields.
    pub jobs: Store<Job>,
    /// Their pods, without spec and managed fields.
    pub pods: Store<Pod>,
    filled: Shared<BoxFuture<'static, bool>>,
}

impl Stores {
    /// Stores that are filled by watches.
    pub fn new(benchmarks: Store<Guarded>, jobs: Store<Job>, pods: Store<Pod>) -> Self {
        let wait = (benchmarks.clone(), jobs.clone(), pods.clone());
        let filled = async move {
            let (benchmarks, jobs, pods) = wait;
            let filled = future::join3(benchmarks.wait_until_ready(), jobs.wait_until_ready(), pods.wait_until_ready());
            matches!(filled.await, (Ok(()), Ok(()), Ok(())))
        };
        Self { benchmarks, jobs, pods, filled: filled.boxed().shared() }
    }

    /// Waits until every store was filled once. Of all that wait for a store, it wakes only one: so one future waits, which all share.
    pub async fn ready(&self) -> bool {
        self.filled.clone().await
    }

    /// Jobs and pods that carry the benchmark's label.
    pub fn children(&self, benchmark: &MixupBenchmark) -> (Vec<Arc<Job>>, Vec<Arc<Pod>>) {
        let (namespace, name) = (benchmark.namespace(), benchmark.name_any());
        let mine = |meta: &ObjectMeta| meta.namespace == namespace && label(meta) == Some(name.as_str());
        (self.jobs.state_filter(|job| mine(&job.metadata)), self.pods.state_filter(|pod| mine(&pod.metadata)))
    }

    /// The benchmark of this name in the namespace of `beside`.
    pub fn beside(&self, beside: &MixupBenchmark, name: &str) -> Option<MixupBenchmark> {
        let found = self.benchmarks.get(&reference(name, beside.namespace().as_deref()))?;
        found.0.as_ref().ok().cloned()
    }

    fn all(&self) -> Vec<ObjectRef<Guarded>> {
        self.benchmarks.state().iter().map(|b| ObjectRef::from_obj(b.as_ref())).collect()
    }

    /// Benchmarks that take the means of `other` as their references.
    fn dependents(&self, other: &Guarded) -> Vec<ObjectRef<Guarded>> {
        let (namespace, name) = (other.namespace(), other.name_any());
        let wanted = |b: &Guarded| {
            let other = b.0.as_ref().ok().and_then(|b| b.spec.reference.benchmark.as_deref());
            b.namespace() == namespace && other == Some(name.as_str())
        };
        self.benchmarks.state_filter(wanted).iter().map(|b| ObjectRef::from_obj(b.as_ref())).collect()
    }
}

/// One watched part of the cluster: what a reconcile gets.
pub struct Scope {
    /// What all scopes share.
    pub edge: Arc<Edge>,
    /// What is seen.
    pub stores: Stores,
    /// Asks for a turn of a benchmark.
    pub poke: mpsc::UnboundedSender<ObjectRef<Guarded>>,
}

/// Takes turns of every benchmark in `namespaces` (none: in all) until `stop` is true; turns that have begun are finished.
pub async fn run(edge: Arc<Edge>, namespaces: &[String], stop: watch::Receiver<bool>) {
    edge.pulse.ready(false);
    let wanted: Vec<Option<&str>> =
        if namespaces.is_empty() { vec![None] } else { namespaces.iter().map(|n| Some(n.as_str())).collect() };
    let scopes: Vec<_> = wanted.into_iter().map(|namespace| open(&edge, namespace)).collect();
    let filled = future::join_all(scopes.iter().map(|(scope, _)| scope.stores.clone()).map(filled));
    let filled = async {
        if filled.await.into_iter().all(|filled| filled) {
            tracing::info!("the caches are filled");
            edge.pulse.ready(true);
        }
    };
    let turns = future::join_all(scopes.into_iter().map(|(scope, queue)| drive(scope, queue, stop.clone())));
    future::join(turns, filled).await;
}

async fn filled(stores: Stores) -> bool {
    stores.ready().await
}

/// Watches of one namespace, or of all, and whose turn they say it is.
fn open(edge: &Arc<Edge>, namespace: Option<&str>) -> (Arc<Scope>, Requests) {
    let writers = (Writer::<Guarded>::new(()), Writer::<Job>::new(()), Writer::<Pod>::new(()));
    let stores = Stores::new(writers.0.as_reader(), writers.1.as_reader(), writers.2.as_reader());
    let client = &edge.client;
    let (all, ours) = (watcher::Config::default(), watcher::Config::default().labels(names::BENCHMARK));
    let (seen, memory) = (stores.clone(), Arc::clone(edge));
    let mut known = Known::new();
    let wake = move |event: &Event<_>| wake_benchmarks(&seen, &memory, &mut known, event);
    let benchmarks = watched(api(client, namespace), all, trim_benchmark, writers.0, wake);
    let seen = stores.clone();
    let wake = move |event: &Event<_>| wake_owner(&seen, event);
    let jobs = watched(api(client, namespace), ours.clone(), trim_job, writers.1, wake);
    let seen = stores.clone();
    let wake = move |event: &Event<_>| wake_owner(&seen, event);
    let pods = watched(api(client, namespace), ours, trim_pod, writers.2, wake);
    let (poke, poked) = mpsc::unbounded();
    let poked = poked.map(|reference| Ok(request(reference, ReconcileReason::Unknown))).boxed();
    let queue = stream::select_all([benchmarks, jobs, pods, poked]).boxed();
    (Arc::new(Scope { edge: Arc::clone(edge), stores, poke }), queue)
}

async fn drive(scope: Arc<Scope>, queue: Requests, mut stop: watch::Receiver<bool>) {
    let stopped = async move { drop(stop.wait_for(|stop| *stop).await) };
    let config = controller::Config::default().debounce(DEBOUNCE).concurrency(scope.edge.concurrency);
    let reader = scope.stores.benchmarks.clone();
    let turn =
        |object, scope| CancelableJoinHandle::spawn(reconcile(object, scope), &tokio::runtime::Handle::current());
    let mut ends = pin!(applier(turn, error_policy, scope, reader, queue.take_until(stopped.boxed()), config));
    while let Some(end) = ends.next().await {
        log(end);
    }
}

fn log<E: std::error::Error>(end: Result<(ObjectRef<Guarded>, Action), controller::Error<E, watcher::Error>>) {
    match end {
        // A turn logs its own failure, with the ids that this place has not.
        Ok(_) | Err(controller::Error::ReconcilerFailed(..)) => {}
        Err(controller::Error::ObjectNotFound(object)) => tracing::debug!(%object, "it is gone before its turn"),
        Err(error) => tracing::warn!(%error, "a watch failed and is tried again"),
    }
}

fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
{
    namespace.map_or_else(|| Api::all(client.clone()), |namespace| Api::namespaced(client.clone(), namespace))
}

type Requests = BoxStream<'static, Result<ReconcileRequest<Guarded>, watcher::Error>>;

/// Watches a kind into its store; `wake` says whose turn an event makes it, after the store has it.
fn watched<K>(
    api: Api<K>,
    config: watcher::Config,
    trim: fn(&mut K),
    store: Writer<K>,
    mut wake: impl FnMut(&Event<K>) -> Vec<ObjectRef<Guarded>> + Send + 'static,
) -> Requests
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
{
    let events = watcher(api, config).modify(trim).reflect(store).backoff(Retry::default());
    let requests = events.map(move |event| match event {
        Ok(event) => {
            let reason = ReconcileReason::ObjectUpdated;
            let woken = wake(&event).into_iter().map(move |reference| Ok(request(reference, reason.clone())));
            stream::iter(woken).left_stream()
        }
        Err(error) => stream::once(future::ready(Err(error))).right_stream(),
    });
    requests.flatten().boxed()
}

const fn request(obj_ref: ObjectRef<Guarded>, reason: ReconcileReason) -> ReconcileRequest<Guarded> {
    ReconcileRequest { obj_ref, reason }
}

/// Whose turn a change of a benchmark makes it: its own, and that of those that compare themselves with it. `known` are all that there were:
/// one that vanished while the watch was down shows in no event of its own.
fn wake_benchmarks(stores: &Stores, edge: &Edge, known: &mut Known, event: &Event<Guarded>) -> Vec<ObjectRef<Guarded>> {
    match event {
        Event::Apply(object) => {
            known.insert(ObjectRef::from_obj(object), object.uid().unwrap_or_default());
            let mut woken = stores.dependents(object);
            woken.push(ObjectRef::from_obj(object));
            woken
        }
        Event::Delete(object) => {
            let gone = ObjectRef::from_obj(object);
            edge.forget(&gone, known.remove(&gone).as_deref());
            stores.dependents(object)
        }
        // Only now does the store hold them; a turn before would be of what was there before.
        Event::InitDone => {
            let all = stores.benchmarks.state();
            let now: Known = all.iter().map(|b| (ObjectRef::from_obj(&**b), b.uid().unwrap_or_default())).collect();
            for (gone, uid) in std::mem::replace(known, now.clone()) {
                if !now.contains_key(&gone) {
                    edge.forget(&gone, Some(&uid));
                }
            }
            now.into_keys().collect()
        }
        Event::Init | Event::InitApply(_) => Vec::new(),
    }
}

/// UIDs of benchmarks.
type Known = HashMap<ObjectRef<Guarded>, String>;

/// Whose turn a change of a Job or a pod makes it. What vanished while the watch was down shows in no event of its own: all are asked.
fn wake_owner<K: Resource>(stores: &Stores, event: &Event<K>) -> Vec<ObjectRef<Guarded>> {
    match event {
        Event::Apply(child) | Event::Delete(child) => {
            let meta = child.meta();
            label(meta).map(|name| reference(name, meta.namespace.as_deref())).into_iter().collect()
        }
        Event::InitDone => stores.all(),
        Event::Init | Event::InitApply(_) => Vec::new(),
    }
}

fn label(meta: &ObjectMeta) -> Option<&str> {
    meta.labels.as_ref()?.get(names::BENCHMARK).map(String::as_str)
}

fn reference(name: &str, namespace: Option<&str>) -> ObjectRef<Guarded> {
    let reference = ObjectRef::new(name);
    namespace.map_or_else(|| reference.clone(), |namespace| reference.clone().within(namespace))
}

fn trim_benchmark(object: &mut Guarded) {
    object.meta_mut().managed_fields = None;
}

fn trim_job(job: &mut Job) {
    job.metadata.managed_fields = None;
    if let Some(spec) = &mut job.spec {
        spec.template = PodTemplateSpec::default();
    }
}

fn trim_pod(pod: &mut Pod) {
    pod.metadata.managed_fields = None;
    pod.metadata.annotations = None;
    pod.spec = None;
}

/// Waits of a watch that fails: doubling, with jitter, so that a server that comes back is not run over and is noticed soon.
#[derive(Debug, Default)]
struct Retry {
    failed: u32,
}

impl Iterator for Retry {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let wait = RETRY.0.saturating_mul(1 << self.failed.min(8)).min(RETRY.1);
        self.failed = self.failed.saturating_add(1);
        Some(wait.mul_f64(0.5 + fastrand::f64() / 2.0))
    }
}

impl Backoff for Retry {
    fn reset(&mut self) {
        self.failed = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everybody_who_waits_for_the_stores_wakes() {
        let mut writers = (Writer::<Guarded>::new(()), Writer::<Job>::new(()), Writer::<Pod>::new(()));
        let stores = Stores::new(writers.0.as_reader(), writers.1.as_reader(), writers.2.as_reader());
        let wait = || {
            let stores = stores.clone();
            tokio::spawn(async move { stores.ready().await })
        };
        let waiting = [wait(), wait(), wait()];
        tokio::task::yield_now().await;
        writers.0.apply_watcher_event(&Event::InitDone);
        tokio::task::yield_now().await;
        writers.1.apply_watcher_event(&Event::InitDone);
        writers.2.apply_watcher_event(&Event::InitDone);
        for waits in waiting {
            let woken = tokio::time::timeout(Duration::from_secs(20), waits).await;
            assert!(woken.expect("it never wakes").expect("it does not panic"));
        }
    }
}
