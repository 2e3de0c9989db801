//! Which part of an image is taken: torchvision's rules, over keyed draws. No pixels here.
#![allow(clippy::cast_sign_loss, reason = "lengths: roots and quotients of positive numbers")]

use mixbench_crds::training::{EvalTransform, TrainCrop, TrainTransform};

use crate::rng::{Key, Rng, Stream};

/// A rectangle of an image, and whether it is mirrored afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crop {
    /// First row; negative where the rectangle reaches into the padding.
    pub top: isize,
    /// First column; negative where the rectangle reaches into the padding.
    pub left: isize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Mirrored left to right.
    pub flip: bool,
}

/// Why no crop can be taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CropError {
    /// The image with its padding is smaller than the crop.
    #[error(
        "{width}×{height} pixels padded by {padding} hold no crop of {size}×{size}; use a smaller `size` or resize the images"
    )]
    TooSmall {
        /// Columns of the image.
        width: usize,
        /// Rows of the image.
        height: usize,
        /// Padding on each side.
        padding: usize,
        /// Side of the crop.
        size: usize,
    },
}

/// Draws the crop of training image `index` in `epoch`, for an image of `width` × `height` pixels.
pub fn draw_crop(
    transform: &TrainTransform,
    (width, height): (usize, usize),
    seed: u64,
    epoch: u32,
    index: u64,
) -> Result<Crop, CropError> {
    let mut rng = Key::new(seed, Stream::Crop).sample(epoch, index).rng();
    let flip = Key::new(seed, Stream::Flip).sample(epoch, index).rng().uniform() < transform.flip;
    let crop = match transform.crop {
        TrainCrop::RandomResized { scale, ratio, .. } => random_resized(&mut rng, (width, height), scale, ratio),
        TrainCrop::RandomPad { size, padding } => {
            random_pad(&mut rng, (width, height), size as usize, padding as usize)?
        }
    };
    Ok(Crop { flip, ..crop })
}

/// torchvision's `RandomResizedCrop.get_params`: ten tries at an area and an aspect ratio, else the centre.
fn random_resized(rng: &mut Rng, (width, height): (usize, usize), scale: [f64; 2], ratio: [f64; 2]) -> Crop {
    let area = (width * height) as f64;
    let log_ratio = ratio.map(libm::log);
    for _ in 0..10 {
        let target = area * between(rng, scale);
        let aspect = libm::exp(between(rng, log_ratio));
        let w = libm::sqrt(target * aspect).round_ties_even() as usize;
        let h = libm::sqrt(target / aspect).round_ties_even() as usize;
        if (1..=width).contains(&w) && (1..=height).contains(&h) {
            let top = rng.below((height - h + 1) as u64).cast_signed() as isize;
            let left = rng.below((width - w + 1) as u64).cast_signed() as isize;
            return Crop { top, left, height: h, width: w, flip: false };
        }
    }
    let aspect = width as f64 / height as f64;
    let (w, h) = if aspect < ratio[0] {
        (width, (width as f64 / ratio[0]).round_ties_even() as usize)
    } else if aspect > ratio[1] {
        ((height as f64 * ratio[1]).round_ties_even() as usize, height)
    } else {
        (width, height)
    };
    // A ratio so extreme that rounding leaves nothing still leaves one pixel.
    let (w, h) = (w.clamp(1, width), h.clamp(1, height));
    let half = |rest: usize| (rest / 2).cast_signed();
    Crop { top: half(height - h), left: half(width - w), height: h, width: w, flip: false }
}

fn between(rng: &mut Rng, [low, high]: [f64; 2]) -> f64 {
    low + (high - low) * rng.uniform()
}

/// torchvision's `RandomCrop(size, padding)`: all windows of the padded image are equally likely.
fn random_pad(rng: &mut Rng, (width, height): (usize, usize), size: usize, padding: usize) -> Result<Crop, CropError> {
    let (padded_width, padded_height) = (width + 2 * padding, height + 2 * padding);
    if padded_width < size || padded_height < size {
        return Err(CropError::TooSmall { width, height, padding, size });
    }
    let mut place = |room: usize| rng.below(room as u64 + 1).cast_signed() as isize - padding.cast_signed();
    let top = place(padded_height - size);
    let left = place(padded_width - size);
    Ok(Crop { top, left, height: size, width: size, flip: false })
}

/// What a validation image becomes: its size after resizing, and the window that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvalWindow {
    /// Columns and rows after resizing.
    pub resized: (usize, usize),
    /// First row of the window; negative where it reaches into black padding.
    pub top: isize,
    /// First column of the window.
    pub left: isize,
    /// Side of the window.
    pub size: usize,
}

/// torchvision's `Resize(short side)` and `CenterCrop` for an image of `width` × `height` pixels.
pub fn eval_window(transform: &EvalTransform, (width, height): (usize, usize)) -> EvalWindow {
    let resized = transform.resize.map_or((width, height), |short| {
        let short = short as usize;
        // Python's int(): truncation, so never more than the exact length.
        if width <= height {
            (short, (short * height / width).max(1))
        } else {
            ((short * width / height).max(1), short)
        }
    });
    let size = transform.crop as usize;
    EvalWindow { resized, top: centre(resized.1, size), left: centre(resized.0, size), size }
}

/// Where a window of `size` begins in `length` pixels: half of the rest, rounded to even; a short image is padded, less before than after.
fn centre(length: usize, size: usize) -> isize {
    if length < size {
        return -((size - length) / 2).cast_signed();
    }
    ((length - size) as f64 / 2.0).round_ties_even() as isize
}

#[cfg(test)]
mod tests {
    use super::*;
    use mixbench_crds::training::Interpolation;
    use proptest::prelude::*;

    fn resized(scale: [f64; 2]) -> TrainTransform {
        let crop = TrainCrop::RandomResized {
            size: 224,
            scale,
            ratio: [3.0 / 4.0, 4.0 / 3.0],
            interpolation: Interpolation::Bicubic,
        };
        TrainTransform { crop, flip: 0.5 }
    }

    fn eval(resize: Option<u32>, crop: u32) -> EvalTransform {
        EvalTransform { resize, crop, interpolation: Interpolation::Bicubic }
    }

    #[test]
    fn a_strip_falls_back_to_its_centre() {
        let crop = draw_crop(&resized([1.0, 1.0]), (1000, 30), 0, 0, 0).expect("always possible");
        assert_eq!((crop.top, crop.left, crop.height, crop.width), (0, 480, 30, 40));
        let crop = draw_crop(&resized([1.0, 1.0]), (30, 1001), 0, 0, 0).expect("always possible");
        assert_eq!((crop.top, crop.left, crop.height, crop.width), (480, 0, 40, 30));
    }

    #[test]
    fn half_of_all_images_are_mirrored() {
        let flips =
            (0..10_000).filter(|&i| draw_crop(&resized([0.08, 1.0]), (50, 50), 3, 1, i).is_ok_and(|c| c.flip)).count();
        assert!((4800..5200).contains(&flips), "{flips}");
    }

    #[test]
    fn an_image_too_small_for_its_crop_is_named() {
        let transform = TrainTransform { crop: TrainCrop::RandomPad { size: 32, padding: 1 }, flip: 0.0 };
        let text = draw_crop(&transform, (28, 40), 0, 0, 0).expect_err("30 < 32").to_string();
        assert!(text.starts_with("28×40 pixels padded by 1 hold no crop of 32×32"), "{text}");
    }

    #[test]
    fn the_centre_follows_python_rounding() {
        let window = eval_window(&eval(Some(256), 224), (500, 375));
        assert_eq!(window, EvalWindow { resized: (341, 256), top: 16, left: 58, size: 224 });
        let window = eval_window(&eval(Some(236), 224), (333, 500));
        assert_eq!(window, EvalWindow { resized: (236, 354), top: 65, left: 6, size: 224 });
        let small = eval_window(&eval(None, 32), (28, 27));
        assert_eq!(small, EvalWindow { resized: (28, 27), top: -2, left: -2, size: 32 });
    }

    proptest! {
        #[test]
        fn resized_crops_lie_in_the_image(seed: u64, w in 1usize..3000, h in 1usize..3000, low in 0.001f64..1.0) {
            let crop = draw_crop(&resized([low, 1.0]), (w, h), seed, 0, 0).expect("always possible");
            prop_assert!(crop.top >= 0 && crop.left >= 0 && crop.width >= 1 && crop.height >= 1);
            prop_assert!(crop.top.unsigned_abs() + crop.height <= h && crop.left.unsigned_abs() + crop.width <= w);
        }

        #[test]
        fn padded_crops_lie_in_the_padding(seed: u64, w in 1usize..80, h in 1usize..80, padding in 0usize..9, size in 1usize..90) {
            let transform = TrainTransform { crop: TrainCrop::RandomPad { size: size as u32, padding: padding as u32 }, flip: 0.5 };
            if let Ok(crop) = draw_crop(&transform, (w, h), seed, 0, 0) {
                let (p, size) = (padding.cast_signed(), size.cast_signed());
                prop_assert!(crop.top >= -p && crop.top + size <= h.cast_signed() + p);
                prop_assert!(crop.left >= -p && crop.left + size <= w.cast_signed() + p);
            } else {
                prop_assert!(w.min(h) + 2 * padding < size);
            }
        }
    }
}
