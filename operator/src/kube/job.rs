//! The Job of one attempt, and the Service under which its pods find each other. Pure.
//!
//! A Job is one attempt and never more: the first pod that fails takes all others with it, and whether there is another attempt is decided
//! by [`decide`](crate::decide::decide) alone.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyOnPodConditionsPattern,
    PodFailurePolicyRule, SuccessPolicy, SuccessPolicyRule,
};
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource as _;
use mixbench_crds::benchmark::MixupBenchmark;
use mixbench_crds::exit::Exit;
use mixbench_crds::run::Run;

use super::{names, pod};

/// Port of rank 0's progress endpoint.
pub const METRICS_PORT: u16 = 9090;
/// Port where the machines of a run meet.
pub const MASTER_PORT: u16 = 29_500;
/// Condition of a pod that its node, its scheduler or an eviction ended.
pub const DISRUPTION_TARGET: &str = "DisruptionTarget";

/// What a manifest need not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// Image of the trainer.
    pub image: String,
    /// When it is pulled: Always, IfNotPresent or Never; Kubernetes' own rule where absent.
    pub pull_policy: Option<String>,
}

/// A planned run as attempt `attempt` gets it.
pub fn attempt(benchmark: &MixupBenchmark, run: &Run, attempt: u32) -> Run {
    let nonce = Run::nonce_of(uid(benchmark), &run.id, attempt);
    Run { attempt, nonce, ..run.clone() }
}

/// The Job of an attempt; `run` is as [`attempt`] gives it.
pub fn job(benchmark: &MixupBenchmark, run: &Run, defaults: &Defaults) -> Job {
    let nodes = i32::try_from(run.spec.world.nodes).unwrap_or(i32::MAX);
    Job {
        metadata: ObjectMeta {
            name: Some(job_name(benchmark, run)),
            namespace: benchmark.metadata.namespace.clone(),
            labels: Some(labels(benchmark, run)),
            annotations: Some(BTreeMap::from([(names::RUN.to_owned(), run.id.clone())])),
            owner_references: Some(vec![owner(benchmark)]),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            completion_mode: Some("Indexed".into()),
            completions: Some(nodes),
            parallelism: Some(nodes),
            backoff_limit: Some(0),
            pod_replacement_policy: Some("Failed".into()),
            pod_failure_policy: Some(PodFailurePolicy { rules: failure_rules() }),
            success_policy: Some(SuccessPolicy {
                rules: vec![SuccessPolicyRule { succeeded_indexes: Some("0".into()), succeeded_count: None }],
            }),
            template: pod::template(benchmark, run, defaults),
            ..JobSpec::default()
        }),
        status: None,
    }
}

/// The headless Service of a benchmark whose runs have several machines. One serves all runs: the host names of pods begin with their Job's name.
pub fn service(benchmark: &MixupBenchmark, run: &Run) -> Option<Service> {
    let owned = BTreeMap::from([
        (names::BENCHMARK.to_owned(), benchmark.metadata.name.clone().unwrap_or_default()),
        (names::OWNER.to_owned(), names::owner_hash(uid(benchmark))),
    ]);
    let service = || Service {
        metadata: ObjectMeta {
            name: Some(service_name(benchmark)),
            namespace: benchmark.metadata.namespace.clone(),
            labels: Some([owned.clone(), fixed_labels()].into_iter().flatten().collect()),
            owner_references: Some(vec![owner(benchmark)]),
            ..ObjectMeta::default()
        },
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".into()),
            // The machines meet before any of them is ready.
            publish_not_ready_addresses: Some(true),
            selector: Some(owned.clone()),
            ports: Some(vec![ServicePort {
                name: Some("master".into()),
                port: MASTER_PORT.into(),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        status: None,
    };
    (run.spec.world.nodes > 1).then(service)
}

pub(super) fn job_name(benchmark: &MixupBenchmark, run: &Run) -> String {
    let name = benchmark.metadata.name.as_deref().unwrap_or_default();
    names::job_name(name, uid(benchmark), &run.id, run.attempt)
}

pub(super) fn service_name(benchmark: &MixupBenchmark) -> String {
    names::service_name(benchmark.metadata.name.as_deref().unwrap_or_default(), uid(benchmark))
}

pub(super) fn uid(benchmark: &MixupBenchmark) -> &str {
    benchmark.metadata.uid.as_deref().unwrap_or_default()
}

/// Labels of a Job and of its pods.
pub(super) fn labels(benchmark: &MixupBenchmark, run: &Run) -> BTreeMap<String, String> {
    let own = [
        (names::BENCHMARK, benchmark.metadata.name.clone().unwrap_or_default()),
        (names::OWNER, names::owner_hash(uid(benchmark))),
        (names::RUN, names::run_label(&run.id)),
        (names::ATTEMPT, run.attempt.to_string()),
    ];
    own.into_iter().map(|(key, value)| (key.to_owned(), value)).chain(fixed_labels()).collect()
}

fn fixed_labels() -> BTreeMap<String, String> {
    let fixed = [("app.kubernetes.io/name", "mixbench-trainer"), ("app.kubernetes.io/managed-by", "mixbench-operator")];
    fixed.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// The benchmark as the controller of what it owns. It does not wait for its children to go: that needs no finalizer.
fn owner(benchmark: &MixupBenchmark) -> OwnerReference {
    OwnerReference {
        api_version: MixupBenchmark::api_version(&()).into_owned(),
        kind: MixupBenchmark::kind(&()).into_owned(),
        name: benchmark.metadata.name.clone().unwrap_or_default(),
        uid: uid(benchmark).to_owned(),
        controller: Some(true),
        block_owner_deletion: None,
    }
}

/// Our exits and every disruption fail the Job at once and with a reason that names them; so does, without a rule, whatever else ends a pod.
fn failure_rules() -> Vec<PodFailurePolicyRule> {
    let mut codes: Vec<i32> = Exit::ALL.into_iter().filter(|e| *e != Exit::Ok).map(|e| e.code().into()).collect();
    codes.sort_unstable();
    let fail = "FailJob".to_owned();
    vec![
        PodFailurePolicyRule {
            action: fail.clone(),
            on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
                container_name: Some(names::CONTAINER.into()),
                operator: "In".into(),
                values: codes,
            }),
            on_pod_conditions: None,
        },
        PodFailurePolicyRule {
            action: fail,
            on_exit_codes: None,
            on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
                type_: DISRUPTION_TARGET.into(),
                status: Some("True".into()),
            }]),
        },
    ]
}

#[cfg(test)]
mod tests;
