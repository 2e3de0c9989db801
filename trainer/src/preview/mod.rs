//! What a method does to a batch, as a picture and as numbers that let anyone recompute it.
//!
//! With a run document the batch is the very one that training sees at that step: same images, crops, flips and draws. Without one it is
//! the first images of the order under the seed, resized to a square and not augmented.

mod font;
mod grid;
mod save;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mixbench_crds::exit::Exit;
use mixbench_crds::run::{self, Run};
use mixbench_crds::training::{Interpolation, TrainCrop, TrainTransform};
use tch::{Kind, Tensor};

use crate::data::loader::{Augment, BatchId, HostBatch, Loader, train_jobs};
use crate::data::source::{Source, Split};
use crate::data::{DATASETS, DataError, open};
use crate::document::{self, DocumentError};
use crate::methods::{self, Drawn, MethodError, Mixed};

const DEFAULT_DATA: &str = "builtin:fashion-mnist-2k";
const LARGEST_SIDE: u32 = 224;

/// What to show.
#[derive(Clone, Debug)]
pub struct Options {
    /// Run document to take method, data, seed and transforms from.
    pub run: Option<PathBuf>,
    /// Name of a method, without a run.
    pub method: Option<String>,
    /// `NAME=VALUE` for each parameter that is not the catalog's default.
    pub param: Vec<String>,
    /// URI of the data; by default the run's, else a built-in set.
    pub data: Option<String>,
    /// Seed of the draws, without a run.
    pub seed: u64,
    /// Epoch of the draws, from 0.
    pub epoch: u32,
    /// Step of the epoch, from 0.
    pub step: u32,
    /// Micro-batch of the step, from 0.
    pub micro: u32,
    /// Rows of the picture; without a run also the size of the batch.
    pub rows: usize,
    /// File of the picture.
    pub out: PathBuf,
    /// File of the numbers.
    pub save: Option<PathBuf>,
}

/// Why there is no preview.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// Neither a run nor a method.
    #[error("nothing to show; give --run FILE or --method NAME")]
    Nothing,
    /// No rows.
    #[error("a picture of 0 rows; --rows takes 1 or more")]
    NoRows,
    /// A parameter that is not `NAME=VALUE`.
    #[error("`--param {0}` is not NAME=VALUE, such as alpha=1.0")]
    Param(String),
    /// The run document cannot be used.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The micro-batch is outside the step.
    #[error("micro-batch {micro} of a step that has {count}; they count from 0")]
    Micro {
        /// As given.
        micro: u32,
        /// How many there are.
        count: u32,
    },
    /// The method is refused.
    #[error(transparent)]
    Method(#[from] MethodError),
    /// The data are refused.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A file cannot be written.
    #[error("cannot write {}: {reason}; choose a folder that exists and that you may write to", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        reason: String,
    },
}

impl PreviewError {
    /// The exit code of the command.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Data(error) => error.exit(),
            Self::Write { .. } => Exit::CannotCreate,
            _ => Exit::Config,
        }
    }
}

/// Everything that decides what is shown.
struct Plan {
    method: run::Method,
    source: Arc<dyn Source>,
    uri: String,
    mean: [f64; 3],
    std: [f64; 3],
    transform: TrainTransform,
    seed: u64,
    global_batch: usize,
    micro_batch: usize,
}

/// A batch before and after.
struct Shown {
    batch: HostBatch,
    /// Normalised images NCHW, f32.
    x: Tensor,
    drawn: Drawn,
    mixed: Mixed,
    /// `[N, 1, H, W]`, f32.
    mask: Tensor,
}

/// Draws, mixes and writes the files. Nothing is written unless all of it could be computed.
///
/// # Errors
/// [`PreviewError`].
pub fn run(options: &Options) -> Result<(), PreviewError> {
    if options.rows == 0 {
        return Err(PreviewError::NoRows);
    }
    let plan = match &options.run {
        Some(path) => planned(path, options)?,
        None => free(options)?,
    };
    let shown = show(&plan, options)?;
    let picture = png(&draw(&plan, options, &shown)).map_err(|e| write_error(&options.out, &e))?;
    let numbers = options.save.as_ref().map(|path| (path, save::bytes(&plan, options, &shown)));
    fs::write(&options.out, picture).map_err(|e| write_error(&options.out, &e))?;
    if let Some((path, bytes)) = numbers {
        fs::write(path, bytes).map_err(|e| write_error(path, &e))?;
    }
    Ok(())
}

fn write_error(path: &Path, reason: &impl ToString) -> PreviewError {
    PreviewError::Write { path: path.to_owned(), reason: reason.to_string() }
}

/// As a run document says.
fn planned(path: &Path, options: &Options) -> Result<Plan, PreviewError> {
    let (Run { spec, place, .. }, _) = document::read(path)?;
    let count = spec.training.global_batch / spec.training.micro_batch.max(1);
    if options.micro >= count {
        return Err(PreviewError::Micro { micro: options.micro, count });
    }
    let uri = options.data.clone().unwrap_or(place.data_uri);
    Ok(Plan {
        method: spec.method,
        source: Arc::from(open(&uri)?),
        uri,
        mean: spec.data.mean,
        std: spec.data.std,
        transform: spec.training.train,
        seed: spec.seed,
        global_batch: spec.training.global_batch as usize,
        micro_batch: spec.training.micro_batch as usize,
    })
}

/// Without a run document: the whole image as a square, no augmentation.
fn free(options: &Options) -> Result<Plan, PreviewError> {
    let name = options.method.as_deref().ok_or(PreviewError::Nothing)?;
    let split = |text: &String| {
        let (name, value) = text.split_once('=').ok_or_else(|| PreviewError::Param(text.clone()))?;
        Ok((name.trim().to_owned(), value.trim().to_owned()))
    };
    let params = options.param.iter().map(split).collect::<Result<Vec<_>, PreviewError>>()?;
    let method = methods::resolve(name, &params)?;
    let uri = options.data.clone().unwrap_or_else(|| DEFAULT_DATA.to_owned());
    let source: Arc<dyn Source> = Arc::from(open(&uri)?);
    let first = source.image(Split::Train, 0)?;
    let size = u32::try_from(first.width.min(first.height)).unwrap_or(LARGEST_SIDE).min(LARGEST_SIDE);
    // Folders mostly hold photographs, for which ImageNet's numbers are the custom.
    let named = |card: &&mixbench_crds::catalog::DatasetCard| card.uri.as_deref() == Some(&*uri);
    let card = DATASETS.iter().find(named).or_else(|| DATASETS.iter().find(|card| card.name == "imagenet-1k"));
    let card = card.expect("imagenet-1k is in the table");
    let crop =
        TrainCrop::RandomResized { size, scale: [1.0, 1.0], ratio: [1.0, 1.0], interpolation: Interpolation::Bicubic };
    Ok(Plan {
        method,
        source,
        uri,
        mean: card.mean,
        std: card.std,
        transform: TrainTransform { crop, flip: 0.0 },
        seed: options.seed,
        global_batch: options.rows * (options.micro as usize + 1),
        micro_batch: options.rows,
    })
}

fn show(plan: &Plan, options: &Options) -> Result<Shown, PreviewError> {
    let method = methods::build(&plan.method)?;
    let id = BatchId { epoch: options.epoch, step: u64::from(options.step), micro: options.micro };
    let n = plan.source.len(Split::Train);
    let jobs: Vec<_> = train_jobs(plan.seed, n, plan.global_batch, plan.micro_batch, [id]).collect();
    let augment = Augment::Train { transform: plan.transform.clone(), seed: plan.seed };
    let mut loader = Loader::new(Arc::clone(&plan.source), augment, jobs.into_iter(), 0)?;
    let batch = loader.next().expect("one job")?;
    let key = method.scope().key(plan.seed, options.epoch, options.step, options.micro);
    let drawn = method.draw(&key, &batch);
    let [n, h, w] = [batch.n, batch.h, batch.w].map(|v| v.cast_signed() as i64);
    let x = normalise(&batch.pixels, [n, h, w, 3], &plan.mean, &plan.std);
    let mixed = method.apply(&x, &Tensor::from_slice(&batch.labels), &drawn);
    let mask = method.mask(&drawn, h, w).to_kind(Kind::Float).expand([n, 1, h, w], false).contiguous();
    Ok(Shown { batch, x, drawn, mixed, mask })
}

fn channels(values: &[f64; 3]) -> Tensor {
    Tensor::from_slice(values).to_kind(Kind::Float).view([1, 3, 1, 1])
}

/// Bytes NHWC as normalised values NCHW in f32.
fn normalise(pixels: &[u8], nhwc: [i64; 4], mean: &[f64; 3], std: &[f64; 3]) -> Tensor {
    let bytes = Tensor::from_slice(pixels).view(nhwc).permute([0, 3, 1, 2]).contiguous();
    (bytes.to_kind(Kind::Float) / 255.0 - channels(mean)) / channels(std)
}

/// Values NCHW in 0..=1 as bytes HWC of three channels, image by image.
fn pixels(values: &Tensor) -> Vec<Vec<u8>> {
    let (n, _, h, w) = values.size4().expect("NCHW");
    let bytes = (values * 255.0).round().clamp(0.0, 255.0).expand([n, 3, h, w], false).permute([0, 2, 3, 1]);
    let bytes = bytes.to_kind(Kind::Uint8).contiguous();
    (0..n).map(|i| Vec::try_from(bytes.get(i).view([-1])).expect("bytes")).collect()
}

fn draw(plan: &Plan, options: &Options, shown: &Shown) -> grid::Picture {
    let Shown { batch, drawn, mixed, mask, .. } = shown;
    let raw = |x: &Tensor| x * channels(&plan.std) + channels(&plan.mean);
    let (mixed, mask) = (pixels(&raw(&mixed.x)), pixels(mask));
    let image = |i: usize| batch.pixels[i * batch.h * batch.w * 3..][..batch.h * batch.w * 3].to_vec();
    let class = |i: usize| -> &str { &plan.source.class_names()[batch.labels[i].cast_unsigned() as usize] };
    let rows: Vec<grid::Row> = (0..options.rows.min(batch.n))
        .map(|i| {
            let other = drawn.perm[i].cast_unsigned() as usize;
            let title = format!("{} λ={:.4}: A {}, B {}", drawn.mode, drawn.lam[i], class(i), class(other));
            grid::Row { title, cells: [image(i), image(other), mixed[i].clone(), mask[i].clone()] }
        })
        .collect();
    let params: Vec<String> = plan.method.params.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let title = format!(
        "{} {} seed {}, epoch {}, step {}, batch {}",
        plan.method.name,
        params.join(" "),
        plan.seed,
        options.epoch,
        options.step,
        options.micro
    );
    grid::picture(&title, ["A", "B", "mixed", "mask"], &rows, batch.h, batch.w)
}

fn png(picture: &grid::Picture) -> Result<Vec<u8>, png::EncodingError> {
    let side = |n: usize| u32::try_from(n).map_err(|_| png::EncodingError::LimitsExceeded);
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, side(picture.width)?, side(picture.height)?);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&picture.pixels)?;
    writer.finish()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
