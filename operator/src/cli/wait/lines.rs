//! What is said of a benchmark while it is waited for: one line for every change. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use mixbench_crds::benchmark::{BenchmarkStatus, MixupBenchmark, RunPhase};

use super::super::plan::duration;
use super::super::run::name;
use crate::kube::desk::News;
use crate::plan::Plan;
use crate::status::Reason;

/// Remembers what was said.
#[derive(Debug)]
pub(super) struct Teller {
    /// The benchmark as it was seen last.
    pub(super) last: MixupBenchmark,
    name: String,
    said: String,
    lost: bool,
}

impl Teller {
    pub(super) fn new(first: &MixupBenchmark) -> Self {
        let name = first.metadata.name.clone().unwrap_or_default();
        Self { last: first.clone(), name, said: String::new(), lost: false }
    }

    /// The lines that are new.
    pub(super) fn tell(&mut self, news: News<'_>) -> Vec<String> {
        let mut lines = Vec::new();
        match news {
            News::Lost(why) if !self.lost => {
                self.lost = true;
                lines.push(format!("{}: the API server cannot be heard, and is asked again: {why}", self.name));
            }
            News::Lost(_) => {}
            News::Seen(benchmark) => {
                if std::mem::take(&mut self.lost) {
                    lines.push(format!("{}: the API server answers again", self.name));
                }
                let now = standing(benchmark);
                if !now.is_empty() && now != self.said {
                    lines.push(format!("{}: {now}", self.name));
                    self.said = now;
                }
                self.last = benchmark.clone();
            }
        }
        lines
    }

    /// What is said of a benchmark that no operator has looked at for a while.
    pub(super) fn unnoticed(&self) -> Vec<String> {
        let line = format!(
            "{}: no operator has looked at it yet; see whether one runs and watches its namespace: kubectl get deployments -A -l app.kubernetes.io/name=mixbench",
            self.name
        );
        if self.last.status.is_none() && !self.lost { vec![line] } else { Vec::new() }
    }
}

/// Most live runs that are shown.
const SHOWN: usize = 16;

/// How far the live runs are, a line each.
pub(super) fn live(plan: &Plan, status: &BenchmarkStatus) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut more = 0;
    for row in status.runs.iter().filter(|r| matches!(r.state, RunPhase::Running | RunPhase::Stopping)) {
        if lines.len() == SHOWN {
            more += 1;
            continue;
        }
        let planned = plan.run(&row.id);
        let mut parts = Vec::new();
        if let Some(progress) = &row.progress {
            let of = planned.map_or(String::new(), |p| format!("/{}", p.run.spec.training.epochs));
            parts.push(format!("epoch {}{of}", progress.epoch));
            parts.extend(progress.top1.as_ref().map(|top1| format!("top-1 {top1}")));
            parts.extend(progress.images_per_second.map(|speed| format!("{speed} images/s")));
            parts.extend(progress.eta_seconds.map(|s| format!("{} left", duration(f64::from(s)))));
        }
        if row.state == RunPhase::Stopping {
            parts.push("stopping".to_owned());
        }
        if row.attempt > 1 {
            parts.push(format!("attempt {}", row.attempt));
        }
        let name = planned.map_or_else(|| row.id.clone(), |p| name(plan, p));
        lines.push(if parts.is_empty() {
            format!("  {name}: running")
        } else {
            format!("  {name}: {}", parts.join(" · "))
        });
    }
    if more > 0 {
        lines.push(format!("  and {more} more"));
    }
    lines
}

/// Where a benchmark stands, and what keeps it from going on; empty before an operator has looked at it.
fn standing(benchmark: &MixupBenchmark) -> String {
    let Some(status) = &benchmark.status else { return String::new() };
    let one = |kind: &str, truth: &str| status.conditions.iter().find(|c| c.type_ == kind && c.status == truth);
    let true_one = |kind: &str| one(kind, "True");
    let mut parts: Vec<String> = Some(status.summary.clone()).filter(|s| !s.is_empty()).into_iter().collect();
    if true_one("Suspended").is_some() {
        parts.push("suspended until spec.suspend is false".to_owned());
    }
    let waits = true_one("Progressing").filter(|c| c.reason == <&str>::from(Reason::WaitingForCapacity));
    // An open gate of what is finished says what is missing.
    let gate = true_one("Finished").and_then(|_| one("GatePassed", "Unknown"));
    for Condition { reason, message, .. } in waits.into_iter().chain(true_one("Degraded")).chain(gate) {
        parts.push(if message.is_empty() { reason.clone() } else { format!("{reason}: {message}") });
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    fn benchmark(summary: &str, conditions: &[(&str, &str, &str)]) -> MixupBenchmark {
        let text = include_str!("../../../../crds/benchmarks/quickstart.yaml");
        let (mut benchmark, _) = crate::validate::check(&crate::manifest::parse(text).expect("YAML")[0]).expect("good");
        let conditions = conditions.iter().map(|(kind, reason, message)| Condition {
            type_: (*kind).into(),
            status: "True".into(),
            reason: (*reason).into(),
            message: (*message).into(),
            observed_generation: None,
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
        });
        let conditions = conditions.collect();
        benchmark.status = Some(BenchmarkStatus { summary: summary.into(), conditions, ..BenchmarkStatus::default() });
        benchmark
    }

    #[test]
    fn only_what_changes_is_told() {
        let queued = benchmark("0/6 done, 6 queued", &[]);
        let mut teller = Teller::new(&queued);
        assert_eq!(teller.tell(News::Seen(&queued)), ["quickstart: 0/6 done, 6 queued"]);
        assert!(teller.tell(News::Seen(&queued)).is_empty());
        let held = [("Degraded", "ImagePull", "resnet20-mixup-0: no such image"), ("Suspended", "Suspended", "")];
        assert_eq!(
            teller.tell(News::Seen(&benchmark("0/6 done, 6 queued", &held))),
            [
                "quickstart: 0/6 done, 6 queued; suspended until spec.suspend is false; ImagePull: resnet20-mixup-0: no such image"
            ]
        );
    }

    #[test]
    fn what_a_benchmark_waits_for_is_told_and_that_it_works_is_not() {
        let waits = [("Progressing", "WaitingForCapacity", "0/1 nodes are available")];
        assert_eq!(
            standing(&benchmark("0/6 done, 1 running", &waits)),
            "0/6 done, 1 running; WaitingForCapacity: 0/1 nodes are available"
        );
        let works = [("Progressing", "RunsActive", "0/6 done, 1 running")];
        assert_eq!(standing(&benchmark("0/6 done, 1 running", &works)), "0/6 done, 1 running");
        let mut open =
            benchmark("6/6 done", &[("Finished", "AllRecorded", ""), ("GatePassed", "ReferenceMissing", "no")]);
        open.status.as_mut().expect("a status").conditions[1].status = "Unknown".into();
        assert_eq!(standing(&open), "6/6 done; ReferenceMissing: no");
    }

    #[test]
    fn a_lost_connection_is_told_once_and_so_is_its_return() {
        let seen = benchmark("1/6 done", &[]);
        let mut teller = Teller::new(&seen);
        teller.tell(News::Seen(&seen));
        assert_eq!(
            teller.tell(News::Lost("connection refused")),
            ["quickstart: the API server cannot be heard, and is asked again: connection refused"]
        );
        assert!(teller.tell(News::Lost("connection refused")).is_empty());
        assert_eq!(teller.tell(News::Seen(&seen)), ["quickstart: the API server answers again"]);
    }

    #[test]
    fn a_benchmark_that_nobody_looks_at_is_told() {
        let mut fresh = benchmark("", &[]);
        assert!(Teller::new(&fresh).unnoticed().is_empty());
        fresh.status = None;
        let mut teller = Teller::new(&fresh);
        assert!(teller.tell(News::Seen(&fresh)).is_empty());
        assert!(teller.unnoticed()[0].contains("no operator has looked at it yet"));
    }

    #[test]
    fn live_runs_say_as_much_as_is_known() {
        let plan = crate::plan::plan(&crate::validate::validate(&benchmark("", &[])).expect("valid"));
        let row = |i: usize, rest: serde_json::Value| {
            let mut row = serde_json::json!({"id": plan.runs[i].run.id, "state": "Running", "attempt": 1});
            row.as_object_mut().expect("a map").extend(rest.as_object().expect("a map").clone());
            row
        };
        let progress = serde_json::json!({"epoch": 3, "top1": "61.50", "imagesPerSecond": 700, "etaSeconds": 125});
        let rows = [
            row(0, serde_json::json!({"state": "Succeeded"})),
            row(1, serde_json::json!({"progress": progress, "attempt": 2})),
            row(2, serde_json::json!({})),
            row(3, serde_json::json!({"state": "Stopping"})),
        ];
        let status: BenchmarkStatus = serde_json::from_value(serde_json::json!({"runs": rows})).expect("a status");
        assert_eq!(
            live(&plan, &status),
            [
                "  resnet20 × mixup #0: epoch 3/8 · top-1 61.50 · 700 images/s · 2 min 5 s left · attempt 2",
                "  resnet20 × cutmix #0: running",
                "  resnet20 × vanilla #1: stopping",
            ]
        );
        let many = BenchmarkStatus { runs: vec![status.runs[2].clone(); 20], ..BenchmarkStatus::default() };
        let lines = live(&plan, &many);
        assert_eq!((lines.len(), lines[16].as_str()), (17, "  and 4 more"));
    }
}
