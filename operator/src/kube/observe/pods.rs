//! How a pod ended.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};
use mixbench_crds::benchmark::EndReason;
use mixbench_crds::event::Body;
use mixbench_crds::exit::Exit;
use mixbench_crds::result::RunResult;

use super::super::job::DISRUPTION_TARGET;
use super::super::names;
use super::super::record::{Expected, last_word};
use super::label;

/// What the pod of machine 0 left.
pub(super) enum Finish {
    /// A result that is believed.
    Result(Box<RunResult>),
    /// A last word that is not believed, and why.
    Unbelievable(String),
    /// No result.
    Nothing,
}

/// Why a pod ended.
#[derive(Debug)]
pub(super) struct End {
    pub(super) reason: EndReason,
    pub(super) message: String,
}

/// Whether it is machine 0's.
pub(super) fn is_first(pod: &Pod) -> bool {
    label(pod, names::COMPLETION_INDEX) == Some("0")
}

/// Whether all its containers have ended for good.
pub(super) fn is_over(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|s| s.phase.as_deref()).unwrap_or_default()
}

/// How its trainer ended, if it ever ran.
fn terminated(pod: &Pod) -> Option<&ContainerStateTerminated> {
    let statuses = pod.status.as_ref()?.container_statuses.as_deref()?;
    statuses.iter().find(|c| c.name == names::CONTAINER)?.state.as_ref()?.terminated.as_ref()
}

/// When its trainer ended.
pub(super) fn finished_at(pod: &Pod) -> Option<Timestamp> {
    Some(terminated(pod)?.finished_at.as_ref()?.0)
}

/// What the pod of machine 0 left, once its trainer has ended.
pub(super) fn finish(pod: &Pod, expected: Expected<'_>) -> Option<Finish> {
    let terminated = terminated(pod)?;
    Some(match last_word(terminated.message.as_deref().unwrap_or_default(), expected) {
        Ok(Some(Body::Finished { result })) => Finish::Result(Box::new(result)),
        Ok(Some(_)) => Finish::Unbelievable("it ended with exit 0 and says that it did not finish".to_owned()),
        Ok(None) => Finish::Nothing,
        Err(why) => Finish::Unbelievable(format!("the trainer's last word is not believed: {why}")),
    })
}

/// Why a pod ended, once it has.
pub(super) fn end(pod: &Pod, expected: Expected<'_>) -> Option<End> {
    let disrupted = disruption(pod);
    let Some(terminated) = terminated(pod) else {
        // Refused by its node, or ended before its container was made.
        let status = pod.status.as_ref()?;
        let refused = || format!("{}: {}", status.reason.as_deref().unwrap_or("Failed"), text(status.message.as_ref()));
        let message = disrupted.or_else(|| (phase(pod) == "Failed").then(refused))?;
        return Some(End { reason: EndReason::Disrupted, message });
    };
    let own = own_end(terminated, expected);
    let torn =
        matches!(own.reason, EndReason::Finished | EndReason::Stopped | EndReason::Collective | EndReason::Killed);
    Some(match disrupted {
        Some(message) if torn => End { reason: EndReason::Disrupted, message },
        _ => own,
    })
}

/// Who took the pod away, and why.
fn disruption(pod: &Pod) -> Option<String> {
    let conditions = pod.status.as_ref()?.conditions.as_deref()?;
    let found = conditions.iter().find(|c| c.type_ == DISRUPTION_TARGET && c.status == "True")?;
    Some(format!("{}: {}", found.reason.as_deref().unwrap_or(DISRUPTION_TARGET), text(found.message.as_ref())))
}

fn own_end(terminated: &ContainerStateTerminated, expected: Expected<'_>) -> End {
    let code = terminated.exit_code;
    let why = terminated.reason.as_deref().unwrap_or_default();
    if why == "OOMKilled" {
        let message =
            "killed for want of memory (OOMKilled); raise spec.trainer.resources.limits.memory, or lower the batches";
        return End { reason: EndReason::OutOfMemory, message: message.to_owned() };
    }
    let message = terminated.message.as_deref().unwrap_or_default();
    let by_code = |message: String| End { reason: Exit::from_code(code).into(), message };
    match last_word(message, expected) {
        Ok(Some(Body::Failed { exit, message, .. })) => End { reason: exit.into(), message },
        Ok(Some(Body::Stopped { .. })) => End { reason: EndReason::Stopped, message: "stopped on request".to_owned() },
        Ok(Some(_)) => End { reason: EndReason::Finished, message: String::new() },
        Ok(None) => by_code(format!("{} and no last word", named(code))),
        // The runtime speaks here where a container never ran.
        Err(_) if !matches!(why, "" | "Error" | "Completed") => by_code(format!("{}: {why}: {message}", named(code))),
        Err(error) => by_code(format!("{}; the trainer's last word is not believed: {error}", named(code))),
    }
}

fn named(code: i32) -> String {
    match code {
        137 => "exit code 137 (killed)".to_owned(),
        143 => "exit code 143 (told to end)".to_owned(),
        other => format!("exit code {other}"),
    }
}

fn text(message: Option<&String>) -> &str {
    message.map(String::as_str).unwrap_or_default()
}

/// The end that explains those of a whole gang best: a cause wins over what the survivors saw of it.
pub(super) fn most_specific(ends: Vec<End>) -> Option<End> {
    let weight = |end: &End| match end.reason {
        EndReason::Finished => 0,
        EndReason::Stopped => 1,
        EndReason::Collective => 2,
        EndReason::Killed | EndReason::Lost => 3,
        EndReason::ResultMissing | EndReason::ResultLost | EndReason::ResultInvalid => 4,
        EndReason::Disrupted => 5,
        EndReason::Internal => 6,
        EndReason::Io | EndReason::CannotCreate => 7,
        EndReason::OutOfMemory => 8,
        EndReason::Diverged => 9,
        EndReason::Data => 10,
        EndReason::Config => 11,
    };
    // The first of the heaviest, as pods come in the order of their machines.
    ends.into_iter().rev().max_by_key(weight)
}
