//! Automatic mixed precision for a region of code.

use crate::ffi::sys::{self, Half};
use std::marker::PhantomData;

/// The narrow type of a mixed-precision region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    /// bfloat16: f32's range, 8 bits of precision; needs no loss scaling.
    Bf16,
    /// IEEE half precision; gradients need loss scaling.
    F16,
}

/// Autocast of the calling thread on one kind of device, from `new` until dropped (also by a panic). Keep it around the forward
/// pass and the loss only; run backward outside.
#[must_use = "autocast ends when the guard is dropped"]
#[derive(Debug)]
pub struct Autocast {
    cuda: bool,
    before: (bool, Half),
    // The state is the thread's own, so the guard must not leave it.
    thread: PhantomData<*const ()>,
}

impl Autocast {
    /// Begins a region in which matrix products and convolutions on devices of `device`'s kind run in `dtype`.
    pub fn new(device: tch::Device, dtype: Dtype) -> Self {
        let half = match dtype {
            Dtype::Bf16 => Half::Bf16,
            Dtype::F16 => Half::F16,
        };
        Self::begin(device.is_cuda(), true, half)
    }

    /// Begins a region in which autocast is off, inside one in which it is on.
    pub fn off(device: tch::Device) -> Self {
        let cuda = device.is_cuda();
        Self::begin(cuda, false, sys::autocast_dtype(cuda))
    }

    fn begin(cuda: bool, on: bool, half: Half) -> Self {
        let before = (sys::autocast_enabled(cuda), sys::autocast_dtype(cuda));
        sys::autocast_enter();
        sys::autocast_set(cuda, on, half);
        Self { cuda, before, thread: PhantomData }
    }

    /// Whether autocast is on for the calling thread and `device`'s kind.
    pub fn is_enabled(device: tch::Device) -> bool {
        sys::autocast_enabled(device.is_cuda())
    }
}

impl Drop for Autocast {
    fn drop(&mut self) {
        sys::autocast_set(self.cuda, self.before.0, self.before.1);
        sys::autocast_exit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind, Tensor};

    fn product_kind() -> Kind {
        Tensor::ones([4, 4], (Kind::Float, Device::Cpu))
            .matmul(&Tensor::ones([4, 4], (Kind::Float, Device::Cpu)))
            .kind()
    }

    #[test]
    fn a_guard_switches_products_to_bf16_and_back() {
        {
            let _bf16 = Autocast::new(Device::Cpu, Dtype::Bf16);
            assert_eq!(product_kind(), Kind::BFloat16);
            {
                let _off = Autocast::off(Device::Cpu);
                assert_eq!(product_kind(), Kind::Float);
            }
            assert_eq!(product_kind(), Kind::BFloat16);
        }
        assert_eq!(product_kind(), Kind::Float);
    }

    #[test]
    fn a_panic_inside_restores_what_was_before() {
        let caught = std::panic::catch_unwind(|| {
            let _guard = Autocast::new(Device::Cpu, Dtype::F16);
            panic!("inside the region");
        });
        assert!(caught.is_err());
        assert!(!Autocast::is_enabled(Device::Cpu));
        assert_eq!(product_kind(), Kind::Float);
    }

    #[test]
    fn gradients_of_f32_weights_stay_f32() {
        let w = Tensor::ones([4, 4], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let loss = {
            let _bf16 = Autocast::new(Device::Cpu, Dtype::Bf16);
            Tensor::ones([2, 4], (Kind::Float, Device::Cpu)).matmul(&w).sum(Kind::Float)
        };
        loss.backward();
        assert_eq!(w.grad().kind(), Kind::Float);
        assert_eq!(w.grad(), Tensor::full([4, 4], 2.0, (Kind::Float, Device::Cpu)));
    }
}
