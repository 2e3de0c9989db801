//! Optimizer steps in one call over all parameters, and operations on lists of tensors. None of them is recorded by autograd.

use crate::error::Error;
use crate::ffi::{into_tch, list, sys};
use std::borrow::Borrow;
use tch::Tensor;

/// One step of stochastic gradient descent, as `torch.optim.SGD` without dampening:
/// g ← g + `weight_decay`·p; b ← `momentum`·b + g (first step: b ← g); p ← p − `lr`·b, or with Nesterov p ← p − `lr`·(g + `momentum`·b).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sgd {
    /// Learning rate of this step.
    pub lr: f64,
    /// Momentum in [0, 1); at 0 no buffers are used.
    pub momentum: f64,
    /// L2 penalty, added to the gradient.
    pub weight_decay: f64,
    /// Nesterov's form.
    pub nesterov: bool,
    /// Whether the buffers are still to be set to the gradient.
    pub first_step: bool,
}

/// One step of AdamW, as `torch.optim.AdamW`: decoupled weight decay, bias correction by `step`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamW {
    /// Learning rate of this step.
    pub lr: f64,
    /// Decay of the first and the second moment, each in [0, 1).
    pub betas: (f64, f64),
    /// Added to the square root of the second moment.
    pub eps: f64,
    /// Decoupled decay: p ← p·(1 − `lr`·`weight_decay`) before the step.
    pub weight_decay: f64,
    /// Number of this step, from 1.
    pub step: i64,
}

/// Makes one step of SGD. `grads` and `momentum_buffers` match `params` one by one in size, layout, kind and device; the buffers
/// may be empty if the momentum is 0.
///
/// # Errors
/// [`Error::Torch`] if the lists do not match.
pub fn fused_sgd_<T: Borrow<Tensor>>(
    params: &[T],
    grads: &[T],
    momentum_buffers: &[T],
    sgd: &Sgd,
) -> Result<(), Error> {
    let &Sgd { lr, momentum, weight_decay, nesterov, first_step } = sgd;
    let step = sys::SgdStep { lr, momentum, weight_decay, nesterov, first: first_step };
    Ok(sys::fused_sgd(&list(params), &list(grads), &list(momentum_buffers), &step)?)
}

/// Makes one step of AdamW. `exp_avgs` and `exp_avg_sqs` (the moments, zero before the first step) and `grads` match `params` one
/// by one in size, layout, kind and device.
///
/// # Errors
/// [`Error::Torch`] if the lists do not match.
pub fn fused_adamw_<T: Borrow<Tensor>>(
    params: &[T],
    grads: &[T],
    exp_avgs: &[T],
    exp_avg_sqs: &[T],
    adamw: &AdamW,
) -> Result<(), Error> {
    let &AdamW { lr, betas: (beta1, beta2), eps, weight_decay, step } = adamw;
    let step = sys::AdamWStep { lr, beta1, beta2, eps, weight_decay, step };
    Ok(sys::fused_adamw(&list(params), &list(grads), &list(exp_avgs), &list(exp_avg_sqs), &step)?)
}

/// Sets all tensors to zero.
///
/// # Errors
/// [`Error::Torch`] if one is undefined.
pub fn foreach_zero_<T: Borrow<Tensor>>(tensors: &[T]) -> Result<(), Error> {
    Ok(sys::foreach_zero(&list(tensors))?)
}

/// Zeroes the gradients that exist. Unlike `Tensor::zero_grad` this also serves gradients that are views into the buckets of
/// [`crate::Ddp`].
///
/// # Errors
/// [`Error::Torch`] if libtorch refuses.
pub fn zero_grads<T: Borrow<Tensor>>(params: &[T]) -> Result<(), Error> {
    let grads: Vec<Tensor> = params.iter().map(|p| p.borrow().grad()).filter(Tensor::defined).collect();
    foreach_zero_(&grads)
}

/// Multiplies all tensors by `factor`.
///
/// # Errors
/// [`Error::Torch`] if one is undefined.
pub fn foreach_mul_<T: Borrow<Tensor>>(tensors: &[T], factor: f64) -> Result<(), Error> {
    Ok(sys::foreach_mul(&list(tensors), factor)?)
}

/// Moves each tensor towards its end: t ← t + `weight`·(end − t). An exponential moving average with decay d has weight 1 − d.
///
/// # Errors
/// [`Error::Torch`] if the lists do not match.
pub fn foreach_lerp_<T: Borrow<Tensor>, U: Borrow<Tensor>>(
    tensors: &[T],
    ends: &[U],
    weight: f64,
) -> Result<(), Error> {
    Ok(sys::foreach_lerp(&list(tensors), &list(ends), weight)?)
}

/// Scales the gradients so that their common L2 norm is at most `max_norm`, and returns the norm before, on their device and
/// without waiting for it. As `torch.nn.utils.clip_grad_norm_`.
///
/// # Errors
/// [`Error::Torch`] if the list is empty.
pub fn clip_grad_norm_<T: Borrow<Tensor>>(grads: &[T], max_norm: f64) -> Result<Tensor, Error> {
    Ok(into_tch(sys::clip_grad_norm(&list(grads), max_norm)?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    fn tensors(seed: i64, like: &[&[i64]]) -> Vec<Tensor> {
        let value = |n: i64| (Tensor::arange(n, (Kind::Double, Device::Cpu)) + seed).sin();
        like.iter().map(|s| value(s.iter().product()).view(*s)).collect()
    }

    fn distance(a: &[Tensor], b: &[Tensor]) -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - b).abs().max().double_value(&[])).fold(0.0, f64::max)
    }

    const SHAPES: [&[i64]; 3] = [&[7], &[3, 5], &[2, 3, 2, 2]];

    #[test]
    fn sgd_is_its_formula() {
        for (momentum, nesterov) in [(0.0, false), (0.9, false), (0.9, true)] {
            let (lr, weight_decay) = (0.1, 1e-2);
            let (params, bufs) = (tensors(1, &SHAPES), tensors(2, &SHAPES));
            let mut want: Vec<(Tensor, Tensor)> = params.iter().map(|p| (p.copy(), p.zeros_like())).collect();
            for step in 0..4 {
                let grads = tensors(10 + step, &SHAPES);
                let sgd = Sgd { lr, momentum, weight_decay, nesterov, first_step: step == 0 };
                fused_sgd_(&params, &grads, if momentum == 0.0 { &[] } else { &bufs }, &sgd).unwrap();
                for ((p, b), g) in want.iter_mut().zip(&grads) {
                    let g = g + weight_decay * &*p;
                    *b = if step == 0 { g.copy() } else { momentum * &*b + &g };
                    *p = &*p - lr * if nesterov { &g + momentum * &*b } else { b.copy() };
                }
            }
            let (want, want_bufs): (Vec<Tensor>, Vec<Tensor>) = want.into_iter().unzip();
            assert!(distance(&params, &want) < 1e-14);
            assert!(momentum == 0.0 || distance(&bufs, &want_bufs) < 1e-14);
        }
    }

    #[test]
    fn adamw_is_its_formula() {
        let (lr, b1, b2, eps, weight_decay) = (1e-2, 0.9, 0.999, 1e-8, 0.05);
        let params = tensors(1, &SHAPES);
        let zeros = || params.iter().map(Tensor::zeros_like).collect::<Vec<_>>();
        let (m, v) = (zeros(), zeros());
        let mut want: Vec<_> = params.iter().map(|p| (p.copy(), p.zeros_like(), p.zeros_like())).collect();
        for step in 1..=4 {
            let grads = tensors(10 + step, &SHAPES);
            fused_adamw_(&params, &grads, &m, &v, &AdamW { lr, betas: (b1, b2), eps, weight_decay, step }).unwrap();
            for ((p, m, v), g) in want.iter_mut().zip(&grads) {
                *m = b1 * &*m + (1.0 - b1) * g;
                *v = b2 * &*v + (1.0 - b2) * g.square();
                let (c1, c2) = (1.0 - b1.powi(step as i32), 1.0 - b2.powi(step as i32));
                *p = &*p * (1.0 - lr * weight_decay) - lr * (&*m / c1) / ((&*v / c2).sqrt() + eps);
            }
        }
        let want: Vec<Tensor> = want.into_iter().map(|(p, ..)| p).collect();
        assert!(distance(&params, &want) < 1e-13);
    }

    #[test]
    fn a_gradient_laid_out_otherwise_is_refused_and_one_by_one_kernels_are_not() {
        let sgd = Sgd { lr: 0.1, momentum: 0.0, weight_decay: 0.0, nesterov: false, first_step: true };
        let mut weight = tensors(1, &[&[2, 3, 2, 2]]);
        crate::to_channels_last_(&mut weight[0]).unwrap();
        let message = fused_sgd_(&weight, &tensors(2, &[&[2, 3, 2, 2]]), &[], &sgd).unwrap_err().to_string();
        assert!(message.contains("parameter 0") && message.contains("gradients"), "{message}");
        let mut pointwise = tensors(1, &[&[4, 3, 1, 1]]);
        crate::to_channels_last_(&mut pointwise[0]).unwrap();
        fused_sgd_(&pointwise, &tensors(2, &[&[4, 3, 1, 1]]), &[], &sgd).unwrap();
        let message = fused_sgd_(&weight, &[], &[], &sgd).unwrap_err().to_string();
        assert!(message.contains("1 parameters but 0 gradients"), "{message}");
    }

    #[test]
    fn an_average_moves_by_its_weight() {
        let (ema, model) = (tensors(1, &SHAPES), tensors(2, &SHAPES));
        let want: Vec<Tensor> = ema.iter().zip(&model).map(|(e, m)| 0.99 * e + 0.01 * m).collect();
        foreach_lerp_(&ema, &model, 0.01).unwrap();
        assert!(distance(&ema, &want) < 1e-15);
    }

    #[test]
    fn gradients_are_clipped_only_above_the_limit() {
        let grads = [Tensor::from_slice(&[3.0f64]), Tensor::from_slice(&[4.0f64])];
        assert!((clip_grad_norm_(&grads, 10.0).unwrap().double_value(&[]) - 5.0).abs() < 1e-12);
        assert!((grads[1].double_value(&[0]) - 4.0).abs() < 1e-12);
        let _ = clip_grad_norm_(&grads, 1.0).unwrap();
        assert!((grads[1].double_value(&[0]) - 0.8).abs() < 1e-6);
        foreach_mul_(&grads, 0.0).unwrap();
        assert!(distance(&grads, &[grads[0].zeros_like(), grads[1].zeros_like()]) == 0.0);
    }

    #[test]
    fn zeroing_skips_parameters_without_gradient() {
        let with = Tensor::ones([3], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let without = Tensor::ones([3], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        with.sum(Kind::Float).backward();
        zero_grads(&[&with, &without]).unwrap();
        assert!(with.grad().abs().max().double_value(&[]) == 0.0 && !without.grad().defined());
    }
}
