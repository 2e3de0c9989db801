//! A `mixbench-trainer launch` that this process has started.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mixbench_crds::event::Event;
use mixbench_crds::exit::Exit;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::gpus::VISIBLE;

/// Settings of a gang of machines and of a pod, which a caller's environment may hold for something else: a run on one machine has none.
const FOREIGN: [&str; 8] = [
    "NPROC_PER_NODE",
    "NNODES",
    "NODE_RANK",
    "MASTER_ADDR",
    "MASTER_PORT",
    "JOB_COMPLETION_INDEX",
    "MIXBENCH_TERMINATION_LOG",
    "MIXBENCH_METRICS_PORT",
];
/// Lines of standard error that are kept: they tell what happened before there was a log.
const KEPT: usize = 12;
/// How long a pipe may stay open after the process has ended, since a grandchild may hold it.
const DRAIN: Duration = Duration::from_secs(2);

/// What a process says.
#[derive(Debug)]
pub(super) enum Heard {
    /// An event.
    Event(Box<Event>),
    /// A line of standard output that is no event.
    Noise,
    /// Standard output is closed.
    Closed,
}

/// What a process says, and which.
#[derive(Debug)]
pub(super) struct Message {
    /// Id of the run.
    pub(super) run: String,
    /// The attempt.
    pub(super) attempt: u32,
    /// What.
    pub(super) heard: Heard,
}

/// The process. It leads a process group of its own, so that a terminal's Ctrl-C reaches it through us alone.
#[derive(Debug)]
pub(super) struct Child {
    process: std::process::Child,
    tail: Arc<Mutex<Tail>>,
    closed: bool,
    exited: Option<(ExitStatus, Instant)>,
}

/// The end of standard error.
#[derive(Debug, Default)]
struct Tail {
    lines: VecDeque<String>,
    closed: bool,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Status {
    /// Its exit; none where it was killed or the code is not ours.
    pub(super) exit: Option<Exit>,
    /// The same for a person, with its last lines of standard error where it has any.
    pub(super) message: String,
}

impl Child {
    /// Starts the trainer on a run's document. `gpus`, where given, is all that it may see.
    ///
    /// # Errors
    /// The program cannot be started.
    pub(super) fn spawn(
        trainer: &Path,
        document: &Path,
        gpus: Option<&[String]>,
        (run, attempt): (&str, u32),
        heard: &Sender<Message>,
    ) -> std::io::Result<Self> {
        let mut command = Command::new(trainer);
        command.arg("launch").arg("--run").arg(document);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        for name in FOREIGN {
            command.env_remove(name);
        }
        if let Some(gpus) = gpus {
            command.env(VISIBLE, gpus.join(","));
        }
        let mut process = command.spawn()?;
        let stdout = process.stdout.take().expect("it is piped");
        let stderr = process.stderr.take().expect("it is piped");
        let (run, heard) = (run.to_owned(), heard.clone());
        std::thread::spawn(move || listen(stdout, &run, attempt, &heard));
        let tail = Arc::new(Mutex::new(Tail::default()));
        let kept = Arc::clone(&tail);
        std::thread::spawn(move || keep(stderr, &kept));
        Ok(Self { process, tail, closed: false, exited: None })
    }

    /// Its process id, which names its group as well.
    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Its standard output is closed.
    pub(super) const fn close(&mut self) {
        self.closed = true;
    }

    /// How it ended, once it has and everything that it said was heard.
    pub(super) fn ended(&mut self) -> Option<Status> {
        if self.exited.is_none() {
            let status = self.process.try_wait().ok()??;
            self.exited = Some((status, Instant::now()));
        }
        let (status, since) = self.exited?;
        let heard = self.closed && self.tail.lock().unwrap_or_else(PoisonError::into_inner).closed;
        (heard || since.elapsed() > DRAIN).then(|| self.status(status))
    }

    fn status(&self, status: ExitStatus) -> Status {
        let how = match (status.code(), status.signal()) {
            (Some(code), _) => format!("mixbench-trainer ended with exit code {code}"),
            (None, Some(signal)) => format!("mixbench-trainer was killed by signal {signal}"),
            (None, None) => "mixbench-trainer ended".to_owned(),
        };
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = tail.lines.iter().map(|l| format!("\n  {l}"));
        let message = std::iter::once(how).chain(lines).collect();
        Status { exit: status.code().and_then(Exit::from_code), message }
    }
}

/// Asks a trainer to stop: `launch` passes the signal on and waits for the checkpoint. Where it is dead, what is left of its group is asked.
pub(super) fn stop(pid: u32) {
    if let Some(pid) = raw(pid)
        && kill_process(pid, Signal::TERM).is_err()
    {
        // Gone already is as good.
        let _ = kill_process_group(pid, Signal::TERM);
    }
}

/// Ends a trainer and its workers. One that was started by hand leads no group.
pub(super) fn kill(pid: u32) {
    if let Some(pid) = raw(pid)
        && kill_process_group(pid, Signal::KILL).is_err()
    {
        let _ = kill_process(pid, Signal::KILL);
    }
}

fn raw(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

fn listen(stdout: impl Read, run: &str, attempt: u32, heard: &Sender<Message>) {
    let say = |what| heard.send(Message { run: run.to_owned(), attempt, heard: what }).is_ok();
    let mut reader = BufReader::new(stdout);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        match reader.read_until(b'\n', &mut bytes) {
            Ok(0) | Err(_) => break,
            Ok(_) => {
                let event = Event::parse(&String::from_utf8_lossy(&bytes));
                if !say(event.map_or(Heard::Noise, |event| Heard::Event(Box::new(event)))) {
                    return;
                }
            }
        }
    }
    say(Heard::Closed);
}

fn keep(stderr: impl Read, kept: &Mutex<Tail>) {
    let mut reader = BufReader::new(stderr);
    let mut bytes = Vec::new();
    while reader.read_until(b'\n', &mut bytes).is_ok_and(|n| n > 0) {
        let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
        bytes.clear();
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if !line.is_empty() {
            kept.lines.push_back(line);
        }
        if kept.lines.len() > KEPT {
            kept.lines.pop_front();
        }
    }
    kept.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::mpsc;

    /// Runs a shell script as the trainer until it has ended.
    fn run(script: &str) -> (Status, Vec<Message>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trainer");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let (sender, receiver) = mpsc::channel();
        let mut child = loop {
            match Child::spawn(&path, Path::new("run.json"), None, ("r", 1), &sender) {
                // Another test has forked while the script was open for writing.
                Err(e) if e.kind() == std::io::ErrorKind::ExecutableFileBusy => {}
                started => break started.unwrap(),
            }
        };
        let mut heard = Vec::new();
        loop {
            let message = receiver.recv_timeout(Duration::from_secs(10)).unwrap();
            if matches!(message.heard, Heard::Closed) {
                child.close();
                break;
            }
            heard.push(message);
        }
        loop {
            if let Some(status) = child.ended() {
                return (status, heard);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn events_are_heard_and_noise_is_not_taken_for_one() {
        let event = r#"{"version":1,"run":"r","attempt":1,"time":1,"type":"warning","message":"m"}"#;
        let (status, heard) = run(&format!("echo hello; echo '{event}'; test $1 = launch"));
        assert_eq!(status.exit, Some(Exit::Ok));
        assert!(matches!(heard[0].heard, Heard::Noise) && matches!(heard[1].heard, Heard::Event(_)));
    }

    #[test]
    fn an_end_is_told_with_the_last_lines_of_standard_error() {
        let (status, _) = run("echo 'mixbench-trainer: no such data' >&2; exit 65");
        assert_eq!(status.exit, Some(Exit::Data));
        assert!(status.message.contains("65") && status.message.contains("no such data"), "{}", status.message);
        assert_eq!(run("exit 3").0.exit, None);
        let (killed, _) = run("kill -9 $$");
        assert_eq!(killed.exit, None);
        assert!(killed.message.contains("signal 9"));
    }
}
