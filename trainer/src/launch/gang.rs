//! The worker processes of one machine: how they are started, heard and ended.

use std::io::{self, BufRead as _, BufReader, PipeReader, Read};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};

use mixbench_crds::event::Body;
use mixbench_crds::exit::Exit;
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Pid, Signal, kill_process};

use super::error::LaunchError;
use super::log::Log;
use super::meeting::Place;
use super::settings::Settings;
use super::verdict::{Ended, Reason, Status};
use crate::report::REPORT_FD;
use crate::worker::env;

/// Lines of standard error that are remembered of each worker.
const TAIL: usize = 12;

/// What the gang's threads tell the supervisor.
#[derive(Debug)]
pub(super) enum Message {
    /// A worker reported.
    Body(u32, Box<Body>),
    /// A signal came.
    Signal(i32),
    /// One of a worker's two pipes is closed.
    Quiet,
}

/// One worker process.
#[derive(Debug)]
struct Worker {
    rank: u32,
    child: Child,
    ended: Option<Status>,
    told: Option<Reason>,
    said: Option<(Exit, String)>,
    tail: Arc<Mutex<Vec<String>>>,
}

/// All workers of this machine.
#[derive(Debug)]
pub(super) struct Gang {
    workers: Vec<Worker>,
    /// In the order in which they ended.
    order: Vec<usize>,
    /// Closed when this process ends, however it ends: each worker reads the other end.
    _lifeline: io::PipeWriter,
}

impl Gang {
    /// Starts one worker per local rank. Their reports come through `messages`, their standard error goes into `log`.
    ///
    /// # Errors
    /// [`LaunchError::Spawn`]; those already started end with their lifeline.
    pub(super) fn start(
        settings: &Settings,
        place: Place,
        log: &Arc<Log>,
        messages: &Sender<Message>,
    ) -> Result<Self, LaunchError> {
        let spawn = |source| LaunchError::Spawn { source };
        let program = std::env::current_exe().map_err(spawn)?;
        let (hold, lifeline) = io::pipe().map_err(spawn)?;
        inherit(&hold).map_err(spawn)?;
        let mut gang = Self { workers: Vec::new(), order: Vec::new(), _lifeline: lifeline };
        let mut listener = place.listener;
        for (local, rank) in settings.ranks().enumerate() {
            let (report, to_report) = io::pipe().map_err(spawn)?;
            inherit(&to_report).map_err(spawn)?;
            let mut command = Command::new(&program);
            command.arg("worker").arg("--run").arg(&settings.path).arg("--dir").arg(settings.dir.path());
            if let Some(path) = &settings.weights.resume_from {
                command.arg("--resume-from").arg(path);
            }
            if settings.weights.auto_resume {
                command.arg("--auto-resume");
            }
            if let Some(path) = &settings.weights.load_checkpoint {
                command.arg("--load-checkpoint").arg(path);
            }
            command.envs(environment(settings, rank, local, place.address));
            command.env(REPORT_FD, to_report.as_raw_fd().to_string());
            command.env(env::LIFELINE_FD, hold.as_raw_fd().to_string());
            // Rank 0 alone gets the socket, so that its death frees the port. It is its standard input, because any other descriptor
            // would reach it as a mere number.
            match listener.take() {
                Some(socket) => command.stdin(Stdio::from(OwnedFd::from(socket))).env(env::LISTEN, "stdin"),
                None => command.stdin(Stdio::null()).env_remove(env::LISTEN),
            };
            gang.add(rank, command, report, log, messages)?;
        }
        Ok(gang)
    }

    fn add(
        &mut self,
        rank: u32,
        mut command: Command,
        report: PipeReader,
        log: &Arc<Log>,
        messages: &Sender<Message>,
    ) -> Result<(), LaunchError> {
        let spawn = |source| LaunchError::Spawn { source };
        // What a library prints to standard output must not mix with the protocol.
        let (stderr, to_stderr) = io::pipe().map_err(spawn)?;
        command.stdout(Stdio::from(to_stderr.try_clone().map_err(spawn)?)).stderr(Stdio::from(to_stderr));
        let child = command.spawn().map_err(spawn)?;
        let tail = Arc::default();
        listen(rank, report, messages.clone());
        pass_on(stderr, log.clone(), rank, Arc::clone(&tail), messages.clone());
        self.workers.push(Worker { rank, child, ended: None, told: None, said: None, tail });
        Ok(())
    }

    /// Notes a failure that a worker reports.
    pub(super) fn heard_failure(&mut self, rank: u32, exit: Exit, message: String) {
        if let Some(worker) = self.workers.iter_mut().find(|w| w.rank == rank) {
            worker.said.get_or_insert((exit, message));
        }
    }

    /// Collects the workers that have ended. Says why the others must end too: one has failed, or has stopped because somebody asked it to.
    pub(super) fn reap(&mut self) -> Option<Reason> {
        let stopped = Status::Code(i32::from(Exit::Stopped.code()));
        let mut reason = None;
        for (i, worker) in self.workers.iter_mut().enumerate() {
            if worker.ended.is_none()
                && let Ok(Some(status)) = worker.child.try_wait()
            {
                let status = Status::from(status);
                worker.ended = Some(status);
                self.order.push(i);
                if status == stopped {
                    reason.get_or_insert(Reason::Requested);
                } else if status != Status::Code(0) {
                    reason = Some(Reason::Failure);
                }
            }
        }
        reason
    }

    /// Sends a signal to the workers that still run, and notes why.
    pub(super) fn tell(&mut self, signal: Signal, reason: Reason) {
        for worker in self.workers.iter_mut().filter(|w| w.ended.is_none()) {
            worker.told.get_or_insert(reason);
            // Not reaped yet, so the pid is still this worker's.
            if let Some(pid) = i32::try_from(worker.child.id()).ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, signal);
            }
        }
    }

    /// Pipes that all workers together hold open: the report and standard error of each.
    pub(super) const fn pipes(&self) -> usize {
        2 * self.workers.len()
    }

    /// Whether all have ended.
    pub(super) fn over(&self) -> bool {
        self.order.len() == self.workers.len()
    }

    /// How they ended, in order.
    pub(super) fn ended(&self) -> Vec<Ended> {
        let of = |w: &Worker| {
            Some(Ended {
                rank: w.rank,
                status: w.ended?,
                told: w.told,
                said: w.said.clone(),
                tail: w.tail.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            })
        };
        self.order.iter().filter_map(|i| of(&self.workers[*i])).collect()
    }
}

/// What a worker finds in its environment.
fn environment(
    settings: &Settings,
    rank: u32,
    local: usize,
    meet: std::net::SocketAddr,
) -> Vec<(&'static str, String)> {
    let world = &settings.run.spec.world;
    let threads = world.threads_per_process.to_string();
    let mut vars = vec![
        ("RANK", rank.to_string()),
        ("LOCAL_RANK", local.to_string()),
        ("WORLD_SIZE", world.size().to_string()),
        ("LOCAL_WORLD_SIZE", world.local_size().to_string()),
        ("MASTER_ADDR", meet.ip().to_string()),
        ("MASTER_PORT", meet.port().to_string()),
        (env::GRACE, settings.grace.as_secs().to_string()),
        ("OMP_NUM_THREADS", threads.clone()),
        ("OMP_DYNAMIC", "false".into()),
        ("MKL_NUM_THREADS", threads),
        ("MKL_DYNAMIC", "false".into()),
    ];
    if world.gpus_per_node == 0 {
        // Processes that share cores must not spin at each other's barriers.
        vars.push(("OMP_WAIT_POLICY", "passive".into()));
    } else {
        // Read when cuBLAS makes its handle: without it, products with several streams may differ from run to run.
        vars.push(("CUBLAS_WORKSPACE_CONFIG", ":4096:8".into()));
    }
    if let Some(port) = settings.metrics_port.filter(|_| rank == 0) {
        vars.push((env::METRICS_PORT, port.to_string()));
    }
    vars
}

fn inherit(fd: impl AsFd) -> io::Result<()> {
    Ok(fcntl_setfd(fd, FdFlags::empty())?)
}

fn listen(rank: u32, report: impl Read + Send + 'static, messages: Sender<Message>) {
    std::thread::spawn(move || {
        for line in BufReader::new(report).lines().map_while(Result::ok) {
            if let Ok(body) = serde_json::from_str(&line)
                && messages.send(Message::Body(rank, body)).is_err()
            {
                return;
            }
        }
        let _ = messages.send(Message::Quiet);
    });
}

fn pass_on(
    stderr: impl Read + Send + 'static,
    log: Arc<Log>,
    rank: u32,
    tail: Arc<Mutex<Vec<String>>>,
    messages: Sender<Message>,
) {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stderr);
        let mut bytes = Vec::new();
        // Libraries print what they like: lines need not be UTF-8.
        while reader.read_until(b'\n', &mut bytes).is_ok_and(|n| n > 0) {
            let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
            bytes.clear();
            let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
            if tail.len() == TAIL {
                tail.remove(0);
            }
            tail.push(line.clone());
            drop(tail);
            log.worker(rank, &line);
        }
        drop(log);
        let _ = messages.send(Message::Quiet);
    });
}
