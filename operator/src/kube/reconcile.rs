//! Turns as the loop sees them: each with its signs of life, its log, its count, and a longer wait after each failure in a row.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::runtime::controller::Action as Again;
use kube::runtime::reflector::ObjectRef;
use kube::{Client, ResourceExt as _};
use tracing::Instrument as _;

use super::act::ActError;
use super::controller::{Guarded, Scope};
use super::events::Herald;
use super::job::Defaults;
use super::memory::Memory;
use super::metrics::Metrics;
use super::pulse::Pulse;
use super::turn::turn;
use super::{client, invalid, log};

/// Longest pause that the API server can ask for.
const LONGEST_ASKED: Duration = Duration::from_mins(5);

/// What all turns share.
pub struct Edge {
    /// The API server.
    pub client: Client,
    /// What is counted.
    pub metrics: Metrics,
    /// Signs of life.
    pub pulse: Pulse,
    /// What a manifest need not say.
    pub defaults: Defaults,
    /// Most turns at once in each watched namespace, or in all where all are watched; 0 is without limit.
    pub concurrency: u16,
    /// Publishes events.
    pub herald: Herald,
    /// What is remembered between turns.
    pub memory: Memory,
}

impl Edge {
    /// A benchmark is gone.
    pub fn forget(&self, gone: &ObjectRef<Guarded>, uid: Option<&str>) {
        self.memory.forget(uid.unwrap_or_default());
        self.metrics.benchmark(gone.namespace.as_deref().unwrap_or_default(), &gone.name, None);
    }
}

/// Why a turn could not do all that it should have done.
#[derive(Debug, thiserror::Error)]
pub enum TurnError {
    /// The watches ended before the stores were filled.
    #[error("the caches were never filled")]
    Caches,
    /// The status could not be written; so nothing was done.
    #[error("cannot write the status: {0}")]
    Status(#[source] Box<kube::Error>),
    /// An object that the caches do not show could not be asked for; so nothing was done.
    #[error("cannot read {kind} {name}: {source}")]
    Read {
        /// Kind of the object.
        kind: &'static str,
        /// Name of the object.
        name: String,
        /// Why not.
        source: Box<kube::Error>,
    },
    /// Objects could not be created, deleted or changed. Everything else was done.
    #[error("{first}{}", if *.more > 0 { format!(" (and {more} more)") } else { String::new() })]
    Act {
        /// The first failure.
        #[source]
        first: Box<ActError>,
        /// Failures besides.
        more: usize,
    },
}

impl TurnError {
    /// How long the API server asked to be left alone, where it did and a call did not wait for so long.
    fn retry_after(&self) -> Option<Duration> {
        let source = match self {
            Self::Caches => return None,
            Self::Status(source) | Self::Read { source, .. } => source,
            Self::Act { first, .. } => match first.as_ref() {
                ActError::Api { source, .. } => source,
                _ => return None,
            },
        };
        client::retry_after(source)
    }

    /// What it is counted as; a closed list.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Caches => "Caches",
            Self::Status(_) => "Status",
            Self::Read { .. } => "Read",
            Self::Act { first, .. } => first.kind().into(),
        }
    }
}

/// A turn of the benchmark that `object` is.
///
/// # Errors
/// [`TurnError`], after everything was done that could be done.
pub async fn reconcile(object: Arc<Guarded>, scope: Arc<Scope>) -> Result<Again, TurnError> {
    if !scope.stores.ready().await {
        return Err(TurnError::Caches);
    }
    let edge = &scope.edge;
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let began = Instant::now();
    let alive = edge.pulse.begin();
    let work = async {
        let end = match &object.0 {
            Ok(benchmark) => turn(&scope, benchmark, &alive, Timestamp::now()).await,
            Err(strange) => invalid::tell(&edge.client, &strange.metadata, &strange.error, Timestamp::now()).await,
        };
        if let Err(error) = &end {
            tracing::warn!(%error, reason = error.reason(), "a turn failed and is tried again");
        }
        end
    };
    let end = work.instrument(log::benchmark(&namespace, &name)).await;
    drop(alive);
    edge.metrics.reconciled(began.elapsed().as_secs_f64(), end.as_ref().map(drop).map_err(TurnError::reason));
    if end.is_ok() {
        edge.memory.succeeded(&object.uid().unwrap_or_default());
    }
    end
}

/// When to try again after a turn that failed.
#[allow(clippy::needless_pass_by_value, reason = "kube passes it so")]
pub fn error_policy(object: Arc<Guarded>, error: &TurnError, scope: Arc<Scope>) -> Again {
    let own = scope.edge.memory.failed(&object.uid().unwrap_or_default());
    // Spread by our own wait, and within bounds: what the server asks for is a request and no order.
    let asked = error.retry_after().map(|asked| asked.min(LONGEST_ASKED) + own);
    Again::requeue(asked.unwrap_or(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_turn_waits_for_as_long_as_the_api_server_asked() {
        let busy = || {
            let text = r#"{"status": "Failure", "code": 429, "reason": "TooManyRequests", "message": "later",
                "details": {"retryAfterSeconds": 40}}"#;
            kube::Error::Api(serde_json::from_str(text).expect("a status"))
        };
        let act = ActError::Api { verb: "create", kind: "Job", name: "j".into(), source: busy() };
        for error in [TurnError::Status(Box::new(busy())), TurnError::Act { first: Box::new(act), more: 2 }] {
            assert_eq!(error.retry_after(), Some(Duration::from_secs(40)), "{error}");
        }
        assert_eq!(TurnError::Caches.retry_after(), None);
    }
}
