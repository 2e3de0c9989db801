//! What is created, to the field; and that Pod Security `restricted` has nothing to say against it.

use k8s_openapi::api::core::v1::{PodSpec, Volume};
use mixbench_crds::benchmark::MixupBenchmark;

use super::*;
use crate::{manifest, plan, validate};

/// The quickstart with these changes to its spec.
fn benchmark(change: &serde_json::Value) -> MixupBenchmark {
    let text = include_str!("../../../../crds/benchmarks/quickstart.yaml");
    let good = validate::check(&manifest::parse(text).expect("YAML")[0]).expect("good").0;
    let mut value = serde_json::to_value(good).expect("JSON");
    merge(&mut value["spec"], change);
    let mut benchmark: MixupBenchmark = serde_json::from_value(value).expect("still a benchmark");
    benchmark.metadata.name = Some("nightly".into());
    benchmark.metadata.namespace = Some("team".into());
    benchmark.metadata.uid = Some("0b1a2f6e-6f6b-4b52-8d43-0d2f6c1a9e11".into());
    benchmark
}

fn merge(into: &mut serde_json::Value, change: &serde_json::Value) {
    match (into, change) {
        (serde_json::Value::Object(into), serde_json::Value::Object(change)) => {
            for (key, value) in change {
                merge(into.entry(key.clone()).or_insert(serde_json::Value::Null), value);
            }
        }
        (into, change) => *into = change.clone(),
    }
}

fn first_run(benchmark: &MixupBenchmark) -> Run {
    let plan = plan::plan(&validate::validate(benchmark).expect("good"));
    attempt(benchmark, &plan.runs[0].run, 2)
}

fn defaults() -> Defaults {
    Defaults { image: "example.org/mixbench-trainer:0.1.0".into(), pull_policy: None }
}

/// The Job (and the Service) as people read them.
fn yaml<T: serde::Serialize>(object: &T) -> String {
    serde_saphyr::to_string(&serde_json::to_value(object).expect("JSON")).expect("YAML")
}

fn pod(job: &Job) -> PodSpec {
    job.spec.as_ref().expect("a spec").template.spec.clone().expect("a pod")
}

fn two_nodes() -> MixupBenchmark {
    benchmark(&serde_json::json!({
        "data": {"uri": null, "name": "fashion-mnist-2k", "mean": ["0.286", "0.286", "0.286"], "std": ["0.353", "0.353", "0.353"],
            "volume": {"claimName": "datasets", "subPath": "fashion", "format": "idx"}},
        "storage": {"volume": {"claimName": "results", "subPath": "mixbench"}},
        "recipe": {"overrides": {"microBatch": 4}},
        "trainer": {
            "image": "example.org/own:1", "imagePullPolicy": "Always", "imagePullSecrets": [{"name": "registry"}],
            "nodes": 2, "gpusPerNode": 4, "processesPerNode": 1,
            "resources": {"requests": {"cpu": "8"}, "limits": {"memory": "64Gi"}},
            "env": [{"name": "NCCL_DEBUG", "value": "WARN $(HOME)"}, {"name": "HOME", "value": "/tmp/me"}],
            "nodeSelector": {"gpu": "h100"}, "priorityClassName": "low", "runtimeClassName": "nvidia",
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
            "volumes": [{"name": "cache", "emptyDir": {}}], "volumeMounts": [{"name": "cache", "mountPath": "/cache"}]
        }
    }))
}

#[test]
fn a_run_on_one_cpu_node_is_this_job_and_no_service() {
    let benchmark = benchmark(&serde_json::json!({}));
    let run = first_run(&benchmark);
    insta::assert_snapshot!("one_cpu_node", yaml(&job(&benchmark, &run, &defaults())));
    assert_eq!(service(&benchmark, &run), None);
}

#[test]
fn a_run_on_two_gpu_nodes_is_this_job_and_this_service() {
    let benchmark = two_nodes();
    let run = first_run(&benchmark);
    insta::assert_snapshot!("two_gpu_nodes", yaml(&job(&benchmark, &run, &defaults())));
    insta::assert_snapshot!("two_gpu_nodes_service", yaml(&service(&benchmark, &run).expect("a service")));
}

#[test]
fn the_document_in_the_annotation_is_the_run_of_this_attempt() {
    let benchmark = two_nodes();
    let made = first_run(&benchmark);
    let job = job(&benchmark, &made, &defaults());
    let template = job.spec.expect("a spec").template.metadata.expect("metadata");
    let run = Run::parse(&template.annotations.expect("annotations")[names::RUN_DOCUMENT]).expect("a run");
    assert_eq!(run, made);
    assert_eq!(run.nonce, Run::nonce_of("0b1a2f6e-6f6b-4b52-8d43-0d2f6c1a9e11", &run.id, 2));
}

/// The rules of the standard, as far as a pod can break them.
#[test]
fn pods_pass_pod_security_restricted() {
    for benchmark in [benchmark(&serde_json::json!({})), two_nodes()] {
        let pod = pod(&job(&benchmark, &first_run(&benchmark), &defaults()));
        let all = pod.security_context.expect("a context");
        assert_eq!(all.run_as_non_root, Some(true));
        assert!(all.run_as_user.is_some_and(|u| u > 0) && all.run_as_group.is_some_and(|g| g > 0));
        assert_eq!(all.seccomp_profile.expect("a profile").type_, "RuntimeDefault");
        assert!(pod.host_network.is_none() && pod.host_pid.is_none() && pod.host_ipc.is_none());
        assert_eq!(pod.automount_service_account_token, Some(false));
        for container in &pod.containers {
            let own = container.security_context.clone().expect("a context");
            assert_eq!(own.allow_privilege_escalation, Some(false));
            assert_eq!(own.read_only_root_filesystem, Some(true));
            assert_eq!(own.capabilities.expect("capabilities").drop, Some(vec!["ALL".to_owned()]));
            assert!(container.ports.iter().flatten().all(|p| p.host_port.is_none()));
        }
        for volume in pod.volumes.expect("volumes") {
            let Volume { name, config_map, csi, downward_api, empty_dir, persistent_volume_claim, secret, .. } = volume;
            let permitted = [
                config_map.is_some(),
                csi.is_some(),
                downward_api.is_some(),
                empty_dir.is_some(),
                persistent_volume_claim.is_some(),
                secret.is_some(),
            ];
            assert!(permitted.contains(&true), "{name}");
        }
    }
}

#[test]
fn a_pod_outlives_its_trainers_grace_and_decide_waits_for_the_pod() {
    use super::super::pod::{GRACE_SECONDS, POD_GRACE_SECONDS};
    const { assert!(POD_GRACE_SECONDS > GRACE_SECONDS) };
    assert!(crate::decide::policy::GRACE.as_secs() >= POD_GRACE_SECONDS.unsigned_abs());
}

#[test]
fn data_and_storage_on_one_claim_share_a_volume() {
    let benchmark = benchmark(&serde_json::json!({
        "data": {"uri": null, "name": "fashion-mnist-2k", "mean": ["0.286", "0.286", "0.286"], "std": ["0.353", "0.353", "0.353"],
            "volume": {"claimName": "all", "format": "idx"}},
        "storage": {"volume": {"claimName": "all"}}
    }));
    let pod = pod(&job(&benchmark, &first_run(&benchmark), &defaults()));
    let claims = pod.volumes.iter().flatten().filter(|v| v.persistent_volume_claim.is_some()).count();
    let mounts = pod.containers[0].volume_mounts.clone().expect("mounts");
    let of = |path: &str| mounts.iter().find(|m| m.mount_path == path).expect("a mount").clone();
    assert_eq!((claims, of("/data").name, of("/runs").name), (1, "runs".to_owned(), "runs".to_owned()));
    assert_eq!((of("/data").read_only, of("/runs").read_only), (Some(true), None));
}
