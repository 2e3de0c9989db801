//! `mixbench crd`.

use clap::ValueEnum;

use super::print;
use crate::aggregate::Outcome;

mod reference;
mod text;

/// Options of `mixbench crd`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mixbench crd | kubectl apply --server-side -f -
  mixbench crd > crds/mixupbenchmark.yaml
  mixbench crd --format markdown > docs/reference.md")]
pub(super) struct Args {
    /// How it is written
    #[arg(long, value_enum, default_value_t = Format::Yaml)]
    format: Format,
}

/// How the definition is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// The custom resource definition, for a cluster
    Yaml,
    /// Every field, condition and exit code, for people
    Markdown,
}

impl Format {
    fn render(self) -> anyhow::Result<String> {
        match self {
            Self::Yaml => super::Format::Yaml.render(&mixbench_crds::benchmark::crd()),
            Self::Markdown => Ok(reference::markdown()),
        }
    }
}

pub(super) fn run(args: &Args) -> anyhow::Result<Outcome> {
    print(&args.format.render()?)?;
    Ok(Outcome::Pass)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_files_are_the_generated_ones() {
        for (format, file) in [(Format::Yaml, "crds/mixupbenchmark.yaml"), (Format::Markdown, "docs/reference.md")] {
            let path = format!("{}/../{file}", env!("CARGO_MANIFEST_DIR"));
            let text = std::fs::read_to_string(path).unwrap_or_default();
            assert!(text == format.render().expect("a definition"), "{file} is stale: run make generate");
        }
    }
}
