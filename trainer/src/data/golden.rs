//! The pixel path against the vectors of `scripts/golden_pixels.py`: every pixel of every case equals Pillow 12's.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use mixbench_crds::hex;
use mixbench_crds::training::{EvalTransform, Interpolation, TrainCrop, TrainTransform};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::crop::{Crop, draw_crop};
use super::decode::decode;
use super::image::Image;
use super::transform::{Scratch, eval_pixels, train_pixels};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/pixels")
}

fn vectors<T: DeserializeOwned>(name: &str) -> Result<Vec<T>> {
    let mut all: serde_json::Value = serde_json::from_slice(&std::fs::read(folder().join("vectors.json"))?)?;
    let rows: Vec<T> = serde_json::from_value(all[name].take())?;
    ensure!(!rows.is_empty(), "no vectors of {name}");
    Ok(rows)
}

fn load(file: &str) -> Result<Image> {
    decode(&std::fs::read(folder().join(file))?).with_context(|| file.to_owned())
}

/// What Pillow made of a case.
#[derive(Debug, Deserialize)]
struct Answer {
    width: usize,
    height: usize,
    sha256: String,
    pixels: Option<String>,
}

impl Answer {
    fn check(&self, width: usize, height: usize, rgb: &[u8]) -> Result<()> {
        ensure!((width, height) == (self.width, self.height), "{width}×{height}, not {}×{}", self.width, self.height);
        ensure!(rgb.len() == width * height * 3);
        if let Some(pixels) = &self.pixels {
            ensure!(*pixels == hex::encode(rgb), "pixels {}, not {pixels}", hex::encode(rgb));
        }
        ensure!(self.sha256 == hex::encode(&Sha256::digest(rgb)), "pixels differ");
        Ok(())
    }
}

fn filter(name: &str) -> Interpolation {
    if name == "bicubic" { Interpolation::Bicubic } else { Interpolation::Bilinear }
}

#[test]
fn decoded_pixels_equal_pillow() -> Result<()> {
    #[derive(Debug, Deserialize)]
    struct Case {
        file: String,
        #[serde(default)]
        error: bool,
        #[serde(flatten)]
        answer: Option<Answer>,
    }
    for case in vectors::<Case>("decode")? {
        let image = load(&case.file);
        ensure!(image.is_err() == case.error, "{}: {image:?}", case.file);
        if let (Ok(image), Some(answer)) = (image, case.answer) {
            let rgb: Vec<u8> = match image.channels {
                1 => image.pixels.iter().flat_map(|&p| [p; 3]).collect(),
                _ => image.pixels,
            };
            answer.check(image.width, image.height, &rgb).with_context(|| case.file)?;
        }
    }
    Ok(())
}

#[test]
fn cropped_and_resized_pixels_equal_pillow() -> Result<()> {
    #[derive(Debug, Deserialize)]
    struct Case {
        file: String,
        #[serde(rename = "box")]
        place: [usize; 4],
        size: u32,
        filter: String,
        #[serde(flatten)]
        answer: Answer,
    }
    let mut scratch = Scratch::default();
    for case in vectors::<Case>("crop")? {
        let [left, top, width, height] = case.place;
        let side = case.size as usize;
        let interpolation = filter(&case.filter);
        let crop = TrainCrop::RandomResized { size: case.size, scale: [1.0; 2], ratio: [1.0; 2], interpolation };
        for flip in [false, true] {
            let place = Crop { top: top.cast_signed(), left: left.cast_signed(), height, width, flip };
            let mut out = vec![0; side * side * 3];
            let transform = TrainTransform { crop: crop.clone(), flip: 0.0 };
            train_pixels(&load(&case.file)?, &place, &transform, &mut scratch, &mut out);
            if flip {
                out.as_chunks_mut::<3>().0.chunks_exact_mut(side).for_each(<[_]>::reverse);
            }
            case.answer.check(side, side, &out).with_context(|| format!("{case:?}"))?;
        }
    }
    Ok(())
}

#[test]
fn validation_pixels_equal_pillow() -> Result<()> {
    #[derive(Debug, Deserialize)]
    struct Case {
        file: String,
        resize: Option<u32>,
        crop: u32,
        filter: String,
        #[serde(flatten)]
        answer: Answer,
    }
    let mut scratch = Scratch::default();
    for case in vectors::<Case>("eval")? {
        let side = case.crop as usize;
        let transform = EvalTransform { resize: case.resize, crop: case.crop, interpolation: filter(&case.filter) };
        let mut out = vec![0; side * side * 3];
        eval_pixels(&load(&case.file)?, &transform, &mut scratch, &mut out);
        case.answer.check(side, side, &out).with_context(|| format!("{case:?}"))?;
    }
    Ok(())
}

#[test]
fn padded_pixels_equal_pillow() -> Result<()> {
    #[derive(Debug, Deserialize)]
    struct Case {
        file: String,
        padding: u32,
        size: u32,
        top: isize,
        left: isize,
        flip: bool,
        #[serde(flatten)]
        answer: Answer,
    }
    let mut scratch = Scratch::default();
    for case in vectors::<Case>("pad")? {
        let side = case.size as usize;
        let crop = TrainCrop::RandomPad { size: case.size, padding: case.padding };
        let place = Crop { top: case.top, left: case.left, height: side, width: side, flip: case.flip };
        let mut out = vec![0; side * side * 3];
        train_pixels(&load(&case.file)?, &place, &TrainTransform { crop, flip: 0.5 }, &mut scratch, &mut out);
        case.answer.check(side, side, &out).with_context(|| format!("{case:?}"))?;
    }
    Ok(())
}

#[test]
fn drawn_crops_equal_those_of_the_restated_rules() -> Result<()> {
    #[derive(Debug, Deserialize)]
    struct Case {
        image: (usize, usize),
        scale: [f64; 2],
        ratio: [f64; 2],
        seed: u64,
        epoch: u32,
        index: u64,
        crop: (isize, isize, usize, usize),
        flip: bool,
    }
    for case in vectors::<Case>("draw")? {
        let (scale, ratio) = (case.scale, case.ratio);
        let crop = TrainCrop::RandomResized { size: 224, scale, ratio, interpolation: Interpolation::Bicubic };
        let drawn = draw_crop(&TrainTransform { crop, flip: 0.5 }, case.image, case.seed, case.epoch, case.index)?;
        let (top, left, height, width) = case.crop;
        ensure!(drawn == Crop { top, left, height, width, flip: case.flip }, "{drawn:?} in {case:?}");
    }
    Ok(())
}
