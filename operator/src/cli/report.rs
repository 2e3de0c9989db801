//! `mixbench report`: of an output folder, or of a benchmark on a cluster.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::cluster::{Cluster, block_on};
use super::wait::{has_kind, name_of};
use super::{colour, print};
use crate::aggregate::Outcome;
use crate::backend::local::files;
use crate::history::{HistoryError, read_plan, read_run};
use crate::kube::desk::DeskError;
use crate::report::{Format, Report};

/// Options of `mixbench report`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What is a folder here is taken for one, everything else for the name of a benchmark on a cluster;
mixb/NAME, or NAME with -n, always means the cluster. Either may be in progress, and some of its runs
may have failed. Curves are in folders only: a cluster keeps what a run came to, not its every epoch.

Exit codes: 0 pass, 1 regressed, 2 inconclusive, 3 a run failed or is missing, or the API server does
not answer, 4 there is no such folder and no such benchmark, or it may not be read.

Examples:
  mixbench report mixbench-out/quickstart
  mixbench report mixbench-out/quickstart --format markdown >> README.md
  mixbench report mixbench-out/quickstart --format junit --output junit.xml
  mixbench report quickstart -n ml --format html --output report.html")]
pub(super) struct Args {
    /// Output folder of `mixbench run`, or the name of a benchmark on a cluster
    #[arg(value_name = "DIR|NAME")]
    what: PathBuf,
    /// What it is written as
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Write it to a file instead of standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    cluster: Cluster,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let text = args.what.to_string_lossy();
    let report = match reading(&args.what, args.cluster.namespace.is_some()) {
        Reading::Folder => of_folder(&args.what),
        Reading::Cluster { surely } => block_on(of_cluster(&text, surely, &args.cluster))?,
    };
    let report = match report {
        Ok(report) => report,
        Err((why, outcome)) => {
            eprintln!("mixbench: {why}");
            return Ok(outcome);
        }
    };
    match &args.output {
        Some(path) => files::replace(path, &args.format.render(&report, false))?,
        None => print(&args.format.render(&report, colour()))?,
    }
    Ok(report.outcome)
}

/// What a word is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// An output folder.
    Folder,
    /// A name on a cluster; `surely` where nothing else can be meant.
    Cluster { surely: bool },
}

fn reading(what: &Path, namespace: bool) -> Reading {
    let text = what.to_string_lossy();
    match () {
        () if namespace || has_kind(&text) => Reading::Cluster { surely: true },
        () if what.exists() || name_of(&text).is_err() => Reading::Folder,
        () => Reading::Cluster { surely: false },
    }
}

/// A report, or why there is none and what that comes to.
type Found = Result<Report, (String, Outcome)>;

fn of_folder(dir: &Path) -> Found {
    read(dir).map_err(|error| {
        let outcome = match error {
            HistoryError::Io { .. } => Outcome::Failed,
            HistoryError::NoPlan(_) | HistoryError::Plan { .. } => Outcome::Invalid,
        };
        let name = dir.to_string_lossy();
        let other = matches!(error, HistoryError::NoPlan(_)) && name_of(&name).is_ok();
        let hint =
            if other { format!("; mixb/{name} means the benchmark of this name on a cluster") } else { String::new() };
        (format!("{error}{hint}"), outcome)
    })
}

fn read(dir: &Path) -> Result<Report, HistoryError> {
    let plan = read_plan(dir)?;
    let mut folders = BTreeMap::new();
    for planned in &plan.runs {
        folders.insert(planned.run.id.clone(), read_run(dir, &planned.run.id)?);
    }
    Ok(Report::new(&plan, &folders, Timestamp::now()))
}

async fn of_cluster(text: &str, surely: bool, cluster: &Cluster) -> anyhow::Result<Found> {
    // Where the word may have been meant for a folder, both readings are told.
    let both = |why: String, outcome| {
        let why = if surely { why } else { format!("`{text}` is no folder here, and as a name on a cluster: {why}") };
        (why, outcome)
    };
    let name = match name_of(text) {
        Ok(name) => name,
        Err(why) => return Ok(Err((format!("`{text}` names no benchmark: {why}"), Outcome::Invalid))),
    };
    let desk = match cluster.desk(None).await {
        Ok(desk) => desk,
        Err(error) => return Ok(Err(both(error.to_string(), Outcome::Invalid))),
    };
    let found = desk.get(name).await.and_then(|benchmark| {
        let command = cluster.command("report", name, desk.namespace());
        Report::of_benchmark(&benchmark, command, Timestamp::now()).map_err(|problems| DeskError::unplanned(&problems))
    });
    Ok(found.map_err(|error| both(error.to_string(), error.outcome())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_folder_is_a_folder_and_a_namespace_or_a_kind_means_the_cluster() {
        let dir = tempfile::tempdir().expect("a folder");
        let gone = dir.path().join("gone");
        assert_eq!(reading(dir.path(), false), Reading::Folder);
        assert_eq!(reading(&gone, false), Reading::Folder, "no benchmark has a slash in its name");
        assert_eq!(reading(Path::new("src"), false), Reading::Folder, "it stands in this package");
        assert_eq!(reading(Path::new("src"), true), Reading::Cluster { surely: true });
        assert_eq!(reading(Path::new("mixb/src"), false), Reading::Cluster { surely: true });
        assert_eq!(reading(Path::new("quickstart"), false), Reading::Cluster { surely: false });
    }
}
