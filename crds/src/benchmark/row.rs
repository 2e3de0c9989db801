//! What the status remembers of one run: enough to go on when its Jobs, its pods and the operator are gone.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::exit::Exit;

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunStatus {
    /// Id of the run.
    #[schemars(length(max = 128))]
    pub id: String,
    /// Where it stands.
    pub state: RunPhase,
    /// Last attempt, from 1; 0 before the first.
    #[serde(default)]
    pub attempt: u32,
    /// Job of the last attempt, until the run has succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub job: Option<String>,
    /// When its first attempt started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When its last attempt ended, once there will be no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// Top-1 in percent, once it is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    pub top1: Option<String>,
    /// Top-5 in percent, once it is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    pub top5: Option<String>,
    /// Seconds of training over all attempts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_seconds: Option<u32>,
    /// How far a live attempt is, as it last said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<RunProgress>,
    /// What the last attempt that ended said, where that was no success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub message: Option<String>,
    /// How attempts ended, while the run has no result: every one that is charged to a budget, and the last one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub ends: Vec<AttemptEnd>,
    /// The recorded result, complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<ResultRow>,
    /// The plan has this run no longer (another release of the operator plans it differently); its result is kept and counts nowhere.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unplanned: bool,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RunPhase {
    /// Waits for a slot.
    Queued,
    /// Waits for its next attempt.
    BackingOff,
    /// Live.
    Running,
    /// Live, and was told to stop.
    Stopping,
    /// Recorded.
    Succeeded,
    /// Its budget is spent.
    Failed,
}

/// How far a live run is. Nothing here is a result.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunProgress {
    /// Epochs finished.
    #[serde(default)]
    pub epoch: u32,
    /// Top-1 of the last validation in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    pub top1: Option<String>,
    /// Training images a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images_per_second: Option<u32>,
    /// Seconds until it is done, as far as can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_seconds: Option<u32>,
}

/// The end of one attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttemptEnd {
    /// Which attempt, from 1.
    pub attempt: u32,
    /// Why it ended.
    pub reason: EndReason,
    /// When it ended.
    pub at: Time,
}

/// Why an attempt ended. The list is closed; what each is charged to stands in one table of the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum EndReason {
    /// It said that it is done (exit 0).
    Finished,
    /// The run or the command line is wrong (exit 64).
    Config,
    /// The data or a checkpoint is not what the run needs (exit 65).
    Data,
    /// A defect of mixbench itself (exit 70).
    Internal,
    /// It could not write where it was told (exit 73).
    CannotCreate,
    /// Reading or writing failed midway (exit 74).
    Io,
    /// It was stopped after a checkpoint and can go on (exit 75).
    Stopped,
    /// A peer died or hung (exit 76).
    Collective,
    /// The loss or the weights were no longer finite (exit 77).
    Diverged,
    /// Out of memory (exit 78, or killed by the kernel for it).
    OutOfMemory,
    /// It was killed, vanished, or ended with a code that is not ours.
    Killed,
    /// Its pod was evicted, preempted or drained.
    Disrupted,
    /// Its Job was deleted while it ran.
    Lost,
    /// It ended with exit 0 and its pod holds no result.
    ResultMissing,
    /// It finished, but its result did not come through; another attempt finds it in the storage, or trains again.
    ResultLost,
    /// What it left as its result cannot be believed.
    ResultInvalid,
}

impl EndReason {
    /// Every reason, in the order in which they are documented.
    pub const ALL: [Self; 16] = [
        Self::Finished,
        Self::Config,
        Self::Data,
        Self::Internal,
        Self::CannotCreate,
        Self::Io,
        Self::Stopped,
        Self::Collective,
        Self::Diverged,
        Self::OutOfMemory,
        Self::Killed,
        Self::Disrupted,
        Self::Lost,
        Self::ResultMissing,
        Self::ResultLost,
        Self::ResultInvalid,
    ];

    /// The exit of the trainer that it stands for; none where the trainer did not say why it ended.
    pub const fn exit(self) -> Option<Exit> {
        Some(match self {
            Self::Finished | Self::ResultMissing | Self::ResultLost | Self::ResultInvalid => Exit::Ok,
            Self::Config => Exit::Config,
            Self::Data => Exit::Data,
            Self::Internal => Exit::Internal,
            Self::CannotCreate => Exit::CannotCreate,
            Self::Io => Exit::Io,
            Self::Stopped => Exit::Stopped,
            Self::Collective => Exit::Collective,
            Self::Diverged => Exit::Diverged,
            Self::OutOfMemory => Exit::OutOfMemory,
            Self::Killed | Self::Disrupted | Self::Lost => return None,
        })
    }
}

impl From<Exit> for EndReason {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Ok => Self::Finished,
            Exit::Config => Self::Config,
            Exit::Data => Self::Data,
            Exit::Internal => Self::Internal,
            Exit::CannotCreate => Self::CannotCreate,
            Exit::Io => Self::Io,
            Exit::Stopped => Self::Stopped,
            Exit::Collective => Self::Collective,
            Exit::Diverged => Self::Diverged,
            Exit::OutOfMemory => Self::OutOfMemory,
        }
    }
}

impl From<Option<Exit>> for EndReason {
    /// Without an exit it was killed.
    fn from(exit: Option<Exit>) -> Self {
        exit.map_or(Self::Killed, Self::from)
    }
}

/// A result, of which nothing is lost that means anything: the same `RunResult` comes out, but for the nonce that vouched for its message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResultRow {
    /// Attempt that finished.
    pub attempt: u32,
    /// Rule that makes one top-1 of the scores: "last", "best" or "median-last N".
    #[schemars(length(max = 32))]
    pub metric: String,
    /// The validations that the rule looks at, each EPOCH:CORRECT1/CORRECT5, with spaces between them.
    #[schemars(length(max = 2048))]
    pub scores: String,
    /// Validation images.
    pub n: u64,
    /// Epochs trained over all attempts.
    pub epochs: u32,
    /// Training images seen over all attempts, padding included.
    pub images: u64,
    /// Seconds spent in training steps over all attempts, exactly.
    #[schemars(length(max = 32))]
    pub train_seconds: String,
    /// Trainable parameters of the network.
    pub parameters: u64,
    /// Where it was trained: an index into status.environments.
    pub environment: u32,
    /// Checkpoint with the final weights, relative to the run's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub checkpoint: Option<String>,
}

/// Data, device and library of a result; most runs share one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Environment {
    /// sha256 of file names, sizes and labels of the data.
    #[schemars(length(max = 64))]
    pub data_fingerprint: String,
    /// Device in words.
    #[schemars(length(max = 256))]
    pub device: String,
    /// Version of libtorch.
    #[schemars(length(max = 64))]
    pub libtorch: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_has_its_reason_and_no_reason_is_listed_twice() {
        for exit in Exit::ALL {
            assert_eq!(EndReason::from(exit).exit(), Some(exit));
        }
        assert_eq!(EndReason::from(None), EndReason::Killed);
        let mut all = EndReason::ALL.to_vec();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), EndReason::ALL.len());
    }
}
