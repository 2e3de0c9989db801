//! How a run trains: every field of a resolved recipe.

use serde::{Deserialize, Serialize};

use crate::metric::Metric;

/// A recipe with nothing left open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Training {
    /// Passes over the training split, ≥ 1.
    pub epochs: u32,
    /// Images per optimizer step over all processes.
    pub global_batch: u32,
    /// Images per forward pass: what one BatchNorm sees.
    pub micro_batch: u32,
    /// Images per forward pass of a validation.
    pub eval_batch: u32,
    /// What turns gradients into steps.
    pub optimizer: Optimizer,
    /// The learning rate over time.
    pub schedule: Schedule,
    /// What is minimised.
    pub loss: Loss,
    /// Where the weights start.
    pub init: Init,
    /// What the backbone does to its input first.
    pub stem: Stem,
    /// From a decoded training image to the network's input.
    pub train: TrainTransform,
    /// From a decoded validation image to the network's input.
    pub eval: EvalTransform,
    /// Arithmetic of forward and backward.
    #[serde(default)]
    pub precision: Precision,
    /// NHWC memory order inside the network.
    #[serde(default)]
    pub channels_last: bool,
    /// Largest global gradient norm; absent means no clipping.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_grad_norm: Option<f64>,
    /// How the epochs' top-1 become one number.
    pub metric: Metric,
}

impl Training {
    /// Micro-batches that each of `world_size` processes sums before a step: `global_batch ÷ (micro_batch × world_size)`.
    ///
    /// # Errors
    /// `None` when the batch does not divide.
    pub fn accumulation(&self, world_size: u32) -> Option<u32> {
        let at_once = self.micro_batch.checked_mul(world_size)?;
        (at_once > 0 && self.global_batch >= at_once && self.global_batch.is_multiple_of(at_once))
            .then(|| self.global_batch / at_once)
    }

    /// Optimizer steps of one epoch over `images` training images: the tail is padded, never dropped.
    pub fn steps_per_epoch(&self, images: u64) -> u64 {
        images.div_ceil(u64::from(self.global_batch))
    }
}

/// An optimizer with its constants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Optimizer {
    /// Stochastic gradient descent with momentum, as `torch.optim.SGD` (dampening 0).
    Sgd {
        /// Momentum, 0..1.
        momentum: f64,
        /// Nesterov's variant.
        #[serde(default)]
        nesterov: bool,
        /// L2 penalty added to the gradient.
        weight_decay: f64,
        /// Whether BatchNorm's parameters and biases decay too.
        decay_norm_and_bias: bool,
    },
}

/// A cosine schedule with linear warm-up.
///
/// At progress p (epoch ÷ epochs, or step ÷ steps): `lr = min_lr + (lr − min_lr)/2 · (1 + cos πp)`. During warm-up that value is multiplied by
/// `1 − (1 − t/T)(1 − warmup_start)`, t counting steps and T = `warmup_epochs` × steps per epoch: the cosine is not shifted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// Peak learning rate.
    pub lr: f64,
    /// The value that the cosine ends at.
    pub min_lr: f64,
    /// How often the cosine moves on.
    pub per: Per,
    /// Epochs of linear warm-up.
    #[serde(default)]
    pub warmup_epochs: u32,
    /// First factor of the warm-up, 0..1.
    #[serde(default)]
    pub warmup_start: f64,
}

/// How often a schedule moves on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Per {
    /// Once an epoch.
    Epoch,
    /// Each optimizer step.
    Step,
}

/// What is minimised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Loss {
    /// Soft-target cross-entropy, mean over the batch.
    CrossEntropy {
        /// ε of label smoothing: targets become `(1 − ε)·t + ε/K`.
        #[serde(default)]
        label_smoothing: f64,
    },
    /// Binary cross-entropy with logits.
    BinaryCrossEntropy {
        /// Whether classes are summed or averaged; images are averaged in both.
        classes: ClassReduction,
    },
}

/// How a per-class loss is reduced over the classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClassReduction {
    /// Σ over classes.
    Sum,
    /// Mean over classes.
    Mean,
}

/// Where the weights start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kube", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Init {
    /// PyTorch's layer defaults: Kaiming-uniform(a = √5), bias uniform ±1/√fan_in, norms 1 and 0.
    TorchDefault,
    /// The backbone's own initialiser, as its paper or reference code has it.
    Proper,
}

/// What a convolutional backbone does to its input first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "kube", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Stem {
    /// 7×7 stride 2 and max-pool: for 224-pixel images.
    Imagenet,
    /// 3×3 stride 1, no pool: for images of 64 pixels and fewer.
    Small,
}

/// From a decoded training image to the network's input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrainTransform {
    /// What part of the image is taken.
    pub crop: TrainCrop,
    /// Probability of a horizontal flip, 0..1.
    pub flip: f64,
}

/// What part of a training image is taken; every variant yields a square of side `size` pixels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum TrainCrop {
    /// A random area and aspect ratio, resized (torchvision's `RandomResizedCrop`).
    RandomResized {
        /// Side of the result in pixels.
        size: u32,
        /// Share of the image's area, low and high.
        scale: [f64; 2],
        /// Width ÷ height, low and high; drawn log-uniformly.
        ratio: [f64; 2],
        /// Resampling filter.
        interpolation: Interpolation,
    },
    /// Zero padding on all sides, then a random window (the classic of small images).
    RandomPad {
        /// Side of the result in pixels.
        size: u32,
        /// Padding in pixels.
        padding: u32,
    },
}

impl TrainCrop {
    /// Side of the result in pixels.
    pub const fn size(&self) -> u32 {
        match self {
            Self::RandomResized { size, .. } | Self::RandomPad { size, .. } => *size,
        }
    }
}

/// From a decoded validation image to the network's input: resize the short side, then take the centre.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EvalTransform {
    /// Length of the short side after resizing, in pixels; absent means no resizing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resize: Option<u32>,
    /// Side of the central square, in pixels.
    pub crop: u32,
    /// Resampling filter.
    pub interpolation: Interpolation,
}

/// Resampling filters, with Pillow's definitions (antialiased).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Interpolation {
    /// Triangle filter.
    Bilinear,
    /// Keys' cubic, a = −0.5.
    Bicubic,
}

/// Arithmetic of forward and backward; weights and optimizer state are f32, with `f64` f64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "kube", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// Single precision.
    #[default]
    F32,
    /// bfloat16 autocast.
    Bf16,
    /// Double precision, for comparisons.
    F64,
}
