//! What is told of a benchmark as Kubernetes events: at most two of each run, and what became of the whole.
//!
//! Which events there are is a pure function of the status before and after a write that succeeded. They are published by a task of its
//! own, so that no turn waits for them; an event that cannot be published is lost, the status is not.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use mixbench_crds::benchmark::{BenchmarkStatus, RunPhase, RunStatus};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Events that may wait. More are dropped: a flood tells nobody anything.
const WAITING: usize = 2048;
/// Longest note in bytes; the API server takes 1024.
const NOTE: usize = 900;
/// Name that events are reported under.
pub const REPORTER: &str = "mixbench-operator";

/// Why an event is told; CamelCase in the event. The list is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr, strum::EnumIter, strum::EnumMessage)]
pub enum Reason {
    /// The Job of a run's first attempt is created.
    RunStarted,
    /// A run's result is recorded.
    RunSucceeded,
    /// A run's budget is spent.
    RunFailed,
    /// Nothing is live any more and nothing will start.
    Suspended,
    /// It goes on.
    Resumed,
    /// The manifest is wrong.
    Invalid,
    /// Everything has ended.
    Finished,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Why.
    pub reason: Reason,
    /// Whether somebody should look.
    pub warning: bool,
    /// For people.
    pub note: String,
    /// The run that it is about; none where it is about the whole benchmark.
    pub run: Option<String>,
}

/// What a write of the status tells. Pure.
pub fn told(before: Option<&BenchmarkStatus>, after: &BenchmarkStatus) -> Vec<Told> {
    let nothing = BenchmarkStatus::default();
    let before = before.unwrap_or(&nothing);
    // Rows are in the plan's order, and runs are only ever added: rows of before are looked for where they stand now.
    let mut events = Vec::new();
    for (index, row) in after.runs.iter().enumerate() {
        let same = before.runs.get(index).filter(|r| r.id == row.id);
        let earlier = same.or_else(|| before.runs.iter().find(|r| r.id == row.id));
        events.extend(of_run(earlier, row));
    }
    events.extend(of_benchmark(before, after));
    events
}

/// What the start of a run's first attempt tells. Pure.
pub fn started(run: &str) -> Told {
    Told { reason: Reason::RunStarted, warning: false, note: format!("{run} starts"), run: Some(run.to_owned()) }
}

fn of_run(before: Option<&RunStatus>, after: &RunStatus) -> Option<Told> {
    if before.is_some_and(|row| row.state == after.state) {
        return None;
    }
    let tell = |reason, warning, note: String| Some(Told { reason, warning, note, run: Some(after.id.clone()) });
    match after.state {
        RunPhase::Succeeded => {
            let top1 = after.top1.as_deref().map_or(String::new(), |top1| format!(": top-1 {top1} %"));
            tell(Reason::RunSucceeded, false, format!("{} succeeded{top1}", after.id))
        }
        RunPhase::Failed => {
            let why = after.message.as_deref().map_or(String::new(), |message| format!(": {message}"));
            tell(Reason::RunFailed, true, format!("{} failed for good after attempt {}{why}", after.id, after.attempt))
        }
        _ => None,
    }
}

fn of_benchmark(before: &BenchmarkStatus, after: &BenchmarkStatus) -> Vec<Told> {
    let of = |status: &BenchmarkStatus, kind: &str| {
        let found = status.conditions.iter().find(|c| c.type_ == kind);
        found.map(|c| (c.status.clone(), c.reason.clone(), c.message.clone()))
    };
    let became = |kind: &str, truth: &str| {
        let now = of(after, kind).filter(|(status, ..)| status == truth)?;
        (of(before, kind).is_none_or(|(status, ..)| status != truth)).then_some(now)
    };
    let tell = |reason, warning, note: String| Told { reason, warning, note, run: None };
    let mut events = Vec::new();
    if let Some((_, _, message)) = became("Accepted", "False") {
        events.push(tell(Reason::Invalid, true, message));
    }
    if became("Suspended", "True").is_some() {
        events.push(tell(Reason::Suspended, false, format!("suspended with {}", after.summary)));
    }
    let was_suspended = of(before, "Suspended").is_some_and(|(status, ..)| status == "True");
    if was_suspended && became("Suspended", "False").is_some() {
        events.push(tell(Reason::Resumed, false, format!("goes on with {}", after.summary)));
    }
    if became("Finished", "True").is_some() {
        let (gate, why, verdicts) = of(after, "GatePassed").unwrap_or_default();
        let failed = of(after, "Failed").is_some_and(|(status, ..)| status == "True");
        let verdicts = if verdicts.is_empty() { String::new() } else { format!(" ({verdicts})") };
        let note = format!("{}; gate: {why}{verdicts}", after.summary);
        events.push(tell(Reason::Finished, failed || gate == "False", note));
    }
    events
}

/// Publishes events, in order, and holds nobody up.
#[derive(Clone, Debug)]
pub struct Herald {
    sender: mpsc::Sender<(Event, ObjectReference)>,
}

impl Herald {
    /// Starts the task that publishes; it ends once every clone of the herald is gone and all is told.
    pub fn start(client: Client, instance: String) -> (Self, JoinHandle<()>) {
        let (sender, mut receiver) = mpsc::channel::<(Event, ObjectReference)>(WAITING);
        let recorder = Recorder::new(client, Reporter { controller: REPORTER.into(), instance: Some(instance) });
        let task = tokio::spawn(async move {
            while let Some((event, about)) = receiver.recv().await {
                if let Err(error) = recorder.publish(&event, &about).await {
                    let (reason, name) = (event.reason, about.name.unwrap_or_default());
                    tracing::warn!(benchmark = name, reason, %error, "an event could not be published");
                }
            }
        });
        (Self { sender }, task)
    }

    /// One whose events a test hears.
    #[cfg(test)]
    pub(crate) fn overheard() -> (Self, mpsc::Receiver<(Event, ObjectReference)>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Self { sender }, receiver)
    }

    /// Tells what `told` says of the object `about`. `job` names the Job of a run, which keeps events of different runs apart.
    pub fn tell(&self, told: Vec<Told>, about: &ObjectReference, job: impl Fn(&str) -> Option<ObjectReference>) {
        for one in told {
            let event = Event {
                type_: if one.warning { EventType::Warning } else { EventType::Normal },
                reason: <&str>::from(one.reason).into(),
                note: Some(cut(&one.note, NOTE)),
                action: "Reconcile".into(),
                secondary: one.run.as_deref().and_then(&job),
            };
            if self.sender.try_send((event, about.clone())).is_err() {
                tracing::warn!(reason = <&str>::from(one.reason), "too many events wait; this one is dropped");
            }
        }
    }
}

/// At most `most` bytes of `text`, whole characters.
fn cut(text: &str, most: usize) -> String {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
    use serde_json::json;
    use strum::IntoEnumIterator as _;

    use super::*;

    fn row(id: &str, state: &str, attempt: u32) -> RunStatus {
        serde_json::from_value(json!({"id": id, "state": state, "attempt": attempt})).expect("a row")
    }

    fn status(runs: Vec<RunStatus>, conditions: &[(&str, &str)]) -> BenchmarkStatus {
        let condition = |(kind, status): &(&str, &str)| Condition {
            type_: (*kind).into(),
            status: (*status).into(),
            reason: "Because".into(),
            message: String::new(),
            observed_generation: None,
            last_transition_time: Time(jiff::Timestamp::UNIX_EPOCH),
        };
        BenchmarkStatus { runs, conditions: conditions.iter().map(condition).collect(), ..BenchmarkStatus::default() }
    }

    fn reasons(before: Option<&BenchmarkStatus>, after: &BenchmarkStatus) -> Vec<Reason> {
        told(before, after).iter().map(|t| t.reason).collect()
    }

    #[test]
    fn a_run_that_fails_and_is_tried_again_and_succeeds_tells_its_end_alone() {
        let states =
            [("Queued", 0), ("Running", 1), ("BackingOff", 1), ("Running", 2), ("Succeeded", 2), ("Succeeded", 2)];
        let history: Vec<_> =
            states.iter().map(|(state, attempt)| status(vec![row("a", state, *attempt)], &[])).collect();
        let all: Vec<_> = history.windows(2).flat_map(|w| reasons(Some(&w[0]), &w[1])).collect();
        assert_eq!(all, [Reason::RunSucceeded]);
    }

    #[test]
    fn a_run_that_fails_for_good_is_a_warning_with_its_last_words() {
        let mut failed = row("a", "Failed", 4);
        failed.message = Some("the loss is not finite".into());
        let events = told(Some(&status(vec![row("a", "Running", 4)], &[])), &status(vec![failed], &[]));
        assert_eq!(events.len(), 1);
        assert!(events[0].warning && events[0].note.ends_with("attempt 4: the loss is not finite"), "{events:?}");
    }

    #[test]
    fn runs_that_are_added_shift_nobody() {
        let before = status(vec![row("a", "Succeeded", 1), row("b", "Running", 1)], &[]);
        let after = status(vec![row("a", "Succeeded", 1), row("c", "Queued", 0), row("b", "Running", 1)], &[]);
        assert_eq!(reasons(Some(&before), &after), []);
    }

    #[test]
    fn the_end_is_told_once_and_a_failed_gate_is_a_warning() {
        let open = status(vec![], &[("Finished", "False"), ("GatePassed", "Unknown")]);
        let done = status(vec![], &[("Finished", "True"), ("GatePassed", "False")]);
        assert_eq!(reasons(Some(&open), &done), [Reason::Finished]);
        assert!(told(Some(&open), &done)[0].warning);
        assert_eq!(reasons(Some(&done), &done), []);
    }

    #[test]
    fn suspension_is_told_when_it_holds_and_when_it_ends_but_not_at_birth() {
        let open = status(vec![], &[("Suspended", "False")]);
        let held = status(vec![], &[("Suspended", "True")]);
        assert_eq!(reasons(None, &open), []);
        assert_eq!(reasons(Some(&open), &held), [Reason::Suspended]);
        assert_eq!(reasons(Some(&held), &open), [Reason::Resumed]);
        assert_eq!(reasons(None, &status(vec![], &[("Accepted", "False")])), [Reason::Invalid]);
    }

    #[test]
    fn reasons_fit_into_an_event_and_notes_are_cut_between_characters() {
        for reason in Reason::iter() {
            let text = <&str>::from(reason);
            assert!(text.len() <= 128 && text.chars().all(|c| c.is_ascii_alphabetic()), "{text}");
        }
        assert_eq!(cut("añb", 2), "a");
        assert_eq!(cut("añb", 9), "añb");
    }
}
