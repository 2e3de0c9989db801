//! What the caches and the status say of a benchmark, as [`decide`](crate::decide::decide) wants to see it. Pure.
//!
//! The status remembers what is gone, Jobs and pods show what is there. Where both speak of one attempt, a remembered end wins, so that an end never
//! changes its reason; but a result that it did not know of is taken, and an attempt that was given up for lost and lives after all lives.
//! The caches lag behind our own writes, and behind each other. So an attempt that the status announces and no cache shows is a [`Doubt`], and so is one
//! whose Job has ended and whose machine 0 has no pod. It counts as live until whoever looks asks the API server and passes the answer: the Job among
//! `jobs`, or its name among `gone`; the Job's pods among `pods`, and its name among `listed`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use mixbench_crds::benchmark::{EndReason, MixupBenchmark, RunPhase, RunStatus};
use mixbench_crds::run::Run;

use super::trouble::{Trouble, TroubleKind};
use super::{names, pod, record};
use crate::decide::policy::Budget;
use crate::decide::{Attempt, AttemptState, Observed, ObservedRun};
use crate::plan::Plan;
use crate::status::record::{RecordError, Remembered, remembered};

mod attempt;
mod doubt;
mod pods;
mod waiting;

pub use doubt::{Doubt, Missing};

/// How long a Job may be without pods before that is told.
const PODS_WITHIN: SignedDuration = SignedDuration::from_secs(30);

/// How long what was told to stop may take: the pods' grace, and 30 seconds.
const GONE_WITHIN: SignedDuration = SignedDuration::from_secs(pod::POD_GRACE_SECONDS + 30);

/// Before another look at what was told to stop.
const LEAVES_AGAIN: SignedDuration = SignedDuration::from_secs(10);

/// How long a pod may stay after its grace.
const LEAVES_WITHIN: SignedDuration = SignedDuration::from_secs(30);
/// What to do about a pod that stays.
const STRANDED: &str = "is its node there? `kubectl get pods -o wide` names it";

/// What there is to see.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The resource, with the status that was read.
    pub benchmark: &'a MixupBenchmark,
    /// Its plan.
    pub plan: &'a Plan,
    /// Jobs of the benchmark's namespace that could be its own. Of each are read: metadata (name, uid, labels, annotations, owners, times), `spec.completions`,
    /// `spec.suspend` and `status`.
    pub jobs: &'a [Arc<Job>],
    /// Pods of these Jobs. Of each are read: metadata (labels, owners, times) and `status`.
    pub pods: &'a [Arc<Pod>],
    /// Names of Jobs that the API server has just said do not exist.
    pub gone: &'a BTreeSet<String>,
    /// Names of Jobs whose pods the API server has just listed.
    pub listed: &'a BTreeSet<String>,
    /// Names of Jobs that whoever looks tried to create and could not: the attempts that the status announces have not begun.
    pub never: &'a BTreeSet<String>,
}

/// What is seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Picture {
    /// For [`decide`](crate::decide::decide).
    pub observed: Observed,
    /// What must be asked for before anything is decided.
    pub doubts: Vec<Doubt>,
    /// What is in the way.
    pub notes: Vec<Trouble>,
    /// When to look again even if nothing happens.
    pub look_again: Option<Timestamp>,
}

impl Picture {
    fn wake(&mut self, at: Timestamp) {
        self.look_again = Some(self.look_again.map_or(at, |t| t.min(at)));
    }
}

/// What is there of one attempt.
#[derive(Debug, Default)]
struct Parts<'a> {
    job: Option<&'a Job>,
    pods: Vec<&'a Pod>,
    /// Somebody else's Job has its name.
    taken: bool,
}

impl Parts<'_> {
    /// Whether nothing of it lives.
    fn over(&self) -> bool {
        self.job.is_none_or(|job| attempt::finished(job).is_some()) && self.pods.iter().all(|p| pods::is_over(p))
    }

    /// Whether the Job has ended and nobody speaks for it.
    fn mute(&self) -> bool {
        self.job.is_some() && self.over() && !self.pods.iter().any(|p| pods::is_first(p))
    }

    /// Whether they tell by themselves what the attempt does.
    fn speak(&self) -> bool {
        self.job.is_some() || self.taken || self.pods.iter().any(|p| !pods::is_over(p))
    }
}

/// Looks.
///
/// # Errors
/// [`RecordError`]: the status holds a result that cannot be read. Nothing may be decided then, since the run would be trained again and the result lost.
pub fn observe(seen: &Seen<'_>, now: Timestamp) -> Result<Picture, RecordError> {
    let eye = Eye::new(seen, now);
    let mut picture = Picture::default();
    picture.observed.suspended = seen.benchmark.spec.suspend;
    let status = seen.benchmark.status.as_ref();
    let rows = status.map(|s| s.runs.as_slice()).unwrap_or_default();
    for row in rows {
        let remembered = remembered(row, status.map(|s| s.environments.as_slice()).unwrap_or_default())?;
        eye.recall(row, remembered, &mut picture);
    }
    for ((run, number), parts) in &eye.attempts {
        eye.look(run, *number, parts, &mut picture);
    }
    Ok(picture)
}

/// Somebody who looks at one benchmark.
struct Eye<'a> {
    seen: &'a Seen<'a>,
    now: Timestamp,
    name: &'a str,
    uid: &'a str,
    planned: HashMap<&'a str, &'a Run>,
    rows: HashMap<&'a str, &'a RunStatus>,
    attempts: BTreeMap<(String, u32), Parts<'a>>,
}

impl<'a> Eye<'a> {
    fn new(seen: &'a Seen<'a>, now: Timestamp) -> Self {
        let (metadata, status) = (&seen.benchmark.metadata, seen.benchmark.status.as_ref());
        let mut eye = Self {
            seen,
            now,
            name: metadata.name.as_deref().unwrap_or_default(),
            uid: metadata.uid.as_deref().unwrap_or_default(),
            planned: seen.plan.runs.iter().map(|r| (r.run.id.as_str(), &r.run)).collect(),
            rows: status.into_iter().flat_map(|s| &s.runs).map(|r| (r.id.as_str(), r)).collect(),
            attempts: BTreeMap::new(),
        };
        eye.sort();
        eye
    }

    /// Sorts Jobs and pods by attempt. What a Job is called tells which it is, since the name holds a hash of the benchmark's UID; labels, which anybody may
    /// change, only help to find runs that neither plan nor status has.
    fn sort(&mut self) {
        let mut ids: BTreeSet<&str> = self.planned.keys().chain(self.rows.keys()).copied().collect();
        ids.extend(
            self.seen.jobs.iter().filter_map(|j| j.metadata.annotations.as_ref()?.get(names::RUN)).map(String::as_str),
        );
        ids.extend(self.seen.pods.iter().filter_map(|p| label(p, names::RUN)));
        let stems: HashMap<String, &str> = ids
            .into_iter()
            .filter_map(|id| Some((stem(&names::job_name(self.name, self.uid, id, 1))?.0.to_owned(), id)))
            .collect();
        let attempt_of = |job: &str| {
            let (stem, attempt) = stem(job)?;
            Some(((*stems.get(stem)?).to_owned(), attempt))
        };
        for job in self.seen.jobs {
            let Some(key) = job.metadata.name.as_deref().and_then(attempt_of) else { continue };
            let parts = self.attempts.entry(key).or_default();
            if owned(job, self.uid) { parts.job = Some(job) } else { parts.taken = true }
        }
        // A pod that outlives its Job is known by the hash of our UID.
        let ours = names::owner_hash(self.uid);
        for pod in self.seen.pods.iter().filter(|p| label(p, names::OWNER) == Some(&ours)) {
            let Some(name) = label(pod, names::JOB_NAME) else { continue };
            let Some(key) = attempt_of(name) else { continue };
            let Some(owner) = controller(pod.metadata.owner_references.as_deref(), "Job") else { continue };
            let parts = self.attempts.entry(key).or_default();
            if owner.name == name && parts.job.is_none_or(|j| j.metadata.uid.as_ref() == Some(&owner.uid)) {
                parts.pods.push(pod);
            }
        }
        self.attempts.retain(|_, parts| parts.job.is_some() || parts.taken || !parts.pods.is_empty());
    }

    fn job_name(&self, run: &str, attempt: u32) -> String {
        names::job_name(self.name, self.uid, run, attempt)
    }

    /// What the status remembers of a run, and what it announces.
    fn recall(&self, row: &RunStatus, remembered: Remembered, picture: &mut Picture) {
        let mut run = remembered.run;
        if let Some((number, since)) = remembered.open
            && let Some(state) = self.announced(row, number, since, picture)
        {
            run.attempts.push(Attempt { number, state, forgiven: false });
        }
        picture.observed.runs.insert(row.id.clone(), run);
    }

    /// An attempt that the status announces and whose end it does not tell, where nothing that is there says more. Pods that have ended do not say
    /// enough as long as their Job may be there: what it came to is the Job's to tell.
    fn announced(&self, row: &RunStatus, number: u32, since: Timestamp, picture: &mut Picture) -> Option<AttemptState> {
        let job = self.job_name(&row.id, number);
        let parts = self.attempts.get(&(row.id.clone(), number));
        if parts.is_some_and(Parts::speak) || self.seen.never.contains(&job) {
            return None;
        }
        let stopping = row.state == RunPhase::Stopping;
        if self.seen.gone.contains(&job) {
            return parts.is_none().then(|| self.lost(stopping, &job));
        }
        picture.doubts.push(Doubt { run: row.id.clone(), attempt: number, job, missing: Missing::Job });
        Some(if stopping { AttemptState::Stopping { since: self.now } } else { AttemptState::Running { since } })
    }

    /// An attempt whose Job is gone: deleted by us, or by somebody else.
    fn lost(&self, stopping: bool, job: &str) -> AttemptState {
        let (reason, message) = if stopping {
            (EndReason::Stopped, "stopped on request".to_owned())
        } else {
            (EndReason::Lost, format!("its Job {job} is gone"))
        };
        AttemptState::Ended { reason, at: self.now, result: None, message }
    }

    /// What is there of an attempt.
    fn look(&self, id: &str, number: u32, parts: &Parts<'a>, picture: &mut Picture) {
        let row = self.rows.get(id).copied();
        let run = picture.observed.runs.entry(id.to_owned()).or_default();
        if parts.taken {
            if run.result.is_none() {
                let message =
                    format!("Job {} belongs to somebody else; delete or rename it", self.job_name(id, number));
                // Where this attempt was announced it never came to be.
                if row.is_some_and(|r| r.attempt == number) && run.attempts.iter().all(|a| a.number != number) {
                    let state = AttemptState::Ended {
                        reason: EndReason::Lost,
                        at: self.now,
                        result: None,
                        message: message.clone(),
                    };
                    run.attempts.push(Attempt { number, state, forgiven: false });
                }
                picture.notes.push(Trouble { kind: TroubleKind::NameCollision, run: Some(id.to_owned()), message });
            }
            return;
        }
        if run.result.is_some() && parts.over() {
            // Nothing that is left of it can say more.
            return;
        }
        if parts.mute() {
            if run.attempts.iter().any(|a| a.number == number && !a.state.live()) {
                // How it ended is known.
                return;
            }
            let job = self.job_name(id, number);
            if !self.seen.listed.contains(&job) {
                merge(run, number, AttemptState::Stopping { since: self.now }, false);
                picture.doubts.push(Doubt { run: id.to_owned(), attempt: number, job, missing: Missing::Pods });
                return;
            }
        }
        let planned = self.planned.get(id).copied();
        let view = attempt::View {
            expected: record::Expected { owner: self.uid, run: id, attempt: number, planned },
            job: parts.job,
            pods: &parts.pods,
            stopping: row.is_some_and(|r| r.state == RunPhase::Stopping && r.attempt == number),
            keeps: self.seen.benchmark.spec.storage.volume.is_some(),
            now: self.now,
        };
        let state = view.state();
        let works = matches!(state, AttemptState::Running { .. }) || parts.pods.iter().any(|p| !pods::is_over(p));
        merge(run, number, state.clone(), works);
        match state {
            AttemptState::Running { .. } => self.wait(id, parts, picture),
            AttemptState::Stopping { since } => self.leave(id, since, parts, picture),
            AttemptState::Ended { .. } => {}
        }
    }

    /// Whether what was told to stop takes longer than it may.
    fn leave(&self, id: &str, since: Timestamp, parts: &Parts<'a>, picture: &mut Picture) {
        if self.due(since, GONE_WITHIN, picture) {
            let left: Vec<&str> = parts.pods.iter().filter_map(|p| p.metadata.name.as_deref()).collect();
            let what = if left.is_empty() { "its Job does".to_owned() } else { format!("{} do", left.join(", ")) };
            let message = format!("{what} not go; {STRANDED}");
            picture.notes.push(Trouble { kind: TroubleKind::CleanupFailing, run: Some(id.to_owned()), message });
        } else {
            picture.wake(self.now.checked_add(LEAVES_AGAIN).unwrap_or(self.now));
        }
    }

    /// Why a live attempt does not get on.
    fn wait(&self, id: &str, parts: &Parts<'a>, picture: &mut Picture) {
        let Some(job) = parts.job else { return };
        let tell = |(kind, message)| Trouble { kind, run: Some(id.to_owned()), message };
        picture.notes.extend(parts.pods.iter().find_map(|pod| waiting::waiting(pod)).map(tell));
        if waiting::held(job) {
            let message = "its Job is suspended by somebody else, such as a queue controller".to_owned();
            picture.notes.push(tell((TroubleKind::WaitingForCapacity, message)));
        } else if parts.pods.is_empty()
            && let Some(since) = job.metadata.creation_timestamp.as_ref()
            && self.due(since.0, PODS_WITHIN, picture)
        {
            let name = job.metadata.name.as_deref().unwrap_or_default();
            let message = format!("it has no pods yet; `kubectl describe job {name}` says why");
            picture.notes.push(tell((TroubleKind::PodsMissing, message)));
        }
        // Deleted by somebody, and its node does not answer: the Job waits for it, and so do we.
        let leaving = parts.pods.iter().filter(|pod| !pods::is_over(pod));
        let leaving: Vec<_> =
            leaving.filter_map(|pod| Some((pod, pod.metadata.deletion_timestamp.as_ref()?.0))).collect();
        for (pod, end) in leaving {
            if self.due(end, LEAVES_WITHIN, picture) {
                let name = pod.metadata.name.as_deref().unwrap_or_default();
                picture.notes.push(tell((TroubleKind::CleanupFailing, format!("{name} does not go; {STRANDED}"))));
            }
        }
    }

    /// Whether it is time; if not, that is when to look again.
    fn due(&self, since: Timestamp, within: SignedDuration, picture: &mut Picture) -> bool {
        let due = since.checked_add(within).unwrap_or(since);
        if self.now < due {
            picture.wake(due);
        }
        due <= self.now
    }
}

/// Adds what is seen of an attempt to what is remembered of its run. A remembered end stays, but for a result that it did not know of, and where the
/// attempt was only given up for lost and works after all (`works`: its Job is whole, or a pod of it runs).
fn merge(run: &mut ObservedRun, number: u32, state: AttemptState, works: bool) {
    let Some(at) = run.attempts.iter().position(|a| a.number == number) else {
        run.attempts.push(Attempt { number, state, forgiven: false });
        return;
    };
    let result = matches!(&state, AttemptState::Ended { result: Some(_), .. }) && run.result.is_none();
    let revived = works && state.live() && run.attempts[at].budget() == Some(Budget::Free);
    // What is done is seen to its end: whoever still works on it is stopped.
    let superfluous = works && state.live() && run.result.is_some();
    if result || revived || superfluous {
        run.attempts[at].state = state;
    }
}

/// The part of a Job's name before the attempt, and the attempt.
fn stem(job: &str) -> Option<(&str, u32)> {
    let (stem, digits) = job.rsplit_once("-a")?;
    let attempt: u32 = digits.parse().ok()?;
    (attempt > 0 && digits == attempt.to_string()).then_some((stem, attempt))
}

fn label<'a>(pod: &'a Pod, key: &str) -> Option<&'a str> {
    pod.metadata.labels.as_ref()?.get(key).map(String::as_str)
}

/// Whether a Job belongs to the benchmark of this UID.
fn owned(job: &Job, uid: &str) -> bool {
    controller(job.metadata.owner_references.as_deref(), "MixupBenchmark").is_some_and(|o| o.uid == uid)
}

fn controller<'a>(
    owners: Option<&'a [k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference]>,
    kind: &str,
) -> Option<&'a k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference> {
    owners?.iter().find(|o| o.controller == Some(true) && o.kind == kind)
}

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;
