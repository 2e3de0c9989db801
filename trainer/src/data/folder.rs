//! Images in folders: `train/CLASS/…` and `val/CLASS/…`, as torchvision's ImageFolder reads them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use mixbench_crds::hex;
use sha2::{Digest as _, Sha256};

use super::decode::decode;
use super::error::{DataError, similar};
use super::image::Image;
use super::source::{Source, Split};

/// Extensions of the files that are taken for images, in lower case; what they are is decided by content when they are read.
const EXTENSIONS: [&str; 3] = ["jpg", "jpeg", "png"];

/// Folders in folders deeper than this are a loop of links.
const MAX_DEPTH: usize = 16;

/// Lists of files; the images stay on disk.
struct Folder {
    root: PathBuf,
    class_names: Vec<String>,
    train: Vec<Entry>,
    val: Vec<Entry>,
    notes: Vec<String>,
}

struct Entry {
    /// Below `root`, with `/`.
    path: Box<str>,
    label: u32,
}

/// Opens and checks a folder.
pub(super) fn open(root: &str) -> Result<Box<dyn Source>, DataError> {
    let root = PathBuf::from(root);
    if !root.is_dir() {
        return Err(missing(&root, "the data folder", "check the path, or mount the volume"));
    }
    let train = scan(&root, Split::Train)?;
    let val = scan(&root, Split::Val)?;
    check_classes(&root, &train, &val)?;
    let notes =
        [(Split::Train, &train), (Split::Val, &val)].into_iter().filter_map(|(split, s)| s.note(split)).collect();
    let class_names = train.classes.keys().cloned().collect();
    Ok(Box::new(Folder { root, class_names, train: train.entries(), val: val.entries(), notes }))
}

/// What lies in one split: paths by class, and what was passed over.
#[derive(Default)]
struct Scan {
    classes: BTreeMap<String, Vec<String>>,
    loose: Vec<String>,
    others: Vec<String>,
}

impl Scan {
    fn entries(self) -> Vec<Entry> {
        let labelled = (0u32..).zip(self.classes.into_values());
        labelled.flat_map(|(label, paths)| paths.into_iter().map(move |p| Entry { path: p.into(), label })).collect()
    }

    fn note(&self, split: Split) -> Option<String> {
        let example = self.others.first()?;
        Some(format!(
            "{split}: passed over {} files that are not .jpg, .jpeg or .png, such as {example}",
            self.others.len()
        ))
    }
}

fn scan(root: &Path, split: Split) -> Result<Scan, DataError> {
    let folder = root.join(split.to_string());
    if !folder.is_dir() {
        return Err(missing_split(root, split));
    }
    let mut scan = Scan::default();
    for (name, path) in list(&folder)? {
        let relative = format!("{split}/{name}");
        if path.is_dir() {
            let mut files = Vec::new();
            let others = scan.others.len();
            walk(&path, &relative, 0, &mut files, &mut scan.others)?;
            if files.is_empty() {
                let others = &scan.others[others..];
                return Err(DataError::Empty {
                    path,
                    others: others.len(),
                    example: others.first().cloned(),
                    remedy: "each class needs at least one; remove the folder if it is none",
                });
            }
            files.sort_unstable();
            scan.classes.insert(name, files);
        } else if is_image(&name) {
            scan.loose.push(name);
        } else {
            scan.others.push(relative);
        }
    }
    let like = root.join(if split == Split::Val { "train" } else { "val" });
    if let Some(example) = scan.loose.first() {
        let problem = format!("{} images lie outside of class folders, such as {example}", scan.loose.len());
        return Err(DataError::Unsorted { path: folder, problem, like });
    }
    if scan.classes.is_empty() {
        let (others, example) = (scan.others.len(), scan.others.first().cloned());
        return Err(DataError::Empty {
            path: folder,
            others,
            example,
            remedy: "put one folder for each class into it",
        });
    }
    // Tiny-ImageNet ships its validation images in one folder beside a list of their classes.
    let list_file = scan.others.iter().find(|name| name.ends_with("val_annotations.txt"));
    if let (1, Some(list_file)) = (scan.classes.len(), list_file) {
        let problem = format!("all images lie in one folder, and {list_file} says what they show");
        return Err(DataError::Unsorted { path: folder, problem, like });
    }
    Ok(scan)
}

/// All images below `folder`.
fn walk(
    folder: &Path,
    relative: &str,
    depth: usize,
    images: &mut Vec<String>,
    others: &mut Vec<String>,
) -> Result<(), DataError> {
    if depth > MAX_DEPTH {
        let source = std::io::Error::other("folders are nested too deeply; is a link pointing back?");
        return Err(DataError::Io { path: folder.to_owned(), source });
    }
    for (name, path) in list(folder)? {
        let relative = format!("{relative}/{name}");
        if is_image(&name) {
            images.push(relative);
        } else if path.is_dir() {
            walk(&path, &relative, depth + 1, images, others)?;
        } else {
            others.push(relative);
        }
    }
    Ok(())
}

/// The entries of a folder by name, hidden ones left out.
fn list(folder: &Path) -> Result<Vec<(String, PathBuf)>, DataError> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(DataError::io(folder))? {
        let path = entry.map_err(DataError::io(folder))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()).map(str::to_owned) else {
            return Err(DataError::Name { path });
        };
        if !name.starts_with('.') {
            entries.push((name, path));
        }
    }
    entries.sort_unstable();
    Ok(entries)
}

fn is_image(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, extension)| EXTENSIONS.iter().any(|e| extension.eq_ignore_ascii_case(e)))
}

fn check_classes(root: &Path, train: &Scan, val: &Scan) -> Result<(), DataError> {
    let without = |a: &Scan, b: &Scan| -> Vec<String> {
        a.classes.keys().filter(|class| !b.classes.contains_key(*class)).cloned().collect()
    };
    let (only_train, only_val) = (without(train, val), without(val, train));
    if only_train.is_empty() && only_val.is_empty() {
        return Ok(());
    }
    Err(DataError::Classes { path: root.to_owned(), only_train, only_val })
}

fn missing_split(root: &Path, split: Split) -> DataError {
    let wanted = split.to_string();
    let folders: Vec<String> = list(root)
        .unwrap_or_default()
        .into_iter()
        .filter(|(name, path)| path.is_dir() && name != "train" && name != "val")
        .map(|(name, _)| name)
        .collect();
    let remedy = match similar(&wanted, folders.iter().map(String::as_str)) {
        Some(other) => format!("there is `{other}`: rename it to `{wanted}`"),
        None => format!(
            "the data folder must hold train/ and val/{}",
            if folders.is_empty() {
                String::new()
            } else {
                format!(", but it holds {}", folders.iter().take(5).cloned().collect::<Vec<_>>().join(", "))
            }
        ),
    };
    let what = if split == Split::Train { "the folder of training images" } else { "the folder of validation images" };
    DataError::Missing { path: root.join(wanted), what, remedy }
}

fn missing(path: &Path, what: &'static str, otherwise: &str) -> DataError {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let siblings: Vec<String> = path
        .parent()
        .and_then(|p| list(if p.as_os_str().is_empty() { Path::new(".") } else { p }).ok())
        .unwrap_or_default()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    let remedy = match similar(name, siblings.iter().map(String::as_str)) {
        Some(sibling) => format!("did you mean `{}`?", path.with_file_name(sibling).display()),
        None => otherwise.to_owned(),
    };
    DataError::Missing { path: path.to_owned(), what, remedy }
}

impl Folder {
    fn entries(&self, split: Split) -> &[Entry] {
        match split {
            Split::Train => &self.train,
            Split::Val => &self.val,
        }
    }
}

impl Source for Folder {
    fn len(&self, split: Split) -> usize {
        self.entries(split).len()
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn label(&self, split: Split, index: usize) -> i64 {
        i64::from(self.entries(split)[index].label)
    }

    fn image(&self, split: Split, index: usize) -> Result<Image, DataError> {
        let path = self.root.join(&*self.entries(split)[index].path);
        let bytes = fs::read(&path).map_err(DataError::io(&path))?;
        decode(&bytes).map_err(|source| DataError::Decode { name: path.display().to_string(), split, index, source })
    }

    fn name(&self, split: Split, index: usize) -> String {
        self.root.join(&*self.entries(split)[index].path).display().to_string()
    }

    fn fingerprint(&self) -> Result<String, DataError> {
        let mut sha = Sha256::new();
        for entry in self.train.iter().chain(&self.val) {
            let path = self.root.join(&*entry.path);
            let size = fs::metadata(&path).map_err(DataError::io(&path))?.len();
            sha.update(format!("{} {size} {}\n", entry.path, entry.label));
        }
        Ok(hex::encode(&sha.finalize()))
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }
}
