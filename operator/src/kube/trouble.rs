//! What keeps a run, or all of a benchmark, from getting on although nothing has failed for good. It shows as the reason of a condition, and goes by itself.

use crate::status::Reason;

/// One trouble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What it is.
    pub kind: TroubleKind,
    /// Id of the run; none where it concerns all of them.
    pub run: Option<String>,
    /// The same for a person; may come from anybody and is made harmless before it is written.
    pub message: String,
}

/// The closed list, in order of urgency: the first one names the condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, strum::IntoStaticStr, strum::EnumIter)]
pub enum TroubleKind {
    /// An object that is not ours has the name of a Job of ours.
    NameCollision,
    /// A Job that has to go cannot be deleted.
    CleanupFailing,
    /// The API server refuses a Job for want of quota.
    QuotaExceeded,
    /// The API server refuses a Job.
    AdmissionDenied,
    /// The trainer's image cannot be pulled.
    ImagePull,
    /// A container cannot be made.
    ContainerConfig,
    /// A Job has no pods though it should have them by now.
    PodsMissing,
    /// The API server cannot be reached or fails.
    ApiErrors,
    /// A pod waits for a node that has room for it: no failure.
    WaitingForCapacity,
    /// The benchmark to compare with is not there: no failure of the runs.
    ReferenceMissing,
    /// The benchmark to compare with is not finished: no failure of the runs.
    ReferenceUnfinished,
}

impl TroubleKind {
    /// The reason that a condition gives for it.
    pub const fn reason(self) -> Reason {
        match self {
            Self::NameCollision => Reason::NameCollision,
            Self::CleanupFailing => Reason::CleanupFailing,
            Self::QuotaExceeded => Reason::QuotaExceeded,
            Self::AdmissionDenied => Reason::AdmissionDenied,
            Self::ImagePull => Reason::ImagePull,
            Self::ContainerConfig => Reason::ContainerConfig,
            Self::PodsMissing => Reason::PodsMissing,
            Self::ApiErrors => Reason::ApiErrors,
            Self::WaitingForCapacity => Reason::WaitingForCapacity,
            Self::ReferenceMissing => Reason::ReferenceMissing,
            Self::ReferenceUnfinished => Reason::ReferenceUnfinished,
        }
    }

    /// Whether it makes the benchmark Degraded.
    pub const fn degrades(self) -> bool {
        !matches!(self, Self::WaitingForCapacity | Self::ReferenceMissing | Self::ReferenceUnfinished)
    }
}
