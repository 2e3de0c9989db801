//! Memory formats, pinned memory and copies that do not wait.

use crate::error::Error;
use crate::ffi::{cpp, cpp_mut, into_tch, sys};
use tch::Tensor;

/// Lays a 4-dimensional tensor (N, C, H, W) out as NHWC in memory. Its shape, and everything that refers to the variable, stays;
/// convolutions then take their faster kernels. Set it before the first backward pass: gradients follow their parameter.
///
/// # Errors
/// [`Error::Torch`] if the tensor has not 4 dimensions.
pub fn to_channels_last_(tensor: &mut Tensor) -> Result<(), Error> {
    Ok(sys::to_channels_last(cpp_mut(tensor))?)
}

/// Whether a 4-dimensional tensor lies as NHWC in memory. Where C or H and W are 1, both formats are the same and this is true.
pub fn is_channels_last(tensor: &Tensor) -> bool {
    sys::is_channels_last(cpp(tensor))
}

/// An uninitialised u8 or f32 tensor in page-locked host memory, from which copies to a GPU do not wait.
///
/// # Errors
/// [`Error::Torch`] without a GPU, or for another kind than `Uint8` and `Float`.
pub fn pinned_empty(sizes: &[i64], kind: tch::Kind) -> Result<Tensor, Error> {
    match kind {
        tch::Kind::Uint8 => Ok(into_tch(sys::pinned_empty(sizes, true)?)),
        tch::Kind::Float => Ok(into_tch(sys::pinned_empty(sizes, false)?)),
        other => Err(Error::Torch(format!("pinned tensors are Uint8 or Float here, not {other:?}"))),
    }
}

/// A copy of `tensor` in page-locked host memory; the tensor itself if it is there already.
///
/// # Errors
/// [`Error::Torch`] without a GPU.
pub fn pin_memory(tensor: &Tensor) -> Result<Tensor, Error> {
    Ok(into_tch(sys::pin_memory(cpp(tensor))?))
}

/// Whether `tensor` lies in page-locked host memory.
///
/// # Errors
/// [`Error::Torch`] if libtorch cannot tell.
pub fn is_pinned(tensor: &Tensor) -> Result<bool, Error> {
    Ok(sys::is_pinned(cpp(tensor))?)
}

/// Copies `from` into `to` (sizes broadcast, kinds convert) without waiting where one is pinned and the other on a GPU. The source
/// must not be written to before the copy is done; see [`crate::Event`].
///
/// # Errors
/// [`Error::Torch`] if the sizes do not fit.
pub fn copy_non_blocking(to: &mut Tensor, from: &Tensor) -> Result<(), Error> {
    Ok(sys::copy_non_blocking(cpp_mut(to), cpp(from))?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn channels_last_changes_strides_and_not_values() {
        let mut x = Tensor::arange(2 * 3 * 4 * 5, (Kind::Float, Device::Cpu)).view([2, 3, 4, 5]);
        let before = x.copy();
        assert!(!is_channels_last(&x));
        to_channels_last_(&mut x).unwrap();
        assert!(is_channels_last(&x));
        assert_eq!(x.stride(), [60, 1, 15, 3]);
        assert_eq!(x, before);
    }

    #[test]
    fn gradients_follow_a_channels_last_weight() {
        let mut w = Tensor::ones([4, 3, 3, 3], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        to_channels_last_(&mut w).unwrap();
        Tensor::ones([1, 3, 8, 8], (Kind::Float, Device::Cpu))
            .conv2d(&w, None::<&Tensor>, [1, 1], [0, 0], [1, 1], 1)
            .sum(Kind::Float)
            .backward();
        assert!(w.requires_grad() && is_channels_last(&w.grad()));
    }

    #[test]
    fn a_matrix_has_no_channels() {
        let message = to_channels_last_(&mut Tensor::ones([2, 3], (Kind::Float, Device::Cpu))).unwrap_err().to_string();
        assert!(message.contains("sizes [2, 3]") && !message.contains("frame #"), "{message}");
    }

    #[test]
    fn pinning_needs_a_gpu() {
        let x = Tensor::ones([2], (Kind::Float, Device::Cpu));
        if crate::device_count() == 0 {
            assert!(!is_pinned(&x).unwrap());
            pin_memory(&x).unwrap_err();
            pinned_empty(&[2, 3], Kind::Uint8).unwrap_err();
        }
    }

    #[test]
    fn copies_convert_and_refuse_other_sizes() {
        let mut to = Tensor::zeros([2, 2], (Kind::Float, Device::Cpu));
        copy_non_blocking(&mut to, &Tensor::from_slice(&[1u8, 2, 3, 4]).view([2, 2])).unwrap();
        assert_eq!(to, Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0]).view([2, 2]));
        copy_non_blocking(&mut to, &Tensor::from_slice(&[1u8, 2, 3])).unwrap_err();
    }
}
