//! What can be wrong with data, each with the path and the remedy.

use std::path::{Path, PathBuf};

use mixbench_crds::exit::Exit;

use super::crop::CropError;
use super::decode::DecodeError;
use super::source::Split;

/// Why data cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The URI has no scheme, or one that is not in the table.
    #[error("data URI `{uri}` {problem}; known are {known}{}", hint(suggestion.as_ref()))]
    Uri {
        /// As given.
        uri: String,
        /// What is wrong with it.
        problem: &'static str,
        /// The schemes there are.
        known: String,
        /// What was probably meant.
        suggestion: Option<String>,
    },
    /// No data set of this name is compiled in.
    #[error("no data set `{name}` is built in; known are {known}{}", hint(suggestion.as_ref()))]
    Builtin {
        /// As given.
        name: String,
        /// The names there are.
        known: String,
        /// What was probably meant.
        suggestion: Option<String>,
    },
    /// A folder or file that must be there is not.
    #[error("{}: {what} is missing; {remedy}", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
        /// What it is.
        what: &'static str,
        /// What to do.
        remedy: String,
    },
    /// A folder without a usable image.
    #[error("{}: no JPEG or PNG images{}; {remedy}", path.display(), besides(*others, example.as_ref()))]
    Empty {
        /// The folder.
        path: PathBuf,
        /// How many other files it holds.
        others: usize,
        /// One of them.
        example: Option<String>,
        /// What to do.
        remedy: &'static str,
    },
    /// Images lie where class folders should.
    #[error(
        "{}: {problem}; sort it by class: one folder for each class, named as in {}, with the class's images in it",
        path.display(), like.display()
    )]
    Unsorted {
        /// The folder.
        path: PathBuf,
        /// What shows that it is not sorted.
        problem: String,
        /// The folder whose names count.
        like: PathBuf,
    },
    /// The splits have different classes.
    #[error("{}: train and val differ in their classes: {}{}{}; rename, add or remove folders until both have the same",
        path.display(), only("train", only_train), if only_train.is_empty() || only_val.is_empty() { "" } else { ", " }, only("val", only_val))]
    Classes {
        /// The folder of both splits.
        path: PathBuf,
        /// Classes that val lacks.
        only_train: Vec<String>,
        /// Classes that train lacks.
        only_val: Vec<String>,
    },
    /// A class that no training image has.
    #[error("{}: no label is {class}, but there are labels up to {max}; labels must run from 0 without a gap", path.display())]
    Gap {
        /// The file of labels.
        path: PathBuf,
        /// The class without images.
        class: usize,
        /// The greatest label.
        max: usize,
    },
    /// A validation label that no training image has.
    #[error("{}: label {label} of image {index} is out of range: {} has the classes 0..{classes}", path.display(), train.display())]
    Label {
        /// The file of labels.
        path: PathBuf,
        /// The image.
        index: usize,
        /// Its label.
        label: usize,
        /// Number of classes.
        classes: usize,
        /// The file that defines the classes.
        train: PathBuf,
    },
    /// Another number of images than of labels.
    #[error("{} has {images} images, but {} has {labels} labels; they must come from the same download", image_file.display(), label_file.display())]
    Count {
        /// The images.
        image_file: PathBuf,
        /// How many.
        images: usize,
        /// The labels.
        label_file: PathBuf,
        /// How many.
        labels: usize,
    },
    /// A file in another format than IDX.
    #[error("{}: {problem}; download it again", path.display())]
    Idx {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The data are not those that their declared name means.
    #[error("the data have {found} {what}, but `{name}` has {expected}; correct the data's name or its URI")]
    Declared {
        /// Declared name.
        name: String,
        /// What was counted.
        what: &'static str,
        /// What the name means.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// A file name that is not UTF-8.
    #[error("{}: the name is not valid UTF-8; rename the file", path.display())]
    Name {
        /// The file.
        path: PathBuf,
    },
    /// An image that does not decode.
    #[error("{name} (image {index} of {split}): {source}")]
    Decode {
        /// The image's file.
        name: String,
        /// Its split.
        split: Split,
        /// Its index in the split.
        index: usize,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// An image that the recipe's crop does not fit.
    #[error("{name} (image {index} of {split}): {source}")]
    Crop {
        /// The image's file.
        name: String,
        /// Its split.
        split: Split,
        /// Its index in the split.
        index: usize,
        /// What does not fit.
        source: CropError,
    },
    /// The file system failed.
    #[error("{}: cannot be read: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The system gives no more threads.
    #[error("cannot start {threads} loader threads: {source}; use fewer")]
    Spawn {
        /// How many were asked for.
        threads: usize,
        /// Why.
        source: std::io::Error,
    },
    /// A loader thread ended without an answer.
    #[error("a loader thread died; its message is in the log above")]
    Thread,
}

impl DataError {
    /// The exit code that a run ends with: 74 where the file system failed midway, 64 for too many threads, 70 for our own
    /// defects, else 65.
    pub fn exit(&self) -> Exit {
        use std::io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
        match self {
            Self::Io { source, .. } if !matches!(source.kind(), NotADirectory | NotFound | PermissionDenied) => {
                Exit::Io
            }
            Self::Thread => Exit::Internal,
            Self::Spawn { .. } => Exit::Config,
            _ => Exit::Data,
        }
    }

    /// Wraps an I/O error with the path that it concerns.
    pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        |source| Self::Io { path, source }
    }
}

fn hint(suggestion: Option<&String>) -> String {
    suggestion.map_or_else(String::new, |s| format!("; did you mean `{s}`?"))
}

fn besides(others: usize, example: Option<&String>) -> String {
    example.map_or_else(String::new, |e| format!(" (but {others} other files, such as {e})"))
}

/// "only train has a, b, c and 7 more".
fn only(split: &str, classes: &[String]) -> String {
    const SHOWN: usize = 5;
    if classes.is_empty() {
        return String::new();
    }
    let more = if classes.len() > SHOWN { format!(" and {} more", classes.len() - SHOWN) } else { String::new() };
    format!("only {split} has {}{more}", classes[..classes.len().min(SHOWN)].join(", "))
}

/// The candidate that `text` was probably meant to be.
pub(super) fn similar<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    candidates
        .into_iter()
        .map(|c| (strsim::jaro_winkler(text, c), c))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, c)| c.to_owned())
}
