//! The API server answers badly, or not at all.

use std::time::{Duration, Instant};

use kube::api::{Patch, PatchParams};
use mixbench_crds::benchmark::MixupBenchmark;
use serde_json::json;

use crate::support::bench::{spec, with};
use crate::support::proxy::Fault;
use crate::support::stage::Stage;
use crate::support::trained::{Trained, assert_right, finished};

#[tokio::test]
async fn row_03_a_storm_of_conflicts() {
    let stage = Stage::new().await;
    let trained = Trained::default();
    let _playing = stage.kubelet.play(trained.finishing());
    // Conflicts for which nothing has changed, so that no watch says anything either…
    let begun = Instant::now();
    let mut struck = stage.proxy.fail(6, Fault::Answer(409), |call| call.is("update", "mixupbenchmarks/status"));
    stage.create("smoke", with(spec(&["vanilla", "cutmix"]), json!({"parallelism": 1}))).await;
    struck.reach(6).await;
    let calls = stage.proxy.count(|call| call.verb != "watch");
    assert!(begun.elapsed() > Duration::from_millis(500), "6 conflicts in {:?}: no backoff", begun.elapsed());
    assert!(calls < 60, "{calls} calls for 6 conflicts");
    // …and real ones: someone writes the benchmark several times a second, yet not faster than a request takes on a busy machine.
    let (api, patches) = (stage.api::<MixupBenchmark>(), PatchParams::default());
    let storm = async {
        for number in 0.. {
            let note = Patch::Merge(json!({"metadata": {"annotations": {"note": number.to_string()}}}));
            api.patch("smoke", &patches, &note).await.unwrap();
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
    };
    tokio::select! {
        status = stage.finished("smoke") => assert_right(&status),
        () = storm => {}
    }
    trained.assert_once(2);
}

#[tokio::test]
async fn row_04_what_happened_and_was_answered_with_an_error() {
    let stage = Stage::new().await;
    let trained = Trained::default();
    let _playing = stage.kubelet.play(trained.finishing());
    for skip in 0..6 {
        stage.proxy.fail_after(skip, 1, Fault::AfterCommit(500), |call| call.is("update", "mixupbenchmarks/status"));
    }
    stage.proxy.fail(2, Fault::AfterCommit(500), |call| call.is("create", "jobs"));
    stage.proxy.fail(1, Fault::AfterCommit(500), |call| call.is("patch", "jobs"));
    stage.create("smoke", spec(&["vanilla", "cutmix"])).await;
    assert_right(&stage.finished("smoke").await);
    trained.assert_once(2);
}

#[tokio::test]
async fn row_06_an_api_server_that_refuses_for_a_minute() {
    let mut stage = Stage::new().await;
    let _playing = stage.kubelet.play(|_| None);
    stage.create("smoke", spec(&["vanilla"])).await;
    let pod = stage.pod().await;
    stage.status("smoke", "the run is seen to run", |status| status.running == 1).await;
    stage.proxy.down();
    stage.rest(5).await;
    stage.kubelet.end(&pod, finished(&pod)).await;
    stage.rest(55).await;
    assert!(stage.operator().alive());
    let mark = stage.proxy.calls().len();
    stage.proxy.up();
    let back = Instant::now();
    assert_right(&stage.finished("smoke").await);
    assert!(back.elapsed() < Duration::from_secs(5), "it took {:?} to go on", back.elapsed());
    let calls = stage.proxy.calls().len() - mark;
    assert!(calls < 30, "a stampede of {calls} calls");
}

#[tokio::test]
async fn row_06_an_api_server_that_takes_requests_and_never_answers() {
    let mut stage = Stage::new().await;
    let _playing = stage.kubelet.play(|_| None);
    stage.create("smoke", spec(&["vanilla"])).await;
    let pod = stage.pod().await;
    stage.status("smoke", "the run is seen to run", |status| status.running == 1).await;
    let mut struck = stage.proxy.fail(usize::MAX, Fault::Hang, |_| true);
    stage.kubelet.end(&pod, finished(&pod)).await;
    // It gives up a request that is not answered, and asks again.
    struck.reach(2).await;
    assert!(stage.operator().alive());
    stage.proxy.heal();
    assert_right(&stage.finished("smoke").await);
}

#[tokio::test]
async fn row_07_too_many_requests() {
    let mut stage = Stage::new().await;
    let _playing = stage.kubelet.play(|pod| Some(finished(pod)));
    let mut struck = stage.proxy.fail(2, Fault::Busy(3), |call| call.is("create", "jobs"));
    stage.create("smoke", spec(&["vanilla"])).await;
    struck.reach(2).await;
    assert_right(&stage.finished("smoke").await);
    let creates: Vec<_> = stage.proxy.calls().into_iter().filter(|call| call.is("create", "jobs")).collect();
    assert_eq!(creates.len(), 3, "{creates:?}");
    for pair in creates.windows(2) {
        let waited = pair[1].at - pair[0].at;
        assert!(waited >= Duration::from_millis(2900), "it was told to wait 3 s and waited {waited:?}");
    }
    let metrics = stage.operator().page("/metrics");
    let counted = |line: &&str| line.contains("code=\"429\"") && line.ends_with(" 2");
    assert!(metrics.lines().any(|line| counted(&line)), "{metrics}");
}
