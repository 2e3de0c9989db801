//! The ranks of a run as one of them sees it. A world of one needs no group, and every operation returns at once.

use nccl_rs::{Ddp, Group, Rendezvous, Store};
use tch::{Device, Kind, Tensor};

use super::{Collective, CollectiveError};

/// All ranks of a run. Every rank calls the same operations in the same order.
#[derive(Debug)]
pub struct World {
    /// This process, in `0..world_size`.
    pub rank: usize,
    /// The number of processes.
    pub world_size: usize,
    /// The connection to the others; none in a world of one.
    pub group: Option<Group>,
}

impl World {
    /// A world of one.
    pub fn alone() -> Self {
        Self { rank: 0, world_size: 1, group: None }
    }

    /// Meets the other ranks, each of which works on its own `device`.
    ///
    /// # Errors
    /// [`CollectiveError::Join`] if they do not come together, [`CollectiveError::NoCarrier`] if tensors on `device` cannot be
    /// exchanged.
    pub fn join(rendezvous: Rendezvous, device: Device) -> Result<Self, CollectiveError> {
        let Rendezvous { rank, world_size, .. } = rendezvous;
        if world_size == 1 {
            return Ok(Self::alone());
        }
        let collective = Collective::for_device(device)?;
        let index = if let Device::Cuda(index) = device { index } else { 0 };
        let group = Store::open(rendezvous).and_then(|store| (collective.open)(&store, index));
        Ok(Self { rank, world_size, group: Some(group.map_err(CollectiveError::Join)?) })
    }

    /// Whether this is the rank that writes.
    pub fn is_root(&self) -> bool {
        self.rank == 0
    }

    /// Replaces the tensor by its sum over all ranks.
    ///
    /// # Errors
    /// [`CollectiveError::Lost`] if a peer died or hung.
    pub fn all_reduce_sum(&self, tensor: &mut Tensor) -> Result<(), CollectiveError> {
        self.with(|group| group.all_reduce_sum(tensor))
    }

    /// Replaces the tensor by that of rank `root`.
    ///
    /// # Errors
    /// [`CollectiveError::Lost`] if a peer died or hung.
    pub fn broadcast(&self, tensor: &mut Tensor, root: usize) -> Result<(), CollectiveError> {
        self.with(|group| group.broadcast(tensor, root))
    }

    /// Rank 0's bytes, on every rank; the others' argument is not used.
    ///
    /// # Errors
    /// [`CollectiveError::Lost`] if a peer died or hung.
    pub fn bytes_of_root(&self, bytes: &[u8]) -> Result<Vec<u8>, CollectiveError> {
        if self.group.is_none() {
            return Ok(bytes.to_vec());
        }
        let mut data = Tensor::from_slice(bytes);
        let mut length = Tensor::from(data.size()[0]);
        self.broadcast(&mut length, 0)?;
        let length = length.int64_value(&[]);
        if length > 0 {
            if !self.is_root() {
                data = Tensor::zeros([length], (Kind::Uint8, Device::Cpu));
            }
            self.broadcast(&mut data, 0)?;
        }
        Ok(Vec::try_from(&data.narrow(0, 0, length)).expect("one dimension of bytes"))
    }

    /// Whether the flag is set on any rank. Does not wait for a GPU.
    ///
    /// # Errors
    /// [`CollectiveError::Lost`] if a peer died or hung.
    pub fn agree_any(&self, flag: bool) -> Result<bool, CollectiveError> {
        let mut any = Tensor::from(i64::from(flag));
        self.with(|group| group.all_reduce_max(&mut any))?;
        Ok(any.int64_value(&[]) != 0)
    }

    /// Returns once all ranks have called it.
    ///
    /// # Errors
    /// [`CollectiveError::Lost`] if a peer died or hung.
    pub fn barrier(&self) -> Result<(), CollectiveError> {
        self.with(Group::barrier)
    }

    /// Averages the gradients of `params` over the ranks from now on, after giving all ranks rank 0's values; nothing in a world of
    /// one. Buckets hold up to `bucket_bytes`.
    ///
    /// # Errors
    /// [`CollectiveError::Join`] if the ranks have different parameters, or a peer died.
    pub fn ddp(&self, params: &[Tensor], bucket_bytes: usize) -> Result<Option<Ddp>, CollectiveError> {
        self.group
            .as_ref()
            .map(|group| Ddp::new(group, params, bucket_bytes))
            .transpose()
            .map_err(CollectiveError::Join)
    }

    fn with(&self, operation: impl FnOnce(&Group) -> Result<(), nccl_rs::Error>) -> Result<(), CollectiveError> {
        self.group.as_ref().map_or(Ok(()), operation).map_err(CollectiveError::Lost)
    }
}
