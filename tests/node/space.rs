//! A namespace of the node for one test.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mixbench_crds::layout::RunDir;
use mixbench_crds::result::RunResult;
pub(crate) use mixbench_tests::{epochs, events};
use rustix::process::{Pid, Signal, kill_process};

/// What `status.runs` says of one run. A field that is not there is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) state: String,
    pub(crate) attempt: String,
    pub(crate) top1: String,
    /// Each validation that the result rests on, EPOCH:CORRECT1/CORRECT5.
    pub(crate) scores: String,
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) uid: String,
}

/// A namespace in which Pod Security is `restricted`. It goes with the test, so that nothing of it trains on.
pub(crate) struct Space {
    name: String,
}

impl Space {
    pub(crate) fn new(name: &str) -> Self {
        let labels = "{pod-security.kubernetes.io/enforce: restricted}";
        let space = Self { name: name.to_owned() };
        space.apply(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {labels}}}\n"));
        space
    }

    /// A claim `runs` on a folder of this machine. Returns the folder.
    pub(crate) fn volume(&self) -> PathBuf {
        let cluster = std::env::var_os("MIXBENCH_CLUSTER_DIR").expect("tests/cluster/node-exec.sh sets it");
        let folder = Path::new(&cluster).join("volumes").join(&self.name);
        std::fs::create_dir_all(&folder).unwrap();
        let spec = "capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], storageClassName: \"\"";
        self.apply(&format!(
            "apiVersion: v1\nkind: PersistentVolume\nmetadata: {{name: {name}}}\nspec: {{{spec}, local: {{path: {path}}}, nodeAffinity: \
             {{required: {{nodeSelectorTerms: [{{matchExpressions: [{{key: kubernetes.io/hostname, operator: Exists}}]}}]}}}}}}\n---\n\
             apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: runs, namespace: {name}}}\nspec: {{resources: {{requests: \
             {{storage: 1Gi}}}}, accessModes: [ReadWriteOnce], storageClassName: \"\", volumeName: {name}}}\n",
            name = self.name,
            path = folder.display(),
        ));
        folder
    }

    /// `kubectl` in this namespace, which must succeed. Returns its output.
    pub(crate) fn kubectl(&self, args: &[&str]) -> String {
        kubectl(&[&["--namespace", &self.name], args].concat(), "")
    }

    pub(crate) fn apply(&self, manifest: &str) {
        kubectl(&["--namespace", &self.name, "apply", "-f", "-"], manifest);
    }

    /// Waits for a condition of a benchmark. Returns false when the time is over.
    pub(crate) fn has(&self, benchmark: &str, condition: &str, seconds: u32) -> bool {
        let (condition, timeout) = (format!("--for=condition={condition}"), format!("--timeout={seconds}s"));
        let args = ["--namespace", &self.name, "wait", &condition, &timeout, "mixupbenchmark", benchmark];
        Command::new("kubectl").args(args).output().unwrap().status.success()
    }

    /// Waits until a benchmark is over, and says what it was when it is not to be.
    pub(crate) fn finished(&self, benchmark: &str) -> Vec<Row> {
        let finished = self.has(benchmark, "Finished", 600);
        let complete = finished && self.has(benchmark, "Complete", 0);
        assert!(complete, "{}", self.kubectl(&["get", "mixb,jobs,pods,events", "-o", "yaml"]));
        self.rows(benchmark)
    }

    pub(crate) fn rows(&self, benchmark: &str) -> Vec<Row> {
        let fields = ["id", "state", "attempt", "top1", "result.scores"].map(|field| format!("{{.{field}}}|")).concat();
        let path = format!("jsonpath={{range .status.runs[*]}}{fields}{{\"\\n\"}}{{end}}");
        let text = self.kubectl(&["get", "mixupbenchmark", benchmark, "-o", &path]);
        text.lines()
            .map(|line| {
                let mut fields = line.split('|').map(str::to_owned);
                let mut next = || fields.next().unwrap();
                Row { id: next(), state: next(), attempt: next(), top1: next(), scores: next() }
            })
            .collect()
    }

    /// The pods of a benchmark that have not been removed, those that ended too.
    pub(crate) fn pods(&self, benchmark: &str) -> Vec<Pod> {
        pods(&self.name, &format!("mixbench.dev/benchmark={benchmark}"))
    }

    /// Names of the Jobs of a benchmark.
    pub(crate) fn jobs(&self, benchmark: &str) -> Vec<String> {
        let label = format!("mixbench.dev/benchmark={benchmark}");
        self.kubectl(&["get", "jobs", "-l", &label, "-o", "name"]).lines().map(str::to_owned).collect()
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let args = ["delete", "namespace", &self.name, "--wait=false"];
        Command::new("kubectl").args(args).stdout(Stdio::null()).status().unwrap();
    }
}

pub(crate) fn pods(namespace: &str, label: &str) -> Vec<Pod> {
    let path = "jsonpath={range .items[*]}{.metadata.name} {.metadata.uid}{\"\\n\"}{end}";
    let text = kubectl(&["--namespace", namespace, "get", "pods", "-l", label, "-o", path], "");
    let pair = |line: &str| line.split_once(' ').map(|(name, uid)| Pod { name: name.to_owned(), uid: uid.to_owned() });
    text.lines().filter_map(pair).collect()
}

pub(crate) fn kubectl(args: &[&str], stdin: &str) -> String {
    let mut child = Command::new("kubectl")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "kubectl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The machine's numbers of a pod's processes whose command line holds a word.
pub(crate) fn processes(pod: &Pod, word: &str) -> Vec<u32> {
    let pids =
        std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let holds = |pid: u32, file: &str, word: &str| {
        std::fs::read(format!("/proc/{pid}/{file}")).is_ok_and(|text| String::from_utf8_lossy(&text).contains(word))
    };
    pids.filter(|pid: &u32| holds(*pid, "cgroup", &pod.uid) && holds(*pid, "cmdline", word)).collect()
}

pub(crate) fn kill(pid: u32) {
    kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), Signal::KILL).unwrap();
}

/// Waits until it holds. Returns how long that took.
pub(crate) fn until(what: &str, holds: impl Fn() -> bool) -> Duration {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_mins(5), "it never came to that: {what}");
        std::thread::sleep(Duration::from_millis(200));
    }
    begun.elapsed()
}

/// One of this folder's manifests, or of `crds/benchmarks`.
pub(crate) fn manifest(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let own = root.join("node").join(name);
    let path = if own.exists() { own } else { root.join("../crds/benchmarks").join(name) };
    std::fs::read_to_string(path).unwrap()
}

/// The folders of the runs that an output folder or a benchmark's folder on a volume holds, by id.
pub(crate) fn runs(folder: &Path) -> BTreeMap<String, RunDir> {
    let Ok(found) = std::fs::read_dir(folder.join("runs")) else { return BTreeMap::new() };
    found
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), RunDir::at(entry.path()))
        })
        .collect()
}

/// What `mixbench run` of the manifest came to on this machine, undisturbed.
pub(crate) fn calm(name: &str) -> BTreeMap<String, RunDir> {
    let folder = std::env::var_os("MIXBENCH_E2E_CALM").expect("tests/node/e2e.sh sets it");
    let found = runs(&Path::new(&folder).join(name));
    assert!(!found.is_empty(), "mixbench run of {name} left nothing");
    found
}

/// A result as a row of the status has it.
pub(crate) fn row(id: &str, run: &RunDir) -> Row {
    let result = RunResult::parse(&std::fs::read_to_string(run.result()).unwrap(), id).unwrap();
    let scores: Vec<String> =
        result.window.iter().map(|score| format!("{}:{}/{}", score.epoch, score.correct1, score.correct5)).collect();
    Row {
        id: id.to_owned(),
        state: "Succeeded".into(),
        attempt: result.attempt.to_string(),
        top1: format!("{:.2}", result.top1()),
        scores: scores.join(" "),
    }
}

/// A line for the end of `make e2e` and for docs/performance.md.
pub(crate) fn figure(text: &str) {
    let path = std::env::var_os("MIXBENCH_E2E_FIGURES").expect("tests/node/e2e.sh sets it");
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    writeln!(file, "{text}").unwrap();
}
