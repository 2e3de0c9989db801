//! Exit codes of the trainer. Those below 80 follow `sysexits.h` where it has a fitting name.

use serde::{Deserialize, Serialize};

/// Why a trainer process ended; the number is its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// 0: finished, the result stands.
    Ok,
    /// 64: the run or the command line is wrong; nothing was written.
    Config,
    /// 65: the data or a checkpoint is not what the run needs.
    Data,
    /// 73: cannot write where told.
    CannotCreate,
    /// 74: reading or writing failed midway (a full disk, a lost volume).
    Io,
    /// 75: stopped on request after a checkpoint; start again to go on.
    Stopped,
    /// 76: a peer died or hung.
    Collective,
    /// 77: the loss or the weights are no longer finite.
    Diverged,
    /// 78: out of memory.
    OutOfMemory,
    /// 70: a defect of mixbench itself (a panic).
    Internal,
}

impl Exit {
    /// Every exit, in the order in which they are documented.
    pub const ALL: [Self; 10] = [
        Self::Ok,
        Self::Config,
        Self::Data,
        Self::Internal,
        Self::CannotCreate,
        Self::Io,
        Self::Stopped,
        Self::Collective,
        Self::Diverged,
        Self::OutOfMemory,
    ];

    /// The process exit code.
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Config => 64,
            Self::Data => 65,
            Self::Internal => 70,
            Self::CannotCreate => 73,
            Self::Io => 74,
            Self::Stopped => 75,
            Self::Collective => 76,
            Self::Diverged => 77,
            Self::OutOfMemory => 78,
        }
    }

    /// The exit with this code, if it is one of ours.
    pub fn from_code(code: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|e| i32::from(e.code()) == code)
    }

    /// Whether the same run may succeed when it is started again unchanged.
    pub const fn retryable(self) -> bool {
        matches!(self, Self::Stopped | Self::Collective | Self::Io)
    }

    /// The one exit that explains a gang of processes best: any failure wins over [`Exit::Collective`], which is only what the survivors
    /// saw of it, and over [`Exit::Stopped`] and [`Exit::Ok`].
    pub fn most_specific(exits: impl IntoIterator<Item = Self>) -> Self {
        let weight = |e: &Self| match e {
            Self::Ok => 0,
            Self::Stopped => 1,
            Self::Collective => 2,
            Self::Internal => 3,
            Self::Io | Self::CannotCreate => 4,
            Self::OutOfMemory => 5,
            Self::Diverged => 6,
            Self::Data => 7,
            Self::Config => 8,
        };
        exits.into_iter().max_by_key(weight).unwrap_or(Self::Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_round_trip() {
        for e in Exit::ALL {
            assert_eq!(Exit::from_code(i32::from(e.code())), Some(e));
        }
        assert_eq!(Exit::from_code(1), None);
    }

    #[test]
    fn a_cause_wins_over_what_the_survivors_saw() {
        assert_eq!(Exit::most_specific([Exit::Collective, Exit::Diverged, Exit::Collective]), Exit::Diverged);
        assert_eq!(Exit::most_specific([Exit::Stopped, Exit::Collective]), Exit::Collective);
        assert_eq!(Exit::most_specific([]), Exit::Ok);
    }
}
