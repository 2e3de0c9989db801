//! Manifests as text: YAML with positions, several documents, and nothing that a second reader could take for something else.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned, UserMessageFormatter};

/// A value of a document and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Yaml,
    /// Where it begins.
    pub at: Position,
}

/// A value of a document.
#[derive(Clone, Debug, PartialEq)]
pub enum Yaml {
    /// `null`, or nothing.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// A number with a fraction.
    Float(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping in the order of the text.
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// The key.
    pub name: String,
    /// Where it begins.
    pub at: Position,
}

/// Line and column from 1; 0 where it is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line from 1.
    pub line: u64,
    /// Column from 1, in characters.
    pub column: u64,
}

impl From<Location> for Position {
    fn from(at: Location) -> Self {
        Self { line: at.line(), column: at.column() }
    }
}

/// Why a text is no YAML.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SyntaxError {
    /// What is wrong, with the line and a caret under the place.
    pub message: String,
    /// Where.
    pub at: Position,
}

/// Reads every document of a text; empty ones are left out.
///
/// # Errors
/// The first place that is no YAML, or where a key stands twice.
pub fn parse(text: &str) -> Result<Vec<Node>, SyntaxError> {
    let mut documents: Vec<Node> = serde_saphyr::from_multiple(text).map_err(|e| {
        let at: Position = e.location().map(Position::from).unwrap_or_default();
        let message = e.render_with_formatter(&UserMessageFormatter);
        // The place is printed in front of every problem; once is enough.
        let place = format!("error: line {} column {}: ", at.line, at.column);
        SyntaxError { at, message: message.strip_prefix(&place).unwrap_or(&message).to_owned() }
    })?;
    documents.retain(|d| d.value != Yaml::Null);
    Ok(documents)
}

impl Node {
    /// The field of a mapping.
    pub fn get(&self, name: &str) -> Option<&Self> {
        match &self.value {
            Yaml::Map(fields) => fields.iter().find(|(key, _)| key.name == name).map(|(_, node)| node),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub const fn text(&self) -> Option<&String> {
        match &self.value {
            Yaml::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Where a path such as `spec.matrix.methods[1].name` stands: its key, or the nearest thing around it that exists.
    pub fn locate(&self, path: &str) -> Position {
        let mut node = self;
        let mut at = self.at;
        for step in path.split('.').flat_map(|part| part.split('[')) {
            let next = match (&node.value, step.strip_suffix(']')) {
                (Yaml::List(items), Some(index)) => {
                    index.parse().ok().and_then(|i: usize| items.get(i)).map(|n| (n.at, n))
                }
                (Yaml::Map(fields), None) => fields.iter().find(|(k, _)| k.name == step).map(|(k, n)| (k.at, n)),
                _ => None,
            };
            let Some((found, child)) = next else { break };
            (at, node) = (found, child);
        }
        at
    }

    /// The same without positions. Fields that are null are left out, as an API server does.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Yaml::Null => serde_json::Value::Null,
            Yaml::Bool(v) => (*v).into(),
            Yaml::Int(v) => i64::try_from(*v).map_or_else(|_| serde_json::Value::from(*v as f64), Into::into),
            Yaml::Float(v) => (*v).into(),
            Yaml::Text(v) => v.as_str().into(),
            Yaml::List(items) => items.iter().map(Self::to_json).collect(),
            Yaml::Map(fields) => fields
                .iter()
                .filter(|(_, node)| node.value != Yaml::Null)
                .map(|(key, node)| (key.name.clone(), node.to_json()))
                .collect(),
        }
    }
}

impl Yaml {
    /// What it is, in a word.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a truth value",
            Self::Int(_) => "a whole number",
            Self::Float(_) => "a number with a fraction",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

impl fmt::Display for Yaml {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(v) => v.fmt(f),
            Self::Int(v) => v.fmt(f),
            Self::Float(v) => write!(f, "{v:?}"),
            Self::Text(v) => v.fmt(f),
            Self::List(items) => write!(f, "a list of {}", items.len()),
            Self::Map(fields) => {
                let keys: Vec<&str> = fields.iter().map(|(k, _)| k.name.as_str()).collect();
                write!(f, "{{{}}}", keys.join(", "))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Yaml>::deserialize(deserializer)?;
        Ok(Self { value: spanned.value, at: spanned.referenced.into() })
    }
}

impl<'de> Deserialize<'de> for Yaml {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(YamlVisitor)
    }
}

struct YamlVisitor;

impl<'de> Visitor<'de> for YamlVisitor {
    type Value = Yaml;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_bool<E>(self, v: bool) -> Result<Yaml, E> {
        Ok(Yaml::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Yaml, E> {
        Ok(Yaml::Int(v.into()))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Yaml, E> {
        Ok(Yaml::Int(v.into()))
    }

    fn visit_i128<E>(self, v: i128) -> Result<Yaml, E> {
        Ok(Yaml::Int(v))
    }

    fn visit_f64<E>(self, v: f64) -> Result<Yaml, E> {
        Ok(Yaml::Float(v))
    }

    fn visit_str<E>(self, v: &str) -> Result<Yaml, E> {
        Ok(Yaml::Text(v.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Null)
    }

    fn visit_none<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Yaml, D::Error> {
        Yaml::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Yaml, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Yaml::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Yaml, A::Error> {
        let mut fields = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let at = key.referenced.into();
            fields.push((Key { name: key.value, at }, map.next_value()?));
        }
        Ok(Yaml::Map(fields))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_kind_and_their_place() {
        let text = "spec:\n  a: 1\n  b: [x, \"2\", 0.5]\n  c: {d: true}\n  e:\n";
        let document = &parse(text).unwrap()[0];
        assert_eq!(document.to_json(), serde_json::json!({"spec": {"a": 1, "b": ["x", "2", 0.5], "c": {"d": true}}}));
        assert_eq!(document.locate("spec.b[1]"), Position { line: 3, column: 10 });
        assert_eq!(document.locate("spec.c.d"), Position { line: 4, column: 7 });
        assert_eq!(document.locate("spec.c.missing.more"), Position { line: 4, column: 3 });
    }

    #[test]
    fn several_documents_are_read_and_empty_ones_left_out() {
        assert_eq!(parse("---\na: 1\n---\n---\nb: 2\n").unwrap().len(), 2);
        assert_eq!(parse("").unwrap().len(), 0);
    }

    #[test]
    fn a_syntax_error_shows_its_line_with_a_caret() {
        let error = parse("spec:\n  a: [1, 2\n  b: 3\n").unwrap_err();
        assert!(error.message.contains('^'), "{error}");
        assert!(error.at.line >= 2, "{error:?}");
    }

    #[test]
    fn a_key_that_stands_twice_is_refused() {
        let error = parse("spec:\n  trials: 1\n  trials: 2\n").unwrap_err();
        assert_eq!(error.at.line, 3, "{error}");
        assert!(error.message.contains("trials"), "{error}");
    }
}
