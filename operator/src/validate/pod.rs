//! What a pod may be given, where no rule of the schema can say it: names of resources, requests beside limits, keys of labels.

use std::sync::LazyLock;

use mixbench_crds::benchmark::{Resources, TrainerSpec};
use regex::Regex;

use super::problem::Problem;
use super::quantity::thousandths;

/// Keys of labels: a name of at most 63 characters, with or without a domain in front.
static KEY: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$")
        .expect("a pattern")
});

/// Resources that Kubernetes itself knows; all others carry a domain.
const KNOWN: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// The parts of a trainer that become parts of its pods.
pub(super) fn trainer(spec: &TrainerSpec, problems: &mut Vec<Problem>) {
    if let Some(given) = &spec.resources {
        resources(given, problems);
    }
    keys(spec.node_selector.keys(), "spec.trainer.nodeSelector", problems);
    let affinity = spec.affinity.as_ref();
    let terms = [
        ("podAffinity", affinity.and_then(|a| a.pod_affinity.as_ref())),
        ("podAntiAffinity", affinity.and_then(|a| a.pod_anti_affinity.as_ref())),
    ];
    for (field, pods) in terms.into_iter().filter_map(|(field, pods)| Some((field, pods?))) {
        let path = format!("spec.trainer.affinity.{field}");
        for (i, term) in pods.required_during_scheduling_ignored_during_execution.iter().enumerate() {
            let path = format!("{path}.requiredDuringSchedulingIgnoredDuringExecution[{i}].labelSelector.matchLabels");
            keys(term.label_selector.match_labels.keys(), &path, problems);
        }
        for (i, preferred) in pods.preferred_during_scheduling_ignored_during_execution.iter().enumerate() {
            let path = format!(
                "{path}.preferredDuringSchedulingIgnoredDuringExecution[{i}].podAffinityTerm.labelSelector.matchLabels"
            );
            keys(preferred.pod_affinity_term.label_selector.match_labels.keys(), &path, problems);
        }
    }
}

fn keys<'a>(keys: impl Iterator<Item = &'a String>, path: &str, problems: &mut Vec<Problem>) {
    for key in keys.filter(|key| !KEY.is_match(key)) {
        let problem = Problem::new(format!("{path}.{key}"), format!("`{key}` is no key of a label"));
        problems.push(problem.remedy("write NAME or DOMAIN/NAME, such as kubernetes.io/arch"));
    }
}

fn resources(given: &Resources, problems: &mut Vec<Problem>) {
    for (list, amounts) in [("requests", &given.requests), ("limits", &given.limits)] {
        for (name, amount) in amounts {
            let path = format!("spec.trainer.resources.{list}.{name}");
            let gpu = name.ends_with("/gpu") || name.starts_with("nvidia.com/");
            if gpu {
                let problem = Problem::new(path, format!("`{name}` is set by mixbench itself"));
                problems.push(problem.remedy("set spec.trainer.gpusPerNode, and leave it out of resources"));
            } else if !known(name) {
                let known = KNOWN.iter().copied();
                problems.push(Problem::unknown(path, "resource", name, known));
            } else if thousandths(amount).is_none() {
                let problem = Problem::new(path, format!("`{amount}` is no amount"));
                problems.push(problem.remedy("write such as 500m, 2 or 8Gi"));
            } else if name.contains('/') && !given.limits.contains_key(name) {
                let problem = Problem::new(path, format!("`{name}` is requested without a limit"));
                problems.push(problem.remedy("Kubernetes shares such a resource out in whole: name it in limits"));
            }
        }
    }
    for (name, request) in &given.requests {
        let Some(limit) = given.limits.get(name) else { continue };
        let (Some(asked), Some(most)) = (thousandths(request), thousandths(limit)) else { continue };
        let path = format!("spec.trainer.resources.requests.{name}");
        if asked > most {
            let problem = Problem::new(path, format!("{request} is more than the limit of {limit}"));
            problems.push(problem.remedy(format!("lower it, or raise spec.trainer.resources.limits.{name}")));
        } else if asked < most && name.contains('/') {
            let problem = Problem::new(path, format!("{request} is not the limit of {limit}"));
            problems.push(problem.remedy("Kubernetes shares such a resource out in whole: leave it out of requests"));
        }
    }
}

/// Whether a pod may ask for a resource of this name.
fn known(name: &str) -> bool {
    KNOWN.contains(&name) || name.contains('/') && KEY.is_match(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The problems of a trainer in JSON.
    fn problems(trainer: &str) -> Vec<String> {
        let spec: TrainerSpec = serde_json::from_str(trainer).expect("a trainer");
        let mut problems = Vec::new();
        super::trainer(&spec, &mut problems);
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn good_parts_of_a_pod_are_right() {
        let good = r#"{"resources": {"requests": {"cpu": 2, "memory": "8Gi", "rdma.io/hca": "1"}, "limits": {"memory": "8Gi", "rdma.io/hca": 1}},
            "nodeSelector": {"kubernetes.io/arch": "amd64", "disk": ""},
            "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
                [{"labelSelector": {"matchLabels": {"app": "noisy"}}, "topologyKey": "kubernetes.io/hostname"}]}}}"#;
        assert_eq!(problems(good), [""; 0]);
    }

    #[test]
    fn resources_that_a_pod_cannot_have_are_refused() {
        let at = "spec.trainer.resources";
        let gpu = "set spec.trainer.gpusPerNode, and leave it out of resources";
        let cases = [
            (
                r#"{"limits": {"nvidia.com/mig-1g.5gb": 1}}"#,
                format!("{at}.limits.nvidia.com/mig-1g.5gb: `nvidia.com/mig-1g.5gb` is set by mixbench itself; {gpu}"),
            ),
            (
                r#"{"limits": {"gpu.intel.com/gpu": 1}}"#,
                format!("{at}.limits.gpu.intel.com/gpu: `gpu.intel.com/gpu` is set by mixbench itself; {gpu}"),
            ),
            (
                r#"{"limits": {"memroy": "8Gi"}}"#,
                format!("{at}.limits.memroy: unknown resource `memroy`; did you mean `memory`?"),
            ),
            (
                r#"{"limits": {"cpu": "two"}}"#,
                format!("{at}.limits.cpu: `two` is no amount; write such as 500m, 2 or 8Gi"),
            ),
            (
                r#"{"requests": {"cpu": 4}, "limits": {"cpu": "3500m"}}"#,
                format!("{at}.requests.cpu: 4 is more than the limit of 3500m; lower it, or raise {at}.limits.cpu"),
            ),
            (
                r#"{"requests": {"rdma.io/hca": 1}}"#,
                format!(
                    "{at}.requests.rdma.io/hca: `rdma.io/hca` is requested without a limit; Kubernetes shares such a resource out in whole: name it in limits"
                ),
            ),
            (
                r#"{"requests": {"rdma.io/hca": 1}, "limits": {"rdma.io/hca": 2}}"#,
                format!(
                    "{at}.requests.rdma.io/hca: 1 is not the limit of 2; Kubernetes shares such a resource out in whole: leave it out of requests"
                ),
            ),
        ];
        for (resources, expected) in cases {
            assert_eq!(problems(&format!(r#"{{"resources": {resources}}}"#)), [expected]);
        }
    }

    #[test]
    fn what_is_no_key_of_a_label_is_refused() {
        let expected = "spec.trainer.nodeSelector.a b: `a b` is no key of a label; write NAME or DOMAIN/NAME, such as kubernetes.io/arch";
        assert_eq!(problems(r#"{"nodeSelector": {"a b": "x"}}"#), [expected]);
        let affinity = r#"{"affinity": {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm":
            {"labelSelector": {"matchLabels": {"/x": "y"}}, "topologyKey": "zone"}}]}}}"#;
        assert!(problems(affinity)[0].contains("`/x` is no key of a label"));
    }
}
