//! What `mixbench submit`, `wait` and `report` ask of a cluster: to create a benchmark, to read it, and to tell when it is over.

use std::time::Duration;

use kube::api::{Api, PostParams};
use kube::core::{Request, Status};
use kube::{Client, Resource as _};
use mixbench_crds::benchmark::MixupBenchmark;
use serde_json::Value;

use crate::aggregate::Outcome;
use crate::validate::Problem;

mod follow;

#[cfg(test)]
mod tests;

pub use follow::{End, News, over};

/// Longest wait for the answer to one request.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a person names the kind, before a slash and the name.
pub const RESOURCE: &str = "mixupbenchmark.mixbench.dev";

/// A namespace of a cluster, and who asks there.
#[derive(Clone)]
pub struct Desk {
    client: Client,
    namespace: String,
}

/// Why the API server did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// There is no such benchmark.
    #[error(
        "there is no benchmark `{name}` in the namespace `{namespace}`; `kubectl get mixb -A` lists those of all namespaces"
    )]
    Missing {
        /// Its name.
        name: String,
        /// Where it was looked for.
        namespace: String,
    },
    /// The name is taken.
    #[error(
        "the namespace `{namespace}` has a benchmark `{name}` already; `mixbench wait {name} -n {namespace}` waits for that one, \
         another metadata.name or `generateName: {name}-` instead of it makes a new one"
    )]
    Exists {
        /// The name.
        name: String,
        /// The namespace.
        namespace: String,
    },
    /// The cluster does not know the kind.
    #[error(
        "the cluster knows no mixupbenchmarks.mixbench.dev; install the chart, or `mixbench crd | kubectl apply -f -` and an operator"
    )]
    NoKind,
    /// The server refuses, in its own words.
    #[error("the API server refuses: {0}")]
    Refused(String),
    /// What the server answers is not what this build reads.
    #[error("the benchmark cannot be read: {0}; use the mixbench of the operator's release")]
    Unreadable(String),
    /// The server does not answer, or only that it cannot.
    #[error("the API server does not answer: {0}")]
    Unreachable(String),
}

impl DeskError {
    /// A benchmark that cannot be planned here though the cluster has taken it.
    pub fn unplanned(problems: &[Problem]) -> Self {
        Self::Unreadable(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    }

    /// What a command comes to that ends so: [`Outcome::Failed`] where trying again may help, else [`Outcome::Invalid`].
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::Unreachable(_) => Outcome::Failed,
            _ => Outcome::Invalid,
        }
    }
}

impl Desk {
    /// Asks in this namespace.
    pub const fn new(client: Client, namespace: String) -> Self {
        Self { client, namespace }
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Creates a benchmark as it is written: what is left out is the server's to fill in, and a field that the server does not know is
    /// refused, not dropped.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn create(&self, document: &Value) -> Result<MixupBenchmark, DeskError> {
        let path = MixupBenchmark::url_path(&(), Some(&self.namespace));
        let params = PostParams { field_manager: Some("mixbench".to_owned()), ..PostParams::default() };
        let refused = |e: &dyn std::fmt::Display| DeskError::Refused(e.to_string());
        let body = serde_json::to_vec(document).map_err(|e| refused(&e))?;
        let mut request = Request::new(path).create(&params, body).map_err(|e| refused(&e))?;
        let uri = format!("{}&fieldValidation=Strict", request.uri());
        *request.uri_mut() = uri.parse().map_err(|e| refused(&e))?;
        let name = document["metadata"]["name"].as_str();
        self.answer(name, self.client.request(request)).await
    }

    /// Reads a benchmark.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn get(&self, name: &str) -> Result<MixupBenchmark, DeskError> {
        let api = self.api();
        self.answer(Some(name), api.get(name)).await
    }

    fn api(&self) -> Api<MixupBenchmark> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    async fn answer<T>(
        &self,
        name: Option<&str>,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, DeskError> {
        match tokio::time::timeout(PATIENCE, request).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.explain(name, &error)),
            Err(_) => Err(DeskError::Unreachable(format!("nothing came within {} s", PATIENCE.as_secs()))),
        }
    }

    /// The error in terms of what was asked for.
    fn explain(&self, name: Option<&str>, error: &kube::Error) -> DeskError {
        let status = match error {
            kube::Error::Api(status) => status,
            kube::Error::SerdeError(e) => return DeskError::Unreadable(e.to_string()),
            other => return DeskError::Unreachable(silence(other)),
        };
        let namespace = || self.namespace.clone();
        match (status.code, name) {
            (404, Some(name)) if of(status).is_some_and(|of| of == name) => {
                DeskError::Missing { name: name.to_owned(), namespace: namespace() }
            }
            (404, _) if of(status).is_none() => DeskError::NoKind,
            (409, Some(name)) if status.reason == "AlreadyExists" => {
                DeskError::Exists { name: name.to_owned(), namespace: namespace() }
            }
            (400..=428 | 430..=499, _) => DeskError::Refused(words(status)),
            _ => DeskError::Unreachable(words(status)),
        }
    }
}

/// Which object a refusal is about.
fn of(status: &Status) -> Option<&str> {
    status.details.as_ref().map(|d| d.name.as_str()).filter(|name| !name.is_empty())
}

/// The server's words, else its number.
fn words(status: &Status) -> String {
    match (status.message.as_str(), status.reason.as_str()) {
        ("", "") => format!("HTTP {}", status.code),
        ("", reason) => format!("HTTP {} {reason}", status.code),
        (message, _) => message.to_owned(),
    }
}

/// Why no answer came.
fn silence(error: &kube::Error) -> String {
    match error {
        kube::Error::Service(cause) => chain(cause.as_ref()),
        other => chain(other),
    }
}

/// An error with its causes, as far as they say more.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let more = cause.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = cause.source();
    }
    text
}
