//! A tensor as bytes on the host: what a file holds, and what another thread may write while training goes on.

use safetensors::Dtype;
use tch::{Kind, Tensor};

use super::CheckpointError;

/// A contiguous tensor of little-endian values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Type of the values.
    pub dtype: Dtype,
    /// Length of each dimension.
    pub shape: Vec<usize>,
    /// The values.
    pub bytes: Vec<u8>,
}

impl Blob {
    /// A copy of a tensor on any device.
    ///
    /// # Errors
    /// If its kind has no place in a file or the copy fails.
    pub fn of(tensor: &Tensor) -> Result<Self, CheckpointError> {
        let tensor = tensor.detach().f_to(tch::Device::Cpu)?.f_contiguous()?;
        let dtype = dtype(tensor.kind())?;
        let mut bytes = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
        tensor.f_copy_data_u8(&mut bytes, tensor.numel())?;
        Ok(Self {
            dtype,
            shape: tensor.size().into_iter().map(|n| usize::try_from(n).expect("a length")).collect(),
            bytes,
        })
    }

    /// A new tensor on the host.
    ///
    /// # Errors
    /// If libtorch has no such kind.
    pub fn tensor(&self) -> Result<Tensor, CheckpointError> {
        Ok(Tensor::f_from_data_size(&self.bytes, &self.size(), kind(self.dtype)?)?)
    }

    /// The shape as libtorch writes it.
    pub fn size(&self) -> Vec<i64> {
        self.shape.iter().map(|&n| n.cast_signed() as i64).collect()
    }
}

fn dtype(kind: Kind) -> Result<Dtype, tch::TchError> {
    Ok(match kind {
        Kind::Float => Dtype::F32,
        Kind::Double => Dtype::F64,
        Kind::Half => Dtype::F16,
        Kind::BFloat16 => Dtype::BF16,
        Kind::Int64 => Dtype::I64,
        Kind::Int => Dtype::I32,
        Kind::Int16 => Dtype::I16,
        Kind::Int8 => Dtype::I8,
        Kind::Uint8 => Dtype::U8,
        Kind::Bool => Dtype::BOOL,
        other => return Err(tch::TchError::Convert(format!("{other:?} has no place in a checkpoint"))),
    })
}

fn kind(dtype: Dtype) -> Result<Kind, tch::TchError> {
    Ok(match dtype {
        Dtype::F32 => Kind::Float,
        Dtype::F64 => Kind::Double,
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::I64 => Kind::Int64,
        Dtype::I32 => Kind::Int,
        Dtype::I16 => Kind::Int16,
        Dtype::I8 => Kind::Int8,
        Dtype::U8 => Kind::Uint8,
        Dtype::BOOL => Kind::Bool,
        other => return Err(tch::TchError::Convert(format!("{other:?} is not a kind of tensor here"))),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_comes_back_to_the_bit() {
        for tensor in [
            Tensor::from_slice(&[1.5f32, -0.0, f32::NAN]).view([3, 1]),
            Tensor::from_slice(&[1e300f64]),
            Tensor::from_slice(&[i64::MIN, 7]),
            Tensor::from_slice(&[true, false]),
            Tensor::from(2.5f32),
        ] {
            let blob = Blob::of(&tensor).unwrap();
            let back = blob.tensor().unwrap();
            assert_eq!((back.size(), back.kind()), (tensor.size(), tensor.kind()));
            assert_eq!(Blob::of(&back).unwrap(), blob);
        }
    }

    #[test]
    fn a_transposed_tensor_is_stored_in_reading_order() {
        let t = Tensor::from_slice(&[1u8, 2, 3, 4, 5, 6]).view([2, 3]).tr();
        assert_eq!(Blob::of(&t).unwrap().bytes, [1, 4, 2, 5, 3, 6]);
    }

    #[test]
    fn complex_numbers_are_refused() {
        assert!(Blob::of(&Tensor::zeros([1], (Kind::ComplexFloat, tch::Device::Cpu))).is_err());
    }
}
