//! Which ends of an attempt are tried again, from which budget, and after how long.

use std::time::Duration;

use mixbench_crds::benchmark::EndReason;

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

/// Free ends one after the other that lengthen a wait: a run that is stopped now and then goes on soon, one whose Job is deleted as fast as it is made does not spin.
const FREE_STEPS: u32 = 5;

/// The table of ends.
const BUDGETS: [(EndReason, Budget); 16] = [
    // It said ok, but its result was not found: the next attempt finds it in the folder and says it again.
    (EndReason::Finished, Budget::Infrastructure),
    (EndReason::Config, Budget::Application),
    (EndReason::Data, Budget::Application),
    (EndReason::Internal, Budget::Application),
    (EndReason::CannotCreate, Budget::Application),
    (EndReason::Io, Budget::Infrastructure),
    (EndReason::Stopped, Budget::Free),
    (EndReason::Collective, Budget::Infrastructure),
    (EndReason::Diverged, Budget::Application),
    (EndReason::OutOfMemory, Budget::Application),
    (EndReason::Killed, Budget::Infrastructure),
    (EndReason::Disrupted, Budget::Infrastructure),
    (EndReason::Lost, Budget::Free),
    // A trainer that ends well and says nothing would do the same again, for the price of a whole training.
    (EndReason::ResultMissing, Budget::Application),
    (EndReason::ResultLost, Budget::Infrastructure),
    (EndReason::ResultInvalid, Budget::Application),
];

/// The budget of an end.
pub fn budget(reason: EndReason) -> Budget {
    BUDGETS.iter().find(|(r, _)| *r == reason).map_or(Budget::Infrastructure, |(_, budget)| *budget)
}

/// Wait after the last end of a run that has had `charged` ends on a budget, and since then `free` ones; at least one of them.
pub fn wait(charged: u32, free: u32) -> Duration {
    backoff(charged + free.min(FREE_STEPS))
}

/// Wait after the `ended`-th end of a run, counted from 1: the same at every look, so without jitter.
pub fn backoff(ended: u32) -> Duration {
    BACKOFF.saturating_mul(1_u32.checked_shl(ended.saturating_sub(1)).unwrap_or(u32::MAX)).min(BACKOFF_MAX)
}

#[cfg(test)]
mod tests {
    use mixbench_crds::exit::Exit;

    use super::*;

    #[test]
    fn every_end_has_a_budget() {
        for reason in EndReason::ALL {
            assert!(BUDGETS.iter().any(|(r, _)| *r == reason), "{reason:?}");
        }
    }

    #[test]
    fn what_the_contract_calls_retryable_is_not_charged_to_the_application() {
        for exit in Exit::ALL {
            assert_eq!(exit.retryable() || exit == Exit::Ok, budget(exit.into()) != Budget::Application, "{exit:?}");
        }
        assert_eq!(budget(None.into()), Budget::Infrastructure);
    }

    #[test]
    fn waits_double_up_to_five_minutes() {
        assert_eq!([1, 2, 3].map(|n| backoff(n).as_secs()), [2, 4, 8]);
        assert_eq!(backoff(1000), BACKOFF_MAX);
    }

    #[test]
    fn free_ends_lengthen_a_wait_only_so_far() {
        assert_eq!([1, 2, 5, 6, 1000].map(|free| wait(0, free).as_secs()), [2, 4, 32, 32, 32]);
        assert_eq!(wait(3, 1), backoff(4));
    }
}
