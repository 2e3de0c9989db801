//! What keeps a benchmark from getting on although nothing has failed for good. It shows as a reason of `Degraded`, and goes by itself.

/// One trouble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Which.
    pub kind: TroubleKind,
    /// For people: what, and what the cluster said.
    pub message: String,
}

/// The closed list; each name is the reason of a condition. In order of urgency: the first one names `Degraded`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, strum::IntoStaticStr, strum::EnumIter)]
pub enum TroubleKind {
    /// An object under the name of ours belongs to somebody else.
    NameCollision,
    /// A Job, or what it was told before it ended, could not be removed or changed; that is tried again for ever.
    CleanupFailing,
    /// A quota of the namespace is used up.
    QuotaExceeded,
    /// A webhook, a policy or a limit of the cluster does not allow it.
    AdmissionDenied,
    /// The API server refused or did not answer.
    ApiErrors,
}
