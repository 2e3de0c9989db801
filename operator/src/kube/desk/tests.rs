//! The desk before an API server that follows a script.
#![allow(clippy::unwrap_used)]

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::client::Body;
use mixbench_crds::benchmark::BenchmarkStatus;
use serde_json::json;
use tokio::task::JoinHandle;
use tower_test::mock;

use super::*;
use Answer::{Lost, Says};

/// What comes back.
enum Answer {
    /// A code and a body.
    Says(u16, String),
    /// Nothing: the connection is lost.
    Lost,
}

/// One request and its answer: words that its method and URI hold, and what comes back.
type Exchange = (&'static [&'static str], Answer);

/// A desk whose server expects exactly these requests. The task ends when all were made.
fn scripted(script: Vec<Exchange>) -> (Desk, JoinHandle<Vec<Vec<u8>>>) {
    let (service, mut handle) = mock::pair::<http::Request<Body>, http::Response<Body>>();
    let server = tokio::spawn(async move {
        let mut bodies = Vec::new();
        for (words, answer) in script {
            let (request, send) = handle.next_request().await.expect("another request");
            let line = format!("{} {}", request.method(), request.uri());
            assert!(words.iter().all(|w| line.contains(w)), "{line} has not all of {words:?}");
            bodies.push(request.into_body().collect_bytes().await.unwrap().to_vec());
            match answer {
                Says(code, text) => {
                    send.send_response(
                        http::Response::builder().status(code).body(Body::from(text.into_bytes())).unwrap(),
                    );
                }
                Lost => send.send_error("connection refused"),
            }
        }
        // Whoever still listens on a watch hears nothing more.
        tokio::spawn(async move { while handle.next_request().await.is_some() {} });
        bodies
    });
    (Desk::new(Client::new(service, "ml"), "ml".to_owned()), server)
}

fn benchmark(uid: &str, version: u32, conditions: &[(&str, &str, i64)]) -> MixupBenchmark {
    let text = include_str!("../../../../crds/benchmarks/quickstart.yaml");
    let (mut benchmark, _) = crate::validate::check(&crate::manifest::parse(text).unwrap()[0]).unwrap();
    benchmark.metadata.namespace = Some("ml".into());
    benchmark.metadata.uid = Some(uid.into());
    benchmark.metadata.generation = Some(2);
    benchmark.metadata.resource_version = Some(version.to_string());
    let conditions = conditions.iter().map(|(kind, status, generation)| Condition {
        type_: (*kind).into(),
        status: (*status).into(),
        reason: "AReason".into(),
        message: "in the operator's words".into(),
        observed_generation: Some(*generation),
        last_transition_time: Time(Timestamp::UNIX_EPOCH),
    });
    benchmark.status = Some(BenchmarkStatus { conditions: conditions.collect(), ..BenchmarkStatus::default() });
    benchmark
}

fn running(version: u32) -> MixupBenchmark {
    benchmark("u1", version, &[("Accepted", "True", 2), ("Finished", "False", 2)])
}

fn finished(version: u32) -> MixupBenchmark {
    benchmark("u1", version, &[("Accepted", "True", 2), ("Finished", "True", 2)])
}

fn list(items: &[MixupBenchmark]) -> Answer {
    let text = json!({"apiVersion": "mixbench.dev/v1alpha1", "kind": "MixupBenchmarkList", "metadata": {"resourceVersion": "9"}, "items": items});
    Says(200, text.to_string())
}

fn events(all: &[(&str, MixupBenchmark)]) -> Answer {
    let lines = all.iter().map(|(kind, object)| json!({"type": kind, "object": object}).to_string() + "\n");
    Says(200, lines.collect())
}

fn refusal(code: u16, reason: &str, message: &str, name: &str) -> Answer {
    let text = json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message, "details": {"name": name}});
    Says(code, text.to_string())
}

const LIST: &[&str] =
    &["GET", "/apis/mixbench.dev/v1alpha1/namespaces/ml/mixupbenchmarks?", "fieldSelector=metadata.name%3Dquickstart"];
const WATCH: &[&str] = &["GET", "watch=true", "fieldSelector=metadata.name%3Dquickstart"];

/// How a wait for `first` ends, and what was told of lost connections.
async fn waited(first: MixupBenchmark, script: Vec<Exchange>) -> (Result<End, DeskError>, Vec<String>) {
    let (desk, server) = scripted(script);
    let mut lost = Vec::new();
    let end = desk
        .follow(first, |news| {
            if let News::Lost(why) = news {
                lost.push(why.to_owned());
            }
        })
        .await;
    server.await.expect("every request of the script was made");
    (end, lost)
}

#[tokio::test]
async fn a_benchmark_is_created_as_it_is_written_and_no_field_is_dropped_in_silence() {
    let document = json!({"apiVersion": "mixbench.dev/v1alpha1", "kind": "MixupBenchmark", "metadata": {"generateName": "q-"}, "spec": {"a": 1}});
    let words: &[&str] =
        &["POST", "/namespaces/ml/mixupbenchmarks?", "fieldValidation=Strict", "fieldManager=mixbench"];
    let answer = serde_json::to_string(&running(1)).unwrap();
    let (desk, server) = scripted(vec![(words, Says(201, answer))]);
    let created = desk.create(&document).await.unwrap();
    assert_eq!(created.metadata.name.as_deref(), Some("quickstart"));
    let sent: Value = serde_json::from_slice(&server.await.unwrap()[0]).unwrap();
    assert_eq!(sent, document);
}

#[tokio::test]
async fn what_the_server_refuses_is_told_in_its_words_and_with_the_way_out() {
    let document = json!({"metadata": {"name": "quickstart"}});
    let cases = [
        (refusal(409, "AlreadyExists", "taken", "quickstart"), "generateName: quickstart-", Outcome::Invalid),
        (
            refusal(422, "Invalid", "spec: trials 9 is above 8", "quickstart"),
            "spec: trials 9 is above 8",
            Outcome::Invalid,
        ),
        (refusal(403, "Forbidden", "exceeded quota: count", "quickstart"), "exceeded quota: count", Outcome::Invalid),
        (
            refusal(404, "NotFound", "namespaces \"ml\" not found", "ml"),
            "namespaces \"ml\" not found",
            Outcome::Invalid,
        ),
        (Says(404, "404 page not found\n".to_owned()), "install the chart", Outcome::Invalid),
        (refusal(401, "Unauthorized", "Unauthorized", ""), "refuses: Unauthorized", Outcome::Invalid),
        (refusal(500, "InternalError", "etcd is away", ""), "does not answer: etcd is away", Outcome::Failed),
        (Says(200, "{}".to_owned()), "the operator's release", Outcome::Invalid),
        (Lost, "connection refused", Outcome::Failed),
    ];
    for (answer, words, outcome) in cases {
        let (desk, server) = scripted(vec![(&["POST"], answer)]);
        let error = desk.create(&document).await.unwrap_err();
        assert!(error.to_string().contains(words), "{error} has not {words}");
        assert_eq!(error.outcome(), outcome, "{error}");
        server.await.unwrap();
    }
}

#[tokio::test]
async fn a_benchmark_that_is_not_there_is_named_with_its_namespace() {
    let (desk, _) = scripted(vec![(&["GET", "mixupbenchmarks/gone"], refusal(404, "NotFound", "not found", "gone"))]);
    let error = desk.get("gone").await.unwrap_err();
    assert!(matches!(&error, DeskError::Missing { name, namespace } if name == "gone" && namespace == "ml"), "{error}");
}

#[tokio::test]
async fn what_is_over_needs_no_request() {
    assert_eq!(waited(finished(1), vec![]).await.0.unwrap(), End::Finished(Box::new(finished(1))));
    let refused = benchmark("u1", 1, &[("Accepted", "False", 2)]);
    assert_eq!(waited(refused, vec![]).await.0.unwrap(), End::Refused("in the operator's words".into()));
}

#[test]
fn what_was_said_of_an_older_spec_ends_nothing() {
    assert_eq!(over(&benchmark("u1", 1, &[("Accepted", "True", 1), ("Finished", "True", 1)])), None);
    assert_eq!(over(&benchmark("u1", 1, &[("Accepted", "False", 1)])), None);
    assert_eq!(over(&running(1)), None);
}

#[tokio::test]
async fn a_lost_connection_is_waited_out() {
    let script = vec![
        (LIST, Lost),
        (LIST, list(&[running(2)])),
        (WATCH, events(&[("MODIFIED", running(3))])),
        (WATCH, events(&[("MODIFIED", finished(4))])),
    ];
    let (end, lost) = waited(running(1), script).await;
    assert_eq!(end.unwrap(), End::Finished(Box::new(finished(4))));
    assert_eq!(lost.len(), 1);
    assert!(lost[0].contains("connection refused"), "{lost:?}");
}

#[tokio::test]
async fn a_watch_that_is_too_old_is_begun_anew_and_nobody_hears_of_it() {
    let gone = json!({"type": "ERROR", "object": {"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old"}});
    let script =
        vec![(LIST, list(&[running(2)])), (WATCH, Says(200, gone.to_string() + "\n")), (LIST, list(&[finished(9)]))];
    let (end, lost) = waited(running(1), script).await;
    assert_eq!((end.unwrap(), lost), (End::Finished(Box::new(finished(9))), vec![]));
}

#[tokio::test]
async fn a_benchmark_that_is_gone_is_not_waited_for() {
    let was = || End::Deleted(Box::new(running(1)));
    assert_eq!(waited(running(1), vec![(LIST, list(&[]))]).await.0.unwrap(), was(), "deleted while nobody looked");
    let twin = benchmark("u2", 7, &[("Accepted", "True", 2), ("Finished", "True", 2)]);
    assert_eq!(waited(running(1), vec![(LIST, list(&[twin]))]).await.0.unwrap(), was(), "another took its name");
    let script = vec![(LIST, list(&[running(2)])), (WATCH, events(&[("DELETED", running(3))]))];
    assert_eq!(waited(running(1), script).await.0.unwrap(), End::Deleted(Box::new(running(3))));
}

#[tokio::test]
async fn what_finishes_and_is_deleted_at_once_has_finished() {
    let script = vec![(LIST, list(&[running(2)])), (WATCH, events(&[("DELETED", finished(3))]))];
    assert_eq!(waited(running(1), script).await.0.unwrap(), End::Finished(Box::new(finished(3))));
}

#[tokio::test]
async fn a_watch_that_is_denied_from_the_start_ends_the_wait() {
    let denied = refusal(403, "Forbidden", "cannot list mixupbenchmarks", "");
    let error = waited(running(1), vec![(LIST, denied)]).await.0.unwrap_err();
    assert!(error.to_string().contains("cannot list mixupbenchmarks"), "{error}");
    assert_eq!(error.outcome(), Outcome::Invalid);
}

#[tokio::test]
async fn a_server_that_denies_for_a_moment_what_it_granted_is_asked_again() {
    let denied = refusal(403, "Forbidden", "roles are not loaded yet", "");
    let script = vec![(LIST, list(&[running(2)])), (WATCH, denied), (WATCH, events(&[("MODIFIED", finished(3))]))];
    let (end, lost) = waited(running(1), script).await;
    assert_eq!(end.unwrap(), End::Finished(Box::new(finished(3))));
    assert_eq!(lost, ["roles are not loaded yet"]);
}
