//! A checkpoint that rank 0 has read, in all processes.

use safetensors::Dtype;
use serde::{Deserialize, Serialize};

use crate::checkpoint::{Blob, Checkpoint, Header};
use crate::collective::{CollectiveError, World};

/// Rank 0's text; empty where it has none.
///
/// # Errors
/// A peer is gone.
pub(super) fn text(world: &World, mine: &str) -> Result<String, CollectiveError> {
    Ok(String::from_utf8(world.bytes_of_root(mine.as_bytes())?).expect("rank 0 sent a text"))
}

/// Rank 0's checkpoint, so that no other process needs the file.
///
/// # Errors
/// A peer is gone.
pub(super) fn checkpoint(world: &World, mine: Option<Checkpoint>) -> Result<Option<Checkpoint>, CollectiveError> {
    #[derive(Serialize, Deserialize)]
    struct Head {
        header: Header,
        tensors: Vec<(String, Dtype, Vec<usize>)>,
    }
    if world.group.is_none() {
        return Ok(mine);
    }
    let head = mine.as_ref().map(|c| Head {
        header: c.header.clone(),
        tensors: c.tensors.iter().map(|(name, blob)| (name.clone(), blob.dtype, blob.shape.clone())).collect(),
    });
    let head = head.map_or_else(String::new, |h| serde_json::to_string(&h).expect("a header has string keys"));
    let head = text(world, &head)?;
    if head.is_empty() {
        return Ok(None);
    }
    let Head { header, tensors } = serde_json::from_str(&head).expect("rank 0 sent a header");
    let tensors = tensors.into_iter().map(|(name, dtype, shape)| {
        let mine = mine.as_ref().map_or(&[][..], |c| &c.tensors[&name].bytes);
        let bytes = world.bytes_of_root(mine)?;
        Ok((name, Blob { dtype, shape, bytes }))
    });
    Ok(Some(Checkpoint { header, tensors: tensors.collect::<Result<_, CollectiveError>>()? }))
}
