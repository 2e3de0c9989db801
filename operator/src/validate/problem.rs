//! What is wrong with a manifest, where, and what to do about it.

use std::fmt;

use serde::Serialize;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// Path of the field, such as `spec.matrix.methods[1].params.alpha`; empty for the document as a whole.
    pub path: String,
    /// What is wrong; names the value.
    pub message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Problem {
    /// A problem without a remedy.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into(), remedy: None }
    }

    /// The same with what to do.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// A name that is not in its list.
    pub fn unknown<'a>(
        path: impl Into<String>,
        what: &str,
        value: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let known: Vec<&str> = known.into_iter().collect();
        let problem = Self::new(path, format!("unknown {what} `{value}`"));
        match closest(value, &known) {
            Some(near) => problem.remedy(format!("did you mean `{near}`?")),
            None if known.is_empty() => problem.remedy("there is none; leave it out"),
            None => problem.remedy(format!("known: {}", known.join(", "))),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        match &self.remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

/// The known name that was probably meant: at most a third of it is typed wrongly.
fn closest<'a>(value: &str, known: &[&'a str]) -> Option<&'a str> {
    let typed = value.to_lowercase();
    known
        .iter()
        .map(|k| (strsim::damerau_levenshtein(&typed, &k.to_lowercase()), *k))
        .filter(|(wrong, k)| *wrong <= k.chars().count().div_ceil(3))
        .min_by_key(|(wrong, _)| *wrong)
        .map(|(_, k)| k)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_suggested_and_a_far_one_lists_all() {
        let known = ["vanilla", "mixup", "cutmix"];
        assert_eq!(
            Problem::unknown("p", "method", "CutMx", known).to_string(),
            "p: unknown method `CutMx`; did you mean `cutmix`?"
        );
        assert_eq!(
            Problem::unknown("", "method", "dropout", known).to_string(),
            "unknown method `dropout`; known: vanilla, mixup, cutmix"
        );
    }
}
