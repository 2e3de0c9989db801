//! From a decoded image to a square of RGB bytes, as [`crop`](super::crop) decided.

use std::ops::Range;

use mixbench_crds::training::{EvalTransform, Interpolation, TrainCrop, TrainTransform};

use super::crop::{Crop, eval_window};
use super::image::{Image, View};
use super::resize::{self, resize};

/// Buffers that are worth keeping between images.
#[derive(Debug, Default)]
pub struct Scratch {
    resize: resize::Scratch,
    square: Vec<u8>,
}

/// Writes the training pixels of `image` under `crop` to `out`: `size · size · 3` bytes, HWC.
///
/// # Panics
/// If `out` has another length or the crop was drawn for another image size.
pub fn train_pixels(image: &Image, crop: &Crop, transform: &TrainTransform, scratch: &mut Scratch, out: &mut [u8]) {
    match transform.crop {
        TrainCrop::RandomResized { size, interpolation, .. } => {
            let view = image.view(crop.left.unsigned_abs(), crop.top.unsigned_abs(), crop.width, crop.height);
            resize_square(view, size as usize, interpolation, scratch);
            spread(&scratch.square, image.channels, size as usize, crop.flip, out);
        }
        TrainCrop::RandomPad { size, .. } => {
            scratch.square.clear();
            cut(image.full(), crop.left, crop.top, size as usize, &mut scratch.square);
            spread(&scratch.square, image.channels, size as usize, crop.flip, out);
        }
    }
}

/// Writes the validation pixels of `image` to `out`: `crop · crop · 3` bytes, HWC.
///
/// # Panics
/// If `out` has another length.
pub fn eval_pixels(image: &Image, transform: &EvalTransform, scratch: &mut Scratch, out: &mut [u8]) {
    let window = eval_window(transform, (image.width, image.height));
    let (width, height) = window.resized;
    // Only what the centre shows is computed; each output pixel is independent of the others.
    let (columns, rows) = (visible(window.left, window.size, width), visible(window.top, window.size, height));
    let (left, top) = (window.left.min(0), window.top.min(0));
    let mut shown = Image { width: columns.len(), height: rows.len(), channels: image.channels, pixels: Vec::new() };
    resize(
        image.full(),
        window.resized,
        (columns, rows),
        transform.interpolation,
        &mut scratch.resize,
        &mut shown.pixels,
    );
    scratch.square.clear();
    cut(shown.full(), left, top, window.size, &mut scratch.square);
    spread(&scratch.square, image.channels, window.size, false, out);
}

fn resize_square(view: View<'_>, size: usize, interpolation: Interpolation, scratch: &mut Scratch) {
    scratch.square.clear();
    resize(view, (size, size), (0..size, 0..size), interpolation, &mut scratch.resize, &mut scratch.square);
}

/// The part of `start .. start + size` that lies in `0..length`.
fn visible(start: isize, size: usize, length: usize) -> Range<usize> {
    let first = start.max(0).unsigned_abs();
    let last = (start + size.cast_signed()).max(0).unsigned_abs();
    first.min(length)..last.min(length)
}

/// Appends a square of `view` that may begin or end outside of it, where all is 0.
fn cut(view: View<'_>, left: isize, top: isize, size: usize, out: &mut Vec<u8>) {
    let columns = visible(left, size, view.width);
    let rows = visible(top, size, view.height);
    let before = left.min(0).unsigned_abs().min(size) * view.channels;
    let bytes = columns.start * view.channels..columns.end * view.channels;
    let line = size * view.channels;
    out.resize(out.len() + top.min(0).unsigned_abs().min(size) * line, 0);
    for y in rows.clone() {
        let end = out.len() + line;
        out.resize(out.len() + before, 0);
        out.extend_from_slice(&view.row(y)[bytes.clone()]);
        out.resize(end, 0);
    }
    let done = top.min(0).unsigned_abs().min(size) + rows.len();
    out.resize(out.len() + (size - done) * line, 0);
}

/// Mirrors if asked, and makes three channels of one.
fn spread(square: &[u8], channels: usize, size: usize, flip: bool, out: &mut [u8]) {
    assert!(square.len() == size * size * channels && out.len() == size * size * 3, "a square of side {size}");
    for (from, to) in square.chunks_exact(size * channels).zip(out.chunks_exact_mut(size * 3)) {
        let (to, _) = to.as_chunks_mut::<3>();
        match (channels, flip) {
            (1, false) => to.iter_mut().zip(from).for_each(|(t, &f)| *t = [f; 3]),
            (1, true) => to.iter_mut().zip(from.iter().rev()).for_each(|(t, &f)| *t = [f; 3]),
            (_, false) => to.as_flattened_mut().copy_from_slice(from),
            (_, true) => to.iter_mut().zip(from.as_chunks::<3>().0.iter().rev()).for_each(|(t, &f)| *t = f),
        }
    }
}
