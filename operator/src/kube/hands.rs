//! What a turn does once its status stands: deletes first, so that nothing which fails to start keeps a GPU from being freed.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::{Client, ResourceExt as _};
use mixbench_crds::benchmark::{BenchmarkStatus, MixupBenchmark};

use super::act::{self, ActError};
use super::reconcile::{Edge, TurnError};
use super::{job, log, names, pulse, turn};
use crate::decide::{Action, Decision};
use crate::plan::Plan;

/// What came of it.
#[derive(Default)]
pub(super) struct Done {
    /// Runs whose first Job was created.
    pub(super) started: Vec<String>,
    /// What could not be done, and for which run, where it was for one.
    pub(super) failures: Vec<(Option<String>, ActError)>,
}

impl Done {
    fn end(&mut self, run: Option<&str>, end: Result<(), ActError>) {
        self.failures.extend(end.err().map(|error| (run.map(str::to_owned), error)));
    }
}

/// Everything that acting needs.
pub(super) struct Hands<'a> {
    pub(super) edge: &'a Edge,
    pub(super) benchmark: &'a MixupBenchmark,
    pub(super) plan: &'a Plan,
    pub(super) jobs: &'a [Arc<Job>],
    pub(super) alive: &'a pulse::Turn,
}

impl Hands<'_> {
    /// Does what was decided, and cleans up behind what is recorded. No failure keeps the rest from being done, except that after a start
    /// that was refused for all alike no further one is tried.
    pub(super) async fn act(&self, decision: &Decision, now: Timestamp) -> Done {
        let mut done = Done::default();
        for action in &decision.actions {
            match action {
                // It stands in the status.
                Action::Record { run, attempt, result } => {
                    self.span(run, *attempt)
                        .in_scope(|| tracing::info!(top1 = result.top1(), "the result is recorded"));
                }
                Action::Stop { run, attempt, reason } => {
                    done.end(Some(run), self.stop(run, *attempt, (*reason).into()).await);
                }
                Action::Kill { run, attempt } => done.end(Some(run), self.stop(run, *attempt, "Overdue").await),
                Action::Start { .. } => {}
            }
        }
        let read = self.benchmark.status.as_ref();
        for job in self.jobs.iter().filter(|job| read.is_some_and(|status| expires(job, self.benchmark, status))) {
            let seconds = self.benchmark.spec.retention.run_jobs_ttl_seconds;
            let run = job.annotations().get(names::RUN).map(String::as_str);
            done.end(run, act::expire(&self.edge.client, job, seconds).await);
            self.alive.beat();
        }
        self.start_all(decision, &mut done).await;
        if turn::retires(self.benchmark, decision).is_some_and(|at| at <= now) {
            tracing::info!("the benchmark was kept for as long as it should be, and is deleted");
            done.end(None, act::retire(&self.edge.client, self.benchmark).await);
        }
        done
    }

    async fn start_all(&self, decision: &Decision, done: &mut Done) {
        // Until its Job is created, an attempt that the status announces has not begun.
        for action in &decision.actions {
            let Action::Start { run, attempt } = action else { continue };
            self.edge.memory.uncreated(&self.uid(), self.job_name(run, *attempt));
        }
        for action in &decision.actions {
            let Action::Start { run, attempt } = action else { continue };
            match self.start(run, *attempt).await {
                Ok(new) => done.started.extend((new && *attempt == 1).then(|| run.clone())),
                Err(error) => {
                    let all_alike = matches!(error, ActError::Api { .. });
                    done.end(Some(run), Err(error));
                    if all_alike {
                        return;
                    }
                }
            }
        }
    }

    fn span(&self, run: &str, attempt: u32) -> tracing::Span {
        log::run(&self.benchmark.namespace().unwrap_or_default(), &self.benchmark.name_any(), run, attempt)
    }

    fn job_name(&self, run: &str, attempt: u32) -> String {
        names::job_name(&self.benchmark.name_any(), &self.uid(), run, attempt)
    }

    fn uid(&self) -> String {
        self.benchmark.uid().unwrap_or_default()
    }

    /// Starts an attempt; true if its Job is new.
    async fn start(&self, id: &str, attempt: u32) -> Result<bool, ActError> {
        let Some(planned) = self.plan.run(id) else { return Ok(false) };
        let run = job::attempt(self.benchmark, &planned.run, attempt);
        let job = job::job(self.benchmark, &run, &self.edge.defaults);
        let (client, memory, uid) = (&self.edge.client, &self.edge.memory, self.uid());
        if let Some(service) = job::service(self.benchmark, &run).filter(|_| !memory.served(&uid, Instant::now())) {
            act::create(client, &service).await?;
            memory.serves(&uid, Instant::now());
        }
        let name = job.name_any();
        let new = act::create(client, &job).await?;
        memory.created(&uid, id, &name);
        self.alive.beat();
        self.span(id, attempt).in_scope(|| tracing::info!(job = name, new, "the attempt starts"));
        Ok(new)
    }

    /// Deletes the Job of an attempt. One that is being deleted already needs no second time: its pods end within their grace, and what a
    /// lost machine keeps from ending only people can judge.
    async fn stop(&self, run: &str, attempt: u32, reason: &'static str) -> Result<(), ActError> {
        let name = self.job_name(run, attempt);
        let found = self.jobs.iter().find(|job| job.metadata.name.as_ref() == Some(&name));
        let Some(job) = found.filter(|job| job.metadata.deletion_timestamp.is_none()) else { return Ok(()) };
        act::stop(&self.edge.client, job).await?;
        self.alive.beat();
        self.span(run, attempt).in_scope(|| tracing::info!(job = name, reason, "the attempt is stopped"));
        Ok(())
    }
}

/// Deletes every Job of the benchmark that has not ended.
pub(super) async fn stop_all(
    client: &Client,
    benchmark: &MixupBenchmark,
    jobs: &[Arc<Job>],
    alive: &pulse::Turn,
) -> Result<(), TurnError> {
    let mut done = Done::default();
    let live = |job: &&Arc<Job>| owned(job, benchmark) && !ended(job) && job.metadata.deletion_timestamp.is_none();
    for job in jobs.iter().filter(live) {
        done.end(None, act::stop(client, job).await);
        alive.beat();
    }
    let more = done.failures.len().saturating_sub(1);
    let first = done.failures.into_iter().next();
    first.map_or(Ok(()), |(_, first)| Err(TurnError::Act { first: Box::new(first), more }))
}

fn ended(job: &Job) -> bool {
    let conditions = job.status.as_ref().and_then(|s| s.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|c| c.status == "True" && matches!(c.type_.as_str(), "Complete" | "Failed"))
}

fn owned(job: &Job, benchmark: &MixupBenchmark) -> bool {
    job.owner_references().iter().any(|o| o.controller == Some(true) && Some(&o.uid) == benchmark.uid().as_ref())
}

/// Whether a Job may be given its last hour: it is ours, it has ended, and what it came to stands in the status that was read.
fn expires(job: &Job, benchmark: &MixupBenchmark, status: &BenchmarkStatus) -> bool {
    let spec = job.spec.as_ref();
    if job.metadata.deletion_timestamp.is_some() || spec.is_none_or(|s| s.ttl_seconds_after_finished.is_some()) {
        return false;
    }
    let run = job.annotations().get(names::RUN);
    let attempt = job.labels().get(names::ATTEMPT).and_then(|a| a.parse::<u32>().ok());
    let (true, true, Some(run), Some(attempt)) = (ended(job), owned(job, benchmark), run, attempt) else {
        return false;
    };
    status.runs.iter().find(|row| row.id == *run).is_some_and(|row| {
        row.result.is_some() || row.attempt > attempt || row.ends.iter().any(|end| end.attempt == attempt)
    })
}
