//! From the first worker to the last: passes events on, forwards signals, ends all when one fails.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mixbench_crds::event::{Body, EVENT_VERSION, Event, Position};
use mixbench_crds::exit::Exit;
use mixbench_crds::result::RunResult;
use rustix::process::Signal;
use signal_hook::consts::SIGCHLD;

use super::error::LaunchError;
use super::folder::{self, Journal};
use super::gang::{Gang, Message};
use super::log::Log;
use super::outlet::Outlet;
use super::settings::Settings;
use super::verdict::{Reason, verdict};

/// From the first failure to SIGKILL for the survivors: they have nothing left to save.
const AFTER_FAILURE: Duration = Duration::from_secs(5);
/// A second request this soon is the same one: a terminal's Ctrl-C reaches the whole process group, and its leader forwards it as well.
const SAME_REQUEST: Duration = Duration::from_secs(1);
const NEVER: Duration = Duration::from_hours(1);

/// Where what happens is told.
#[derive(Debug)]
pub(super) struct Telling<'a> {
    /// What is done.
    pub(super) settings: &'a Settings,
    /// The run document, as read.
    pub(super) text: &'a str,
    /// Standard output.
    pub(super) stdout: Outlet,
    /// Standard error and `log.txt`.
    pub(super) log: Arc<Log>,
    /// `events.jsonl`.
    pub(super) journal: Journal,
    /// Whether the run's folder holds anything of this attempt.
    pub(super) begun: bool,
    /// Whether the run's folder is this process's to write in: it holds the lock and has news.
    pub(super) ours: bool,
}

impl Telling<'_> {
    /// Envelope around a body.
    pub(super) fn event(&self, body: Body) -> Event {
        let run = &self.settings.run;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Event {
            version: EVENT_VERSION,
            run: run.id.clone(),
            attempt: run.attempt.max(1),
            nonce: run.nonce.clone(),
            time: now.as_millis() as u64,
            body,
        }
    }

    /// Makes the attempt visible in the run's folder.
    fn begin(&mut self) -> Result<(), LaunchError> {
        if !self.begun {
            self.begun = true;
            let dir = &self.settings.dir;
            if self.settings.leads() {
                folder::keep_run(dir, &self.settings.run, self.text)?;
                self.log.open(dir.log());
            } else {
                self.log.open(dir.log().with_extension(format!("{}.txt", self.settings.node_rank)));
            }
        }
        Ok(())
    }

    /// Tells an event: the journal first, then standard output.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub(super) fn tell(&mut self, body: Body) -> Result<Event, LaunchError> {
        let sync = matches!(
            body,
            Body::Epoch(_)
                | Body::Checkpoint { .. }
                | Body::Finished { .. }
                | Body::Failed { .. }
                | Body::Stopped { .. }
        );
        let event = self.event(body);
        let line = event.to_line();
        self.begin()?;
        if self.settings.leads() {
            self.journal.append(&line, sync)?;
        }
        self.stdout.line(line);
        Ok(event)
    }

    /// The last word of the attempt, also for the termination log. A refused run (64) leaves nothing in its folder; where the folder
    /// cannot be written or is another's, the other places still hear it.
    pub(super) fn conclude(&mut self, body: Body) {
        let refused = matches!(body, Body::Failed { exit: Exit::Config, .. }) && !self.begun;
        let event = self.event(body);
        let line = event.to_line();
        let mut journal = Ok(());
        if self.ours && !refused {
            journal = self.begin();
            if self.settings.leads() {
                journal = journal.and_then(|()| self.journal.append(&line, true));
            }
        }
        self.stdout.line(line);
        // A failure to write there is mostly what the last word is about.
        if let Err(e) = journal
            && !matches!(event.body, Body::Failed { exit: Exit::Io | Exit::CannotCreate, .. })
        {
            self.log.line(format!("mixbench-trainer: {e}"));
        }
        if let Some(path) = &self.settings.termination_log
            && let Err(e) = std::fs::write(path, event.to_termination())
        {
            self.log.line(format!("mixbench-trainer: cannot write the termination log {}: {e}", path.display()));
        }
    }
}

/// The state between two messages.
struct Watch<'a, 'b> {
    telling: &'a mut Telling<'b>,
    gang: Gang,
    /// The result, once it stands on disk.
    result: Option<RunResult>,
    /// What rank 0 said when it stopped.
    stopped: Option<Body>,
    /// Newest checkpoint of this attempt.
    checkpoint: (Position, Option<String>),
    /// A failure of this process itself.
    own: Option<LaunchError>,
    /// Pipes of workers that are closed.
    quiet: usize,
    requested: Option<Instant>,
    kill_at: Option<Instant>,
}

/// Watches the gang to its end. The last word (finished, failed or stopped) is for the caller to tell; where all ended well on a machine
/// without rank 0 there is none.
pub(super) fn watch(telling: &mut Telling<'_>, gang: Gang, messages: &Receiver<Message>) -> Option<Body> {
    let checkpoint = (Position::default(), None);
    let mut watch = Watch {
        telling,
        gang,
        result: None,
        stopped: None,
        checkpoint,
        own: None,
        quiet: 0,
        requested: None,
        kill_at: None,
    };
    loop {
        watch.reap();
        if watch.gang.over() {
            break;
        }
        let now = Instant::now();
        let left = watch.kill_at.map_or(NEVER, |at| at.saturating_duration_since(now));
        match messages.recv_timeout(left) {
            Ok(Message::Body(rank, body)) => watch.heard(rank, *body),
            Ok(Message::Quiet) => watch.quiet += 1,
            Ok(Message::Signal(SIGCHLD)) => {}
            Ok(Message::Signal(_)) => watch.request(),
            Err(RecvTimeoutError::Timeout) if watch.kill_at.is_some() => watch.kill(),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
    }
    // The dead have closed their pipes: what they said last is on its way.
    let until = Instant::now() + Duration::from_secs(2);
    while watch.quiet < watch.gang.pipes()
        && let Ok(message) = messages.recv_timeout(until.saturating_duration_since(Instant::now()))
    {
        match message {
            Message::Body(rank, body) => watch.heard(rank, *body),
            Message::Quiet => watch.quiet += 1,
            Message::Signal(_) => {}
        }
    }
    watch.end()
}

impl Watch<'_, '_> {
    fn heard(&mut self, rank: u32, body: Body) {
        match body {
            Body::Finished { result } => self.finished(result),
            Body::Failed { exit, message, .. } => self.gang.heard_failure(rank, exit, message),
            Body::Stopped { .. } => self.stopped = Some(body),
            Body::Unknown => {}
            body => {
                match &body {
                    Body::Checkpoint { path, position } => self.checkpoint = (*position, Some(path.clone())),
                    Body::Started(started) => self.checkpoint.0 = started.resumed.unwrap_or_default(),
                    _ => {}
                }
                if self.own.is_none()
                    && let Err(e) = self.telling.tell(body)
                {
                    self.fail(e);
                }
            }
        }
    }

    fn finished(&mut self, mut result: RunResult) {
        let settings = self.telling.settings;
        result.run.clone_from(&settings.run.id);
        result.nonce.clone_from(&settings.run.nonce);
        result.attempt = settings.run.attempt.max(1);
        let stands = result
            .check(&settings.run.id)
            .map_err(|source| LaunchError::BadResult { path: settings.dir.result(), source })
            .and_then(|()| self.telling.begin())
            .and_then(|()| folder::write_result(&settings.dir, &result));
        match stands {
            Ok(()) => {
                self.result = Some(result);
                // Nothing is left to do but to end; a hanging driver must not hold the machine.
                self.kill_at = Some(Instant::now() + settings.grace);
            }
            Err(e) => self.fail(e),
        }
    }

    /// A failure of this process: the workers cannot go on without it.
    fn fail(&mut self, e: LaunchError) {
        self.own.get_or_insert(e);
        self.stop_because(Reason::Failure, AFTER_FAILURE);
    }

    fn reap(&mut self) {
        match self.gang.reap() {
            Some(reason) if self.result.is_none() => {
                let grace = if reason == Reason::Failure { AFTER_FAILURE } else { self.telling.settings.grace };
                self.stop_because(reason, grace);
            }
            _ => {}
        }
    }

    fn request(&mut self) {
        match self.requested {
            None => {
                self.requested = Some(Instant::now());
                if self.result.is_none() {
                    self.stop_because(Reason::Requested, self.telling.settings.grace);
                }
            }
            Some(at) if at.elapsed() > SAME_REQUEST => self.kill(),
            Some(_) => {}
        }
    }

    fn stop_because(&mut self, reason: Reason, grace: Duration) {
        let at = Instant::now() + grace;
        if self.kill_at.is_none_or(|already| at < already) {
            self.gang.tell(Signal::TERM, reason);
            self.kill_at = Some(at);
        }
    }

    fn kill(&mut self) {
        let reason = if self.requested.is_some() { Reason::Requested } else { Reason::Failure };
        self.gang.tell(Signal::KILL, reason);
        self.kill_at = None;
    }

    /// The last word.
    fn end(self) -> Option<Body> {
        let ended = self.gang.ended();
        let verdict = verdict(&ended, self.telling.settings.run.spec.world.gpus_per_node > 0);
        // Many ranks say the same; what others say besides is for the log.
        let mut known = vec![&verdict.message];
        for (rank, said) in ended.iter().filter_map(|e| Some((e.rank, &e.said.as_ref()?.1))) {
            if !known.contains(&said) {
                self.telling.log.worker(rank, said);
                known.push(said);
            }
        }
        if let Some(e) = self.own {
            return Some(failed(e.exit(), e.to_string(), None));
        }
        if let Some(result) = self.result {
            if verdict.exit != Exit::Ok {
                self.telling.log.line(format!("mixbench-trainer: after the result was written: {}", verdict.message));
            }
            return Some(Body::Finished { result });
        }
        let leads = self.telling.settings.leads();
        Some(match verdict.exit {
            Exit::Ok if leads => failed(Exit::Internal, "all workers ended well, but none gave a result".into(), None),
            Exit::Ok => return None,
            Exit::Stopped => self.stopped.unwrap_or_else(|| {
                if !verdict.message.is_empty() {
                    self.telling.log.line(format!("mixbench-trainer: {}", verdict.message));
                }
                let (position, checkpoint) = self.checkpoint;
                Body::Stopped { position, checkpoint }
            }),
            exit => failed(exit, verdict.message, verdict.rank),
        })
    }
}

/// The body of a failure.
pub(super) const fn failed(exit: Exit, message: String, rank: Option<u32>) -> Body {
    Body::Failed { exit, message, rank }
}
