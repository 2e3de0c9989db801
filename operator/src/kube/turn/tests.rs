#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use mixbench_crds::benchmark::{RunPhase, RunProgress};
use serde_json::json;

use super::super::fake::Cut;
use super::super::world::{NAME, World, spec};
use super::*;

/// Everything that happens to two runs from the first turn to the last, with the wire whole.
async fn run_to_the_end(world: &mut World) {
    world.settle().await;
    world.pods_start();
    world.settle().await;
    for (job, top1) in world.jobs().iter().zip([71.0, 72.0]) {
        world.finish(job, top1);
        world.settle().await;
    }
}

#[tokio::test]
async fn two_runs_are_started_recorded_and_given_their_last_hour_with_few_writes() {
    let mut world = World::new(&spec());
    run_to_the_end(&mut world).await;
    let status = world.status();
    assert_eq!(status.summary, "2/2 done");
    assert_eq!(world.condition("Finished"), ("True".into(), "AllRecorded".into()));
    let jobs = world.jobs();
    assert_eq!(jobs.len(), 2);
    for job in &jobs {
        assert_eq!(job.spec.as_ref().unwrap().ttl_seconds_after_finished, Some(3600));
    }
    let writes = world.server.calls().iter().filter(|call| !call.what.starts_with("GET")).count();
    let mut events = Vec::new();
    let mut keys = BTreeSet::new();
    while let Ok((event, _)) = world.events.try_recv() {
        let job = event.secondary.and_then(|job| job.name);
        assert!(keys.insert((event.reason.clone(), job.clone())), "{} of {job:?} counts as the same", event.reason);
        events.push(event.reason);
    }
    events.sort();
    assert_eq!(events, ["Finished", "RunStarted", "RunStarted", "RunSucceeded", "RunSucceeded"]);
    assert!(writes + events.len() <= 2 * 6, "{writes} writes and {} events: {:?}", events.len(), world.server.calls());
}

#[tokio::test]
async fn a_turn_without_news_calls_nobody() {
    let mut world = World::new(&spec());
    world.settle().await;
    world.pods_start();
    world.settle().await;
    let calls = world.server.calls().len();
    for _ in 0..5 {
        world.turn().await.unwrap();
    }
    assert_eq!(world.server.calls().len(), calls);
}

#[tokio::test]
async fn wherever_the_operator_dies_the_end_is_the_same() {
    let mut whole = World::new(&spec());
    run_to_the_end(&mut whole).await;
    let calls = whole.server.calls().len();
    assert!(calls > 5, "{calls}");
    for at in 0..calls {
        for cut in [Cut::Before, Cut::After] {
            let mut world = World::new(&spec());
            world.server.cut(at, cut);
            let mut died = false;
            for turn in 0..40 {
                if world.turn().await.is_err() && !died {
                    died = true;
                    world.server.heal();
                    world.restart();
                }
                world.pods_start();
                let live = world.jobs().into_iter().find(|job| !ended(job));
                // One pod ends, and the operator may see it or die first.
                if let Some(job) = live.filter(|_| turn > 1) {
                    world.finish(&job, 71.0);
                }
            }
            world.settle().await;
            let what = format!("the wire cut {cut:?} call {at}");
            assert!(died, "{what}");
            assert_eq!(world.status().summary, "2/2 done", "{what}");
            let made: Vec<_> = world.server.calls().into_iter().filter(|c| c.what == "POST jobs").collect();
            assert_eq!(world.jobs().len(), 2, "{what}: {made:?}");
            for row in &world.status().runs {
                // Killed between the announcement and the Job, an attempt never was; nobody is charged for it.
                assert!(row.attempt <= 2 && row.ends.is_empty(), "{what}: {row:?}");
                assert_eq!(row.top1.as_deref(), Some("71.00"), "{what}");
            }
            let kept = |job: &Job| job.spec.as_ref().unwrap().ttl_seconds_after_finished == Some(3600);
            assert!(world.jobs().iter().all(kept), "{what}: a Job has no end");
        }
    }
}

fn ended(job: &Job) -> bool {
    job.status.as_ref().and_then(|s| s.conditions.as_ref()).is_some_and(|c| !c.is_empty())
}

#[tokio::test]
async fn what_a_quota_denies_is_degraded_and_tried_again_as_the_same_attempt() {
    let mut world = World::new(&spec());
    let message = "jobs.batch \"x\" is forbidden: exceeded quota: team, requested: count/jobs.batch=1";
    world.server.refuse("POST jobs", 403, "Forbidden", message);
    for _ in 0..6 {
        assert_eq!(world.turn().await.unwrap_err().reason(), "QuotaExceeded");
    }
    assert_eq!(world.condition("Degraded"), ("True".into(), "QuotaExceeded".into()));
    assert_eq!(world.jobs().len(), 0);
    let status = world.status();
    assert!(status.runs.iter().all(|row| row.attempt <= 1 && row.ends.is_empty()), "{:?}", status.runs);
    assert_eq!(world.server.count("PUT mixupbenchmarks/status"), 2, "the start, and the trouble: {status:?}");
    assert_eq!(world.server.count("POST jobs"), 6, "after the first refusal no other one is asked for");
    world.server.heal();
    world.settle().await;
    assert_eq!((world.condition("Degraded").1, world.jobs().len()), ("Healthy".into(), 2));
    assert!(world.status().runs.iter().all(|row| row.attempt == 1));
}

#[tokio::test]
async fn who_loses_the_write_creates_nothing() {
    let mut world = World::new(&spec());
    let scope = world.scope();
    world.server.change("mixupbenchmarks", NAME, |object| object["metadata"]["labels"] = json!({"a": "b"}));
    world.turn_in(&scope).await.unwrap();
    assert_eq!((world.server.count("PUT mixupbenchmarks/status"), world.server.count("POST jobs")), (1, 0));
    world.settle().await;
    assert_eq!(world.jobs().len(), 2);
}

#[tokio::test]
async fn two_operators_with_the_same_caches_start_every_run_once() {
    let world = World::new(&spec());
    let (one, two) = (world.scope(), world.scope());
    world.turn_in(&one).await.unwrap();
    world.turn_in(&two).await.unwrap();
    assert_eq!((world.jobs().len(), world.server.count("POST jobs")), (2, 2));
}

#[tokio::test]
async fn a_cache_that_lags_behind_creates_nothing_twice() {
    let mut world = World::new(&spec());
    world.settle().await;
    let seen = world.scope();
    // The status is new, the Jobs have not come yet: each is asked for once.
    let mut stores = seen.stores.clone();
    stores.jobs = World::new(&spec()).scope().stores.jobs;
    let lagging = Scope { stores, ..world.scope() };
    let before = world.server.calls().len();
    world.turn_in(&lagging).await.unwrap();
    let asked: Vec<_> = world.server.calls()[before..].iter().map(|call| call.what.clone()).collect();
    assert_eq!(asked, ["GET jobs", "GET jobs"]);
    assert!(world.status().runs.iter().all(|row| row.attempt == 1 && row.state == RunPhase::Running));
}

#[tokio::test]
async fn suspension_deletes_jobs_with_their_pods_in_sight_and_resuming_starts_the_next_attempt() {
    let mut world = World::new(&spec());
    world.settle().await;
    world.pods_start();
    world.settle().await;
    world.edit(|spec| spec["suspend"] = json!(true));
    world.settle().await;
    assert!(world.jobs().iter().all(|job| job.metadata.deletion_timestamp.is_some()), "in the foreground");
    assert_eq!(world.condition("Suspended"), ("False".into(), "Stopping".into()));
    assert_eq!(world.server.count("DELETE jobs"), 2, "once each");
    world.collect();
    world.settle().await;
    assert_eq!(world.condition("Suspended").0, "True");
    world.edit(|spec| spec["suspend"] = json!(false));
    world.now += jiff::SignedDuration::from_mins(10);
    world.settle().await;
    assert_eq!(world.jobs().len(), 2);
    assert!(world.status().runs.iter().all(|row| row.attempt == 2), "{:?}", world.status().runs);
    run_to_the_end(&mut world).await;
    assert_eq!(world.status().summary, "2/2 done");
}

#[tokio::test]
async fn a_recorded_run_is_never_run_again_whatever_is_deleted() {
    let mut world = World::new(&spec());
    run_to_the_end(&mut world).await;
    for job in world.jobs() {
        world.server.remove("jobs", &job.name_any());
        world.server.remove("pods", &format!("{}-0", job.name_any()));
    }
    let before = (world.status(), world.server.calls().len());
    world.restart();
    world.settle().await;
    assert_eq!((world.status(), world.server.calls().len()), before);
}

#[tokio::test]
async fn a_benchmark_that_is_being_deleted_is_left_alone() {
    let mut world = World::new(&spec());
    world.server.change("mixupbenchmarks", NAME, |object| {
        object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    });
    world.turn().await.unwrap();
    assert_eq!(world.server.calls(), []);
}

#[tokio::test]
async fn children_of_a_deleted_namesake_are_never_adopted() {
    let mut world = World::new(&spec());
    world.settle().await;
    let old: Vec<_> = world.jobs().iter().map(Job::name_any).collect();
    world.server.change("mixupbenchmarks", NAME, |object| {
        object["metadata"]["uid"] = json!("another");
        object["status"] = serde_json::Value::Null;
    });
    world.settle().await;
    let names: Vec<_> = world.jobs().iter().map(Job::name_any).filter(|name| !old.contains(name)).collect();
    assert_eq!(names.len(), 2, "{names:?} beside {old:?}");
    assert_eq!(world.server.count("DELETE jobs"), 0, "the garbage collector's work is its own");
}

#[tokio::test]
async fn a_result_whose_pod_the_cache_has_not_seen_is_asked_for() {
    let mut world = World::new(&spec());
    world.settle().await;
    world.pods_start();
    for job in world.jobs() {
        world.finish(&job, 61.5);
    }
    let mut lagging = world.scope();
    lagging.stores.pods = World::new(&spec()).scope().stores.pods;
    world.turn_in(&lagging).await.unwrap();
    assert_eq!((world.server.count("GET pods"), world.status().succeeded), (2, 2));
}

#[tokio::test]
async fn a_job_of_somebody_else_under_our_name_is_a_collision() {
    let mut world = World::new(&spec());
    world.settle().await;
    let taken = world.jobs()[0].name_any();
    let mut world = World::new(&spec());
    // The same UID: the second world counts as the first one did.
    world.server.put("jobs", json!({"metadata": {"name": taken, "namespace": "default"}, "spec": {"template": {}}}));
    let error = loop {
        if let Err(error) = world.turn().await {
            break error;
        }
    };
    assert_eq!(error.reason(), "NameCollision");
    assert!(error.to_string().contains(&taken), "{error}");
    drop(world.turn().await);
    assert_eq!(world.condition("Degraded").1, "NameCollision");
}

#[tokio::test]
async fn a_finished_benchmark_is_deleted_when_its_time_is_over_and_not_before() {
    let mut kept = spec();
    kept["retention"] = json!({"ttlSecondsAfterFinished": 600, "runJobsTtlSeconds": 60});
    let mut world = World::new(&kept);
    run_to_the_end(&mut world).await;
    let again = world.turn().await.unwrap();
    assert!(format!("{again:?}").contains("59"), "it is looked at again in time: {again:?}");
    assert_eq!(world.server.count("DELETE mixupbenchmarks"), 0);
    world.now += jiff::SignedDuration::from_secs(600);
    world.turn().await.unwrap();
    assert_eq!(world.server.count("DELETE mixupbenchmarks"), 1);
}

#[tokio::test]
async fn a_manifest_that_is_wrong_says_so_and_creates_nothing() {
    let mut wrong = spec();
    wrong["matrix"]["backbones"] = json!([{"name": "nonesuch"}]);
    let mut world = World::new(&wrong);
    world.settle().await;
    assert_eq!(world.condition("Accepted"), ("False".into(), "Invalid".into()));
    assert!(world.jobs().is_empty());
}

#[tokio::test]
async fn what_runs_of_a_manifest_that_became_wrong_goes_on_until_it_is_suspended() {
    let mut world = World::new(&spec());
    world.settle().await;
    world.pods_start();
    world.settle().await;
    // As after an upgrade to a release that knows the backbone no more.
    world.edit(|spec| spec["matrix"]["backbones"] = json!([{"name": "nonesuch"}]));
    world.settle().await;
    assert_eq!(world.condition("Accepted"), ("False".into(), "Invalid".into()));
    assert_eq!((world.server.count("DELETE jobs"), world.status().runs.len()), (0, 2));
    world.edit(|spec| spec["suspend"] = json!(true));
    world.settle().await;
    assert_eq!(world.server.count("DELETE jobs"), 2);
}

#[tokio::test]
async fn live_runs_are_asked_how_far_they_are_and_only_in_pods_of_their_own_jobs() {
    let mut world = World::new(&spec());
    world.settle().await;
    world.pods_start();
    let (scope, benchmark) = (world.scope(), world.benchmark());
    let (jobs, pods) = scope.stores.children(&benchmark);
    let asked = asking::targets(&benchmark, &world.status(), &jobs, &pods);
    assert_eq!(asked.len(), 2);
    for (what, at, value) in [
        ("another one's pod", "/metadata/ownerReferences/0/uid", json!("foreign")),
        ("not rank 0", "/metadata/labels/batch.kubernetes.io~1job-completion-index", json!("1")),
        ("not running", "/status/phase", json!("Pending")),
        ("no address", "/status/podIP", json!("example.org")),
    ] {
        let mut pod = serde_json::to_value(&*pods[0]).unwrap();
        *pod.pointer_mut(at).unwrap() = value;
        let pods = [Arc::new(serde_json::from_value(pod).unwrap()), Arc::clone(&pods[1])];
        assert_eq!(asking::targets(&benchmark, &world.status(), &jobs, &pods).len(), 1, "{what}");
    }
}

#[tokio::test]
async fn what_a_run_says_of_itself_is_in_its_row_and_goes_with_its_attempt() {
    let mut world = World::new(&spec());
    world.settle().await;
    let run = world.status().runs[0].id.clone();
    let (uid, far) = (world.benchmark().uid().unwrap(), RunProgress { epoch: 1, ..RunProgress::default() });
    let asked = BTreeSet::from([run.clone()]);
    world.edge.memory.heard(&uid, &asked, BTreeMap::from([(run.clone(), far.clone())]));
    world.settle().await;
    assert_eq!(world.status().runs[0].progress, Some(far));
    world.server.remove("jobs", &world.status().runs[0].job.clone().unwrap());
    world.now += jiff::SignedDuration::from_mins(10);
    world.settle().await;
    world.now += jiff::SignedDuration::from_mins(10);
    world.settle().await;
    let row = &world.status().runs[0];
    assert_eq!((row.attempt, &row.progress), (2, &None));
}
