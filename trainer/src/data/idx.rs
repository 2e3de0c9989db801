//! MNIST's file format: one file of images and one of labels for each split, gzipped or not.
//!
//! Layout: LeCun, Cortes, Burges, "The MNIST database of handwritten digits". The files are small, so they live in memory.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use mixbench_crds::hex;
use sha2::{Digest as _, Sha256};

use super::error::DataError;
use super::image::Image;
use super::source::{Source, Split};

const IMAGES_MAGIC: u32 = 0x0803;
const LABELS_MAGIC: u32 = 0x0801;

/// Both splits in memory.
pub(super) struct Idx {
    train: Part,
    val: Part,
    class_names: Vec<String>,
}

struct Part {
    image_file: PathBuf,
    label_file: PathBuf,
    width: usize,
    height: usize,
    pixels: Vec<u8>,
    labels: Vec<u8>,
}

/// The stem of a file's name, without `.gz`.
const fn file_name(split: Split, labels: bool) -> &'static str {
    match (split, labels) {
        (Split::Train, false) => "train-images-idx3-ubyte",
        (Split::Train, true) => "train-labels-idx1-ubyte",
        (Split::Val, false) => "t10k-images-idx3-ubyte",
        (Split::Val, true) => "t10k-labels-idx1-ubyte",
    }
}

/// Whether a folder holds the images of a training split in this format.
pub(super) fn looks_like(folder: &Path) -> bool {
    find(folder, file_name(Split::Train, false)).is_some()
}

/// The file with or without `.gz`; some mirrors write a point for the second hyphen.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let dotted = name.replace("-idx", ".idx");
    [name, &dotted]
        .into_iter()
        .flat_map(|name| [folder.join(name), folder.join(format!("{name}.gz"))])
        .find(|path| path.is_file())
}

/// Opens a folder of four files.
pub(super) fn open(folder: &str) -> Result<Box<dyn Source>, DataError> {
    let folder = Path::new(folder);
    if !folder.is_dir() {
        let remedy = "give the folder that holds the four files".to_owned();
        return Err(DataError::Missing { path: folder.to_owned(), what: "the folder", remedy });
    }
    let read = |split, labels| {
        let name = file_name(split, labels);
        let path = find(folder, name).ok_or_else(|| DataError::Missing {
            path: folder.join(name),
            what: "a file of the data set",
            remedy: "it may also end in .gz; all four must be there: images and labels of train and t10k".to_owned(),
        })?;
        let bytes = fs::read(&path).map_err(DataError::io(&path))?;
        Ok((path, bytes))
    };
    let part = |split| parse_part(read(split, false)?, read(split, true)?);
    Ok(Box::new(Idx::new(part(Split::Train)?, part(Split::Val)?, None)?))
}

/// Makes a source of files that are in memory already; they are named `PREFIX/…` in messages.
pub(super) fn from_bytes(prefix: &str, files: [&[u8]; 4], class_names: &[&str]) -> Result<Box<dyn Source>, DataError> {
    let [train_images, train_labels, val_images, val_labels] = files;
    let file = |split, labels, bytes: &[u8]| (Path::new(prefix).join(file_name(split, labels)), bytes.to_vec());
    let train = parse_part(file(Split::Train, false, train_images), file(Split::Train, true, train_labels))?;
    let val = parse_part(file(Split::Val, false, val_images), file(Split::Val, true, val_labels))?;
    let names = class_names.iter().map(|&name| name.to_owned()).collect();
    Ok(Box::new(Idx::new(train, val, Some(names))?))
}

fn parse_part(
    (image_file, images): (PathBuf, Vec<u8>),
    (label_file, labels): (PathBuf, Vec<u8>),
) -> Result<Part, DataError> {
    let (shape, pixels) = parse::<3>(&image_file, images, IMAGES_MAGIC)?;
    let (_, labels) = parse::<1>(&label_file, labels, LABELS_MAGIC)?;
    let [images, height, width] = shape;
    if images != labels.len() {
        return Err(DataError::Count { image_file, images, label_file, labels: labels.len() });
    }
    if images == 0 || height == 0 || width == 0 {
        let problem = format!("it holds {images} images of {width}×{height} pixels");
        return Err(DataError::Idx { path: image_file, problem });
    }
    Ok(Part { image_file, label_file, width, height, pixels, labels })
}

/// Unpacks if need be and splits into the sizes of the `D` dimensions and the data.
fn parse<const D: usize>(path: &Path, mut bytes: Vec<u8>, magic: u32) -> Result<([usize; D], Vec<u8>), DataError> {
    let wrong = |problem: String| DataError::Idx { path: path.to_owned(), problem };
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut unpacked = Vec::new();
        flate2::read::MultiGzDecoder::new(bytes.as_slice())
            .read_to_end(&mut unpacked)
            .map_err(|e| wrong(format!("the gzip data are cut off or broken ({e})")))?;
        bytes = unpacked;
    }
    let header = 4 * (D + 1);
    let words: Vec<u32> = bytes
        .get(..header)
        .ok_or_else(|| wrong(format!("{} bytes are too few for a header", bytes.len())))?
        .as_chunks::<4>()
        .0
        .iter()
        .map(|word| u32::from_be_bytes(*word))
        .collect();
    if words[0] != magic {
        return Err(wrong(format!(
            "it begins with {:08x}, not {magic:08x} as an IDX file of {D} dimensions",
            words[0]
        )));
    }
    let shape = std::array::from_fn(|d| words[d + 1] as usize);
    let expected = shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
    let found = bytes.len() - header;
    if expected != Some(found) {
        return Err(wrong(format!("its header announces {shape:?} bytes, but {found} follow")));
    }
    bytes.drain(..header);
    Ok((shape, bytes))
}

impl Idx {
    fn new(train: Part, val: Part, class_names: Option<Vec<String>>) -> Result<Self, DataError> {
        let max = train.labels.iter().copied().max().map_or(0, usize::from);
        let mut counts = vec![0usize; max + 1];
        train.labels.iter().for_each(|&label| counts[usize::from(label)] += 1);
        if let Some(class) = counts.iter().position(|&count| count == 0) {
            return Err(DataError::Gap { path: train.label_file, class, max });
        }
        if let Some(index) = val.labels.iter().position(|&label| usize::from(label) > max) {
            let label = usize::from(val.labels[index]);
            let (path, train) = (val.label_file, train.label_file);
            return Err(DataError::Label { path, index, label, classes: max + 1, train });
        }
        let class_names = class_names.unwrap_or_else(|| (0..=max).map(|class| class.to_string()).collect());
        Ok(Self { train, val, class_names })
    }

    const fn part(&self, split: Split) -> &Part {
        match split {
            Split::Train => &self.train,
            Split::Val => &self.val,
        }
    }
}

impl Source for Idx {
    fn len(&self, split: Split) -> usize {
        self.part(split).labels.len()
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn label(&self, split: Split, index: usize) -> i64 {
        i64::from(self.part(split).labels[index])
    }

    fn image(&self, split: Split, index: usize) -> Result<Image, DataError> {
        let part = self.part(split);
        let (width, height) = (part.width, part.height);
        let size = width * height;
        Ok(Image { width, height, channels: 1, pixels: part.pixels[index * size..][..size].to_vec() })
    }

    fn name(&self, split: Split, index: usize) -> String {
        format!("{}[{index}]", self.part(split).image_file.display())
    }

    fn fingerprint(&self) -> Result<String, DataError> {
        let mut sha = Sha256::new();
        for split in [Split::Train, Split::Val] {
            let part = self.part(split);
            // Not the path: packed or not, here or there, the data are the same.
            sha.update(format!("{split} {} {}x{}\n", part.labels.len(), part.width, part.height));
            sha.update(&part.labels);
            sha.update(&part.pixels);
        }
        Ok(hex::encode(&sha.finalize()))
    }
}
