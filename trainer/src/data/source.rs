//! Where images come from: one table, one trait.

use std::borrow::Cow;
use std::path::Path;

use mixbench_crds::catalog::{DatasetCard, SourceCard};

use super::error::{DataError, similar};
use super::image::Image;
use super::{builtin, folder, idx};

/// Which part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::Display, strum::EnumIter)]
#[strum(serialize_all = "lowercase")]
pub enum Split {
    /// What is learnt from.
    Train,
    /// What is measured on.
    Val,
}

/// A labelled set of images that was checked when it was opened. Loader threads share it.
pub trait Source: Send + Sync {
    /// Images of a split, at least 1.
    fn len(&self, split: Split) -> usize;

    /// Names of the classes, in the order of their labels.
    fn class_names(&self) -> &[String];

    /// How many classes there are.
    fn num_classes(&self) -> usize {
        self.class_names().len()
    }

    /// Label of an image, `0..num_classes`.
    ///
    /// # Panics
    /// If `index` is not below the split's length; likewise below.
    fn label(&self, split: Split, index: usize) -> i64;

    /// The image itself, with 1 or 3 channels.
    fn image(&self, split: Split, index: usize) -> Result<Image, DataError>;

    /// What to call an image in messages.
    fn name(&self, split: Split, index: usize) -> String;

    /// sha256 (lower-case hex) of what the data are: file names, sizes and labels, and the pixels where they lie in memory.
    fn fingerprint(&self) -> Result<String, DataError>;

    /// What the checker found strange but harmless, such as files that it passed over.
    fn notes(&self) -> &[String] {
        &[]
    }
}

/// A way to read data.
pub struct SourceKind {
    /// What the catalog says of it.
    pub card: SourceCard,
    /// Opens and checks what stands behind the colon of a URI.
    pub open: fn(&str) -> Result<Box<dyn Source>, DataError>,
}

/// All ways to read data, by scheme.
pub static SOURCES: &[SourceKind] = &[
    SourceKind {
        card: SourceCard {
            scheme: Cow::Borrowed("builtin"),
            summary: Cow::Borrowed("name of a small data set that is compiled into the trainer"),
        },
        open: builtin::open,
    },
    SourceKind {
        card: SourceCard {
            scheme: Cow::Borrowed("idx"),
            summary: Cow::Borrowed(
                "folder of MNIST's four files (train-images-idx3-ubyte, …, t10k-labels-idx1-ubyte), gzipped or not",
            ),
        },
        open: idx::open,
    },
    SourceKind {
        card: SourceCard {
            scheme: Cow::Borrowed("imagefolder"),
            summary: Cow::Borrowed("folder with train/CLASS/*.{jpg,jpeg,png} and val/CLASS/*.{jpg,jpeg,png}"),
        },
        open: folder::open,
    },
];

/// Opens the data of a URI `SCHEME:REST` and checks all that can be checked without decoding images.
pub fn open(uri: &str) -> Result<Box<dyn Source>, DataError> {
    let known = || SOURCES.iter().map(|kind| kind.card.scheme.as_ref());
    let wrong = |problem, suggestion| DataError::Uri {
        uri: uri.to_owned(),
        problem,
        known: known().map(|scheme| format!("{scheme}:")).collect::<Vec<_>>().join(", "),
        suggestion,
    };
    let Some((scheme, rest)) = uri.split_once(':') else {
        return Err(wrong("has no scheme", scheme_of(uri).map(|scheme| format!("{scheme}:{uri}"))));
    };
    let Some(kind) = SOURCES.iter().find(|kind| kind.card.scheme == scheme) else {
        let suggestion = similar(scheme, known()).map(|scheme| format!("{scheme}:{rest}"));
        return Err(wrong("has an unknown scheme", suggestion));
    };
    if rest.is_empty() {
        return Err(wrong("names nothing behind the colon", None));
    }
    (kind.open)(rest)
}

/// The scheme that would open a bare word or folder.
fn scheme_of(text: &str) -> Option<&'static str> {
    if builtin::NAMES.contains(&text) {
        Some("builtin")
    } else if Path::new(text).join("train").is_dir() {
        Some("imagefolder")
    } else if idx::looks_like(Path::new(text)) {
        Some("idx")
    } else {
        None
    }
}

/// Checks that data are what their declared name means: classes and number of images.
pub fn check_declared(source: &dyn Source, card: &DatasetCard) -> Result<(), DataError> {
    let counts = [
        ("classes", u64::from(card.classes), source.num_classes()),
        ("training images", card.train, source.len(Split::Train)),
        ("validation images", card.val, source.len(Split::Val)),
    ];
    match counts.into_iter().find(|(_, expected, found)| *expected != *found as u64) {
        Some((what, expected, found)) => {
            Err(DataError::Declared { name: card.name.to_string(), what, expected, found: found as u64 })
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
