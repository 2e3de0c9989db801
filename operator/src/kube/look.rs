//! What a turn sees: the caches, and what the API server says where they are late.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use mixbench_crds::benchmark::MixupBenchmark;

use super::controller::Scope;
use super::observe::{Doubt, Missing, Picture, Seen, observe};
use super::reconcile::TurnError;
use super::{names, pulse};
use crate::plan::Plan;
use crate::status::record::RecordError;

/// How often is asked: a Job that had to be asked for may have ended, and then its pods are asked for.
const ROUNDS: usize = 2;

/// What is seen, with the Jobs and pods that show it.
pub(super) type View = (Picture, Vec<Arc<Job>>, Vec<Arc<Pod>>);

/// What there is of a benchmark's runs.
struct Known {
    jobs: Vec<Arc<Job>>,
    pods: Vec<Arc<Pod>>,
    gone: BTreeSet<String>,
    listed: BTreeSet<String>,
}

/// Looks. What should be there and is not in the caches is asked for, since they lag behind what this operator itself did, and behind each other.
///
/// # Errors
/// [`TurnError::Read`]: it could not be asked for. Inside, [`RecordError`]: the status holds a result that cannot be read.
pub(super) async fn look(
    scope: &Scope,
    benchmark: &MixupBenchmark,
    plan: &Plan,
    alive: &pulse::Turn,
    now: Timestamp,
) -> Result<Result<View, RecordError>, TurnError> {
    let (jobs, pods) = scope.stores.children(benchmark);
    let names = jobs.iter().filter_map(|job| job.metadata.name.as_deref());
    let never = scope.edge.memory.never(benchmark.metadata.uid.as_deref().unwrap_or_default(), names);
    let mut known = Known { jobs, pods, gone: BTreeSet::new(), listed: BTreeSet::new() };
    let mut round = 0;
    loop {
        let Known { jobs, pods, gone, listed } = &known;
        let seen = Seen { benchmark, plan, jobs, pods, gone, listed, never: &never };
        let picture = match observe(&seen, now) {
            Ok(picture) if !picture.doubts.is_empty() && round < ROUNDS => picture,
            end => return Ok(end.map(|picture| (picture, known.jobs, known.pods))),
        };
        for doubt in picture.doubts {
            known.ask(scope, benchmark, doubt).await?;
            alive.beat();
        }
        round += 1;
    }
}

impl Known {
    async fn ask(&mut self, scope: &Scope, benchmark: &MixupBenchmark, doubt: Doubt) -> Result<(), TurnError> {
        let (client, namespace) = (scope.edge.client.clone(), benchmark.namespace().unwrap_or_default());
        let name = doubt.job;
        let failed = |kind, source| TurnError::Read { kind, name: name.clone(), source: Box::new(source) };
        match doubt.missing {
            Missing::Job => {
                let found = Api::<Job>::namespaced(client, &namespace).get_opt(&name).await;
                match found.map_err(|source| failed("Job", source))? {
                    Some(job) => self.jobs.push(Arc::new(job)),
                    None => drop(self.gone.insert(name)),
                }
            }
            Missing::Pods => {
                let of_job = ListParams::default().labels(&format!("{}={name}", names::JOB_NAME));
                let found = Api::<Pod>::namespaced(client, &namespace).list(&of_job).await;
                let found = found.map_err(|source| failed("pods of Job", source))?;
                self.pods.retain(|pod| pod.labels().get(names::JOB_NAME) != Some(&name));
                self.pods.extend(found.items.into_iter().map(Arc::new));
                self.listed.insert(name);
            }
        }
        Ok(())
    }
}
