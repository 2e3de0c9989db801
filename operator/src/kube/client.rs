//! The client of the API server: where the cluster is, and calls that end. Every call has a time-out, so that a server which accepts and
//! never answers is noticed; what the server refuses for now is asked again when it says, and never all at once; every request is counted.
//!
//! kube's own retries are off. They repeat any request on 429, 503 and 504, up to 15 times and for up to 1000 s, below any time-out of
//! ours and uncounted; [`Patience`] says what is repeated instead.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

use super::metrics::Metrics;

mod call;
mod patience;

pub use call::{CODES, Call, RESOURCES, VERBS};
pub use patience::Patience;

/// Which cluster, and as whom. The flags are those of every command that talks to one.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ClientOptions {
    /// Kubeconfig to use; without it, the one that KUBECONFIG names, the pod's service account, or ~/.kube/config
    #[arg(long, env = "MIXBENCH_KUBECONFIG", value_name = "FILE", help_heading = "Cluster")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig; without it, its current one
    #[arg(long, env = "MIXBENCH_CONTEXT", value_name = "NAME", help_heading = "Cluster")]
    pub context: Option<String>,
    /// How long calls may take and what is repeated.
    #[arg(skip)]
    pub patience: Patience,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The kubeconfig cannot be read or lacks something.
    #[error("{from}: {source}")]
    Kubeconfig {
        /// The file or the variable that it came from.
        from: String,
        /// What is wrong.
        source: Box<KubeconfigError>,
    },
    /// The service account's files are not as they should be.
    #[error("the pod's service account: {0}; does its pod set automountServiceAccountToken: false?")]
    ServiceAccount(#[source] kube::config::InClusterError),
    /// The configuration is read and no client comes of it.
    #[error("no client for {url}: {source}")]
    Client {
        /// The server.
        url: String,
        /// What is wrong.
        source: Box<kube::Error>,
    },
}

/// A client for the cluster that `options` name.
///
/// # Errors
/// [`ClientError`]; the cluster itself is not asked yet.
pub async fn client(options: &ClientOptions, metrics: Option<Metrics>) -> Result<Client, ClientError> {
    let config = config(options).await?;
    let url = config.cluster_url.to_string();
    over(config, options.patience, metrics).map_err(|source| ClientError::Client { url, source: Box::new(source) })
}

/// The file that was named, then what `KUBECONFIG` names, then the service account of the pod that this runs in, then `~/.kube/config`.
async fn config(options: &ClientOptions) -> Result<Config, ClientError> {
    let failed = |from: String| move |source| ClientError::Kubeconfig { from, source: Box::new(source) };
    let (from, kubeconfig) = match &options.kubeconfig {
        Some(path) => {
            let from = format!("--kubeconfig {}", path.display());
            (from.clone(), Kubeconfig::read_from(path).map_err(failed(from))?)
        }
        None => match Kubeconfig::from_env().map_err(failed("KUBECONFIG".into()))? {
            Some(kubeconfig) => ("KUBECONFIG".into(), kubeconfig),
            None if options.context.is_none() && std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() => {
                return Config::incluster().map_err(ClientError::ServiceAccount);
            }
            None => {
                let from = "no --kubeconfig, no KUBECONFIG, not in a pod, and ~/.kube/config";
                (from.into(), Kubeconfig::read().map_err(failed(from.into()))?)
            }
        },
    };
    let chosen = KubeConfigOptions { context: options.context.clone(), ..KubeConfigOptions::default() };
    Config::from_custom_kubeconfig(kubeconfig, &chosen).await.map_err(failed(from))
}

/// The client for `config` with our time-outs, repeats and counts.
///
/// # Errors
/// Certificates, keys or a proxy that cannot be used.
pub fn over(mut config: Config, patience: Patience, metrics: Option<Metrics>) -> Result<Client, kube::Error> {
    config.default_retry = false;
    config.connect_timeout = Some(patience.request);
    // A time-out on reading would cut quiet watches; a call's own time-out covers the rest.
    config.read_timeout = None;
    let agent = concat!("mixbench/", env!("CARGO_PKG_VERSION"));
    config.headers.push((http::header::USER_AGENT, http::HeaderValue::from_static(agent)));
    let inner = Client::try_from(config)?;
    let (namespace, until) = (inner.default_namespace().to_owned(), *inner.valid_until());
    let service = tower::service_fn(move |request| call_patiently(inner.clone(), request, patience, metrics.clone()));
    Ok(Client::new(service, namespace).with_valid_until(until))
}

/// One call: its request, repeated as [`Patience`] allows.
async fn call_patiently(
    inner: Client,
    mut request: http::Request<Body>,
    patience: Patience,
    metrics: Option<Metrics>,
) -> Result<http::Response<Body>, kube::Error> {
    let call = Call::of(&request);
    let begun = Instant::now();
    let mut repeats = 0;
    loop {
        let again = copy(&request);
        let asked = Instant::now();
        let answer = ask(&inner, request, &call, &patience).await;
        let code = call::code(&answer);
        if let Some(metrics) = &metrics {
            metrics.api_call(call.verb, call.resource, code, asked.elapsed());
        }
        let wait = patience.wait(&call, &answer, repeats, begun.elapsed(), fastrand::f64());
        let (Some(next), Some(wait)) = (again, wait) else { return answer };
        tracing::debug!(verb = call.verb, resource = call.resource, code, repeats, ?wait, "asking again");
        tokio::time::sleep(wait).await;
        request = next;
        repeats += 1;
    }
}

/// One request and its whole answer, but only the beginning of a watch's, in time.
async fn ask(
    inner: &Client,
    request: http::Request<Body>,
    call: &Call,
    patience: &Patience,
) -> Result<http::Response<Body>, kube::Error> {
    let limit = patience.limit(call);
    let answered = tokio::time::timeout(limit, async {
        let response = inner.send(request).await?;
        if call.is_watch() {
            return Ok(response);
        }
        let (head, body) = response.into_parts();
        Ok(http::Response::from_parts(head, Body::from(body.collect_bytes().await?)))
    });
    let late = |_| Err(kube::Error::Service(Box::new(TimedOut { verb: call.verb, resource: call.resource, limit })));
    answered.await.unwrap_or_else(late)
}

/// The server took a request and did not answer in time.
#[derive(Debug, thiserror::Error)]
#[error("the API server did not answer {verb} {resource} within {} s", .limit.as_secs_f64())]
pub struct TimedOut {
    verb: &'static str,
    resource: &'static str,
    limit: Duration,
}

/// The request once more; none for a body that is a stream.
fn copy(request: &http::Request<Body>) -> Option<http::Request<Body>> {
    let mut copy = http::Request::new(request.body().try_clone()?);
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    copy.extensions_mut().clone_from(request.extensions());
    Some(copy)
}

/// How long the server asked to be left alone, where an error says so: for the back-off of a turn.
pub fn retry_after(error: &kube::Error) -> Option<Duration> {
    let kube::Error::Api(status) = error else { return None };
    let seconds = status.details.as_ref()?.retry_after_seconds;
    (seconds > 0).then(|| Duration::from_secs(seconds.into()))
}

#[cfg(test)]
mod tests;
