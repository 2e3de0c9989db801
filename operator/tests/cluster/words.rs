//! Last words that cannot be believed, or none.

use k8s_openapi::api::core::v1::Pod;
use mixbench_crds::benchmark::{EndReason, RunPhase};
use mixbench_crds::run::Run;
use serde_json::{Value, json};

use crate::support::bench::{finished, run_of, spec, with};
use crate::support::kubelet::End;
use crate::support::stage::{Stage, is};

/// A believable result with one thing changed.
fn twisted(run: &Run, twist: impl Fn(&mut Value)) -> String {
    let mut words: Value = serde_json::from_str(&finished(run, 70.0)).unwrap();
    twist(&mut words);
    words.to_string()
}

/// Sixteen ways to lie.
fn lie(run: &Run) -> String {
    let set = |path: &str, value: Value| {
        twisted(run, |words| *words.pointer_mut(path).unwrap_or_else(|| panic!("{path}")) = value.clone())
    };
    match run.trial {
        0 => finished(run, 70.0)[..120].to_owned(),
        1 => twisted(run, |words| {
            words["run"] = json!("another-run");
            words["result"]["run"] = json!("another-run");
        }),
        2 => twisted(run, |words| {
            words["nonce"] = json!("0123456789abcdef");
            words["result"]["nonce"] = json!("0123456789abcdef");
        }),
        3 => set("/result/window/0/correct1", json!(10_001)),
        4 => set("/result/window/0/correct1", json!(-1)),
        5 => finished(run, 70.0).replace("12.3456789", "1e999"),
        6 => set("/result/n", json!(0)),
        7 => set("/result/window", json!([])),
        8 => set("/result/version", json!(99)),
        9 => set("/version", json!(99)),
        10 => "{".repeat(4096),
        11 => format!("\u{1b}[31m\u{202e}{{{{.}}}} $(reboot) `id`\u{0}\r\n<script>{}", "😀".repeat(300)),
        12 => set("/attempt", json!(77)),
        13 => set("/result/window/0/epoch", json!(1000)),
        14 => set("/result/window/0/correct5", json!(u64::MAX)),
        _ => "null".into(),
    }
}

#[tokio::test]
async fn row_38_hostile_last_words() {
    let stage = Stage::new().await;
    let _playing = stage.kubelet.play(|pod| Some(End::new(0, lie(&run_of(pod)))));
    stage.create("smoke", with(spec(&["vanilla"]), json!({"matrix": {"trials": 16}, "parallelism": 16}))).await;
    let status = stage.finished("smoke").await;
    for row in &status.runs {
        assert_eq!((row.state, &row.top1, row.attempt), (RunPhase::Failed, &None, 1), "{row:?}");
        assert_eq!(row.ends[0].reason, EndReason::ResultInvalid, "{row:?}");
        let message = row.message.as_deref().unwrap();
        let harmless = |c: char| !c.is_control() && !('\u{202a}'..='\u{202e}').contains(&c);
        assert!(!message.is_empty() && message.chars().all(harmless), "{row:?}");
    }
    assert_eq!((status.succeeded, status.failed), (0, 16));
    assert!(is(&status, "Failed", "True") && !is(&status, "GatePassed", "True"));
}

#[tokio::test]
async fn row_39_success_without_a_result() {
    let stage = Stage::new().await;
    let _playing = stage.kubelet.play(|_: &Pod| Some(End::new(0, "")));
    stage.create("smoke", spec(&["vanilla"])).await;
    let status = stage.finished("smoke").await;
    assert!(is(&status, "Failed", "True") && is(&status, "Complete", "False"));
    let row = &status.runs[0];
    assert_eq!((row.state, &row.top1, row.attempt), (RunPhase::Failed, &None, 1), "the same would happen again");
    assert_eq!(row.ends[0].reason, EndReason::ResultMissing);
    let message = row.message.as_deref().unwrap();
    assert!(message.contains("result"), "{message}");
}
