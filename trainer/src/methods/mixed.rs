//! A mixed batch, and what methods need to make one.

use tch::{Kind, Tensor};

/// A batch after mixing. Labels stay a pair with a weight, so that every loss can be written over them.
#[derive(Debug)]
pub struct Mixed {
    /// Images NCHW.
    pub x: Tensor,
    /// Labels of the images themselves, i64 `[N]`.
    pub y_a: Tensor,
    /// Labels of their partners, i64 `[N]`.
    pub y_b: Tensor,
    /// Weight of `y_a` for each image, `[N]`, in f64 if the images are, else in f32.
    pub lam: Tensor,
}

impl Mixed {
    /// Soft targets `[N, classes]`, in the kind of `lam`: λ at `y_a` plus 1 − λ at `y_b`. Rows sum to 1.
    pub fn targets(&self, classes: i64) -> Tensor {
        // Comparing needs no wait for the device, which one_hot's check of its range does.
        let all_1k = Tensor::arange(classes, (Kind::Int64, self.y_a.device())).unsqueeze(0);
        let one_hot = |y: &Tensor| y.unsqueeze(1).eq_tensor(&all_1k).to_kind(self.lam.kind());
        one_hot(&self.y_b).lerp_tensor(&one_hot(&self.y_a), &self.lam.unsqueeze(1))
    }
}

/// Numbers of the host on the device of `like`, without waiting for it.
pub(super) fn upload<T: tch::kind::Element>(values: &[T], kind: Kind, like: &Tensor) -> Tensor {
    Tensor::from_slice(values).to_device_(like.device(), kind, true, false)
}

/// λ of each image on the device of `x`.
pub(super) fn upload_lam(lam: &[f64], x: &Tensor) -> Tensor {
    upload(lam, if x.kind() == Kind::Double { Kind::Double } else { Kind::Float }, x)
}

/// The images of `x` NCHW in the order of `perm`, in a tensor of their own with the memory format of `x`.
pub(super) fn partners(x: &Tensor, perm: &Tensor) -> Tensor {
    if x.is_contiguous() {
        return x.index_select(0, perm);
    }
    // index_select gives NCHW whatever it gets; seen as NHWC, a channels-last batch is contiguous.
    x.permute([0, 2, 3, 1]).index_select(0, perm).permute([0, 3, 1, 2])
}
