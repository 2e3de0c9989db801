//! `catalog`.

use clap::Args;
use mixbench_crds::exit::Exit;

use crate::catalog::{CatalogError, run};

const EXAMPLES: &str = "Examples:
  mixbench-trainer catalog > crds/catalog.json
  mixbench-trainer catalog --check";

/// Print the methods, backbones, data sets and sources that this build knows, as JSON
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CatalogArgs {
    /// Print nothing; fail if the catalog that was compiled in is another one
    #[arg(long)]
    check: bool,
}

impl CatalogArgs {
    /// Prints or compares.
    pub(super) fn run(self) -> Result<Exit, CatalogError> {
        run(self.check, std::io::stdout().lock())?;
        Ok(Exit::Ok)
    }
}
