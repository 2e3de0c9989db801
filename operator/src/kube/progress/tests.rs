//! Progress from a trainer, and from whoever else may answer.

#![allow(clippy::unwrap_used)]

use std::time::Instant;

use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;

const RUN: &str = "resnet18-mixup-s0-ab";

/// What a trainer serves in the middle of its fourth epoch.
fn served() -> Value {
    json!({
        "run": RUN,
        "started": {"worldSize": 2, "device": "cpu", "libtorch": "2.11.0", "dataFingerprint": "f", "classes": 10, "trainImages": 50_000,
            "valImages": 10_000, "parameters": 1, "steps": 391},
        "epoch": {"epoch": 3, "correct1": 8731, "correct5": 9900, "n": 10_000, "trainLoss": 0.4, "lr": 0.1, "images": 50_048,
            "trainSeconds": 40.0, "evalSeconds": 2.0},
        "progress": {"type": "progress", "epoch": 3, "step": 100, "steps": 400, "imagesPerSecond": 1250.0},
    })
}

fn read(value: &Value) -> Result<Progress, ProgressError> {
    parse(value.to_string().as_bytes(), RUN)
}

/// `served()` with the value at `pointer` replaced.
fn with(pointer: &str, value: Value) -> Value {
    let mut all = served();
    *all.pointer_mut(pointer).unwrap() = value;
    all
}

#[test]
fn progress_is_what_the_trainer_says() {
    let progress = read(&served()).unwrap();
    let expected = Progress {
        epoch: 3,
        part: 0.25,
        top1: Some(87.31),
        images_per_second: Some(1250.0),
        epoch_seconds: Some(42.0),
    };
    assert_eq!(progress, expected);
    assert_eq!(progress.eta(5).unwrap(), Duration::from_secs_f64(1.75 * 42.0));
    assert_eq!(progress.eta(2), Some(Duration::ZERO), "more than all is all");
    let row = progress.row(5);
    assert_eq!((row.epoch, row.top1.as_deref()), (3, Some("87.31")));
    assert_eq!((row.images_per_second, row.eta_seconds), (Some(1250), Some(73)));
}

#[test]
fn before_the_first_epoch_the_speed_says_how_long_one_takes() {
    let mut early = with("/progress/epoch", 0.into());
    early["epoch"] = Value::Null;
    let progress = read(&early).unwrap();
    assert_eq!((progress.epoch, progress.top1, progress.epoch_seconds), (0, None, Some(40.0)));
    let nothing = read(&json!({"run": RUN, "started": null, "epoch": null, "progress": null})).unwrap();
    assert_eq!((nothing, nothing.eta(90)), (Progress::default(), None));
}

#[test]
fn what_was_said_in_an_epoch_that_has_ended_is_old() {
    let progress = read(&with("/progress/epoch", 2.into())).unwrap();
    assert_eq!((progress.epoch, progress.part.to_bits()), (3, 0f64.to_bits()));
}

#[test]
fn numbers_out_of_range_are_refused() {
    for (pointer, value) in [
        ("/epoch/correct1", json!(10_001)),
        ("/epoch/n", json!(0)),
        ("/epoch/trainSeconds", json!(-1.0)),
        ("/epoch/evalSeconds", json!(1e300)),
        ("/progress/imagesPerSecond", json!(-3.5)),
        ("/epoch/epoch", json!(4_000_000_000_u32)),
        ("/epoch/epoch", json!(-1)),
        ("/epoch/n", json!("ten")),
        ("/epoch", json!([])),
    ] {
        let error = read(&with(pointer, value.clone())).unwrap_err();
        assert!(matches!(error, ProgressError::Malformed(_)), "{pointer} {value}: {error}");
    }
    let zero = read(&with("/progress/steps", json!(0))).unwrap();
    assert!(zero.part.abs() < f64::EPSILON);
}

#[test]
fn another_run_is_not_believed() {
    let error = read(&with("/run", "resnet18-mixup-s1-cd".into())).unwrap_err();
    assert!(matches!(error, ProgressError::WrongRun(_)), "{error}");
}

/// Pulls from a server that answers every connection with these bytes and then does nothing or closes.
async fn pull_from(answer: Vec<u8>, close: bool) -> Result<Progress, ProgressError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        let n = stream.read(&mut request).await.unwrap();
        assert!(request[..n].starts_with(b"GET /progress HTTP/1.1\r\n"));
        // The reader may hang up in the middle.
        let _ = stream.write_all(&answer).await;
        if !close {
            std::future::pending::<()>().await;
        }
    });
    let progress = pull(address, RUN).await;
    server.abort();
    progress
}

fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into()
}

#[tokio::test]
async fn a_trainer_is_understood_over_the_wire() {
    assert_eq!(pull_from(ok(&served().to_string()), true).await.unwrap().epoch, 3);
}

#[tokio::test]
async fn a_slow_answer_is_given_up_after_two_seconds() {
    let begun = Instant::now();
    let half = ok(&served().to_string())[..60].to_vec();
    assert!(matches!(pull_from(half, false).await, Err(ProgressError::TimedOut)));
    assert!(begun.elapsed() >= PATIENCE && begun.elapsed() < 5 * PATIENCE);
}

#[tokio::test]
async fn an_endless_answer_is_cut_at_64_kib() {
    let mut endless = ok("");
    endless.extend(std::iter::repeat_n(b' ', 10 << 20));
    assert!(matches!(pull_from(endless, true).await, Err(ProgressError::TooLong)));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let trap = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let elsewhere = trap.local_addr().unwrap();
    let answer = format!("HTTP/1.1 302 Found\r\nLocation: http://{elsewhere}/progress\r\nContent-Length: 0\r\n\r\n");
    assert!(matches!(pull_from(answer.into(), true).await, Err(ProgressError::Status(302))));
    let visit = tokio::time::timeout(Duration::from_millis(100), trap.accept()).await;
    assert!(visit.is_err(), "nobody came");
}

#[tokio::test]
async fn garbage_is_no_progress() {
    let text = served().to_string();
    for garbage in [
        b"".to_vec(),
        b"SSH-2.0-OpenSSH_9.9\r\n".to_vec(),
        b"\r\n\r\n".to_vec(),
        b"HTTP/1.1 \r\n\r\n{}".to_vec(),
        b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n{}".to_vec(),
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}".to_vec(),
        [b"HTTP/1.1 200 OK\r\nX: \xff\xfe\r\n\r\n".to_vec(), text.clone().into()].concat(),
        ok(&text[..text.len() / 2]),
        ok("[]"),
        ok(&"[".repeat(60_000)),
        ok(r#"{"run": 7}"#),
    ] {
        let shown = String::from_utf8_lossy(&garbage[..garbage.len().min(60)]).into_owned();
        let error = pull_from(garbage, true).await.unwrap_err();
        assert!(matches!(error, ProgressError::Malformed(_)), "{shown}: {error:?}");
    }
}

#[tokio::test]
async fn nobody_there_is_an_error() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert!(matches!(pull(address, RUN).await, Err(ProgressError::Connection(_))));
}
