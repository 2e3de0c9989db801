//! From the results of runs to cells with a verdict.

use std::collections::BTreeMap;

use mixbench_crds::benchmark::OnInconclusive;
use mixbench_crds::result::RunResult;
use mixbench_crds::run::Param;
use serde::{Deserialize, Serialize};

use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::plan::{Gate, Plan, Reference};

/// All trials of one backbone with one method, judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cell {
    /// Name of the backbone.
    pub backbone: String,
    /// Name of the method.
    pub method: String,
    /// The method as tables show it.
    pub label: String,
    /// Every parameter of the method.
    pub params: BTreeMap<String, Param>,
    /// Trials planned.
    pub trials: u32,
    /// Trials finished.
    pub n: u32,
    /// Top-1 of each finished trial in percent, in order of trial.
    pub top1: Vec<f64>,
    /// Their mean in percent.
    pub mean: Option<f64>,
    /// Their sample standard deviation in percentage points; from two on.
    pub std: Option<f64>,
    /// Half-width of the two-sided 95 % t interval of the mean, in percentage points; from two on.
    pub ci95: Option<f64>,
    /// Mean of top-5 in percent.
    pub top5: Option<f64>,
    /// What the mean is compared with.
    pub reference: Reference,
    /// Mean − reference, in percentage points.
    pub delta: Option<f64>,
    /// The judgement.
    pub verdict: Verdict,
    /// Training images a second, over all finished trials.
    pub images_per_second: Option<f64>,
    /// Seconds of training, all finished trials together.
    pub train_seconds: f64,
}

/// What is said of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::Display, strum::IntoStaticStr)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Verdict {
    /// Surely not below the reference by more than the tolerance.
    Pass,
    /// Surely below the reference by more than the tolerance.
    Regressed,
    /// Neither is sure, or too few trials.
    Inconclusive,
    /// Nothing to compare with.
    NoReference,
}

/// What is said of a whole benchmark; the number is the exit code of `mixbench`.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    strum::Display,
    strum::IntoStaticStr,
    strum::EnumIter,
    strum::EnumMessage,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Outcome {
    /// 0: every cell with a reference passed.
    Pass,
    /// 1: a cell regressed.
    Regressed,
    /// 2: no cell regressed, one is inconclusive.
    Inconclusive,
    /// 3: a run failed or is missing.
    Failed,
    /// 4: the manifest or the command line is wrong.
    Invalid,
}

impl Outcome {
    /// Exit code of `mixbench`.
    pub const fn code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Regressed => 1,
            Self::Inconclusive => 2,
            Self::Failed => 3,
            Self::Invalid => 4,
        }
    }
}

/// Judges every cell of a plan; `results` are by run id, others' are ignored.
pub fn aggregate(plan: &Plan, results: &BTreeMap<String, RunResult>) -> Vec<Cell> {
    (0..plan.cells.len()).map(|cell| judge(plan, cell, results)).collect()
}

/// The outcome of a benchmark: [`Outcome::Failed`] unless every planned trial is in, else the worst cell; cells without a reference do not gate.
pub fn outcome(gate: &Gate, cells: &[Cell]) -> Outcome {
    if cells.iter().any(|c| c.n < c.trials) {
        return Outcome::Failed;
    }
    let of = |cell: &Cell| match (cell.verdict, gate.on_inconclusive) {
        (Verdict::Pass | Verdict::NoReference, _) | (Verdict::Inconclusive, OnInconclusive::Pass) => Outcome::Pass,
        (Verdict::Regressed, _) | (Verdict::Inconclusive, OnInconclusive::Fail) => Outcome::Regressed,
        (Verdict::Inconclusive, OnInconclusive::Inconclusive) => Outcome::Inconclusive,
    };
    let all: Vec<Outcome> = cells.iter().map(of).collect();
    [Outcome::Regressed, Outcome::Inconclusive].into_iter().find(|o| all.contains(o)).unwrap_or(Outcome::Pass)
}

fn judge(plan: &Plan, index: usize, results: &BTreeMap<String, RunResult>) -> Cell {
    let planned = &plan.cells[index];
    let runs: Vec<_> = plan.runs.iter().filter(|r| r.cell == index).collect();
    let mut done: Vec<_> = runs.iter().filter_map(|r| Some((r.run.trial, results.get(&r.run.id)?))).collect();
    done.sort_by_key(|(trial, _)| *trial);
    let top1: Vec<f64> = done.iter().map(|(_, r)| r.top1()).collect();
    let top5: Vec<f64> = done.iter().map(|(_, r)| r.top5()).collect();
    // Not `sum`, whose nothing is −0.0.
    let train_seconds = done.iter().fold(0.0, |sum, (_, r)| sum + r.train_seconds);
    let images: u64 = done.iter().map(|(_, r)| r.images).sum();
    let sample = Sample::of(&top1);
    let reference = planned.reference.top1();
    Cell {
        backbone: planned.backbone.clone(),
        method: planned.method.clone(),
        label: planned.label.clone(),
        params: planned.params.clone(),
        trials: runs.len() as u32,
        n: done.len() as u32,
        mean: sample.mean,
        std: sample.std,
        ci95: sample.half_width(0.975),
        top5: Sample::of(&top5).mean,
        reference: planned.reference.clone(),
        delta: sample.mean.zip(reference).map(|(mean, reference)| mean - reference),
        verdict: reference.map_or(Verdict::NoReference, |reference| verdict(&plan.gate, &sample, reference)),
        images_per_second: (train_seconds > 0.0).then(|| images as f64 / train_seconds),
        train_seconds,
        top1,
    }
}

/// The rule: with tolerance t, pass if the lower one-sided bound of mean − reference is at least −t, regressed if its upper bound is below −t.
fn verdict(gate: &Gate, sample: &Sample, reference: f64) -> Verdict {
    let Some(mean) = sample.mean else { return Verdict::Inconclusive };
    let (least, half) = match gate.confidence {
        Some(confidence) => (gate.min_trials.max(2), sample.half_width(confidence)),
        None => (gate.min_trials.max(1), Some(0.0)),
    };
    let Some(half) = half.filter(|_| sample.n >= least as usize) else { return Verdict::Inconclusive };
    let above = mean - reference + gate.tolerance;
    if above - half >= -ROUNDING {
        Verdict::Pass
    } else if above + half < -ROUNDING {
        Verdict::Regressed
    } else {
        Verdict::Inconclusive
    }
}

/// Percentage points that are nothing but binary fractions: 69.74 − 70.04 is −0.30000000000001137.
const ROUNDING: f64 = 1e-9;

/// A sample's moments.
struct Sample {
    n: usize,
    mean: Option<f64>,
    std: Option<f64>,
}

impl Sample {
    fn of(values: &[f64]) -> Self {
        let n = values.len();
        let mean = (n > 0).then(|| values.iter().sum::<f64>() / n as f64);
        let std = mean.filter(|_| n > 1).map(|mean| {
            let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
            (squares / (n - 1) as f64).sqrt()
        });
        Self { n, mean, std }
    }

    /// `t(p, n − 1) · s / √n`.
    fn half_width(&self, p: f64) -> Option<f64> {
        let std = self.std?;
        let t = StudentsT::new(0.0, 1.0, (self.n - 1) as f64).ok()?.inverse_cdf(p);
        Some(t * std / (self.n as f64).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(confidence: Option<f64>, min_trials: u32) -> Gate {
        Gate { tolerance: 0.3, confidence, min_trials, on_inconclusive: OnInconclusive::Inconclusive }
    }

    fn judged(gate: &Gate, values: &[f64], reference: f64) -> Verdict {
        verdict(gate, &Sample::of(values), reference)
    }

    #[test]
    fn mean_deviation_and_interval_are_the_textbook_ones() {
        let sample = Sample::of(&[70.1, 70.4, 69.9]);
        let close = |a: Option<f64>, b: f64| (a.expect("enough values") - b).abs() < 1e-9;
        assert!(close(sample.mean, 70.133_333_333_333_33));
        assert!(close(sample.std, 0.251_661_147_842_358_3));
        // t(0.975, 2) = 4.302652729911275
        assert!(close(sample.half_width(0.975), 4.302_652_729_911_275 * 0.251_661_147_842_358_3 / 3_f64.sqrt()));
        assert_eq!(Sample::of(&[70.0]).std, None);
        assert_eq!(Sample::of(&[]).mean, None);
    }

    #[test]
    fn a_verdict_needs_its_bound_on_the_right_side_of_the_tolerance() {
        let gate = gate(Some(0.95), 1);
        assert_eq!(judged(&gate, &[70.0, 70.1, 70.05], 70.0), Verdict::Pass);
        assert_eq!(judged(&gate, &[69.0, 69.1, 69.05], 70.0), Verdict::Regressed);
        assert_eq!(judged(&gate, &[69.0, 70.4, 69.7], 70.0), Verdict::Inconclusive);
    }

    #[test]
    fn one_trial_says_nothing_with_a_confidence_and_enough_without() {
        assert_eq!(judged(&gate(Some(0.95), 1), &[70.0], 70.0), Verdict::Inconclusive);
        assert_eq!(judged(&gate(Some(0.95), 3), &[70.0, 70.0], 70.0), Verdict::Inconclusive);
        assert_eq!(judged(&gate(None, 1), &[69.74], 70.04), Verdict::Pass);
        assert_eq!(judged(&gate(None, 1), &[69.73], 70.04), Verdict::Regressed);
        assert_eq!(judged(&gate(None, 2), &[69.73], 70.04), Verdict::Inconclusive);
    }

    #[test]
    fn trials_without_spread_are_judged_by_their_mean() {
        assert_eq!(judged(&gate(Some(0.95), 1), &[69.7, 69.7], 70.0), Verdict::Pass);
        assert_eq!(judged(&gate(Some(0.95), 1), &[69.69, 69.69], 70.0), Verdict::Regressed);
    }

    #[test]
    fn the_worst_cell_decides_and_cells_without_a_reference_do_not() {
        let cell = |verdict, n| Cell {
            backbone: "b".into(),
            method: "m".into(),
            label: "m".into(),
            params: BTreeMap::new(),
            trials: 2,
            n,
            top1: vec![],
            mean: None,
            std: None,
            ci95: None,
            top5: None,
            reference: Reference::None { why: String::new() },
            delta: None,
            verdict,
            images_per_second: None,
            train_seconds: 0.0,
        };
        let of = |gate: &Gate, verdicts: &[Verdict]| {
            outcome(gate, &verdicts.iter().map(|v| cell(*v, 2)).collect::<Vec<_>>())
        };
        let strict = gate(Some(0.95), 1);
        assert_eq!(of(&strict, &[Verdict::NoReference]), Outcome::Pass);
        assert_eq!(of(&strict, &[Verdict::Pass, Verdict::Inconclusive]), Outcome::Inconclusive);
        assert_eq!(of(&strict, &[Verdict::Inconclusive, Verdict::Regressed]), Outcome::Regressed);
        let as_told = |on| Gate { on_inconclusive: on, ..gate(Some(0.95), 1) };
        assert_eq!(of(&as_told(OnInconclusive::Pass), &[Verdict::Inconclusive]), Outcome::Pass);
        assert_eq!(of(&as_told(OnInconclusive::Fail), &[Verdict::Inconclusive]), Outcome::Regressed);
        assert_eq!(outcome(&strict, &[cell(Verdict::Regressed, 1)]), Outcome::Failed);
    }
}
