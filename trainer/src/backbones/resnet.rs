//! ResNet-18, 34, 50 and 101. He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv:1512.03385.
//!
//! Version 1 with the stride in a bottleneck's 3×3 convolution, as torchvision has it, and with torchvision's parameter names: its
//! weights load as they are. [`Stem::Small`] replaces the 7×7 stride-2 convolution and the pool by one 3×3 convolution.

use std::borrow::Cow;

use mixbench_crds::catalog::BackboneCard;
use mixbench_crds::training::Stem;
use tch::{Tensor, nn};

use super::layers::{BatchNorm, Conv, Linear, pool_and_classify};
use super::{Backbone, Net, init};

const STAGES: &[&str] = &["stem", "layer1", "layer2", "layer3", "layer4", "head"];
const WIDTHS: [i64; 4] = [64, 128, 256, 512];

const fn card(name: &'static str, title: &'static str, parameters: u64) -> BackboneCard {
    BackboneCard {
        name: Cow::Borrowed(name),
        title: Cow::Borrowed(title),
        paper: Cow::Borrowed("arXiv:1512.03385"),
        parameters,
        stems: Cow::Borrowed(&[Stem::Imagenet, Stem::Small]),
        min_input: 32,
        input_multiple: 1,
    }
}

/// Two basic blocks in each stage.
pub(super) static RESNET18: Backbone = Backbone {
    card: card("resnet18", "ResNet-18", 11_689_512),
    build: |path, classes, stem| Box::new(ResNet::new(path, Block::Basic, [2, 2, 2, 2], classes, stem)),
    init: |name, shape| init::residual(name, shape, "bn2.weight"),
};

/// Basic blocks: 3, 4, 6, 3.
pub(super) static RESNET34: Backbone = Backbone {
    card: card("resnet34", "ResNet-34", 21_797_672),
    build: |path, classes, stem| Box::new(ResNet::new(path, Block::Basic, [3, 4, 6, 3], classes, stem)),
    init: |name, shape| init::residual(name, shape, "bn2.weight"),
};

/// Bottlenecks: 3, 4, 6, 3.
pub(super) static RESNET50: Backbone = Backbone {
    card: card("resnet50", "ResNet-50", 25_557_032),
    build: |path, classes, stem| Box::new(ResNet::new(path, Block::Bottleneck, [3, 4, 6, 3], classes, stem)),
    init: |name, shape| init::residual(name, shape, "bn3.weight"),
};

/// Bottlenecks: 3, 4, 23, 3.
pub(super) static RESNET101: Backbone = Backbone {
    card: card("resnet101", "ResNet-101", 44_549_160),
    build: |path, classes, stem| Box::new(ResNet::new(path, Block::Bottleneck, [3, 4, 23, 3], classes, stem)),
    init: |name, shape| init::residual(name, shape, "bn3.weight"),
};

/// The two shapes of a residual branch.
#[derive(Clone, Copy, PartialEq)]
enum Block {
    /// 3×3, 3×3.
    Basic,
    /// 1×1, 3×3, 1×1 to four times the width.
    Bottleneck,
}

/// A residual branch (convolutions, each with its norm) beside a shortcut.
#[derive(Debug)]
struct Residual {
    branch: Vec<(Conv, BatchNorm)>,
    downsample: Option<(Conv, BatchNorm)>,
}

impl Residual {
    fn new(path: &nn::Path, block: Block, c_in: i64, width: i64, stride: i64) -> Self {
        // (channels, kernel, stride) of each convolution.
        let plan: &[(i64, i64, i64)] = match block {
            Block::Basic => &[(width, 3, stride), (width, 3, 1)],
            Block::Bottleneck => &[(width, 1, 1), (width, 3, stride), (4 * width, 1, 1)],
        };
        let mut branch = Vec::with_capacity(plan.len());
        let mut from = c_in;
        for (i, &(to, k, stride)) in (1..).zip(plan) {
            let conv = Conv::new(path / format!("conv{i}"), from, to, k, stride);
            branch.push((conv, BatchNorm::new(path / format!("bn{i}"), to)));
            from = to;
        }
        let downsample = (stride != 1 || c_in != from).then(|| {
            let path = path / "downsample";
            (Conv::new(&path / 0, c_in, from, 1, stride), BatchNorm::new(&path / 1, from))
        });
        Self { branch, downsample }
    }

    fn forward(&self, x: &Tensor, train: bool) -> Tensor {
        let (last, inner) = self.branch.split_last().expect("a branch has convolutions");
        let mut out = None;
        for (conv, norm) in inner {
            let convolved = conv.forward(out.as_ref().unwrap_or(x));
            out = Some(norm.forward(&convolved, train).relu_());
        }
        let convolved = last.0.forward(out.as_ref().unwrap_or(x));
        drop(out);
        let mut out = last.1.forward(&convolved, train);
        // Neither the norm nor the sum needs its output for the backward pass, so both may be overwritten.
        let mut sum = match &self.downsample {
            None => out.g_add_(x),
            Some((conv, norm)) => out.g_add_(&norm.forward(&conv.forward(x), train)),
        };
        sum.relu_()
    }
}

/// A network of four stages of residual blocks.
#[derive(Debug)]
struct ResNet {
    conv1: Conv,
    bn1: BatchNorm,
    pool: bool,
    layers: Vec<Vec<Residual>>,
    fc: Linear,
}

impl ResNet {
    fn new(path: &nn::Path, block: Block, depths: [usize; 4], classes: i64, stem: Stem) -> Self {
        let conv1 = match stem {
            Stem::Imagenet => Conv::new(path / "conv1", 3, 64, 7, 2),
            Stem::Small => Conv::new(path / "conv1", 3, 64, 3, 1),
        };
        let expansion = if block == Block::Basic { 1 } else { 4 };
        let mut channels = 64;
        let mut layers = Vec::with_capacity(4);
        for (i, (width, depth)) in (1..).zip(WIDTHS.into_iter().zip(depths)) {
            let stage = path / format!("layer{i}");
            let mut blocks = Vec::with_capacity(depth);
            for j in 0..depth {
                let stride = if i > 1 && j == 0 { 2 } else { 1 };
                blocks.push(Residual::new(&(&stage / j), block, channels, width, stride));
                channels = expansion * width;
            }
            layers.push(blocks);
        }
        Self {
            conv1,
            bn1: BatchNorm::new(path / "bn1", 64),
            pool: stem == Stem::Imagenet,
            layers,
            fc: Linear::new(path / "fc", channels, classes),
        }
    }
}

impl Net for ResNet {
    fn stages(&self) -> &'static [&'static str] {
        STAGES
    }

    fn stage(&self, index: usize, x: &Tensor, train: bool) -> Tensor {
        match index {
            0 => {
                let out = self.bn1.forward(&self.conv1.forward(x), train).relu_();
                if self.pool { out.max_pool2d([3; 2], [2; 2], [1; 2], [1; 2], false) } else { out }
            }
            1..=4 => super::chain(&self.layers[index - 1], x, |block, x| block.forward(x, train)),
            5 => pool_and_classify(x, &self.fc),
            _ => panic!("a ResNet has {} stages, not a stage {index}", STAGES.len()),
        }
    }
}
