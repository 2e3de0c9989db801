//! What a checkpoint gets right on the validation images: the number that its epoch's event said, on one process whatever the run had.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mixbench_crds::event::Position;
use mixbench_crds::exit::Exit;
use mixbench_crds::layout::RunDir;
use mixbench_crds::metric::{Metric, Score};
use mixbench_crds::run::World;
use mixbench_crds::training::Init;
use serde::Serialize;

use crate::backbones::{self, BackboneError};
use crate::checkpoint::{self, Blob, Checkpoint, CheckpointError, MODEL, Store};
use crate::data::{self, DataError, Source, Split};
use crate::device::{self, DeviceError};
use crate::document::{self, DocumentError};
use crate::train::input::Input;
use crate::train::validate::Validation;
use crate::train::{TrainError, resume};

/// What to evaluate.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The checkpoint; without it the newest valid one beside the run document.
    pub checkpoint: Option<PathBuf>,
    /// A run document; with a checkpoint, it must be that run's.
    pub run: Option<PathBuf>,
    /// URI of the data; without it those of the run.
    pub data: Option<String>,
    /// Images of a forward pass; without it the run's `evalBatch`. Another number may move a tie.
    pub batch: Option<u32>,
    /// Use GPU 0 instead of the CPU.
    pub gpu: bool,
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Evaluation {
    /// The file.
    pub checkpoint: PathBuf,
    /// Id of the run that wrote it.
    pub run: String,
    /// Where training stood.
    pub position: Position,
    /// URI of the data.
    pub data: String,
    /// Images right at the first guess.
    pub correct1: u64,
    /// Images right among five guesses.
    pub correct5: u64,
    /// Validation images.
    pub n: u64,
    /// Percent right at the first guess.
    pub top1: f64,
    /// Percent right among five guesses.
    pub top5: f64,
}

/// Why nothing can be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// Neither a checkpoint nor a run was named.
    #[error("name a checkpoint (--checkpoint FILE) or a run document whose newest checkpoint is meant (--run FILE)")]
    Nothing,
    /// The run document cannot be used.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The run has no checkpoint.
    #[error("no whole checkpoint in {}; name one with --checkpoint FILE", folder.display())]
    None {
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// The data have other classes.
    #[error(
        "the checkpoint tells {network} classes apart, but the data at {uri} have {data}; name the data that it was trained on with --data"
    )]
    Classes {
        /// Classes of the network.
        network: i64,
        /// URI of the data.
        uri: String,
        /// Classes of the data.
        data: usize,
    },
    /// The checkpoint cannot be used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The data cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The backbone is unknown to this build.
    #[error(transparent)]
    Backbone(#[from] BackboneError),
    /// No GPU.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// libtorch refused, or memory ran out.
    #[error(transparent)]
    Train(#[from] TrainError),
}

impl EvalError {
    /// The exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Nothing | Self::Document(_) | Self::Backbone(_) | Self::Device(_) => Exit::Config,
            Self::None { .. } | Self::Classes { .. } => Exit::Data,
            Self::Checkpoint(e) => e.exit(),
            Self::Data(e) => e.exit(),
            Self::Train(e) => e.exit(),
        }
    }
}

/// Counts what a checkpoint gets right. `warn` is told of damaged checkpoints that were passed over.
///
/// # Errors
/// [`EvalError`].
pub fn evaluate(asked: &Asked, warn: impl FnMut(String)) -> Result<Evaluation, EvalError> {
    let run = asked.run.as_deref().map(document::read).transpose()?.map(|(run, _)| run);
    let (path, checkpoint) = find(asked, warn)?;
    let header = &checkpoint.header;
    if let Some(run) = &run
        && let Some(differs) = header.differs(&run.spec)
    {
        return Err(CheckpointError::OtherRun { path, run: header.run.clone(), differs }.into());
    }
    let gpus = World { nodes: 1, gpus_per_node: u32::from(asked.gpu), processes_per_node: 1, threads_per_process: 1 };
    let device = device::of(&gpus, 0)?;
    device::prepare(device, header.threads).map_err(TrainError::from)?;
    let training = &header.spec.training;
    let kind = crate::train::kind(training.precision);

    let uri = asked.data.clone().or(run.map(|run| run.place.data_uri)).unwrap_or_else(|| header.data_uri.clone());
    let source: Arc<dyn Source> = Arc::from(data::open(&uri)?);
    if i64::try_from(source.num_classes()) != Ok(header.classes) {
        return Err(EvalError::Classes { network: header.classes, uri, data: source.num_classes() });
    }
    let backbone = &header.spec.backbone.name;
    let mut model =
        backbones::build(backbone, header.classes, header.spec.stem(), Init::TorchDefault, 0, device, kind)?;
    if training.channels_last {
        for (_, param) in model.params.iter_mut().filter(|(_, p)| p.dim() == 4) {
            nccl_rs::to_channels_last_(param).map_err(TrainError::from)?;
        }
    }
    let weights: std::collections::HashMap<&str, &Blob> =
        checkpoint.section(MODEL).chain(checkpoint.section(checkpoint::BUFFER)).collect();
    resume::put(model.params.iter_mut().chain(&mut model.buffers), weights)
        .map_err(|misfit| misfit.into_error(&path, backbone, header.classes))?;
    let counts = Validation {
        net: model.net.as_ref(),
        input: &Input::new(&header.spec.data, device, kind, training.channels_last),
        device,
        precision: training.precision,
        source: &source,
        transform: &training.eval,
        batch: asked.batch.unwrap_or(training.eval_batch) as usize,
        threads: 1,
        shard: (0, 1),
    }
    .count(|| Ok(false))?
    .expect("nobody asks for a stop");
    let n = source.len(Split::Val) as u64;
    let score = [Score { epoch: header.position.epoch, correct1: counts.correct1, correct5: counts.correct5 }];
    let percent = |value: Option<f64>| value.expect("a source has images");
    Ok(Evaluation {
        run: header.run.clone(),
        position: header.position,
        data: uri,
        correct1: counts.correct1,
        correct5: counts.correct5,
        n,
        top1: percent(Metric::Last.top1(&score, n)),
        top5: percent(Metric::Last.top5(&score, n)),
        checkpoint: path,
    })
}

fn find(asked: &Asked, warn: impl FnMut(String)) -> Result<(PathBuf, Checkpoint), EvalError> {
    match (&asked.checkpoint, &asked.run) {
        (Some(path), _) => Ok((path.clone(), checkpoint::read(path)?)),
        (None, Some(run)) => {
            let folder = RunDir::at(run.parent().unwrap_or(Path::new("."))).checkpoints();
            let newest = if folder.is_dir() { Store::at(&folder).newest(warn)? } else { None };
            newest.map(|found| (found.path, found.checkpoint)).ok_or(EvalError::None { folder })
        }
        (None, None) => Err(EvalError::Nothing),
    }
}
