//! `mixbench crd`.

use super::{Format, print};
use crate::aggregate::Outcome;

/// Options of `mixbench crd`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mixbench crd | kubectl apply --server-side -f -
  mixbench crd > crds/mixupbenchmark.yaml")]
pub(super) struct Args {}

pub(super) fn run(_: &Args) -> anyhow::Result<Outcome> {
    print(&Format::Yaml.render(&mixbench_crds::benchmark::crd())?)?;
    Ok(Outcome::Pass)
}

#[cfg(test)]
mod tests {
    use crate::cli::Format;

    #[test]
    fn the_committed_definition_is_the_generated_one() {
        let committed = concat!(env!("CARGO_MANIFEST_DIR"), "/../crds/mixupbenchmark.yaml");
        let text = std::fs::read_to_string(committed).expect("crds/mixupbenchmark.yaml is committed");
        let now = Format::Yaml.render(&mixbench_crds::benchmark::crd()).expect("a definition");
        assert!(text == now, "crds/mixupbenchmark.yaml is stale: run make generate");
    }
}
