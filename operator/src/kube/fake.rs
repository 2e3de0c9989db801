//! An API server in memory for tests: objects with resource versions, and a wire that can be cut before or after any call.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use http::{Method, Request, Response, StatusCode, Uri};
use kube::Client;
use kube::client::Body;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// A call that changes nothing reads; every other one writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// Method and resource, such as `POST jobs` or `PUT mixupbenchmarks/status`.
    pub(crate) what: String,
    /// Name of the object.
    pub(crate) name: String,
    /// Answer.
    pub(crate) code: u16,
}

/// Where the wire is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The server never sees the call.
    Before,
    /// The server has done it; the answer is lost.
    After,
}

/// The server; clones share it.
#[derive(Clone, Default)]
pub(crate) struct Server(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    objects: BTreeMap<(String, String), Value>,
    version: u64,
    calls: Vec<Call>,
    cut: Option<(usize, Cut)>,
    refuse: Option<(String, Value)>,
}

impl Server {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics while it holds this")
    }

    /// A client of it.
    pub(crate) fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect_bytes().await.expect("a body");
                server.state().answer(&parts.method, &parts.uri, &body).ok_or("the wire is cut")
            }
        });
        Client::new(service, "default")
    }

    /// Cuts the wire at this call, counted from 0, and leaves it cut.
    pub(crate) fn cut(&self, call: usize, cut: Cut) {
        self.state().cut = Some((call, cut));
    }

    /// The wire is whole again, and nothing is refused any more.
    pub(crate) fn heal(&self) {
        let mut state = self.state();
        (state.cut, state.refuse) = (None, None);
    }

    /// Answers calls such as `POST jobs` with this status.
    pub(crate) fn refuse(&self, what: &str, code: u16, reason: &str, message: &str) {
        let status = failure(code, reason, message);
        self.state().refuse = Some((what.to_owned(), status));
    }

    /// All calls so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// How many calls of this kind (`POST jobs`) there were.
    pub(crate) fn count(&self, what: &str) -> usize {
        self.state().calls.iter().filter(|call| call.what == what).count()
    }

    /// Puts an object there, as somebody else would.
    pub(crate) fn put(&self, plural: &str, object: Value) {
        self.state().store(plural, object);
    }

    /// Removes an object, as a garbage collector would.
    pub(crate) fn remove(&self, plural: &str, name: &str) {
        self.state().objects.remove(&(plural.to_owned(), name.to_owned()));
    }

    /// Changes an object, as somebody else would.
    pub(crate) fn change(&self, plural: &str, name: &str, change: impl FnOnce(&mut Value)) {
        let mut state = self.state();
        let mut object = state.objects.get(&(plural.to_owned(), name.to_owned())).expect("it is there").clone();
        change(&mut object);
        state.store(plural, object);
    }

    /// All objects of a kind.
    pub(crate) fn all<K: DeserializeOwned>(&self, plural: &str) -> Vec<K> {
        let state = self.state();
        let all = state.objects.iter().filter(|((p, _), _)| p == plural);
        all.map(|(_, object)| serde_json::from_value(object.clone()).expect("its own kind")).collect()
    }
}

impl State {
    fn store(&mut self, plural: &str, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let name = object["metadata"]["name"].as_str().expect("a name").to_owned();
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = json!(format!("uid-{}", self.version));
        }
        self.objects.insert((plural.to_owned(), name), object.clone());
        object
    }

    fn answer(&mut self, method: &Method, uri: &Uri, body: &[u8]) -> Option<Response<Body>> {
        let parts: Vec<&str> = uri.path().trim_matches('/').split('/').collect();
        let at = parts.iter().position(|p| *p == "namespaces").expect("a namespaced path") + 2;
        let (plural, name, sub) = (parts[at], parts.get(at + 1).copied(), parts.get(at + 2).copied());
        let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let what = format!("{method} {plural}{}", sub.map_or(String::new(), |sub| format!("/{sub}")));
        let name = name.or_else(|| body["metadata"]["name"].as_str()).unwrap_or_default().to_owned();
        let number = self.calls.len();
        let cut =
            self.cut.filter(|(at, _)| number >= *at).map(|(at, cut)| if number == at { cut } else { Cut::Before });
        if cut == Some(Cut::Before) {
            self.calls.push(Call { what, name, code: 0 });
            return None;
        }
        let refused = self.refuse.as_ref().filter(|(refused, _)| *refused == what).map(|(_, status)| status.clone());
        let answer = refused.unwrap_or_else(|| match name.as_str() {
            "" => self.list(plural, uri.query().unwrap_or_default()),
            name => self.work(method, plural, name, sub, body),
        });
        let code = answer["code"].as_u64().unwrap_or(200) as u16;
        self.calls.push(Call { what, name, code: if cut.is_some() { 0 } else { code } });
        if cut.is_some() {
            return None;
        }
        let status = StatusCode::from_u16(code).expect("a code");
        let body = serde_json::to_vec(&answer).expect("JSON");
        Some(Response::builder().status(status).body(Body::from(body)).expect("a response"))
    }

    fn list(&self, plural: &str, query: &str) -> Value {
        let query = query.replace("%2F", "/").replace("%3D", "=");
        let selector =
            query.split_once("labelSelector=").and_then(|(_, selector)| selector.split('&').next()?.split_once('='));
        let (label, value) = selector.expect("this server lists by one label");
        let of_kind =
            self.objects.iter().filter(|((p, _), object)| p == plural && object["metadata"]["labels"][label] == value);
        json!({"metadata": {}, "items": of_kind.map(|(_, object)| object).collect::<Vec<_>>()})
    }

    fn work(&mut self, method: &Method, plural: &str, name: &str, sub: Option<&str>, body: Value) -> Value {
        let found = self.objects.get(&(plural.to_owned(), name.to_owned())).cloned();
        let found = match (method.as_str(), found) {
            ("POST", Some(_)) => return failure(409, "AlreadyExists", "it is there already"),
            ("POST", None) => return self.store(plural, body),
            (_, None) => return failure(404, "NotFound", "it is not there"),
            (_, Some(found)) => found,
        };
        let meant = if *method == Method::DELETE { &body["preconditions"] } else { &body["metadata"] };
        let same = |field: &str| meant[field].is_null() || meant[field] == found["metadata"][field];
        if !same("uid") || (*method != Method::PATCH && !same("resourceVersion")) {
            return failure(409, "Conflict", "it is another one by now");
        }
        let mut next = found;
        match (method.as_str(), sub) {
            ("GET", _) => next,
            ("PUT", Some("status")) => {
                next["status"] = body["status"].clone();
                self.store(plural, next)
            }
            ("PATCH", None) => {
                merge(&mut next, &body);
                self.store(plural, next)
            }
            ("DELETE", None) if body["propagationPolicy"] == "Foreground" => {
                next["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
                self.store(plural, next)
            }
            ("DELETE", None) => self.objects.remove(&(plural.to_owned(), name.to_owned())).unwrap_or_default(),
            other => panic!("this server knows no {other:?}"),
        }
    }
}

fn merge(into: &mut Value, patch: &Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, patch) => *into = patch.clone(),
    }
}

fn failure(code: u16, reason: &str, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message})
}
