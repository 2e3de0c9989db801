//! How far live runs are: rank 0 of each is asked at most once a minute, beside the turns, which find the answers in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use futures::stream::{self, StreamExt as _};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::ObjectRef;
use mixbench_crds::benchmark::{BenchmarkStatus, MixupBenchmark, RunPhase, RunStatus};
use tracing::Instrument as _;

use super::controller::Scope;
use super::job::METRICS_PORT;
use super::progress;
use super::{log, names};
use crate::plan::Plan;

/// Runs of a benchmark that are asked at once.
const AT_ONCE: usize = 8;

/// Starts asking the live runs of a benchmark, if it is time again.
pub(super) fn ask(
    scope: &Scope,
    benchmark: &MixupBenchmark,
    plan: &Plan,
    status: &BenchmarkStatus,
    jobs: &[Arc<Job>],
    pods: &[Arc<Pod>],
) {
    let targets = targets(benchmark, status, jobs, pods);
    let uid = benchmark.uid().unwrap_or_default();
    if targets.is_empty() || !scope.edge.memory.asks(&uid, Instant::now()) {
        return;
    }
    let targets: Vec<_> = targets.into_iter().map(|(run, address)| (epochs(plan, &run), run, address)).collect();
    let (edge, poke, whose) = (Arc::clone(&scope.edge), scope.poke.clone(), benchmark.clone());
    let span = log::benchmark(&benchmark.namespace().unwrap_or_default(), &benchmark.name_any());
    let work = async move {
        let asked: BTreeSet<String> = targets.iter().map(|(_, run, _)| run.clone()).collect();
        let answers = stream::iter(targets).map(|(epochs, run, address)| async move {
            match progress::pull(address, &run).await {
                Ok(progress) => Some((run, progress.row(epochs))),
                Err(error) => {
                    tracing::debug!(run, %address, %error, "a run does not say how far it is");
                    None
                }
            }
        });
        let answers: BTreeMap<_, _> = answers.buffer_unordered(AT_ONCE).filter_map(std::future::ready).collect().await;
        edge.memory.heard(&uid, &asked, answers);
        // Nobody listens once the loop has stopped.
        drop(poke.unbounded_send(ObjectRef::from_obj(&DeserializeGuard(Ok(whose)))));
    };
    tokio::spawn(work.instrument(span));
}

fn epochs(plan: &Plan, run: &str) -> u32 {
    plan.run(run).map_or(0, |planned| planned.run.spec.training.epochs)
}

/// Where rank 0 of each running run answers: only in pods of Jobs of this benchmark.
pub(super) fn targets(
    benchmark: &MixupBenchmark,
    status: &BenchmarkStatus,
    jobs: &[Arc<Job>],
    pods: &[Arc<Pod>],
) -> BTreeMap<String, SocketAddr> {
    let running = status.runs.iter().filter(|row| row.state == RunPhase::Running);
    let address = |row: &RunStatus| {
        let job = jobs.iter().find(|job| job.metadata.name == row.job && owned(benchmark, job))?;
        let pod = pods.iter().find(|pod| first(pod, job))?;
        let ip: IpAddr = pod.status.as_ref()?.pod_ip.as_deref()?.parse().ok()?;
        Some((row.id.clone(), SocketAddr::new(ip, METRICS_PORT)))
    };
    running.filter_map(address).collect()
}

fn owned(benchmark: &MixupBenchmark, job: &Job) -> bool {
    job.owner_references().iter().any(|o| o.controller == Some(true) && Some(&o.uid) == benchmark.uid().as_ref())
}

/// Whether it is the running pod of a Job's rank 0.
fn first(pod: &Pod, job: &Job) -> bool {
    let owned = pod.owner_references().iter().any(|o| o.controller == Some(true) && Some(&o.uid) == job.uid().as_ref());
    let running = pod.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Running");
    let index = pod.labels().get(names::COMPLETION_INDEX).map(String::as_str);
    owned && running && index == Some("0") && pod.metadata.deletion_timestamp.is_none()
}
