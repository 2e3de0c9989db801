//! Data sets that are compiled in, so that one manifest works on a laptop and in a pod.

use super::error::{DataError, similar};
use super::idx;
use super::source::Source;

/// What `builtin:` can be followed by.
pub(super) const NAMES: &[&str] = &["fashion-mnist-2k"];

const FASHION_MNIST_CLASSES: [&str; 10] =
    ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot"];

/// 2,000 + 1,000 images of Fashion-MNIST's training split; see the folder's README and LICENSE.
const FASHION_MNIST_2K: [&[u8]; 4] = [
    include_bytes!("../../data/fashion-mnist-2k/train-images-idx3-ubyte.gz"),
    include_bytes!("../../data/fashion-mnist-2k/train-labels-idx1-ubyte.gz"),
    include_bytes!("../../data/fashion-mnist-2k/t10k-images-idx3-ubyte.gz"),
    include_bytes!("../../data/fashion-mnist-2k/t10k-labels-idx1-ubyte.gz"),
];

/// Opens a data set by its name.
pub(super) fn open(name: &str) -> Result<Box<dyn Source>, DataError> {
    match name {
        "fashion-mnist-2k" => idx::from_bytes("builtin:fashion-mnist-2k", FASHION_MNIST_2K, &FASHION_MNIST_CLASSES),
        _ => Err(DataError::Builtin {
            name: name.to_owned(),
            known: NAMES.join(", "),
            suggestion: similar(name, NAMES.iter().copied()),
        }),
    }
}
