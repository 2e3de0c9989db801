//! One Job and its pods in every state that a cluster brings them into.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStateWaiting, ContainerStatus, Pod};
use mixbench_crds::exit::Exit;

use super::fixture::*;
use super::*;
use crate::decide::RunState;
use crate::status::{Context, status};

/// The state of attempt 1 of the first run.
fn state(picture: &Picture) -> AttemptState {
    let id = &the_plan().runs[0].run.id;
    let run = &picture.observed.runs[id];
    assert_eq!(run.attempts.len(), 1, "{run:?}");
    run.attempts[0].state.clone()
}

/// How attempt 1 of the first run ended, seen through these pods, where its Job has failed.
fn end(pods: impl Fn(&Job) -> Vec<Pod>) -> (EndReason, String) {
    let benchmark = benchmark(false);
    let job = started(&benchmark, 0, 1, at(-60));
    let pods = pods(&job);
    let message = "Container trainer for pod team/x failed with exit code 77 matching FailJob rule at index 0";
    let picture = look(&benchmark, &[over(job, "Failed", message, at(-1))], &pods, &[]);
    match state(&picture) {
        AttemptState::Ended { reason, at: ended, result: None, message } => {
            assert_eq!(ended, at(-1), "the API server's clock tells when");
            (reason, message)
        }
        other => panic!("{other:?}"),
    }
}

/// How attempt 1 of the first run ended where its Job has succeeded and the first pod left this.
fn success(storage: bool, said: &str) -> AttemptState {
    let benchmark = benchmark(storage);
    let job = started(&benchmark, 0, 1, at(-60));
    let pods = [ended(pod(&job, 0), 0, "Completed", said)];
    state(&look(&benchmark, &[over(job, "Complete", "", at(-1))], &pods, &[]))
}

#[test]
fn a_finished_job_gives_its_result() {
    let (result, said) = finished(&benchmark(false), 0, 1);
    let AttemptState::Ended { reason: EndReason::Finished, result: Some(seen), .. } = success(false, &said) else {
        panic!("no result")
    };
    assert_eq!(*seen, result);
}

#[test]
fn row_38_a_result_that_cannot_be_believed_fails_the_run_with_its_bytes_in_quotes() {
    for said in ["{\"top1\": NaN}", "\u{1b}[31m", &"x".repeat(4096)] {
        let AttemptState::Ended { reason, result: None, message, .. } = success(true, said) else { panic!() };
        assert_eq!(reason, EndReason::ResultInvalid);
        assert!(message.starts_with("ResultInvalid: ") && !message.contains('\u{1b}'), "{message}");
    }
    let (_, others) = finished(&benchmark(false), 1, 1);
    assert!(matches!(success(true, &others), AttemptState::Ended { reason: EndReason::ResultInvalid, .. }));
}

#[test]
fn row_39_exit_0_without_a_result_is_no_success() {
    let reason = |storage| match success(storage, "") {
        AttemptState::Ended { reason, result: None, message, .. } => {
            assert!(message.starts_with("ResultMissing: "), "{message}");
            reason
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(reason(false), EndReason::ResultMissing);
    assert_eq!(reason(true), EndReason::ResultLost, "the next attempt finds it in the storage");
}

#[test]
fn an_exit_is_told_by_the_last_word_else_by_the_code() {
    let benchmark = benchmark(false);
    let diverged = failed(&benchmark, 0, 1, Exit::Diverged, "the loss is not finite at step 7");
    let one = |code: i32, why: &str, said: &str| {
        let (why, said) = (why.to_owned(), said.to_owned());
        end(move |job| vec![ended(pod(job, 0), code, &why, &said)])
    };
    let told = (EndReason::Diverged, "the loss is not finite at step 7".to_owned());
    assert_eq!(one(77, "Error", &diverged), told);
    assert_eq!(one(65, "Error", "").0, EndReason::Data);
    assert_eq!(one(75, "Error", &stopped(&benchmark, 0, 1)).0, EndReason::Stopped);
    assert_eq!(one(137, "OOMKilled", "").0, EndReason::OutOfMemory);
    assert_eq!(one(137, "Error", "").0, EndReason::Killed);
    assert_eq!(one(143, "Error", "").0, EndReason::Killed);
    assert_eq!(one(1, "Error", "").0, EndReason::Killed);
    let (reason, message) = one(128, "StartError", "exec: \"mixbench-trainer\": not found");
    assert_eq!(reason, EndReason::Killed);
    assert!(message.contains("StartError: exec"), "{message}");
    let (reason, message) = one(77, "Error", "garbage");
    assert_eq!(reason, EndReason::Diverged);
    assert!(message.contains("not believed"), "{message}");
}

#[test]
fn the_most_specific_end_of_a_gang_wins() {
    let benchmark = benchmark(false);
    let seen = end(|job| {
        let lost = failed(&benchmark, 0, 1, Exit::Collective, "a peer is gone");
        let cause = failed(&benchmark, 0, 1, Exit::Data, "no such folder");
        vec![ended(pod(job, 0), 76, "Error", &lost), ended(pod(job, 1), 65, "Error", &cause)]
    });
    assert_eq!(seen, (EndReason::Data, "no such folder".to_owned()));
}

#[test]
fn row_21_a_disruption_is_charged_to_the_machines_whatever_its_victims_say() {
    let gone = |pod, code| {
        let pod = ended(pod, code, "Error", "");
        with_condition(pod, "DisruptionTarget", "True", "EvictionByEvictionAPI", "Eviction API: evicting")
    };
    for code in [75, 76, 137, 143] {
        let (reason, message) = end(|job| vec![ended(pod(job, 0), 76, "Error", ""), gone(pod(job, 1), code)]);
        assert_eq!(reason, EndReason::Disrupted, "{code}");
        assert!(message.contains("EvictionByEvictionAPI"), "{message}");
    }
    assert_eq!(end(|job| vec![gone(pod(job, 0), 77)]).0, EndReason::Diverged, "its own fault stays its own");
}

#[test]
fn a_pod_that_its_node_refused_is_charged_to_the_machines() {
    let (reason, message) = end(|job| {
        let mut pod = pod(job, 0);
        let status = pod.status.as_mut().expect("a status");
        status.phase = Some("Failed".into());
        status.reason = Some("UnexpectedAdmissionError".into());
        status.message = Some("Allocate failed due to no healthy devices".into());
        vec![pod]
    });
    assert_eq!(reason, EndReason::Disrupted);
    assert!(message.contains("no healthy devices"), "{message}");
}

#[test]
fn without_pods_the_job_tells_the_code() {
    let benchmark = benchmark(false);
    let reason = |message: &str| {
        let job = over(started(&benchmark, 0, 1, at(-60)), "Failed", message, at(-30));
        match state(&look(&benchmark, &[job], &[], &[])) {
            AttemptState::Ended { reason, .. } => reason,
            other => panic!("{other:?}"),
        }
    };
    let code = |code| {
        format!("Container trainer for pod team/x failed with exit code {code} matching FailJob rule at index 0")
    };
    assert_eq!(reason(&code(77)), EndReason::Diverged);
    assert_eq!(reason(&code(75)), EndReason::Stopped);
    assert_eq!(
        reason("Pod team/x has condition DisruptionTarget matching FailJob rule at index 1"),
        EndReason::Disrupted
    );
    assert_eq!(reason("Job has reached the specified backoff limit"), EndReason::Killed);
}

#[test]
fn a_job_that_has_ended_is_not_judged_before_its_pods_are_seen() {
    let benchmark = benchmark(false);
    // Not even a while later: clocks differ, and watches may lag for long.
    let job = over(started(&benchmark, 0, 1, at(-60)), "Complete", "", at(-30));
    let jobs = std::slice::from_ref(&job);
    let stale = look(&benchmark, jobs, &[pod(&job, 0)], &[]);
    assert!(matches!(state(&stale), AttemptState::Stopping { .. }) && stale.doubts.is_empty());
    assert!(stale.look_again.is_some_and(|t| t > now()));
    let second = ended(pod(&job, 1), 0, "Completed", "");
    for pods in [&[][..], &[second]] {
        let unheard = look_at(&benchmark, jobs, pods, &[], &BTreeSet::new());
        assert!(matches!(state(&unheard), AttemptState::Stopping { .. }));
        let doubt = &unheard.doubts[0];
        assert_eq!((Some(&doubt.job), doubt.missing), (job.metadata.name.as_ref(), Missing::Pods));
        let seen = state(&look(&benchmark, jobs, pods, &[]));
        assert!(matches!(seen, AttemptState::Ended { reason: EndReason::ResultLost, result: None, .. }), "{seen:?}");
    }
}

#[test]
fn a_job_that_is_being_deleted_lives_until_its_pods_are_gone() {
    let benchmark = benchmark(false);
    let running = started(&benchmark, 0, 1, at(-60));
    assert_eq!(
        state(&look(&benchmark, std::slice::from_ref(&running), &[], &[])),
        AttemptState::Running { since: at(-60) }
    );
    let (worker, leaving) = (pod(&running, 0), deleted(running.clone(), at(-5)));
    let both = look(&benchmark, std::slice::from_ref(&leaving), std::slice::from_ref(&worker), &[]);
    assert_eq!(state(&both), AttemptState::Stopping { since: at(-5) });
    let no_job = look(&benchmark, &[], std::slice::from_ref(&worker), &[]);
    assert!(matches!(state(&no_job), AttemptState::Stopping { .. }), "its pod still works");
    let said = finished(&benchmark, 0, 1).1;
    let last = look(&benchmark, &[leaving], &[ended(worker, 0, "Completed", &said)], &[]);
    let seen = state(&last);
    assert!(
        matches!(seen, AttemptState::Ended { result: Some(_), .. }),
        "finished while it was being deleted: {seen:?}"
    );
}

#[test]
fn what_does_not_go_is_told() {
    let benchmark = benchmark(false);
    let job = deleted(started(&benchmark, 0, 1, at(-600)), at(-500));
    let picture = look(&benchmark, std::slice::from_ref(&job), &[pod(&job, 0)], &[]);
    assert_eq!(picture.notes[0].kind, TroubleKind::CleanupFailing);
    assert!(picture.notes[0].message.contains("-0-x"), "{}", picture.notes[0].message);

    let stranded = |end| {
        let job = started(&benchmark, 0, 1, at(-600));
        let mut pod = pod(&job, 0);
        pod.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(end));
        look(&benchmark, &[job], &[pod], &[])
    };
    assert_eq!((stranded(at(-20)).notes.len(), stranded(at(-20)).look_again), (0, Some(at(10))));
    assert_eq!(stranded(at(-30)).notes[0].kind, TroubleKind::CleanupFailing);
    assert!(matches!(state(&stranded(at(-30))), AttemptState::Running { .. }), "nothing starts beside it");
}

/// The benchmark after a turn that saw this.
fn after(benchmark: &MixupBenchmark, picture: &Picture) -> MixupBenchmark {
    let (troubles, progress) = (&picture.notes, &BTreeMap::new());
    let context = Context { benchmark, now: now(), troubles, progress };
    MixupBenchmark { status: Some(status(the_plan(), &picture.observed, context)), ..benchmark.clone() }
}

#[test]
fn an_announced_attempt_that_no_cache_shows_is_live_until_the_api_server_denies_it() {
    let benchmark = benchmark(false);
    let announced = after(&benchmark, &look(&benchmark, &[], &[], &[]));
    let doubtful = look(&announced, &[], &[], &[]);
    let doubt = doubtful.doubts[0].clone();
    assert_eq!((doubtful.doubts.len(), doubt.attempt), (1, 1));
    assert!(matches!(state(&doubtful), AttemptState::Running { .. }));

    let denied = look(&announced, &[], &[], &[&doubt.job]);
    let AttemptState::Ended { reason: EndReason::Lost, .. } = state(&denied) else { panic!() };
    assert!(denied.doubts.is_empty());
    let again = after(&announced, &denied);
    let row = &again.status.as_ref().expect("a status").runs[0];
    assert_eq!((row.attempt, row.ends.len(), row.ends[0].reason), (1, 1, EndReason::Lost), "it waits a moment");
    let id = &the_plan().runs[0].run.id;
    let next = look(&again, &[], &[], &[]);
    assert!(matches!(next.observed.runs[id].state(at(1)), RunState::BackingOff { .. }));
    assert_eq!(next.observed.runs[id].state(at(600)), RunState::Queued);
}

#[test]
fn pods_that_have_ended_are_not_believed_while_their_job_may_be_there_unless_they_hold_the_result() {
    let benchmark = benchmark(false);
    let job = started(&benchmark, 0, 1, at(-60));
    let name = job.metadata.name.as_deref().expect("a name");
    let announced = after(&benchmark, &look(&benchmark, &[], &[], &[]));
    let silent = [ended(pod(&job, 0), 0, "Completed", "")];
    let doubtful = look(&announced, &[], &silent, &[]);
    assert_eq!((doubtful.doubts.len(), state(&doubtful).live()), (1, true));
    let gone = state(&look(&announced, &[], &silent, &[name]));
    assert!(matches!(gone, AttemptState::Ended { reason: EndReason::Lost, .. }), "{gone:?}");
    let said = failed(&benchmark, 0, 1, Exit::Diverged, "no");
    let gone = state(&look(&announced, &[], &[ended(pod(&job, 0), 77, "Error", &said)], &[name]));
    assert!(matches!(gone, AttemptState::Ended { reason: EndReason::Diverged, .. }), "{gone:?}");
    let holds = [ended(pod(&job, 0), 0, "Completed", &finished(&benchmark, 0, 1).1)];
    assert!(matches!(state(&look(&announced, &[], &holds, &[])), AttemptState::Ended { result: Some(_), .. }));
}

#[test]
fn row_14_a_job_deleted_while_it_ran_is_charged_to_nobody() {
    let benchmark = benchmark(false);
    let job = started(&benchmark, 0, 1, at(-60));
    let mut now_at = after(&benchmark, &look(&benchmark, &[], &[], &[]));
    for number in 1..10 {
        let name = names::job_name("quickstart", UID, &the_plan().runs[0].run.id, number);
        let picture = look(&now_at, &[], &[], &[&name]);
        let run = &picture.observed.runs[&the_plan().runs[0].run.id];
        assert!(!matches!(run.state(at(600)), RunState::Failed { .. }), "after {number}");
        now_at = after(&now_at, &picture);
        let row = &mut now_at.status.as_mut().expect("a status").runs[0];
        // As if the wait were over and the next attempt announced.
        (row.state, row.attempt) = (RunPhase::Running, number + 1);
    }
    assert_eq!(state(&look(&benchmark, &[job], &[], &[])), AttemptState::Running { since: at(-60) });
}

#[test]
fn row_15_what_is_recorded_needs_no_job_and_no_pod() {
    let benchmark = benchmark(false);
    let job = over(started(&benchmark, 0, 1, at(-60)), "Complete", "", at(-1));
    let said = finished(&benchmark, 0, 1).1;
    let done = look(&benchmark, std::slice::from_ref(&job), &[ended(pod(&job, 0), 0, "Completed", &said)], &[]);
    let recorded = after(&benchmark, &done);
    let later = look(&recorded, &[], &[], &[]);
    assert!(later.doubts.iter().all(|d| d.run != the_plan().runs[0].run.id));
    let again = after(&recorded, &later);
    assert_eq!(again.status.expect("a status").runs[0], recorded.status.expect("a status").runs[0]);
}

#[test]
fn row_17_jobs_of_another_uid_are_never_adopted() {
    let benchmark = benchmark(false);
    let mut earlier = benchmark.clone();
    earlier.metadata.uid = Some("another".into());
    let theirs = started(&earlier, 0, 1, at(-60));
    let picture = look(&benchmark, std::slice::from_ref(&theirs), &[pod(&theirs, 0)], &[]);
    assert!(picture.observed.runs.is_empty() && picture.notes.is_empty(), "{picture:?}");
}

#[test]
fn row_1_a_foreign_job_under_our_name_is_told_and_another_attempt_takes_another_name() {
    let benchmark = benchmark(false);
    let mut foreign = started(&benchmark, 0, 1, at(-60));
    foreign.metadata.owner_references = None;
    let said = finished(&benchmark, 0, 1).1;
    let pods = [ended(pod(&foreign, 0), 0, "Completed", &said)];
    let announced = after(&benchmark, &look(&benchmark, &[], &[], &[]));
    let picture = look(&announced, &[foreign], &pods, &[]);
    assert_eq!(picture.notes[0].kind, TroubleKind::NameCollision);
    assert!(matches!(state(&picture), AttemptState::Ended { reason: EndReason::Lost, result: None, .. }));
    let degraded = after(&announced, &picture).status.expect("a status");
    let degraded = degraded.conditions.iter().find(|c| c.type_ == "Degraded").expect("a condition");
    assert_eq!((degraded.status.as_str(), degraded.reason.as_str()), ("True", "NameCollision"));
}

#[test]
fn row_5_a_wiped_status_is_rebuilt_from_what_is_there() {
    let benchmark = benchmark(true);
    let said = finished(&benchmark, 0, 2).1;
    let done = over(started(&benchmark, 0, 2, at(-60)), "Complete", "", at(-1));
    let live = started(&benchmark, 1, 3, at(-60));
    let pods = [ended(pod(&done, 0), 0, "Completed", &said), pod(&live, 0)];
    let rebuilt = after(&benchmark, &look(&benchmark, &[done, live], &pods, &[])).status.expect("a status");
    assert_eq!((rebuilt.runs[0].state, rebuilt.runs[0].attempt), (RunPhase::Succeeded, 2));
    assert_eq!((rebuilt.runs[1].state, rebuilt.runs[1].attempt), (RunPhase::Running, 3));
}

#[test]
fn a_remembered_end_keeps_its_reason_whatever_is_left_of_its_job() {
    let benchmark = benchmark(false);
    let job = over(started(&benchmark, 0, 1, at(-60)), "Failed", "", at(-30));
    let said = failed(&benchmark, 0, 1, Exit::Diverged, "no");
    let full = look(&benchmark, std::slice::from_ref(&job), &[ended(pod(&job, 0), 77, "Error", &said)], &[]);
    let remembered = after(&benchmark, &full);
    let later = look_at(&remembered, &[job], &[], &[], &BTreeSet::new());
    let AttemptState::Ended { reason, .. } = state(&later) else { panic!() };
    assert_eq!((reason, later.look_again), (EndReason::Diverged, None));
    assert!(later.doubts.iter().all(|doubt| doubt.missing == Missing::Job), "{:?}", later.doubts);
}

#[test]
fn why_a_pod_waits_is_told() {
    let benchmark = benchmark(false);
    let job = started(&benchmark, 0, 1, at(-5));
    let told = |pods: &[Pod]| look(&benchmark, std::slice::from_ref(&job), pods, &[]).notes.first().map(|n| n.kind);
    let waits = |reason: &str| {
        let waiting = ContainerStateWaiting { reason: Some(reason.into()), message: Some("m".into()) };
        let state = Some(ContainerState { waiting: Some(waiting), ..ContainerState::default() });
        let mut pod = pod(&job, 0);
        let status = pod.status.as_mut().expect("a status");
        status.phase = Some("Pending".into());
        status.container_statuses =
            Some(vec![ContainerStatus { name: names::CONTAINER.into(), state, ..ContainerStatus::default() }]);
        pod
    };
    assert_eq!(told(&[waits("ImagePullBackOff")]), Some(TroubleKind::ImagePull));
    assert_eq!(told(&[waits("CreateContainerConfigError")]), Some(TroubleKind::ContainerConfig));
    assert_eq!(told(&[waits("ContainerCreating")]), None);
    let full = with_condition(pod(&job, 0), "PodScheduled", "False", "Unschedulable", "0/3 nodes are available");
    assert_eq!(told(&[full]), Some(TroubleKind::WaitingForCapacity));
    assert_eq!(told(&[]), None, "it was created five seconds ago");
    let old = started(&benchmark, 0, 1, at(-31));
    assert_eq!(look(&benchmark, &[old], &[], &[]).notes[0].kind, TroubleKind::PodsMissing);
    let mut held = started(&benchmark, 0, 1, at(-31));
    held.spec.as_mut().expect("a spec").suspend = Some(true);
    assert_eq!(look(&benchmark, &[held], &[], &[]).notes[0].kind, TroubleKind::WaitingForCapacity);
}

#[test]
fn suspending_is_told_as_a_stop_and_charged_to_nobody() {
    let mut benchmark = benchmark(true);
    let job = started(&benchmark, 0, 1, at(-60));
    let running = after(&benchmark, &look(&benchmark, std::slice::from_ref(&job), &[pod(&job, 0)], &[]));
    benchmark.status.clone_from(&running.status);
    benchmark.spec.suspend = true;
    let stopping = after(&benchmark, &look(&benchmark, std::slice::from_ref(&job), &[pod(&job, 0)], &[]));
    assert_eq!(stopping.status.as_ref().expect("a status").runs[0].state, RunPhase::Stopping);
    let name = job.metadata.name.as_deref().expect("a name");
    let AttemptState::Ended { reason, .. } = state(&look(&stopping, &[], &[], &[name])) else { panic!() };
    assert_eq!(reason, EndReason::Stopped);
    let killed = ended(pod(&job, 0), 137, "Error", "");
    let late = look(&stopping, &[deleted(job, at(-130))], &[killed], &[]);
    let AttemptState::Ended { reason, .. } = state(&late) else { panic!() };
    assert_eq!(reason, EndReason::Stopped, "too slow, and still no failure");
}
