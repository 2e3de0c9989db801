//! `mixbench run`: turns until everything is done.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use mixbench_crds::benchmark::MixupBenchmark;
use mixbench_crds::layout::{REPORT, RunDir};

use super::{Format, colour, load, print};
use crate::aggregate::Outcome;
use crate::backend::local::{Local, files, gpus, trainer};
use crate::backend::{Backend as _, BackendError, Wish, turn};
use crate::decide::{Action, Decision, RunState};
use crate::history;
use crate::plan::{Plan, plan};
use crate::report::{Format as ReportFormat, Report};
use crate::validate::validate;

mod lines;
mod screen;
mod stop;

pub(super) use lines::name;
use screen::Screen;
use stop::Stops;

/// Longest sleep between two turns: events wake earlier.
const TURN: Duration = Duration::from_millis(250);
/// Lines of a failed run's log that are shown.
const LOG_LINES: usize = 5;

/// Options of `mixbench run`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A second `mixbench run` with the same folder goes on where the first one stopped: finished runs are never repeated, failed
ones are tried again, and a trainer that still runs is taken over. Ctrl-C once: every run writes a checkpoint and stops.
Ctrl-C twice: they are killed.

The trainer is `mixbench-trainer` beside this program, else what MIXBENCH_TRAINER names, else the first on the PATH.

Exit codes: 0 pass, 1 regressed, 2 inconclusive, 3 a run failed or all was stopped, 4 nothing could begin.

Examples:
  mixbench run crds/benchmarks/quickstart.yaml
  mixbench run crds/benchmarks/quickstart.yaml --out /tmp/quick --parallelism 2
  mixbench run imagenet.yaml --gpus 1 --data imagefolder:/data/imagenet -o json > report.json")]
pub(super) struct Args {
    /// Manifest with one benchmark; - is standard input
    #[arg(value_name = "FILE")]
    file: String,
    /// Folder for everything that is written [default: mixbench-out/NAME]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Most runs at once, instead of the manifest's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    parallelism: Option<u32>,
    /// GPUs of each run, instead of the manifest's gpusPerNode; 0 trains on CPUs. Another number of processes is another run
    #[arg(long, value_name = "N")]
    gpus: Option<u32>,
    /// Where the manifest's data lie on this machine, such as imagefolder:/data/imagenet
    #[arg(long, value_name = "URI")]
    data: Option<String>,
    /// Write the report for machines to standard output, instead of the table
    #[arg(short, long, value_enum)]
    output: Option<Format>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let Some(loaded) = load::one_or_say(&args.file) else { return Ok(Outcome::Invalid) };
    let mut benchmark = loaded.benchmark;
    adapt(&mut benchmark, args, &loaded.spec.data.name);
    let spec = match validate(&benchmark) {
        Ok(spec) => spec,
        Err(problems) => {
            for problem in problems {
                eprintln!("{}: with the options given: {problem}", args.file);
            }
            return Ok(Outcome::Invalid);
        }
    };
    if let Some(volume) = &spec.data_volume {
        eprintln!(
            "{}: the data lie on the volume `{volume}` of a cluster; say where they lie here, such as --data imagefolder:DIR",
            args.file
        );
        return Ok(Outcome::Invalid);
    }
    if let Some(other) = &spec.reference_benchmark {
        eprintln!(
            "{}: spec.reference.benchmark: the means of `{other}` are known on a cluster only; write its numbers into spec.reference.inline",
            args.file
        );
        return Ok(Outcome::Invalid);
    }
    if spec.suspend {
        eprintln!("{}: spec.suspend is true, so nothing would run; set it to false", args.file);
        return Ok(Outcome::Invalid);
    }
    let out = args.out.clone().unwrap_or_else(|| Path::new("mixbench-out").join(&spec.name));
    let stops = Stops::listen()?;
    match work(plan(&spec), &out, args, &stops) {
        Ok(outcome) => Ok(outcome),
        Err(error) => {
            eprintln!("mixbench: {error}");
            Ok(error.outcome())
        }
    }
}

/// The manifest as this machine runs it.
fn adapt(benchmark: &mut MixupBenchmark, args: &Args, data: &str) {
    let spec = &mut benchmark.spec;
    if let Some(gpus) = args.gpus {
        spec.trainer.gpus_per_node = gpus;
    }
    if let Some(parallelism) = args.parallelism {
        spec.parallelism = parallelism;
    }
    if let Some(uri) = &args.data {
        // It says where the data lie, not what they are.
        spec.data.name = Some(data.to_owned());
        spec.data.uri = Some(uri.clone());
        spec.data.volume = None;
    }
}

fn work(mut plan: Plan, out: &Path, args: &Args, stops: &Stops) -> Result<Outcome, BackendError> {
    let trainer = trainer::find()?;
    let on_gpus = plan.runs.iter().map(|r| r.run.spec.world.gpus_per_node).max().unwrap_or(0);
    let devices = if on_gpus > 0 { gpus::devices() } else { Vec::new() };
    let mut hints = Vec::new();
    if on_gpus > 0 && devices.len() >= on_gpus as usize {
        let fit = devices.len() as u32 / on_gpus;
        if plan.parallelism > fit {
            hints.push(format!("{} GPUs hold {fit} runs at once, not {}", devices.len(), plan.parallelism));
            plan.parallelism = fit;
        }
    }
    let mut local = Local::open(&plan, out, trainer, devices, Timestamp::now())?;
    hints.extend(lines::idle(&plan, std::thread::available_parallelism().map_or(1, std::num::NonZero::get)));
    let mut screen = Screen::new(&plan);
    for hint in hints {
        screen.say(&format!("hint: {hint}"));
    }
    let end = turns(&plan, &mut local, &mut screen, stops, out);
    if end.is_err() {
        // What cannot be watched any more is told to stop; the next `mixbench run` finds its checkpoint.
        local.stop_all();
    }
    screen.close();
    let finished = end?;

    let report = Report::new(&plan, &local.folders(), Timestamp::now());
    let page = write_page(&report, out);
    let told = match args.output {
        Some(format) => format.render(&report).and_then(|text| print(&text)),
        None => print(&format!("\n{}\n", ReportFormat::Table.render(&report, colour()))),
    };
    if let Err(e) = told {
        eprintln!("mixbench: cannot write to standard output: {e:#}");
        return Ok(Outcome::Failed);
    }
    // The table is shown even where the page cannot be kept.
    let place = format!("page: {}", page?.display());
    if args.output.is_some() {
        eprintln!("{place}");
    } else if print(&format!("{place}\n")).is_err() {
        return Ok(Outcome::Failed);
    }
    if finished {
        return Ok(report.outcome);
    }
    let done = report.cells.iter().map(|c| c.cell.n).sum::<u32>();
    eprintln!("stopped with {done} of {} runs finished; the same command goes on from here", plan.runs.len());
    Ok(Outcome::Failed)
}

/// Takes turns until all is finished (true) or stopped (false).
fn turns(plan: &Plan, local: &mut Local, screen: &mut Screen, stops: &Stops, out: &Path) -> Result<bool, BackendError> {
    let mut told = 0;
    let mut done = usize::MAX;
    loop {
        let now = Timestamp::now();
        let asked = stops.count();
        let decision = turn(plan, local, Wish { suspended: asked > 0, parallelism: None }, now)?;
        for note in local.notes() {
            screen.say(&note);
        }
        tell_failures(plan, screen, &decision, out, asked > 0);
        screen.show(plan, local, &decision);
        if asked > told {
            told = asked;
            if asked == 1 {
                screen.say("stopping: every run writes a checkpoint; Ctrl-C again kills them");
            } else {
                let live: Vec<_> = local.live().map(|(run, attempt)| (run.to_owned(), attempt)).collect();
                for (run, attempt) in live {
                    local.act(&Action::Kill { run, attempt }, now)?;
                }
            }
        }
        if decision.finished {
            return Ok(true);
        }
        if asked > 0 && local.live().next().is_none() {
            return Ok(false);
        }
        let succeeded = decision.states.iter().filter(|s| matches!(s, RunState::Succeeded)).count();
        if succeeded != done {
            done = succeeded;
            if let Err(e) = write_page(&Report::new(plan, &local.folders(), now), out) {
                screen.say(&e.to_string());
            }
        }
        local.wait(TURN);
    }
}

/// Tells each failure once, with the end of the run's log.
fn tell_failures(plan: &Plan, screen: &mut Screen, decision: &Decision, out: &Path, stopping: bool) {
    for (planned, state) in plan.runs.iter().zip(&decision.states) {
        let (what, message) = match state {
            RunState::Failed { message, .. } => ("failed", message),
            RunState::BackingOff { message, .. } if !stopping => ("will be tried again", message),
            _ => continue,
        };
        let id = &planned.run.id;
        if screen.tells_first(id, what, message) {
            screen.say(&format!("{} {what}: {message}", lines::name(plan, planned)));
            let dir = RunDir::new(out, id);
            let log = history::log_tail(&dir, LOG_LINES, 64 * 1024).unwrap_or_default();
            for line in log {
                screen.say(&format!("  | {line}"));
            }
            if dir.log().exists() {
                screen.say(&format!("  whole log: {}", dir.log().display()));
            }
        }
    }
}

fn write_page(report: &Report, out: &Path) -> Result<PathBuf, BackendError> {
    let page = out.join(REPORT);
    files::replace(&page, &ReportFormat::Html.render(report, false))?;
    Ok(page)
}
