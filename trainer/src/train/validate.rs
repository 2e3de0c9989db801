//! How many validation images a network gets right.

use std::sync::Arc;

use mixbench_crds::training::{EvalTransform, Precision};
use tch::{Device, Kind, Tensor};

use super::input::Input;
use super::{TrainError, layout, step};
use crate::backbones::Net;
use crate::data::loader::{Augment, Loader};
use crate::data::{Source, Split};
use crate::optim::loss::topk_correct;

/// What and how to validate.
pub struct Validation<'a> {
    /// The network.
    pub net: &'a dyn Net,
    /// From bytes to numbers.
    pub input: &'a Input,
    /// Where tensors live.
    pub device: Device,
    /// Arithmetic of the forward pass: the run's.
    pub precision: Precision,
    /// The images.
    pub source: &'a Arc<dyn Source>,
    /// What is done to them.
    pub transform: &'a EvalTransform,
    /// Images of a forward pass.
    pub batch: usize,
    /// Threads that decode.
    pub threads: usize,
    /// This process and how many share the work.
    pub shard: (u32, u32),
}

/// Images right at the first guess and among five, of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Right at the first guess.
    pub correct1: u64,
    /// Right among five.
    pub correct5: u64,
}

impl Validation<'_> {
    /// Counts over this process's shard; `None` once `stop` says so. It is asked before each batch, as often in every process.
    ///
    /// # Errors
    /// An image cannot be read, memory runs out, or what `stop` says.
    pub fn count(&self, mut stop: impl FnMut() -> Result<bool, TrainError>) -> Result<Option<Counts>, TrainError> {
        let images = self.source.len(Split::Val);
        let (rank, world_size) = self.shard;
        let rounds = layout::eval_jobs(images, self.batch, 0, world_size).count(); // rank 0 has the most
        let jobs = layout::eval_jobs(images, self.batch, rank, world_size);
        let mut loader =
            Loader::new(Arc::clone(self.source), Augment::Eval(self.transform.clone()), jobs, self.threads)?;
        let mut counts = Tensor::zeros([2], (Kind::Int64, self.device));
        for _ in 0..rounds {
            if stop()? {
                return Ok(None);
            }
            let Some(batch) = loader.next().transpose()? else { continue };
            let (x, y) = self.input.tensors(&batch)?;
            let (one, five) = tch::no_grad(|| {
                let _narrow = step::autocast(self.device, self.precision);
                topk_correct(&self.net.forward(&x, false), &y)
            });
            counts += Tensor::stack(&[one, five], 0);
        }
        let counts = Vec::<i64>::try_from(counts)?;
        Ok(Some(Counts { correct1: counts[0].cast_unsigned(), correct5: counts[1].cast_unsigned() }))
    }
}
