//! Resampling with antialias, pixel for pixel what Pillow 12's `Image.resize` computes on 8-bit images.
//!
//! Equality rests on four choices: weights in f64 by Pillow's expressions, normalised and rounded to 22 fractional bits;
//! integer sums; the horizontal pass before the vertical one; 8 bits between them. (Pillow 13 swaps the passes where the
//! height shrinks much; the published numbers were made before.)
#![allow(clippy::cast_sign_loss, reason = "positions and clamped pixels are never negative")]

use std::ops::Range;

use mixbench_crds::training::Interpolation;

use super::image::View;

/// Fractional bits of a weight: 32 − 8 for the pixel − 2 for overshoot.
const PRECISION: u32 = 22;

/// The weights of one direction.
struct Weights {
    /// First input and number of inputs of each output.
    spans: Vec<(usize, usize)>,
    /// `width` weights for each output, those past its span unused.
    values: Vec<i32>,
    width: usize,
}

impl Weights {
    /// Weights that make the outputs `wanted` out of 0..`output` from `input` samples.
    fn new(input: usize, output: usize, wanted: Range<usize>, interpolation: Interpolation) -> Self {
        let (filter, radius): (fn(f64) -> f64, f64) = match interpolation {
            Interpolation::Bilinear => (triangle, 1.0),
            Interpolation::Bicubic => (cubic, 2.0),
        };
        let scale = input as f64 / output as f64;
        let stretch = scale.max(1.0);
        let support = radius * stretch;
        let width = support.ceil() as usize * 2 + 1;
        let mut spans = Vec::with_capacity(wanted.len());
        let mut values = vec![0; wanted.len() * width];
        let mut exact = vec![0.0; width];
        for (out, row) in wanted.zip(values.chunks_exact_mut(width)) {
            let centre = (out as f64 + 0.5) * scale;
            // Conversion truncates and saturates at 0, which is Pillow's lower bound.
            let first = (centre - support + 0.5) as usize;
            let last = ((centre + support + 0.5) as usize).min(input);
            let exact = &mut exact[..last - first];
            for (i, weight) in exact.iter_mut().enumerate() {
                *weight = filter(((i + first) as f64 - centre + 0.5) * (1.0 / stretch));
            }
            let sum: f64 = exact.iter().sum();
            for (weight, fixed) in exact.iter().zip(row) {
                let normal = if sum == 0.0 { *weight } else { weight / sum };
                let scaled = normal * f64::from(1 << PRECISION);
                *fixed = (if scaled < 0.0 { scaled - 0.5 } else { scaled + 0.5 }) as i32;
            }
            spans.push((first, last - first));
        }
        Self { spans, values, width }
    }

    fn outputs(&self) -> impl Iterator<Item = (usize, &[i32])> {
        self.spans.iter().zip(self.values.chunks_exact(self.width)).map(|(&(first, n), row)| (first, &row[..n]))
    }

    /// The inputs that any output needs.
    fn reach(&self) -> Range<usize> {
        let first = self.spans.first().map_or(0, |s| s.0);
        let last = self.spans.last().map_or(0, |s| s.0 + s.1);
        first..last
    }
}

fn triangle(x: f64) -> f64 {
    (1.0 - x.abs()).max(0.0)
}

/// Keys, "Cubic Convolution Interpolation for Digital Image Processing", 1981, with a = −0.5.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

const fn to_byte(sum: i32) -> u8 {
    let value = sum >> PRECISION;
    if value < 0 {
        0
    } else if value > 255 {
        255
    } else {
        value as u8
    }
}

/// Buffers of [`resize`] that are worth keeping between images.
#[derive(Debug, Default)]
pub struct Scratch {
    between: Vec<u8>,
    sums: Vec<i32>,
}

/// Resizes `source` to `width` × `height` and keeps the `columns` × `rows` of it, appending them to `out` (HWC, the channels of the source).
///
/// # Panics
/// If `columns` or `rows` leave the resized image, or a size is 0.
pub fn resize(
    source: View<'_>,
    (width, height): (usize, usize),
    (columns, rows): (Range<usize>, Range<usize>),
    interpolation: Interpolation,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) {
    assert!(width > 0 && height > 0 && columns.end <= width && rows.end <= height, "a window of the resized image");
    let channels = source.channels;
    let vertical = Weights::new(source.height, height, rows, interpolation);
    let needed = vertical.reach();
    let line = columns.len() * channels;

    scratch.between.clear();
    if source.width == width {
        let bytes = columns.start * channels..columns.end * channels;
        needed.clone().for_each(|y| scratch.between.extend_from_slice(&source.row(y)[bytes.clone()]));
    } else {
        let horizontal = Weights::new(source.width, width, columns, interpolation);
        for y in needed.clone() {
            match channels {
                1 => resize_row::<1>(source.row(y), &horizontal, &mut scratch.between),
                _ => resize_row::<3>(source.row(y), &horizontal, &mut scratch.between),
            }
        }
    }

    for (first, weights) in vertical.outputs() {
        scratch.sums.clear();
        scratch.sums.resize(line, 1 << (PRECISION - 1));
        let lines = scratch.between[(first - needed.start) * line..].chunks_exact(line);
        for (&weight, pixels) in weights.iter().zip(lines) {
            for (sum, &pixel) in scratch.sums.iter_mut().zip(pixels) {
                *sum += i32::from(pixel) * weight;
            }
        }
        out.extend(scratch.sums.iter().map(|&sum| to_byte(sum)));
    }
}

fn resize_row<const C: usize>(row: &[u8], weights: &Weights, out: &mut Vec<u8>) {
    for (first, weights) in weights.outputs() {
        let mut sums = [1 << (PRECISION - 1); C];
        let (pixels, _) = row[first * C..].as_chunks::<C>();
        for (&weight, pixel) in weights.iter().zip(pixels) {
            for (sum, &value) in sums.iter_mut().zip(pixel) {
                *sum += i32::from(value) * weight;
            }
        }
        out.extend(sums.map(to_byte));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::image::Image;
    use proptest::prelude::*;

    fn whole(image: &Image, width: usize, height: usize, interpolation: Interpolation) -> Vec<u8> {
        let mut out = Vec::new();
        resize(image.full(), (width, height), (0..width, 0..height), interpolation, &mut Scratch::default(), &mut out);
        out
    }

    fn image(width: usize, height: usize, channels: usize, seed: u64) -> Image {
        let mut rng = crate::rng::Key::new(seed, crate::rng::Stream::Mask).rng();
        let pixels = (0..width * height * channels).map(|_| rng.next_u32() as u8).collect();
        Image { width, height, channels, pixels }
    }

    proptest! {
        #[test]
        fn a_window_is_the_cut_of_the_whole(seed: u64, w in 1usize..40, h in 1usize..40, to_w in 1usize..40, to_h in 1usize..40,
                                            left: usize, top: usize, bicubic: bool) {
            let interpolation = if bicubic { Interpolation::Bicubic } else { Interpolation::Bilinear };
            let source = image(w, h, 3, seed);
            let (left, top) = (left % to_w, top % to_h);
            let resized = Image { width: to_w, height: to_h, channels: 3, pixels: whole(&source, to_w, to_h, interpolation) };
            let mut out = Vec::new();
            resize(source.full(), (to_w, to_h), (left..to_w, top..to_h), interpolation, &mut Scratch::default(), &mut out);
            let cut = resized.view(left, top, to_w - left, to_h - top);
            let expected: Vec<u8> = (0..cut.height).flat_map(|y| cut.row(y).to_vec()).collect();
            prop_assert_eq!(out, expected);
        }

        #[test]
        fn the_same_size_is_the_same_image(seed: u64, w in 1usize..40, h in 1usize..40) {
            let source = image(w, h, 1, seed);
            prop_assert_eq!(whole(&source, w, h, Interpolation::Bicubic), source.pixels);
        }

        #[test]
        fn one_colour_stays_that_colour(value: u8, w in 1usize..60, h in 1usize..60, to_w in 1usize..60, to_h in 1usize..60) {
            let source = Image { width: w, height: h, channels: 3, pixels: vec![value; w * h * 3] };
            let resized = whole(&source, to_w, to_h, Interpolation::Bicubic);
            prop_assert!(resized.iter().all(|&p| p == value));
        }
    }
}
