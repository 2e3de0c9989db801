//! Watching one benchmark until it is over. The connection may be lost as often as it likes.

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::core::Status;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event};
use mixbench_crds::benchmark::MixupBenchmark;

use super::{Desk, DeskError, silence, words};

/// For so long a server that answered before may refuse what it granted, as one does that has just started.
const DENIED: Duration = Duration::from_mins(1);

/// How a benchmark ends for whoever waits.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// Every run is recorded or has failed for good.
    Finished(Box<MixupBenchmark>),
    /// The operator cannot plan it, for this reason.
    Refused(String),
    /// It was deleted before it was finished; this is what was seen last.
    Deleted(Box<MixupBenchmark>),
}

/// What happens meanwhile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum News<'a> {
    /// The benchmark as it is now.
    Seen(&'a MixupBenchmark),
    /// The server cannot be heard, for this reason; it is asked again.
    Lost(&'a str),
}

/// Whether a benchmark is over, and how. What was said of an older spec does not count. Pure.
pub fn over(benchmark: &MixupBenchmark) -> Option<End> {
    if let Some(refused) = condition(benchmark, "Accepted").filter(|c| c.status == "False") {
        return Some(End::Refused(refused.message.clone()));
    }
    let finished = condition(benchmark, "Finished").is_some_and(|c| c.status == "True");
    finished.then(|| End::Finished(Box::new(benchmark.clone())))
}

/// What the operator says of the spec as it is now.
fn condition<'a>(benchmark: &'a MixupBenchmark, kind: &str) -> Option<&'a Condition> {
    let conditions = &benchmark.status.as_ref()?.conditions;
    conditions.iter().find(|c| c.type_ == kind && c.observed_generation >= benchmark.metadata.generation)
}

impl Desk {
    /// Waits until a benchmark that was read or created is over, and tells what happens meanwhile.
    ///
    /// # Errors
    /// Only what waiting cannot mend: [`DeskError::Refused`] where the server denies the watch from the start or for a minute,
    /// [`DeskError::Unreadable`].
    pub async fn follow(&self, first: MixupBenchmark, mut tell: impl FnMut(News<'_>)) -> Result<End, DeskError> {
        tell(News::Seen(&first));
        if let Some(end) = over(&first) {
            return Ok(end);
        }
        let name = first.metadata.name.clone().unwrap_or_default();
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let mut events = std::pin::pin!(watcher::watcher(self.api(), config).default_backoff());
        let mut last = first;
        let (mut listed, mut there) = (false, false);
        let mut denied: Option<Instant> = None;
        while let Some(event) = events.next().await {
            if event.is_ok() {
                denied = None;
            }
            match event {
                Ok(Event::Init) => there = false,
                Ok(Event::InitApply(seen) | Event::Apply(seen)) => {
                    there = true;
                    if seen.metadata.uid != last.metadata.uid {
                        return Ok(End::Deleted(Box::new(last)));
                    }
                    tell(News::Seen(&seen));
                    if let Some(end) = over(&seen) {
                        return Ok(end);
                    }
                    last = seen;
                }
                Ok(Event::InitDone) if there => listed = true,
                Ok(Event::InitDone) => return Ok(End::Deleted(Box::new(last))),
                // Its last state may be news: it can finish and be deleted between two looks.
                Ok(Event::Delete(seen)) if seen.metadata.uid == last.metadata.uid => {
                    return Ok(over(&seen).unwrap_or_else(|| End::Deleted(Box::new(seen))));
                }
                Ok(Event::Delete(_)) => {}
                Err(error) => match trouble(&error) {
                    Trouble::Stale => {}
                    Trouble::Unreadable(why) => return Err(DeskError::Unreadable(why)),
                    Trouble::Denied(why) => {
                        let since = *denied.get_or_insert_with(Instant::now);
                        if !listed || since.elapsed() >= DENIED {
                            return Err(DeskError::Refused(why));
                        }
                        tell(News::Lost(&why));
                    }
                    Trouble::Silent(why) => tell(News::Lost(&why)),
                },
            }
        }
        Err(DeskError::Unreachable("the watch has ended".to_owned()))
    }
}

/// What a failed watch means for whoever waits.
enum Trouble {
    /// The server has forgotten where the watch was; the next list knows all.
    Stale,
    /// The server denies the watch.
    Denied(String),
    /// The benchmark is not as this build reads it.
    Unreadable(String),
    /// The server cannot be heard, or cannot answer for now.
    Silent(String),
}

fn trouble(error: &watcher::Error) -> Trouble {
    use watcher::Error::{InitialListFailed, NoResourceVersion, WatchError, WatchFailed, WatchStartFailed};
    match error {
        WatchError(status)
        | InitialListFailed(kube::Error::Api(status))
        | WatchStartFailed(kube::Error::Api(status))
        | WatchFailed(kube::Error::Api(status)) => refusal(status),
        InitialListFailed(kube::Error::SerdeError(e))
        | WatchStartFailed(kube::Error::SerdeError(e))
        | WatchFailed(kube::Error::SerdeError(e)) => Trouble::Unreadable(e.to_string()),
        InitialListFailed(e) | WatchStartFailed(e) | WatchFailed(e) => Trouble::Silent(silence(e)),
        NoResourceVersion => Trouble::Silent(error.to_string()),
    }
}

fn refusal(status: &Status) -> Trouble {
    match status.code {
        410 => Trouble::Stale,
        401 | 403 | 404 => Trouble::Denied(words(status)),
        _ => Trouble::Silent(words(status)),
    }
}
