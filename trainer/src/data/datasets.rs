//! Data sets that are known by name: what a manifest's `data.name` stands for.

use std::borrow::Cow;

use mixbench_crds::catalog::DatasetCard;

const IMAGENET_MEAN: [f64; 3] = [0.485, 0.456, 0.406];
const IMAGENET_STD: [f64; 3] = [0.229, 0.224, 0.225];

/// Pixels of Fashion-MNIST's 60,000 training images over 255, the same for each of three equal channels.
const FASHION_MNIST_MEAN: [f64; 3] = [0.2860; 3];
const FASHION_MNIST_STD: [f64; 3] = [0.3530; 3];

/// All of them, in the order of their size.
pub static DATASETS: &[DatasetCard] = &[
    DatasetCard {
        name: Cow::Borrowed("fashion-mnist-2k"),
        title: Cow::Borrowed("Fashion-MNIST, 2,000 + 1,000 images of its training split"),
        train: 2000,
        val: 1000,
        classes: 10,
        mean: FASHION_MNIST_MEAN,
        std: FASHION_MNIST_STD,
        uri: Some(Cow::Borrowed("builtin:fashion-mnist-2k")),
    },
    DatasetCard {
        name: Cow::Borrowed("fashion-mnist"),
        title: Cow::Borrowed("Fashion-MNIST"),
        train: 60_000,
        val: 10_000,
        classes: 10,
        mean: FASHION_MNIST_MEAN,
        std: FASHION_MNIST_STD,
        uri: None,
    },
    DatasetCard {
        name: Cow::Borrowed("cifar10"),
        title: Cow::Borrowed("CIFAR-10"),
        train: 50_000,
        val: 10_000,
        classes: 10,
        mean: [0.4914, 0.4822, 0.4465],
        std: [0.2023, 0.1994, 0.2010],
        uri: None,
    },
    DatasetCard {
        name: Cow::Borrowed("cifar100"),
        title: Cow::Borrowed("CIFAR-100"),
        train: 50_000,
        val: 10_000,
        classes: 100,
        mean: [0.4914, 0.4822, 0.4465],
        std: [0.2023, 0.1994, 0.2010],
        uri: None,
    },
    DatasetCard {
        name: Cow::Borrowed("tiny-imagenet"),
        title: Cow::Borrowed("Tiny-ImageNet-200"),
        train: 100_000,
        val: 10_000,
        classes: 200,
        mean: IMAGENET_MEAN,
        std: IMAGENET_STD,
        uri: None,
    },
    DatasetCard {
        name: Cow::Borrowed("imagenet-1k"),
        title: Cow::Borrowed("ImageNet-1k (ILSVRC 2012)"),
        train: 1_281_167,
        val: 50_000,
        classes: 1000,
        mean: IMAGENET_MEAN,
        std: IMAGENET_STD,
        uri: None,
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::source::{Split, check_declared, open};
    use anyhow::Result;

    #[test]
    fn names_are_distinct_and_numbers_plausible() {
        for (i, card) in DATASETS.iter().enumerate() {
            assert!(DATASETS[..i].iter().all(|other| other.name != card.name), "{}", card.name);
            assert!(card.train >= card.val && card.val >= u64::from(card.classes), "{}", card.name);
            assert!(card.mean.iter().chain(&card.std).all(|v| (0.0..1.0).contains(v)), "{}", card.name);
        }
    }

    #[test]
    fn what_is_compiled_in_is_what_its_card_says() -> Result<()> {
        for card in DATASETS {
            if let Some(uri) = &card.uri {
                check_declared(&*open(uri)?, card)?;
            }
        }
        Ok(())
    }

    /// The subset's mean and deviation agree with the full set's, which the card states.
    #[test]
    fn mean_and_deviation_fit_the_images() -> Result<()> {
        let source = open("builtin:fashion-mnist-2k")?;
        let (mut sum, mut squares, mut n) = (0.0, 0.0, 0.0);
        for index in 0..source.len(Split::Train) {
            for pixel in source.image(Split::Train, index)?.pixels {
                let x = f64::from(pixel) / 255.0;
                sum += x;
                squares += x * x;
                n += 1.0;
            }
        }
        let mean = sum / n;
        assert!((mean - FASHION_MNIST_MEAN[0]).abs() < 5e-3, "{mean}");
        let std = (squares / n - mean * mean).sqrt();
        assert!((std - FASHION_MNIST_STD[0]).abs() < 5e-3, "{std}");
        Ok(())
    }
}
