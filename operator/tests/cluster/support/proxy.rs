//! A proxy before the API server: it counts what comes by, and fails it on demand.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::Response;
use kube::{Client, Config};
use tokio::runtime::Runtime;
use tokio::sync::{broadcast, watch};

use super::said::{Call, status_json};

mod watches;

/// What becomes of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// The API server never hears of it; this is the answer.
    Answer(u16),
    /// Too many requests, as priority and fairness says it: try again after so many seconds.
    Busy(u32),
    /// It happens, and the answer is this all the same.
    AfterCommit(u16),
    /// The API server never hears of it, and there is no answer.
    Hang,
    /// It happens, and there is no answer.
    HangAfterCommit,
}

/// What the running watches shall do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    /// End without a word.
    Cut,
    /// Say 410 Gone and end.
    Expire,
    /// Say everything once more, as old as it is.
    Replay,
}

/// A fault for the calls that it fits.
struct Rule {
    fits: Box<dyn Fn(&Call) -> bool + Send>,
    skip: usize,
    times: usize,
    fault: Fault,
    hits: watch::Sender<usize>,
}

struct Shared {
    calls: Mutex<Vec<Call>>,
    rules: Mutex<Vec<Rule>>,
    orders: broadcast::Sender<Order>,
    frozen: watch::Sender<BTreeSet<String>>,
}

/// The proxy: plain HTTP on a port of the loopback.
pub(crate) struct Proxy {
    address: SocketAddr,
    upstream: Config,
    shared: Arc<Shared>,
    /// It runs in here; gone, so are the listener and every connection.
    runtime: Option<Runtime>,
}

/// How often a fault has struck.
pub(crate) struct Hits(watch::Receiver<usize>);

impl Hits {
    /// How often so far.
    pub(crate) fn count(&self) -> usize {
        *self.0.borrow()
    }

    /// Waits until it has struck so often, at most a minute.
    pub(crate) async fn reach(&mut self, times: usize) {
        let reached = self.0.wait_for(|hits| *hits >= times);
        tokio::time::timeout(Duration::from_mins(1), reached).await.expect("the fault never struck").unwrap();
    }
}

impl Proxy {
    /// Starts one before this API server.
    pub(crate) fn start(upstream: Config) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let shared = Arc::new(Shared {
            calls: Mutex::default(),
            rules: Mutex::default(),
            orders: broadcast::Sender::new(16),
            frozen: watch::Sender::default(),
        });
        let mut proxy = Self { address: listener.local_addr().unwrap(), upstream, shared, runtime: None };
        proxy.serve(listener);
        proxy
    }

    fn serve(&mut self, listener: TcpListener) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (shared, upstream) = (self.shared.clone(), self.upstream.clone());
        listener.set_nonblocking(true).unwrap();
        runtime.spawn(async move {
            let client = Client::try_from(upstream).unwrap();
            let app = Router::new().fallback(move |request| handle(shared.clone(), client.clone(), request));
            axum::serve(tokio::net::TcpListener::from_std(listener).unwrap(), app).await
        });
        self.runtime = Some(runtime);
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Refuses every connection from now on, and breaks those that are open.
    pub(crate) fn down(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }

    /// Comes back on the same port.
    pub(crate) fn up(&mut self) {
        let end = Instant::now() + Duration::from_secs(10);
        let listener = loop {
            match TcpListener::bind(self.address) {
                Ok(listener) => break listener,
                // The old listener's thread takes a moment to end.
                Err(error) => assert!(Instant::now() < end, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        self.serve(listener);
    }

    /// Strikes the next `times` calls that fit.
    pub(crate) fn fail(&self, times: usize, fault: Fault, fits: impl Fn(&Call) -> bool + Send + 'static) -> Hits {
        self.fail_after(0, times, fault, fits)
    }

    /// Strikes `times` calls that fit, after it has let `skip` of them pass.
    pub(crate) fn fail_after(
        &self,
        skip: usize,
        times: usize,
        fault: Fault,
        fits: impl Fn(&Call) -> bool + Send + 'static,
    ) -> Hits {
        let (hits, seen) = watch::channel(0);
        self.shared.rules.lock().unwrap().push(Rule { fits: Box::new(fits), skip, times, fault, hits });
        Hits(seen)
    }

    /// Fails nothing any more.
    pub(crate) fn heal(&self) {
        self.shared.rules.lock().unwrap().clear();
        self.shared.frozen.send_replace(BTreeSet::new());
    }

    /// Tells every running watch.
    pub(crate) fn watches(&self, order: Order) {
        self.shared.orders.send(order).expect("no watch runs");
    }

    /// Holds back the events of this resource, until [`heal`](Self::heal).
    pub(crate) fn freeze(&self, resource: &str) {
        self.shared.frozen.send_modify(|frozen| {
            frozen.insert(resource.to_owned());
        });
    }

    /// Everything that came by so far, in order.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.shared.calls.lock().unwrap().clone()
    }

    /// How many calls came by that this holds for.
    pub(crate) fn count(&self, holds: impl Fn(&Call) -> bool) -> usize {
        self.calls().iter().filter(|call| holds(call)).count()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Shared {
    /// Notes the call, and the fault that strikes it.
    fn meet(&self, call: &Call) -> (usize, Option<Fault>) {
        let number = {
            let mut calls = self.calls.lock().unwrap();
            calls.push(call.clone());
            calls.len() - 1
        };
        let mut rules = self.rules.lock().unwrap();
        let mut fault = None;
        for rule in rules.iter_mut().filter(|rule| (rule.fits)(call)) {
            if rule.skip > 0 {
                rule.skip -= 1;
            } else if rule.times > 0 && fault.is_none() {
                rule.times -= 1;
                rule.hits.send_modify(|hits| *hits += 1);
                fault = Some(rule.fault);
            }
        }
        (number, fault)
    }

    fn answered(&self, number: usize, code: u16) {
        self.calls.lock().unwrap()[number].code = Some(code);
    }
}

async fn handle(shared: Arc<Shared>, client: Client, request: axum::extract::Request) -> Response {
    let call = Call::of(request.method(), request.uri());
    let (number, fault) = shared.meet(&call);
    let answer = match fault {
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Answer(code)) => say(code, None),
        Some(Fault::Busy(seconds)) => say(429, Some(seconds)),
        Some(Fault::HangAfterCommit) => {
            forward(client, request).await;
            std::future::pending().await
        }
        Some(Fault::AfterCommit(code)) => {
            forward(client, request).await;
            say(code, None)
        }
        None => forward(client, request).await,
    };
    shared.answered(number, answer.status().as_u16());
    if call.verb != "watch" || !answer.status().is_success() {
        return answer;
    }
    let orders = shared.orders.subscribe();
    let frozen = shared.frozen.subscribe();
    answer.map(|body| watches::relay(call.resource, body.into_data_stream(), orders, frozen))
}

fn say(code: u16, retry_after: Option<u32>) -> Response {
    let mut answer = http::Response::builder().status(code).header("content-type", "application/json");
    if let Some(seconds) = retry_after {
        answer = answer.header("retry-after", seconds.to_string());
    }
    answer.body(Body::from(status_json(code))).unwrap()
}

/// Asks the API server. An answer that is no watch is complete when this returns, so that what follows it has happened.
async fn forward(client: Client, request: axum::extract::Request) -> Response {
    let (parts, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, 16 << 20).await.unwrap_or_default();
    let mut asked = http::Request::builder().method(parts.method).uri(parts.uri);
    for name in ["accept", "content-type", "impersonate-user"] {
        if let Some(value) = parts.headers.get(name) {
            asked = asked.header(name, value);
        }
    }
    let asked = asked.body(kube::client::Body::from(body.to_vec())).unwrap();
    match client.send(asked).await {
        Ok(answer) => {
            let mut reply = http::Response::builder().status(answer.status());
            for name in ["content-type", "retry-after"] {
                if let Some(value) = answer.headers().get(name) {
                    reply = reply.header(name, value);
                }
            }
            reply.body(Body::new(answer.into_body())).unwrap()
        }
        Err(error) => say_bad_gateway(&error),
    }
}

fn say_bad_gateway(error: &kube::Error) -> Response {
    http::Response::builder().status(502).body(Body::from(error.to_string())).unwrap()
}
