//! The edge of the world: what is seen of runs, and how they are started and stopped. Everything between is pure.

use std::path::PathBuf;

use jiff::Timestamp;

use crate::aggregate::Outcome;
use crate::decide::{Action, Decision, Observed, decide};
use crate::history::HistoryError;
use crate::plan::Plan;

pub mod fake;
#[cfg(test)]
pub(crate) mod fixture;
pub mod local;

/// Where runs live: processes, Jobs, or a test's imagination.
pub trait Backend {
    /// Everything that is known at `now` of the runs of a plan, and of those that are left over from another one.
    ///
    /// # Errors
    /// [`BackendError`] where nothing can be said; a single run that fails is an observation, not an error.
    fn observe(&mut self, now: Timestamp) -> Result<Observed, BackendError>;

    /// Does what was decided. Asking twice is as asking once.
    ///
    /// # Errors
    /// [`BackendError`] where nothing can be done; a single run that cannot start is an observation of the next turn.
    fn act(&mut self, action: &Action, now: Timestamp) -> Result<(), BackendError>;
}

/// What a person wants beyond the plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Stop everything and start nothing.
    pub suspended: bool,
    /// Most runs at once, where it differs from the plan's.
    pub parallelism: Option<u32>,
}

/// One turn: observe, decide, act.
///
/// # Errors
/// The backend's.
pub fn turn(plan: &Plan, backend: &mut dyn Backend, wish: Wish, now: Timestamp) -> Result<Decision, BackendError> {
    let mut observed = backend.observe(now)?;
    observed.suspended |= wish.suspended;
    observed.parallelism = wish.parallelism.or(observed.parallelism);
    let decision = decide(plan, &observed, now);
    for action in &decision.actions {
        backend.act(action, now)?;
    }
    Ok(decision)
}

/// Why a backend cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The output folder cannot be read.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// Something cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// What.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another `mixbench run` works on the folder.
    #[error(
        "{} is in use by another `mixbench run`{}; wait for it, stop it, or name another folder with --out",
        out.display(),
        pid.map_or(String::new(), |pid| format!(" (process {pid})"))
    )]
    Busy {
        /// The folder.
        out: PathBuf,
        /// The other's process, where that can be told.
        pid: Option<u32>,
    },
    /// The folder belongs to another benchmark.
    #[error("{} holds the benchmark `{found}`, not `{wanted}`; name another folder with --out", out.display())]
    OtherPlan {
        /// The folder.
        out: PathBuf,
        /// Name in the folder's plan.
        found: String,
        /// Name in this plan.
        wanted: String,
    },
    /// The folder holds runs that are not planned any more.
    #[error(
        "{} was begun with another plan of `{name}`: {} of its {total} runs are not planned any more, such as {}; \
         runs may be added but not changed, so name another folder with --out, or go back to the manifest (and --gpus) of before",
        out.display(), gone.len(), gone.first().map_or("", String::as_str)
    )]
    Replanned {
        /// The folder.
        out: PathBuf,
        /// The benchmark.
        name: String,
        /// Runs that are not planned any more.
        gone: Vec<String>,
        /// Runs of the folder's plan.
        total: usize,
    },
    /// There is no trainer.
    #[error("cannot find mixbench-trainer: {0}")]
    NoTrainer(String),
    /// A run needs more GPUs than there are.
    #[error(
        "the benchmark needs {wanted} GPUs for each run and this machine has {found}; set `gpusPerNode: 0` under `trainer` (or --gpus 0) to train on CPUs"
    )]
    TooFewGpus {
        /// GPUs of a run.
        wanted: u32,
        /// GPUs of this machine.
        found: usize,
    },
    /// A run wants several machines.
    #[error(
        "the benchmark wants {0} nodes for each run and `mixbench run` has one; set `nodes: 1` under `trainer`, or submit it to a cluster"
    )]
    ManyNodes(u32),
}

impl BackendError {
    /// What the benchmark comes to.
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::History(_) | Self::Write { .. } => Outcome::Failed,
            Self::Busy { .. }
            | Self::OtherPlan { .. }
            | Self::Replanned { .. }
            | Self::NoTrainer(_)
            | Self::TooFewGpus { .. }
            | Self::ManyNodes(_) => Outcome::Invalid,
        }
    }
}
