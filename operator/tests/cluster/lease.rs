//! Which of two operators works: the Lease on a real API server.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::api::DeleteParams;
use mixbench::kube::lease::{Contender, Timings};
use mixbench::kube::metrics::Metrics;
use tokio::sync::oneshot;

use crate::support::control::Control;
use crate::support::operator::Operator;
use crate::support::stage::{LEASE, Stage};

async fn spec(stage: &Stage) -> LeaseSpec {
    let lease = stage.api::<Lease>().get_opt(LEASE).await.unwrap();
    lease.and_then(|lease| lease.spec).unwrap_or_default()
}

/// Waits until somebody else than `before` holds the Lease, and says who and how long it took.
async fn next_holder(stage: &Stage, before: &str) -> (String, Duration) {
    let begun = Instant::now();
    loop {
        if let Some(holder) = spec(stage).await.holder_identity.filter(|holder| holder != before) {
            return (holder, begun.elapsed());
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "nobody takes the Lease from {before}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// An operator that contends for the Lease of the test's namespace.
fn operator(stage: &Stage, log: &str) -> Operator {
    stage.operator_with_log(log, &["--lease-namespace", &stage.namespace, "--lease-name", LEASE])
}

/// Waits until an operator has asked for the Lease, so that it is in the race.
async fn asks(stage: &Stage, seen: usize) {
    let begun = Instant::now();
    while stage.proxy.count(|call| call.is("get", "leases")) <= seen {
        assert!(begun.elapsed() < Duration::from_secs(30), "it does not contend");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_lease_reads_as_other_tools_expect_it_and_is_made_again_when_deleted() {
    let stage = Stage::without_operator(&Control::shared()).await;
    let contender = Contender {
        client: stage.client.clone(),
        namespace: stage.namespace.clone(),
        name: LEASE.into(),
        identity: "one".into(),
        timings: Timings::default(),
        metrics: Metrics::new(),
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let (mut leads, task) = contender.contend(async { drop(stopped.await) });
    leads.wait_for(|leads| *leads).await.unwrap();
    let taken = spec(&stage).await;
    assert_eq!((taken.holder_identity.as_deref(), taken.lease_duration_seconds), (Some("one"), Some(15)));
    assert_eq!(taken.lease_transitions, Some(1));
    assert!(taken.acquire_time.is_some() && taken.renew_time.is_some());

    stage.api::<Lease>().delete(LEASE, &DeleteParams::default()).await.unwrap();
    assert_eq!(next_holder(&stage, "").await.0, "one");
    assert!(*leads.borrow());

    stop.send(()).unwrap();
    task.await.unwrap();
    let released = spec(&stage).await;
    assert_eq!((released.holder_identity, *leads.borrow()), (None, false));
}

#[tokio::test]
async fn an_operator_that_is_told_to_end_is_followed_at_once() {
    let stage = Stage::without_operator(&Control::shared()).await;
    let mut first = operator(&stage, "first");
    let (holder, _) = next_holder(&stage, "").await;
    let seen = stage.proxy.count(|call| call.is("get", "leases"));
    let mut second = operator(&stage, "second");
    asks(&stage, seen).await;

    assert!(first.terminate().success());
    let (next, took) = next_holder(&stage, &holder).await;
    eprintln!("the second took over {took:?} after the first had ended");
    assert!(took <= Duration::from_millis(2500), "{next} took {took:?} after the first had ended");
    assert!(second.alive());
}

#[tokio::test]
async fn an_operator_that_is_killed_is_followed_within_seventeen_seconds() {
    let stage = Stage::without_operator(&Control::shared()).await;
    let mut first = operator(&stage, "first");
    let (holder, _) = next_holder(&stage, "").await;
    let seen = stage.proxy.count(|call| call.is("get", "leases"));
    let _second = operator(&stage, "second");
    asks(&stage, seen).await;

    first.kill();
    let (_, took) = next_holder(&stage, &holder).await;
    eprintln!("the second took over {took:?} after the first was killed");
    let expected = Duration::from_secs(12)..Duration::from_millis(17_500);
    assert!(expected.contains(&took), "{took:?}");
}
