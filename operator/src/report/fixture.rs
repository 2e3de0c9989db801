//! A report with one cell of every kind, for the tests of the formats.

use std::collections::BTreeMap;

use jiff::Timestamp;
use mixbench_crds::benchmark::OnInconclusive;
use mixbench_crds::metric::Metric;

use super::{CellRow, CellStatus, Environment, Point, REPORT_VERSION, Report, RunRow, RunStatus};
use crate::aggregate::{Cell, Outcome, Verdict};
use crate::plan::{Gate, Reference};

pub(crate) fn report() -> Report {
    let metric = Metric::MedianLast { epochs: 5 };
    let cells = vec![
        cell("vanilla", &[70.1, 70.3], known(70.04), Verdict::Pass),
        cell("mixup", &[68.0, 68.2], known(69.98), Verdict::Regressed),
        cell("cutmix", &[68.7, 69.5], known(68.95), Verdict::Inconclusive),
        cell("<fmix> \"a|b\"", &[71.0, 71.25], none(), Verdict::NoReference),
        CellRow {
            status: CellStatus::Failed,
            problems: vec!["trial 1 failed (diverged): the loss is not finite at step 12; log: runs/x/log.txt".into()],
            ..cell("puzzlemix", &[50.0], none(), Verdict::NoReference)
        },
        CellRow { status: CellStatus::Incomplete, ..cell("resizemix", &[], known(69.5), Verdict::Inconclusive) },
    ];
    let runs = (0..cells.len()).flat_map(|c| [0, 1].map(|t| run(c, t, &cells[c]))).collect();
    Report {
        version: REPORT_VERSION,
        name: "resnets".into(),
        recipe: "pytorch-100ep".into(),
        recipe_title: "PyTorch-style, 100 epochs".into(),
        recipe_source: "OpenMixup".into(),
        overrides: vec!["epochs = 10".into()],
        data: "imagenet-1k".into(),
        metric,
        metric_rule: metric.to_string(),
        gate: Gate {
            tolerance: 0.3,
            confidence: Some(0.95),
            min_trials: 2,
            on_inconclusive: OnInconclusive::Inconclusive,
        },
        outcome: Outcome::Failed,
        cells,
        runs,
        environment: Environment {
            mixbench: "0.1.0".into(),
            libtorch: vec!["2.11.0".into()],
            devices: vec!["CPU".into()],
            data_fingerprints: vec!["00ff".into()],
            first_event: Some(Timestamp::UNIX_EPOCH),
            last_event: Some(Timestamp::UNIX_EPOCH),
        },
        generated: Timestamp::UNIX_EPOCH,
        command: "mixbench report DIR".into(),
    }
}

fn known(top1: f64) -> Reference {
    Reference::Known { top1, source: "OpenMixup".into() }
}

fn none() -> Reference {
    Reference::None { why: "not published".into() }
}

fn cell(label: &str, top1: &[f64], reference: Reference, verdict: Verdict) -> CellRow {
    let n = top1.len();
    let mean = (n > 0).then(|| top1.iter().sum::<f64>() / n as f64);
    CellRow {
        cell: Cell {
            backbone: "resnet18".into(),
            method: "method".into(),
            label: label.into(),
            params: BTreeMap::new(),
            trials: 2,
            n: n as u32,
            top1: top1.to_vec(),
            mean,
            std: (n > 1).then_some(0.1414),
            ci95: (n > 1).then_some(1.27),
            top5: mean.map(|m| m + 19.0),
            delta: mean.zip(reference.top1()).map(|(m, r)| m - r),
            reference,
            verdict,
            images_per_second: (n > 0).then_some(1234.5),
            train_seconds: 100.0 * n as f64,
        },
        status: CellStatus::Complete,
        problems: Vec::new(),
    }
}

fn run(cell: usize, trial: u32, row: &CellRow) -> RunRow {
    let top1 = row.cell.top1.get(trial as usize).copied();
    let status = match (row.status, top1) {
        (_, Some(_)) => RunStatus::Finished,
        (CellStatus::Failed, None) => RunStatus::Failed,
        (_, None) if trial == 0 => RunStatus::Running,
        (_, None) => RunStatus::Waiting,
    };
    let point = |epoch: u32| {
        let gone = f64::from(epoch) / 10.0;
        Point { epoch, top1: top1.unwrap_or(60.0) * (1.0 - (-3.0 * gone).exp()), train_loss: 6.0 - 4.0 * gone, lr: 0.1 }
    };
    let epochs = match status {
        RunStatus::Waiting => 0,
        RunStatus::Finished => 10,
        _ => 4,
    };
    RunRow {
        id: format!("resnet18-{cell}-{trial}-0123456789"),
        cell,
        trial,
        seed: u64::from(trial),
        status,
        top1,
        top5: top1.map(|t| t + 19.0),
        epochs,
        epochs_planned: 10,
        images_per_second: top1.map(|_| 1234.5),
        train_seconds: 10.0 * f64::from(epochs),
        attempts: u32::from(epochs > 0),
        device: (epochs > 0).then(|| "CPU".to_owned()),
        world_size: 2,
        message: (status == RunStatus::Failed).then(|| "the loss is not finite at step 12".to_owned()),
        log: "runs/x/log.txt".into(),
        curve: (1..=epochs).map(point).collect(),
    }
}
