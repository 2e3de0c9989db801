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
