//! A benchmark in a folder of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A manifest, an output folder, and what the trainer does.
pub(crate) struct Bench {
    dir: tempfile::TempDir,
    /// JSON for the trainer; see `trainer.py`.
    pub(crate) script: String,
    /// Further environment.
    pub(crate) env: Vec<(&'static str, String)>,
}

/// What a command came to.
pub(crate) struct Came {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Bench {
    /// Two methods, `trials` trials, `epochs` epochs.
    pub(crate) fn new(trials: u32, epochs: u32) -> Self {
        let bench = Self { dir: tempfile::tempdir().unwrap(), script: "{}".into(), env: Vec::new() };
        bench.write("test", trials, epochs);
        bench
    }

    pub(crate) fn script(mut self, script: &str) -> Self {
        script.clone_into(&mut self.script);
        self
    }

    /// Writes the manifest anew.
    pub(crate) fn write(&self, name: &str, trials: u32, epochs: u32) {
        let text = format!(
            "apiVersion: mixbench.dev/v1alpha1\nkind: MixupBenchmark\nmetadata: {{name: {name}}}\nspec:\n  \
             recipe: {{name: quickstart, overrides: {{epochs: {epochs}}}}}\n  data: {{uri: \"builtin:fashion-mnist-2k\"}}\n  \
             matrix:\n    backbones:\n    - name: resnet20\n    methods:\n    - name: vanilla\n    - name: mixup\n    \
             trials: {trials}\n  parallelism: 2\n  trainer: {{gpusPerNode: 0, processesPerNode: 1}}\n"
        );
        std::fs::write(self.manifest(), text).unwrap();
    }

    pub(crate) fn manifest(&self) -> PathBuf {
        self.dir.path().join("test.yaml")
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    /// `mixbench run` with further arguments.
    pub(crate) fn run(&self, more: &[&str]) -> Came {
        came(self.command(more).output().unwrap())
    }

    /// `mixbench run`, going on by itself.
    pub(crate) fn start(&self, more: &[&str]) -> Child {
        self.command(more).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mixbench"));
        command.arg("run").arg(self.manifest()).arg("--out").arg(self.out()).args(more);
        command.env("MIXBENCH_TRAINER", Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/run/trainer.py"));
        command.env("FAKE_TRAINER", &self.script);
        for (name, value) in &self.env {
            command.env(name, value);
        }
        command
    }

    /// `mixbench report` with further arguments.
    pub(crate) fn report(&self, more: &[&str]) -> Came {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mixbench"));
        came(command.arg("report").arg(self.out()).args(more).output().unwrap())
    }

    /// The folder of the run of this method and trial.
    pub(crate) fn folder(&self, method: &str, trial: u32) -> PathBuf {
        let start = format!("resnet20-{method}-{trial}-");
        let mut runs = std::fs::read_dir(self.out().join("runs")).unwrap().map(|e| e.unwrap().path());
        runs.find(|p| p.file_name().unwrap().to_str().unwrap().starts_with(&start)).unwrap()
    }

    /// A file of such a folder, empty where there is none.
    pub(crate) fn text(&self, method: &str, trial: u32, file: &str) -> String {
        std::fs::read_to_string(self.folder(method, trial).join(file)).unwrap_or_default()
    }

    /// How often an epoch of the run was trained, and in how many attempts.
    pub(crate) fn trained(&self, method: &str, trial: u32) -> (usize, usize) {
        let log = self.text(method, trial, "log.txt");
        (log.matches("trained epoch").count(), log.matches("attempt ").count())
    }

    /// Waits until the run has trained so many epochs.
    pub(crate) fn wait_for(&self, method: &str, epochs: usize) {
        let begun = || {
            let runs = std::fs::read_dir(self.out().join("runs")).ok()?;
            runs.flatten().find(|e| e.file_name().to_string_lossy().contains(&format!("-{method}-0-")))
        };
        until(|| begun().is_some_and(|_| self.trained(method, 0).0 >= epochs));
    }
}

pub(crate) fn came(output: Output) -> Came {
    Came {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Waits until it holds.
pub(crate) fn until(holds: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < end, "it never came to that");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), signal).unwrap();
}
