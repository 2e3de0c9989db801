//! The layers that convolutional backbones are made of: PyTorch's parameter names, no allocation that PyTorch eager would not make.
//!
//! A layer only registers its parameters (zeros, ones); [`super::init`] fills them in afterwards.

use std::borrow::Borrow;

use tch::nn::{self, Init};
use tch::{Device, Tensor};

const NONE: Option<&Tensor> = None;

/// A square convolution without bias; a normalisation always follows it.
#[derive(Debug)]
pub(super) struct Conv {
    weight: Tensor,
    stride: i64,
    padding: i64,
}

impl Conv {
    /// `k`×`k` from `c_in` to `c_out` channels, padded so that stride 1 keeps the size.
    pub(super) fn new<'a>(path: impl Borrow<nn::Path<'a>>, c_in: i64, c_out: i64, k: i64, stride: i64) -> Self {
        let weight = path.borrow().var("weight", &[c_out, c_in, k, k], Init::Const(0.0));
        Self { weight, stride, padding: k / 2 }
    }

    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        x.conv2d(&self.weight, NONE, [self.stride; 2], [self.padding; 2], [1; 2], 1)
    }
}

/// Batch normalisation over N, H and W: ε 1e-5, momentum 0.1, affine, starting as the identity.
#[derive(Debug)]
pub(super) struct BatchNorm {
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
}

impl BatchNorm {
    pub(super) fn new<'a>(path: impl Borrow<nn::Path<'a>>, channels: i64) -> Self {
        let path = path.borrow();
        Self {
            weight: path.var("weight", &[channels], Init::Const(1.0)),
            bias: path.var("bias", &[channels], Init::Const(0.0)),
            running_mean: path.zeros_no_train("running_mean", &[channels]),
            running_var: path.ones_no_train("running_var", &[channels]),
        }
    }

    /// With `train` the batch's statistics, which also move the running ones; otherwise the running ones (gradients still flow).
    pub(super) fn forward(&self, x: &Tensor, train: bool) -> Tensor {
        let (mean, var) = (Some(&self.running_mean), Some(&self.running_var));
        x.batch_norm(Some(&self.weight), Some(&self.bias), mean, var, train, 0.1, 1e-5, true)
    }
}

/// A fully connected layer with bias.
#[derive(Debug)]
pub(super) struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    pub(super) fn new<'a>(path: impl Borrow<nn::Path<'a>>, c_in: i64, c_out: i64) -> Self {
        let path = path.borrow();
        Self {
            weight: path.var("weight", &[c_out, c_in], Init::Const(0.0)),
            bias: path.var("bias", &[c_out], Init::Const(0.0)),
        }
    }

    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        x.linear(&self.weight, Some(&self.bias))
    }
}

/// Global average pooling and the classifier: NCHW to `[N, classes]`.
pub(super) fn pool_and_classify(x: &Tensor, fc: &Linear) -> Tensor {
    fc.forward(&x.adaptive_avg_pool2d([1, 1]).flatten(1, -1))
}

/// Where a network is registered before its weights are drawn.
pub(super) fn store() -> nn::VarStore {
    nn::VarStore::new(Device::Cpu)
}
