//! Data parallelism: gradients are averaged over the ranks while the backward pass still runs.

use crate::error::{Error, collective};
use crate::ffi::{list, sys};
use crate::group::Group;
use cxx::UniquePtr;
use std::borrow::Borrow;
use std::fmt;
use tch::Tensor;

/// libtorch's own engine of `DistributedDataParallel`, hooked into the gradients of a model's parameters.
///
/// One step is [`Ddp::prepare_forward`], the forward pass, [`Ddp::prepare_backward`], the backward pass; after it all ranks hold
/// the same mean gradients. Leaving both calls out accumulates locally (`no_sync`), and the next synchronised backward averages the
/// sum. Every parameter must take part in every synchronised backward pass.
///
/// Gradients are views into the buckets from the start (zero at first): zero them with [`crate::zero_grads`], never replace them.
/// The buckets are laid out once, by the order of the parameters. So every step runs alike, and a resumed run gives the same bits
/// as an undisturbed one. Buffers (BatchNorm's) are not touched. Ranks on GPUs are processes: within one process they would wait
/// for each other in autograd's one thread per GPU.
pub struct Ddp {
    ddp: UniquePtr<sys::Ddp>,
}

impl fmt::Debug for Ddp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ddp")
    }
}

impl Ddp {
    /// Checks that all ranks have the same parameters, gives them rank 0's values, and hooks into their gradients until dropped.
    /// Buckets hold up to `bucket_bytes` (the first one to be ready at most 1 MiB); PyTorch's default is 25 MiB.
    ///
    /// # Errors
    /// [`Error::Collective`] if the parameters differ in number, size or memory format, or a peer is gone.
    pub fn new<T: Borrow<Tensor>>(group: &Group, params: &[T], bucket_bytes: usize) -> Result<Self, Error> {
        let ddp =
            sys::ddp_new(&group.handle, &list(params), bucket_bytes).map_err(collective("data-parallel set-up"))?;
        Ok(Self { ddp })
    }

    /// Before the forward pass of a micro-batch after which gradients are to be averaged.
    ///
    /// # Errors
    /// [`Error::Collective`] if the last backward pass was not completed (it failed, or left parameters out).
    pub fn prepare_forward(&self) -> Result<(), Error> {
        sys::ddp_prepare_forward(&self.ddp).map_err(collective("gradient averaging"))
    }

    /// Between that forward pass and its backward pass.
    ///
    /// # Errors
    /// [`Error::Collective`] if libtorch refuses.
    pub fn prepare_backward(&self) -> Result<(), Error> {
        sys::ddp_prepare_backward(&self.ddp).map_err(collective("gradient averaging"))
    }

    /// Elements per bucket, in the order in which the buckets are reduced.
    ///
    /// # Errors
    /// [`Error::Torch`] if libtorch refuses.
    pub fn bucket_sizes(&self) -> Result<Vec<usize>, Error> {
        Ok(sys::ddp_bucket_sizes(&self.ddp)?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::cast_possible_wrap)]
mod tests {
    use super::*;
    use crate::group::ranks;
    use crate::{Sgd, fused_sgd_, is_channels_last, to_channels_last_, zero_grads};
    use tch::{Device, Kind};

    /// Two convolutions and a linear layer in f64, uneven enough for several buckets.
    fn params(seed: usize) -> Vec<Tensor> {
        [&[8, 3, 3, 3][..], &[8], &[5, 8, 3, 3], &[5], &[4, 5]]
            .into_iter()
            .enumerate()
            .map(|(i, size)| {
                let n: i64 = size.iter().product();
                let wave =
                    (Tensor::arange(n, (Kind::Double, Device::Cpu)) * (i as f64 + 1.7) + seed as f64).sin() * 0.3;
                wave.view(size).set_requires_grad(true)
            })
            .collect()
    }

    fn images(n: i64) -> Tensor {
        (Tensor::arange(n * 3 * 36, (Kind::Double, Device::Cpu)) * 0.37).cos().view([n, 3, 6, 6])
    }

    fn loss(params: &[Tensor], x: &Tensor) -> Tensor {
        let x = x.conv2d(&params[0], Some(&params[1]), [1, 1], [1, 1], [1, 1], 1).tanh();
        let x = x.conv2d(&params[2], Some(&params[3]), [1, 1], [0, 0], [1, 1], 1).tanh();
        x.mean_dim([2i64, 3].as_slice(), false, Kind::Double).matmul(&params[4].tr()).square().mean(Kind::Double)
    }

    fn grads(params: &[Tensor]) -> Vec<Tensor> {
        params.iter().map(Tensor::grad).collect()
    }

    fn distance(a: &[Tensor], b: &[Tensor]) -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - b).abs().max().double_value(&[])).fold(0.0, f64::max)
    }

    fn share(x: &Tensor, rank: usize, parts: usize) -> Tensor {
        x.chunk(parts as i64, 0)[rank].copy()
    }

    /// Small enough for several buckets of this model.
    const BUCKET: usize = 2000;

    /// One synchronised step of SGD with momentum on this rank's share of the images.
    fn step(ddp: &Ddp, params: &[Tensor], bufs: &[Tensor], x: &Tensor, first_step: bool) {
        ddp.prepare_forward().unwrap();
        let loss = loss(params, x);
        ddp.prepare_backward().unwrap();
        loss.backward();
        let sgd = Sgd { lr: 0.1, momentum: 0.9, weight_decay: 1e-4, nesterov: true, first_step };
        fused_sgd_(params, &grads(params), bufs, &sgd).unwrap();
        zero_grads(params).unwrap();
    }

    #[test]
    fn ranks_equal_one_process_with_the_whole_batch() {
        let whole = params(0);
        loss(&whole, &images(6)).backward();
        for world_size in 1..=3 {
            for got in ranks::run(world_size, |group| {
                let params = params(group.rank());
                let ddp = Ddp::new(&group, &params, BUCKET).unwrap();
                assert!(ddp.bucket_sizes().unwrap().len() > 1);
                ddp.prepare_forward().unwrap();
                let loss = loss(&params, &share(&images(6), group.rank(), world_size));
                ddp.prepare_backward().unwrap();
                loss.backward();
                grads(&params)
            }) {
                assert!(distance(&got, &grads(&whole)) < 1e-12);
            }
        }
    }

    #[test]
    fn accumulation_without_synchronisation_equals_the_whole_batch_in_channels_last() {
        let whole = params(0);
        loss(&whole, &images(8)).backward();
        for got in ranks::run(2, |group| {
            let mut params = params(group.rank());
            for p in params.iter_mut().filter(|p| p.dim() == 4) {
                to_channels_last_(p).unwrap();
            }
            let ddp = Ddp::new(&group, &params, BUCKET).unwrap();
            let mine = share(&images(8), group.rank(), 2);
            for round in 0..2 {
                (loss(&params, &share(&mine, 0, 2)) * 0.5).backward();
                ddp.prepare_forward().unwrap();
                let last = loss(&params, &share(&mine, 1, 2)) * 0.5;
                ddp.prepare_backward().unwrap();
                last.backward();
                if round == 0 {
                    zero_grads(&params).unwrap();
                }
            }
            assert!(params.iter().filter(|p| p.dim() == 4).all(|p| is_channels_last(p) && is_channels_last(&p.grad())));
            grads(&params)
        }) {
            assert!(distance(&got, &grads(&whole)) < 1e-12);
        }
    }

    #[test]
    fn buckets_stay_where_they_were_laid_out() {
        ranks::run(3, |group| {
            let params = params(0);
            let bufs: Vec<Tensor> = params.iter().map(|p| p.detach().zeros_like()).collect();
            let ddp = Ddp::new(&group, &params, BUCKET).unwrap();
            let layout = ddp.bucket_sizes().unwrap();
            let x = share(&images(6), group.rank(), 3);
            let mut places = Vec::new();
            for s in 0..5 {
                step(&ddp, &params, &bufs, &x, s == 0);
                places.push(grads(&params).iter().map(Tensor::data_ptr).collect::<Vec<_>>());
                assert_eq!(ddp.bucket_sizes().unwrap(), layout);
            }
            assert!(places.iter().all(|p| *p == places[0]));
        });
    }

    #[test]
    fn three_ranks_resumed_are_three_ranks_undisturbed_to_the_bit() {
        let train = |group: &Group, params: &[Tensor], bufs: &[Tensor], steps: std::ops::Range<i64>| {
            let ddp = Ddp::new(group, params, BUCKET).unwrap();
            for s in steps {
                step(&ddp, params, bufs, &(share(&images(6), group.rank(), 3) + s as f64 * 0.1), s == 0);
            }
        };
        let run = |stops: &[i64]| {
            ranks::run(3, |group| {
                let (mut params, mut done) = (params(0), 0);
                let mut bufs: Vec<Tensor> = params.iter().map(|p| p.detach().zeros_like()).collect();
                for &stop in stops {
                    train(&group, &params, &bufs, done..stop);
                    done = stop;
                    // What a checkpoint keeps: values without gradients or buckets.
                    params = params.iter().map(|p| p.detach().copy().set_requires_grad(true)).collect();
                    bufs = bufs.iter().map(Tensor::copy).collect();
                }
                params
            })
        };
        let (undisturbed, resumed) = (run(&[6]), run(&[1, 4, 6]));
        for params in undisturbed.iter().chain(&resumed) {
            assert_eq!(distance(params, &undisturbed[0]).to_bits(), 0);
        }
    }

    #[test]
    fn a_peer_that_is_gone_fails_the_backward_pass() {
        ranks::run(2, |group| {
            let params = params(0);
            let ddp = Ddp::new(&group, &params, BUCKET).unwrap();
            if group.rank() == 1 {
                return;
            }
            ddp.prepare_forward().unwrap();
            let loss = loss(&params, &images(2));
            ddp.prepare_backward().unwrap();
            assert!(loss.f_backward().is_err());
        });
    }

    #[test]
    fn a_parameter_left_out_is_noticed_at_the_next_step() {
        ranks::run(2, |group| {
            let params = params(0);
            let unused = Tensor::zeros([3], (Kind::Double, Device::Cpu)).set_requires_grad(true);
            let all: Vec<&Tensor> = params.iter().chain([&unused]).collect();
            let ddp = Ddp::new(&group, &all, BUCKET).unwrap();
            ddp.prepare_forward().unwrap();
            let loss = loss(&params, &images(2));
            ddp.prepare_backward().unwrap();
            loss.backward();
            let error = ddp.prepare_forward().unwrap_err();
            assert!(error.to_string().contains("gradient averaging"), "{error}");
        });
    }

    #[test]
    fn ranks_with_different_models_are_refused() {
        ranks::run(2, |group| {
            let params =
                vec![Tensor::zeros([3 + group.rank() as i64], (Kind::Float, Device::Cpu)).set_requires_grad(true)];
            assert!(Ddp::new(&group, &params, BUCKET).is_err());
        });
    }
}
