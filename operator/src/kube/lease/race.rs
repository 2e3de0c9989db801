//! What to do about a Lease that reads so. Pure: the time is an input.

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use tokio::time::{Duration, Instant};

/// How fast a Lease is renewed and lost; `duration` > `renew_deadline` > `retry`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timings {
    /// Others wait for so long after the last change that they saw. It is written in whole seconds, rounded up.
    pub duration: Duration,
    /// The holder stops taking turns when it could not renew for so long.
    pub renew_deadline: Duration,
    /// Between two attempts, at most.
    pub retry: Duration,
}

/// Those of Kubernetes' own controllers.
impl Default for Timings {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

impl Timings {
    pub(super) fn are_ordered(&self) -> bool {
        self.duration > self.renew_deadline && self.renew_deadline > self.retry && !self.retry.is_zero()
    }
}

/// Longest duration of another's Lease that is waited for.
const LONGEST: Duration = Duration::from_mins(10);

/// What to write.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// There is none.
    Create(Lease),
    /// Ours to renew, or free to take; it carries the resourceVersion that was read.
    Replace(Lease),
    /// Another holds it.
    Wait,
}

/// What this replica knows of the Lease.
#[derive(Debug)]
pub(super) struct Race {
    identity: String,
    timings: Timings,
    /// The Lease as the server returned it from our last write, while nothing has gone wrong since.
    held: Option<Lease>,
    /// When our last successful write was begun.
    renewed: Option<Instant>,
    /// Another's Lease as it was last seen to change, and when that was.
    seen: Option<(LeaseSpec, Instant)>,
}

impl Race {
    pub(super) fn new(identity: String, timings: Timings) -> Self {
        Self { identity, timings, held: None, renewed: None, seen: None }
    }

    /// The Lease to renew without reading it first.
    pub(super) fn held(&mut self) -> Option<Lease> {
        self.held.take()
    }

    /// The next attempt reads first.
    pub(super) fn forget(&mut self) {
        self.held = None;
    }

    /// What to do about `lease`. `now` is when the attempt began, `time` the wall clock for people to read.
    pub(super) fn step(&mut self, lease: Option<Lease>, now: Instant, time: Timestamp) -> Step {
        let Some(mut lease) = lease else {
            self.seen = None;
            return Step::Create(Lease { spec: Some(self.claim(LeaseSpec::default(), time)), ..Lease::default() });
        };
        let spec = lease.spec.take().unwrap_or_default();
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        if holder == self.identity || holder.is_empty() || self.has_expired(&spec, now) {
            lease.spec = Some(self.claim(spec, time));
            return Step::Replace(lease);
        }
        // Another holds it, whatever we thought.
        self.renewed = None;
        Step::Wait
    }

    /// Whether `spec` has not changed for as long as it promises to last.
    fn has_expired(&mut self, spec: &LeaseSpec, now: Instant) -> bool {
        match &self.seen {
            Some((seen, since)) if seen == spec => now.duration_since(*since) >= self.lasts(spec),
            _ => {
                self.seen = Some((spec.clone(), now));
                false
            }
        }
    }

    fn lasts(&self, spec: &LeaseSpec) -> Duration {
        let seconds = spec.lease_duration_seconds.and_then(|s| u64::try_from(s).ok()).filter(|s| *s > 0);
        seconds.map_or(self.timings.duration, Duration::from_secs).min(LONGEST)
    }

    fn claim(&self, spec: LeaseSpec, time: Timestamp) -> LeaseSpec {
        let ours = spec.holder_identity.as_deref() == Some(self.identity.as_str());
        let seconds = self.timings.duration.as_millis().div_ceil(1000);
        LeaseSpec {
            acquire_time: if ours { spec.acquire_time } else { Some(MicroTime(time)) },
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(i32::try_from(seconds).unwrap_or(i32::MAX)),
            lease_transitions: Some(spec.lease_transitions.unwrap_or(0).saturating_add(i32::from(!ours))),
            renew_time: Some(MicroTime(time)),
            ..spec
        }
    }

    /// A write that was begun at `begun` has succeeded.
    pub(super) fn won(&mut self, written: Lease, begun: Instant) {
        self.held = Some(written);
        self.renewed = Some(begun);
        self.seen = None;
    }

    /// Whether this replica may take turns. The deadline counts from when the last renewal was *sent*: others count from when they saw it.
    pub(super) fn leads(&self, now: Instant) -> bool {
        self.renewed.is_some_and(|at| now.duration_since(at) < self.timings.renew_deadline)
    }

    /// How long an attempt may take: half of the renew deadline, so that a second one fits, and never past it.
    pub(super) fn limit(&self, now: Instant) -> Duration {
        let half = self.timings.renew_deadline / 2;
        self.until_deadline(now).map_or(half, |left| half.min(left))
    }

    /// How long to pause after an attempt: less than `retry`, no longer than the Lease of another lasts or ours holds. `dice` is from
    /// [0, 1) and keeps replicas from asking in step.
    pub(super) fn pause(&self, now: Instant, dice: f64) -> Duration {
        let retry = self.timings.retry.mul_f64(1.0 - 0.2 * dice);
        let expiry = self.seen.as_ref().map(|(spec, since)| (*since + self.lasts(spec)).duration_since(now));
        let left = [expiry, self.until_deadline(now)].into_iter().flatten().filter(|left| !left.is_zero()).min();
        left.map_or(retry, |left| retry.min(left))
    }

    /// What is left until this replica no longer leads; none where it does not.
    fn until_deadline(&self, now: Instant) -> Option<Duration> {
        let at = self.renewed? + self.timings.renew_deadline;
        at.checked_duration_since(now).filter(|left| !left.is_zero())
    }

    /// The Lease without its holder, where that is this replica.
    pub(super) fn released(&self, mut lease: Lease, time: Timestamp) -> Option<Lease> {
        let spec = lease.spec.as_mut().filter(|s| s.holder_identity.as_deref() == Some(self.identity.as_str()))?;
        spec.holder_identity = None;
        spec.renew_time = Some(MicroTime(time));
        Some(lease)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn lease(holder: &str, renewed: &str) -> Lease {
        let spec = LeaseSpec {
            holder_identity: Some(holder.into()).filter(|h: &String| !h.is_empty()),
            lease_duration_seconds: Some(15),
            lease_transitions: Some(3),
            renew_time: Some(MicroTime(renewed.parse().unwrap())),
            ..LeaseSpec::default()
        };
        let metadata = kube::api::ObjectMeta { resource_version: Some("7".into()), ..Default::default() };
        Lease { metadata, spec: Some(spec) }
    }

    const TIME: &str = "2026-11-25T12:00:00Z";

    fn race() -> Race {
        Race::new("me".into(), Timings::default())
    }

    fn step(race: &mut Race, lease: Lease, now: Instant) -> Step {
        race.step(Some(lease), now, TIME.parse().unwrap())
    }

    #[test]
    fn a_free_lease_is_taken_with_the_version_that_was_read() {
        let Step::Replace(taken) = step(&mut race(), lease("", TIME), Instant::now()) else { panic!("it is free") };
        assert_eq!(taken.metadata.resource_version.as_deref(), Some("7"));
        let spec = taken.spec.unwrap();
        assert_eq!((spec.holder_identity.as_deref(), spec.lease_transitions), (Some("me"), Some(4)));
        assert_eq!(spec.lease_duration_seconds, Some(15));
    }

    #[test]
    fn an_own_lease_is_renewed_and_no_transition_counted() {
        let Step::Replace(renewed) = step(&mut race(), lease("me", TIME), Instant::now()) else { panic!("ours") };
        assert_eq!(renewed.spec.unwrap().lease_transitions, Some(3));
    }

    #[test]
    fn the_others_clock_says_nothing() {
        for renewed in ["1999-01-01T00:00:00Z", "2099-01-01T00:00:00Z"] {
            let (mut race, now) = (race(), Instant::now());
            assert_eq!(step(&mut race, lease("other", renewed), now), Step::Wait, "not yet: {renewed}");
            let almost = now + Duration::from_millis(14_999);
            assert_eq!(step(&mut race, lease("other", renewed), almost), Step::Wait, "not yet: {renewed}");
            let expired = now + Duration::from_secs(15);
            assert!(matches!(step(&mut race, lease("other", renewed), expired), Step::Replace(_)), "{renewed}");
        }
    }

    #[test]
    fn every_renewal_that_is_seen_counts_anew() {
        let (mut race, now) = (race(), Instant::now());
        for n in 0..20 {
            let renewed = format!("2020-01-01T00:00:{n:02}Z");
            assert_eq!(step(&mut race, lease("other", &renewed), now + n * Duration::from_secs(14)), Step::Wait);
        }
    }

    #[test]
    fn a_holder_stops_before_another_may_begin() {
        let (mut mine, now) = (race(), Instant::now());
        mine.won(lease("me", TIME), now);
        let deadline = Timings::default().renew_deadline;
        assert!(mine.leads(now + deadline - Duration::from_millis(1)) && !mine.leads(now + deadline));
        assert!(deadline < Timings::default().duration);
        let late = now + deadline - Duration::from_millis(300);
        assert_eq!(mine.limit(late), Duration::from_millis(300), "no attempt outlives the deadline");
        assert_eq!(mine.pause(late, 0.0), Duration::from_millis(300), "and no pause");
    }

    #[test]
    fn another_holder_ends_our_lead_at_once() {
        let (mut mine, now) = (race(), Instant::now());
        mine.won(lease("me", TIME), now);
        assert_eq!(step(&mut mine, lease("other", TIME), now), Step::Wait);
        assert!(!mine.leads(now));
    }

    #[test]
    fn a_standby_wakes_when_the_lease_expires() {
        let (mut race, now) = (race(), Instant::now());
        step(&mut race, lease("other", TIME), now);
        assert!(race.pause(now, 0.5) < Timings::default().retry);
        assert_eq!(race.pause(now + Duration::from_millis(14_900), 0.0), Duration::from_millis(100));
    }

    #[test]
    fn only_an_own_lease_is_released() {
        let time: Timestamp = TIME.parse().unwrap();
        assert_eq!(race().released(lease("other", TIME), time), None);
        assert_eq!(race().released(lease("me", TIME), time).unwrap().spec.unwrap().holder_identity, None);
    }

    #[test]
    fn nonsense_in_a_lease_does_not_block_for_ever() {
        for seconds in [Some(i32::MAX), Some(0), Some(-5), None] {
            let (mut race, now) = (race(), Instant::now());
            let mut odd = lease("other", TIME);
            odd.spec.as_mut().unwrap().lease_duration_seconds = seconds;
            assert_eq!(step(&mut race, odd.clone(), now), Step::Wait);
            assert!(matches!(step(&mut race, odd, now + LONGEST), Step::Replace(_)), "{seconds:?}");
        }
    }
}
