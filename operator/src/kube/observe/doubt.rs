//! What has to be asked for before anything is decided.

/// Something of an attempt that no cache shows and that may be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// Id of the run.
    pub run: String,
    /// Number of the attempt.
    pub attempt: u32,
    /// Name that its Job has, if there is one.
    pub job: String,
    /// What of it.
    pub missing: Missing,
}

/// What no cache shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The Job.
    Job,
    /// The pod of machine 0, which speaks for the run.
    Pods,
}
