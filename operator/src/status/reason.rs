//! The closed list of what a condition may give as its reason.

/// Why a condition is as it is; CamelCase in the resource. The list is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr, strum::EnumIter, strum::EnumMessage)]
pub enum Reason {
    /// Accepted: the manifest is right.
    Valid,
    /// Accepted: the manifest is right and gives the runs no storage; an attempt that is stopped or fails starts afresh.
    StorageNone,
    /// Accepted is false: the manifest is wrong; the message says where.
    Invalid,
    /// Accepted is false: the status holds what this release cannot read; nothing is done until that is settled.
    StatusUnreadable,
    /// Progressing: runs are live.
    RunsActive,
    /// Progressing: pods wait for a node that has room for them.
    WaitingForCapacity,
    /// Progressing: runs wait for a slot.
    Queued,
    /// Progressing: runs wait for their next attempt.
    BackingOff,
    /// Progressing is false: everything is done.
    Done,
    /// Suspended: `spec.suspend` is true and nothing is live.
    Suspended,
    /// Suspended is not yet true: runs still stop.
    Stopping,
    /// Suspended is false.
    NotSuspended,
    /// Degraded: a run failed for good or waits after a failure.
    RunsFailing,
    /// Degraded: an object that is not ours has the name of a Job of ours.
    NameCollision,
    /// Degraded: the trainer's image cannot be pulled.
    ImagePull,
    /// Degraded: a container cannot be made as the manifest wants it (a Secret, a ConfigMap, a volume or the command is not there).
    ContainerConfig,
    /// Degraded: a Job has no pods, most often for want of quota or for a policy that refuses them.
    PodsMissing,
    /// Degraded: the API server refuses Jobs for want of quota.
    QuotaExceeded,
    /// Degraded: the API server refuses Jobs (a policy, a webhook, permissions).
    AdmissionDenied,
    /// Degraded: a Job that has to go cannot be deleted.
    CleanupFailing,
    /// Degraded: the API server cannot be reached or fails.
    ApiErrors,
    /// Degraded is false.
    Healthy,
    /// Complete, Finished: every run is recorded.
    AllRecorded,
    /// Failed, Finished: everything has ended and a run is missing.
    RunsFailed,
    /// Complete, Failed, Finished, GatePassed: it is not over yet.
    NotFinished,
    /// GatePassed: every cell with a reference passed.
    Pass,
    /// GatePassed is false: a cell regressed.
    Regressed,
    /// GatePassed is unknown: a cell needs more trials.
    Inconclusive,
    /// GatePassed: no cell has a reference.
    NoReference,
    /// GatePassed is unknown: the benchmark to compare with is not there.
    ReferenceMissing,
    /// GatePassed is unknown: the benchmark to compare with is not finished.
    ReferenceUnfinished,
}
