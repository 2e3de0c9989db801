//! What the objects of a benchmark are called. Pure, and the same after a restart: a name is what makes creating twice harmless.

use mixbench_crds::hex;
use sha2::{Digest, Sha256};

/// Label: name of the benchmark.
pub const BENCHMARK: &str = "mixbench.dev/benchmark";
/// Label: [`owner_hash`] of the benchmark, so that no object of a deleted benchmark of the same name is taken for one of its successor.
pub const OWNER: &str = "mixbench.dev/owner";
/// Label (as [`run_label`] writes it) and annotation (as it is): id of the run.
pub const RUN: &str = "mixbench.dev/run";
/// Label: number of the attempt.
pub const ATTEMPT: &str = "mixbench.dev/attempt";
/// Annotation of pods: the run document.
pub const RUN_DOCUMENT: &str = "mixbench.dev/run-document";
/// Label that Kubernetes gives the pods of a Job: its name.
pub const JOB_NAME: &str = "batch.kubernetes.io/job-name";
/// Label that Kubernetes gives the pods of an Indexed Job: the number of the machine.
pub const COMPLETION_INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// The container that trains.
pub const CONTAINER: &str = "trainer";

/// Longest name of a Job: the Job controller names pods after it, and their host names have at most 63 characters.
const JOB_NAME_LIMIT: usize = 57;
/// Most of a benchmark's name in the names of its objects.
const PREFIX_LIMIT: usize = 40;
/// Longest value of a label.
const LABEL_LIMIT: usize = 63;

/// Name of the Job of one attempt: the benchmark's name, a hash of its UID and of the run, the attempt. At most 57 characters, a label that begins with a letter.
pub fn job_name(benchmark: &str, uid: &str, run: &str, attempt: u32) -> String {
    let tail = format!("-{}-a{attempt}", hash(&[uid, run]));
    format!("{}{tail}", prefix(benchmark, JOB_NAME_LIMIT - tail.len()))
}

/// Name of the headless Service under which all pods of a benchmark find each other. A label that begins with a letter.
pub fn service_name(benchmark: &str, uid: &str) -> String {
    let tail = format!("-{}", owner_hash(uid));
    format!("{}{tail}", prefix(benchmark, JOB_NAME_LIMIT - tail.len()))
}

/// Folder of a benchmark on its storage volume; the runs lie in `runs/ID` of it.
pub fn folder(benchmark: &str, uid: &str) -> String {
    format!("{benchmark}-{}", owner_hash(uid))
}

/// Hash of a benchmark's UID: ten hex digits.
pub fn owner_hash(uid: &str) -> String {
    hash(&[uid])
}

/// Id of a run as the value of a label: itself where it is one.
pub fn run_label(run: &str) -> String {
    if run.len() <= LABEL_LIMIT && is_label(run) {
        return run.to_owned();
    }
    let kept: String = run.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    let tail = format!("-{}", hash(&[run]));
    format!("{}{tail}", prefix(&kept, LABEL_LIMIT - tail.len()))
}

/// At most so many characters of a name, beginning with a letter and not ending with a hyphen.
fn prefix(name: &str, limit: usize) -> String {
    let letter = if name.starts_with(|c: char| c.is_ascii_alphabetic()) { "" } else { "b" };
    let whole = format!("{letter}{name}");
    let cut: String = whole.chars().take(limit.min(PREFIX_LIMIT)).collect();
    cut.trim_end_matches(['-', '.']).to_owned()
}

fn is_label(text: &str) -> bool {
    let end = |c: char| c.is_ascii_alphanumeric();
    text.starts_with(end) && text.ends_with(end) && text.chars().all(|c| end(c) || matches!(c, '-' | '_' | '.'))
}

/// Ten hex digits over texts that cannot run into each other.
fn hash(parts: &[&str]) -> String {
    hex::encode(&Sha256::digest(parts.join("\n").as_bytes())[..5])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// RFC 1035 label, as the name of a Service and the host name of a pod must be.
    fn is_dns(name: &str) -> bool {
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.ends_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    }

    #[test]
    fn a_name_tells_the_benchmark_and_the_attempt() {
        assert_eq!(job_name("nightly", "uid-1", "resnet20-mixup-0-d2a8809256", 2), "nightly-9eab718897-a2");
        assert_ne!(job_name("nightly", "uid-1", "r", 1), job_name("nightly", "uid-2", "r", 1));
        assert_eq!(folder("nightly", "uid-1"), service_name("nightly", "uid-1"));
    }

    #[test]
    fn a_run_is_its_own_label_unless_it_is_too_long_for_one() {
        assert_eq!(run_label("resnet20-mixup-0-d2a8809256"), "resnet20-mixup-0-d2a8809256");
        let (a, b) = (run_label(&"x".repeat(64)), run_label(&"x".repeat(65)));
        assert!(a.len() <= 63 && is_label(&a) && a != b, "{a} {b}");
    }

    proptest! {
        #[test]
        fn names_fit_whatever_a_benchmark_is_called(
            name in "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", uid in "[0-9a-f-]{36}", attempt in any::<u32>()
        ) {
            let job = job_name(&name, &uid, "resnet20-mixup-0-d2a8809256", attempt);
            prop_assert!(is_dns(&job) && job.len() <= JOB_NAME_LIMIT, "{job}");
            let host = job.clone() + "-9999";
            prop_assert!(is_dns(&host) && host.len() < 63);
            let service = service_name(&name, &uid);
            prop_assert!(is_dns(&service) && service.len() <= 63, "{service}");
            prop_assert!(!folder(&name, &uid).contains(['/', '.']));
        }

        #[test]
        fn names_never_collide(
            owners in proptest::collection::btree_set(("[a-z]{1,3}", "[0-9a-f]{8}"), 1..8),
            runs in proptest::collection::btree_set("[a-z]{1,8}-[0-9]-[0-9a-f]{10}", 1..16),
        ) {
            let mut names = BTreeSet::new();
            for (name, uid) in &owners {
                for run in &runs {
                    for attempt in 1..12 {
                        prop_assert!(names.insert(job_name(name, uid, run, attempt)), "{name} {uid} {run} {attempt}");
                    }
                }
            }
        }
    }
}
