//! Which ends of an attempt are tried again, from which budget, and after how long.

use std::time::Duration;

use mixbench_crds::exit::Exit;

/// What a further attempt is paid from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display, strum::IntoStaticStr)]
pub enum Budget {
    /// Nothing was wrong with the run: it was stopped and goes on.
    Free,
    /// Machines, networks, disks.
    Infrastructure,
    /// The run itself; the same would happen again.
    Application,
}

impl Budget {
    /// Further attempts that it pays for; none is without limit.
    pub const fn retries(self) -> Option<u32> {
        match self {
            Self::Free => None,
            Self::Infrastructure => Some(3),
            Self::Application => Some(0),
        }
    }
}

/// First wait before a further attempt. Each one after it is twice as long.
pub const BACKOFF: Duration = Duration::from_secs(2);
/// Longest wait before a further attempt.
pub const BACKOFF_MAX: Duration = Duration::from_mins(5);
/// Time in which an attempt that was told to stop must write its checkpoint and end.
pub const GRACE: Duration = Duration::from_mins(2);

/// The table of exits.
const BUDGETS: [(Exit, Budget); 10] = [
    // It said ok, but its result was not found: the next attempt finds it in the folder and says it again.
    (Exit::Ok, Budget::Infrastructure),
    (Exit::Config, Budget::Application),
    (Exit::Data, Budget::Application),
    (Exit::Internal, Budget::Application),
    (Exit::CannotCreate, Budget::Application),
    (Exit::Io, Budget::Infrastructure),
    (Exit::Stopped, Budget::Free),
    (Exit::Collective, Budget::Infrastructure),
    (Exit::Diverged, Budget::Application),
    (Exit::OutOfMemory, Budget::Application),
];

/// The budget of an end; none as exit means killed, vanished, or a code that is not ours.
pub fn budget(exit: Option<Exit>) -> Budget {
    exit.and_then(|exit| BUDGETS.iter().find(|(e, _)| *e == exit)).map_or(Budget::Infrastructure, |(_, budget)| *budget)
}

/// Wait after the `ended`-th end of a run, counted from 1: the same at every look, so without jitter.
pub fn backoff(ended: u32) -> Duration {
    BACKOFF.saturating_mul(1_u32.checked_shl(ended.saturating_sub(1)).unwrap_or(u32::MAX)).min(BACKOFF_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_has_a_budget() {
        for exit in Exit::ALL {
            assert!(BUDGETS.iter().any(|(e, _)| *e == exit), "{exit:?}");
        }
    }

    #[test]
    fn what_the_contract_calls_retryable_is_not_charged_to_the_application() {
        for exit in Exit::ALL {
            assert_eq!(exit.retryable() || exit == Exit::Ok, budget(Some(exit)) != Budget::Application, "{exit:?}");
        }
        assert_eq!(budget(None), Budget::Infrastructure);
    }

    #[test]
    fn waits_double_up_to_five_minutes() {
        assert_eq!([1, 2, 3].map(|n| backoff(n).as_secs()), [2, 4, 8]);
        assert_eq!(backoff(1000), BACKOFF_MAX);
    }
}
