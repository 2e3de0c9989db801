//! Which of several replicas takes turns: one `coordination.k8s.io/v1` Lease, contended for as long as the replica runs.
//!
//! Every write is a `replace` with the resourceVersion that was read, so that of two who would take it at once only one does. Whether a
//! holder is gone is judged by when *this* replica last saw the Lease change, never by the other's clock. A holder that cannot renew in
//! time stops taking turns before anybody may take the Lease from it, and contends on.
//!
//! It coordinates and does not fence: nothing that must be right rests on it (names and resourceVersions do).

use std::future::Future;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Duration, Instant, sleep, timeout};

use super::metrics::Metrics;

mod race;

pub use race::Timings;
use race::{Race, Step};

/// How long the release may take when the operator ends.
const PARTING: Duration = Duration::from_secs(2);

/// The pause before a Lease that another has written is read.
const CONFLICT: Duration = Duration::from_millis(20);

/// A replica that wants the Lease.
#[derive(Clone)]
pub struct Contender {
    /// Client; its time-outs bound each request, the renew deadline bounds them again.
    pub client: Client,
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub name: String,
    /// This process and no other, a restarted one included: see [`identity`].
    pub identity: String,
    /// How fast.
    pub timings: Timings,
    /// Where `mixbench_lease_held` is shown.
    pub metrics: Metrics,
}

/// The pod's name with a random end: a restarted container is another contender.
pub fn identity() -> String {
    let host = ["POD_NAME", "HOSTNAME"].iter().find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
    format!("{}_{:08x}", host.unwrap_or_else(|| "mixbench".into()), fastrand::u32(..))
}

impl Contender {
    /// Contends until `shutdown` resolves, then releases the Lease where it is held; the caller ends its turns before `shutdown` and waits
    /// for the task after it. The receiver says whether this replica may take turns.
    ///
    /// # Panics
    /// Timings in another order than [`Timings`] says.
    pub fn contend(
        self,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> (watch::Receiver<bool>, JoinHandle<()>) {
        assert!(self.timings.are_ordered(), "duration > renew deadline > retry: {:?}", self.timings);
        let (told, heard) = watch::channel(false);
        let race = Race::new(self.identity.clone(), self.timings);
        let api = Api::namespaced(self.client.clone(), &self.namespace);
        let mut runner = Runner { contender: self, api, race, told, complaint: None };
        let task = tokio::spawn(async move {
            tokio::pin!(shutdown);
            loop {
                tokio::select! {
                    biased;
                    () = &mut shutdown => break,
                    () = async { let pause = runner.attempt().await; sleep(pause).await } => {}
                }
            }
            runner.release().await;
        });
        (heard, task)
    }
}

struct Runner {
    contender: Contender,
    api: Api<Lease>,
    race: Race,
    told: watch::Sender<bool>,
    /// What was last complained about, so that a long outage is one line.
    complaint: Option<String>,
}

impl Runner {
    /// One attempt to hold the Lease for longer, or to get it; how long to pause after it.
    async fn attempt(&mut self) -> Duration {
        let begun = Instant::now();
        let mut conflict = false;
        match timeout(self.race.limit(begun), self.write(begun)).await {
            Ok(Ok(())) => self.complaint = None,
            // Somebody else has written, and what they wrote decides: it is read at once.
            Ok(Err(kube::Error::Api(status))) if status.code == 409 => {
                self.race.forget();
                conflict = true;
            }
            Ok(Err(error)) => self.failed(&error.to_string()),
            Err(_) => self.failed("no answer in time"),
        }
        let now = Instant::now();
        self.tell(self.race.leads(now));
        if conflict { CONFLICT } else { self.race.pause(now, fastrand::f64()) }
    }

    async fn write(&mut self, begun: Instant) -> Result<(), kube::Error> {
        let name = &self.contender.name;
        let lease = match self.race.held() {
            Some(held) => Some(held),
            None => self.api.get_opt(name).await?,
        };
        let all = PostParams::default();
        let written = match self.race.step(lease, begun, Timestamp::now()) {
            Step::Wait => return Ok(()),
            Step::Create(mut lease) => {
                lease.metadata.name = Some(name.clone());
                self.api.create(&all, &lease).await?
            }
            Step::Replace(lease) => self.api.replace(name, &all, &lease).await?,
        };
        self.race.won(written, begun);
        Ok(())
    }

    fn failed(&mut self, error: &str) {
        self.race.forget();
        if self.complaint.as_deref() != Some(error) {
            let Contender { namespace, name, .. } = &self.contender;
            tracing::warn!(lease = format!("{namespace}/{name}"), error, "the Lease cannot be read or written");
            self.complaint = Some(error.to_owned());
        }
    }

    /// Says whether this replica leads, where that has changed.
    fn tell(&self, leads: bool) {
        let changed = self.told.send_if_modified(|told| std::mem::replace(told, leads) != leads);
        if changed {
            let Contender { namespace, name, identity, .. } = &self.contender;
            let word = if leads { "this replica takes turns" } else { "this replica stands by" };
            tracing::info!(lease = format!("{namespace}/{name}"), identity, "{word}");
        }
        self.contender.metrics.lease(leads);
    }

    /// Clears the holder, where it is this replica, so that the next one need not wait for the Lease to expire.
    async fn release(&mut self) {
        self.tell(false);
        let name = self.contender.name.clone();
        let released = timeout(PARTING, async {
            // An attempt may have been cut short after the server had taken it, so what stands there now is read first.
            loop {
                let Some(lease) = self.api.get_opt(&name).await? else { return Ok(()) };
                let Some(released) = self.race.released(lease, Timestamp::now()) else { return Ok(()) };
                match self.api.replace(&name, &PostParams::default(), &released).await {
                    Err(kube::Error::Api(status)) if status.code == 409 => {}
                    other => return other.map(drop),
                }
            }
        });
        let error = match released.await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".into(),
        };
        tracing::warn!(error, "the Lease is not released; the next replica waits until it expires");
    }
}

#[cfg(test)]
mod tests;
