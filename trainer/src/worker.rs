//! One training process: from the environment that `launch` gives it to [`crate::train::run`].

use std::fs::File;
use std::io::{self, Read as _};
use std::net::TcpListener;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::time::Duration;

use mixbench_crds::event::Body;
use mixbench_crds::exit::Exit;
use mixbench_crds::layout::RunDir;
use mixbench_crds::run::Run;
use nccl_rs::Rendezvous;
use tch::Device;

use crate::cli::WorkerArgs;
use crate::collective::{CollectiveError, World};
use crate::device::{self, DeviceError};
use crate::document::{self, DocumentError};
use crate::report::Reporter;
use crate::stop::StopFlag;
use crate::train::{self, TrainError};
use crate::{failure, logging, progress};

/// Environment variables between `launch` and a worker, beside the usual `RANK`, `LOCAL_RANK`, `WORLD_SIZE`, `MASTER_ADDR` and `MASTER_PORT`.
pub mod env {
    pub use crate::report::REPORT_FD;
    /// Set to `stdin` where standard input is the bound socket that rank 0 serves the store on.
    pub const LISTEN: &str = "MIXBENCH_LISTEN";
    /// Descriptor of a pipe that ends when `launch` does.
    pub const LIFELINE_FD: &str = "MIXBENCH_LIFELINE_FD";
    /// Seconds that a worker without `launch` has for its last checkpoint.
    pub const GRACE: &str = "MIXBENCH_GRACE";
    /// Port of rank 0's progress endpoint.
    pub const METRICS_PORT: &str = "MIXBENCH_METRICS_PORT";
}

/// How long processes wait for each other: to meet, and in each collective operation. Longer than any one checkpoint, validation or
/// slow start of a machine; a peer that died is noticed at once.
const PATIENCE: Duration = Duration::from_mins(10);

/// What [`train::run`] is given.
#[derive(Debug)]
pub struct WorkerContext {
    /// The run.
    pub run: Run,
    /// The run's folder. Workers write only below [`RunDir::checkpoints`]; events and results are `launch`'s.
    pub dir: RunDir,
    /// Rank of this process, 0..world size.
    pub rank: u32,
    /// Rank on this machine, 0..local size: the number of its GPU.
    pub local_rank: u32,
    /// Where tensors live: `Device::Cuda(local_rank)` where the world has GPUs.
    pub device: Device,
    /// All processes of the run.
    pub world: World,
    /// The line to `launch`.
    pub reporter: Reporter,
    /// Set when the run shall stop.
    pub stop: StopFlag,
    /// Where the weights come from.
    pub options: Options,
}

/// Where a run's first weights come from, in this order: the newest valid checkpoint of the run's folder (`auto_resume`), else `resume_from`, else
/// `load_checkpoint`, else the initialiser. So a second attempt goes on from where the first came to, not from where that began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Go on from this checkpoint with everything; it must be of this run.
    pub resume_from: Option<PathBuf>,
    /// Go on from the newest valid checkpoint in the run's folder, if there is one.
    pub auto_resume: bool,
    /// Take the weights, and nothing else, from this checkpoint; ignored when the run is resumed.
    pub load_checkpoint: Option<PathBuf>,
}

/// Why a worker ends without a result.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// Not started by `launch`.
    #[error("{variable} does not name an inherited pipe ({source}); workers are started by `mixbench-trainer launch`")]
    Inherited {
        /// The environment variable.
        variable: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// The run document cannot be used.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The progress endpoint cannot be served.
    #[error("cannot serve progress on port {port}: {source}; choose another with --metrics-port")]
    Metrics {
        /// The port.
        port: u16,
        /// What the system says.
        source: io::Error,
    },
    /// CUDA is there and cannot be used, or libtorch refuses a setting.
    #[error("cannot set libtorch up: {0}")]
    Torch(#[source] nccl_rs::Error),
    /// No such device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The processes do not come together.
    #[error(transparent)]
    Collective(#[from] CollectiveError),
    /// Training failed.
    #[error(transparent)]
    Train(#[from] TrainError),
}

impl WorkerError {
    /// The exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Inherited { .. } | Self::Document(_) | Self::Metrics { .. } | Self::Device(_) => Exit::Config,
            Self::Torch(_) => Exit::Internal,
            Self::Collective(_) => Exit::Collective,
            Self::Train(e) => e.exit(),
        }
    }
}

/// Trains as one process of a run and ends the process.
pub fn main(args: WorkerArgs) -> Exit {
    // From here on a request to stop no longer ends the process.
    let stop = StopFlag::install();
    logging::init();
    let rank = args.rank;
    let reporter = match Reporter::inherited(args.report_fd) {
        Ok(reporter) => reporter,
        Err(source) => {
            eprintln!("mixbench-trainer: {}", WorkerError::Inherited { variable: env::REPORT_FD, source });
            return Exit::Config;
        }
    };
    failure::report_panics(rank, reporter.clone());
    let outcome = stop
        .map_err(|source| WorkerError::Inherited { variable: "signal handler", source })
        .and_then(|stop| work(args, reporter.clone(), stop));
    let exit = match outcome {
        Ok(()) => Exit::Ok,
        Err(WorkerError::Train(TrainError::Stopped(_))) => Exit::Stopped,
        Err(e) => {
            let (exit, message) = (e.exit(), failure::plain(&e.to_string()));
            reporter.send(Body::Failed { exit, message, rank: Some(rank) });
            exit
        }
    };
    nccl_rs::exit_now(exit.code())
}

fn work(args: WorkerArgs, reporter: Reporter, stop: StopFlag) -> Result<(), WorkerError> {
    hold_lifeline(args.lifeline_fd, stop.clone(), Duration::from_secs(args.grace))
        .map_err(|source| WorkerError::Inherited { variable: env::LIFELINE_FD, source })?;
    // Before the first tensor: libtorch looks for CUDA once.
    nccl_rs::init().map_err(WorkerError::Torch)?;
    let (run, _) = document::read(&args.run)?;
    let device = device::of(&run.spec.world, args.local_rank)?;
    device::prepare(device, run.spec.world.threads_per_process).map_err(WorkerError::Torch)?;
    if let Some(port) = args.metrics_port {
        progress::serve(port, run.id.clone(), reporter.clone())
            .map_err(|source| WorkerError::Metrics { port, source })?;
    }
    let listener = bound_socket().map_err(|source| WorkerError::Inherited { variable: env::LISTEN, source })?;
    let world = World::join(
        Rendezvous {
            host: args.master_addr,
            port: args.master_port,
            rank: args.rank as usize,
            world_size: run.spec.world.size() as usize,
            listener,
            timeout: PATIENCE,
        },
        device,
    )?;
    let options =
        Options { resume_from: args.resume_from, auto_resume: args.auto_resume, load_checkpoint: args.load_checkpoint };
    let (rank, local_rank, dir) = (args.rank, args.local_rank, RunDir::at(args.dir));
    train::run(WorkerContext { run, dir, rank, local_rank, device, world, reporter, stop, options })?;
    Ok(())
}

/// The socket that rank 0 serves the store on. It comes as standard input, the one descriptor that safe code can take over.
fn bound_socket() -> io::Result<Option<TcpListener>> {
    if std::env::var(env::LISTEN).is_ok_and(|from| from == "stdin") {
        Ok(Some(TcpListener::from(io::stdin().as_fd().try_clone_to_owned()?)))
    } else {
        Ok(None)
    }
}

/// Asks for a stop when `launch` is gone, and ends the process when it has not stopped after the grace.
fn hold_lifeline(fd: u32, stop: StopFlag, grace: Duration) -> io::Result<()> {
    let mut lifeline = File::open(format!("/proc/self/fd/{fd}"))?;
    std::thread::spawn(move || {
        // Nothing is ever written: a read returns when the other end is closed.
        while let Err(e) = lifeline.read(&mut [0])
            && e.kind() == io::ErrorKind::Interrupted
        {}
        tracing::warn!("launch is gone: stopping");
        stop.request();
        std::thread::sleep(grace);
        nccl_rs::exit_now(Exit::Stopped.code())
    });
    Ok(())
}
