//! What `/metrics` says of the operator. Labels come from closed tables and enums, except those that name a benchmark's own cells and live
//! runs; these are bounded by its plan and go with it.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use mixbench_crds::benchmark::BenchmarkStatus;
use prometheus_client::encoding::prometheus_text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

mod benchmarks;
mod process;

use benchmarks::Benchmarks;

/// `Content-Type` of [`Metrics::render`].
pub const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// Upper bounds of the histograms' buckets in seconds: a turn over a warm cache takes milliseconds, a call to a throttled server tens of
/// seconds.
const SECONDS: [f64; 12] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

type Labels<const N: usize> = [(&'static str, &'static str); N];
type Histograms = Family<Labels<1>, Histogram, fn() -> Histogram>;

/// Counters and gauges of one operator; clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
    reconciles: Family<Labels<1>, Counter>,
    errors: Family<Labels<1>, Counter>,
    reconcile_seconds: Histogram,
    calls: Family<Labels<3>, Counter>,
    call_seconds: Histograms,
    lease: Gauge<i64, AtomicI64>,
    benchmarks: Benchmarks,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Nothing has happened yet.
    pub fn new() -> Self {
        let reconciles = Family::<Labels<1>, Counter>::default();
        for result in ["success", "error"] {
            // A series that starts at 0 shows its first increase; one that starts at 1 does not.
            drop(reconciles.get_or_create_owned(&[("result", result)]));
        }
        let errors = Family::default();
        let reconcile_seconds = histogram();
        let calls = Family::default();
        let call_seconds: Histograms = Family::new_with_constructor(histogram);
        let lease = Gauge::default();
        let benchmarks = Benchmarks::default();

        let mut root = Registry::default();
        root.register_collector(Box::new(process::Process::new()));
        let registry = root.sub_registry_with_prefix("mixbench");
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "Version of this operator", build);
        registry.register("reconciles", "Turns over a benchmark, by result", reconciles.clone());
        registry.register("reconcile_errors", "Turns that failed, by reason", errors.clone());
        registry.register_with_unit(
            "reconcile_duration",
            "Time that a turn over a benchmark took",
            Unit::Seconds,
            reconcile_seconds.clone(),
        );
        registry.register(
            "api_requests",
            "Requests to the API server, repeated ones included, by verb, resource and HTTP status (or timeout, error)",
            calls.clone(),
        );
        registry.register_with_unit(
            "api_request_duration",
            "Time until the API server had answered (for a watch, until it began)",
            Unit::Seconds,
            call_seconds.clone(),
        );
        registry.register("lease_held", "1 while this replica holds the Lease and takes turns, else 0", lease.clone());
        registry.register_collector(Box::new(benchmarks.clone()));
        let registry = Arc::new(root);
        Self { registry, reconciles, errors, reconcile_seconds, calls, call_seconds, lease, benchmarks }
    }

    /// A turn ended after `seconds`; an error says its reason, a name from a closed list.
    pub fn reconciled(&self, seconds: f64, result: Result<(), &'static str>) {
        self.reconcile_seconds.observe(seconds);
        let name = if result.is_ok() { "success" } else { "error" };
        self.reconciles.get_or_create(&[("result", name)]).inc();
        if let Err(reason) = result {
            self.errors.get_or_create(&[("reason", reason)]).inc();
        }
    }

    /// A request was answered after `took`. All three names come from closed tables (see [`super::client`]).
    pub fn api_call(&self, verb: &'static str, resource: &'static str, code: &'static str, took: Duration) {
        self.calls.get_or_create(&[("verb", verb), ("resource", resource), ("code", code)]).inc();
        self.call_seconds.get_or_create(&[("verb", verb)]).observe(took.as_secs_f64());
    }

    /// What now stands in a benchmark's status; `None` forgets it.
    pub fn benchmark(&self, namespace: &str, name: &str, status: Option<&BenchmarkStatus>) {
        self.benchmarks.set(namespace, name, status);
    }

    /// Forgets all benchmarks: another replica tells of them from now on.
    pub fn forget_benchmarks(&self) {
        self.benchmarks.clear();
    }

    /// Whether this replica holds the Lease.
    pub fn lease(&self, held: bool) {
        self.lease.set(held.into());
    }

    /// Everything in Prometheus' text format, version 0.0.4.
    pub fn render(&self) -> String {
        let mut text = String::new();
        prometheus_text::encode(&mut text, &self.registry).expect("a string takes every write");
        text
    }
}

fn histogram() -> Histogram {
    Histogram::new(SECONDS)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    /// Metrics of an operator that has done a little of everything.
    pub(super) fn busy() -> Metrics {
        let metrics = Metrics::new();
        metrics.reconciled(0.004, Ok(()));
        metrics.reconciled(2.0, Err("api"));
        metrics.api_call("create", "jobs", "201", Duration::from_millis(7));
        metrics.lease(true);
        metrics.benchmark("team-a", "quickstart", Some(&benchmarks::fixture()));
        metrics
    }

    /// Name → type and samples, read back by the rules of the text format; panics where it breaks them.
    pub(super) fn parse(text: &str) -> BTreeMap<String, (String, Vec<(String, f64)>)> {
        let mut families: BTreeMap<String, (String, Vec<(String, f64)>)> = BTreeMap::new();
        let mut helped = BTreeSet::new();
        assert!(text.ends_with('\n'));
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                assert!(helped.insert(name.to_owned()) && help.len() > 10, "{line}");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(helped.contains(name), "{name} has no HELP");
                families.insert(name.to_owned(), (kind.to_owned(), Vec::new()));
            } else {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let value = if value == "+Inf" { f64::INFINITY } else { value.parse().unwrap() };
                let name = series.split('{').next().unwrap();
                let family = ["_bucket", "_sum", "_count"]
                    .iter()
                    .find_map(|s| name.strip_suffix(s).filter(|n| families.contains_key(*n)))
                    .unwrap_or(name);
                let (_, samples) = families.get_mut(family).unwrap_or_else(|| panic!("{name} has no TYPE"));
                assert!(samples.iter().all(|(s, _)| s != series), "{series} stands twice");
                samples.push((series.to_owned(), value));
            }
        }
        families
    }

    #[test]
    fn what_is_rendered_parses_and_follows_the_conventions() {
        for (name, (kind, samples)) in parse(&busy().render()) {
            assert!(name.starts_with("mixbench_") || name.starts_with("process_"), "{name}");
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b"_1".contains(&b)), "{name}");
            assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
            assert!(kind != "histogram" || name.ends_with("_seconds"), "{name} has no unit");
            assert!(!samples.is_empty(), "{name} has no sample");
        }
    }

    #[test]
    fn every_metric_is_in_the_handbook() {
        for name in parse(&busy().render()).keys() {
            assert!(include_str!("../../../docs/operations.md").contains(&format!("`{name}`")), "{name}");
        }
    }

    #[test]
    fn turns_and_calls_are_counted_by_what_came_of_them() {
        let families = parse(&busy().render());
        let value = |family: &str, series: &str| {
            families[family].1.iter().find(|(s, _)| s == series).unwrap_or_else(|| panic!("no {series}")).1
        };
        let total = "mixbench_reconciles_total";
        assert_eq!(value(total, r#"mixbench_reconciles_total{result="success"}"#).to_bits(), 1f64.to_bits());
        assert_eq!(value(total, r#"mixbench_reconciles_total{result="error"}"#).to_bits(), 1f64.to_bits());
        let errors = "mixbench_reconcile_errors_total";
        assert_eq!(value(errors, r#"mixbench_reconcile_errors_total{reason="api"}"#).to_bits(), 1f64.to_bits());
        let calls = "mixbench_api_requests_total";
        let series = r#"mixbench_api_requests_total{verb="create",resource="jobs",code="201"}"#;
        assert_eq!(value(calls, series).to_bits(), 1f64.to_bits());
        let seconds = "mixbench_reconcile_duration_seconds";
        let bucket = r#"mixbench_reconcile_duration_seconds_bucket{le="0.005"}"#;
        assert_eq!(value(seconds, bucket).to_bits(), 1f64.to_bits());
        assert_eq!(value("mixbench_lease_held", "mixbench_lease_held").to_bits(), 1f64.to_bits());
    }

    #[test]
    fn a_new_operator_shows_zeros_and_not_nothing() {
        let text = Metrics::new().render();
        for line in [r#"mixbench_reconciles_total{result="error"} 0"#, "mixbench_lease_held 0", "mixbench_benchmarks 0"]
        {
            assert!(text.lines().any(|l| l == line), "{line}: {text}");
        }
    }
}
