//! What mixes: one file for each method, one row in [`METHODS`].
//!
//! A method first [draws](Mix::draw) (pure, on loader threads: plain data that `preview` writes out), then [applies](Mix::apply) what was
//! drawn to a batch on its device. Applying never reads a device value, so the training thread does not wait for a GPU.
//!
//! Shapes: N images, C channels, H rows, W columns, K classes. λ is the weight of an image itself, 1 − λ that of its partner `perm[i]`.

mod cutmix;
mod mixed;
mod mixup;
#[cfg(test)]
mod tests;
mod vanilla;

use std::borrow::Cow;
use std::collections::BTreeMap;

use mixbench_crds::catalog::{MethodCard, ParamCard, ParamError, ParamKind};
use mixbench_crds::run::{self, Param};
use mixbench_crds::training::Loss;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::backbones::Net;
use crate::data::loader::HostBatch;
use crate::rng::{Key, Rng, Stream};

pub use cutmix::BBox;
pub use mixed::Mixed;

/// All methods.
pub static METHODS: &[&Method] = &[&vanilla::METHOD, &mixup::METHOD, &cutmix::METHOD];

/// A row of [`METHODS`].
#[derive(Debug)]
pub struct Method {
    /// What the planner knows of it.
    pub card: MethodCard,
    /// Makes the method from parameters that fit its card.
    pub build: fn(&Params) -> Box<dyn Mix>,
}

/// The address of a draw. Never rank, thread or clock: two processes draw what one that accumulates draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrawKey {
    /// The run's seed.
    pub seed: u64,
    /// Epoch, from 0.
    pub epoch: u32,
    /// Step within the epoch, from 0.
    pub step: u32,
    /// Micro-batch within the step over all ranks, from 0; 0 for all of a step under [`Scope::Step`].
    pub micro: u32,
}

impl DrawKey {
    /// The generator of one use of randomness.
    pub(crate) fn rng(&self, stream: Stream) -> Rng {
        Key::new(self.seed, stream).step(self.epoch, u64::from(self.step), self.micro).rng()
    }
}

/// What shares one draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All micro-batches of a step: what the published numbers were made with, where all GPUs draw alike.
    Step,
    /// Each micro-batch draws its own.
    Micro,
}

impl Scope {
    /// The address for micro-batch `micro` (over all ranks) of a step.
    pub fn key(self, seed: u64, epoch: u32, step: u32, micro: u32) -> DrawKey {
        DrawKey { seed, epoch, step, micro: if self == Self::Micro { micro } else { 0 } }
    }
}

/// Everything random about one batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drawn {
    /// Which mixing this batch gets; the method's name unless it has several.
    pub mode: String,
    /// λ of each image in 0..=1, as the labels are weighted.
    pub lam: Vec<f64>,
    /// Partner of each image: a permutation of 0..N.
    pub perm: Vec<i64>,
    /// The pasted box, where there is one; the same for all images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bbox: Option<BBox>,
}

/// A mixing method.
pub trait Mix: Send + Sync {
    /// What shares a draw.
    fn scope(&self) -> Scope {
        Scope::Step
    }

    /// Draws for a batch of which `n`, `h` and `w` (and, for methods that look at them, pixels) are read. Pure.
    fn draw(&self, key: &DrawKey, batch: &HostBatch) -> Drawn;

    /// Mixes normalised images `x` NCHW with labels `y` i64 `[N]`. Neither is changed; device, kind and memory format stay.
    fn apply(&self, x: &Tensor, y: &Tensor, drawn: &Drawn) -> Mixed;

    /// What share of each pixel is the image's own: values in 0..=1 that broadcast against NCHW, so that mixed = mask·A + (1 − mask)·B.
    /// For pictures and checks; training does not need it.
    fn mask(&self, drawn: &Drawn, _h: i64, _w: i64) -> Tensor {
        Tensor::from_slice(&drawn.lam).view([-1, 1, 1, 1])
    }

    /// Logits `[N, K]` of a mixed batch in training. Methods that mix features override it.
    fn forward(&self, net: &dyn Net, mixed: &Mixed) -> Tensor {
        net.forward(&mixed.x, true)
    }

    /// The loss of these logits, a scalar. Methods with a loss of their own override it.
    fn loss(&self, spec: &Loss, logits: &Tensor, mixed: &Mixed) -> Tensor {
        crate::optim::loss::loss(spec, logits, &mixed.targets(logits.size()[1]))
    }
}

/// Parameters that fit a card: all of them, each in its range.
#[derive(Clone, Debug, PartialEq)]
pub struct Params(BTreeMap<String, Param>);

impl Params {
    /// A number.
    ///
    /// # Panics
    /// If the card has no number of this name.
    pub fn number(&self, name: &str) -> f64 {
        self.0.get(name).and_then(Param::number).expect("the card has a number of this name")
    }
}

/// Why a method cannot be built.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum MethodError {
    /// No such row.
    #[error("unknown method `{name}`{hint}; `mixbench-trainer catalog` lists all")]
    Unknown {
        /// As given.
        name: String,
        /// The nearest name as a question, or nothing.
        hint: String,
    },
    /// The method has no such parameter.
    #[error("method `{method}` has no parameter `{name}`{hint}")]
    UnknownParam {
        /// The method.
        method: String,
        /// As given.
        name: String,
        /// The nearest name as a question, or nothing.
        hint: String,
    },
    /// A resolved run must name all parameters.
    #[error(
        "method `{method}` needs its parameter `{name}`; a run names all of them, `mixbench plan` writes such runs"
    )]
    Missing {
        /// The method.
        method: String,
        /// The parameter.
        name: String,
    },
    /// A value that the card does not allow.
    #[error("parameter `{name}` of method `{method}`: {source}")]
    Param {
        /// The method.
        method: String,
        /// The parameter.
        name: String,
        /// What is wrong.
        source: ParamError,
    },
}

/// The row of this name.
///
/// # Errors
/// [`MethodError::Unknown`].
pub fn find(name: &str) -> Result<&'static Method, MethodError> {
    METHODS.iter().copied().find(|m| m.card.name == name).ok_or_else(|| MethodError::Unknown {
        name: name.to_owned(),
        hint: crate::catalog::did_you_mean(name, METHODS.iter().map(|m| &*m.card.name)),
    })
}

/// Builds the method of a run, all of whose parameters are named.
///
/// # Errors
/// [`MethodError`] for an unknown method, and for a parameter that is unknown, missing or out of range.
pub fn build(method: &run::Method) -> Result<Box<dyn Mix>, MethodError> {
    let row = find(&method.name)?;
    let texts = method.params.iter().map(|(name, value)| (name.as_str(), value.to_string()));
    let params = check(row, texts)?;
    match row.card.params.iter().find(|card| !params.contains_key(&*card.name)) {
        Some(card) => Err(MethodError::Missing { method: method.name.clone(), name: card.name.to_string() }),
        None => Ok((row.build)(&Params(params))),
    }
}

/// A method with the parameters given as text and the card's defaults for the rest.
///
/// # Errors
/// [`MethodError`] for an unknown method, and for a parameter that is unknown or out of range.
pub fn resolve(name: &str, given: &[(String, String)]) -> Result<run::Method, MethodError> {
    let row = find(name)?;
    let mut params = check(row, given.iter().map(|(name, value)| (name.as_str(), value.clone())))?;
    for card in &*row.card.params {
        params.entry(card.name.to_string()).or_insert_with(|| card.kind.default_value());
    }
    Ok(run::Method { name: name.to_owned(), params })
}

fn check<'a>(
    row: &Method,
    given: impl Iterator<Item = (&'a str, String)>,
) -> Result<BTreeMap<String, Param>, MethodError> {
    let cards = &*row.card.params;
    given
        .map(|(name, value)| {
            let method = row.card.name.to_string();
            let Some(card) = cards.iter().find(|card| card.name == name) else {
                let hint = crate::catalog::did_you_mean(name, cards.iter().map(|card| &*card.name));
                return Err(MethodError::UnknownParam { method, name: name.to_owned(), hint });
            };
            match card.kind.parse(&value) {
                Ok(value) => Ok((name.to_owned(), value)),
                Err(source) => Err(MethodError::Param { method, name: name.to_owned(), source }),
            }
        })
        .collect()
}

/// The card of α, the shape of the symmetric Beta distribution that λ is drawn from.
const fn alpha(default: f64, summary: &'static str) -> ParamCard {
    ParamCard {
        name: Cow::Borrowed("alpha"),
        summary: Cow::Borrowed(summary),
        kind: ParamKind::Number { above: 0.0, max: 64.0, default },
    }
}
