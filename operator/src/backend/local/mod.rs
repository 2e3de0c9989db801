//! Runs as processes of this machine, in one output folder. Whoever opens the folder again goes on where it was left: what is finished stays
//! finished, and a trainer that outlived its `mixbench run` is adopted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use jiff::Timestamp;
use mixbench_crds::exit::Exit;
use mixbench_crds::layout::{LOCK, PLAN};
use mixbench_crds::result::RunResult;
use mixbench_crds::run::Run;

use super::{Backend, BackendError};
use crate::decide::{Action, AttemptState, Observed};
use crate::history::{HistoryError, Ledger, Lock, Locked, RunFolder, read_plan};
use crate::plan::Plan;

mod child;
pub mod files;
pub mod gpus;
mod seat;
pub mod trainer;

use child::{Child, Heard, Message};
use gpus::Pool;
use seat::{Live, Process, Seat};

/// Processes in an output folder.
#[derive(Debug)]
pub struct Local {
    out: PathBuf,
    trainer: PathBuf,
    runs: BTreeMap<String, Run>,
    seats: BTreeMap<String, Seat>,
    pool: Pool,
    owner: String,
    sender: Sender<Message>,
    heard: Receiver<Message>,
    notes: Vec<String>,
    _lock: Lock,
}

impl Local {
    /// Opens an output folder for a plan, making it where it does not exist. `devices` are the GPUs of this machine.
    ///
    /// # Errors
    /// [`BackendError`]; nothing was changed then that an earlier plan needs.
    pub fn open(
        plan: &Plan,
        out: &Path,
        trainer: PathBuf,
        devices: Vec<String>,
        now: Timestamp,
    ) -> Result<Self, BackendError> {
        let wanted = plan.runs.iter().map(|r| r.run.spec.world.gpus_per_node).max().unwrap_or(0);
        if wanted as usize > devices.len() {
            return Err(BackendError::TooFewGpus { wanted, found: devices.len() });
        }
        if let Some(nodes) = plan.runs.iter().map(|r| r.run.spec.world.nodes).find(|n| *n > 1) {
            return Err(BackendError::ManyNodes(nodes));
        }
        std::fs::create_dir_all(out).map_err(|source| BackendError::Write { path: out.to_owned(), source })?;
        let lock = match Lock::take(&out.join(LOCK))? {
            Locked::Ours(lock) => lock,
            Locked::Theirs { pid } => return Err(BackendError::Busy { out: out.to_owned(), pid }),
        };
        settle(plan, out)?;
        let (sender, heard) = mpsc::channel();
        let mut local = Self {
            out: out.to_owned(),
            trainer,
            runs: plan.runs.iter().map(|r| (r.run.id.clone(), r.run.clone())).collect(),
            seats: BTreeMap::new(),
            pool: Pool::new(devices),
            owner: plan.name.clone(),
            sender,
            heard,
            notes: Vec::new(),
            _lock: lock,
        };
        for run in &plan.runs {
            local.seat(&run.run.id, now)?;
        }
        Ok(local)
    }

    fn seat(&mut self, id: &str, now: Timestamp) -> Result<(), BackendError> {
        let (mut seat, doubt) = Seat::open(&self.out, id, now)?;
        if let Some(why) = doubt {
            let aside = files::move_aside(&seat.dir.result(), "corrupt")?;
            self.notes.push(format!(
                "the result of {id} is not believed ({why}); it lies in {} now, and the run is repeated",
                aside.display()
            ));
        }
        if let Some(live) = &mut seat.live {
            let pid = live.process.pid().map_or(String::new(), |pid| format!(" (process {pid})"));
            self.notes.push(format!("{id} still runs from before{pid}: going on with it"));
            live.gpus = self.pool.reserve(&live.gpus);
        }
        self.seats.insert(id.to_owned(), seat);
        Ok(())
    }

    /// Waits until a process says something, at most so long.
    pub fn wait(&mut self, most: Duration) {
        match self.heard.recv_timeout(most) {
            Ok(message) => self.take(message),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
    }

    /// What a person should know and that was not told yet.
    pub fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// What a run has said so far.
    pub fn ledger(&self, id: &str) -> Option<&Ledger> {
        self.seats.get(id).map(|s| &s.ledger)
    }

    /// All runs as their folders would be read.
    pub fn folders(&self) -> BTreeMap<String, RunFolder> {
        let folder = |seat: &Seat| RunFolder {
            ledger: seat.ledger.clone(),
            result: seat.result.clone().map(Ok),
            attempt: seat.attempts.iter().map(|a| a.number).max().unwrap_or(0),
            live: seat.live.is_some(),
            tail: None,
        };
        self.seats.iter().map(|(id, seat)| (id.clone(), folder(seat))).collect()
    }

    /// Ids of the runs that a process works on.
    pub fn live(&self) -> impl Iterator<Item = (&str, u32)> {
        self.seats.iter().filter_map(|(id, seat)| Some((id.as_str(), seat.live.as_ref()?.attempt)))
    }

    /// Tells every live run to stop, without waiting for it.
    pub fn stop_all(&self) {
        self.seats.values().filter_map(|s| s.live.as_ref()?.process.pid()).for_each(child::stop);
    }

    fn take(&mut self, Message { run, attempt, heard }: Message) {
        let Some(seat) = self.seats.get_mut(&run) else { return };
        match heard {
            Heard::Event(event) if event.run == run && event.attempt == attempt => seat.hear(&event),
            // Told again by an attempt that found the run finished.
            Heard::Event(event) if event.run == run => seat.ledger.push(&event),
            Heard::Event(_) | Heard::Noise => seat.ledger.unreadable += 1,
            Heard::Closed => {
                if let Some(Live { attempt: live, process: Process::Child(child), .. }) = &mut seat.live
                    && *live == attempt
                {
                    child.close();
                }
            }
        }
    }

    fn start(&mut self, id: &str, attempt: u32, now: Timestamp) {
        let Some(planned) = self.runs.get(id) else { return };
        let Some(seat) = self.seats.get_mut(id).filter(|s| s.live.is_none() && s.result.is_none()) else { return };
        let wanted = planned.spec.world.gpus_per_node as usize;
        let Some(gpus) = self.pool.take(wanted) else { return };
        let mut run = planned.clone();
        run.attempt = attempt;
        run.nonce = Run::nonce_of(&self.owner, id, attempt);
        let visible = (wanted > 0).then_some(gpus.as_slice());
        let started = prepare(seat, &run).and_then(|document| {
            Child::spawn(&self.trainer, &document, visible, (id, attempt), &self.sender)
                .map_err(|e| (None, format!("cannot start {}: {e}", self.trainer.display())))
        });
        match started {
            Ok(child) => {
                seat.live = Some(Live { attempt, process: Process::Child(child), gpus });
                seat.set(attempt, AttemptState::Running { since: now });
            }
            Err((exit, message)) => {
                self.pool.give_back(gpus);
                seat.set(attempt, AttemptState::Ended { reason: exit.into(), at: now, result: None, message });
            }
        }
    }

    fn record(&mut self, id: &str, result: &RunResult) -> Result<(), BackendError> {
        let Some(seat) = self.seats.get_mut(id).filter(|s| s.result.is_none()) else { return Ok(()) };
        let mut text = serde_json::to_string_pretty(result).expect("a result has string keys");
        text.push('\n');
        files::replace(&seat.dir.result(), &text)?;
        seat.result = Some(result.clone());
        Ok(())
    }

    /// The process of a live attempt.
    fn pid(&self, id: &str, attempt: u32) -> Option<u32> {
        self.seats.get(id)?.live.as_ref().filter(|l| l.attempt == attempt)?.process.pid()
    }
}

impl Backend for Local {
    fn observe(&mut self, now: Timestamp) -> Result<Observed, BackendError> {
        while let Ok(message) = self.heard.try_recv() {
            self.take(message);
        }
        for (id, seat) in &mut self.seats {
            if let Some((ended, gpus)) = seat.look(now)? {
                self.pool.give_back(gpus);
                let line = serde_json::to_string(&ended).expect("it has string keys");
                if let Err(e) = files::append(&seat.dir.attempts(), &line) {
                    self.notes.push(format!("{id}: {e}"));
                }
            }
        }
        let runs = self.seats.iter().map(|(id, seat)| (id.clone(), seat.observed())).collect();
        Ok(Observed { suspended: false, parallelism: None, runs })
    }

    fn act(&mut self, action: &Action, now: Timestamp) -> Result<(), BackendError> {
        match action {
            Action::Record { run, result, .. } => self.record(run, result)?,
            Action::Start { run, attempt } => self.start(run, *attempt, now),
            Action::Stop { run, attempt, .. } => {
                if let Some(pid) = self.pid(run, *attempt) {
                    child::stop(pid);
                }
                if let Some(seat) = self.seats.get_mut(run) {
                    seat.mark_stopping(now);
                }
            }
            Action::Kill { run, attempt } => {
                if let Some(pid) = self.pid(run, *attempt) {
                    child::kill(pid);
                }
            }
        }
        Ok(())
    }
}

/// Writes the document of an attempt and returns its path.
fn prepare(seat: &Seat, run: &Run) -> Result<PathBuf, (Option<Exit>, String)> {
    let folder = seat.dir.path();
    std::fs::create_dir_all(folder)
        .map_err(|e| (Some(Exit::CannotCreate), format!("cannot make {}: {e}", folder.display())))?;
    let mut text = serde_json::to_string_pretty(run).expect("a run has string keys and finite numbers");
    text.push('\n');
    files::replace(&seat.dir.run(), &text).map_err(|e| (Some(Exit::Io), e.to_string()))?;
    Ok(seat.dir.run())
}

/// Makes the folder this plan's. Runs may be added to the plan that it holds; a finished run is never dropped.
fn settle(plan: &Plan, out: &Path) -> Result<(), BackendError> {
    match read_plan(out) {
        Ok(before) if before.name != plan.name => {
            return Err(BackendError::OtherPlan { out: out.to_owned(), found: before.name, wanted: plan.name.clone() });
        }
        Ok(before) => {
            let gone: Vec<String> =
                before.runs.iter().map(|r| &r.run.id).filter(|id| plan.run(id).is_none()).cloned().collect();
            if !gone.is_empty() {
                return Err(BackendError::Replanned {
                    out: out.to_owned(),
                    name: plan.name.clone(),
                    gone,
                    total: before.runs.len(),
                });
            }
        }
        Err(HistoryError::NoPlan(_)) => {}
        Err(e) => return Err(e.into()),
    }
    let mut text = serde_json::to_string_pretty(plan).expect("a plan has string keys and finite numbers");
    text.push('\n');
    files::replace(&out.join(PLAN), &text)
}
