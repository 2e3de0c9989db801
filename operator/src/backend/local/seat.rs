//! All that is known of one run: what its folder said when it was opened, and what its processes said since.

use jiff::Timestamp;
use mixbench_crds::event::{Body, Event};
use mixbench_crds::exit::Exit;
use mixbench_crds::layout::RunDir;
use mixbench_crds::result::RunResult;

use super::child::{Child, Status};
use super::gpus;
use crate::decide::{Attempt, AttemptState, ObservedRun};
use crate::history::{End, Ended, HistoryError, Ledger, RunFolder, Tail, holder, is_held, read_result, read_run};

/// A run.
#[derive(Debug)]
pub(super) struct Seat {
    /// Its folder.
    pub(super) dir: RunDir,
    /// What it said.
    pub(super) ledger: Ledger,
    /// Its recorded result.
    pub(super) result: Option<RunResult>,
    /// Every attempt, in order.
    pub(super) attempts: Vec<Attempt>,
    /// Who works on it.
    pub(super) live: Option<Live>,
    /// Result of an attempt that said it was finished, until it is recorded.
    said: Option<(u32, RunResult)>,
    id: String,
}

/// Who works on a run.
#[derive(Debug)]
pub(super) struct Live {
    /// Which attempt.
    pub(super) attempt: u32,
    /// The process.
    pub(super) process: Process,
    /// Its GPUs.
    pub(super) gpus: Vec<String>,
}

/// A process that works on a run.
#[derive(Debug)]
pub(super) enum Process {
    /// Ours.
    Child(Child),
    /// An orphan: it holds the lock of the run's folder, and what it says is read from there.
    Orphan {
        /// The `launch`, where that can be told.
        pid: Option<u32>,
        /// What it writes.
        tail: Tail,
    },
}

impl Process {
    /// Its process id, where that can be told.
    pub(super) fn pid(&self) -> Option<u32> {
        match self {
            Self::Child(child) => Some(child.pid()),
            Self::Orphan { pid, .. } => *pid,
        }
    }
}

impl Seat {
    /// Reads the folder of a run. What ended before is forgiven: who starts again means to try again.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub(super) fn open(
        out: &std::path::Path,
        id: &str,
        now: Timestamp,
    ) -> Result<(Self, Option<String>), HistoryError> {
        let dir = RunDir::new(out, id);
        let RunFolder { ledger, result, attempt, tail, .. } = read_run(out, id)?;
        // An attempt that has said its last word may still be on its way out; nothing starts before it has gone.
        let live = result.is_none() && attempt > 0 && is_held(&dir.lock())?;
        let mut seat =
            Self { dir, ledger, result: None, attempts: Vec::new(), live: None, said: None, id: id.to_owned() };
        let doubt = match result {
            Some(Ok(result)) => {
                seat.result = Some(result);
                None
            }
            Some(Err(e)) => Some(e.to_string()),
            None => None,
        };
        let mut tail = tail;
        for number in 1..=attempt {
            let state = if live && number == attempt {
                let pid = holder(&seat.dir.lock());
                let gpus = pid.map(gpus::of_process).unwrap_or_default();
                let tail = tail.take().unwrap_or_else(|| Tail::new(seat.dir.events()));
                seat.live = Some(Live { attempt: number, process: Process::Orphan { pid, tail }, gpus });
                AttemptState::Running { since: now }
            } else {
                seat.ended(number, now, None)
            };
            seat.attempts.push(Attempt { number, state, forgiven: !live || number < attempt });
        }
        Ok((seat, doubt))
    }

    /// Takes an event.
    pub(super) fn hear(&mut self, event: &Event) {
        self.ledger.push(event);
        if let Body::Finished { result } = &event.body
            && result.check(&self.id).is_ok()
        {
            self.said = Some((event.attempt, result.clone()));
        }
    }

    /// What is seen of it.
    pub(super) fn observed(&self) -> ObservedRun {
        ObservedRun { result: self.result.clone(), attempts: self.attempts.clone() }
    }

    /// Looks whether the process that works on it still does. The end of an attempt, if it has come.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub(super) fn look(&mut self, now: Timestamp) -> Result<Option<(Ended, Vec<String>)>, HistoryError> {
        let Some(live) = &mut self.live else { return Ok(None) };
        let mut said = Vec::new();
        let status = match &mut live.process {
            Process::Child(child) => {
                let Some(status) = child.ended() else { return Ok(None) };
                let pid = child.pid();
                if is_held(&self.dir.lock())? {
                    // `launch` is dead and its workers are not: they notice, save what they have, and go.
                    let tail = Tail::at_end(self.dir.events())?;
                    live.process = Process::Orphan { pid: Some(pid), tail };
                    self.mark_stopping(now);
                    return Ok(None);
                }
                Some(status)
            }
            Process::Orphan { tail, .. } => {
                let held = is_held(&self.dir.lock())?;
                said = tail.read()?;
                if held {
                    self.hear_lines(&said);
                    return Ok(None);
                }
                None
            }
        };
        self.hear_lines(&said);
        self.result = self.result.take().or(read_result(&self.dir, &self.id)?.and_then(Result::ok));
        let Some(Live { attempt, gpus, .. }) = self.live.take() else { return Ok(None) };
        let state = self.ended(attempt, now, status);
        let AttemptState::Ended { reason, ref message, .. } = state else { return Ok(None) };
        let ended = Ended { attempt, at: now, exit: reason.exit(), message: message.clone() };
        self.set(attempt, state);
        self.ledger.end(&ended);
        Ok(Some((ended, gpus)))
    }

    /// The attempt was told to stop.
    pub(super) fn mark_stopping(&mut self, now: Timestamp) {
        let Some(attempt) = self.live.as_ref().map(|l| l.attempt) else { return };
        let already =
            self.attempts.iter().any(|a| a.number == attempt && matches!(a.state, AttemptState::Stopping { .. }));
        if !already {
            self.set(attempt, AttemptState::Stopping { since: now });
        }
    }

    /// A new attempt in this state.
    pub(super) fn set(&mut self, number: u32, state: AttemptState) {
        match self.attempts.iter_mut().find(|a| a.number == number) {
            Some(attempt) => attempt.state = state,
            None => self.attempts.push(Attempt { number, state, forgiven: false }),
        }
    }

    /// How attempt `number` ended: by its own last word, else by what was seen of its process.
    fn ended(&self, number: u32, now: Timestamp, seen: Option<Status>) -> AttemptState {
        let told = self.ledger.attempts.get(&number);
        let at = told.and_then(|a| Timestamp::from_millisecond(i64::try_from(a.span?.1).ok()?).ok());
        let at = if seen.is_some() { now } else { at.unwrap_or(now) };
        let (exit, message) = match (told.and_then(|a| a.end.clone()), seen) {
            (Some(End::Failed { exit, message }), _) => (exit, message),
            (Some(End::Stopped { .. }), _) => (Some(Exit::Stopped), "stopped on request".to_owned()),
            (Some(End::Finished), _) => (Some(Exit::Ok), "finished".to_owned()),
            (None, Some(status)) => (status.exit, status.message),
            (None, None) => (None, "its process ended without a word".to_owned()),
        };
        let result = self.said.as_ref().filter(|(n, _)| *n == number && self.result.is_none());
        AttemptState::Ended { reason: exit.into(), at, result: result.map(|(_, r)| Box::new(r.clone())), message }
    }

    fn hear_lines(&mut self, lines: &[String]) {
        for line in lines {
            if let Ok(event) = Event::parse(line) {
                self.hear(&event);
            }
        }
    }
}
