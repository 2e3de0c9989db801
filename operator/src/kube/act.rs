//! The calls that change a cluster. Each may be asked for again: what is already so is no error.

use std::borrow::Cow;

use k8s_openapi::api::batch::v1::Job;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt as _};
use mixbench_crds::benchmark::MixupBenchmark;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::trouble::{Trouble, TroubleKind};

/// Longest message that is kept of the API server's, in characters.
const MESSAGE: usize = 300;

/// Why a child could not be created, deleted or changed.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// The API server refused, or did not answer.
    #[error("cannot {verb} {kind} {name}: {source}")]
    Api {
        /// What was tried.
        verb: &'static str,
        /// Kind of the object.
        kind: &'static str,
        /// Name of the object.
        name: String,
        /// Why not.
        #[source]
        source: kube::Error,
    },
    /// An object of this name belongs to somebody else.
    #[error("{kind} {name} is there already and belongs to somebody else; delete or rename it")]
    Collision {
        /// Kind of the object.
        kind: &'static str,
        /// Name of the object.
        name: String,
    },
    /// A Job of this name is being deleted; its successor has to wait for that.
    #[error("Job {name} is still being deleted")]
    Leaving {
        /// Name of the Job.
        name: String,
    },
}

impl ActError {
    /// What it is in the status.
    pub fn kind(&self) -> TroubleKind {
        match self {
            Self::Api { verb: "delete" | "patch", .. } => TroubleKind::CleanupFailing,
            Self::Api { source, .. } => refusal(source),
            Self::Collision { .. } => TroubleKind::NameCollision,
            Self::Leaving { .. } => TroubleKind::ApiErrors,
        }
    }

    /// What it shows as in the status.
    pub fn trouble(&self, run: Option<String>) -> Trouble {
        Trouble { kind: self.kind(), run, message: self.to_string().chars().take(MESSAGE).collect() }
    }
}

/// Why a create was refused. A quota and an admission plugin answer with the same code as missing rights do: only the words differ.
fn refusal(error: &kube::Error) -> TroubleKind {
    let kube::Error::Api(status) = error else { return TroubleKind::ApiErrors };
    let says = |what: &str| status.message.contains(what);
    match status.code {
        403 if says("exceeded quota") => TroubleKind::QuotaExceeded,
        403 if says("User \"") && says("cannot create resource") => TroubleKind::ApiErrors,
        403 if status.details.as_ref().is_some_and(|d| d.causes.iter().any(|c| c.reason == "NamespaceTerminating")) => {
            TroubleKind::ApiErrors
        }
        403 | 422 => TroubleKind::AdmissionDenied,
        _ if says("admission webhook") && says("denied the request") => TroubleKind::AdmissionDenied,
        _ => TroubleKind::ApiErrors,
    }
}

/// Creates an object (true), or takes over what an earlier turn created for the same owner before it was cut off (false).
///
/// # Errors
/// [`ActError`]; nothing is changed that was there.
pub async fn create<K>(client: &Client, object: &K) -> Result<bool, ActError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + Serialize
        + DeserializeOwned,
{
    let (api, name, kind) = (api::<K>(client, object), object.name_any(), kind::<K>());
    let failed = |verb| move |source| ActError::Api { verb, kind, name: object.name_any(), source };
    match api.create(&PostParams::default(), object).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => {
            // Absent again: the next turn creates it.
            let Some(found) = api.get_opt(&name).await.map_err(failed("get"))? else {
                return Err(ActError::Leaving { name });
            };
            if owner(&found) != owner(object) {
                return Err(ActError::Collision { kind, name });
            }
            if found.meta().deletion_timestamp.is_some() { Err(ActError::Leaving { name }) } else { Ok(false) }
        }
        Err(source) => Err(failed("create")(source)),
    }
}

/// The UID of the controller that an object belongs to.
fn owner<K: Resource>(object: &K) -> Option<&str> {
    let owners = object.meta().owner_references.as_deref().unwrap_or_default();
    owners.iter().find(|o| o.controller == Some(true)).map(|o| o.uid.as_str())
}

/// Deletes a Job; it stays to be seen until its pods have ended within their grace and are gone.
///
/// # Errors
/// [`ActError`], except that a Job that is gone or has changed is none.
pub async fn stop(client: &Client, job: &Job) -> Result<(), ActError> {
    delete(client, job, PropagationPolicy::Foreground).await
}

/// Deletes a benchmark; what it owns follows.
///
/// # Errors
/// [`ActError`], except that a benchmark that is gone or has changed is none.
pub async fn retire(client: &Client, benchmark: &MixupBenchmark) -> Result<(), ActError> {
    delete(client, benchmark, PropagationPolicy::Background).await
}

async fn delete<K>(client: &Client, object: &K, propagation: PropagationPolicy) -> Result<(), ActError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + std::fmt::Debug + DeserializeOwned,
{
    // Only this one, as it was seen: neither what may have been created under its name since, nor one that has ended or was edited since, as
    // a cache that lags does not show yet. The watch brings what it is now, and with it another turn.
    let only = Preconditions { uid: object.uid(), resource_version: object.resource_version() };
    let how =
        DeleteParams { propagation_policy: Some(propagation), preconditions: Some(only), ..DeleteParams::default() };
    settled(api::<K>(client, object).delete(&object.name_any(), &how).await.map(drop), "delete", object)
}

/// Gives a Job the time after which Kubernetes deletes it.
///
/// # Errors
/// [`ActError`], except that a Job that is gone, or is another one by now, is none.
pub async fn expire(client: &Client, job: &Job, seconds: u32) -> Result<(), ActError> {
    let patch = json!({"metadata": {"uid": job.uid()}, "spec": {"ttlSecondsAfterFinished": seconds}});
    let patched = api(client, job).patch(&job.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await;
    settled(patched.map(drop), "patch", job)
}

/// Gone (404) and replaced (409) is what a clean-up wants.
fn settled<K>(result: Result<(), kube::Error>, verb: &'static str, object: &K) -> Result<(), ActError>
where
    K: Resource<DynamicType = ()>,
{
    match result {
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        other => other.map_err(|source| ActError::Api { verb, kind: kind::<K>(), name: object.name_any(), source }),
    }
}

fn api<K>(client: &Client, object: &K) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    Api::namespaced(client.clone(), object.namespace().as_deref().unwrap_or_default())
}

fn kind<K: Resource<DynamicType = ()>>() -> &'static str {
    // Kinds of derived and generated types are constants of theirs.
    match K::kind(&()) {
        Cow::Borrowed(kind) => kind,
        Cow::Owned(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error of an answer with this code and message.
    fn answer(code: u16, reason: &str, message: &str) -> kube::Error {
        let status = json!({"status": "Failure", "code": code, "reason": reason, "message": message});
        kube::Error::Api(serde_json::from_value(status).expect("a status"))
    }

    #[test]
    fn refusals_are_told_apart_by_what_the_api_server_says() {
        use TroubleKind::{AdmissionDenied, ApiErrors, QuotaExceeded};
        let cases = [
            (
                403,
                "jobs.batch \"x\" is forbidden: exceeded quota: q, requested: count/jobs.batch=1, used: count/jobs.batch=2",
                QuotaExceeded,
            ),
            (
                403,
                "jobs.batch is forbidden: User \"system:serviceaccount:a:b\" cannot create resource \"jobs\" in API group \"batch\"",
                ApiErrors,
            ),
            (
                403,
                "jobs.batch \"x\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no GPUs",
                AdmissionDenied,
            ),
            (400, "admission webhook \"w\" denied the request: not today", AdmissionDenied),
            (422, "Job.batch \"x\" is invalid: spec.template: Required value", AdmissionDenied),
            (500, "Internal error occurred: failed calling webhook \"w\": connection refused", ApiErrors),
            (429, "too many requests", ApiErrors),
        ];
        for (code, message, kind) in cases {
            assert_eq!(refusal(&answer(code, "Any", message)), kind, "{message}");
        }
        assert_eq!(refusal(&kube::Error::LinesCodecMaxLineLengthExceeded), ApiErrors);
        let mut ending =
            answer(403, "Forbidden", "unable to create new content in namespace a because it is being terminated");
        if let kube::Error::Api(status) = &mut ending {
            let details = json!({"causes": [{"reason": "NamespaceTerminating", "message": "", "field": ""}]});
            status.details = serde_json::from_value(details).expect("details");
        }
        assert_eq!(refusal(&ending), ApiErrors, "it goes with the namespace");
    }

    #[test]
    fn what_cannot_be_cleaned_up_says_what_and_why() {
        let source = answer(500, "InternalError", "etcd is away");
        let error = ActError::Api { verb: "delete", kind: "Job", name: "j-a1".into(), source };
        let trouble = error.trouble(Some("run".into()));
        assert_eq!((trouble.kind, trouble.run.as_deref()), (TroubleKind::CleanupFailing, Some("run")));
        assert!(trouble.message.starts_with("cannot delete Job j-a1: ") && trouble.message.contains("etcd is away"));
    }
}
