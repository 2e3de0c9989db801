//! Manifests that are wrong, for those who must refuse them.

use serde::Deserialize;
use serde_json::Value;

/// One wrong manifest; `manifests.yaml` says what its fields mean.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wrong {
    pub(crate) case: String,
    pub(crate) patch: Value,
    pub(crate) field: String,
    pub(crate) words: Option<String>,
    pub(crate) value: Option<String>,
    #[allow(dead_code, reason = "the server does not say it")]
    pub(crate) lint: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    good: Value,
    cases: Vec<Wrong>,
}

/// The good manifest.
pub(crate) fn good() -> Value {
    read().good
}

/// Every wrong manifest with what is wrong with it.
pub(crate) fn cases() -> Vec<(Value, Wrong)> {
    let Cases { good, cases } = read();
    assert!(cases.len() >= 80, "the table is whole: {}", cases.len());
    let patched = |case: Wrong| {
        let mut manifest = good.clone();
        patch(&mut manifest, &case.patch);
        (manifest, case)
    };
    cases.into_iter().map(patched).collect()
}

/// A merge patch, RFC 7386.
pub(crate) fn patch(target: &mut Value, with: &Value) {
    let Value::Object(fields) = with else { return target.clone_from(with) };
    if !target.is_object() {
        *target = serde_json::json!({});
    }
    for (name, value) in fields {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(name);
        } else {
            patch(&mut target[name], value);
        }
    }
}

fn read() -> Cases {
    serde_saphyr::from_str(include_str!("manifests.yaml")).unwrap()
}
