//! Resampling with antialias, pixel for pixel what Pillow 12's `Image.resize` computes on 8-bit images.
//!
//! Equality rests on four choices: weights in f64 by Pillow's expressions, normalised and rounded to 22 fractional bits;
//! integer sums; 8 bits between the passes; the horizontal pass before the vertical one, except for images more than a hundred
//! times as high as wide that become lower. (Pillow 13 swaps the passes more often; the published numbers were made before.)
#![allow(clippy::cast_sign_loss, reason = "positions and clamped pixels are never negative")]

use std::ops::Range;

use mixbench_crds::training::Interpolation;

use super::image::View;

/// Fractional bits of a weight: 32 − 8 for the pixel − 2 for overshoot.
const PRECISION: u32 = 22;

/// The weights of one direction.
struct Weights {
    /// The inputs that any output needs.
    reach: Range<usize>,
    /// First input (counted from the start of the reach) and number of inputs of each output.
    spans: Vec<(usize, usize)>,
    /// `width` weights for each output, those past its span unused.
    values: Vec<i32>,
    width: usize,
}

impl Weights {
    /// Weights that make the outputs `wanted` out of 0..`output` from `input` samples.
    fn new(input: usize, output: usize, wanted: Range<usize>, interpolation: Interpolation) -> Self {
        if input == output {
            let spans = (0..wanted.len()).map(|i| (i, 1)).collect();
            return Self { spans, values: vec![1 << PRECISION; wanted.len()], width: 1, reach: wanted };
        }
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
        let start = spans.first().map_or(0, |s| s.0);
        let end = spans.last().map_or(0, |s| s.0 + s.1);
        for span in &mut spans {
            span.0 -= start;
        }
        Self { reach: start..end, spans, values, width }
    }

    /// For each output its first input and its weights.
    fn outputs(&self) -> impl Iterator<Item = (usize, &[i32])> {
        self.spans.iter().zip(self.values.chunks_exact(self.width)).map(|(&(first, n), row)| (first, &row[..n]))
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

/// Two sums of one weight each in one word: `(a + 2³² b) · w = a w + 2³² b w`, so that one multiplication serves two pixels.
/// Neither sum leaves 32 bits; what the lower one borrows from the upper one is given back at the end.
const START: u64 = (1 << (PRECISION - 1)) | (1 << (PRECISION - 1 + 32));

fn pair(a: u8, b: u8) -> u64 {
    u64::from(a) | u64::from(b) << 32
}

fn add(sum: &mut u64, pixels: u64, weight: i32) {
    *sum = sum.wrapping_add(pixels.wrapping_mul(i64::from(weight).cast_unsigned()));
}

fn finish(sum: u64) -> [u8; 2] {
    let low = sum as u32;
    let high = (sum.wrapping_sub(i64::from(low.cast_signed()).cast_unsigned()) >> 32) as u32;
    [low, high].map(|value| (value.cast_signed() >> PRECISION).clamp(0, 255) as u8)
}

/// Buffers of [`resize`] that are worth keeping between images.
#[derive(Debug, Default)]
pub struct Scratch {
    between: Vec<u8>,
    pairs: Vec<u64>,
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
    let across = Weights::new(source.width, width, columns, interpolation);
    let down = Weights::new(source.height, height, rows, interpolation);
    let needed = source.part(across.reach.clone(), down.reach.clone());
    let Scratch { between, pairs } = scratch;
    between.clear();
    if source.height > 100 * source.width && height < source.height {
        resize_rows(needed, &down, pairs, between);
        resize_columns(View::new(between, needed.width, needed.channels), &across, pairs, out);
    } else {
        resize_columns(needed, &across, pairs, between);
        resize_rows(View::new(between, across.spans.len(), needed.channels), &down, pairs, out);
    }
}

/// The vertical pass: each new row is a weighted sum of rows. Neighbours in a row share a word.
fn resize_rows(source: View<'_>, weights: &Weights, pairs: &mut Vec<u64>, out: &mut Vec<u8>) {
    const BLOCK: usize = 8;
    let line = source.width * source.channels;
    let stride = line.div_ceil(2 * BLOCK);
    pairs.clear();
    for y in 0..source.height {
        let (twos, rest) = source.row(y).as_chunks::<2>();
        pairs.extend(twos.iter().map(|&[a, b]| pair(a, b)));
        pairs.extend(rest.iter().map(|&a| pair(a, 0)));
        pairs.resize((y + 1) * stride * BLOCK, 0);
    }
    let (blocks, _) = pairs.as_chunks::<BLOCK>();
    for (first, weights) in weights.outputs() {
        let end = out.len() + line;
        for column in 0..stride {
            let mut sums = [START; BLOCK];
            let rows = blocks[first * stride + column..].iter().step_by(stride);
            for (&weight, pixels) in weights.iter().zip(rows) {
                for (sum, &pixels) in sums.iter_mut().zip(pixels) {
                    add(sum, pixels, weight);
                }
            }
            out.extend_from_slice(sums.map(finish).as_flattened());
        }
        out.truncate(end);
    }
}

/// The horizontal pass: each new column is a weighted sum of columns. A row and the one below share a word.
fn resize_columns(source: View<'_>, weights: &Weights, pairs: &mut Vec<u64>, out: &mut Vec<u8>) {
    match source.channels {
        1 => columns_of::<1>(source, weights, pairs, out),
        _ => columns_of::<3>(source, weights, pairs, out),
    }
}

fn columns_of<const C: usize>(source: View<'_>, weights: &Weights, pairs: &mut Vec<u64>, out: &mut Vec<u8>) {
    let line = weights.spans.len() * C;
    let start = out.len();
    out.resize(start + source.height * line, 0);
    for (i, rows) in out[start..].chunks_mut(2 * line).enumerate() {
        let upper = source.row(2 * i);
        let lower = source.row((2 * i + 1).min(source.height - 1));
        pairs.clear();
        pairs.extend(upper.iter().zip(lower).map(|(&a, &b)| pair(a, b)));
        let (pixels, _) = pairs.as_chunks::<C>();
        let (upper, lower) = rows.split_at_mut(line);
        let (upper, _) = upper.as_chunks_mut::<C>();
        let (lower, _) = lower.as_chunks_mut::<C>();
        for (x, (first, weights)) in weights.outputs().enumerate() {
            let mut sums = [START; C];
            for (&weight, pixels) in weights.iter().zip(&pixels[first..]) {
                for (sum, &pixels) in sums.iter_mut().zip(pixels) {
                    add(sum, pixels, weight);
                }
            }
            let bytes = sums.map(finish);
            upper[x] = bytes.map(|[a, _]| a);
            if let Some(lower) = lower.get_mut(x) {
                *lower = bytes.map(|[_, b]| b);
            }
        }
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
