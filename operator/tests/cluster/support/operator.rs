//! The real program.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A running `mixbench operator`. Its log is shown when the test fails.
pub(crate) struct Operator {
    child: Child,
    log: PathBuf,
    /// Where it serves its metrics.
    listens: SocketAddr,
}

impl Operator {
    /// Starts it with further arguments; what it says is appended to the file `log`.
    pub(crate) fn start(kubeconfig: &Path, log: &Path, arguments: &[&str]) -> Self {
        let listens = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let said = File::options().create(true).append(true).open(log).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_mixbench"))
            .args(["operator", "--listen", &listens.to_string(), "--log-format", "text", "--trainer-image", IMAGE])
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .args(arguments)
            .env("RUST_LOG", "info,mixbench=debug")
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .spawn()
            .unwrap();
        Self { child, log: log.to_owned(), listens }
    }

    /// Whether it still runs.
    pub(crate) fn alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// SIGKILL, as a node that loses its power does it.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and how it ended; a test fails if that takes longer than 20 seconds.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        kill_process(Pid::from_raw(self.child.id().try_into().unwrap()).unwrap(), Signal::TERM).unwrap();
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// SIGSTOP or SIGCONT.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.child.id().try_into().unwrap()).unwrap(), signal).unwrap();
    }

    /// Its page at this path.
    pub(crate) fn page(&self, path: &str) -> String {
        let mut connection = TcpStream::connect(self.listens).unwrap();
        write!(connection, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
        let mut page = String::new();
        connection.read_to_string(&mut page).unwrap();
        page
    }

    /// Everything that it said so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            eprintln!("--- the operator said:\n{}---", self.log());
        }
    }
}

/// Image of every run that names none.
pub(crate) const IMAGE: &str = "localhost/mixbench-trainer:test";
