//! Everything that one training process holds.

use std::sync::Arc;

use mixbench_crds::event::{Epoch, Position};
use mixbench_crds::metric::Score;
use mixbench_crds::run::Run;
use mixbench_crds::training::{Precision, Training};
use nccl_rs::Ddp;
use tch::{Device, Kind, Tensor};

use super::TrainError;
use super::agree;
use super::input::Input;
use super::layout::Layout;
use crate::backbones::{self, Model};
use crate::collective::World;
use crate::data::{self, DATASETS, Source, Split};
use crate::device;
use crate::methods::{self, Mix};
use crate::optim::Sgd;
use crate::report::Reporter;
use crate::stop::StopFlag;
use crate::worker::WorkerContext;

/// Size of a gradient bucket, PyTorch's default.
const BUCKET_BYTES: usize = 25 << 20;

/// Everything that one training process holds.
pub(super) struct Engine {
    pub(super) rank: u32,
    pub(super) device: Device,
    pub(super) reporter: Reporter,
    pub(super) stop: StopFlag,
    pub(super) source: Arc<dyn Source>,
    pub(super) fingerprint: String,
    pub(super) classes: i64,
    pub(super) layout: Layout,
    pub(super) input: Input,
    pub(super) method: Arc<dyn Mix>,
    pub(super) model: Model,
    pub(super) optim: Sgd,
    // Before the world: its hooks use the group until they are dropped.
    pub(super) ddp: Option<Ddp>,
    pub(super) world: World,
    pub(super) run: Run,
}

/// How far a run is: what an undisturbed and a resumed process share besides tensors.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Progress {
    pub(super) position: Position,
    pub(super) scores: Vec<Score>,
    /// What was told of the last finished epoch.
    pub(super) last_epoch: Option<Epoch>,
    /// Sum of the losses of the steps of the running epoch.
    pub(super) loss_sum: f64,
    /// Seconds of the steps of the running epoch.
    pub(super) epoch_seconds: f64,
    /// Seconds of all steps.
    pub(super) train_seconds: f64,
    pub(super) optimizer_steps: u64,
}

impl Engine {
    /// Checks the run against the world, the device and the data, and builds what trains. Nothing is written.
    ///
    /// # Errors
    /// Whatever does not fit.
    pub(super) fn new(ctx: WorkerContext) -> Result<Self, TrainError> {
        let WorkerContext { run, rank, device, reporter, stop, world, .. } = ctx;
        let spec = &run.spec;
        let training = &spec.training;
        device::prepare(device, spec.world.threads_per_process)?;
        let world_size = u32::try_from(world.world_size).expect("processes that were counted");
        if world_size != spec.world.size() {
            return Err(TrainError::World { wanted: spec.world.size(), found: world_size });
        }
        let source: Arc<dyn Source> = Arc::from(data::open(&run.place.data_uri)?);
        if let Some(card) = DATASETS.iter().find(|card| card.name == spec.data.name) {
            data::source::check_declared(source.as_ref(), card)?;
        }
        let layout = Layout::new(training, source.len(Split::Train), rank, world_size, spec.seed)?;
        let fingerprint = source.fingerprint()?;
        check_fingerprint(&run, rank, &fingerprint, &world)?;

        let classes = source.num_classes().cast_signed() as i64;
        let kind = kind(training.precision);
        let method: Arc<dyn Mix> = Arc::from(methods::build(&spec.method)?);
        let mut model =
            backbones::build(&spec.backbone.name, classes, spec.stem(), training.init, spec.seed, device, kind)?;
        if training.channels_last {
            for (_, param) in model.params.iter_mut().filter(|(_, p)| p.dim() == 4) {
                nccl_rs::to_channels_last_(param)?;
            }
        }
        let optim = Sgd::new(&training.optimizer, &model.params);
        let params: Vec<Tensor> = model.params.iter().map(|(_, p)| p.shallow_clone()).collect();
        let ddp = world.ddp(&params, BUCKET_BYTES)?;
        let input = Input::new(&spec.data, device, kind, training.channels_last);
        Ok(Self {
            rank,
            device,
            reporter,
            stop,
            source,
            fingerprint,
            classes,
            layout,
            input,
            method,
            model,
            optim,
            ddp,
            world,
            run,
        })
    }

    pub(super) fn training(&self) -> &Training {
        &self.run.spec.training
    }

    /// Processes of the run.
    pub(super) fn world_size(&self) -> u32 {
        self.run.spec.world.size()
    }

    /// Trainable parameters of the network.
    pub(super) fn parameters(&self) -> u64 {
        self.model.params.iter().map(|(_, p)| p.numel() as u64).sum()
    }

    /// Whether any process was asked to stop. Every process asks at the same points.
    pub(super) fn stopping(&self) -> Result<bool, TrainError> {
        Ok(self.world.agree_any(self.stop.requested())?)
    }

    /// Gives every process rank 0's BatchNorm statistics, in place: what is validated is what a checkpoint holds.
    pub(super) fn share_buffers(&mut self) -> Result<(), TrainError> {
        for (_, buffer) in &mut self.model.buffers {
            self.world.broadcast(buffer, 0)?;
        }
        Ok(())
    }
}

/// Kind of the weights.
pub(crate) fn kind(precision: Precision) -> Kind {
    match precision {
        Precision::F32 | Precision::Bf16 => Kind::Float,
        Precision::F64 => Kind::Double,
    }
}

fn check_fingerprint(run: &Run, rank: u32, found: &str, world: &World) -> Result<(), TrainError> {
    if let Some(wanted) = run.spec.data.sha256.as_deref().filter(|wanted| !wanted.eq_ignore_ascii_case(found)) {
        let (uri, found, wanted) = (run.place.data_uri.clone(), found.to_owned(), wanted.to_owned());
        return Err(TrainError::Fingerprint { uri, found, wanted });
    }
    let theirs = agree::text(world, found)?;
    if theirs == found { Ok(()) } else { Err(TrainError::DataDiffer { rank, mine: found.to_owned(), theirs }) }
}
