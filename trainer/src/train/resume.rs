//! From a checkpoint to a process that goes on, and back.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use mixbench_crds::event::Body;
use tch::Tensor;

use super::TrainError;
use super::agree;
use super::engine::{Engine, Progress};
use crate::checkpoint::{
    self, BUFFER, Blob, CHECKPOINT_VERSION, Checkpoint, CheckpointError, Header, MODEL, OPTIM, Store, Tensors,
};
use crate::data::Split;
use crate::worker::Options;

/// Where a run begins.
pub(super) struct Begun {
    pub(super) progress: Progress,
    /// The checkpoint that it goes on from.
    pub(super) from: Option<PathBuf>,
}

impl Engine {
    /// Loads what `options` say: everything of a checkpoint of this run, or the weights of any, or nothing. Only rank 0, which has the `store`,
    /// reads files.
    ///
    /// # Errors
    /// A checkpoint that is damaged, or of another run, model, world or data set; nothing is changed on the disk.
    pub(super) fn begin(&mut self, options: &Options, store: Option<&Store>) -> Result<Begun, TrainError> {
        let found = match store {
            Some(store) => self.find(options, store)?,
            None => None,
        };
        let (path, checkpoint) = found.unzip();
        let path = PathBuf::from(agree::text(&self.world, &path.unwrap_or_default().to_string_lossy())?);
        if let Some(checkpoint) = agree::checkpoint(&self.world, checkpoint)? {
            let progress = self.restore(&checkpoint, &path)?;
            return Ok(Begun { progress, from: Some(path) });
        }
        if let Some(path) = &options.load_checkpoint {
            self.load_weights(path, store.is_some())?;
        }
        Ok(Begun { progress: Progress::default(), from: None })
    }

    /// The checkpoint to go on from, checked against this run.
    fn find(&self, options: &Options, store: &Store) -> Result<Option<(PathBuf, Checkpoint)>, TrainError> {
        let warn = |message| self.reporter.send(Body::Warning { message });
        let newest = if options.auto_resume { store.newest(warn)? } else { None };
        let found = match (newest, &options.resume_from) {
            (Some(found), _) => Some((found.path, found.checkpoint)),
            (None, Some(path)) => Some((path.clone(), checkpoint::read(path)?)),
            (None, None) => None,
        };
        if let Some((path, checkpoint)) = &found {
            self.check(&checkpoint.header, path)?;
        }
        Ok(found)
    }

    fn check(&self, header: &Header, path: &Path) -> Result<(), TrainError> {
        let (path, spec) = (path.to_owned(), &self.run.spec);
        if let Some(differs) = header.differs(spec) {
            return Err(CheckpointError::OtherRun { path, run: header.run.clone(), differs }.into());
        }
        if header.data_fingerprint != self.fingerprint {
            let (found, now) = (header.data_fingerprint.clone(), self.fingerprint.clone());
            return Err(CheckpointError::OtherData { path, found, now }.into());
        }
        let wanted = self.world_size();
        if header.position.step != 0 && header.world_size != wanted {
            return Err(CheckpointError::OtherWorld { path, found: header.world_size, wanted }.into());
        }
        let threads = spec.world.threads_per_process;
        if header.world_size != wanted || header.threads != threads {
            let message = format!(
                "{} was written by {} process(es) with {} thread(s), this run has {wanted} with {threads}: it goes on, but its numbers are not to \
                 the bit those of an undisturbed run",
                path.display(),
                header.world_size,
                header.threads
            );
            self.reporter.send(Body::Warning { message });
        }
        Ok(())
    }

    /// Puts everything in place that a checkpoint of this run holds.
    fn restore(&mut self, checkpoint: &Checkpoint, path: &Path) -> Result<Progress, TrainError> {
        let mut weights: HashMap<&str, &Blob> = checkpoint.section(MODEL).collect();
        for (name, blob) in checkpoint.section(BUFFER) {
            let mine = checkpoint.tensors.get(&Checkpoint::rank_buffer(self.rank, name));
            weights.insert(name, mine.unwrap_or(blob));
        }
        self.put_weights(weights, path)?;
        let momentum = checkpoint.section(OPTIM).map(|(name, blob)| Ok((name.to_owned(), blob.tensor()?)));
        self.optim.load_state(&momentum.collect::<Result<Vec<_>, CheckpointError>>()?)?;
        let Header { position, scores, last_epoch, loss_sum, epoch_seconds, train_seconds, optimizer_steps, .. } =
            checkpoint.header.clone();
        Ok(Progress { position, scores, last_epoch, loss_sum, epoch_seconds, train_seconds, optimizer_steps })
    }

    /// Takes the weights, and nothing else, from a checkpoint or any safetensors file with torchvision's names.
    fn load_weights(&mut self, path: &Path, reads: bool) -> Result<(), TrainError> {
        if reads {
            let weights = checkpoint::weights(path)?;
            self.put_weights(weights.iter().map(|(name, blob)| (name.as_str(), blob)).collect(), path)?;
        }
        for (_, tensor) in self.model.params.iter_mut().chain(&mut self.model.buffers) {
            self.world.broadcast(tensor, 0)?;
        }
        Ok(())
    }

    fn put_weights(&mut self, weights: HashMap<&str, &Blob>, path: &Path) -> Result<(), CheckpointError> {
        let (backbone, classes) = (&self.run.spec.backbone.name, self.classes);
        put(self.model.params.iter_mut().chain(&mut self.model.buffers), weights)
            .map_err(|misfit| misfit.into_error(path, backbone, classes))
    }

    /// Everything that a process needs to go on from here, in host memory; `None` in other ranks than 0.
    ///
    /// # Errors
    /// [`TrainError::Diverged`], in all processes alike, if a value is not finite; a peer is gone.
    pub(super) fn snapshot(&self, progress: &Progress) -> Result<Option<Checkpoint>, TrainError> {
        let bad = not_finite(self.model.params.iter().chain(&self.model.buffers))?;
        if self.world.agree_any(bad.is_some())? {
            let what = bad.unwrap_or_else(|| "a tensor of another process".into());
            return Err(TrainError::Diverged { what, at: progress.position, steps: self.layout.steps() });
        }
        let mut tensors = Tensors::new();
        if progress.position.step != 0
            && let Some(group) = &self.world.group
        {
            for (name, buffer) in &self.model.buffers {
                let all = group.all_gather(buffer)?;
                for rank in 0..self.world_size() {
                    tensors.insert(Checkpoint::rank_buffer(rank, name), Blob::of(&all.get(i64::from(rank)))?);
                }
            }
        }
        if self.rank != 0 {
            return Ok(None);
        }
        let named =
            |prefix: &str, (name, tensor): &(String, Tensor)| Ok((format!("{prefix}{name}"), Blob::of(tensor)?));
        let weights = self.model.params.iter().map(|p| named(MODEL, p));
        let buffers = self.model.buffers.iter().map(|b| named(BUFFER, b));
        let momentum = self.optim.state();
        let all = weights.chain(buffers).chain(momentum.iter().map(|m| named(OPTIM, m)));
        tensors.extend(all.collect::<Result<Vec<_>, CheckpointError>>()?);
        Ok(Some(Checkpoint { header: self.header(progress), tensors }))
    }

    fn header(&self, progress: &Progress) -> Header {
        let Progress { position, scores, last_epoch, loss_sum, epoch_seconds, train_seconds, optimizer_steps } =
            progress.clone();
        Header {
            version: CHECKPOINT_VERSION,
            run: self.run.id.clone(),
            spec_hash: self.run.spec.hash(),
            spec: self.run.spec.clone(),
            data_uri: self.run.place.data_uri.clone(),
            data_fingerprint: self.fingerprint.clone(),
            classes: self.classes,
            position,
            world_size: self.world_size(),
            threads: self.run.spec.world.threads_per_process,
            scores,
            last_epoch,
            n: self.source.len(Split::Val) as u64,
            images: self.layout.images_at(position),
            train_seconds,
            loss_sum,
            epoch_seconds,
            optimizer_steps,
            weights_sha256: String::new(), // the writer's thread fills it in
            libtorch: super::libtorch(),
        }
    }
}

/// Why weights do not go into a network.
pub(crate) enum Misfit {
    /// Names or shapes differ.
    Names(String),
    /// A tensor cannot be read.
    Checkpoint(CheckpointError),
}

impl Misfit {
    /// As an error about the file `path` and a network.
    pub(crate) fn into_error(self, path: &Path, backbone: &str, classes: i64) -> CheckpointError {
        match self {
            Self::Names(differs) => {
                CheckpointError::OtherModel { path: path.to_owned(), backbone: backbone.to_owned(), classes, differs }
            }
            Self::Checkpoint(e) => e,
        }
    }
}

/// Copies every weight into its tensor. Nothing is copied unless all fit; `num_batches_tracked` and other surplus is passed over.
pub(crate) fn put<'a>(
    own: impl Iterator<Item = &'a mut (String, Tensor)>,
    mut weights: HashMap<&str, &Blob>,
) -> Result<(), Misfit> {
    let mut pairs = Vec::new();
    let mut differs = Vec::new();
    for (name, tensor) in own {
        match weights.remove(name.as_str()) {
            Some(blob) if blob.size() == tensor.size() => pairs.push((tensor, blob)),
            Some(blob) => differs.push(format!("{name} is {:?} there and {:?} here", blob.shape, tensor.size())),
            None => differs.push(format!("{name} is missing there")),
        }
    }
    weights.retain(|name, _| !name.ends_with("num_batches_tracked"));
    if !weights.is_empty() {
        let mut names: Vec<_> = weights.into_keys().collect();
        names.sort_unstable();
        differs.push(format!("{} is unknown here", names[0]));
    }
    if !differs.is_empty() {
        let more = differs.len().saturating_sub(3);
        differs.truncate(3);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        return Err(Misfit::Names(format!("{}{more}", differs.join("; "))));
    }
    for (tensor, blob) in pairs {
        let blob = blob.tensor().map_err(Misfit::Checkpoint)?;
        tch::no_grad(|| tensor.f_copy_(&blob)).map_err(|e| Misfit::Checkpoint(e.into()))?;
    }
    Ok(())
}

/// The first tensor with a value that is not finite; one reading of the device for all of them, unless there is one.
fn not_finite<'a>(tensors: impl Iterator<Item = &'a (String, Tensor)> + Clone) -> Result<Option<String>, TrainError> {
    let finite = |(_, tensor): &(String, Tensor)| tensor.f_isfinite()?.f_all();
    let each = tensors.clone().map(finite).collect::<Result<Vec<_>, tch::TchError>>()?;
    let all = Vec::<bool>::try_from(Tensor::f_stack(&each, 0)?)?;
    Ok(tensors.zip(all).find(|(_, finite)| !finite).map(|((name, _), _)| format!("tensor {name}")))
}
