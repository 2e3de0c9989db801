//! What a trainer says while it runs: one JSON object a line on standard output, the last one also in the termination log.

use serde::{Deserialize, Serialize};

use crate::exit::Exit;
use crate::metric::Score;
use crate::result::RunResult;

/// Version of [`Event`] that this build writes and reads.
pub const EVENT_VERSION: u32 = 1;

/// Longest termination message in bytes.
pub const TERMINATION_LIMIT: usize = 2048;

/// One line of the trainer's standard output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// [`EVENT_VERSION`].
    pub version: u32,
    /// Id of the run.
    pub run: String,
    /// Attempt, from 1.
    pub attempt: u32,
    /// The attempt's nonce.
    #[serde(default)]
    pub nonce: String,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub time: u64,
    /// What happened.
    #[serde(flatten)]
    pub body: Body,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Body {
    /// All processes have met, the data are checked, training begins.
    Started(Started),
    /// An epoch was trained and validated. A repeated epoch replaces the one before.
    Epoch(Epoch),
    /// Training goes on inside an epoch; at most a few a minute.
    Progress {
        /// Epochs finished.
        epoch: u32,
        /// Steps finished of the running epoch.
        step: u64,
        /// Steps of an epoch.
        steps: u64,
        /// Images per second since the last progress.
        images_per_second: f64,
    },
    /// A checkpoint was written and synced.
    Checkpoint {
        /// Where, relative to the run's folder.
        path: String,
        /// What it holds.
        position: Position,
    },
    /// Something that a person should know and that does not stop the run.
    Warning {
        /// The text.
        message: String,
    },
    /// The run is done.
    Finished {
        /// Its result.
        result: RunResult,
    },
    /// The run failed.
    Failed {
        /// Exit code's name.
        exit: Exit,
        /// One or more lines for a person.
        message: String,
        /// Process that failed first, where one did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rank: Option<u32>,
    },
    /// The run was stopped on request and can go on.
    Stopped {
        /// Where training goes on.
        position: Position,
        /// Checkpoint relative to the run's folder; none when nothing was trained yet.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        checkpoint: Option<String>,
    },
    /// A kind that this build does not know.
    #[serde(other)]
    Unknown,
}

/// Facts that hold for a whole attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Started {
    /// Processes.
    pub world_size: u32,
    /// Device in words.
    pub device: String,
    /// Version of libtorch.
    pub libtorch: String,
    /// sha256 of file names, sizes and labels of the data.
    pub data_fingerprint: String,
    /// Classes of the data.
    pub classes: u32,
    /// Images of the training split.
    pub train_images: u64,
    /// Images of the validation split.
    pub val_images: u64,
    /// Trainable parameters of the network.
    pub parameters: u64,
    /// Steps of an epoch.
    pub steps: u64,
    /// Where a resumed attempt goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed: Option<Position>,
}

/// One trained and validated epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Epoch {
    /// Epochs finished (in `epoch`) and validation counts.
    #[serde(flatten)]
    pub score: Score,
    /// Validation images.
    pub n: u64,
    /// Mean training loss of the epoch.
    pub train_loss: f64,
    /// Learning rate of its last step.
    pub lr: f64,
    /// Training images of this epoch, padding included.
    pub images: u64,
    /// Seconds of its training steps.
    pub train_seconds: f64,
    /// Seconds of its validation.
    pub eval_seconds: f64,
}

/// A point between two steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Position {
    /// Epochs finished and validated.
    pub epoch: u32,
    /// Steps finished of the epoch after them.
    pub step: u64,
}

/// Why a line is not an event.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum EventError {
    /// Not JSON, or not an event.
    #[error("not an event: {0}")]
    Malformed(String),
    /// Another version.
    #[error(
        "event version {0} is not {EVENT_VERSION}, which this build reads; use the same release of mixbench and mixbench-trainer"
    )]
    Version(u32),
}

impl Event {
    /// Reads one line.
    ///
    /// # Errors
    /// [`EventError`]; unknown fields are ignored, unknown kinds become [`Body::Unknown`].
    pub fn parse(line: &str) -> Result<Self, EventError> {
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        let malformed = |e: serde_json::Error| EventError::Malformed(e.to_string());
        let head: Head = serde_json::from_str(line).map_err(malformed)?;
        if head.version != EVENT_VERSION {
            return Err(EventError::Version(head.version));
        }
        serde_json::from_str(line).map_err(malformed)
    }

    /// One line of compact JSON, without the line's end.
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).expect("an event has string keys")
    }

    /// The line for the termination log: at most [`TERMINATION_LIMIT`] bytes, a failure's message cut to fit.
    pub fn to_termination(&self) -> String {
        let line = self.to_line();
        if line.len() <= TERMINATION_LIMIT {
            return line;
        }
        let mut short = self.clone();
        if let Body::Failed { message, .. } = &mut short.body {
            while let Some(last) = message.pop() {
                if last.is_ascii() && short_enough(message, &line) {
                    break;
                }
            }
        }
        short.to_line()
    }
}

/// Whether a message cut to this surely fits: JSON escapes take at most six bytes a character.
fn short_enough(message: &str, line: &str) -> bool {
    let head = line.len().min(512);
    head + 6 * message.chars().count() <= TERMINATION_LIMIT
}
