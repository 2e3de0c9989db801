//! Who trained what, and with which result.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use mixbench_crds::benchmark::{BenchmarkStatus, RunPhase};
use mixbench_crds::run::Run;

use super::bench::run_of;
use super::kubelet::End;

/// Top-1 in percent that each method reaches in its first trial.
const TOP1: [(&str, f64); 4] = [("vanilla", 70.25), ("mixup", 71.5), ("cutmix", 72.75), ("resizemix", 74.0)];

/// Top-1 in percent that this run reaches, on whatever pod.
pub(crate) fn top1(run: &Run) -> f64 {
    reached(&run.spec.method.name, run.trial)
}

fn reached(method: &str, trial: u32) -> f64 {
    let first = TOP1.iter().find(|(name, _)| *name == method).expect("a method that tests use").1;
    first + f64::from(trial) / 20.0
}

/// As a trainer ends that has finished its run; [`assert_right`] expects this.
pub(crate) fn finished(pod: &Pod) -> End {
    End::finished(pod, top1(&run_of(pod)))
}

/// Every run is recorded with the result that it reached.
pub(crate) fn assert_right(status: &BenchmarkStatus) {
    assert!(!status.runs.is_empty());
    for row in &status.runs {
        assert_eq!(row.state, RunPhase::Succeeded, "{row:?}");
        assert_eq!(row.top1, Some(expected(&row.id)), "{row:?}");
    }
    assert_eq!((status.succeeded, status.failed), (status.total, 0));
}

/// What the status shows of a recorded run of this id.
pub(crate) fn expected(id: &str) -> String {
    let parts: Vec<&str> = id.split('-').collect();
    let [_, method, trial, _] = parts[..] else { panic!("{id} is no id of a run") };
    format!("{:.2}", reached(method, trial.parse().unwrap()))
}

/// Which pods trained which run.
#[derive(Clone, Default)]
pub(crate) struct Trained(Arc<Mutex<BTreeMap<String, BTreeSet<String>>>>);

impl Trained {
    /// Notes a pod that trained.
    pub(crate) fn note(&self, pod: &Pod) {
        let mut all = self.0.lock().unwrap();
        all.entry(run_of(pod).id).or_default().insert(pod.uid().unwrap());
    }

    /// A kubelet's script: every pod finishes its run, and is noted.
    pub(crate) fn finishing(&self) -> impl Fn(&Pod) -> Option<End> + Send + Sync + use<> {
        let trained = self.clone();
        move |pod| {
            trained.note(pod);
            Some(finished(pod))
        }
    }

    /// Pods by run.
    pub(crate) fn pods(&self) -> BTreeMap<String, usize> {
        self.0.lock().unwrap().iter().map(|(run, pods)| (run.clone(), pods.len())).collect()
    }

    /// Every one of so many runs was trained by one pod.
    pub(crate) fn assert_once(&self, runs: usize) {
        let pods = self.pods();
        assert!(pods.len() == runs && pods.values().all(|count| *count == 1), "trained by pods: {pods:?}");
    }
}
