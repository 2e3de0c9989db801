//! The numbers behind a picture, in one safetensors file.
//!
//! | tensor | shape | what |
//! |---|---|---|
//! | `inputs_u8` | `[N, H, W, 3]` | the images after cropping and flipping, bytes |
//! | `inputs` | `[N, 3, H, W]` | (`inputs_u8` / 255 − mean) / std, f32 |
//! | `labels` | `[N]` | classes, i64 |
//! | `indices` | `[N]` | places in the training split, i64 |
//! | `perm` | `[N]` | partner of each image, i64 |
//! | `lam` | `[N]` | label weight of the image itself, f64 |
//! | `mask` | `[N, 1, H, W]` | share of each pixel that is the image's own, f32 |
//! | `bbox` | `[4]` | top, left, bottom, right (the last two exclusive), i64; only where a box was drawn |
//! | `targets` | `[N, K]` | soft targets, f32 |
//! | `mixed` | `[N, 3, H, W]` | what the network gets: `mask`·`inputs` + (1 − `mask`)·`inputs[perm]`, f32 |
//!
//! The metadata hold method, parameters, mode, seed, address, data, mean and std.

use std::borrow::Cow;
use std::collections::HashMap;

use safetensors::{Dtype, View};
use tch::{Device, Tensor};

use super::{Options, Plan, Shown};
use crate::checkpoint::Blob;

/// A [`Blob`] as the file format's writer takes it.
struct Named<'a>(&'a Blob);

impl View for Named<'_> {
    fn dtype(&self) -> Dtype {
        self.0.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.0.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.0.bytes)
    }

    fn data_len(&self) -> usize {
        self.0.bytes.len()
    }
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("finite numbers under string keys")
}

/// The file.
pub(super) fn bytes(plan: &Plan, options: &Options, shown: &Shown) -> Vec<u8> {
    let Shown { batch, x, drawn, mixed, mask } = shown;
    let size = [batch.n, batch.h, batch.w, 3].map(|v| v.cast_signed() as i64);
    let indices: Vec<i64> = batch.indices.iter().map(|&i| i.cast_signed() as i64).collect();
    let mut tensors = vec![
        ("inputs_u8", Tensor::from_slice(&batch.pixels).view(size)),
        ("inputs", x.shallow_clone()),
        ("labels", Tensor::from_slice(&batch.labels)),
        ("indices", Tensor::from_slice(&indices)),
        ("perm", Tensor::from_slice(&drawn.perm)),
        ("lam", Tensor::from_slice(&drawn.lam)),
        ("mask", mask.shallow_clone()),
        ("targets", mixed.targets(plan.source.num_classes().cast_signed() as i64)),
        ("mixed", mixed.x.to_device(Device::Cpu)),
    ];
    if let Some(b) = drawn.bbox {
        tensors.push(("bbox", Tensor::from_slice(&[b.top, b.left, b.bottom, b.right])));
    }
    let blobs: Vec<(&str, Blob)> =
        tensors.iter().map(|(name, tensor)| (*name, Blob::of(tensor).expect("a tensor on the host"))).collect();
    let metadata = HashMap::from(
        [
            ("format", "mixbench-preview/1".to_owned()),
            ("method", plan.method.name.clone()),
            ("params", json(&plan.method.params)),
            ("mode", drawn.mode.clone()),
            ("seed", plan.seed.to_string()),
            ("epoch", options.epoch.to_string()),
            ("step", options.step.to_string()),
            ("micro", options.micro.to_string()),
            ("data", plan.uri.clone()),
            ("mean", json(&plan.mean)),
            ("std", json(&plan.std)),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    let views = blobs.iter().map(|(name, blob)| (*name, Named(blob)));
    safetensors::serialize(views, Some(metadata)).expect("tensors of their own shapes")
}
