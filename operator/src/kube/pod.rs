//! The pods of an attempt. They pass Pod Security `restricted`, talk to no API server, write nothing but their volumes, and have time for a checkpoint.

use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, DownwardAPIVolumeFile, DownwardAPIVolumeSource, EmptyDirVolumeSource,
    EnvVar, ObjectFieldSelector, PersistentVolumeClaimVolumeSource, PodSecurityContext, PodSpec, PodTemplateSpec,
    ResourceRequirements, SeccompProfile, SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use mixbench_crds::benchmark::{self as ours, DATA_MOUNT, DOCUMENT_MOUNT, MixupBenchmark, RUNS_MOUNT};
use mixbench_crds::run::Run;

use super::job::{Defaults, MASTER_PORT, METRICS_PORT, job_name, labels, service_name, uid};
use super::names;

/// Seconds that a trainer has for its checkpoint once it is told to stop.
pub const GRACE_SECONDS: i64 = 90;
/// Seconds until its pod is killed: the trainer's own grace, and time to notice and to leave.
pub const POD_GRACE_SECONDS: i64 = GRACE_SECONDS + 30;
/// User and group of the trainer, and the group that volumes are given to.
pub const USER: i64 = 65_532;

/// File of the run's document.
const DOCUMENT: &str = "run.json";
/// Resource of a GPU.
const GPU: &str = "nvidia.com/gpu";
/// Most that is written to memory (NCCL's shared segments) and to /tmp.
const SCRATCH: &str = "1Gi";
/// Where Kubernetes reads a container's last word.
const TERMINATION_LOG: &str = "/dev/termination-log";
/// Keeps a cluster's autoscaler from moving a pod to save a node.
const STAY: (&str, &str) = ("cluster-autoscaler.kubernetes.io/safe-to-evict", "false");

const DATA: &str = "data";
const RUNS: &str = "runs";
const RUN_FILE: &str = "run";
const SHM: &str = "shm";
const TMP: &str = "tmp";

/// Template of the pods of an attempt.
pub(super) fn template(benchmark: &MixupBenchmark, run: &Run, defaults: &Defaults) -> PodTemplateSpec {
    let document = serde_json::to_string(run).expect("a run has string keys and finite numbers");
    let annotations = [(names::RUN, run.id.clone()), (names::RUN_DOCUMENT, document), (STAY.0, STAY.1.to_owned())];
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels(benchmark, run)),
            annotations: Some(annotations.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
            ..ObjectMeta::default()
        }),
        spec: Some(spec(benchmark, run, defaults)),
    }
}

fn spec(benchmark: &MixupBenchmark, run: &Run, defaults: &Defaults) -> PodSpec {
    let trainer = &benchmark.spec.trainer;
    let (mut volumes, mut mounts) = own_volumes(benchmark);
    volumes.extend(trainer.volumes.iter().map(ours::ExtraVolume::to_k8s));
    mounts.extend(trainer.volume_mounts.iter().map(ours::ExtraMount::to_k8s));
    PodSpec {
        restart_policy: Some("Never".into()),
        termination_grace_period_seconds: Some(POD_GRACE_SECONDS),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        subdomain: (run.spec.world.nodes > 1).then(|| service_name(benchmark)),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            fs_group: Some(USER),
            fs_group_change_policy: Some("OnRootMismatch".into()),
            seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".into(), localhost_profile: None }),
            ..PodSecurityContext::default()
        }),
        image_pull_secrets: some(trainer.image_pull_secrets.iter().map(ours::SecretRef::to_k8s).collect()),
        node_selector: Some(trainer.node_selector.clone()).filter(|s| !s.is_empty()),
        tolerations: some(trainer.tolerations.iter().map(ours::Toleration::to_k8s).collect()),
        affinity: trainer.affinity.as_ref().map(ours::Affinity::to_k8s),
        priority_class_name: trainer.priority_class_name.clone(),
        runtime_class_name: trainer.runtime_class_name.clone(),
        containers: vec![container(benchmark, run, defaults, mounts)],
        volumes: Some(volumes),
        ..PodSpec::default()
    }
}

fn container(benchmark: &MixupBenchmark, run: &Run, defaults: &Defaults, mounts: Vec<VolumeMount>) -> Container {
    let trainer = &benchmark.spec.trainer;
    let pull_policy = trainer.image_pull_policy.map(|p| p.as_str().to_owned());
    Container {
        name: names::CONTAINER.into(),
        image: Some(trainer.image.clone().unwrap_or_else(|| defaults.image.clone())),
        image_pull_policy: pull_policy.or_else(|| defaults.pull_policy.clone()),
        command: Some(vec!["mixbench-trainer".into()]),
        args: Some(arguments(run)),
        env: Some(environment(benchmark, run)),
        ports: Some(vec![ContainerPort {
            name: Some("metrics".into()),
            container_port: METRICS_PORT.into(),
            ..ContainerPort::default()
        }]),
        resources: resources(benchmark, run),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), add: None }),
            read_only_root_filesystem: Some(true),
            run_as_non_root: Some(true),
            ..SecurityContext::default()
        }),
        termination_message_path: Some(TERMINATION_LOG.into()),
        termination_message_policy: Some("File".into()),
        volume_mounts: Some(mounts),
        ..Container::default()
    }
}

fn arguments(run: &Run) -> Vec<String> {
    [
        "launch",
        "--run",
        &format!("{DOCUMENT_MOUNT}/{DOCUMENT}"),
        "--dir",
        &format!("{RUNS_MOUNT}/{}", run.id),
        "--auto-resume",
        "--termination-log",
        TERMINATION_LOG,
        "--metrics-port",
        &METRICS_PORT.to_string(),
        "--grace",
        &GRACE_SECONDS.to_string(),
    ]
    .map(str::to_owned)
    .into()
}

/// Ours and the manifest's, which may set a home of its own; what a trainer is told by mixbench, a manifest cannot name.
fn environment(benchmark: &MixupBenchmark, run: &Run) -> Vec<EnvVar> {
    let mut own = vec![
        // The root file system is read-only, and the user has no home.
        ("HOME", "/tmp".to_owned()),
        ("TMPDIR", "/tmp".to_owned()),
        ("MIXBENCH_LOG_FORMAT", "json".to_owned()),
    ];
    if run.spec.world.nodes > 1 {
        own.push(("MASTER_ADDR", format!("{}-0.{}", job_name(benchmark, run), service_name(benchmark))));
        own.push(("MASTER_PORT", MASTER_PORT.to_string()));
    }
    let given = &benchmark.spec.trainer.env;
    own.retain(|(name, _)| given.iter().all(|v| v.name != *name));
    let set = |(name, value): (&str, String)| EnvVar { name: name.to_owned(), value: Some(value), value_from: None };
    own.into_iter().map(set).chain(given.iter().map(ours::EnvVar::to_k8s)).collect()
}

fn resources(benchmark: &MixupBenchmark, run: &Run) -> Option<ResourceRequirements> {
    let mut wanted = benchmark.spec.trainer.resources.as_ref().map(ours::Resources::to_k8s).unwrap_or_default();
    let gpus = run.spec.world.gpus_per_node;
    if gpus > 0 {
        wanted.limits.get_or_insert_default().insert(GPU.into(), Quantity(gpus.to_string()));
    }
    Some(wanted).filter(|w| *w != ResourceRequirements::default())
}

/// The volumes that every trainer has, and where they are seen.
fn own_volumes(benchmark: &MixupBenchmark) -> (Vec<Volume>, Vec<VolumeMount>) {
    let mut volumes = vec![document(), scratch(SHM, Some("Memory")), scratch(TMP, None)];
    let mut mounts = vec![
        VolumeMount { read_only: Some(true), ..mount(RUN_FILE, DOCUMENT_MOUNT) },
        mount(SHM, "/dev/shm"),
        mount(TMP, "/tmp"),
    ];
    let storage = benchmark.spec.storage.volume.as_ref();
    if let Some(storage) = storage {
        volumes.push(claim(RUNS, &storage.claim_name, false));
        mounts.push(VolumeMount { sub_path: Some(folder(benchmark)), ..mount(RUNS, RUNS_MOUNT) });
    } else {
        let empty = EmptyDirVolumeSource::default();
        volumes.push(Volume { name: RUNS.into(), empty_dir: Some(empty), ..Volume::default() });
        mounts.push(mount(RUNS, RUNS_MOUNT));
    }
    if let Some(data) = &benchmark.spec.data.volume {
        // A claim that a pod names twice may never be mounted: data and storage on the same one share a volume.
        let shared = storage.is_some_and(|s| s.claim_name == data.claim_name);
        if !shared {
            volumes.push(claim(DATA, &data.claim_name, true));
        }
        let volume = if shared { RUNS } else { DATA };
        mounts.push(VolumeMount { read_only: Some(true), ..mount(volume, DATA_MOUNT) });
    }
    (volumes, mounts)
}

/// Folder of the benchmark's runs on its storage volume.
fn folder(benchmark: &MixupBenchmark) -> String {
    let own = names::folder(benchmark.metadata.name.as_deref().unwrap_or_default(), uid(benchmark));
    let below = benchmark.spec.storage.volume.as_ref().and_then(|v| v.sub_path.as_deref());
    let below = below.map_or(String::new(), |path| format!("{path}/"));
    format!("{below}{own}/runs")
}

/// The run's document, out of the pod's own annotation.
fn document() -> Volume {
    let file = DownwardAPIVolumeFile {
        path: DOCUMENT.into(),
        field_ref: Some(ObjectFieldSelector {
            api_version: Some("v1".into()),
            field_path: format!("metadata.annotations['{}']", names::RUN_DOCUMENT),
        }),
        ..DownwardAPIVolumeFile::default()
    };
    let source = DownwardAPIVolumeSource { items: Some(vec![file]), default_mode: Some(0o444) };
    Volume { name: RUN_FILE.into(), downward_api: Some(source), ..Volume::default() }
}

fn scratch(name: &str, medium: Option<&str>) -> Volume {
    let source = EmptyDirVolumeSource { medium: medium.map(str::to_owned), size_limit: Some(Quantity(SCRATCH.into())) };
    Volume { name: name.into(), empty_dir: Some(source), ..Volume::default() }
}

fn claim(name: &str, claim: &str, read_only: bool) -> Volume {
    let source = PersistentVolumeClaimVolumeSource { claim_name: claim.into(), read_only: read_only.then_some(true) };
    Volume { name: name.into(), persistent_volume_claim: Some(source), ..Volume::default() }
}

fn mount(name: &str, path: &str) -> VolumeMount {
    VolumeMount { name: name.into(), mount_path: path.into(), ..VolumeMount::default() }
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    Some(list).filter(|l| !l.is_empty())
}
