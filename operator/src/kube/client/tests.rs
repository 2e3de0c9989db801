//! The client against servers that misbehave.

#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::Api;
use kube::api::{ListParams, PostParams, WatchParams};
use tokio::net::TcpListener;

use super::*;

/// Short enough for a test, with the proportions of the default.
const QUICK: Patience = Patience {
    request: Duration::from_millis(300),
    list: Duration::from_millis(600),
    total: Duration::from_secs(10),
    repeats: 3,
    pause: Duration::from_millis(10),
    longest_pause: Duration::from_millis(40),
};

/// Far above any time-out here, far below a hang, and patient with a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// A server that answers its n-th request, from 0, as `answer` says; and how many it got.
async fn server<F, R>(answer: F) -> (SocketAddr, Arc<AtomicU32>)
where
    F: Fn(u32, Request) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response> + Send,
{
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    let router = Router::new().fallback(move |request: Request| answer(count.fetch_add(1, Ordering::SeqCst), request));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, asked)
}

fn connect(address: SocketAddr, metrics: &Metrics) -> Client {
    let config = Config::new(format!("http://{address}").parse().unwrap());
    over(config, QUICK, Some(metrics.clone())).unwrap()
}

fn pods(client: Client) -> Api<Pod> {
    Api::namespaced(client, "a")
}

fn failure(code: u16) -> Response {
    let status = serde_json::json!({"kind": "Status", "status": "Failure", "code": code, "reason": "X", "message": "y",
        "details": {"retryAfterSeconds": 1}});
    (http::StatusCode::from_u16(code).unwrap(), status.to_string()).into_response()
}

fn pod() -> Response {
    r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p"}}"#.into_response()
}

fn counted(metrics: &Metrics, verb: &str, resource: &str, code: &str) -> u32 {
    let series = format!("mixbench_api_requests_total{{verb=\"{verb}\",resource=\"{resource}\",code=\"{code}\"}} ");
    let text = metrics.render();
    text.lines().find_map(|l| l.strip_prefix(&series)).map_or(0, |n| n.parse().unwrap())
}

#[tokio::test]
async fn a_server_that_accepts_and_never_answers_is_given_up() {
    let (address, asked) = server(|_, _| std::future::pending()).await;
    let metrics = Metrics::new();
    let api: Api<Service> = Api::namespaced(connect(address, &metrics), "a");
    let begun = Instant::now();
    let error = api.create(&PostParams::default(), &Service::default()).await.unwrap_err();
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert!(error.to_string().contains("did not answer create services within 0.3 s"), "{error}");
    assert_eq!(asked.load(Ordering::SeqCst), 1, "a write that may have happened is not repeated");
    assert_eq!(counted(&metrics, "create", "services", "timeout"), 1);
}

#[tokio::test]
async fn an_answer_that_stops_in_the_middle_is_given_up() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"kind\":").await;
            kept.push(stream);
        }
    });
    let metrics = Metrics::new();
    let begun = Instant::now();
    pods(connect(address, &metrics)).get("p").await.unwrap_err();
    assert!(begun.elapsed() < SOON);
    assert_eq!(counted(&metrics, "get", "pods", "timeout"), 1 + QUICK.repeats);
}

#[tokio::test]
async fn retry_after_is_honoured_and_the_write_happens_once_more() {
    let (address, asked) = server(|n, _| async move {
        match n {
            0 => ([("Retry-After", "1")], failure(429)).into_response(),
            _ => r#"{"kind":"Service","apiVersion":"v1","metadata":{"name":"s"}}"#.into_response(),
        }
    })
    .await;
    let metrics = Metrics::new();
    let api: Api<Service> = Api::namespaced(connect(address, &metrics), "a");
    let begun = Instant::now();
    api.create(&PostParams::default(), &Service::default()).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_longer_pause_than_a_call_may_take_is_left_to_the_caller() {
    let (address, asked) = server(|_, _| async { ([("Retry-After", "600")], failure(429)).into_response() }).await;
    let begun = Instant::now();
    let error = pods(connect(address, &Metrics::new())).get("p").await.unwrap_err();
    assert!(begun.elapsed() < SOON);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert_eq!(retry_after(&error), Some(Duration::from_secs(1)), "what the body says");
    assert_eq!(retry_after(&kube::Error::TlsRequired), None);
}

#[tokio::test]
async fn a_read_survives_a_servers_bad_moments() {
    let answers = |n, _| async move { if n < 3 { failure([500, 503, 504][n as usize]) } else { pod() } };
    let (address, _) = server(answers).await;
    let metrics = Metrics::new();
    pods(connect(address, &metrics)).get("p").await.unwrap();
    for code in ["500", "503", "504", "200"] {
        assert_eq!(counted(&metrics, "get", "pods", code), 1, "{code}");
    }
}

#[tokio::test]
async fn a_write_that_fails_is_not_repeated() {
    let (address, asked) = server(|_, _| async { failure(500) }).await;
    let api: Api<Service> = Api::namespaced(connect(address, &Metrics::new()), "a");
    api.create(&PostParams::default(), &Service::default()).await.unwrap_err();
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error_soon() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let metrics = Metrics::new();
    let begun = Instant::now();
    pods(connect(address, &metrics)).list(&ListParams::default()).await.unwrap_err();
    assert!(begun.elapsed() < SOON);
    assert_eq!(counted(&metrics, "list", "pods", "error"), 1 + QUICK.repeats);
}

#[tokio::test]
async fn a_quiet_watch_is_not_cut_and_one_that_never_begins_is() {
    use futures::{StreamExt as _, TryStreamExt as _};
    let quiet = |n, _| async move {
        if n > 0 {
            std::future::pending::<()>().await;
        }
        axum::body::Body::from_stream(futures::stream::pending::<Result<&'static str, std::io::Error>>())
            .into_response()
    };
    let (address, _) = server(quiet).await;
    let api = pods(connect(address, &Metrics::new()));
    let mut events = api.watch(&WatchParams::default(), "0").await.unwrap().boxed();
    tokio::time::timeout(2 * QUICK.list, events.try_next()).await.expect_err("nothing has happened, and that is fine");
    let begun = Instant::now();
    assert!(api.watch(&WatchParams::default(), "0").await.is_err());
    assert!(begun.elapsed() < SOON);
}

#[tokio::test]
async fn the_server_learns_who_asks() {
    let (address, _) = server(|_, request| async move {
        assert!(request.headers()["user-agent"].to_str().unwrap().starts_with("mixbench/"));
        pod()
    })
    .await;
    pods(connect(address, &Metrics::new())).get("p").await.unwrap();
}

#[tokio::test]
async fn a_kubeconfig_that_is_wrong_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    let options = |context: Option<&str>| ClientOptions {
        kubeconfig: Some(path.clone()),
        context: context.map(str::to_owned),
        ..ClientOptions::default()
    };
    let error = client(&options(None), None).await.err().unwrap().to_string();
    assert!(error.contains("--kubeconfig") && error.contains("config"), "{error}");
    let text = r"
apiVersion: v1
kind: Config
current-context: here
contexts: [{name: here, context: {cluster: c, user: u, namespace: team-a}}]
clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]
users: [{name: u, user: {}}]
";
    std::fs::write(&path, text).unwrap();
    assert_eq!(client(&options(None), None).await.unwrap().default_namespace(), "team-a");
    let error = client(&options(Some("there")), None).await.err().unwrap().to_string();
    assert!(error.contains("there"), "{error}");
}
