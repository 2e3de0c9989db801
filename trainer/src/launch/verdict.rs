//! From how the workers of a machine ended to one exit and its reason. Pure.

use mixbench_crds::exit::Exit;

use crate::failure::{classify, plain};

/// How the system says that a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// It returned this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl From<std::process::ExitStatus> for Status {
    fn from(status: std::process::ExitStatus) -> Self {
        use std::os::unix::process::ExitStatusExt as _;
        status.code().map_or_else(|| Self::Signal(status.signal().unwrap_or(0)), Self::Code)
    }
}

/// One worker's end.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    /// Its rank.
    pub(super) rank: u32,
    /// How it ended.
    pub(super) status: Status,
    /// Whether `launch` had told it to end, and why.
    pub(super) told: Option<Reason>,
    /// The failure that it reported, if it still could.
    pub(super) said: Option<(Exit, String)>,
    /// The last lines of its standard error.
    pub(super) tail: Vec<String>,
}

/// Why `launch` tells workers to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// Somebody asked for it.
    Requested,
    /// A worker failed.
    Failure,
}

/// One exit for all workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// The exit that explains the end best.
    pub(super) exit: Exit,
    /// Who failed so first.
    pub(super) rank: Option<u32>,
    /// Why, for a person.
    pub(super) message: String,
}

const SIGHUP: i32 = 1;
const SIGINT: i32 = 2;
const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;

/// The verdict over `ended`, in the order in which the workers ended. `gpus`: NCCL's watchdog ends a process by SIGABRT when a peer is gone.
pub(super) fn verdict(ended: &[Ended], gpus: bool) -> Verdict {
    let exits: Vec<Exit> = ended.iter().enumerate().map(|(i, e)| exit_of(e, i == 0, gpus)).collect();
    let exit = Exit::most_specific(exits.iter().copied());
    let guilty = ended.iter().zip(&exits).filter(|(_, e)| **e == exit).map(|(e, _)| e);
    // A process that a signal ended is the cause of what its peers then report.
    let Some(first) = guilty.clone().find(|e| by_foreign_signal(e)).or_else(|| guilty.clone().next()) else {
        return Verdict { exit: Exit::Ok, rank: None, message: String::new() };
    };
    Verdict { exit, rank: (exit != Exit::Ok).then_some(first.rank), message: message_of(first, exit) }
}

const fn by_foreign_signal(ended: &Ended) -> bool {
    matches!(ended.status, Status::Signal(_)) && ended.told.is_none()
}

fn exit_of(ended: &Ended, first: bool, gpus: bool) -> Exit {
    match ended.status {
        Status::Code(code) => Exit::from_code(code).unwrap_or(Exit::Internal),
        Status::Signal(SIGABRT) => match classify(&ended.tail.join("\n")) {
            Exit::Internal if !first || gpus => Exit::Collective,
            exit => exit,
        },
        Status::Signal(_) if ended.told == Some(Reason::Requested) => Exit::Stopped,
        Status::Signal(_) if ended.told == Some(Reason::Failure) => Exit::Collective,
        Status::Signal(SIGHUP | SIGINT | SIGTERM) => Exit::Stopped,
        Status::Signal(SIGKILL) => Exit::Collective,
        Status::Signal(_) => Exit::Internal,
    }
}

fn message_of(ended: &Ended, exit: Exit) -> String {
    let rank = ended.rank;
    let unsaid = match ended.status {
        Status::Code(0) => return String::new(),
        Status::Code(code) => match &ended.said {
            Some((_, message)) => return message.clone(),
            None => format!("rank {rank} ended with code {code} and gave no reason"),
        },
        Status::Signal(SIGKILL) if ended.told.is_none() => {
            format!("rank {rank} was killed by signal 9 (out of memory killer?)")
        }
        Status::Signal(SIGKILL) => return format!("rank {rank} did not stop in time and was killed"),
        // It had not come to where it could have said so.
        Status::Signal(_) if ended.told.is_some() => return String::new(),
        Status::Signal(signal) => format!("rank {rank} was killed by signal {signal}{}", signal_name(signal)),
    };
    if exit == Exit::Collective && matches!(ended.status, Status::Signal(SIGKILL)) || ended.tail.is_empty() {
        return unsaid;
    }
    format!("{unsaid}; it last wrote:\n{}", plain(&ended.tail.join("\n")))
}

const fn signal_name(signal: i32) -> &'static str {
    match signal {
        4 => " (illegal instruction: is this binary built for this processor?)",
        6 => " (aborted)",
        7 => " (bus error: is /dev/shm or a mapped file's disk full?)",
        8 => " (arithmetic)",
        11 => " (segmentation fault)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(rank: u32, status: Status) -> Ended {
        Ended { rank, status, told: None, said: None, tail: Vec::new() }
    }

    fn said(rank: u32, exit: Exit, message: &str) -> Ended {
        let status = Status::Code(i32::from(exit.code()));
        Ended { said: Some((exit, message.into())), ..ended(rank, status) }
    }

    #[test]
    fn all_well_is_well() {
        let v = verdict(&[ended(0, Status::Code(0)), ended(1, Status::Code(0))], false);
        assert_eq!(v, Verdict { exit: Exit::Ok, rank: None, message: String::new() });
    }

    #[test]
    fn a_killed_worker_is_the_cause_of_what_its_peers_saw() {
        let survivors = [said(0, Exit::Collective, "connection closed by peer"), said(2, Exit::Collective, "same")];
        let v = verdict(&[survivors[0].clone(), ended(1, Status::Signal(9)), survivors[1].clone()], false);
        assert_eq!((v.exit, v.rank), (Exit::Collective, Some(1)));
        assert_eq!(v.message, "rank 1 was killed by signal 9 (out of memory killer?)");
    }

    #[test]
    fn the_specific_failure_wins_with_its_own_words() {
        let v = verdict(&[said(0, Exit::Collective, "peer gone"), said(1, Exit::Diverged, "the loss is NaN")], false);
        assert_eq!(v, Verdict { exit: Exit::Diverged, rank: Some(1), message: "the loss is NaN".into() });
    }

    #[test]
    fn memory_that_cpp_could_not_get_is_recognised_in_the_last_lines() {
        let tail = vec!["memory allocation of 123 bytes failed".to_owned()];
        let v = verdict(&[Ended { tail, ..ended(0, Status::Signal(SIGABRT)) }], false);
        assert_eq!(v.exit, Exit::OutOfMemory);
        assert!(v.message.contains("memory allocation of 123 bytes failed"), "{}", v.message);
    }

    #[test]
    fn an_abort_after_another_failure_or_by_the_watchdog_is_collective() {
        let abort = |rank| ended(rank, Status::Signal(SIGABRT));
        assert_eq!(verdict(&[abort(0)], false).exit, Exit::Internal);
        assert_eq!(verdict(&[abort(0)], true).exit, Exit::Collective);
        assert_eq!(verdict(&[said(1, Exit::Data, "no such image"), abort(0)], false).exit, Exit::Data);
        assert_eq!(verdict(&[ended(1, Status::Signal(9)), abort(0)], false).rank, Some(1));
    }

    #[test]
    fn who_is_killed_after_the_grace_only_stopped_late() {
        let late = |told| Ended { told: Some(told), ..ended(0, Status::Signal(9)) };
        assert_eq!(verdict(&[late(Reason::Requested)], false).exit, Exit::Stopped);
        let v = verdict(&[said(1, Exit::Data, "no such image"), late(Reason::Failure)], false);
        assert_eq!((v.exit, v.message.as_str()), (Exit::Data, "no such image"));
    }

    #[test]
    fn a_silent_end_shows_the_last_lines() {
        let tail = vec!["error while loading shared libraries: libtorch.so".to_owned()];
        let v = verdict(&[Ended { tail, ..ended(0, Status::Code(127)) }], false);
        assert_eq!(v.exit, Exit::Internal);
        assert!(v.message.contains("code 127") && v.message.contains("libtorch.so"), "{}", v.message);
    }
}
