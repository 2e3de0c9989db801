//! A benchmark in a folder of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use mixbench_crds::layout::RunDir;
use mixbench_crds::result::RunResult;
pub(crate) use mixbench_tests::{epochs, events};
use rustix::process::{Pid, Signal, kill_process};

/// One of our programs. `make build` puts both into `MIXBENCH_BIN_DIR`.
pub(crate) fn program(name: &str) -> PathBuf {
    let folder = std::env::var_os("MIXBENCH_BIN_DIR").expect("cargo sets MIXBENCH_BIN_DIR, by .cargo/config.toml");
    let program = Path::new(&folder).join(name);
    assert!(program.exists(), "{} is not there: run `make build`", program.display());
    program
}

/// A manifest and its output folder.
pub(crate) struct Bench {
    pub(crate) dir: tempfile::TempDir,
    manifest: PathBuf,
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Came {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Bench {
    /// One of `crds/benchmarks`.
    pub(crate) fn committed(name: &str) -> Self {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds/benchmarks").join(name);
        Self { dir: tempfile::tempdir().unwrap(), manifest }
    }

    /// CutMix alone, two epochs, two processes, on these data.
    pub(crate) fn one_run(data: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let manifest = dir.path().join("one.yaml");
        let text = format!(
            "apiVersion: mixbench.dev/v1alpha1\nkind: MixupBenchmark\nmetadata: {{name: one}}\nspec:\n  \
             recipe: {{name: quickstart, overrides: {{epochs: 2}}}}\n  data: {data}\n  matrix:\n    backbones:\n    - name: resnet20\n    \
             methods:\n    - name: cutmix\n    trials: 1\n  trainer: {{gpusPerNode: 0, processesPerNode: 2}}\n"
        );
        std::fs::write(&manifest, text).unwrap();
        Self { dir, manifest }
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    /// `mixbench run` with further arguments.
    pub(crate) fn run(&self, more: &[&str]) -> Came {
        came(&self.command(more).output().unwrap())
    }

    /// `mixbench run`, going on by itself.
    pub(crate) fn start(&self) -> Child {
        self.command(&[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(program("mixbench"));
        command.arg("run").arg(&self.manifest).arg("--out").arg(self.out()).args(more);
        command
    }

    /// `mixbench report` in a format.
    pub(crate) fn report(&self, format: &str) -> Came {
        let mut command = Command::new(program("mixbench"));
        came(&command.arg("report").arg(self.out()).args(["--format", format]).output().unwrap())
    }

    /// The folders of the runs in order of their ids.
    pub(crate) fn runs(&self) -> Vec<RunDir> {
        let Ok(found) = std::fs::read_dir(self.out().join("runs")) else { return Vec::new() };
        let mut paths: Vec<PathBuf> = found.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths.into_iter().map(RunDir::at).collect()
    }
}

/// The result that a run left.
pub(crate) fn result(run: &RunDir) -> RunResult {
    let id = run.path().file_name().unwrap().to_str().unwrap();
    RunResult::parse(&std::fs::read_to_string(run.result()).unwrap(), id).unwrap()
}

pub(crate) fn came(output: &Output) -> Came {
    Came {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Waits until it holds.
pub(crate) fn until(holds: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_mins(2);
    while !holds() {
        assert!(Instant::now() < end, "it never came to that");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Sends a signal to a process that may be gone.
pub(crate) fn signal(pid: u32, signal: Signal) {
    let _ = kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), signal);
}

/// Processes whose command line names this folder.
pub(crate) fn processes_in(folder: &Path) -> Vec<u32> {
    let folder = folder.to_str().unwrap();
    let pids =
        std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(folder))
    })
    .collect()
}
