//! Standard error while runs run: live lines on a terminal, plain lines now and then elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::lines;
use crate::backend::local::Local;
use crate::decide::{Decision, RunState};
use crate::history::Ledger;
use crate::plan::{Plan, PlannedRun};

/// Between two plain lines about everything.
const PLAIN_EVERY: Duration = Duration::from_secs(15);

/// What a person sees.
pub(super) struct Screen {
    live: Option<Lines>,
    told: BTreeSet<(String, &'static str, String)>,
    standing: BTreeMap<String, &'static str>,
    spoke: Option<Instant>,
}

struct Lines {
    all: MultiProgress,
    runs: BTreeMap<String, ProgressBar>,
    total: ProgressBar,
    width: usize,
}

impl Screen {
    pub(super) fn new(plan: &Plan) -> Self {
        let live = std::io::stderr().is_terminal().then(|| {
            let all = MultiProgress::new();
            let style = ProgressStyle::with_template("{msg}").expect("a constant template");
            let total = all.add(ProgressBar::new_spinner().with_style(style));
            let width = plan.runs.iter().map(|r| lines::name(plan, r).chars().count()).max().unwrap_or(0);
            Lines { all, runs: BTreeMap::new(), total, width }
        });
        Self { live, told: BTreeSet::new(), standing: BTreeMap::new(), spoke: None }
    }

    /// A line that stays.
    pub(super) fn say(&self, text: &str) {
        let written = match &self.live {
            Some(lines) => lines.all.println(text),
            None => writeln!(std::io::stderr(), "{text}"),
        };
        // Nobody may be listening any more: that stops no run.
        drop(written);
    }

    /// Whether this is said of the run for the first time.
    pub(super) fn tells_first(&mut self, run: &str, what: &'static str, message: &str) -> bool {
        self.told.insert((run.to_owned(), what, message.to_owned()))
    }

    /// Shows how far everything got.
    pub(super) fn show(&mut self, plan: &Plan, local: &Local, decision: &Decision) {
        let nothing = Ledger::default();
        let mut running = Vec::new();
        for (planned, state) in plan.runs.iter().zip(&decision.states) {
            let id = &planned.run.id;
            let ledger = local.ledger(id).unwrap_or(&nothing);
            let standing = match state {
                RunState::Running { .. } => "running",
                RunState::Stopping { .. } => "stopping",
                RunState::Succeeded => "finished",
                RunState::Queued | RunState::BackingOff { .. } | RunState::Failed { .. } => "",
            };
            let before = self.standing.insert(id.clone(), standing);
            let line = format!("{}: {}", lines::name(plan, planned), lines::state(plan, planned, ledger));
            // What was finished from the start is told by the total alone, and a terminal shows for itself what runs.
            let news = match standing {
                "finished" => before.is_some_and(|b| b != standing),
                "" => false,
                _ => self.live.is_none() && before != Some(standing),
            };
            if news {
                self.say(&format!("{line} · {standing}"));
            } else if standing == "running" {
                running.push(line);
            }
            if let Some(lines) = &mut self.live {
                lines.show(plan, planned, ledger, matches!(standing, "running" | "stopping"));
            }
        }
        let total = lines::total(plan, &decision.states, |id| local.ledger(id));
        if let Some(lines) = &self.live {
            lines.total.set_message(total);
        } else if self.spoke.is_none_or(|at| at.elapsed() >= PLAIN_EVERY) {
            self.spoke = Some(Instant::now());
            for line in running {
                self.say(&line);
            }
            self.say(&total);
        }
    }

    /// Clears the live lines.
    pub(super) fn close(&self) {
        if let Some(lines) = &self.live {
            for bar in lines.runs.values() {
                bar.finish_and_clear();
            }
            lines.total.finish_and_clear();
        }
    }
}

impl Lines {
    fn show(&mut self, plan: &Plan, planned: &PlannedRun, ledger: &Ledger, live: bool) {
        let id = &planned.run.id;
        if !live {
            if let Some(bar) = self.runs.remove(id) {
                bar.finish_and_clear();
                self.all.remove(&bar);
            }
            return;
        }
        let bar = self.runs.entry(id.clone()).or_insert_with(|| {
            let style = ProgressStyle::with_template("{prefix} {bar:24.cyan/dim} {msg}")
                .expect("a constant template")
                .progress_chars("━╸─");
            let name = lines::name(plan, planned);
            let space = " ".repeat(self.width.saturating_sub(name.chars().count()));
            let length = u64::from(planned.run.spec.training.epochs) * 1000;
            let bar = ProgressBar::new(length).with_style(style).with_prefix(format!("{name}{space}"));
            self.all.insert_before(&self.total, bar)
        });
        bar.set_position(lines::position(ledger));
        bar.set_message(lines::state(plan, planned, ledger));
    }
}
