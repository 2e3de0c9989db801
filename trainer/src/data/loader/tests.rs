use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use mixbench_crds::training::{Interpolation, TrainCrop};

use super::*;
use crate::data::decode::DecodeError;
use crate::data::image::Image;
use crate::data::source::open;

/// A source of small noise images that counts what it gives out and misbehaves where told.
#[derive(Default)]
struct Noise {
    broken: Option<usize>,
    panics: Option<usize>,
    slow: bool,
    made: AtomicUsize,
}

impl Source for Noise {
    fn len(&self, _: Split) -> usize {
        100
    }

    fn class_names(&self) -> &[String] {
        &[]
    }

    fn label(&self, _: Split, index: usize) -> i64 {
        i64::from(index as u32 % 7)
    }

    fn image(&self, split: Split, index: usize) -> Result<Image, DataError> {
        self.made.fetch_add(1, Ordering::Relaxed);
        assert!(self.panics != Some(index), "a defect that the test wants");
        if self.slow {
            std::thread::sleep(Duration::from_millis(index as u64 % 3 * 2));
        }
        if self.broken == Some(index) {
            return Err(DataError::Decode {
                name: self.name(split, index),
                split,
                index,
                source: DecodeError::Truncated,
            });
        }
        let (width, height) = (10 + index % 5, 12 - index % 4);
        let pixels = (0..width * height * 3).map(|i| (i * 31 + index * 17) as u8).collect();
        Ok(Image { width, height, channels: 3, pixels })
    }

    fn name(&self, _: Split, index: usize) -> String {
        format!("noise/{index}.png")
    }

    fn fingerprint(&self) -> Result<String, DataError> {
        Ok(String::new())
    }
}

fn augment(side: u32) -> Augment {
    let crop = TrainCrop::RandomResized {
        size: side,
        scale: [0.2, 1.0],
        ratio: [0.7, 1.4],
        interpolation: Interpolation::Bicubic,
    };
    Augment::Train { transform: TrainTransform { crop, flip: 0.5 }, seed: 5 }
}

fn evaluate() -> Augment {
    Augment::Eval(EvalTransform { resize: Some(9), crop: 8, interpolation: Interpolation::Bilinear })
}

/// Two epochs of 100 images: 7 steps of 16 each, in two micro-batches.
fn ids() -> impl Iterator<Item = BatchId> + Send {
    (0..2).flat_map(|epoch| (0..7).flat_map(move |step| (0..2).map(move |micro| BatchId { epoch, step, micro })))
}

fn load(source: Noise, augment: Augment, threads: usize) -> Result<Vec<HostBatch>> {
    let loader = Loader::new(Arc::new(source), augment, train_jobs(5, 100, 16, 8, ids()), threads)?;
    Ok(loader.collect::<Result<_, _>>()?)
}

#[test]
fn batches_do_not_depend_on_the_number_of_threads() -> Result<()> {
    let expected = load(Noise::default(), augment(8), 0)?;
    assert_eq!(expected.len(), 28);
    for threads in [1, 2, 5] {
        let batches = load(Noise { slow: true, ..Noise::default() }, augment(8), threads)?;
        assert_eq!(batches.len(), expected.len());
        for (batch, expected) in batches.iter().zip(&expected) {
            assert_eq!((batch.id, batch.n, batch.h, batch.w, batch.c), (expected.id, 8, 8, 8, 3));
            assert_eq!(batch.indices, expected.indices);
            assert_eq!(batch.labels, expected.labels);
            assert_eq!(batch.pixels, expected.pixels, "{:?} with {threads} threads", batch.id);
        }
    }
    Ok(())
}

#[test]
fn another_epoch_shows_other_crops_of_the_same_image() -> Result<()> {
    let batches = load(Noise::default(), augment(8), 0)?;
    let pixels_of = |epoch, index| {
        batches.iter().filter(|b| b.id.epoch == epoch).find_map(|b| {
            let at = b.indices.iter().position(|&i| i == index)?;
            Some(b.pixels[at * 192..][..192].to_vec())
        })
    };
    let differing = (0..100).filter(|&i| pixels_of(0, i) != pixels_of(1, i)).count();
    assert!(differing > 95, "{differing} of 100");
    Ok(())
}

#[test]
fn a_validation_shows_each_image_once() -> Result<()> {
    let loader = Loader::new(Arc::new(Noise::default()), evaluate(), eval_jobs(10..93, 20), 2)?;
    let batches: Vec<HostBatch> = loader.collect::<Result<_, _>>()?;
    assert_eq!(batches.iter().map(|b| b.n).collect::<Vec<_>>(), [20, 20, 20, 20, 3]);
    let indices: Vec<usize> = batches.iter().flat_map(|b| b.indices.clone()).collect();
    assert_eq!(indices, (10..93).collect::<Vec<_>>());
    assert!(batches.iter().all(|b| b.pixels.len() == b.n * 192));
    Ok(())
}

#[test]
fn a_broken_image_is_an_error_with_its_name_and_then_the_end() -> Result<()> {
    for threads in [0, 1, 3] {
        let source = Noise { broken: Some(45), ..Noise::default() };
        let mut loader = Loader::new(Arc::new(source), evaluate(), eval_jobs(0..100, 10), threads)?;
        assert_eq!(loader.by_ref().take(4).flatten().count(), 4);
        let error = loader.next().context("an answer")?.expect_err("image 45 is broken");
        assert_eq!(error.to_string(), "noise/45.png (image 45 of val): the image is cut off: copy the file again");
        assert!(loader.next().is_none());
    }
    Ok(())
}

#[test]
fn a_crop_that_does_not_fit_names_the_image() -> Result<()> {
    let crop = TrainCrop::RandomPad { size: 12, padding: 0 };
    let augment = Augment::Train { transform: TrainTransform { crop, flip: 0.0 }, seed: 0 };
    let job = Job { id: BatchId::default(), indices: vec![2, 3] };
    let error = Loader::new(Arc::new(Noise::default()), augment, std::iter::once(job), 1)?
        .next()
        .context("an answer")?
        .expect_err("12×10 holds no 12×12");
    assert!(error.to_string().starts_with("noise/2.png (image 2 of train): 12×10 pixels"), "{error}");
    Ok(())
}

#[test]
fn a_thread_that_panics_is_an_error_and_not_a_hang() -> Result<()> {
    for threads in [1, 3] {
        let source = Noise { panics: Some(25), ..Noise::default() };
        let loader = Loader::new(Arc::new(source), evaluate(), eval_jobs(0..100, 10), threads)?;
        let answers: Vec<Answer> = loader.collect();
        assert!(matches!(answers.as_slice(), [Ok(_), Ok(_), Err(DataError::Thread)]), "{answers:?}");
    }
    Ok(())
}

#[test]
fn dropping_the_loader_ends_its_threads() -> Result<()> {
    let source = Arc::new(Noise { slow: true, ..Noise::default() });
    let shared: Arc<dyn Source> = source.clone();
    let mut loader = Loader::new(shared, augment(8), train_jobs(5, 100, 16, 8, ids()), 3)?;
    let batch = loader.next().context("an answer")??;
    let start = Instant::now();
    drop(loader);
    assert!(start.elapsed() < Duration::from_secs(1));
    assert_eq!(Arc::strong_count(&source), 1, "no thread holds the source");
    let made = source.made.load(Ordering::Relaxed);
    assert!(made < 28 * 8, "the rest was not made: {made}");
    drop(batch);
    Ok(())
}

#[test]
fn buffers_are_used_again() -> Result<()> {
    let mut loader = Loader::new(Arc::new(Noise::default()), evaluate(), eval_jobs(0..100, 10), 0)?;
    let first = loader.next().context("an answer")??;
    let address = first.pixels.as_ptr();
    drop(first);
    assert_eq!(loader.next().context("an answer")??.pixels.as_ptr(), address);
    Ok(())
}

#[test]
fn gray_images_fill_three_equal_channels() -> Result<()> {
    let source: Arc<dyn Source> = Arc::from(open("builtin:fashion-mnist-2k")?);
    let transform = EvalTransform { resize: None, crop: 28, interpolation: Interpolation::Bicubic };
    let batch = Loader::new(Arc::clone(&source), Augment::Eval(transform), eval_jobs(0..64, 64), 1)?
        .next()
        .context("an answer")??;
    assert!(batch.pixels.as_chunks::<3>().0.iter().all(|[r, g, b]| r == g && g == b));
    let image = source.image(Split::Val, 63)?;
    assert!(batch.pixels[63 * 28 * 28 * 3..].iter().step_by(3).eq(&image.pixels));
    Ok(())
}
