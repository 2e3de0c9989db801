//! Row 38 of the failure list: whatever stands in a termination message, only this attempt's own word is believed.

use mixbench_crds::exit::Exit;
use mixbench_crds::metric::Metric;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::backend::{fake, fixture};

const OWNER: &str = "uid-1";

fn run() -> Run {
    fixture::plan(1, 1).runs[0].run.clone()
}

fn expected(run: &Run) -> Expected<'_> {
    Expected { owner: OWNER, run: &run.id, attempt: 2, planned: Some(run) }
}

/// The run as this attempt gets it.
fn attempt(run: &Run, number: u32) -> Run {
    Run { attempt: number, nonce: Run::nonce_of(OWNER, &run.id, number), ..run.clone() }
}

/// What attempt 2 says when attempt `by` has finished the run.
fn finished(run: &Run, by: u32) -> Event {
    let checkpoint = Some("checkpoints/epoch-0006-step-000000.safetensors".into());
    said(run, Body::Finished { result: RunResult { checkpoint, ..fake::trained(&attempt(run, by), 80.0) } })
}

fn said(run: &Run, body: Body) -> Event {
    fake::said(&attempt(run, 2), body)
}

#[test]
fn a_result_is_believed_from_this_attempt_and_from_an_earlier_one_that_is_told_again() {
    let run = run();
    for by in [1, 2] {
        let event = finished(&run, by);
        assert_eq!(last_word(&(event.to_termination() + "\n"), expected(&run)), Ok(Some(event.body)));
    }
    let failed = said(&run, Body::Failed { exit: Exit::Diverged, message: "no".into(), rank: None });
    assert_eq!(last_word(&failed.to_termination(), expected(&run)), Ok(Some(failed.body)));
    assert_eq!(last_word(" \n", expected(&run)), Ok(None));
}

/// The message of a good result with one field changed.
fn with(run: &Run, pointer: &str, value: Value) -> String {
    let mut event = serde_json::to_value(finished(run, 2)).expect("JSON");
    *event.pointer_mut(pointer).expect("a field") = value;
    event.to_string()
}

#[test]
fn a_result_that_this_run_cannot_have_is_not_believed() {
    let run = run();
    let cases = [
        ("/run", json!("resnet20-mixup-0-0000000000"), "its run is"),
        ("/attempt", json!(1), "its attempt is"),
        ("/nonce", json!("0123456789abcdef"), "its nonce is"),
        ("/version", json!(2), "version 2"),
        ("/type", json!("warning"), "missing field"),
        ("/result/run", json!("other"), "its result.run is"),
        ("/result/nonce", json!(""), "its result.nonce is"),
        ("/result/attempt", json!(3), "this is attempt 2"),
        ("/result/attempt", json!(0), "this is attempt 2"),
        ("/result/n", json!(0), "no validation image"),
        ("/result/n", json!(1_u64 << 60), "can be kept exactly"),
        ("/result/window/0/correct1", json!(10_000), "10000 and 9999 right"),
        ("/result/window/0/correct1", json!(-1), "-1"),
        ("/result/window/0/correct5", json!(10_001), "10001 right of 10000"),
        ("/result/window", json!([]), "no validation"),
        ("/result/trainSeconds", json!(1e308), "trainSeconds is 1e308"),
        ("/result/trainSeconds", json!(-1.0), "trainSeconds -1"),
        ("/result/epochs", json!(9999), "epochs is 9999"),
        ("/result/metric", json!({"rule": "best"}), "metric is best"),
        ("/result/images", json!(u64::MAX), "images is"),
        ("/result/device", json!("x\u{1b}[2J"), "device is \"x\\u{1b}[2J\""),
        ("/result/device", json!("x".repeat(129)), "at most 128"),
        ("/result/dataFingerprint", json!("0".repeat(65)), "at most 64"),
        ("/result/checkpoint", json!("../\n"), "checkpoint is"),
    ];
    for (pointer, value, why) in cases {
        let message = with(&run, pointer, value);
        let error = last_word(&message, expected(&run)).expect_err(pointer).to_string();
        assert!(error.contains(why), "{pointer}: {error}");
    }
}

#[test]
fn more_scores_than_the_rule_looks_at_are_not_believed() {
    let mut run = run();
    run.spec.training.metric = Metric::MedianLast { epochs: 2 };
    let score = |epoch| json!({"epoch": epoch, "correct1": 1, "correct5": 2});
    let window = |n: u32| with(&run, "/result/window", (1..=n).map(score).collect());
    assert!(last_word(&window(2), expected(&run)).is_ok());
    assert!(last_word(&window(3), expected(&run)).expect_err("three").to_string().contains("window"));
    let unplanned = Expected { planned: None, ..expected(&run) };
    assert!(last_word(&window(3), unplanned).is_ok());
}

#[test]
fn garbage_is_quoted_in_a_way_that_harms_nobody() {
    let run = run();
    let whole = finished(&run, 2).to_termination();
    let cases = [
        "not json".to_owned(),
        whole[..whole.len() / 2].to_owned(),
        whole.replace("12.3456789", "NaN"),
        "\u{1b}]0;owned\u{7}\u{202e}\0{{.Values}} $(rm -rf)".to_owned(),
        "x".repeat(4096),
        format!("{whole}\n{whole}"),
        whole.replace("\"run\"", "\"run\":\"x\",\"run\""),
    ];
    for message in cases {
        let shown = last_word(&message, expected(&run)).expect_err("garbage").to_string();
        assert!(shown.chars().all(|c| c == '…' || (' '..='~').contains(&c)), "{shown}");
        assert!(shown.len() < 400, "{shown}");
    }
}

#[test]
fn what_is_not_a_last_word_is_none() {
    let run = run();
    let warning = said(&run, Body::Warning { message: "m".into() });
    let error = last_word(&warning.to_line(), expected(&run)).expect_err("no last word");
    assert!(matches!(error, WordError::NotLast(_)), "{error}");
    assert!(matches!(last_word(&"x".repeat(2049), expected(&run)), Err(WordError::TooLong(2049, _))));
}

proptest! {
    #[test]
    fn no_text_makes_it_stumble(text in any::<String>()) {
        let run = run();
        prop_assert!(!matches!(last_word(&text, expected(&run)), Ok(Some(_))));
    }

    #[test]
    fn no_change_of_a_byte_makes_another_result(at in any::<usize>(), byte in any::<u8>()) {
        let run = run();
        let good = finished(&run, 2);
        let mut bytes = good.to_termination().into_bytes();
        let at = at % bytes.len();
        bytes[at] = byte;
        let text = String::from_utf8_lossy(&bytes);
        if let Ok(Some(Body::Finished { result })) = last_word(&text, expected(&run)) {
            let top1 = result.top1();
            prop_assert!((0.0..=100.0).contains(&top1), "{top1}");
            prop_assert_eq!(result.run, run.id);
        }
    }
}
