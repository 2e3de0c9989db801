//! `mixbench submit`.

use super::cluster::{Cluster, block_on};
use super::wait::{Follow, follow};
use super::{load, print};
use crate::aggregate::Outcome;
use crate::kube::desk::RESOURCE;

/// Options of `mixbench submit`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The manifest is checked as `mixbench lint` does, then created as it is written. Like `kubectl create`
this never changes a benchmark that is there, and with metadata.generateName each call makes a new
one. Its namespace is metadata.namespace, else -n, else the context's.

With --wait the command ends when the benchmark does, prints its table, and its exit code is the
verdict. A lost connection is waited out. Ctrl-C ends the waiting and not the benchmark.

Exit codes:
  0  pass; without --wait: created
  1  regressed
  2  inconclusive
  3  a run failed, the benchmark was deleted, the waiting ended first, or the API server does not answer
  4  nothing was created, or the operator refuses the benchmark

Examples:
  mixbench submit crds/benchmarks/quickstart.yaml
  mixbench submit crds/benchmarks/quickstart.yaml -n ml --wait --timeout 9h
  mixbench submit nightly.yaml --wait --junit junit.xml --markdown \"$GITHUB_STEP_SUMMARY\"
  sed 's/trials: 1/trials: 3/' small.yaml | mixbench submit - --context kind-ci")]
pub(super) struct Args {
    /// Manifest with one benchmark; - is standard input
    #[arg(value_name = "FILE")]
    file: String,
    /// Wait until it is finished
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    follow: Follow,
    #[command(flatten)]
    cluster: Cluster,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Outcome> {
    if let (false, Some(flag)) = (args.wait, args.follow.first_flag()) {
        eprintln!("mixbench: {flag} needs --wait: without it the command ends before there is anything to tell");
        return Ok(Outcome::Invalid);
    }
    let Some(loaded) = load::one_or_say(&args.file) else { return Ok(Outcome::Invalid) };
    let own = loaded.benchmark.metadata.namespace.as_deref();
    if let (Some(own), Some(asked)) = (own, args.cluster.namespace.as_deref())
        && own != asked
    {
        eprintln!("{}: metadata.namespace: `{own}` is not the `{asked}` of -n; leave one of them out", args.file);
        return Ok(Outcome::Invalid);
    }
    if let Some(problem) = args.follow.problem() {
        eprintln!("mixbench: {problem}");
        return Ok(Outcome::Invalid);
    }
    block_on(async {
        let desk = match args.cluster.desk(own).await {
            Ok(desk) => desk,
            Err(error) => {
                eprintln!("mixbench: {error}");
                return Ok(Outcome::Invalid);
            }
        };
        let created = match desk.create(&loaded.document).await {
            Ok(created) => created,
            Err(error) => {
                eprintln!("{}: {error}", args.file);
                return Ok(error.outcome());
            }
        };
        let name = created.metadata.name.as_deref().unwrap_or_default();
        print(&format!("{RESOURCE}/{name} created\n"))?;
        if !args.wait {
            return Ok(Outcome::Pass);
        }
        Box::pin(follow(&desk, created, &args.follow, &args.cluster)).await
    })
}
