//! What the operator remembers of benchmarks between two turns. Nothing here is needed to be right: a restart forgets it all, and the
//! next turns find out again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mixbench_crds::benchmark::RunProgress;

use super::trouble::Trouble;

/// Between two looks at the progress of a benchmark's runs.
pub const PROGRESS_EVERY: Duration = Duration::from_mins(1);
/// How long a Service that was created or found is believed in.
const SERVED: Duration = Duration::from_mins(10);
/// First and longest wait after a turn that failed.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// By UID of the benchmark.
#[derive(Debug, Default)]
pub struct Memory(Mutex<HashMap<String, Remembered>>);

#[derive(Debug, Default)]
struct Remembered {
    failures: u32,
    troubles: Vec<Trouble>,
    uncreated: BTreeSet<String>,
    served: Option<Instant>,
    asked: Option<Instant>,
    progress: BTreeMap<String, RunProgress>,
}

impl Memory {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Remembered>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T: Default>(&self, uid: &str, read: impl FnOnce(&Remembered) -> T) -> T {
        self.all().get(uid).map(read).unwrap_or_default()
    }

    fn write<T>(&self, uid: &str, write: impl FnOnce(&mut Remembered) -> T) -> T {
        write(self.all().entry(uid.to_owned()).or_default())
    }

    /// A turn failed: how long to wait before the next, longer each time in a row, never the same for two benchmarks.
    pub fn failed(&self, uid: &str) -> Duration {
        let before = self.write(uid, |r| {
            let before = r.failures;
            r.failures = before.saturating_add(1);
            before
        });
        let wait = BACKOFF.0.saturating_mul(1 << before.min(16)).min(BACKOFF.1);
        wait.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// A turn succeeded.
    pub fn succeeded(&self, uid: &str) {
        self.write(uid, |r| r.failures = 0);
    }

    /// What the last turn could not do.
    pub fn troubles(&self, uid: &str) -> Vec<Trouble> {
        self.read(uid, |r| r.troubles.clone())
    }

    /// Remembers what this turn could not do, in place of what the last one could not; whether that is news.
    pub fn troubled(&self, uid: &str, troubles: Vec<Trouble>) -> bool {
        self.write(uid, |r| {
            let news = r.troubles != troubles;
            r.troubles = troubles;
            news
        })
    }

    /// A Job could not be created, as far as is known.
    pub fn uncreated(&self, uid: &str, job: String) {
        self.write(uid, |r| r.uncreated.insert(job));
    }

    /// Jobs that could not be created, as far as is known, and that are not among those that are `seen`.
    pub fn never<'a>(&self, uid: &str, seen: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
        let mut all = self.all();
        let Some(remembered) = all.get_mut(uid).filter(|r| !r.uncreated.is_empty()) else { return BTreeSet::new() };
        for job in seen {
            remembered.uncreated.remove(job);
        }
        remembered.uncreated.clone()
    }

    /// A Job of a run was created or found: what was heard of the attempt before is old.
    pub fn created(&self, uid: &str, run: &str, job: &str) {
        self.write(uid, |r| {
            r.uncreated.remove(job);
            r.progress.remove(run);
        });
    }

    /// Whether the benchmark's Service was created or found not long ago.
    pub fn served(&self, uid: &str, now: Instant) -> bool {
        self.read(uid, |r| r.served.is_some_and(|at| now.saturating_duration_since(at) < SERVED))
    }

    /// Its Service was created or found.
    pub fn serves(&self, uid: &str, now: Instant) {
        self.write(uid, |r| r.served = Some(now));
    }

    /// How far runs are, as far as they were asked.
    pub fn progress(&self, uid: &str) -> BTreeMap<String, RunProgress> {
        self.read(uid, |r| r.progress.clone())
    }

    /// Whether runs shall be asked how far they are; if so, not again for [`PROGRESS_EVERY`].
    pub fn asks(&self, uid: &str, now: Instant) -> bool {
        self.write(uid, |r| {
            let due = r.asked.is_none_or(|asked| now.saturating_duration_since(asked) >= PROGRESS_EVERY);
            if due {
                r.asked = Some(now);
            }
            due
        })
    }

    /// What live runs answered. Those that did not answer are as far as they were; those that are not asked any more are forgotten.
    pub fn heard(&self, uid: &str, asked: &BTreeSet<String>, answers: BTreeMap<String, RunProgress>) {
        self.write(uid, |r| {
            r.progress.retain(|run, _| asked.contains(run));
            r.progress.extend(answers);
        });
    }

    /// Forgets a benchmark.
    pub fn forget(&self, uid: &str) {
        self.all().remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_minute_with_jitter_and_a_success_ends_them() {
        let memory = Memory::default();
        let waits: Vec<f64> = (0..40).map(|_| memory.failed("a").as_secs_f64()).collect();
        assert!((0.5..=1.0).contains(&waits[0]) && (2.0..=4.0).contains(&waits[2]), "{waits:?}");
        assert!(waits[10..].iter().all(|w| (30.0..=60.0).contains(w)), "{waits:?}");
        assert!(waits[10..].windows(2).any(|w| (w[0] - w[1]).abs() > 0.01), "no jitter: {waits:?}");
        memory.succeeded("a");
        assert!(memory.failed("a").as_secs_f64() <= 1.0);
        assert!(memory.failed("b").as_secs_f64() <= 1.0, "benchmarks wait for themselves");
    }

    #[test]
    fn progress_is_asked_for_once_a_minute_and_forgotten_with_its_run() {
        let memory = Memory::default();
        let now = Instant::now();
        assert!(memory.asks("a", now) && !memory.asks("a", now + PROGRESS_EVERY / 2));
        assert!(memory.asks("b", now) && memory.asks("a", now + PROGRESS_EVERY));
        let at = |epoch| RunProgress { epoch, ..RunProgress::default() };
        let runs = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<BTreeSet<_>>();
        memory.heard("a", &runs(&["x", "y"]), BTreeMap::from([("x".into(), at(1)), ("y".into(), at(2))]));
        memory.heard("a", &runs(&["x", "z"]), BTreeMap::from([("z".into(), at(3))]));
        assert_eq!(memory.progress("a"), BTreeMap::from([("x".into(), at(1)), ("z".into(), at(3))]));
        memory.created("a", "x", "x-a2");
        assert_eq!(memory.progress("a"), BTreeMap::from([("z".into(), at(3))]), "it was of the attempt before");
    }

    #[test]
    fn a_job_that_was_seen_or_created_after_all_is_no_longer_one_that_never_was() {
        let memory = Memory::default();
        for job in ["a", "b", "c"] {
            memory.uncreated("uid", job.into());
        }
        memory.created("uid", "run", "a");
        assert_eq!(memory.never("uid", ["b", "z"].into_iter()), BTreeSet::from(["c".to_owned()]));
        assert_eq!(memory.never("uid", [].into_iter()), BTreeSet::from(["c".to_owned()]));
        assert_eq!(memory.never("other", [].into_iter()), BTreeSet::new());
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let memory = Memory::default();
        for uid in ["a", "b"] {
            memory.failed(uid);
        }
        memory.forget("a");
        assert_eq!(memory.all().keys().collect::<Vec<_>>(), ["b"]);
    }
}
