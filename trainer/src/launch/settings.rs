//! From what was asked (command line, environment, run) to what is done. Pure.

use std::path::PathBuf;
use std::time::Duration;

use mixbench_crds::layout::RunDir;
use mixbench_crds::run::Run;

use super::error::LaunchError;
use crate::worker::Options;

/// Port where the machines of a run meet unless another is named; what torchrun takes.
pub const DEFAULT_PORT: u16 = 29_500;

/// What the command line and the environment say.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The run document.
    pub run: PathBuf,
    /// The run's folder; absent means where the document lies.
    pub dir: Option<PathBuf>,
    /// Processes of this machine.
    pub nproc: Option<u32>,
    /// Machines.
    pub nnodes: Option<u32>,
    /// Number of this machine, from 0.
    pub node_rank: Option<u32>,
    /// Name or address of machine 0.
    pub master_addr: Option<String>,
    /// Port there.
    pub master_port: Option<u16>,
    /// Checkpoint to go on from.
    pub resume_from: Option<PathBuf>,
    /// Go on from the newest checkpoint of the run's folder.
    pub auto_resume: bool,
    /// Where the checkpoint lies that the run's spec takes its weights from.
    pub load_checkpoint: Option<PathBuf>,
    /// File for the last message.
    pub termination_log: Option<PathBuf>,
    /// Time from a request to stop to SIGKILL.
    pub grace: Duration,
    /// Port of rank 0's progress endpoint.
    pub metrics_port: Option<u16>,
}

/// Where the workers meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meeting {
    /// All on this machine. Without a port the system picks a free one, so parallel runs never race for it.
    Loopback {
        /// Port on 127.0.0.1, if one was named.
        port: Option<u16>,
    },
    /// This machine is number 0: the others come to this port.
    Leader {
        /// Port on all interfaces.
        port: u16,
    },
    /// Machine 0 is elsewhere.
    Follower {
        /// Its name or address.
        host: String,
        /// Port there.
        port: u16,
    },
}

/// What is done.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// The run document's path.
    pub(super) path: PathBuf,
    /// The run.
    pub(super) run: Run,
    /// The run's folder.
    pub(super) dir: RunDir,
    /// Number of this machine.
    pub(super) node_rank: u32,
    /// Where the workers meet.
    pub(super) meeting: Meeting,
    /// Where the weights come from.
    pub(super) weights: Options,
    /// File for the last message.
    pub(super) termination_log: Option<PathBuf>,
    /// Time from a request to stop to SIGKILL.
    pub(super) grace: Duration,
    /// Port of rank 0's progress endpoint.
    pub(super) metrics_port: Option<u16>,
}

impl Settings {
    /// Machine 0 writes the run's files; the others only their own log.
    pub(super) const fn leads(&self) -> bool {
        self.node_rank == 0
    }

    /// Ranks of this machine.
    pub(super) const fn ranks(&self) -> std::ops::Range<u32> {
        let local = self.run.spec.world.local_size();
        self.node_rank * local..(self.node_rank + 1) * local
    }
}

/// Brings the command line and the run together.
///
/// # Errors
/// [`LaunchError::Usage`] where they contradict each other, or the run itself.
pub(super) fn settle(asked: Asked, run: Run) -> Result<Settings, LaunchError> {
    let world = &run.spec.world;
    check_world(&run)?;
    agree("--nproc (or NPROC_PER_NODE)", asked.nproc, "processes per machine", world.local_size())?;
    agree("--nnodes (or NNODES)", asked.nnodes, "machines (world.nodes)", world.nodes)?;
    // What an outer scheduler says about machines means nothing to a run that has only one.
    let node_rank = if world.nodes == 1 { 0 } else { asked.node_rank.unwrap_or(0) };
    if node_rank >= world.nodes {
        return usage(format!(
            "--node-rank (or NODE_RANK, JOB_COMPLETION_INDEX) is {node_rank}, but the run has {} machines, numbered from 0",
            world.nodes
        ));
    }
    let meeting = if world.nodes == 1 {
        Meeting::Loopback { port: asked.master_port }
    } else {
        let port = asked.master_port.unwrap_or(DEFAULT_PORT);
        match (node_rank, asked.master_addr) {
            (0, _) => Meeting::Leader { port },
            (_, Some(host)) => Meeting::Follower { host, port },
            (_, None) => {
                return usage(format!(
                    "machine {node_rank} must know where machine 0 is: give --master-addr or MASTER_ADDR"
                ));
            }
        }
    };
    if asked.load_checkpoint.is_some() && run.spec.load_checkpoint.is_none() {
        return usage(
            "--load-checkpoint says where the checkpoint of the run's spec lies, but this spec has no loadCheckpoint and its id would not \
             tell of the weights; set loadCheckpoint in the manifest and plan again"
                .into(),
        );
    }
    let weights = Options {
        resume_from: asked.resume_from.or_else(|| run.place.resume_from.clone().map(Into::into)),
        auto_resume: asked.auto_resume || run.place.auto_resume,
        load_checkpoint: asked.load_checkpoint.or_else(|| run.spec.load_checkpoint.clone().map(Into::into)),
    };
    let folder = asked.dir.unwrap_or_else(|| match asked.run.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    });
    Ok(Settings {
        path: asked.run,
        dir: RunDir::at(folder),
        node_rank,
        meeting,
        weights,
        termination_log: asked.termination_log,
        grace: asked.grace,
        metrics_port: asked.metrics_port,
        run,
    })
}

fn check_world(run: &Run) -> Result<(), LaunchError> {
    let world = &run.spec.world;
    if world.size() == 0 || world.threads_per_process == 0 {
        return usage(format!(
            "the run has {} machines of {} processes with {} threads: each must be 1 or more",
            world.nodes,
            world.local_size(),
            world.threads_per_process
        ));
    }
    let training = &run.spec.training;
    if training.accumulation(world.size()).is_none() {
        return usage(format!(
            "globalBatch {} is not a multiple of microBatch {} × {} processes; change one of the three in the manifest and plan again",
            training.global_batch,
            training.micro_batch,
            world.size()
        ));
    }
    Ok(())
}

fn agree(flag: &str, asked: Option<u32>, what: &str, planned: u32) -> Result<(), LaunchError> {
    match asked {
        Some(asked) if asked != planned => usage(format!(
            "{flag} is {asked}, but the run is planned for {planned} {what}; the world is part of a run's identity: plan again to change it"
        )),
        _ => Ok(()),
    }
}

fn usage<T>(message: String) -> Result<T, LaunchError> {
    Err(LaunchError::Usage(message))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use super::*;

    /// A run of `nodes` × `processes` on CPUs.
    pub(crate) fn run(nodes: u32, processes: u32) -> Run {
        let text = include_str!("../../tests/fixtures/run.json");
        let mut value: serde_json::Value = serde_json::from_str(text).unwrap();
        value["spec"]["world"]["nodes"] = nodes.into();
        value["spec"]["world"]["processesPerNode"] = processes.into();
        let mut run: Run = serde_json::from_value(value).unwrap();
        run.id = run.spec.id(run.trial);
        run
    }

    fn refused(asked: Asked, run: Run) -> String {
        settle(asked, run).unwrap_err().to_string()
    }

    #[test]
    fn one_machine_meets_on_loopback_whatever_a_scheduler_says() {
        let asked = Asked {
            run: "runs/x/run.json".into(),
            node_rank: Some(7),
            master_addr: Some("elsewhere".into()),
            ..Asked::default()
        };
        let settings = settle(asked, run(1, 2)).unwrap();
        assert_eq!(settings.meeting, Meeting::Loopback { port: None });
        assert_eq!(settings.ranks(), 0..2);
        assert_eq!(settings.dir, RunDir::at("runs/x"));
    }

    #[test]
    fn a_bare_file_name_means_the_current_folder() {
        let settings = settle(Asked { run: "run.json".into(), ..Asked::default() }, run(1, 1)).unwrap();
        assert_eq!(settings.dir, RunDir::at("."));
    }

    #[test]
    fn machines_find_machine_zero() {
        let asked =
            |rank: u32| Asked { node_rank: Some(rank), master_addr: Some("pod-0.x".into()), ..Asked::default() };
        let second = settle(asked(1), run(2, 2)).unwrap();
        assert_eq!(second.meeting, Meeting::Follower { host: "pod-0.x".into(), port: DEFAULT_PORT });
        assert_eq!(second.ranks(), 2..4);
        assert_eq!(settle(asked(0), run(2, 2)).unwrap().meeting, Meeting::Leader { port: DEFAULT_PORT });
        let lost = Asked { node_rank: Some(1), ..Asked::default() };
        assert!(refused(lost, run(2, 2)).contains("--master-addr"));
        assert!(refused(asked(2), run(2, 2)).contains("numbered from 0"));
    }

    #[test]
    fn a_world_that_contradicts_the_run_is_refused() {
        let asked = Asked { nproc: Some(3), ..Asked::default() };
        assert!(refused(asked, run(1, 2)).contains("is 3, but the run is planned for 2 processes"));
        let asked = Asked { nnodes: Some(2), ..Asked::default() };
        assert!(refused(asked, run(1, 2)).contains("--nnodes"));
        assert!(refused(Asked::default(), run(1, 0)).contains("1 or more"));
        assert!(refused(Asked::default(), run(1, 3)).contains("not a multiple of microBatch"));
    }

    #[test]
    fn weights_that_the_identity_does_not_know_are_refused() {
        let asked = Asked { load_checkpoint: Some("w.safetensors".into()), ..Asked::default() };
        assert!(refused(asked.clone(), run(1, 1)).contains("loadCheckpoint"));
        let mut other = run(1, 1);
        other.spec.load_checkpoint = Some("elsewhere".into());
        assert_eq!(settle(asked, other).unwrap().weights.load_checkpoint, Some("w.safetensors".into()));
    }

    #[test]
    fn the_command_line_wins_over_the_place() {
        let mut planned = run(1, 1);
        planned.place.resume_from = Some("a".into());
        let asked = Asked { resume_from: Some("b".into()), auto_resume: true, ..Asked::default() };
        let weights = settle(asked, planned.clone()).unwrap().weights;
        assert_eq!(weights, Options { resume_from: Some("b".into()), auto_resume: true, load_checkpoint: None });
        assert_eq!(settle(Asked::default(), planned).unwrap().weights.resume_from, Some("a".into()));
    }
}
