//! Where weights start. A draw depends on the run's seed and the parameter's place in the order of names, on nothing else.

use tch::Tensor;

use crate::rng::{Key, Stream};

/// What one parameter starts as.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fill {
    /// One value everywhere.
    Const(f64),
    /// Normal around 0.
    Normal {
        /// Standard deviation.
        std: f64,
    },
    /// Uniform in `[-bound, bound)`.
    Uniform {
        /// Half the width.
        bound: f64,
    },
}

/// PyTorch's layer defaults: convolutions and linear layers Kaiming-uniform with a = √5, which is ±1/√fan_in, their biases alike; norms 1
/// and 0. `weight` is the shape of the weight of the layer that the parameter belongs to.
pub fn torch_default(name: &str, weight: &[i64]) -> Fill {
    match (weight.len() > 1, name.ends_with("weight")) {
        (true, _) => Fill::Uniform { bound: 1.0 / (weight[1..].iter().product::<i64>() as f64).sqrt() },
        (false, true) => Fill::Const(1.0),
        (false, false) => Fill::Const(0.0),
    }
}

/// The initialiser of residual networks: convolutions Kaiming-normal over fan_out (He et al., arXiv:1502.01852), the last norm of each
/// residual branch (whose name ends with `last_norm`) zero, so that blocks start as the identity (Goyal et al., arXiv:1706.02677, 5.1), the
/// classifier Normal(0, 0.01), biases 0.
pub fn residual(name: &str, shape: &[i64], last_norm: &str) -> Fill {
    match shape.len() {
        4 => Fill::Normal { std: (2.0 / (shape[0] * shape[2] * shape[3]) as f64).sqrt() },
        2 => Fill::Normal { std: 0.01 },
        // The stem's norm has no dot before it; a branch's norm has.
        _ if name.ends_with(&format!(".{last_norm}")) => Fill::Const(0.0),
        _ => Fill::Const(if name.ends_with("weight") { 1.0 } else { 0.0 }),
    }
}

/// Fills `tensor`, parameter number `index` in the order of names, in place.
pub(super) fn fill(tensor: &mut Tensor, fill: Fill, seed: u64, index: usize) {
    let _guard = tch::no_grad_guard();
    let _generator = crate::rng::torch_generator();
    if !matches!(fill, Fill::Const(_)) {
        tch::manual_seed(Key::new(seed, Stream::Init).sample(0, index as u64).torch_seed());
    }
    let _ = match fill {
        Fill::Const(value) => tensor.fill_(value),
        Fill::Normal { std } => tensor.normal_(0.0, std),
        Fill::Uniform { bound } => tensor.uniform_(-bound, bound),
    };
}
