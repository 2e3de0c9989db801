//! A schema in words: types, bounds, defaults, rules.

use mixbench_crds::benchmark::DECIMAL;
use serde_json::Value;

/// The type of a field, such as `list of string`.
pub(super) fn kind(node: &Value) -> String {
    if let Some(known) = node["enum"].as_array() {
        let names: Vec<String> = known.iter().filter_map(Value::as_str).map(|name| format!("`{name}`")).collect();
        return names.join(", ");
    }
    if node["x-kubernetes-int-or-string"] == true {
        return "quantity".into();
    }
    if node["pattern"] == DECIMAL {
        return "decimal".into();
    }
    match node["type"].as_str().unwrap_or_default() {
        "array" => format!("list of {}", kind(&node["items"])),
        "object" if node["additionalProperties"].is_object() => {
            format!("map of {}", kind(&node["additionalProperties"]))
        }
        "string" if node["format"] == "date-time" => "time".into(),
        other => other.into(),
    }
}

/// What values a field takes, beside its type.
pub(super) fn bounds(node: &Value) -> String {
    if node["pattern"] == DECIMAL {
        return String::new();
    }
    let mut all = Vec::new();
    let number = |name: &str| node[name].as_f64();
    match (number("minimum"), number("maximum")) {
        (Some(least), Some(most)) => all.push(format!("{least} to {most}")),
        (Some(least), None) => all.push(format!("at least {least}")),
        (None, Some(most)) => all.push(format!("at most {most}")),
        (None, None) => {}
    }
    let counted = [
        ("minLength", "maxLength", "characters"),
        ("minItems", "maxItems", "entries"),
        ("", "maxProperties", "entries"),
    ];
    for (least, most, what) in counted {
        match (node[least].as_u64().filter(|n| *n > 0), node[most].as_u64()) {
            (Some(least), Some(most)) if least == most => all.push(format!("{least} {what}")),
            (Some(least), Some(most)) => all.push(format!("{least} to {most} {what}")),
            (None, Some(most)) => all.push(format!("at most {most} {what}")),
            _ => {}
        }
    }
    if let Some(pattern) = node["pattern"].as_str() {
        all.push(format!("`{pattern}`"));
    }
    let keys = node["x-kubernetes-list-map-keys"].as_array().into_iter().flatten().filter_map(Value::as_str);
    all.extend(keys.map(|key| format!("each {key} once")));
    for part in ["items", "additionalProperties"] {
        let child = &node[part];
        if child.is_object() && child.get("properties").is_none() {
            let inner = bounds(child);
            if !inner.is_empty() {
                all.push(format!("each {inner}"));
            }
        }
    }
    all.join("; ")
}

/// What a field is where a manifest does not give it.
pub(super) fn default(node: &Value, required: bool) -> String {
    match &node["default"] {
        _ if required => "required".into(),
        Value::Null => String::new(),
        Value::Object(_) => "its defaults".into(),
        value => format!("`{value}`"),
    }
}

/// What the rules at a schema say when they are broken, behind the field that they are about; `…` stands for values.
pub(super) fn rules(node: &Value) -> Vec<String> {
    let rules = node["x-kubernetes-validations"].as_array().into_iter().flatten();
    let about = |rule: &Value| {
        let said = match (&rule["message"], &rule["messageExpression"]) {
            (Value::String(message), _) => message.clone(),
            (_, Value::String(expression)) => words(expression),
            _ => String::new(),
        };
        rule["fieldPath"].as_str().map_or_else(|| said.clone(), |field| format!("`{}`: {said}", &field[1..]))
    };
    rules.map(about).collect()
}

/// The words of an expression in CEL that makes a message.
fn words(expression: &str) -> String {
    let mut out = String::new();
    let format = expression.split("'.format(").next().unwrap_or(expression);
    for (i, piece) in format.split('\'').enumerate() {
        match i % 2 {
            0 if piece.trim().is_empty() => {}
            0 => out.push('…'),
            _ => out.push_str(piece),
        }
    }
    out.replace("%d", "…").replace("%s", "…")
}

/// A text as a cell of a table.
pub(super) fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_is_told_in_words() {
        let list = json!({"type": "array", "minItems": 1, "maxItems": 9, "items": {"type": "string", "maxLength": 5, "pattern": "a|b"}});
        assert_eq!(kind(&list), "list of string");
        assert_eq!(bounds(&list), "1 to 9 entries; each at most 5 characters; `a|b`");
        assert_eq!(bounds(&json!({"minimum": 1.0, "maximum": 64.0})), "1 to 64");
        assert_eq!(default(&json!({"default": "0.3"}), false), "`\"0.3\"`");
        assert_eq!(cell("a|b"), "a\\|b");
    }

    #[test]
    fn messages_lose_their_values() {
        assert_eq!(words("'%d cells × %d trials'.format([self.a, self.b])"), "… cells × … trials");
        assert_eq!(words("'volume ' + self.name + ' is none'"), "volume … is none");
        assert_eq!(words("self.name + ' is ours'"), "… is ours");
    }
}
