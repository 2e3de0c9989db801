//! One run on one machine: starts its workers, watches over them, and alone writes what the world sees of it.
//!
//! ```text
//! asked + run ─settle─► Settings ─► lock ─► place to meet ─► gang of workers ─watch─► last word ─► events.jsonl, stdout, termination log
//! ```
//! The processes are described in docs/protocol.md.

mod error;
mod folder;
mod gang;
mod lock;
mod log;
mod meeting;
mod outlet;
mod settings;
mod supervise;
mod verdict;

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use mixbench_crds::event::{Body, Position};
use mixbench_crds::exit::Exit;
use mixbench_crds::result::RunResult;
use signal_hook::consts::SIGCHLD;
use signal_hook::iterator::Signals;

pub use error::LaunchError;
pub use settings::{Asked, DEFAULT_PORT};

use crate::document;
use folder::Journal;
use gang::{Gang, Message};
use lock::Lock;
use log::Log;
use outlet::Outlet;
use settings::{Settings, settle};
use supervise::{Telling, failed, watch};

/// How long a slow reader of standard output may hold the end of this process.
const DRAIN: Duration = Duration::from_secs(5);

/// Launches a run and returns when all its workers of this machine have ended.
///
/// # Errors
/// [`LaunchError`] where not even the run is known; later failures are told as events and come back as an [`Exit`].
pub fn launch(asked: Asked) -> Result<Exit, LaunchError> {
    let (run, text) = document::read(&asked.run)?;
    let settings = settle(asked, run)?;

    let (stdout, stderr) = (Outlet::new(std::io::stdout()), Outlet::new(std::io::stderr()));
    let log = Arc::new(Log::new(stderr.sender(), settings.run.spec.world.size() > 1));
    let journal = Journal::new(settings.dir.clone());
    let mut telling = Telling { settings: &settings, text: &text, stdout, log, journal, begun: false, ours: false };

    // Held until the last word is written.
    let mut lock = None;
    let last =
        attempt(&settings, &mut telling, &mut lock).unwrap_or_else(|e| Some(failed(e.exit(), e.to_string(), None)));
    let exit = match &last {
        Some(Body::Failed { exit, message, .. }) => {
            telling.log.line(format!("mixbench-trainer: {message}"));
            *exit
        }
        Some(Body::Stopped { .. }) => Exit::Stopped,
        _ => Exit::Ok,
    };
    if let Some(body) = last {
        telling.conclude(body);
    }
    let Telling { stdout, log, .. } = telling;
    drop(log);
    stdout.close(DRAIN);
    stderr.close(DRAIN);
    Ok(exit)
}

/// One attempt; its last word.
fn attempt(
    settings: &Settings,
    telling: &mut Telling<'_>,
    lock: &mut Option<Lock>,
) -> Result<Option<Body>, LaunchError> {
    let dir = &settings.dir;
    folder::check_run(dir, &settings.run)?;
    if let Some(result) = earlier(settings)? {
        return Ok(Some(Body::Finished { result }));
    }
    std::fs::create_dir_all(dir.path()).map_err(|e| LaunchError::create(dir.path(), e))?;
    let path = match settings.node_rank {
        0 => dir.lock(),
        other => dir.lock().with_extension(other.to_string()), // machines may share the folder
    };
    *lock = Some(Lock::take(&path, settings.grace + DRAIN)?);
    // Who held the lock may have finished the run.
    if let Some(result) = earlier(settings)? {
        return Ok(Some(Body::Finished { result }));
    }
    telling.ours = true;

    let (sender, messages) = mpsc::channel();
    forward_signals(&sender).map_err(|source| LaunchError::Spawn { source })?;
    let mut early = Vec::new();
    let place = meeting::arrange(&settings.meeting, || stop_came(&messages, &mut early));
    if place.is_err() && early.iter().any(is_stop) {
        return Ok(Some(Body::Stopped { position: Position::default(), checkpoint: None }));
    }
    for message in early {
        let _ = sender.send(message);
    }
    let gang = Gang::start(settings, place?, &telling.log, &sender)?;
    Ok(watch(telling, gang, &messages))
}

/// The result of an earlier attempt, which machine 0 alone can know of.
fn earlier(settings: &Settings) -> Result<Option<RunResult>, LaunchError> {
    if settings.leads() { folder::finished(&settings.dir, &settings.run) } else { Ok(None) }
}

fn forward_signals(messages: &Sender<Message>) -> std::io::Result<()> {
    let mut signals = Signals::new(crate::stop::signals().chain([SIGCHLD]))?;
    let messages = messages.clone();
    std::thread::spawn(move || {
        for signal in &mut signals {
            if messages.send(Message::Signal(signal)).is_err() {
                return;
            }
        }
    });
    Ok(())
}

fn stop_came(messages: &Receiver<Message>, early: &mut Vec<Message>) -> bool {
    early.extend(messages.try_iter());
    early.iter().any(is_stop)
}

const fn is_stop(message: &Message) -> bool {
    matches!(message, Message::Signal(signal) if *signal != SIGCHLD)
}
