//! Standard error while a benchmark is waited for: lines that stay, and on a terminal below them how far its live runs are.

use std::io::{IsTerminal as _, Write as _};

use indicatif::{ProgressBar, ProgressStyle};
use mixbench_crds::benchmark::MixupBenchmark;

use super::lines::live;
use crate::plan::{Plan, plan};
use crate::validate::validate;

/// What a person sees.
pub(super) struct Screen {
    below: Option<(ProgressBar, Plan)>,
}

impl Screen {
    pub(super) fn new(benchmark: &MixupBenchmark) -> Self {
        let plan = if std::io::stderr().is_terminal() { validate(benchmark).ok().map(|s| plan(&s)) } else { None };
        let style = ProgressStyle::with_template("{msg}").expect("a constant template");
        Self { below: plan.map(|plan| (ProgressBar::new_spinner().with_style(style), plan)) }
    }

    /// Lines that stay.
    pub(super) fn say(&self, lines: Vec<String>) {
        for line in lines {
            match &self.below {
                Some((below, _)) => below.println(line),
                // Nobody may be listening any more: that ends no waiting.
                None => drop(writeln!(std::io::stderr(), "{line}")),
            }
        }
    }

    /// How far the live runs are, in place of what was shown before.
    pub(super) fn show(&self, benchmark: &MixupBenchmark) {
        if let (Some((below, plan)), Some(status)) = (&self.below, &benchmark.status) {
            below.set_message(live(plan, status).join("\n"));
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if let Some((below, _)) = &self.below {
            below.finish_and_clear();
        }
    }
}
