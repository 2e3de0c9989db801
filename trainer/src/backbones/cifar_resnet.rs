//! ResNet-20 for small images. He et al., arXiv:1512.03385, section 4.2: three stages of three basic blocks, 16, 32 and 64 channels.
//!
//! Shortcuts are the paper's option A, without parameters: every second row and column, and zeros for the channels that are new
//! (0.27 M parameters with 10 classes). The zeros come last.

use std::borrow::Cow;

use mixbench_crds::catalog::BackboneCard;
use mixbench_crds::training::Stem;
use tch::{Tensor, nn};

use super::layers::{BatchNorm, Conv, Linear, pool_and_classify};
use super::{Backbone, Net, init};

const STAGES: &[&str] = &["stem", "layer1", "layer2", "layer3", "head"];

/// Three blocks in each stage.
pub(super) static RESNET20: Backbone = Backbone {
    card: BackboneCard {
        name: Cow::Borrowed("resnet20"),
        title: Cow::Borrowed("ResNet-20 (CIFAR)"),
        paper: Cow::Borrowed("arXiv:1512.03385"),
        parameters: 334_072,
        stems: Cow::Borrowed(&[Stem::Small]),
        min_input: 8,
        input_multiple: 1,
    },
    build: |path, classes, _small| Box::new(CifarResNet::new(path, 3, classes)),
    init: |name, shape| init::residual(name, shape, "bn2.weight"),
};

/// Two 3×3 convolutions beside a shortcut without parameters.
#[derive(Debug)]
struct Block {
    conv1: Conv,
    bn1: BatchNorm,
    conv2: Conv,
    bn2: BatchNorm,
    new_channels: i64,
}

impl Block {
    fn new(path: &nn::Path, c_in: i64, c_out: i64) -> Self {
        let stride = if c_in == c_out { 1 } else { 2 };
        Self {
            conv1: Conv::new(path / "conv1", c_in, c_out, 3, stride),
            bn1: BatchNorm::new(path / "bn1", c_out),
            conv2: Conv::new(path / "conv2", c_out, c_out, 3, 1),
            bn2: BatchNorm::new(path / "bn2", c_out),
            new_channels: c_out - c_in,
        }
    }

    fn forward(&self, x: &Tensor, train: bool) -> Tensor {
        let inner = self.bn1.forward(&self.conv1.forward(x), train).relu_();
        let mut out = self.bn2.forward(&self.conv2.forward(&inner), train);
        let mut sum = if self.new_channels == 0 {
            out.g_add_(x)
        } else {
            let thinned = x.slice(2, None, None, 2).slice(3, None, None, 2);
            out.g_add_(&thinned.constant_pad_nd([0, 0, 0, 0, 0, self.new_channels]))
        };
        sum.relu_()
    }
}

/// A network of three stages of `depth` blocks.
#[derive(Debug)]
struct CifarResNet {
    conv1: Conv,
    bn1: BatchNorm,
    layers: Vec<Vec<Block>>,
    fc: Linear,
}

impl CifarResNet {
    fn new(path: &nn::Path, depth: usize, classes: i64) -> Self {
        let mut channels = 16;
        let mut layers = Vec::with_capacity(3);
        for (i, width) in (1..).zip([16, 32, 64]) {
            let stage = path / format!("layer{i}");
            let mut blocks = Vec::with_capacity(depth);
            for j in 0..depth {
                blocks.push(Block::new(&(&stage / j), channels, width));
                channels = width;
            }
            layers.push(blocks);
        }
        Self {
            conv1: Conv::new(path / "conv1", 3, 16, 3, 1),
            bn1: BatchNorm::new(path / "bn1", 16),
            layers,
            fc: Linear::new(path / "fc", channels, classes),
        }
    }
}

impl Net for CifarResNet {
    fn stages(&self) -> &'static [&'static str] {
        STAGES
    }

    fn stage(&self, index: usize, x: &Tensor, train: bool) -> Tensor {
        match index {
            0 => self.bn1.forward(&self.conv1.forward(x), train).relu_(),
            1..=3 => super::chain(&self.layers[index - 1], x, |block, x| block.forward(x, train)),
            4 => pool_and_classify(x, &self.fc),
            _ => panic!("a ResNet-20 has {} stages, not a stage {index}", STAGES.len()),
        }
    }
}
