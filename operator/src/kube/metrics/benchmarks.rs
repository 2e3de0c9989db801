//! What stands in the status of every benchmark, as gauges. They are made when somebody asks, so that nothing of a deleted benchmark stays.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use mixbench_crds::benchmark::{BenchmarkStatus, RunPhase, RunStatus};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

/// States of a run as labels, in the order of a run's life.
const STATES: [(RunPhase, &str); 6] = [
    (RunPhase::Queued, "queued"),
    (RunPhase::BackingOff, "backing_off"),
    (RunPhase::Running, "running"),
    (RunPhase::Stopping, "stopping"),
    (RunPhase::Succeeded, "succeeded"),
    (RunPhase::Failed, "failed"),
];

/// What is shown of one benchmark.
#[derive(Debug, Default)]
struct Shown {
    runs: [u32; STATES.len()],
    cells: Vec<Cell>,
    live: Vec<Live>,
}

#[derive(Debug)]
struct Cell {
    backbone: String,
    method: String,
    trials: u32,
    mean: Option<f64>,
    reference: Option<f64>,
}

/// A live run as far as it has told.
#[derive(Debug)]
struct Live {
    run: String,
    epochs: u32,
    top1: Option<f64>,
    images_per_second: Option<u32>,
    eta_seconds: Option<u32>,
}

impl Live {
    fn of(row: &RunStatus) -> Option<Self> {
        let progress = row.progress.as_ref().filter(|_| matches!(row.state, RunPhase::Running | RunPhase::Stopping))?;
        Some(Self {
            run: row.id.clone(),
            epochs: progress.epoch,
            top1: ratio(progress.top1.as_deref()),
            images_per_second: progress.images_per_second,
            eta_seconds: progress.eta_seconds,
        })
    }
}

impl Shown {
    fn of(status: &BenchmarkStatus) -> Self {
        let count = |phase: RunPhase| status.runs.iter().filter(|r| r.state == phase).count() as u32;
        let cells = status.cells.iter().map(|cell| Cell {
            backbone: cell.backbone.clone(),
            method: cell.method.clone(),
            trials: cell.n,
            mean: ratio(cell.mean.as_deref()),
            reference: ratio(cell.reference.as_deref()),
        });
        let live = status.runs.iter().filter_map(Live::of).collect();
        Self { runs: STATES.map(|(phase, _)| count(phase)), cells: cells.collect(), live }
    }
}

/// A percentage of the status, which has two digits, as Prometheus wants it: 0 to 1.
fn ratio(percent: Option<&str>) -> Option<f64> {
    let value: f64 = percent?.parse().ok()?;
    Some((value * 100.0).round() / 10_000.0)
}

/// All benchmarks by namespace and name; clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Benchmarks(Arc<Mutex<BTreeMap<(String, String), Shown>>>);

impl Benchmarks {
    pub(super) fn set(&self, namespace: &str, name: &str, status: Option<&BenchmarkStatus>) {
        let key = (namespace.to_owned(), name.to_owned());
        // Shown is built outside the lock, and a map that lost a race with a panic is still a map.
        let shown = status.map(Shown::of);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match shown {
            Some(shown) => drop(all.insert(key, shown)),
            None => drop(all.remove(&key)),
        }
    }

    pub(super) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// A gauge of a cell or a live run: its name, what it means, and its value where it has one.
type GaugeOf<T> = (&'static str, &'static str, fn(&T) -> Option<f64>);

const CELL_GAUGES: [GaugeOf<Cell>; 3] = [
    ("cell_top1_ratio", "Mean top-1 over the finished trials of a cell, 0 to 1", |c| c.mean),
    ("cell_reference_top1_ratio", "Top-1 that a cell is compared with, 0 to 1", |c| c.reference),
    ("cell_trials", "Finished trials of a cell", |c| Some(f64::from(c.trials))),
];

const LIVE_GAUGES: [GaugeOf<Live>; 4] = [
    ("run_epochs", "Epochs that a live run has finished", |r| Some(f64::from(r.epochs))),
    ("run_top1_ratio", "Top-1 of a live run's last validation, 0 to 1; not its result", |r| r.top1),
    ("run_images_per_second", "Training images per second of a live run", |r| r.images_per_second.map(f64::from)),
    ("run_eta_seconds", "Seconds until a live run is done, as far as can be told", |r| r.eta_seconds.map(f64::from)),
];

impl Collector for Benchmarks {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let help = "Benchmarks that this replica looks after";
        encoder.encode_descriptor("benchmarks", help, None, MetricType::Gauge)?.encode_gauge(&(all.len() as u64))?;

        let help = "Runs of all benchmarks, by state";
        let mut family = encoder.encode_descriptor("runs", help, None, MetricType::Gauge)?;
        for (n, (_, state)) in STATES.iter().enumerate() {
            let sum: u32 = all.values().map(|shown| shown.runs[n]).sum();
            family.encode_family(&[("state", *state)])?.encode_gauge(&sum)?;
        }

        for (name, help, value) in CELL_GAUGES {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for ((namespace, benchmark), shown) in all.iter() {
                for cell in &shown.cells {
                    let Some(value) = value(cell) else { continue };
                    let labels = [
                        ("namespace", namespace.as_str()),
                        ("benchmark", benchmark),
                        ("backbone", &cell.backbone),
                        ("method", &cell.method),
                    ];
                    family.encode_family(&labels)?.encode_gauge(&value)?;
                }
            }
        }

        for (name, help, value) in LIVE_GAUGES {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for ((namespace, benchmark), shown) in all.iter() {
                for live in &shown.live {
                    let Some(value) = value(live) else { continue };
                    let labels = [("namespace", namespace.as_str()), ("benchmark", benchmark), ("run", &live.run)];
                    family.encode_family(&labels)?.encode_gauge(&value)?;
                }
            }
        }
        Ok(())
    }
}

/// A status with a run in progress, one that waits, and a cell with a mean.
#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) fn fixture() -> BenchmarkStatus {
    serde_json::from_value(serde_json::json!({
        "total": 3,
        "runs": [
            {"id": "resnet18-vanilla-s0-aa", "state": "Running", "attempt": 1,
                "progress": {"epoch": 3, "top1": "41.07", "imagesPerSecond": 1250, "etaSeconds": 90}},
            {"id": "resnet18-vanilla-s1-bb", "state": "Queued"},
            {"id": "resnet18-mixup-s0-cc", "state": "Succeeded", "attempt": 2, "top1": "95.70", "progress": {"epoch": 9}},
        ],
        "cells": [
            {"backbone": "resnet18", "method": "mixup \"a\\b\"", "n": 1, "mean": "95.70", "reference": "95.50", "verdict": "Pass"},
            {"backbone": "resnet18", "method": "vanilla", "n": 0, "verdict": "NoReference"},
        ],
    }))
    .unwrap()
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use super::*;

    #[test]
    fn runs_are_summed_and_cells_stand_one_by_one() {
        let metrics = Metrics::new();
        metrics.benchmark("a", "one", Some(&fixture()));
        metrics.benchmark("b", "one", Some(&fixture()));
        let text = metrics.render();
        for line in [
            "mixbench_benchmarks 2",
            r#"mixbench_runs{state="queued"} 2"#,
            r#"mixbench_runs{state="failed"} 0"#,
            r#"mixbench_cell_top1_ratio{namespace="a",benchmark="one",backbone="resnet18",method="mixup \"a\\b\""} 0.957"#,
            r#"mixbench_cell_trials{namespace="b",benchmark="one",backbone="resnet18",method="vanilla"} 0.0"#,
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\nis not in\n{text}");
        }
        let no_mean = r#"mixbench_cell_top1_ratio{namespace="a",benchmark="one",backbone="resnet18",method="vanilla"}"#;
        assert!(!text.contains(no_mean), "a cell without a mean has none: {text}");
    }

    #[test]
    fn a_live_run_tells_how_far_it_is_and_a_finished_one_does_not() {
        let metrics = Metrics::new();
        metrics.benchmark("a", "one", Some(&fixture()));
        let text = metrics.render();
        let labels = r#"{namespace="a",benchmark="one",run="resnet18-vanilla-s0-aa"}"#;
        for (name, value) in
            [("epochs", "3.0"), ("top1_ratio", "0.4107"), ("images_per_second", "1250.0"), ("eta_seconds", "90.0")]
        {
            let line = format!("mixbench_run_{name}{labels} {value}");
            assert!(text.lines().any(|l| l == line), "{line}: {text}");
        }
        assert!(!text.contains("resnet18-mixup-s0-cc"), "{text}");
    }

    #[test]
    fn a_benchmark_that_is_gone_leaves_no_series() {
        let metrics = Metrics::new();
        metrics.benchmark("a", "gone", Some(&fixture()));
        metrics.benchmark("a", "stays", Some(&fixture()));
        metrics.benchmark("a", "gone", None);
        let text = metrics.render();
        assert!(!text.contains("gone") && text.contains("stays"), "{text}");
        metrics.forget_benchmarks();
        assert!(!metrics.render().contains("stays"));
    }

    #[test]
    fn every_state_of_a_run_has_its_label() {
        let row = |state| RunStatus { state, ..fixture().runs[0].clone() };
        let all = [
            RunPhase::Queued,
            RunPhase::BackingOff,
            RunPhase::Running,
            RunPhase::Stopping,
            RunPhase::Succeeded,
            RunPhase::Failed,
        ];
        for phase in all {
            let status = BenchmarkStatus { runs: vec![row(phase)], ..BenchmarkStatus::default() };
            assert_eq!(Shown::of(&status).runs.iter().sum::<u32>(), 1, "{phase:?}");
        }
    }
}
