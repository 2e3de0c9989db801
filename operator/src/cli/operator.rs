//! `mixbench operator`: looks after the benchmarks of a cluster until it is told to stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use mixbench_crds::benchmark::PullPolicy;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};

use crate::aggregate::Outcome;
use crate::kube::client::{self, ClientOptions};
use crate::kube::events::Herald;
use crate::kube::job::Defaults;
use crate::kube::lease::{self, Contender, Timings};
use crate::kube::log::{self, LogFormat};
use crate::kube::memory::Memory;
use crate::kube::metrics::Metrics;
use crate::kube::pulse::Pulse;
use crate::kube::reconcile::Edge;
use crate::kube::{controller, http};

/// How long turns that have begun may take to end once the operator shall stop.
const PARTING: Duration = Duration::from_secs(5);

const PULL_POLICIES: [&str; 3] =
    [PullPolicy::Always.as_str(), PullPolicy::IfNotPresent.as_str(), PullPolicy::Never.as_str()];

/// Options of `mixbench operator`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Two operators may run at once: one works, the other stands by for its Lease. What they see decides what they do, not the Lease:
an operator may be killed and started at any time. SIGTERM ends it within seconds; runs go on.

Examples:
  mixbench operator --trainer-image registry.example/mixbench-trainer:1
  mixbench operator --trainer-image mixbench-trainer:dev --namespace team-a --namespace team-b --no-lease --context kind-kind")]
pub(super) struct Args {
    /// Namespace whose benchmarks are looked after; may be given several times. Without it, all
    #[arg(short, long = "namespace", env = "MIXBENCH_NAMESPACES", value_name = "NAME", value_delimiter = ',')]
    namespaces: Vec<String>,
    /// Image of the trainer where a manifest names none
    #[arg(long, env = "MIXBENCH_TRAINER_IMAGE", value_name = "IMAGE")]
    trainer_image: String,
    /// When the trainer's image is pulled, where a manifest does not say it
    #[arg(long, env = "MIXBENCH_TRAINER_PULL_POLICY", value_name = "POLICY", value_parser = PULL_POLICIES)]
    trainer_pull_policy: Option<String>,
    /// Address of /metrics, /healthz and /readyz
    #[arg(long, env = "MIXBENCH_LISTEN", value_name = "ADDRESS", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// Turns of different benchmarks at once, in each namespace that was named
    #[arg(long, env = "MIXBENCH_CONCURRENCY", value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,
    /// Namespace of the Lease; without it, the operator's own
    #[arg(long, env = "MIXBENCH_LEASE_NAMESPACE", value_name = "NAME")]
    lease_namespace: Option<String>,
    /// Name of the Lease
    #[arg(long, env = "MIXBENCH_LEASE_NAME", value_name = "NAME", default_value = "mixbench-operator")]
    lease_name: String,
    /// Work without a Lease: there is no other operator
    #[arg(long, conflicts_with_all = ["lease_namespace"])]
    no_lease: bool,
    /// How log lines are written; auto is text on a terminal and JSON elsewhere
    #[arg(long, env = "MIXBENCH_LOG_FORMAT", value_enum, default_value_t)]
    log_format: LogFormat,
    #[command(flatten)]
    cluster: ClientOptions,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Outcome> {
    log::init(args.log_format)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")?;
    let end = runtime.block_on(operate(args));
    // What still waits for an answer is not waited for: nothing that matters is in memory only.
    runtime.shutdown_timeout(Duration::from_secs(1));
    end.map(|()| Outcome::Pass)
}

async fn operate(args: &Args) -> anyhow::Result<()> {
    let (metrics, pulse) = (Metrics::new(), Pulse::default());
    let client = client::client(&args.cluster, Some(metrics.clone())).await?;
    let stop = on_signal()?;
    let instance = lease::identity();
    let (herald, heralding) = Herald::start(client.clone(), instance.clone());
    let edge = Arc::new(Edge {
        client: client.clone(),
        metrics: metrics.clone(),
        pulse: pulse.clone(),
        defaults: Defaults { image: args.trainer_image.clone(), pull_policy: args.trainer_pull_policy.clone() },
        concurrency: args.concurrency,
        herald,
        memory: Memory::default(),
    });
    let listener = TcpListener::bind(args.listen).await.with_context(|| format!("cannot listen on {}", args.listen))?;
    let pages = tokio::spawn(http::serve_on(listener, metrics, pulse, stopped(stop.clone())));
    let broken = async {
        match pages.await.map_err(anyhow::Error::from).and_then(|end| end.map_err(Into::into)) {
            // It was told to stop, as everything else.
            Ok(()) => std::future::pending().await,
            Err(error) => error.context("the web server broke down"),
        }
    };
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        listen = %args.listen,
        namespaces = ?args.namespaces,
        "the operator runs"
    );
    let end = tokio::select! {
        () = work(args, &edge, instance, stop) => Ok(()),
        error = broken => Err(error),
    };
    drop(edge);
    // Events that were decided on are told; not at any price.
    drop(tokio::time::timeout(PARTING, heralding).await);
    tracing::info!("the operator ends; runs go on");
    end
}

/// Works whenever the Lease is held, and contends for it for ever, until the operator shall stop.
async fn work(args: &Args, edge: &Arc<Edge>, instance: String, stop: watch::Receiver<bool>) {
    if args.no_lease {
        return lead(args, edge, stop).await;
    }
    let namespace = args.lease_namespace.clone().unwrap_or_else(|| edge.client.default_namespace().to_owned());
    let contender = Contender {
        client: edge.client.clone(),
        namespace,
        name: args.lease_name.clone(),
        identity: instance,
        timings: Timings::default(),
        metrics: edge.metrics.clone(),
    };
    let (ended, release) = oneshot::channel::<()>();
    let (mut held, contending) = contender.contend(async { drop(release.await) });
    while !*stop.borrow() {
        // Who stands by does what a standby is there for.
        edge.pulse.ready(true);
        let mut told = stop.clone();
        tokio::select! {
            _ = told.wait_for(|stop| *stop) => break,
            held = held.wait_for(|held| *held) => if held.is_err() { break },
        }
        // Turns end when the Lease is lost or the operator shall stop, whichever comes first. Who has lost it finishes nothing: another
        // one leads by now, and sees newer things.
        let (end, until) = watch::channel(false);
        let (mut lost, mut told) = (held.clone(), stop.clone());
        let ending = async {
            tokio::select! { _ = told.wait_for(|stop| *stop) => {}, _ = lost.wait_for(|held| !*held) => return }
            end.send_replace(true);
            std::future::pending::<()>().await;
        };
        tokio::select! { () = lead(args, edge, until) => {}, () = ending => {} }
        edge.metrics.forget_benchmarks();
    }
    drop(ended);
    drop(contending.await);
}

/// Takes turns until told to stop. Turns that do not end soon after are cut off: whoever comes next finds things as after a crash.
async fn lead(args: &Args, edge: &Arc<Edge>, stop: watch::Receiver<bool>) {
    let late = async {
        stopped(stop.clone()).await;
        tokio::time::sleep(PARTING).await;
    };
    tokio::select! {
        () = controller::run(Arc::clone(edge), &args.namespaces, stop.clone()) => {}
        () = late => tracing::warn!("turns did not end in time and are cut off"),
    }
}

/// Becomes true with the first SIGTERM or SIGINT.
fn on_signal() -> anyhow::Result<watch::Receiver<bool>> {
    let (told, heard) = watch::channel(false);
    let mut term = signal(SignalKind::terminate()).context("cannot listen to SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen to SIGINT")?;
    tokio::spawn(async move {
        tokio::select! { _ = term.recv() => {}, _ = interrupt.recv() => {} }
        tracing::info!("told to stop");
        told.send_replace(true);
        told.closed().await;
    });
    Ok(heard)
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}
