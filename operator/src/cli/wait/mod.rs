//! `mixbench wait`, and the waiting of `mixbench submit --wait`.

use std::cell::RefCell;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use mixbench_crds::benchmark::MixupBenchmark;
use tokio::signal::unix::{SignalKind, signal};

use super::cluster::{Cluster, block_on};
use super::{colour, print};
use crate::aggregate::Outcome;
use crate::backend::local::files;
use crate::kube::desk::{Desk, DeskError, End};
use crate::report::{Format, Report};

mod lines;
mod name;
mod screen;

use lines::Teller;
pub(super) use name::{has_kind, name_of};
use screen::Screen;

/// How long a benchmark may be without a status before a person is told what may be missing.
const UNNOTICED: Duration = Duration::from_secs(30);

/// Options of `mixbench wait`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Ends when every run of the benchmark is recorded or has failed for good, prints its table, and its
exit code is the verdict. A lost connection is waited out. Ctrl-C ends the waiting and not the
benchmark.

Exit codes:
  0  pass
  1  regressed
  2  inconclusive
  3  a run failed, the benchmark was deleted, the waiting ended first, or the API server does not answer
  4  there is no such benchmark, it may not be read, or the operator refuses it

Examples:
  mixbench wait quickstart
  mixbench wait mixb/quickstart -n ml --timeout 9h --junit junit.xml
  kubectl create -f nightly.yaml -o name | xargs -n 1 mixbench wait")]
pub(super) struct Args {
    /// Name of a benchmark on the cluster, as kubectl writes it too: mixb/NAME
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    follow: Follow,
    #[command(flatten)]
    cluster: Cluster,
}

/// How it is waited, and what is left behind.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Follow {
    /// Longest wait, such as 90s, 45m or 1h30m; 0 looks once; without it, for ever
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,
    /// Write the report as JUnit XML to a file, whatever it comes to
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write the report as Markdown to a file, whatever it comes to
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

impl Follow {
    /// A flag that was given.
    pub(super) fn first_flag(&self) -> Option<&'static str> {
        let given = [
            ("--timeout", self.timeout.is_some()),
            ("--junit", self.junit.is_some()),
            ("--markdown", self.markdown.is_some()),
        ];
        given.into_iter().find(|(_, given)| *given).map(|(flag, _)| flag)
    }

    /// What can be known to fail at the end before the waiting begins.
    pub(super) fn problem(&self) -> Option<String> {
        let files = [("--junit", &self.junit), ("--markdown", &self.markdown)];
        files.into_iter().find_map(|(flag, file)| {
            let file = file.as_deref()?;
            let folder = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let why = match () {
                () if file.is_dir() => format!("{} is a folder", file.display()),
                () if !folder.is_dir() => format!("there is no folder {}", folder.display()),
                () => return None,
            };
            Some(format!("{flag}: {why}; name a file in a folder that exists"))
        })
    }
}

pub(super) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let name = match name_of(&args.name) {
        Ok(name) => name,
        Err(why) => return refuse(&format!("`{}` names no benchmark: {why}", args.name), Outcome::Invalid),
    };
    if let Some(problem) = args.follow.problem() {
        return refuse(&problem, Outcome::Invalid);
    }
    block_on(async {
        let desk = match args.cluster.desk(None).await {
            Ok(desk) => desk,
            Err(error) => return refuse(&error, Outcome::Invalid),
        };
        match desk.get(name).await {
            Ok(first) => Box::pin(follow(&desk, first, &args.follow, &args.cluster)).await,
            Err(error) => refuse(&error, error.outcome()),
        }
    })
}

/// Says why, and ends so.
#[allow(clippy::unnecessary_wraps, reason = "it ends a command")]
fn refuse(why: &dyn Display, outcome: Outcome) -> anyhow::Result<Outcome> {
    eprintln!("mixbench: {why}");
    Ok(outcome)
}

/// Why the waiting ended.
enum Ended {
    /// The benchmark is over, or cannot be waited for.
    Over(Result<End, DeskError>),
    /// There was no more time.
    TimedOut(Duration),
    /// A person, or a CI system, has enough.
    Stopped,
}

/// Waits for a benchmark, tells how it goes on standard error, and leaves its reports behind.
///
/// # Errors
/// A report cannot be written.
pub(super) async fn follow(
    desk: &Desk,
    first: MixupBenchmark,
    how: &Follow,
    cluster: &Cluster,
) -> anyhow::Result<Outcome> {
    let name = first.metadata.name.clone().unwrap_or_default();
    let again = |command| cluster.command(command, &name, desk.namespace());
    let teller = RefCell::new(Teller::new(&first));
    let ended = watch(desk, first, how.timeout, &teller).await?;
    let last = teller.into_inner().last;
    let goes_on = || format!("it goes on; `{}` waits for it again", again("wait"));
    let (benchmark, said, outcome) = match ended {
        Ended::Over(Ok(End::Finished(finished))) => (*finished, None, None),
        Ended::Over(Ok(End::Refused(why))) => {
            return refuse(&format!("the operator refuses {name}: {why}"), Outcome::Invalid);
        }
        Ended::Over(Ok(End::Deleted(gone))) => {
            (*gone, Some(format!("{name} was deleted before it was finished")), Some(Outcome::Failed))
        }
        Ended::Over(Err(error)) => (last, Some(format!("{error}; {}", goes_on())), Some(error.outcome())),
        Ended::TimedOut(time) => {
            let time = SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
            (last, Some(format!("{name} is not finished after {time:#}; {}", goes_on())), Some(Outcome::Failed))
        }
        Ended::Stopped => (last, Some(format!("the waiting for {name} ends, {}", goes_on())), Some(Outcome::Failed)),
    };
    if let Some(said) = said {
        eprintln!("mixbench: {said}");
    }
    let report = match Report::of_benchmark(&benchmark, again("report"), Timestamp::now()) {
        Ok(report) => report,
        // Where there is something worse to tell, it is told.
        Err(problems) => match outcome {
            Some(outcome) => return Ok(outcome),
            None => return refuse(&DeskError::unplanned(&problems), Outcome::Invalid),
        },
    };
    for (file, format) in [(&how.junit, Format::Junit), (&how.markdown, Format::Markdown)] {
        if let Some(file) = file {
            files::replace(file, &format.render(&report, false))?;
        }
    }
    if outcome.is_none() {
        print(&format!("\n{}", Format::Table.render(&report, colour())))?;
    }
    Ok(outcome.unwrap_or(report.outcome))
}

/// Until the benchmark is over, the time is, or a person says so.
async fn watch(
    desk: &Desk,
    first: MixupBenchmark,
    timeout: Option<Duration>,
    teller: &RefCell<Teller>,
) -> std::io::Result<Ended> {
    let (mut interrupt, mut terminate, mut hangup) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
    let screen = Screen::new(&first);
    let mut end = pin!(desk.follow(first, |news| {
        screen.say(teller.borrow_mut().tell(news));
        screen.show(&teller.borrow().last);
    }));
    let mut timer = pin!(async {
        match timeout {
            Some(time) => {
                tokio::time::sleep(time).await;
                time
            }
            None => std::future::pending().await,
        }
    });
    let mut unnoticed = pin!(tokio::time::sleep(UNNOTICED));
    let mut hinted = false;
    loop {
        tokio::select! {
            biased;
            end = &mut end => return Ok(Ended::Over(end)),
            time = &mut timer => return Ok(Ended::TimedOut(time)),
            _ = interrupt.recv() => return Ok(Ended::Stopped),
            _ = terminate.recv() => return Ok(Ended::Stopped),
            _ = hangup.recv() => return Ok(Ended::Stopped),
            () = &mut unnoticed, if !hinted => {
                hinted = true;
                screen.say(teller.borrow().unnoticed());
            }
        }
    }
}

/// A time as kubectl and Go write it.
fn duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let remedy = "write it with units, such as 90s, 45m or 1h30m";
    let parsed: SignedDuration = text.parse().map_err(|_| remedy.to_owned())?;
    Duration::try_from(parsed).map_err(|_| format!("it is negative; {remedy}, or leave the flag out to wait for ever"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_for_kubectl() {
        let seconds = |text| duration(text).map(|d| d.as_secs());
        assert_eq!(seconds("9h"), Ok(32_400));
        assert_eq!(seconds("1h30m"), Ok(5400));
        assert_eq!(seconds("1.5h"), Ok(5400));
        assert_eq!(seconds("0"), Ok(0));
        assert_eq!(seconds("0s"), Ok(0));
        assert!(duration("300").expect_err("no unit").contains("90s"));
        assert!(duration("-1s").expect_err("negative").contains("negative"));
        assert!(duration("soon").is_err());
    }

    #[test]
    fn a_report_that_cannot_be_kept_is_known_before_the_waiting() {
        let dir = tempfile::tempdir().expect("a folder");
        let problem = |path: PathBuf| Follow { junit: Some(path), ..Follow::default() }.problem();
        assert_eq!(problem(dir.path().join("junit.xml")), None);
        assert_eq!(problem("junit.xml".into()), None);
        assert!(problem(dir.path().to_owned()).expect("a folder").contains("is a folder"));
        assert!(problem(dir.path().join("a/junit.xml")).expect("no folder").starts_with("--junit: there is no folder"));
    }
}
