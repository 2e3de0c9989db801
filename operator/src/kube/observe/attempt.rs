//! From the Job and the pods of one attempt to what it does, or how it ended.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobCondition};
use k8s_openapi::api::core::v1::Pod;
use mixbench_crds::benchmark::EndReason;
use mixbench_crds::exit::Exit;
use mixbench_crds::result::RunResult;

use super::super::record::Expected;
use super::pods::{End, Finish, end, finish, is_first, is_over, most_specific};
use crate::decide::AttemptState;

/// One attempt; there is a Job, or at least a pod.
pub(super) struct View<'a> {
    /// Whose words its pods may say.
    pub(super) expected: Expected<'a>,
    /// Its Job, if that is there.
    pub(super) job: Option<&'a Job>,
    /// Its pods.
    pub(super) pods: &'a [&'a Pod],
    /// Whether the status says that it was told to stop.
    pub(super) stopping: bool,
    /// Whether its folder outlives its pods.
    pub(super) keeps: bool,
    /// Now.
    pub(super) now: Timestamp,
}

impl View<'_> {
    /// What it does.
    pub(super) fn state(&self) -> AttemptState {
        let live = || self.pods.iter().filter(|pod| !is_over(pod));
        let Some(job) = self.job else {
            return match live().map(|pod| deleted(pod).unwrap_or(self.now)).min() {
                // Its Job is gone and takes the pods along; nothing starts beside them.
                Some(since) => AttemptState::Stopping { since },
                None => self.ended(None, self.last_finish()),
            };
        };
        let told = job.metadata.deletion_timestamp.as_ref().map(|t| t.0);
        if let Some(condition) = finished(job) {
            let at = condition.last_transition_time.as_ref().map_or(self.now, |t| t.0);
            // The caches of Jobs and pods are not of one moment: of a pod that still works although its Job has ended, the end is not in
            // the cache yet.
            return if live().next().is_some() {
                AttemptState::Stopping { since: told.unwrap_or(at) }
            } else {
                self.ended(Some(condition), at)
            };
        }
        if let Some(since) = told {
            let wanted = job.spec.as_ref().and_then(|s| s.completions).unwrap_or(1).unsigned_abs() as usize;
            let all_over = self.pods.len() >= wanted && live().next().is_none();
            return if all_over { self.ended(None, self.last_finish()) } else { AttemptState::Stopping { since } };
        }
        let started = job.status.as_ref().and_then(|s| s.start_time.as_ref());
        let since = started.or(job.metadata.creation_timestamp.as_ref()).map_or(self.now, |t| t.0);
        AttemptState::Running { since }
    }

    fn last_finish(&self) -> Timestamp {
        self.pods.iter().filter_map(|pod| super::pods::finished_at(pod)).max().unwrap_or(self.now)
    }

    /// How it ended; `condition` is its Job's last word.
    fn ended(&self, condition: Option<&JobCondition>, at: Timestamp) -> AttemptState {
        let said = |end: End, result: Option<RunResult>| AttemptState::Ended {
            reason: end.reason,
            at,
            result: result.map(Box::new),
            message: end.message,
        };
        let mut firsts: Vec<Finish> =
            self.pods.iter().filter(|p| is_first(p)).filter_map(|p| finish(p, self.expected)).collect();
        if let Some(at) = firsts.iter().position(|f| matches!(f, Finish::Result(_)))
            && let Finish::Result(result) = firsts.swap_remove(at)
        {
            return said(End { reason: EndReason::Finished, message: String::new() }, Some(*result));
        }
        if condition.is_some_and(|c| c.type_ == COMPLETE) {
            return said(self.without_result(firsts), None);
        }
        let ends: Vec<End> = self.pods.iter().filter_map(|pod| end(pod, self.expected)).collect();
        let end = most_specific(ends).filter(|end| end.reason != EndReason::Finished);
        let end = end.or_else(|| condition.map(from_condition)).unwrap_or_else(|| self.vanished());
        // Whoever deletes a Job ends its pods; that is no failure of theirs.
        let torn_down = condition.is_none() && matches!(end.reason, EndReason::Killed | EndReason::Collective);
        said(if torn_down { self.vanished() } else { end }, None)
    }

    /// The Job says success and there is no result.
    fn without_result(&self, firsts: Vec<Finish>) -> End {
        match firsts.into_iter().next() {
            Some(Finish::Unbelievable(why)) => {
                End { reason: EndReason::ResultInvalid, message: format!("ResultInvalid: {why}") }
            }
            Some(_) if !self.keeps => End {
                reason: EndReason::ResultMissing,
                message: "ResultMissing: the trainer ended with exit 0 and left no result; is spec.trainer.image a mixbench-trainer of this release?"
                    .to_owned(),
            },
            Some(_) => End {
                reason: EndReason::ResultLost,
                message: "ResultMissing: the trainer ended with exit 0 and left no result; another attempt looks for it in the storage".to_owned(),
            },
            None => End {
                reason: EndReason::ResultLost,
                message: "ResultLost: the Job has succeeded, and the pod with its result is gone".to_owned(),
            },
        }
    }

    /// Nothing tells how it ended.
    fn vanished(&self) -> End {
        if self.stopping {
            End { reason: EndReason::Stopped, message: "stopped on request".to_owned() }
        } else {
            End { reason: EndReason::Lost, message: "its Job was deleted while it ran".to_owned() }
        }
    }
}

const COMPLETE: &str = "Complete";

/// The condition that says that a Job has ended, all its pods included.
pub(super) fn finished(job: &Job) -> Option<&JobCondition> {
    let conditions = job.status.as_ref()?.conditions.as_deref()?;
    conditions.iter().find(|c| c.status == "True" && matches!(c.type_.as_str(), COMPLETE | "Failed"))
}

fn deleted(pod: &Pod) -> Option<Timestamp> {
    pod.metadata.deletion_timestamp.as_ref().map(|t| t.0)
}

/// What the Job controller wrote down of a pod that is gone.
fn from_condition(condition: &JobCondition) -> End {
    let reason = condition.reason.as_deref().unwrap_or("no reason");
    let text = condition.message.as_deref().unwrap_or_default();
    let code = text.split_once("failed with exit code ").and_then(|(_, rest)| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        Exit::from_code(digits.parse().ok()?)
    });
    let end = if text.contains("has condition DisruptionTarget") { EndReason::Disrupted } else { code.into() };
    End { reason: end, message: format!("{reason}: {text}") }
}
