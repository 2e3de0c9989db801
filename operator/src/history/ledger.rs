//! Events folded into one picture of a run.

use std::collections::BTreeMap;

use mixbench_crds::event::{Body, Epoch, Event, Position, Started};
use mixbench_crds::exit::Exit;
use mixbench_crds::metric::{Metric, Score};

use super::Ended;

/// All that a run has said, over all its attempts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ledger {
    /// Attempts that said anything or were seen to end, by number.
    pub attempts: BTreeMap<u32, Attempt>,
    /// The newest word on each epoch: a repeated epoch replaces the one before.
    pub epochs: BTreeMap<u32, Epoch>,
    /// Where training is inside an epoch, if it said so since the last epoch.
    pub progress: Option<Progress>,
    /// Lines that were no events.
    pub unreadable: u64,
}

/// One attempt.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attempt {
    /// Facts that hold for all of it; none when it did not get that far.
    pub started: Option<Started>,
    /// Its warnings, in order.
    pub warnings: Vec<String>,
    /// Its last word; none while it lives and when it was killed.
    pub end: Option<End>,
    /// Milliseconds since 1970 of its first and its last event.
    pub span: Option<(u64, u64)>,
}

/// Last word of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// The run is done.
    Finished,
    /// The attempt failed.
    Failed {
        /// Why, as an exit code; none where it was killed, or ended with a code that is not ours.
        exit: Option<Exit>,
        /// Why, for a person.
        message: String,
    },
    /// It was stopped on request.
    Stopped {
        /// Where training goes on.
        position: Position,
        /// Whether a checkpoint was written.
        saved: bool,
    },
}

/// A point inside an epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Where.
    pub position: Position,
    /// Steps of an epoch.
    pub steps: u64,
    /// Images per second of late.
    pub images_per_second: f64,
}

impl Ledger {
    /// Adds an event.
    pub fn push(&mut self, event: &Event) {
        let attempt = self.attempts.entry(event.attempt).or_default();
        let first = attempt.span.map_or(event.time, |(first, _)| first);
        attempt.span = Some((first, event.time.max(first)));
        match &event.body {
            Body::Started(started) => {
                attempt.started = Some(started.clone());
                let resumed = started.resumed.map_or(0, |p| p.epoch);
                self.epochs.retain(|epoch, _| *epoch <= resumed);
                self.progress = None;
            }
            Body::Epoch(epoch) => {
                self.epochs.insert(epoch.score.epoch, epoch.clone());
                self.progress = None;
            }
            Body::Progress { epoch, step, steps, images_per_second } => {
                self.progress = Some(Progress {
                    position: Position { epoch: *epoch, step: *step },
                    steps: *steps,
                    images_per_second: *images_per_second,
                });
            }
            Body::Warning { message } => attempt.warnings.push(message.clone()),
            Body::Finished { .. } => attempt.end = Some(End::Finished),
            Body::Failed { exit, message, .. } => {
                attempt.end = Some(End::Failed { exit: Some(*exit), message: message.clone() });
            }
            Body::Stopped { position, checkpoint } => {
                attempt.end = Some(End::Stopped { position: *position, saved: checkpoint.is_some() });
            }
            Body::Checkpoint { .. } | Body::Unknown => {}
        }
    }

    /// Adds how an attempt was seen to end. Its own last word, if it had one, says more.
    pub fn end(&mut self, ended: &Ended) {
        let attempt = self.attempts.entry(ended.attempt).or_default();
        if attempt.end.is_none() && ended.exit != Some(Exit::Ok) {
            attempt.end = Some(match ended.exit {
                Some(Exit::Stopped) => End::Stopped { position: Position::default(), saved: false },
                exit => End::Failed { exit, message: ended.message.clone() },
            });
        }
    }

    /// Adds a line, which may be no event.
    pub fn push_line(&mut self, line: &str) {
        match Event::parse(line) {
            Ok(event) => self.push(&event),
            Err(_) if line.trim().is_empty() => {}
            Err(_) => self.unreadable += 1,
        }
    }

    /// Number of the last attempt that said anything; 0 when none did.
    pub fn last_attempt(&self) -> u32 {
        self.attempts.last_key_value().map_or(0, |(n, _)| *n)
    }

    /// Epochs finished.
    pub fn epochs_done(&self) -> u32 {
        self.epochs.last_key_value().map_or(0, |(n, _)| *n)
    }

    /// Top-1 in percent so far, by the rule.
    pub fn top1(&self, metric: Metric) -> Option<f64> {
        let scores: Vec<Score> = self.epochs.values().map(|e| e.score).collect();
        metric.top1(&scores, self.epochs.values().next_back()?.n)
    }

    /// Training images per second: of late where an epoch is under way, else over all epochs.
    pub fn images_per_second(&self) -> Option<f64> {
        let late = self.progress.map(|p| p.images_per_second).filter(|v| *v > 0.0);
        late.or_else(|| {
            let seconds: f64 = self.epochs.values().map(|e| e.train_seconds).sum();
            let images: u64 = self.epochs.values().map(|e| e.images).sum();
            (seconds > 0.0).then(|| images as f64 / seconds)
        })
    }

    /// Seconds that the rest of `epochs` will take, from what an epoch took so far; none before the first epoch is done.
    pub fn seconds_left(&self, epochs: u32) -> Option<f64> {
        let done = self.epochs_done();
        let total: f64 = self.epochs.values().map(|e| e.train_seconds + e.eval_seconds).sum();
        let each = (done > 0).then(|| total / self.epochs.len() as f64)?;
        let within = self.progress.filter(|p| p.position.epoch >= done && p.steps > 0);
        let begun = within.map_or(0.0, |p| p.position.step as f64 / p.steps as f64);
        Some((f64::from(epochs.saturating_sub(done)) - begun).max(0.0) * each)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mixbench_crds::event::EVENT_VERSION;

    fn event(attempt: u32, time: u64, body: Body) -> Event {
        Event { version: EVENT_VERSION, run: "r".into(), attempt, nonce: String::new(), time, body }
    }

    fn epoch(epoch: u32, correct1: u64) -> Body {
        Body::Epoch(Epoch {
            score: Score { epoch, correct1, correct5: 100 },
            n: 100,
            train_loss: 1.0,
            lr: 0.1,
            images: 200,
            train_seconds: 2.0,
            eval_seconds: 0.5,
        })
    }

    fn started(resumed: Option<Position>) -> Body {
        Body::Started(Started {
            world_size: 1,
            device: "cpu".into(),
            libtorch: "2.11.0".into(),
            data_fingerprint: "f".into(),
            classes: 10,
            train_images: 200,
            val_images: 100,
            parameters: 1,
            steps: 4,
            resumed,
        })
    }

    #[test]
    fn a_repeated_epoch_replaces_the_one_before() {
        let mut ledger = Ledger::default();
        ledger.push(&event(1, 10, epoch(1, 40)));
        ledger.push(&event(1, 20, epoch(2, 50)));
        ledger.push(&event(2, 30, epoch(2, 60)));
        assert_eq!(ledger.epochs_done(), 2);
        assert_eq!(ledger.top1(Metric::Last), Some(60.0));
        assert_eq!(ledger.attempts[&1].span, Some((10, 20)));
        assert_eq!(ledger.last_attempt(), 2);
    }

    #[test]
    fn an_attempt_that_starts_further_back_forgets_what_lies_ahead() {
        let mut ledger = Ledger::default();
        for n in 1..=3 {
            ledger.push(&event(1, 1, epoch(n, 50)));
        }
        ledger.push(&event(2, 2, started(Some(Position { epoch: 1, step: 0 }))));
        assert_eq!(ledger.epochs_done(), 1);
        ledger.push(&event(3, 3, started(None)));
        assert_eq!(ledger.epochs_done(), 0);
    }

    #[test]
    fn time_left_counts_the_begun_epoch() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.seconds_left(4), None);
        ledger.push(&event(1, 1, epoch(1, 50)));
        assert_eq!(ledger.seconds_left(4), Some(7.5));
        ledger.push(&event(1, 2, Body::Progress { epoch: 1, step: 2, steps: 4, images_per_second: 80.0 }));
        assert_eq!(ledger.seconds_left(4), Some(6.25));
        assert_eq!(ledger.images_per_second(), Some(80.0));
    }

    #[test]
    fn lines_that_are_no_events_are_counted() {
        let mut ledger = Ledger::default();
        for line in ["{}", "", "{\"version\":1,\"run\":\"r\",\"attempt\":1,\"time\":1,\"type\":\"new-kind\"}", "x"] {
            ledger.push_line(line);
        }
        assert_eq!(ledger.unreadable, 2);
        assert_eq!(ledger.last_attempt(), 1);
    }
}
