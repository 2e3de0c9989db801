//! Watches end, say old things, or lag.

use k8s_openapi::api::batch::v1::Job;
use serde_json::json;

use crate::support::bench::{spec, with};
use crate::support::proxy::Order;
use crate::support::stage::Stage;
use crate::support::trained::{Trained, assert_right, finished};

#[tokio::test]
async fn row_08_watches_that_end_expire_or_repeat_themselves() {
    let stage = Stage::new().await;
    let trained = Trained::default();
    let _playing = stage.kubelet.play(|_| None);
    let four = json!({"matrix": {"trials": 2}, "parallelism": 1});
    stage.create("smoke", with(spec(&["vanilla", "cutmix"]), four)).await;
    for orders in [&[Order::Cut][..], &[Order::Expire], &[Order::Replay], &[Order::Replay, Order::Expire]] {
        let pod = stage.pod().await;
        stage.status("smoke", "the run is seen to run", |status| status.running == 1).await;
        for order in orders {
            stage.proxy.watches(*order);
        }
        trained.note(&pod);
        stage.kubelet.end(&pod, finished(&pod)).await;
    }
    assert_right(&stage.finished("smoke").await);
    trained.assert_once(4);
    assert_eq!(stage.proxy.count(|call| call.is("create", "jobs")), 4);
}

#[tokio::test]
async fn a_result_is_found_whose_pod_no_watch_has_shown() {
    let stage = Stage::new().await;
    let trained = Trained::default();
    let _playing = stage.kubelet.play(trained.finishing());
    stage.create("first", spec(&["mixup"])).await;
    assert_right(&stage.finished("first").await);
    stage.proxy.freeze("pods");
    stage.create("smoke", spec(&["vanilla", "cutmix"])).await;
    assert_right(&stage.finished("smoke").await);
    trained.assert_once(3);
}

#[tokio::test]
async fn row_09_a_cache_that_is_older_than_its_own_writes() {
    for late in [&["jobs"][..], &["pods"], &["mixupbenchmarks"], &["jobs", "pods"]] {
        let stage = Stage::new().await;
        let trained = Trained::default();
        let _playing = stage.kubelet.play(trained.finishing());
        let one_by_one = json!({"parallelism": 1});
        stage.create("first", with(spec(&["mixup"]), one_by_one.clone())).await;
        assert_right(&stage.finished("first").await);
        for resource in late {
            stage.proxy.freeze(resource);
        }
        stage.create("smoke", with(spec(&["vanilla", "cutmix"]), one_by_one)).await;
        // Turns come by the watches that do not lag.
        for parallelism in [2, 1, 2, 1] {
            stage.rest(1).await;
            stage.patch("smoke", json!({"parallelism": parallelism})).await.unwrap();
        }
        stage.proxy.heal();
        assert_right(&stage.finished("smoke").await);
        trained.assert_once(3);
        let jobs = stage.list::<Job>().await;
        assert_eq!(jobs.len(), 3, "with late watches of {late:?}");
    }
}
