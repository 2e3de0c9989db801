//! `mixbench completions`.

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, print};
use crate::aggregate::Outcome;

/// Options of `mixbench completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mixbench completions bash > ~/.local/share/bash-completion/completions/mixbench
  mixbench completions zsh > ~/.zfunc/_mixbench
  mixbench completions fish > ~/.config/fish/completions/mixbench.fish")]
pub(super) struct Args {
    /// Shell to write them for
    shell: Shell,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "mixbench", &mut text);
    print(&String::from_utf8(text)?)?;
    Ok(Outcome::Pass)
}
