//! One checkpoint, to and from a file.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use mixbench_crds::hex;
use safetensors::SafeTensors;
use safetensors::tensor::{Metadata, TensorInfo};
use sha2::{Digest, Sha256};

use super::{BUFFER, Blob, CHECKPOINT_VERSION, Checkpoint, CheckpointError, Header, MODEL, Tensors};

const HEADER: &str = "mixbench";
const DIGEST: &str = "sha256";

/// Writes a checkpoint so that `path` either does not change or holds all of it, on the disk: a file beside it is written, synced and renamed,
/// and the folder is synced.
///
/// # Errors
/// [`CheckpointError::CannotCreate`] or [`CheckpointError::Io`]; what was at `path` is as before then.
pub fn write(path: &Path, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
    let temporary = path.with_extension("tmp");
    let file = File::create(&temporary).map_err(|e| CheckpointError::creating(&temporary, e))?;
    let finished = encode(&file, checkpoint)
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&temporary, path))
        .and_then(|()| File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all());
    finished.map_err(|source| {
        let _ = fs::remove_file(&temporary); // what matters is the first error
        CheckpointError::Io { path: path.to_owned(), source }
    })
}

/// Reads a checkpoint and checks it against its digest.
///
/// # Errors
/// [`CheckpointError::Unreadable`], [`CheckpointError::Damaged`] or [`CheckpointError::Version`].
pub fn read(path: &Path) -> Result<Checkpoint, CheckpointError> {
    let bytes = fs::read(path).map_err(|source| CheckpointError::Unreadable { path: path.to_owned(), source })?;
    decode(path, &bytes)
}

/// The checkpoint in a file's bytes; `path` is for messages.
///
/// # Errors
/// [`CheckpointError::Damaged`] or [`CheckpointError::Version`].
pub fn decode(path: &Path, bytes: &[u8]) -> Result<Checkpoint, CheckpointError> {
    let damaged = |reason: String| CheckpointError::damaged(path, reason);
    let (metadata, tensors) = blobs(path, bytes)?;
    let (Some(text), Some(digest)) = (metadata.get(HEADER), metadata.get(DIGEST)) else {
        return Err(damaged("it has no mixbench header".into()));
    };
    let value: serde_json::Value = serde_json::from_str(text).map_err(|e| damaged(format!("its header: {e}")))?;
    match value["version"].as_u64() {
        Some(found) if found == u64::from(CHECKPOINT_VERSION) => {}
        Some(found) => return Err(CheckpointError::Version { path: path.to_owned(), found }),
        None => return Err(damaged("its header has no version".into())),
    }
    if *digest != sha256(text, tensors.iter()) {
        return Err(damaged("its sha256 does not fit what it holds".into()));
    }
    let header: Header = serde_json::from_value(value).map_err(|e| damaged(format!("its header: {e}")))?;
    Ok(Checkpoint { header, tensors })
}

/// The weights in a file: a checkpoint's `model/` and `buffer/` tensors, or all tensors of any other safetensors file, such as one saved from
/// torchvision.
///
/// # Errors
/// [`CheckpointError::Unreadable`], [`CheckpointError::Damaged`] or [`CheckpointError::Version`].
pub fn weights(path: &Path) -> Result<Tensors, CheckpointError> {
    let bytes = fs::read(path).map_err(|source| CheckpointError::Unreadable { path: path.to_owned(), source })?;
    let (metadata, tensors) = blobs(path, &bytes)?;
    if !metadata.contains_key(HEADER) {
        return Ok(tensors);
    }
    let plain = |name: &str| Some(name.strip_prefix(MODEL).or_else(|| name.strip_prefix(BUFFER))?.to_owned());
    Ok(decode(path, &bytes)?.tensors.into_iter().filter_map(|(name, blob)| Some((plain(&name)?, blob))).collect())
}

/// sha256 over the `model/` and `buffer/` tensors, sorted by name.
pub fn weights_sha256(tensors: &Tensors) -> String {
    sha256("", tensors.iter().filter(|(name, _)| name.starts_with(MODEL) || name.starts_with(BUFFER)))
}

fn blobs(path: &Path, bytes: &[u8]) -> Result<(HashMap<String, String>, Tensors), CheckpointError> {
    let damaged = |e: safetensors::SafeTensorError| CheckpointError::damaged(path, e.to_string());
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
    let file = SafeTensors::deserialize(bytes).map_err(damaged)?;
    let blob = |view: safetensors::tensor::TensorView<'_>| Blob {
        dtype: view.dtype(),
        shape: view.shape().to_vec(),
        bytes: view.data().to_vec(),
    };
    let tensors = file.tensors().into_iter().map(|(name, view)| (name, blob(view))).collect();
    Ok((metadata.metadata().clone().unwrap_or_default(), tensors))
}

fn encode(file: &File, checkpoint: &Checkpoint) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, file);
    // The format wants wide types first, which keeps every tensor aligned.
    let mut sorted: Vec<(&String, &Blob)> = checkpoint.tensors.iter().collect();
    sorted.sort_by_key(|(_, blob)| std::cmp::Reverse(blob.dtype));
    let mut offset = 0;
    let infos = sorted.iter().map(|(name, blob)| {
        let start = offset;
        offset += blob.bytes.len();
        ((*name).clone(), TensorInfo { dtype: blob.dtype, shape: blob.shape.clone(), data_offsets: (start, offset) })
    });
    let text = serde_json::to_string(&checkpoint.header)?;
    let metadata = HashMap::from([
        ("format".to_owned(), "pt".to_owned()),
        (DIGEST.to_owned(), sha256(&text, checkpoint.tensors.iter())),
        (HEADER.to_owned(), text),
    ]);
    let metadata = Metadata::new(Some(metadata), infos.collect()).map_err(io::Error::other)?;
    let mut head = serde_json::to_vec(&metadata)?;
    head.resize(head.len().next_multiple_of(8), b' ');
    out.write_all(&(head.len() as u64).to_le_bytes())?;
    out.write_all(&head)?;
    for (_, blob) in sorted {
        out.write_all(&blob.bytes)?;
    }
    out.flush()
}

fn sha256<'a>(header: &str, tensors: impl Iterator<Item = (&'a String, &'a Blob)>) -> String {
    let mut hasher = Sha256::new();
    hasher.update(header);
    for (name, blob) in tensors {
        hasher.update(format!("\n{name} {:?} {:?} {}\n", blob.dtype, blob.shape, blob.bytes.len()));
        hasher.update(&blob.bytes);
    }
    hex::encode(&hasher.finalize())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use super::super::header::tests::header;
    use super::*;
    use safetensors::Dtype;
    use std::collections::BTreeMap;

    pub(in crate::checkpoint) fn checkpoint(epoch: u32, step: u64) -> Checkpoint {
        let blob = |n: usize| Blob {
            dtype: Dtype::F32,
            shape: vec![n],
            bytes: (0..n).flat_map(|i| (i as f32).to_le_bytes()).collect(),
        };
        let wide = Blob { dtype: Dtype::I64, shape: vec![], bytes: 7i64.to_le_bytes().to_vec() };
        let tensors = BTreeMap::from([
            ("model/conv1.weight".into(), blob(6)),
            ("model/fc.bias".into(), blob(3)),
            ("buffer/bn1.running_mean".into(), blob(2)),
            ("optim/count".into(), wide),
        ]);
        Checkpoint { header: Header { weights_sha256: weights_sha256(&tensors), ..header(epoch, step) }, tensors }
    }

    #[test]
    fn a_checkpoint_comes_back_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let saved = checkpoint(3, 5);
        write(&path, &saved).unwrap();
        assert_eq!(read(&path).unwrap(), saved);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays");
        let elsewhere = tch::Tensor::read_safetensors(&path).unwrap();
        assert_eq!(elsewhere.len(), saved.tensors.len(), "other readers of the format take it");
    }

    #[test]
    fn a_file_cut_anywhere_or_with_any_byte_changed_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        write(&path, &checkpoint(1, 0)).unwrap();
        let bytes = fs::read(&path).unwrap();
        for length in 0..bytes.len() {
            assert!(matches!(decode(&path, &bytes[..length]), Err(CheckpointError::Damaged { .. })), "cut at {length}");
        }
        for at in (0..bytes.len()).step_by(7) {
            let mut bytes = bytes.clone();
            bytes[at] ^= 4;
            // A byte of the JSON's own syntax or padding may be changed without a change of meaning, never one that changes what is read.
            match decode(&path, &bytes) {
                Err(CheckpointError::Damaged { .. } | CheckpointError::Version { .. }) => {}
                Err(other) => panic!("byte {at}: {other}"),
                Ok(read) => assert_eq!(read, checkpoint(1, 0), "byte {at}"),
            }
        }
    }

    #[test]
    fn another_version_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let mut saved = checkpoint(1, 0);
        saved.header.version = 2;
        write(&path, &saved).unwrap();
        assert!(matches!(read(&path), Err(CheckpointError::Version { found: 2, .. })));
    }

    #[test]
    fn a_failed_write_leaves_the_earlier_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        write(&path, &checkpoint(1, 0)).unwrap();
        fs::create_dir(path.with_extension("tmp")).unwrap();
        let error = write(&path, &checkpoint(2, 0)).unwrap_err();
        assert!(matches!(error, CheckpointError::CannotCreate { .. }), "{error}");
        assert_eq!(read(&path).unwrap(), checkpoint(1, 0));
    }

    #[test]
    fn weights_of_any_safetensors_file_are_read_by_their_plain_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        write(&path, &checkpoint(1, 0)).unwrap();
        let names: Vec<String> = weights(&path).unwrap().into_keys().collect();
        assert_eq!(names, ["bn1.running_mean", "conv1.weight", "fc.bias"]);
        tch::Tensor::write_safetensors(&[("fc.bias", tch::Tensor::from(1.0f32))], &path).unwrap();
        assert_eq!(weights(&path).unwrap().into_keys().collect::<Vec<_>>(), ["fc.bias"]);
    }
}
