//! What is said to an API server.

use std::time::Instant;

use http::{Method, Uri};

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// As RBAC names it: get, list, watch, create, update, patch, delete, deletecollection.
    pub(crate) verb: &'static str,
    /// Resource in the plural, with its subresource: `jobs`, `mixupbenchmarks/status`.
    pub(crate) resource: String,
    /// Name of the object, where it has one.
    pub(crate) name: Option<String>,
    /// When it came.
    pub(crate) at: Instant,
    /// What was answered; none yet, or never.
    pub(crate) code: Option<u16>,
}

impl Call {
    /// What a request asks for.
    pub(crate) fn of(method: &Method, uri: &Uri) -> Self {
        // /api/VERSION/… or /apis/GROUP/VERSION/…, then namespaces/NAMESPACE/ where it is in one.
        let path: Vec<&str> = uri.path().split('/').filter(|part| !part.is_empty()).collect();
        let path = &path[path.len().min(if path.first() == Some(&"apis") { 3 } else { 2 })..];
        let path = if path.len() > 2 && path[0] == "namespaces" { &path[2..] } else { path };
        let name = path.get(1).map(|name| (*name).to_owned());
        let resource = match path {
            [resource, _, subresource, ..] => format!("{resource}/{subresource}"),
            [resource, ..] => (*resource).to_owned(),
            [] => String::new(),
        };
        let watching = uri.query().is_some_and(|q| q.split('&').any(|p| p == "watch=true" || p == "watch=1"));
        let verb = match (method.as_str(), &name) {
            ("GET", _) if watching => "watch",
            ("GET", None) => "list",
            ("GET", Some(_)) => "get",
            ("POST", _) => "create",
            ("PUT", _) => "update",
            ("PATCH", _) => "patch",
            ("DELETE", None) => "deletecollection",
            ("DELETE", Some(_)) => "delete",
            _ => "other",
        };
        Self { verb, resource, name, at: Instant::now(), code: None }
    }

    /// Whether it is this verb on this resource.
    pub(crate) fn is(&self, verb: &str, resource: &str) -> bool {
        self.verb == verb && self.resource == resource
    }

    /// Whether it changes anything.
    pub(crate) fn writes(&self) -> bool {
        !matches!(self.verb, "get" | "list" | "watch")
    }
}

/// An error as the API server words it.
pub(crate) fn status_json(code: u16) -> String {
    let reason = match code {
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        410 => "Expired",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        _ => "InternalError",
    };
    serde_json::json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "said by the test", "reason": reason, "code": code})
    .to_string()
}
