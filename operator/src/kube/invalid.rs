//! Benchmarks that are none: what was stored under another definition of the resource. They must not stop the watch over all others, and
//! show what is wrong with them as far as a status can be written.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::api::{ApiResource, DynamicObject, ObjectMeta, PostParams};
use kube::runtime::controller::Action as Again;
use kube::{Api, Client};
use mixbench_crds::benchmark::MixupBenchmark;
use serde_json::{Map, Value, json};

use super::reconcile::TurnError;
use crate::status::Reason;

/// Longest message in characters.
const MESSAGE: usize = 500;

/// Says in the status that the object cannot be read, and why, unless it stands there already.
///
/// # Errors
/// [`TurnError`] where it can be neither read nor written.
pub(super) async fn tell(
    client: &Client,
    metadata: &ObjectMeta,
    error: &str,
    now: Timestamp,
) -> Result<Again, TurnError> {
    let (namespace, name) =
        (metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default());
    tracing::warn!(error, "this object is no benchmark that this release can read");
    let resource = ApiResource::erase::<MixupBenchmark>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let failed = |source| TurnError::Read { kind: "MixupBenchmark", name: name.to_owned(), source: Box::new(source) };
    let Some(mut object) = api.get_opt(name).await.map_err(failed)? else { return Ok(Again::await_change()) };
    if !refuse(&mut object, error, now) {
        return Ok(Again::await_change());
    }
    match api.replace_status(name, &PostParams::default(), &object).await {
        Ok(_) => Ok(Again::await_change()),
        // Changed or gone: the watch says so.
        Err(kube::Error::Api(answer)) if matches!(answer.code, 404 | 409) => Ok(Again::await_change()),
        Err(error) => Err(TurnError::Status(Box::new(error))),
    }
}

/// Writes `Accepted` into the object's status; whether that changes anything.
fn refuse(object: &mut DynamicObject, error: &str, now: Timestamp) -> bool {
    let generation = object.metadata.generation;
    let message: String =
        format!("this release of the operator cannot read the manifest: {error}").chars().take(MESSAGE).collect();
    let Value::Object(data) = &mut object.data else { return false };
    let status = data.entry("status").or_insert_with(|| Value::Object(Map::new()));
    if !status.is_object() {
        *status = Value::Object(Map::new());
    }
    let mut conditions: Vec<Condition> =
        status.get("conditions").and_then(|c| serde_json::from_value(c.clone()).ok()).unwrap_or_default();
    let before = conditions.iter().position(|c| c.type_ == "Accepted").map(|at| conditions.remove(at));
    let since = before.as_ref().filter(|c| c.status == "False").map(|c| c.last_transition_time.clone());
    let accepted = Condition {
        type_: "Accepted".into(),
        status: "False".into(),
        reason: <&str>::from(Reason::Invalid).into(),
        message,
        observed_generation: generation,
        last_transition_time: since.unwrap_or(Time(now)),
    };
    if before.as_ref() == Some(&accepted) {
        return false;
    }
    conditions.insert(0, accepted);
    status["conditions"] = json!(conditions);
    status["observedGeneration"] = json!(generation);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(status: &Value) -> DynamicObject {
        let object = json!({"apiVersion": "mixbench.dev/v1alpha1", "kind": "MixupBenchmark",
            "metadata": {"name": "old", "generation": 3}, "spec": {"matrix": "all"}, "status": status});
        serde_json::from_value(object).expect("an object")
    }

    #[test]
    fn what_is_wrong_is_said_once_and_what_else_stands_there_stays() {
        let finished = json!({"type": "Finished", "status": "True", "reason": "AllRecorded", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let mut object = object(&json!({"summary": "2/2 done", "conditions": [finished]}));
        assert!(refuse(&mut object, "invalid type: string", Timestamp::UNIX_EPOCH));
        let status = object.data["status"].clone();
        assert_eq!(status["summary"], "2/2 done");
        assert_eq!(status["conditions"][0]["status"], "False");
        assert_eq!(status["conditions"][1]["type"], "Finished");
        assert!(!refuse(&mut object, "invalid type: string", Timestamp::MAX), "the same is not written again");
        assert_eq!(object.data["status"], status);
        assert!(refuse(&mut object, "something else", Timestamp::MAX));
        assert_eq!(object.data["status"]["conditions"][0]["lastTransitionTime"], "1970-01-01T00:00:00Z");
    }

    #[test]
    fn a_status_of_another_shape_is_replaced() {
        for strange in [json!("x"), json!(null), json!({"conditions": "none"})] {
            let mut object = object(&strange);
            assert!(refuse(&mut object, "why", Timestamp::UNIX_EPOCH));
            assert_eq!(object.data["status"]["conditions"][0]["reason"], "Invalid");
        }
    }
}
