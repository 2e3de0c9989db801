//! Laws that every source keeps, and what the checker says of bad data.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use strum::IntoEnumIterator as _;
use tempfile::TempDir;

use super::*;
use crate::data::datasets::DATASETS;

fn write(path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> Result<()> {
    let path = path.as_ref();
    fs::create_dir_all(path.parent().context("a parent")?)?;
    Ok(fs::write(path, bytes)?)
}

fn golden(name: &str) -> Result<Vec<u8>> {
    Ok(fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/pixels").join(name))?)
}

/// Two classes, three training and two validation images.
fn image_folder() -> Result<TempDir> {
    let dir = tempfile::tempdir()?;
    for (path, file) in [
        ("train/cat/a.jpg", "420-odd.jpg"),
        ("train/cat/deep/b.PNG", "palette.png"),
        ("train/dog/c.jpeg", "gray.jpg"),
        ("val/cat/d.JPEG", "rgb.png"),
        ("val/dog/e.png", "cmyk.jpg"),
    ] {
        write(dir.path().join(path), golden(file)?)?;
    }
    Ok(dir)
}

fn idx_file(magic: u32, shape: &[u32], data: &[u8]) -> Vec<u8> {
    std::iter::once(&magic).chain(shape).flat_map(|n| n.to_be_bytes()).chain(data.iter().copied()).collect()
}

/// Three training and two validation images of 2×3 pixels with two classes.
fn idx_folder() -> Result<TempDir> {
    let dir = tempfile::tempdir()?;
    write(dir.path().join("train-images-idx3-ubyte"), idx_file(0x803, &[3, 3, 2], &(0..18).collect::<Vec<u8>>()))?;
    write(dir.path().join("train-labels-idx1-ubyte"), idx_file(0x801, &[3], &[0, 1, 0]))?;
    write(dir.path().join("t10k-images-idx3-ubyte"), idx_file(0x803, &[2, 3, 2], &[7; 12]))?;
    write(dir.path().join("t10k-labels-idx1-ubyte"), idx_file(0x801, &[2], &[1, 0]))?;
    Ok(dir)
}

/// Good data for each row of the table; a new row needs a line here.
fn example(scheme: &str) -> Result<(String, Option<TempDir>)> {
    let uri = |dir: &TempDir| format!("{scheme}:{}", dir.path().display());
    Ok(match scheme {
        "builtin" => ("builtin:fashion-mnist-2k".to_owned(), None),
        "idx" => idx_folder().map(|dir| (uri(&dir), Some(dir)))?,
        "imagefolder" => image_folder().map(|dir| (uri(&dir), Some(dir)))?,
        _ => bail!("no example for {scheme}"),
    })
}

#[test]
fn every_source_keeps_the_laws() -> Result<()> {
    for kind in SOURCES {
        let (uri, _dir) = example(&kind.card.scheme)?;
        let source = open(&uri)?;
        assert!(source.num_classes() >= 2, "{uri}");
        for split in Split::iter() {
            let mut seen = vec![false; source.num_classes()];
            assert!(source.len(split) >= 1, "{uri}");
            for index in 0..source.len(split).min(50) {
                seen[usize::try_from(source.label(split, index))?] = true;
                let image = source.image(split, index)?;
                assert!([1, 3].contains(&image.channels), "{uri}");
                assert_eq!(image.pixels.len(), image.width * image.height * image.channels, "{uri}");
                assert!(!source.name(split, index).is_empty(), "{uri}");
            }
            assert!(seen.into_iter().all(|s| s), "{uri}: a class without images in {split}");
        }
        let fingerprint = source.fingerprint()?;
        assert!(fingerprint.len() == 64 && fingerprint.chars().all(|c| c.is_ascii_hexdigit()), "{uri}");
        assert_eq!(fingerprint, open(&uri)?.fingerprint()?, "{uri}");
    }
    Ok(())
}

#[test]
fn schemes_are_distinct_words() {
    for (i, kind) in SOURCES.iter().enumerate() {
        assert!(kind.card.scheme.chars().all(|c| c.is_ascii_lowercase()));
        assert!(SOURCES[..i].iter().all(|other| other.card.scheme != kind.card.scheme));
        assert!(!kind.card.summary.is_empty());
    }
}

/// The error of opening `uri`, which must name each of `parts`.
fn refused(uri: &str, parts: &[&str]) -> Result<()> {
    let Err(error) = open(uri) else { bail!("{uri} was opened") };
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
    assert_eq!(error.exit(), mixbench_crds::exit::Exit::Data, "{text}");
    Ok(())
}

#[test]
fn a_wrong_uri_is_answered_with_the_right_one() -> Result<()> {
    let images = image_folder()?;
    let idx = idx_folder()?;
    let path = |dir: &TempDir| dir.path().display().to_string();
    refused("imagefoldr:/x", &["unknown scheme", "did you mean `imagefolder:/x`?"])?;
    refused("s3:bucket", &["unknown scheme", "builtin:, idx:, imagefolder:"])?;
    refused("idx:", &["nothing behind the colon"])?;
    refused("fashion-mnist-2k", &["did you mean `builtin:fashion-mnist-2k`?"])?;
    refused(&path(&images), &["has no scheme", &format!("did you mean `imagefolder:{}`?", path(&images))])?;
    refused(&path(&idx), &[&format!("did you mean `idx:{}`?", path(&idx))])?;
    refused("builtin:fashion-mnist", &["no data set `fashion-mnist`", "did you mean `fashion-mnist-2k`?"])
}

/// A change to a good image folder, and what the checker must say of it.
type Damage = (fn(&Path) -> Result<()>, &'static [&'static str]);

#[test]
fn bad_image_folders_are_refused_with_path_and_remedy() -> Result<()> {
    let damages: &[Damage] = &[
        (
            |d| Ok(fs::remove_dir_all(d.join("val"))?),
            &["/val: the folder of validation images is missing", "must hold train/ and val/"],
        ),
        (|d| Ok(fs::rename(d.join("val"), d.join("valid"))?), &["there is `valid`: rename it to `val`"]),
        (
            |d| Ok(fs::rename(d.join("train"), d.join("training"))?),
            &["/train: the folder of training", "there is `training`"],
        ),
        (|d| Ok(fs::rename(d.join("val/dog"), d.join("val/god"))?), &["only train has dog, only val has god"]),
        (|d| Ok(fs::remove_dir_all(d.join("val/dog"))?), &["only train has dog;"]),
        (|d| Ok(fs::create_dir(d.join("val/eel"))?), &["/val/eel: no JPEG or PNG images;", "remove the folder"]),
        (
            |d| write(d.join("train/eel/x.webp"), "RIFF"),
            &["/train/eel: no JPEG or PNG images (but 1 other files, such as train/eel/x.webp)"],
        ),
        (
            |d| write(d.join("val/000.jpg"), ""),
            &["/val: 1 images lie outside of class folders, such as 000.jpg", "sort it by class", "/train"],
        ),
        (
            |d| {
                fs::remove_dir_all(d.join("val"))?;
                write(d.join("val/images/val_0.JPEG"), "")?;
                write(d.join("val/val_annotations.txt"), "")
            },
            &["/val: all images lie in one folder", "val_annotations.txt", "sort it by class"],
        ),
        (
            |d| {
                fs::remove_dir_all(d.join("val"))?;
                Ok(fs::create_dir(d.join("val"))?)
            },
            &["/val: no JPEG or PNG images; put one folder for each class into it"],
        ),
    ];
    for (damage, parts) in damages {
        let dir = image_folder()?;
        damage(dir.path())?;
        refused(&format!("imagefolder:{}", dir.path().display()), parts)?;
    }
    let dir = tempfile::tempdir()?;
    fs::create_dir(dir.path().join("imagenet"))?;
    let wrong = dir.path().join("imagnet");
    refused(
        &format!("imagefolder:{}", wrong.display()),
        &["imagnet: the data folder is missing", "did you mean", "/imagenet`?"],
    )
}

#[test]
fn many_differing_classes_are_counted_not_listed() -> Result<()> {
    let dir = image_folder()?;
    for i in 0..20 {
        write(dir.path().join(format!("train/x{i:02}/a.png")), golden("rgb.png")?)?;
    }
    refused(&format!("imagefolder:{}", dir.path().display()), &["only train has x00, x01, x02, x03, x04 and 15 more"])
}

#[test]
fn bad_idx_files_are_refused_with_path_and_remedy() -> Result<()> {
    let damages: &[Damage] = &[
        (
            |d| Ok(fs::remove_file(d.join("t10k-labels-idx1-ubyte"))?),
            &["t10k-labels-idx1-ubyte: a file of the data set is missing"],
        ),
        (
            |d| write(d.join("train-labels-idx1-ubyte"), idx_file(0x801, &[2], &[0, 1])),
            &["has 3 images, but", "has 2 labels"],
        ),
        (
            |d| write(d.join("train-images-idx3-ubyte"), idx_file(0x803, &[3, 3, 2], &[0; 17])),
            &["announces [3, 3, 2] bytes, but 17 follow", "download it again"],
        ),
        (|d| write(d.join("train-images-idx3-ubyte"), [0, 0, 8]), &["3 bytes are too few"]),
        (
            |d| write(d.join("train-images-idx3-ubyte"), idx_file(0x801, &[3, 3, 2], &[])),
            &["begins with 00000801, not 00000803"],
        ),
        (|d| write(d.join("train-images-idx3-ubyte"), [0x1f, 0x8b, 8, 0]), &["the gzip data are cut off"]),
        (
            |d| write(d.join("train-labels-idx1-ubyte"), idx_file(0x801, &[3], &[0, 2, 0])),
            &["no label is 1, but there are labels up to 2"],
        ),
        (
            |d| write(d.join("t10k-labels-idx1-ubyte"), idx_file(0x801, &[2], &[1, 9])),
            &["label 9 of image 1 is out of range", "classes 0..2"],
        ),
        (
            |d| {
                write(d.join("t10k-labels-idx1-ubyte"), idx_file(0x801, &[0], &[]))?;
                write(d.join("t10k-images-idx3-ubyte"), idx_file(0x803, &[0, 3, 2], &[]))
            },
            &["holds 0 images"],
        ),
    ];
    for (damage, parts) in damages {
        let dir = idx_folder()?;
        damage(dir.path())?;
        refused(&format!("idx:{}", dir.path().display()), parts)?;
    }
    refused("idx:/nowhere/at/all", &["/nowhere/at/all: the folder is missing"])
}

#[test]
fn gzipped_idx_files_are_the_same_data() -> Result<()> {
    let plain = idx_folder()?;
    let packed = tempfile::tempdir()?;
    for entry in fs::read_dir(plain.path())? {
        let path: PathBuf = entry?.path();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        std::io::Write::write_all(&mut encoder, &fs::read(&path)?)?;
        let name = format!("{}.gz", path.file_name().context("a name")?.display());
        write(packed.path().join(name), encoder.finish()?)?;
    }
    let open = |dir: &TempDir| open(&format!("idx:{}", dir.path().display()));
    assert_eq!(open(&plain)?.fingerprint()?, open(&packed)?.fingerprint()?);
    assert_eq!(open(&packed)?.image(Split::Train, 1)?.pixels, (6..12).collect::<Vec<u8>>());
    Ok(())
}

#[test]
fn other_files_are_passed_over_and_named() -> Result<()> {
    let dir = image_folder()?;
    write(dir.path().join("train/cat/Thumbs.db"), "")?;
    write(dir.path().join("train/cat/._a.jpg"), "hidden")?;
    let source = open(&format!("imagefolder:{}", dir.path().display()))?;
    assert_eq!(source.len(Split::Train), 3);
    assert_eq!(source.class_names(), ["cat", "dog"]);
    assert_eq!(
        source.notes(),
        ["train: passed over 1 files that are not .jpg, .jpeg or .png, such as train/cat/Thumbs.db"]
    );
    Ok(())
}

#[test]
fn an_image_that_does_not_decode_is_named_with_its_index() -> Result<()> {
    let dir = image_folder()?;
    write(dir.path().join("train/dog/c.jpeg"), golden("cut-off.jpg")?)?;
    let source = open(&format!("imagefolder:{}", dir.path().display()))?;
    let error = source.image(Split::Train, 2).expect_err("cut off");
    let text = error.to_string();
    assert!(text.contains("train/dog/c.jpeg (image 2 of train): the image is cut off"), "{text}");
    assert_eq!(error.exit(), mixbench_crds::exit::Exit::Data);
    Ok(())
}

#[test]
fn the_fingerprint_follows_names_sizes_and_labels() -> Result<()> {
    let damages: &[fn(&Path) -> Result<()>] = &[
        |d| Ok(fs::rename(d.join("train/cat/a.jpg"), d.join("train/cat/b.jpg"))?),
        |d| Ok(fs::rename(d.join("train/cat/a.jpg"), d.join("train/dog/a.jpg"))?),
        |d| write(d.join("val/cat/d.JPEG"), "longer or shorter"),
        |d| write(d.join("val/cat/new.png"), ""),
    ];
    let fingerprint = |dir: &Path| open(&format!("imagefolder:{}", dir.display()))?.fingerprint();
    let untouched = fingerprint(image_folder()?.path())?;
    for damage in damages {
        let dir = image_folder()?;
        assert_eq!(fingerprint(dir.path())?, untouched);
        damage(dir.path())?;
        assert_ne!(fingerprint(dir.path())?, untouched);
    }
    Ok(())
}

#[test]
fn data_under_a_false_name_are_refused() -> Result<()> {
    let source = open("builtin:fashion-mnist-2k")?;
    let card = DATASETS.iter().find(|card| card.name == "imagenet-1k").context("a known name")?;
    let text = check_declared(&*source, card).expect_err("another data set").to_string();
    assert_eq!(text, "the data have 10 classes, but `imagenet-1k` has 1000; correct the data's name or its URI");
    Ok(())
}
