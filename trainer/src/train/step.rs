//! One optimizer step: forward and backward over this process's micro-batches, then the update.

use mixbench_crds::training::Precision;
use nccl_rs::{Autocast, Dtype};
use tch::{Device, Kind, Tensor};

use super::TrainError;
use super::engine::Engine;
use super::feed::Feed;
use crate::optim::schedule;
use crate::rng::{self, Key, Stream};

impl Engine {
    /// Trains step `step` of `epoch` on the next batches of `feed`. Returns its mean loss over this process's micro-batches, on the device.
    ///
    /// # Errors
    /// A batch cannot be made, a peer is gone, or memory runs out.
    pub(super) fn step(&mut self, feed: &mut Feed, epoch: u32, step: u64) -> Result<Tensor, TrainError> {
        let accumulation = self.layout.accumulation();
        let mut total: Option<Tensor> = None;
        self.optim.zero_grad()?;
        for micro in 0..accumulation {
            let loss = self.micro(feed, micro + 1 == accumulation)?;
            total = Some(match total {
                Some(sum) => sum + loss,
                None => loss,
            });
        }
        if let Some(max) = self.training().clip_grad_norm {
            let grads: Vec<Tensor> = self.model.params.iter().map(|(_, p)| p.grad()).collect();
            let _norm = nccl_rs::clip_grad_norm_(&grads, max)?;
        }
        let training = self.training();
        let rate = schedule::lr(&training.schedule, training.epochs, self.layout.steps(), epoch, step);
        self.optim.step(rate)?;
        Ok(total.expect("a step has micro-batches"))
    }

    /// Forward and backward of one micro-batch; `last` averages the gradients over all processes.
    fn micro(&mut self, feed: &mut Feed, last: bool) -> Result<Tensor, TrainError> {
        let (batch, drawn) = feed.take()?;
        let id = batch.id;
        // Dropout and drop path draw from libtorch's own generator, which knows neither ranks nor resuming.
        let seed = Key::new(self.run.spec.seed, Stream::Torch).step(id.epoch, id.step, id.micro).torch_seed();
        {
            let _generator = rng::torch_generator();
            tch::manual_seed(seed);
        }
        let (x, y) = self.input.tensors(&batch)?;
        let ddp = self.ddp.as_ref().filter(|_| last);
        if let Some(ddp) = ddp {
            ddp.prepare_forward()?;
        }
        let share = f64::from(self.layout.accumulation());
        let loss = {
            let _narrow = autocast(self.device, self.training().precision);
            let mixed = self.method.apply(&x, &y, &drawn);
            let logits = self.method.forward(self.model.net.as_ref(), &mixed);
            self.method.loss(&self.training().loss, &logits, &mixed) / share
        };
        if let Some(ddp) = ddp {
            ddp.prepare_backward()?;
        }
        loss.f_backward().map_err(|e| backward_error(&e.to_string(), ddp.is_some()))?;
        Ok(loss.detach().to_kind(Kind::Double))
    }
}

/// A region in which the run's narrow arithmetic holds.
pub(super) fn autocast(device: Device, precision: Precision) -> Option<Autocast> {
    (precision == Precision::Bf16).then(|| Autocast::new(device, Dtype::Bf16))
}

/// A backward pass that averages gradients fails for want of memory, or because a peer is gone.
fn backward_error(message: &str, synchronised: bool) -> TrainError {
    match TrainError::torch(message) {
        TrainError::Torch(message) if synchronised => {
            nccl_rs::Error::Collective { operation: "gradient averaging", message }.into()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mixbench_crds::exit::Exit;

    #[test]
    fn a_failed_synchronised_backward_is_a_lost_peer() {
        assert_eq!(backward_error("Connection closed by peer", true).exit(), Exit::Collective);
        assert_eq!(backward_error("CUDA out of memory", true).exit(), Exit::OutOfMemory);
        assert_eq!(backward_error("no gradient", false).exit(), Exit::Internal);
    }
}
