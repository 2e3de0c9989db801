//! `mixbench submit`, `wait` and `report` before a real API server. But for one test no operator runs: the test writes the status that one would write.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use jiff::Timestamp;
use kube::api::{DeleteParams, PostParams};
use kube::config::Kubeconfig;
use mixbench::backend::fake;
use mixbench::decide::{Observed, ObservedRun};
use mixbench::plan::{Plan, plan};
use mixbench::status::{Context, Reason, refused, status};
use mixbench::validate::validate;
use mixbench_crds::benchmark::MixupBenchmark;
use mixbench_crds::exit::Exit;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::support::bench::{self, with};
use crate::support::control::Control;
use crate::support::kubelet::{End, try_for};
use crate::support::stage::Stage;

/// A namespace without an operator, and a folder to work in.
struct Desk {
    stage: Stage,
    dir: tempfile::TempDir,
}

/// A command and what it said.
struct Said {
    code: i32,
    stdout: String,
    stderr: String,
}

/// A command that runs.
struct Running {
    child: Child,
    stderr: PathBuf,
}

impl Desk {
    async fn new() -> Self {
        let desk = Self { stage: Stage::without_operator(&Control::shared()).await, dir: tempfile::tempdir().unwrap() };
        desk.write("one", &json!({"name": "one"}), &json!({}));
        desk
    }

    /// Writes NAME.yaml: two methods of two trials each, with these fields of the spec instead.
    fn write(&self, name: &str, metadata: &serde_json::Value, fields: &serde_json::Value) {
        let spec = with(bench::spec(&["vanilla", "mixup"]), with(json!({"matrix": {"trials": 2}}), fields.clone()));
        let manifest = json!({"apiVersion": "mixbench.dev/v1alpha1", "kind": "MixupBenchmark", "metadata": metadata, "spec": spec});
        std::fs::write(self.dir.path().join(format!("{name}.yaml")), manifest.to_string()).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mixbench"));
        command.current_dir(self.dir.path()).args(arguments).args(["-n", &self.stage.namespace]);
        command.env("KUBECONFIG", self.stage.kubeconfig()).stdin(Stdio::null());
        command
    }

    /// A command that ends by itself.
    fn say(&self, arguments: &[&str]) -> Said {
        Said::of(self.command(arguments).output().unwrap())
    }

    /// A command that goes on while the test does.
    fn start(&self, arguments: &[&str]) -> Running {
        let stderr = self.dir.path().join("stderr");
        let log = std::fs::File::create(&stderr).unwrap();
        let child = self.command(arguments).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        Running { child, stderr }
    }

    /// A kubeconfig of somebody who may do nothing.
    fn nobody(&self) -> String {
        let mut file = Kubeconfig::read_from(&Control::shared().kubeconfig).unwrap();
        for named in &mut file.auth_infos {
            named.auth_info.as_mut().unwrap().impersonate = Some("nobody".to_owned());
        }
        let path = self.dir.path().join("nobody");
        std::fs::write(&path, serde_json::to_string(&file).unwrap()).unwrap();
        path.to_str().unwrap().to_owned()
    }

    async fn get(&self, name: &str) -> Option<MixupBenchmark> {
        self.stage.api().get_opt(name).await.unwrap()
    }

    /// Waits until the benchmark is there.
    async fn created(&self, name: &str) -> MixupBenchmark {
        try_for(60, async || self.get(name).await).await.expect("it is created")
    }

    /// Writes the status as an operator does that has recorded these top-1 of the first runs of the plan.
    async fn recorded(&self, name: &str, top1: &[f64]) {
        let benchmark = self.get(name).await.unwrap();
        let plan = planned(&benchmark);
        let recorded = |(planned, top1): (&mixbench::plan::PlannedRun, &f64)| {
            let result = Some(fake::trained(&planned.run, *top1));
            (planned.run.id.clone(), ObservedRun { result, attempts: vec![] })
        };
        let runs = plan.runs.iter().zip(top1).map(recorded).collect();
        // Nothing starts, so that what is not recorded stays in the queue.
        let observed = Observed { suspended: top1.len() < plan.runs.len(), runs, ..Observed::default() };
        let progress = BTreeMap::new();
        let context = Context { benchmark: &benchmark, now: Timestamp::now(), troubles: &[], progress: &progress };
        let status = status(&plan, &observed, context);
        self.write_status(MixupBenchmark { status: Some(status), ..benchmark }).await;
    }

    async fn write_status(&self, benchmark: MixupBenchmark) {
        let name = benchmark.metadata.name.clone().unwrap();
        self.stage.api().replace_status(&name, &PostParams::default(), &benchmark).await.unwrap();
    }
}

impl Said {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Running {
    /// Waits until it has said this on standard error.
    async fn says(&self, words: &str) {
        let said = async || std::fs::read_to_string(&self.stderr).unwrap().contains(words).then_some(());
        let found = try_for(60, said).await;
        assert!(found.is_some(), "{words} is not in {}", std::fs::read_to_string(&self.stderr).unwrap());
    }

    /// Waits until it ends.
    async fn end(self) -> Said {
        let output = tokio::task::spawn_blocking(move || self.child.wait_with_output().unwrap());
        let output = tokio::time::timeout(Duration::from_mins(1), output).await.expect("it ends").unwrap();
        Said { stderr: std::fs::read_to_string(&self.stderr).unwrap(), ..Said::of(output) }
    }
}

fn planned(benchmark: &MixupBenchmark) -> Plan {
    plan(&validate(benchmark).unwrap())
}

#[tokio::test]
async fn what_is_submitted_is_waited_for_and_reported() {
    let desk = Desk::new().await;
    let running = desk.start(&["submit", "one.yaml", "--wait", "--junit", "junit.xml", "--markdown", "summary.md"]);
    desk.created("one").await;
    desk.recorded("one", &[50.0]).await;
    running.says("one: 1/4 done").await;
    desk.recorded("one", &[50.0, 60.0, 51.0, 61.5]).await;
    let said = running.end().await;
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stdout.starts_with("mixupbenchmark.mixbench.dev/one created\n"), "{}", said.stdout);
    assert!(
        said.stdout.contains("resnet20  vanilla  2/2    50.50") && said.stdout.contains("60.75"),
        "{}",
        said.stdout
    );
    let file = |name: &str| std::fs::read_to_string(desk.dir.path().join(name)).unwrap();
    assert!(
        file("junit.xml").contains("tests=\"2\"") && file("summary.md").contains("| resnet20 | mixup | 2/2 | 60.75 |")
    );

    let wait = desk.say(&["wait", "mixb/one"]);
    let table = said.stdout.split_once('\n').unwrap().1;
    assert_eq!((wait.code, wait.stdout.as_str()), (0, table), "what is over is not waited for");
    assert_eq!(format!("\n{}", desk.say(&["report", "one"]).stdout), table);
    let formats = [
        ("markdown", "| resnet20 | vanilla | 2/2 | 50.50 |"),
        ("csv", "resnet20,mixup,2,2,60.7500"),
        ("json", "\"outcome\": \"pass\""),
        ("junit", "<testsuites"),
        ("html", "mixbench report one -n test-"),
    ];
    for (format, holds) in formats {
        let said = desk.say(&["report", "one", "--format", format]);
        assert!(said.code == 0 && said.stdout.contains(holds), "{format}: {}{}", said.stdout, said.stderr);
    }
}

#[tokio::test]
async fn with_an_operator_submit_is_all_that_a_person_does() {
    let mut desk = Desk::new().await;
    desk.stage.start_operator(&[]);
    let playing = desk.stage.kubelet.all_finish(72.5);
    let said = desk.start(&["submit", "one.yaml", "--wait"]).end().await;
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stdout.contains("resnet20  vanilla  2/2    72.50  0.00"), "{}", said.stdout);
    assert!(said.stderr.contains("one: 0/4 done, 2 running, 2 queued"), "{}", said.stderr);
    drop(playing);

    desk.write("two", &json!({"name": "two"}), &json!({"matrix": {"trials": 1}}));
    let refuses = desk.stage.kubelet.play(|pod| {
        let run = bench::run_of(pod);
        Some(End::new(65, bench::failed(&run, Exit::Data, "no such folder: /data")))
    });
    let said = desk.start(&["submit", "two.yaml", "--wait"]).end().await;
    assert_eq!(said.code, 3, "{}", said.stderr);
    assert!(
        said.stdout.contains("trial 0 failed: no such folder: /data (data); log: kubectl logs -n test-"),
        "{}",
        said.stdout
    );
    drop(refuses);
}

#[tokio::test]
async fn the_verdict_is_the_exit_code() {
    let desk = Desk::new().await;
    let reference = |top1: &str| {
        json!({"reference": {"inline": [{"backbone": "resnet20", "method": "vanilla", "top1": top1, "source": "a test"}]},
            "gate": {"tolerance": "0.5"}})
    };
    for (name, top1, code) in [("passes", "30.0", 0), ("regresses", "70.0", 1), ("wavers", "50.5", 2)] {
        desk.write(name, &json!({"name": name}), &reference(top1));
        assert_eq!(desk.say(&["submit", &format!("{name}.yaml")]).code, 0);
        desk.recorded(name, &[50.0, 60.0, 51.0, 61.0]).await;
        let said = desk.say(&["wait", name, "--junit", "junit.xml"]);
        assert_eq!(said.code, code, "{}{}", said.stdout, said.stderr);
        assert!(desk.dir.path().join("junit.xml").exists());
        std::fs::remove_file(desk.dir.path().join("junit.xml")).unwrap();
    }
}

#[tokio::test]
async fn kubectl_waits_for_the_same_conditions() {
    let desk = Desk::new().await;
    let kubectl = |arguments: &[&str]| {
        let mut command = Command::new("kubectl");
        command.args(arguments).args(["-n", &desk.stage.namespace]).current_dir(desk.dir.path());
        command.env("KUBECONFIG", &Control::shared().kubeconfig).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let created = Said::of(kubectl(&["create", "-f", "one.yaml", "-o", "name"]).wait_with_output().unwrap());
    let name = created.stdout.trim_end();
    assert_eq!(name, "mixupbenchmark.mixbench.dev/one", "{}", created.stderr);
    let finished = kubectl(&["wait", "--for=condition=Finished", "--timeout=60s", name]);
    let ours = desk.start(&["wait", name]);
    desk.recorded("one", &[50.0]).await;
    ours.says("one: 1/4 done").await;
    let passed = || kubectl(&["wait", "--for=condition=GatePassed", "--timeout=0s", name]).wait_with_output().unwrap();
    assert_eq!(Said::of(passed()).code, 1, "nothing is judged yet");
    desk.recorded("one", &[50.0, 60.0, 51.0, 61.5]).await;
    let said = Said::of(finished.wait_with_output().unwrap());
    assert_eq!((said.code, ours.end().await.code), (0, 0), "{}{}", said.stdout, said.stderr);
    assert_eq!(Said::of(passed()).code, 0);
}

#[tokio::test]
async fn a_name_that_is_taken_is_told_with_the_way_out_and_a_generated_one_is_always_new() {
    let desk = Desk::new().await;
    assert_eq!(desk.say(&["submit", "one.yaml"]).code, 0);
    let again = desk.say(&["submit", "one.yaml"]);
    assert_eq!((again.code, again.stdout.as_str()), (4, ""));
    assert!(
        again.stderr.contains("has a benchmark `one` already") && again.stderr.contains("generateName: one-"),
        "{}",
        again.stderr
    );

    desk.write("many", &json!({"generateName": "many-"}), &json!({}));
    let names: Vec<String> = (0..2).map(|_| desk.say(&["submit", "many.yaml"]).stdout).collect();
    assert!(names[0].starts_with("mixupbenchmark.mixbench.dev/many-") && names[0] != names[1], "{names:?}");
}

#[tokio::test]
async fn what_the_api_server_refuses_is_told_in_its_words() {
    let desk = Desk::new().await;
    let quota = json!({"metadata": {"name": "none"}, "spec": {"hard": {"count/mixupbenchmarks.mixbench.dev": "0"}}});
    let quota: k8s_openapi::api::core::v1::ResourceQuota = serde_json::from_value(quota).unwrap();
    desk.stage.api().create(&PostParams::default(), &quota).await.unwrap();
    let said =
        try_for(60, async || Some(desk.say(&["submit", "one.yaml"])).filter(|said| said.code != 0)).await.unwrap();
    assert_eq!(said.code, 4);
    assert!(
        said.stderr.contains("one.yaml: the API server refuses") && said.stderr.contains("quota"),
        "{}",
        said.stderr
    );

    let nobody = desk.say(&["submit", "one.yaml", "--kubeconfig", &desk.nobody()]);
    assert_eq!(nobody.code, 4);
    assert!(nobody.stderr.contains("User \"nobody\" cannot create resource \"mixupbenchmarks\""), "{}", nobody.stderr);

    let wait = desk.say(&["wait", "two"]);
    assert_eq!(wait.code, 4);
    assert!(
        wait.stderr.contains("no benchmark `two` in the namespace") && wait.stderr.contains(&desk.stage.namespace),
        "{}",
        wait.stderr
    );
}

#[tokio::test]
async fn a_lost_connection_is_waited_out() {
    let mut desk = Desk::new().await;
    let running = desk.start(&["submit", "one.yaml", "--wait"]);
    desk.created("one").await;
    desk.recorded("one", &[50.0]).await;
    running.says("one: 1/4 done").await;
    desk.stage.proxy.down();
    running.says("one: the API server cannot be heard").await;
    desk.recorded("one", &[50.0, 60.0, 51.0, 61.0]).await;
    desk.stage.proxy.up();
    let said = running.end().await;
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stderr.contains("one: the API server answers again"), "{}", said.stderr);
}

#[tokio::test]
async fn ctrl_c_and_a_timeout_leave_the_benchmark_and_say_how_to_go_on() {
    let desk = Desk::new().await;
    let go_on = format!("`mixbench wait one -n {}`", desk.stage.namespace);
    let running = desk.start(&["submit", "one.yaml", "--wait", "--junit", "junit.xml"]);
    desk.created("one").await;
    desk.recorded("one", &[50.0]).await;
    running.says("one: 1/4 done").await;
    kill_process(Pid::from_raw(running.child.id().try_into().unwrap()).unwrap(), Signal::INT).unwrap();
    let said = running.end().await;
    assert_eq!(said.code, 3);
    assert!(said.stderr.contains("goes on") && said.stderr.contains(&go_on), "{}", said.stderr);
    assert!(std::fs::read_to_string(desk.dir.path().join("junit.xml")).unwrap().contains("1 of 2 trials are in"));

    let said = desk.say(&["wait", "one", "--timeout", "1s"]);
    assert_eq!(said.code, 3);
    assert!(said.stderr.contains("is not finished after 1s") && said.stderr.contains(&go_on), "{}", said.stderr);
    assert!(desk.get("one").await.is_some());
}

#[tokio::test]
async fn a_benchmark_that_is_deleted_or_refused_is_not_waited_for() {
    let desk = Desk::new().await;
    let running = desk.start(&["submit", "one.yaml", "--wait"]);
    desk.created("one").await;
    desk.recorded("one", &[50.0]).await;
    running.says("one: 1/4 done").await;
    desk.stage.api::<MixupBenchmark>().delete("one", &DeleteParams::background()).await.unwrap();
    let said = running.end().await;
    assert_eq!(said.code, 3);
    assert!(said.stderr.contains("one was deleted before it was finished"), "{}", said.stderr);

    desk.write("two", &json!({"name": "two"}), &json!({}));
    let running = desk.start(&["submit", "two.yaml", "--wait"]);
    let benchmark = desk.created("two").await;
    let progress = BTreeMap::new();
    let context = Context { benchmark: &benchmark, now: Timestamp::now(), troubles: &[], progress: &progress };
    let status = refused(Reason::Invalid, "spec.recipe.name: unknown recipe `x`", context);
    desk.write_status(MixupBenchmark { status: Some(status), ..benchmark.clone() }).await;
    let said = running.end().await;
    assert_eq!(said.code, 4);
    assert!(said.stderr.contains("the operator refuses two: spec.recipe.name: unknown recipe `x`"), "{}", said.stderr);
}
