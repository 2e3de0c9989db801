//! Bad input that only both programs together notice.

use std::path::Path;

use crate::bench::{Bench, Came};

/// Runs on a folder of images that `fill` makes; nothing may come of it.
fn refused(fill: impl Fn(&Path)) -> Came {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    let values = "[\"0.5\", \"0.5\", \"0.5\"]";
    let uri = format!("imagefolder:{}", folder.path().display());
    let bench = Bench::one_run(&format!("{{name: mine, uri: \"{uri}\", mean: {values}, std: {values}}}"));
    let came = bench.run(&[]);
    assert_eq!(came.code, 3, "{came:?}");
    for run in bench.runs() {
        assert!(!run.result().exists() && !run.checkpoints().exists(), "{came:?}");
    }
    came
}

#[test]
fn a_folder_without_images_is_named() {
    let came = refused(|_| ());
    assert!(came.stderr.contains("train"), "{}", came.stderr);
}

#[test]
fn splits_with_other_classes_are_named_with_the_classes() {
    let came = refused(|folder| {
        for class in ["train/ants", "train/bees", "val/ants", "val/wasps"] {
            std::fs::create_dir_all(folder.join(class)).unwrap();
            std::fs::write(folder.join(class).join("a.png"), b"never decoded").unwrap();
        }
    });
    assert!(came.stderr.contains("bees") && came.stderr.contains("wasps"), "{}", came.stderr);
}
