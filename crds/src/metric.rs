//! From the scores of the epochs to one top-1: the only place where counts become percentages.

use serde::{Deserialize, Serialize};

/// Validation counts of one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Score {
    /// Epochs finished when it was taken, from 1.
    pub epoch: u32,
    /// Images whose first guess was right.
    pub correct1: u64,
    /// Images whose five best guesses held the label.
    pub correct5: u64,
}

/// How the epochs' scores of a run become one number; over trials the mean is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "kebab-case")]
pub enum Metric {
    /// Median of the last `epochs` validations; with fewer, of all there are.
    MedianLast {
        /// Length of the window in epochs, ≥ 1.
        epochs: u32,
    },
    /// The best validation.
    Best,
    /// The last validation.
    Last,
}

impl Metric {
    /// Validations that the rule looks at, out of all of a run in order of epoch. Their length is at most the window's.
    pub fn window(self, scores: &[Score]) -> Vec<Score> {
        match self {
            Self::MedianLast { epochs } => scores[scores.len().saturating_sub(epochs as usize)..].to_vec(),
            Self::Last => scores.last().copied().into_iter().collect(),
            Self::Best => {
                scores.iter().copied().reduce(|a, b| if b.correct1 > a.correct1 { b } else { a }).into_iter().collect()
            }
        }
    }

    /// Top-1 in percent over the [window](Self::window) with `n` validation images.
    ///
    /// `None` without scores or images.
    pub fn top1(self, scores: &[Score], n: u64) -> Option<f64> {
        self.reduce(scores, n, |s| s.correct1)
    }

    /// Top-5 in percent, of the same epochs.
    pub fn top5(self, scores: &[Score], n: u64) -> Option<f64> {
        self.reduce(scores, n, |s| s.correct5)
    }

    fn reduce(self, scores: &[Score], n: u64, count: impl Fn(&Score) -> u64) -> Option<f64> {
        let mut counts: Vec<u64> = self.window(scores).iter().map(count).collect();
        if counts.is_empty() || n == 0 {
            return None;
        }
        counts.sort_unstable();
        let mid = counts.len() / 2;
        let twice = if counts.len().is_multiple_of(2) { counts[mid - 1] + counts[mid] } else { 2 * counts[mid] };
        Some(50.0 * twice as f64 / n as f64)
    }
}

impl std::fmt::Display for Metric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::MedianLast { epochs } => write!(f, "median of top-1 over the last {epochs} epochs"),
            Self::Best => f.write_str("best top-1 of all epochs"),
            Self::Last => f.write_str("top-1 of the last epoch"),
        }
    }
}

/// A percentage as it is printed everywhere: two decimals.
pub fn percent(value: f64) -> String {
    format!("{value:.2}")
}

/// A difference in percentage points, as text with its sign and two digits; what rounds to nothing has no minus.
pub fn points(difference: f64) -> String {
    let text = format!("{difference:+.2}");
    if text == "-0.00" { "+0.00".to_owned() } else { text }
}

#[cfg(test)]
#[allow(clippy::cast_sign_loss)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_that_rounds_to_nothing_has_no_minus() {
        assert_eq!([-0.004, 0.004, -0.006, 1.0].map(points), ["+0.00", "+0.00", "-0.01", "+1.00"]);
    }

    #[test]
    fn rules_over_the_golden_scores() {
        let golden: serde_json::Value =
            serde_json::from_str(include_str!("../tests/golden/metric_rules.json")).expect("a committed file");
        let number = |value: &serde_json::Value| value.as_f64().expect("a number");
        // Percentages with one decimal are counts of a thousand.
        let scores: Vec<Score> = (1..)
            .zip(golden["val_top1"].as_array().expect("a list"))
            .map(|(epoch, top1)| {
                let correct1 = (number(top1) * 10.0).round() as u64;
                Score { epoch, correct1, correct5: 1000 - correct1 }
            })
            .collect();
        let top1 = |rule: Metric| rule.top1(&scores, 1000);
        assert_eq!(top1(Metric::MedianLast { epochs: 5 }), Some(number(&golden["median_last5"])));
        assert_eq!(top1(Metric::MedianLast { epochs: 6 }), Some(number(&golden["median_last6_repo_offbyone"])));
        assert_eq!(top1(Metric::Best), Some(number(&golden["best"])));
        assert_eq!(top1(Metric::Last), Some(70.8));
        assert_eq!(Metric::Best.top5(&scores, 1000), Some(29.2));
        assert_eq!(Metric::MedianLast { epochs: 5 }.top1(&scores[..2], 1000), Some(70.2));
        assert_eq!(Metric::Best.top1(&[], 1000), None);
    }
}
