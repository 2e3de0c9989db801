//! What a request asks for, in words from closed tables: metrics and time-outs go by them.

use http::{Method, Request, Response};

use super::TimedOut;

/// Verbs as RBAC names them.
pub const VERBS: [&str; 9] =
    ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "other"];

/// Resources that the operator and the command line use, as RBAC names them; anything else is "other".
pub const RESOURCES: [&str; 9] = [
    "mixupbenchmarks",
    "mixupbenchmarks/status",
    "jobs",
    "services",
    "pods",
    "events",
    "leases",
    "customresourcedefinitions",
    "other",
];

/// Answers: the HTTP statuses that an API server gives, a request that was not answered in time, one that failed below HTTP, and the rest.
pub const CODES: [&str; 21] = [
    "200", "201", "202", "400", "401", "403", "404", "405", "406", "409", "410", "413", "415", "422", "429", "500",
    "503", "504", "timeout", "error", "other",
];

const TIMEOUT: &str = "timeout";
const ERROR: &str = "error";
const OTHER: &str = "other";

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// One of [`VERBS`].
    pub verb: &'static str,
    /// One of [`RESOURCES`].
    pub resource: &'static str,
}

impl Call {
    /// Reads it off a request to an API server.
    pub fn of<B>(request: &Request<B>) -> Self {
        let path = Path::of(request.uri().path());
        let query = request.uri().query().unwrap_or_default();
        let watch = query.split('&').any(|pair| pair == "watch=true" || pair == "watch=1");
        let verb = match *request.method() {
            Method::GET if watch => "watch",
            Method::GET if path.one => "get",
            Method::GET => "list",
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE if path.one => "delete",
            Method::DELETE => "deletecollection",
            _ => OTHER,
        };
        Self { verb, resource: RESOURCES.into_iter().find(|known| *known == path.resource).unwrap_or(OTHER) }
    }

    /// Whether its answer has no end.
    pub fn is_watch(&self) -> bool {
        self.verb == "watch"
    }

    /// Whether it only reads, so that asking twice changes nothing.
    pub fn reads(&self) -> bool {
        matches!(self.verb, "get" | "list")
    }
}

/// What a path names: `/api/v1/…` or `/apis/GROUP/VERSION/…`, then `namespaces/NAMESPACE/` where namespaced, then
/// `RESOURCE[/NAME[/SUBRESOURCE]]`.
struct Path {
    resource: String,
    one: bool,
}

impl Path {
    fn of(path: &str) -> Self {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let rest = match *parts.as_slice() {
            ["api", _, ..] => &parts[2..],
            ["apis", _, _, ..] => &parts[3..],
            _ => &[],
        };
        let rest = match *rest {
            ["namespaces", _, _, ..] => &rest[2..],
            _ => rest,
        };
        match *rest {
            [resource, _, sub, ..] => Self { resource: format!("{resource}/{sub}"), one: true },
            [resource, _] => Self { resource: resource.into(), one: true },
            [resource] => Self { resource: resource.into(), one: false },
            [] => Self { resource: String::new(), one: true },
        }
    }
}

/// What came of a request, as one of [`CODES`].
pub(super) fn code<B>(answer: &Result<Response<B>, kube::Error>) -> &'static str {
    match answer {
        Ok(response) => CODES.into_iter().find(|known| *known == response.status().as_str()).unwrap_or(OTHER),
        Err(kube::Error::Service(error)) if error.is::<TimedOut>() => TIMEOUT,
        Err(_) => ERROR,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn call(method: Method, uri: &str) -> (&'static str, &'static str) {
        let call = Call::of(&Request::builder().method(method).uri(uri).body(()).unwrap());
        (call.verb, call.resource)
    }

    #[test]
    fn every_request_of_the_operator_has_its_verb_and_resource() {
        let mixb = "/apis/mixbench.dev/v1alpha1/namespaces/a/mixupbenchmarks";
        let all = "/apis/mixbench.dev/v1alpha1/mixupbenchmarks";
        for (method, uri, expected) in [
            (Method::GET, format!("{all}?limit=500"), ("list", "mixupbenchmarks")),
            (Method::GET, format!("{all}?&watch=true&timeoutSeconds=290"), ("watch", "mixupbenchmarks")),
            (Method::GET, format!("{mixb}/quickstart"), ("get", "mixupbenchmarks")),
            (Method::PUT, format!("{mixb}/quickstart/status?"), ("update", "mixupbenchmarks/status")),
            (Method::DELETE, format!("{mixb}/quickstart"), ("delete", "mixupbenchmarks")),
            (Method::DELETE, mixb.to_owned(), ("deletecollection", "mixupbenchmarks")),
            (Method::POST, "/apis/batch/v1/namespaces/a/jobs?".into(), ("create", "jobs")),
            (Method::PATCH, "/apis/batch/v1/namespaces/a/jobs/j?".into(), ("patch", "jobs")),
            (Method::POST, "/api/v1/namespaces/a/services".into(), ("create", "services")),
            (Method::GET, "/api/v1/pods?labelSelector=x&watch=true".into(), ("watch", "pods")),
            (Method::POST, "/apis/events.k8s.io/v1/namespaces/a/events?".into(), ("create", "events")),
            (Method::PUT, "/apis/coordination.k8s.io/v1/namespaces/a/leases/l".into(), ("update", "leases")),
        ] {
            assert_eq!(call(method, &uri), expected, "{uri}");
        }
    }

    #[test]
    fn what_nobody_foresaw_is_other_and_never_a_new_label() {
        for uri in
            ["/", "/version", "/api/v1/namespaces/a", "/apis/x/v1/watch=true", "/api/v1/secrets", "/apis/batch/v1"]
        {
            let (verb, resource) = call(Method::GET, uri);
            assert!(VERBS.contains(&verb) && resource == OTHER, "{uri}: {verb} {resource}");
        }
        assert_eq!(call(Method::TRACE, "/api/v1/pods").0, OTHER);
        let answer = |status: u16| code(&Ok(Response::builder().status(status).body(()).unwrap()));
        assert_eq!((answer(429), answer(418), answer(599)), ("429", OTHER, OTHER));
        for word in [TIMEOUT, ERROR, OTHER] {
            assert!(CODES.contains(&word));
        }
    }
}
