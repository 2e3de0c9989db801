//! Contenders over an API server that lies in memory, in tokio's paused time.

#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};

use http::{Method, Request, Response};
use kube::client::Body;
use tokio::sync::oneshot;

use super::*;

/// How the server behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Up,
    Refuses,
    Hangs,
}

struct State {
    lease: Option<Lease>,
    version: u64,
    mode: Mode,
}

/// One Lease with the server's rules: a create of what is there and a replace of another version are conflicts.
#[derive(Clone)]
struct Server(Arc<Mutex<State>>);

impl Server {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(State { lease: None, version: 0, mode: Mode::Up })))
    }

    fn set(&self, mode: Mode) {
        self.0.lock().unwrap().mode = mode;
    }

    fn edit(&self, edit: impl FnOnce(&mut Option<Lease>)) {
        let mut state = self.0.lock().unwrap();
        state.version += 1;
        let version = state.version.to_string();
        edit(&mut state.lease);
        if let Some(lease) = &mut state.lease {
            lease.metadata.resource_version = Some(version);
        }
    }

    fn holder(&self) -> Option<String> {
        self.0.lock().unwrap().lease.as_ref()?.spec.as_ref()?.holder_identity.clone()
    }

    async fn answer(self, request: Request<Body>) -> Result<Response<Body>, kube::Error> {
        let method = request.method().clone();
        let mode = self.0.lock().unwrap().mode;
        match mode {
            Mode::Up => {}
            Mode::Refuses => return Err(kube::Error::Service("connection refused".into())),
            Mode::Hangs => std::future::pending().await,
        }
        let body = request.into_body().collect_bytes().await?;
        let mut state = self.0.lock().unwrap();
        let stored = state.lease.as_ref().and_then(|l| l.metadata.resource_version.clone());
        let sent: Option<Lease> = serde_json::from_slice(&body).ok();
        let sent_version = sent.as_ref().and_then(|l| l.metadata.resource_version.clone());
        let code = match method {
            Method::GET | Method::PUT if stored.is_none() => 404,
            Method::GET => 200,
            Method::POST if stored.is_some() => 409,
            Method::PUT if stored != sent_version => 409,
            Method::POST | Method::PUT => {
                state.version += 1;
                let mut lease = sent.unwrap();
                lease.metadata.resource_version = Some(state.version.to_string());
                state.lease = Some(lease);
                200
            }
            _ => 405,
        };
        let body = if code == 200 {
            serde_json::to_vec(&state.lease).unwrap()
        } else {
            let reason = if code == 404 { "NotFound" } else { "Conflict" };
            serde_json::json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": "y"})
                .to_string()
                .into_bytes()
        };
        Ok(Response::builder().status(code).body(Body::from(body)).unwrap())
    }

    /// A contender of this name.
    fn contend(&self, name: &str) -> Replica {
        let server = self.clone();
        let client = Client::new(tower::service_fn(move |request| server.clone().answer(request)), "a");
        let contender = Contender {
            client,
            namespace: "a".into(),
            name: "mixbench".into(),
            identity: name.into(),
            timings: Timings::default(),
            metrics: Metrics::new(),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let (leads, task) = contender.contend(async move { drop(stopped.await) });
        Replica { leads, task, stop }
    }
}

struct Replica {
    leads: watch::Receiver<bool>,
    task: JoinHandle<()>,
    stop: oneshot::Sender<()>,
}

impl Replica {
    fn leads(&self) -> bool {
        *self.leads.borrow()
    }

    /// How long until it leads (or no longer does).
    async fn until(&mut self, leads: bool) -> Duration {
        let begun = Instant::now();
        timeout(Duration::from_mins(5), self.leads.wait_for(|l| *l == leads)).await.expect("in time").unwrap();
        begun.elapsed()
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_release_hands_over_within_two_seconds() {
    let server = Server::new();
    let mut first = server.contend("first");
    first.until(true).await;
    let mut second = server.contend("second");
    sleep(Duration::from_mins(2)).await;
    assert!(first.leads() && !second.leads(), "a holder that renews keeps it");
    first.stop().await;
    assert_eq!(server.holder(), None, "released");
    assert!(second.until(true).await <= Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_killed_holder_is_followed_within_seventeen_seconds_and_not_too_soon() {
    for delay in [0, 700, 1300, 1999] {
        let server = Server::new();
        let mut first = server.contend("first");
        first.until(true).await;
        let mut second = server.contend("second");
        sleep(Duration::from_millis(60_000 + delay)).await;
        first.task.abort();
        let took = second.until(true).await;
        assert!(took <= Duration::from_millis(17_010) && took >= Duration::from_secs(13), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_short_outage_changes_nothing() {
    for mode in [Mode::Refuses, Mode::Hangs] {
        let server = Server::new();
        let mut first = server.contend("first");
        first.until(true).await;
        let second = server.contend("second");
        sleep(Duration::from_mins(1)).await;
        server.set(mode);
        sleep(Duration::from_secs(4)).await;
        server.set(Mode::Up);
        sleep(Duration::from_mins(1)).await;
        let lost = first.leads.has_changed().unwrap();
        assert!(first.leads() && !lost && !second.leads(), "{mode:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_outage_ends_the_lead_in_time_and_somebody_leads_soon_after_it() {
    for mode in [Mode::Refuses, Mode::Hangs] {
        let server = Server::new();
        let mut first = server.contend("first");
        first.until(true).await;
        let mut second = server.contend("second");
        sleep(Duration::from_mins(1)).await;
        server.set(mode);
        let took = first.until(false).await;
        assert!(took <= Timings::default().renew_deadline, "{mode:?}: {took:?}");
        sleep(Duration::from_mins(10)).await;
        assert!(!first.leads() && !second.leads());
        server.set(Mode::Up);
        let took = tokio::select! { took = first.until(true) => took, took = second.until(true) => took };
        assert!(took <= Duration::from_secs(7), "{mode:?}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_writes_is_believed_and_not_overwritten() {
    let server = Server::new();
    let mut first = server.contend("first");
    first.until(true).await;
    let usurp = |lease: &mut Option<Lease>| {
        lease.as_mut().unwrap().spec.as_mut().unwrap().holder_identity = Some("usurper".into());
    };
    server.edit(usurp);
    assert!(first.until(false).await <= Timings::default().retry + 2 * CONFLICT);
    assert_eq!(server.holder().as_deref(), Some("usurper"));
    assert!(first.until(true).await >= Duration::from_secs(10), "it is given its time");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_lease_is_made_again() {
    let server = Server::new();
    let mut first = server.contend("first");
    first.until(true).await;
    server.edit(|lease| *lease = None);
    sleep(Duration::from_secs(5)).await;
    assert!(first.leads());
    assert_eq!(server.holder().as_deref(), Some("first"));
}

#[tokio::test(start_paused = true)]
async fn an_operator_that_ends_while_the_server_hangs_ends_all_the_same() {
    let server = Server::new();
    let mut first = server.contend("first");
    first.until(true).await;
    server.set(Mode::Hangs);
    let begun = Instant::now();
    first.stop().await;
    assert!(begun.elapsed() <= PARTING + Duration::from_millis(10));
}

#[tokio::test(start_paused = true)]
async fn two_never_lead_at_once_whatever_happens() {
    for seed in 0..10 {
        let mut dice = fastrand::Rng::with_seed(seed);
        let server = Server::new();
        let mut replicas: Vec<Replica> = (0..3).map(|n| server.contend(&format!("r{n}"))).collect();
        let mut led = 0;
        for turn in 0..60 {
            match dice.u8(0..8) {
                0 => server.set(Mode::Refuses),
                1 => server.set(Mode::Hangs),
                2 => {
                    let n = dice.usize(0..replicas.len());
                    replicas[n].task.abort();
                    replicas[n] = server.contend(&format!("r{n}-{turn}"));
                }
                3 => {
                    let n = dice.usize(0..replicas.len());
                    let old = std::mem::replace(&mut replicas[n], server.contend(&format!("r{n}-{turn}")));
                    old.stop().await;
                }
                _ => server.set(Mode::Up),
            }
            let until = Instant::now() + Duration::from_millis(dice.u64(100..20_000));
            while Instant::now() < until {
                sleep(Duration::from_millis(97)).await;
                let now = replicas.iter().filter(|r| r.leads()).count();
                assert!(now <= 1, "seed {seed}, turn {turn}: {now} lead");
                led += now;
            }
        }
        assert!(led > 500, "seed {seed}: somebody leads most of the time, {led}");
    }
}
