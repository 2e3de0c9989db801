//! The operator's own web server: `/metrics` for Prometheus, `/healthz` and `/readyz` for the kubelet. Plain HTTP, GET only, no secrets.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use super::metrics::{self, Metrics};
use super::pulse::Pulse;

/// How long open connections may delay the end.
const PARTING: Duration = Duration::from_secs(1);

/// Serves until `shutdown` resolves.
///
/// # Errors
/// The address cannot be listened on.
pub async fn serve(
    listen: SocketAddr,
    metrics: Metrics,
    pulse: Pulse,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    serve_on(TcpListener::bind(listen).await?, metrics, pulse, shutdown).await
}

/// As [`serve`], on a socket that is already bound.
///
/// # Errors
/// The socket fails.
pub async fn serve_on(
    listener: TcpListener,
    metrics: Metrics,
    pulse: Pulse,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (told, mut heard) = tokio::sync::watch::channel(false);
    let graceful = async move {
        shutdown.await;
        told.send_replace(true);
    };
    let server = axum::serve(listener, router(metrics, pulse)).with_graceful_shutdown(graceful);
    tokio::select! {
        ended = server => ended,
        () = async {
            // A dropped sender means that the server has ended by itself, and then the other branch tells how.
            if heard.wait_for(|told| *told).await.is_err() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(PARTING).await;
        } => Ok(()),
    }
}

fn router(metrics: Metrics, pulse: Pulse) -> Router {
    Router::new()
        .route("/metrics", get(show_metrics))
        .with_state(metrics)
        .merge(Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz)).with_state(pulse))
        .fallback(|| async { (StatusCode::NOT_FOUND, "/metrics, /healthz or /readyz\n") })
}

async fn show_metrics(State(metrics): State<Metrics>) -> Response {
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics.render()).into_response()
}

async fn healthz(State(pulse): State<Pulse>) -> Response {
    match pulse.healthy(Instant::now()) {
        Ok(()) => "ok\n".into_response(),
        Err(stuck) => (StatusCode::SERVICE_UNAVAILABLE, format!("{stuck}\n")).into_response(),
    }
}

async fn readyz(State(pulse): State<Pulse>) -> Response {
    if pulse.is_ready() {
        "ok\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the caches are not filled yet\n").into_response()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt as _;

    use super::*;

    async fn ask(router: &Router, method: &str, path: &str) -> (StatusCode, String, String) {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let kind = response.headers().get(header::CONTENT_TYPE).map(|v| v.to_str().unwrap().to_owned());
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, kind.unwrap_or_default(), String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn metrics_come_as_prometheus_reads_them() {
        let (status, kind, text) = ask(&router(Metrics::new(), Pulse::default()), "GET", "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
        assert!(text.contains("# TYPE mixbench_lease_held gauge\n"), "{text}");
    }

    #[tokio::test]
    async fn readiness_is_what_was_said_last() {
        let pulse = Pulse::default();
        let router = router(Metrics::new(), pulse.clone());
        assert_eq!(ask(&router, "GET", "/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
        pulse.ready(true);
        assert_eq!(ask(&router, "GET", "/readyz").await.0, StatusCode::OK);
        pulse.ready(false);
        assert_eq!(ask(&router, "GET", "/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(ask(&router, "GET", "/healthz").await.0, StatusCode::OK, "what is not ready may be healthy");
    }

    #[tokio::test]
    async fn a_stuck_turn_shows_as_unhealthy_until_it_ends() {
        use super::super::pulse::STUCK;
        let pulse = Pulse::default();
        let router = router(Metrics::new(), pulse.clone());
        let long_ago =
            Instant::now().checked_sub(STUCK + Duration::from_secs(9)).expect("the machine is up for longer");
        let turn = pulse.begin_at(long_ago);
        let (status, _, text) = ask(&router, "GET", "/healthz").await;
        assert_eq!((status, text.contains("309 s")), (StatusCode::SERVICE_UNAVAILABLE, true), "{text}");
        drop(turn);
        assert_eq!(ask(&router, "GET", "/healthz").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn nothing_else_is_served() {
        let router = router(Metrics::new(), Pulse::default());
        assert_eq!(ask(&router, "GET", "/debug/pprof").await.0, StatusCode::NOT_FOUND);
        assert_eq!(ask(&router, "POST", "/metrics").await.0, StatusCode::METHOD_NOT_ALLOWED);
    }

    #[tokio::test]
    async fn an_open_connection_does_not_hold_the_end_up() {
        use tokio::io::AsyncWriteExt as _;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let shutdown = async move { stopped.await.unwrap() };
        let server = tokio::spawn(serve_on(listener, Metrics::new(), Pulse::default(), shutdown));
        let mut slow = tokio::net::TcpStream::connect(address).await.unwrap();
        slow.write_all(b"GET /metrics HTTP/1.1\r\n").await.unwrap();
        stop.send(()).unwrap();
        tokio::time::timeout(10 * PARTING, server).await.expect("it ends").unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_taken_address_is_an_error() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap();
        let failed = serve(address, Metrics::new(), Pulse::default(), std::future::pending()).await;
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
