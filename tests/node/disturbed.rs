//! What is disturbed and ends as if it had not been. Storage is a `local` volume, which the test reads too.

use std::path::{Path, PathBuf};
use std::time::Duration;

use mixbench_crds::event::Body;
use mixbench_crds::layout::RunDir;

use crate::space::{Pod, Row, Space, calm, epochs, events, figure, kill, manifest, pods, processes, row, runs, until};

/// `one.yaml` in a namespace of its own, once its second epoch is trained and saved.
struct Disturbed {
    space: Space,
    volume: PathBuf,
}

impl Disturbed {
    fn new(name: &str) -> Self {
        let space = Space::new(name);
        let volume = space.volume();
        space.apply(&manifest("one.yaml"));
        let disturbed = Self { space, volume };
        until("two epochs are saved", || disturbed.saved() >= 2);
        disturbed
    }

    /// The run's folder; there is one, since one benchmark with one run uses the volume.
    fn run(&self) -> Option<RunDir> {
        let benchmark = std::fs::read_dir(&self.volume).unwrap().next()?.unwrap().path();
        runs(Path::new(&benchmark)).into_values().next()
    }

    /// Epochs that the last checkpoint holds.
    fn saved(&self) -> u32 {
        let saved = |body| if let Body::Checkpoint { position, .. } = body { Some(position.epoch) } else { None };
        let Some(run) = self.run() else { return 0 };
        events(&run).into_iter().filter_map(|event| saved(event.body)).max().unwrap_or(0)
    }

    /// The only pod that is left or runs.
    fn pod(&self) -> Pod {
        let pods = self.space.pods("one");
        assert_eq!(pods.len(), 1, "{pods:?}");
        pods[0].clone()
    }

    /// The run ends in this attempt with what an undisturbed one came to, and this attempt has trained no epoch again that was saved.
    fn ends_as_undisturbed(&self, attempt: u32) {
        let rows = self.space.finished("one");
        let (id, calm) = calm("one").pop_first().unwrap();
        assert_eq!(rows, [Row { attempt: attempt.to_string(), ..row(&id, &calm) }]);
        let run = self.run().unwrap();
        assert_eq!(epochs(&run), epochs(&calm), "losses agree to the bit");
        for event in events(&run) {
            if let Body::Started(started) = event.body {
                let resumed = started.resumed.map_or(0, |position| position.epoch);
                assert!(
                    if event.attempt == 1 { resumed == 0 } else { resumed >= 2 },
                    "attempt {}: {resumed}",
                    event.attempt
                );
            }
        }
    }

    fn is_not_run_again(&self) {
        let before = self.space.rows("one");
        std::thread::sleep(Duration::from_secs(8));
        assert_eq!(self.space.rows("one"), before);
        let live = |pod: &Pod| !processes(pod, "mixbench-trainer").is_empty();
        assert!(!self.space.pods("one").iter().any(live));
    }
}

#[test]
fn a_killed_rank_ends_its_gang_and_the_next_attempt_goes_on_from_the_checkpoint() {
    let run = Disturbed::new("killed-rank");
    let workers = processes(&run.pod(), "worker");
    assert_eq!(workers.len(), 2, "{workers:?}");
    kill(workers[1]);
    let gone = until("the other rank is gone", || !Path::new(&format!("/proc/{}", workers[0])).exists());
    run.ends_as_undisturbed(2);
    figure(&format!("SIGKILL of a rank: gang gone after {:.1} s", gone.as_secs_f64()));
}

#[test]
fn a_deleted_pod_is_followed_by_an_attempt_that_goes_on() {
    let run = Disturbed::new("deleted-pod");
    run.space.kubectl(&["delete", "pod", &run.pod().name, "--wait=false"]);
    run.ends_as_undisturbed(2);
}

#[test]
fn a_deleted_job_is_replaced_while_it_runs_and_not_missed_afterwards() {
    let run = Disturbed::new("deleted-job");
    run.space.kubectl(&["delete", &run.space.jobs("one")[0], "--wait=false"]);
    run.ends_as_undisturbed(2);
    for job in run.space.jobs("one") {
        run.space.kubectl(&["delete", &job]);
    }
    run.is_not_run_again();
    run.ends_as_undisturbed(2);
}

#[test]
fn an_operator_killed_mid_run_finds_the_run_and_does_not_start_another() {
    let run = Disturbed::new("killed-operator");
    let operator = || pods("mixbench-system", "app.kubernetes.io/name=mixbench");
    kill(processes(&operator()[0], "operator")[0]);
    until("its container is started again", || operator().iter().any(|pod| !processes(pod, "operator").is_empty()));
    let before = operator();
    crate::space::kubectl(
        &["--namespace", "mixbench-system", "delete", "pod", &before[0].name, "--now", "--wait=false"],
        "",
    );
    run.ends_as_undisturbed(1);
    assert_ne!(operator(), before);
}

#[test]
fn a_suspended_benchmark_leaves_the_node_and_goes_on_from_its_checkpoint() {
    let run = Disturbed::new("suspended");
    let suspend = |yes| {
        run.space.kubectl(&[
            "patch",
            "mixb",
            "one",
            "--type=merge",
            "-p",
            &format!("{{\"spec\":{{\"suspend\":{yes}}}}}"),
        ])
    };
    suspend(true);
    let gone = until("its pods are gone", || run.space.pods("one").is_empty());
    assert!(run.space.has("one", "Suspended", 30));
    assert!(!run.space.has("one", "Finished", 0));
    suspend(false);
    run.ends_as_undisturbed(2);
    figure(&format!("suspend: pods gone after {:.1} s", gone.as_secs_f64()));
}

#[test]
fn a_deleted_benchmark_takes_its_pods_with_it() {
    let run = Disturbed::new("deleted");
    let pod = run.pod();
    run.space.kubectl(&["delete", "mixb", "one", "--wait=false"]);
    let gone = until("its pods are gone", || run.space.pods("one").is_empty() && processes(&pod, "").is_empty());
    let grace = 30; // seconds beyond what the pods were given, which ends when they do
    assert!(gone < Duration::from_secs(120 + grace), "{gone:?}");
    assert_eq!(run.space.kubectl(&["get", "jobs", "-o", "name"]), "");
    figure(&format!("delete of a benchmark: pods gone after {:.1} s", gone.as_secs_f64()));
}
