//! What classifies: one file for each family, one row in [`BACKBONES`] for each network.
//!
//! Parameters have the names of PyTorch's own implementation, so that its weights load as they are and ours load there.

mod cifar_resnet;
#[cfg(test)]
pub(crate) mod golden;
pub mod init;
mod layers;
mod resnet;
#[cfg(test)]
mod tests;

use mixbench_crds::catalog::BackboneCard;
use mixbench_crds::training::{Init, Stem};
use tch::{Device, Kind, Tensor, nn};

pub use init::Fill;

/// All backbones.
pub static BACKBONES: &[&Backbone] =
    &[&cifar_resnet::RESNET20, &resnet::RESNET18, &resnet::RESNET34, &resnet::RESNET50, &resnet::RESNET101];

/// A row of [`BACKBONES`].
#[derive(Debug)]
pub struct Backbone {
    /// What the planner knows of it.
    pub card: BackboneCard,
    /// Registers a network for so many classes.
    pub build: fn(&nn::Path, i64, Stem) -> Box<dyn Net>,
    /// The proper initialiser: what a parameter of this name and shape starts as.
    pub init: fn(&str, &[i64]) -> Fill,
}

/// A network as a chain of named stages. Shapes: the first stage takes NCHW, the last gives logits `[N, classes]`.
///
/// A stage does not change its input, so that a method can take the output of one, mix it, and go on behind it.
pub trait Net: Send + std::fmt::Debug {
    /// Names of the stages in order.
    fn stages(&self) -> &'static [&'static str];

    /// The output of stage `index` for the output of the one before. With `train`, norms use the batch's statistics and move the running ones;
    /// without, they use the running ones, and gradients still flow.
    fn stage(&self, index: usize, x: &Tensor, train: bool) -> Tensor;

    /// From the output of stage `from - 1` (the images for 0) through stages `from..to`.
    fn forward_range(&self, from: usize, to: usize, x: &Tensor, train: bool) -> Tensor {
        let stages: Vec<usize> = (from..to).collect();
        chain(&stages, x, |&index, x| self.stage(index, x, train))
    }

    /// Logits `[N, classes]` of images NCHW.
    fn forward(&self, x: &Tensor, train: bool) -> Tensor {
        self.forward_range(0, self.stages().len(), x, train)
    }
}

/// A network with its weights.
#[derive(Debug)]
pub struct Model {
    /// Everything that the network holds, by name.
    pub vs: nn::VarStore,
    /// The network.
    pub net: Box<dyn Net>,
    /// Trainable tensors, sorted by name; they share memory with `vs`.
    pub params: Vec<(String, Tensor)>,
    /// Other tensors (running statistics), sorted by name; they share memory with `vs`.
    pub buffers: Vec<(String, Tensor)>,
}

/// Why a backbone cannot be built.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackboneError {
    /// No such row.
    #[error("unknown backbone `{name}`{hint}; `mixbench-trainer catalog` lists all")]
    Unknown {
        /// As given.
        name: String,
        /// The nearest name as a question, or nothing.
        hint: String,
    },
    /// The backbone has no such stem.
    #[error("backbone `{name}` has no {wanted} stem; it has: {has}")]
    Stem {
        /// The backbone.
        name: String,
        /// The stem asked for.
        wanted: String,
        /// The stems that there are.
        has: String,
    },
}

/// The row of this name.
///
/// # Errors
/// [`BackboneError::Unknown`].
pub fn find(name: &str) -> Result<&'static Backbone, BackboneError> {
    BACKBONES.iter().copied().find(|b| b.card.name == name).ok_or_else(|| BackboneError::Unknown {
        name: name.to_owned(),
        hint: crate::catalog::did_you_mean(name, BACKBONES.iter().map(|b| &*b.card.name)),
    })
}

/// Builds and initialises a backbone. Weights are drawn on the CPU in single precision, then moved and converted: every device and precision
/// starts from the same ones.
///
/// # Errors
/// [`BackboneError`] for a name that is not in [`BACKBONES`] and a stem that the backbone has not.
pub fn build(
    name: &str,
    classes: i64,
    stem: Stem,
    init: Init,
    seed: u64,
    device: Device,
    kind: Kind,
) -> Result<Model, BackboneError> {
    let backbone = find(name)?;
    if !backbone.card.stems.contains(&stem) {
        let text = |s: &Stem| format!("{s:?}").to_lowercase();
        let has = backbone.card.stems.iter().map(text).collect::<Vec<_>>().join(", ");
        return Err(BackboneError::Stem { name: name.to_owned(), wanted: text(&stem), has });
    }
    let mut vs = layers::store();
    let net = (backbone.build)(&vs.root(), classes, stem);
    let (mut params, mut buffers): (Vec<_>, Vec<_>) =
        vs.variables().into_iter().partition(|(_, tensor)| tensor.requires_grad());
    params.sort_by(|a, b| a.0.cmp(&b.0));
    buffers.sort_by(|a, b| a.0.cmp(&b.0));
    let shapes: std::collections::HashMap<String, Vec<i64>> =
        params.iter().map(|(name, tensor)| (name.clone(), tensor.size())).collect();
    for (index, (name, tensor)) in params.iter_mut().enumerate() {
        let fill = match init {
            Init::Proper => (backbone.init)(name, &shapes[name]),
            Init::TorchDefault => init::torch_default(name, &shapes[&weight_of(name)]),
        };
        init::fill(tensor, fill, seed, index);
    }
    vs.set_kind(kind);
    vs.set_device(device);
    Ok(Model { vs, net, params, buffers })
}

/// The name of the weight of the layer that a parameter belongs to.
fn weight_of(name: &str) -> String {
    match name.strip_suffix("bias") {
        Some(layer) => format!("{layer}weight"),
        None => name.to_owned(),
    }
}

/// The output of the last link for `x` into the first; each output is let go as soon as the next is there.
fn chain<T>(links: &[T], x: &Tensor, forward: impl Fn(&T, &Tensor) -> Tensor) -> Tensor {
    let mut out: Option<Tensor> = None;
    for link in links {
        out = Some(forward(link, out.as_ref().unwrap_or(x)));
    }
    out.unwrap_or_else(|| x.shallow_clone())
}
