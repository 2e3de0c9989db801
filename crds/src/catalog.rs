//! What the planner must know of methods, backbones and data sets. The trainer's tables are the source; `mixbench-trainer catalog` writes them
//! to `crds/catalog.json`, which is committed and read here.

use std::borrow::Cow;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::run::Param;
use crate::training::Stem;

/// A text that is either compiled in or read.
pub type Text = Cow<'static, str>;

/// The text of the committed catalog.
pub const COMMITTED: &str = include_str!("../catalog.json");

/// All tables of a trainer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Catalog {
    /// What mixes.
    pub methods: Vec<MethodCard>,
    /// What classifies.
    pub backbones: Vec<BackboneCard>,
    /// Known data sets.
    pub datasets: Vec<DatasetCard>,
    /// Ways to read data.
    pub sources: Vec<SourceCard>,
}

/// A mixing method.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MethodCard {
    /// Name in manifests.
    pub name: Text,
    /// Name in tables.
    pub title: Text,
    /// Where it was published, such as `arXiv:1905.04899`.
    pub paper: Text,
    /// What it does, in a sentence.
    pub summary: Text,
    /// Its parameters.
    pub params: Cow<'static, [ParamCard]>,
}

/// A parameter of a method.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParamCard {
    /// Name in manifests.
    pub name: Text,
    /// What it does, with its unit.
    pub summary: Text,
    /// What values it takes.
    #[serde(flatten)]
    pub kind: ParamKind,
}

/// Values that a parameter takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum ParamKind {
    /// A number with `above < value ≤ max`.
    Number {
        /// Exclusive lower bound.
        above: f64,
        /// Inclusive upper bound.
        max: f64,
        /// Value when the manifest names none.
        default: f64,
    },
    /// `"true"` or `"false"`.
    Bool {
        /// Value when the manifest names none.
        default: bool,
    },
    /// One of a list.
    Choice {
        /// The list.
        of: Cow<'static, [Text]>,
        /// Value when the manifest names none.
        default: Text,
    },
}

/// A backbone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackboneCard {
    /// Name in manifests.
    pub name: Text,
    /// Name in tables.
    pub title: Text,
    /// Where it was published.
    pub paper: Text,
    /// Trainable parameters with 1000 classes and the first of `stems`.
    pub parameters: u64,
    /// Stems that it can be built with.
    pub stems: Cow<'static, [Stem]>,
    /// Smallest side of an input in pixels.
    pub min_input: u32,
    /// The side of an input must be a multiple of this.
    pub input_multiple: u32,
}

/// A data set known by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DatasetCard {
    /// Name in manifests.
    pub name: Text,
    /// Name in tables.
    pub title: Text,
    /// Images of the training split.
    pub train: u64,
    /// Images of the validation split.
    pub val: u64,
    /// Classes.
    pub classes: u32,
    /// Mean of each RGB channel in 0..1.
    pub mean: [f64; 3],
    /// Standard deviation of each RGB channel in 0..1.
    pub std: [f64; 3],
    /// Where it lies, if it is compiled in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<Text>,
}

/// A way to read data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceCard {
    /// Scheme of its URIs.
    pub scheme: Text,
    /// What stands behind the colon.
    pub summary: Text,
}

/// Why a parameter's value is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ParamError {
    /// Not of the kind.
    #[error("`{value}` is not {wanted}")]
    Kind {
        /// As given.
        value: String,
        /// What it should be.
        wanted: String,
    },
    /// Outside the range.
    #[error("{value} is out of range: {above} < value ≤ {max}")]
    Range {
        /// As given.
        value: String,
        /// Exclusive lower bound.
        above: f64,
        /// Inclusive upper bound.
        max: f64,
    },
}

impl ParamKind {
    /// The value when the manifest names none.
    pub fn default_value(&self) -> Param {
        match self {
            Self::Number { default, .. } => Param::Number(*default),
            Self::Bool { default } => Param::Bool(*default),
            Self::Choice { default, .. } => Param::Text(default.clone().into_owned()),
        }
    }

    /// Reads a value as a manifest writes it.
    ///
    /// # Errors
    /// [`ParamError`] names the value and what it should be.
    pub fn parse(&self, value: &str) -> Result<Param, ParamError> {
        let kind = |wanted: String| ParamError::Kind { value: value.to_owned(), wanted };
        match self {
            Self::Number { above, max, .. } => {
                let number: f64 = value.trim().parse().map_err(|_| kind("a number".into()))?;
                if !number.is_finite() {
                    return Err(kind("a finite number".into()));
                }
                if number <= *above || number > *max {
                    return Err(ParamError::Range { value: value.to_owned(), above: *above, max: *max });
                }
                Ok(Param::Number(number))
            }
            Self::Bool { .. } => value.parse().map(Param::Bool).map_err(|_| kind("`true` or `false`".into())),
            Self::Choice { of, .. } => of
                .iter()
                .any(|c| c == value)
                .then(|| Param::Text(value.to_owned()))
                .ok_or_else(|| kind(format!("one of {}", of.join(", ")))),
        }
    }
}

impl Catalog {
    /// The committed catalog.
    pub fn get() -> &'static Self {
        static CATALOG: LazyLock<Catalog> =
            LazyLock::new(|| serde_json::from_str(COMMITTED).expect("crds/catalog.json is generated and tested"));
        &CATALOG
    }

    /// The method of this name.
    pub fn method(&self, name: &str) -> Option<&MethodCard> {
        self.methods.iter().find(|m| m.name == name)
    }

    /// The backbone of this name.
    pub fn backbone(&self, name: &str) -> Option<&BackboneCard> {
        self.backbones.iter().find(|b| b.name == name)
    }

    /// The data set of this name.
    pub fn dataset(&self, name: &str) -> Option<&DatasetCard> {
        self.datasets.iter().find(|d| d.name == name)
    }
}
