//! What a finished run leaves behind.

use serde::{Deserialize, Serialize};

use crate::metric::{Metric, Score};

/// Version of [`RunResult`] that this build writes and reads.
pub const RESULT_VERSION: u32 = 1;

/// The result of a run: `result.json`, the `finished` event and the termination message (≤ 2 KiB as compact JSON).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunResult {
    /// [`RESULT_VERSION`].
    pub version: u32,
    /// Id of the run.
    pub run: String,
    /// Repeated from the run, so that a message cannot be taken for another's.
    #[serde(default)]
    pub nonce: String,
    /// Attempt that finished.
    pub attempt: u32,
    /// Rule that the window was cut by.
    pub metric: Metric,
    /// The validations that the rule looks at, at most its window's length.
    pub window: Vec<Score>,
    /// Epochs trained over all attempts.
    pub epochs: u32,
    /// Validation images; every count in `window` is at most this.
    pub n: u64,
    /// Training images seen over all attempts, padding included.
    pub images: u64,
    /// Seconds spent in training steps over all attempts that reached a checkpoint, validation excluded.
    pub train_seconds: f64,
    /// sha256 of file names, sizes and labels of the data.
    pub data_fingerprint: String,
    /// Trainable parameters of the network.
    pub parameters: u64,
    /// Device in words.
    pub device: String,
    /// Version of libtorch.
    pub libtorch: String,
    /// Checkpoint with the final weights, relative to the run's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
}

/// Why a result cannot be believed.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum ResultError {
    /// Not JSON, or not a result.
    #[error("not a result: {0}")]
    Malformed(String),
    /// Another version.
    #[error(
        "result version {0} is not {RESULT_VERSION}, which this build reads; use the same release of mixbench and mixbench-trainer"
    )]
    Version(u32),
    /// Another run's.
    #[error("the result is of run `{found}`, not of `{wanted}`")]
    WrongRun {
        /// Id in the result.
        found: String,
        /// Id that was asked for.
        wanted: String,
    },
    /// Numbers that no validation can give.
    #[error("the result is out of range: {0}")]
    OutOfRange(String),
}

impl RunResult {
    /// Reads and checks the result of run `run`.
    ///
    /// # Errors
    /// Anything that makes it unfit to be recorded.
    pub fn parse(text: &str, run: &str) -> Result<Self, ResultError> {
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        let malformed = |e: serde_json::Error| ResultError::Malformed(e.to_string());
        let head: Head = serde_json::from_str(text).map_err(malformed)?;
        if head.version != RESULT_VERSION {
            return Err(ResultError::Version(head.version));
        }
        let result: Self = serde_json::from_str(text).map_err(malformed)?;
        result.check(run)?;
        Ok(result)
    }

    /// Checks that the result is one of this build's, of run `run`, and that its numbers are possible.
    ///
    /// # Errors
    /// [`ResultError::Version`], [`ResultError::WrongRun`] or [`ResultError::OutOfRange`].
    pub fn check(&self, run: &str) -> Result<(), ResultError> {
        if self.version != RESULT_VERSION {
            return Err(ResultError::Version(self.version));
        }
        if self.run != run {
            return Err(ResultError::WrongRun { found: self.run.clone(), wanted: run.to_owned() });
        }
        let out = |what: String| Err(ResultError::OutOfRange(what));
        if self.n == 0 || self.window.is_empty() {
            return out("no validation image or no validation".into());
        }
        if let Some(s) = self
            .window
            .iter()
            .find(|s| s.correct1 > s.correct5 || s.correct5 > self.n || s.epoch == 0 || s.epoch > self.epochs)
        {
            return out(format!(
                "epoch {} of {}: {} and {} right of {}",
                s.epoch, self.epochs, s.correct1, s.correct5, self.n
            ));
        }
        if !(self.train_seconds.is_finite() && self.train_seconds >= 0.0) {
            return out(format!("trainSeconds {}", self.train_seconds));
        }
        Ok(())
    }

    /// Top-1 in percent.
    pub fn top1(&self) -> f64 {
        self.metric.top1(&self.window, self.n).unwrap_or(f64::NAN)
    }

    /// Top-5 in percent.
    pub fn top5(&self) -> f64 {
        self.metric.top5(&self.window, self.n).unwrap_or(f64::NAN)
    }
}
