//! `launch` as a process: what it refuses, what it leaves in the folder, and how it ends.
#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use mixbench_crds::event::{Body, Event, Position};
use mixbench_crds::exit::Exit;
use mixbench_crds::layout::RunDir;
use mixbench_crds::metric::{Metric, Score};
use mixbench_crds::result::RunResult;
use mixbench_crds::run::Run;
use tempfile::TempDir;

/// A run's folder.
struct Case {
    dir: TempDir,
    run: Run,
}

impl Case {
    /// The fixture's run, changed by `change`, with the id that its spec then has.
    fn new(change: impl FnOnce(&mut Run)) -> Self {
        let mut run: Run = serde_json::from_str(include_str!("fixtures/run.json")).unwrap();
        change(&mut run);
        run.id = run.spec.id(run.trial);
        let dir = tempfile::tempdir().unwrap();
        fs::write(RunDir::at(dir.path()).run(), serde_json::to_string(&run).unwrap()).unwrap();
        Self { dir, run }
    }

    fn folder(&self) -> RunDir {
        RunDir::at(self.dir.path())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mixbench-trainer"));
        for name in ["MASTER_ADDR", "MASTER_PORT", "NNODES", "NODE_RANK", "NPROC_PER_NODE", "JOB_COMPLETION_INDEX"] {
            command.env_remove(name);
        }
        command.arg("launch").arg("--run").arg(self.folder().run());
        command
    }

    fn launch(&self, args: &[&str]) -> Ended {
        Ended::of(self.command().args(args).output().unwrap())
    }

    /// Names of the files in the folder, sorted.
    fn files(&self) -> Vec<String> {
        let name = |e: std::io::Result<fs::DirEntry>| e.unwrap().file_name().into_string().unwrap();
        let mut names: Vec<_> = fs::read_dir(self.dir.path()).unwrap().map(name).collect();
        names.sort();
        names
    }

    fn result(&self) -> RunResult {
        RunResult {
            version: 1,
            run: self.run.id.clone(),
            nonce: "earlier".into(),
            attempt: 1,
            metric: Metric::Last,
            window: vec![Score { epoch: 2, correct1: 7, correct5: 9 }],
            epochs: 2,
            n: 10,
            images: 128,
            train_seconds: 1.5,
            data_fingerprint: "f".into(),
            parameters: 3,
            device: "a CPU".into(),
            libtorch: "2.11.0".into(),
            checkpoint: None,
        }
    }
}

/// How a launch ended.
struct Ended {
    code: i32,
    events: Vec<Event>,
    stderr: String,
}

impl Ended {
    fn of(output: Output) -> Self {
        let stdout = String::from_utf8(output.stdout).unwrap();
        Self {
            code: output.status.code().unwrap(),
            events: stdout.lines().map(|line| Event::parse(line).unwrap()).collect(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Checks exit code and message: standard error names each of `words`, and so does the last event where there is one.
    #[track_caller]
    fn expect(&self, exit: Exit, words: &[&str]) {
        assert_eq!(self.code, i32::from(exit.code()), "{}", self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "`{word}` is missing in:\n{}", self.stderr);
        }
        if let Some(last) = self.events.last() {
            let Body::Failed { exit: told, message, .. } = &last.body else { panic!("{last:?}") };
            assert_eq!(*told, exit);
            assert!(words.iter().all(|word| message.contains(word)), "{message}");
        }
    }
}

fn write(path: impl AsRef<Path>, text: &str) -> PathBuf {
    fs::write(&path, text).unwrap();
    path.as_ref().to_owned()
}

#[test]
fn an_unknown_version_is_refused_and_nothing_written() {
    let case = Case::new(|run| run.version = 2);
    case.launch(&[]).expect(Exit::Config, &["run.json", "run version 2 is not 1", "same release"]);
    assert_eq!(case.files(), ["run.json"]);
}

#[test]
fn an_edited_run_is_refused_and_nothing_written() {
    let case = Case::new(|_| {});
    let text = fs::read_to_string(case.folder().run()).unwrap();
    write(case.folder().run(), &text.replace("\"epochs\":2", "\"epochs\":3"));
    case.launch(&[]).expect(Exit::Config, &[&case.run.id, "mixbench plan"]);
    assert_eq!(case.files(), ["run.json"]);
}

#[test]
fn a_run_that_is_not_there_is_named() {
    let case = Case::new(|_| {});
    fs::remove_file(case.folder().run()).unwrap();
    case.launch(&[]).expect(Exit::Config, &["run.json", "No such file"]);
    assert!(case.files().is_empty());
}

#[test]
fn usage_errors_end_with_64_and_help_with_0() {
    let trainer = || Command::new(env!("CARGO_BIN_EXE_mixbench-trainer"));
    for args in [&["launch"][..], &["launch", "--run", "x", "--nproc", "two"], &["train"], &[]] {
        assert_eq!(trainer().args(args).output().unwrap().status.code(), Some(64), "{args:?}");
    }
    for args in [&["--help"][..], &["launch", "--help"], &["--version"]] {
        assert_eq!(trainer().args(args).output().unwrap().status.code(), Some(0), "{args:?}");
    }
}

#[test]
fn another_world_than_the_runs_is_refused_and_nothing_written() {
    let case = Case::new(|_| {});
    case.launch(&["--nproc", "3"]).expect(Exit::Config, &["--nproc", "is 3", "planned for 2"]);
    let from_environment = Ended::of(case.command().env("NNODES", "2").output().unwrap());
    from_environment.expect(Exit::Config, &["NNODES", "is 2", "planned for 1"]);
    assert_eq!(case.files(), ["run.json"]);
}

#[test]
fn an_indivisible_batch_is_refused_and_nothing_written() {
    let case = Case::new(|run| run.spec.training.global_batch = 63);
    case.launch(&[]).expect(Exit::Config, &["globalBatch 63", "microBatch 16"]);
    assert_eq!(case.files(), ["run.json"]);
}

#[test]
fn a_second_launch_in_a_folder_names_the_first() {
    let case = Case::new(|_| {});
    let mut lock = File::create(case.folder().lock()).unwrap();
    lock.try_lock().unwrap();
    write!(lock, "{}", std::process::id()).unwrap();
    let start = Instant::now();
    case.launch(&[]).expect(Exit::CannotCreate, &[&format!("in use by process {}", std::process::id())]);
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(case.files(), ["lock", "run.json"]);
}

#[test]
fn an_occupied_port_is_named_and_touches_nothing_earlier() {
    let case = Case::new(|_| {});
    fs::create_dir(case.folder().checkpoints()).unwrap();
    let checkpoint = write(case.folder().checkpoints().join("epoch-0001-step-000000.safetensors"), "precious");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    case.launch(&["--master-port", &port]).expect(Exit::Collective, &[&port, "--master-port"]);
    assert_eq!(fs::read_to_string(checkpoint).unwrap(), "precious");
}

#[test]
fn a_finished_run_is_told_again_at_once() {
    let case = Case::new(|run| {
        run.attempt = 4;
        run.nonce = "now".into();
    });
    let text = serde_json::to_string(&case.result()).unwrap();
    write(case.folder().result(), &text);
    let termination = case.dir.path().join("termination");
    let start = Instant::now();
    let ended = case.launch(&["--termination-log", termination.to_str().unwrap()]);
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!((ended.code, ended.events.len()), (0, 1));
    let event = &ended.events[0];
    assert_eq!((event.attempt, event.nonce.as_str()), (4, "now"));
    assert_eq!(event.body, Body::Finished { result: case.result() });
    assert_eq!(Event::parse(&fs::read_to_string(termination).unwrap()).unwrap().body, event.body);
    assert_eq!(fs::read_to_string(case.folder().result()).unwrap(), text);
    assert_eq!(case.files(), ["result.json", "run.json", "termination"]);
}

#[test]
fn a_result_that_cannot_be_is_never_written_over() {
    let case = Case::new(|_| {});
    for (text, word) in [("{\"version\":1,", "not a result"), ("{\"version\":9}", "result version 9")] {
        write(case.folder().result(), text);
        case.launch(&[]).expect(Exit::Data, &["result.json", word, "move the file away"]);
        assert_eq!(fs::read_to_string(case.folder().result()).unwrap(), text);
    }
}

#[test]
fn a_folder_of_another_run_is_refused() {
    let (case, other) = (Case::new(|_| {}), Case::new(|run| run.spec.seed = 99));
    let before = fs::read_to_string(other.folder().run()).unwrap();
    case.launch(&["--dir", other.dir.path().to_str().unwrap()])
        .expect(Exit::Config, &[&case.run.id, &other.run.id, "--dir"]);
    assert_eq!(fs::read_to_string(other.folder().run()).unwrap(), before);
    assert_eq!(other.files(), ["run.json"]);
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let case = Case::new(|_| {});
    let file = write(case.dir.path().join("file"), "");
    let below = file.join("runs");
    case.launch(&["--dir", below.to_str().unwrap()]).expect(Exit::CannotCreate, &[below.to_str().unwrap()]);
}

#[test]
fn a_machine_that_waits_for_machine_zero_can_be_stopped() {
    let case = Case::new(|run| run.spec.world.nodes = 2);
    let args = ["--node-rank", "1", "--master-addr", "no..such..host"];
    let child = case.command().args(args).stdout(std::process::Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(1));
    signal(child.id(), "TERM");
    let ended = Ended::of(child.wait_with_output().unwrap());
    assert_eq!(ended.code, i32::from(Exit::Stopped.code()));
    let body = &ended.events.last().unwrap().body;
    assert_eq!(*body, Body::Stopped { position: Position::default(), checkpoint: None });
}

#[test]
fn the_protocols_examples_and_tables_are_true() {
    let page = include_str!("../../docs/protocol.md");
    let blocks: Vec<&str> = page.split("```json\n").skip(1).map(|b| b.split("```").next().unwrap()).collect();
    let [run, events, result] = blocks[..] else { panic!("{} blocks", blocks.len()) };
    let run = Run::parse(run).unwrap();
    for line in events.lines() {
        let event = Event::parse(line).unwrap();
        assert_eq!((event.run, event.nonce), (run.id.clone(), run.nonce.clone()));
        assert_ne!(event.body, Body::Unknown);
    }
    assert_eq!(RunResult::parse(result, &run.id).unwrap().nonce, run.nonce);
    for exit in Exit::ALL {
        let name = serde_json::to_value(exit).unwrap();
        let row = format!("| {} | `{}` |", exit.code(), name.as_str().unwrap());
        let row = page.lines().find(|line| line.starts_with(&row)).unwrap_or_else(|| panic!("{row}"));
        assert_eq!(exit.retryable(), row.ends_with("| yes |"), "{row}");
    }
}

fn signal(pid: u32, name: &str) {
    assert!(Command::new("kill").args([format!("-{name}"), pid.to_string()]).status().unwrap().success());
}
