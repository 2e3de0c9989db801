//! From bytes to the numbers that a network takes.

use mixbench_crds::run::Data;
use tch::{Device, Kind, Tensor};

use super::TrainError;
use crate::data::loader::HostBatch;

/// Turns RGB bytes into normalised values on a device, as torchvision's `ToTensor` and `Normalize` do.
#[derive(Debug)]
pub struct Input {
    mean: Tensor,
    std: Tensor,
    device: Device,
    kind: Kind,
    channels_last: bool,
}

impl Input {
    /// For images of a data set, in the precision of the weights.
    pub fn new(data: &Data, device: Device, kind: Kind, channels_last: bool) -> Self {
        let channel = |values: &[f64; 3]| Tensor::from_slice(values).view([1, 3, 1, 1]).to_kind(kind).to_device(device);
        Self { mean: channel(&data.mean), std: channel(&data.std), device, kind, channels_last }
    }

    /// Images `[N, 3, H, W]` and labels `[N]` of a batch.
    ///
    /// # Errors
    /// If memory runs out.
    pub fn tensors(&self, batch: &HostBatch) -> Result<(Tensor, Tensor), TrainError> {
        let size = [batch.n, batch.h, batch.w, 3].map(|n| n.cast_signed() as i64);
        let bytes = self.upload(&Tensor::f_from_data_size(&batch.pixels, &size, Kind::Uint8)?)?;
        let bytes = bytes.f_permute([0, 3, 1, 2])?;
        let bytes = if self.channels_last { bytes } else { bytes.f_contiguous()? };
        let x = bytes.f_to_kind(self.kind)?.f_div_scalar(255.0)?.f_sub(&self.mean)?.f_div(&self.std)?;
        Ok((x, self.upload(&Tensor::f_from_slice(&batch.labels)?)?))
    }

    /// A tensor of the host on the device; the host does not wait for the copy.
    fn upload(&self, host: &Tensor) -> Result<Tensor, TrainError> {
        if !self.device.is_cuda() {
            return Ok(host.f_to(self.device)?);
        }
        let pinned = nccl_rs::pin_memory(host)?; // libtorch's allocator keeps its memory until the copy is done
        Ok(pinned.f_to_device_(self.device, host.kind(), true, false)?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn data() -> Data {
        Data { name: "d".into(), sha256: None, mean: [0.0, 0.5, 1.0], std: [1.0, 0.5, 2.0] }
    }

    #[test]
    fn channels_are_normalised_each_by_its_own_numbers_and_order_in_memory_changes_nothing() {
        let pixels: Vec<u8> = (0..36u8).map(|i| i.wrapping_mul(7)).collect();
        let mut batch = HostBatch::default();
        (batch.pixels, batch.labels) = (pixels.clone(), vec![4, 2]);
        (batch.n, batch.h, batch.w, batch.c) = (2, 2, 3, 3);
        for (kind, tolerance) in [(Kind::Double, 1e-15), (Kind::Float, 1e-6)] {
            let (x, y) = Input::new(&data(), Device::Cpu, kind, false).tensors(&batch).unwrap();
            assert_eq!((x.size(), x.kind(), Vec::<i64>::try_from(y).unwrap()), (vec![2, 3, 2, 3], kind, vec![4, 2]));
            assert!(x.is_contiguous());
            for (at, byte) in (0_i64..).zip(&pixels) {
                let index = [at / 18, at % 3, at / 9 % 2, at / 3 % 3];
                let channel = index[1].unsigned_abs() as usize;
                let want = (f64::from(*byte) / 255.0 - data().mean[channel]) / data().std[channel];
                assert!((x.double_value(&index) - want).abs() < tolerance);
            }
            let (last, _) = Input::new(&data(), Device::Cpu, kind, true).tensors(&batch).unwrap();
            assert!(last.equal(&x) && !last.is_contiguous());
        }
    }
}
