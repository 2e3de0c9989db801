//! Whether the operator's own loop is alive. A turn that has begun and neither ends nor gets on is stuck, and only a restart helps; an API
//! server that is away is no reason for one, since every call to it ends by its time-out and the turn gets on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a turn may go without getting on. Calls end within a minute, repeats included (see [`super::client`]).
pub const STUCK: Duration = Duration::from_mins(5);

/// The loop's signs of life; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Pulse(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// When each open turn last got on.
    turns: BTreeMap<u64, Instant>,
    next: u64,
    ready: bool,
}

/// An open turn; it ends when this is dropped, also by a panic or when the turn is cancelled.
#[derive(Debug)]
pub struct Turn {
    pulse: Pulse,
    number: u64,
}

/// A turn has not got on for too long.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a turn has not got on for {} s, {} s are allowed", .0.as_secs(), STUCK.as_secs())]
pub struct Stuck(pub Duration);

impl Pulse {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A turn begins.
    pub fn begin(&self) -> Turn {
        self.begin_at(Instant::now())
    }

    pub(super) fn begin_at(&self, now: Instant) -> Turn {
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        state.turns.insert(number, now);
        Turn { pulse: self.clone(), number }
    }

    /// Whether every open turn gets on.
    ///
    /// # Errors
    /// [`Stuck`] for longer than [`STUCK`].
    pub fn healthy(&self, now: Instant) -> Result<(), Stuck> {
        let oldest = self.state().turns.values().min().copied();
        let silent = oldest.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        if silent > STUCK { Err(Stuck(silent)) } else { Ok(()) }
    }

    /// Says whether this replica does what it is there for: it looks after benchmarks with its caches filled, or it stands by for the
    /// Lease. A standby is ready, so that a Deployment of two replicas is available and a roll-out can go on.
    pub fn ready(&self, ready: bool) {
        self.state().ready = ready;
    }

    /// What was last said by [`Self::ready`]; false at first.
    pub fn is_ready(&self) -> bool {
        self.state().ready
    }
}

impl Turn {
    /// The turn got on, by a call that ended, well or not.
    pub fn beat(&self) {
        self.pulse.state().turns.insert(self.number, Instant::now());
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.pulse.state().turns.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_that_neither_ends_nor_gets_on_is_stuck() {
        let pulse = Pulse::default();
        let turn = pulse.begin();
        let later = Instant::now() + STUCK + Duration::from_secs(1);
        assert!(matches!(pulse.healthy(later), Err(Stuck(silent)) if silent > STUCK));
        assert_eq!(pulse.healthy(Instant::now()), Ok(()));
        drop(turn);
        assert_eq!(pulse.healthy(later), Ok(()), "an idle loop is no stuck one, however long it idles");
    }

    #[test]
    fn a_beat_counts_anew() {
        let pulse = Pulse::default();
        let turn = pulse.begin();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(20) {
            std::thread::yield_now();
        }
        turn.beat();
        assert_eq!(pulse.healthy(begun + STUCK + Duration::from_millis(15)), Ok(()));
    }

    #[test]
    fn one_stuck_turn_among_many_is_found() {
        let pulse = Pulse::default();
        let _stuck = pulse.begin();
        let later = Instant::now() + STUCK + Duration::from_secs(1);
        for _ in 0..3 {
            drop(pulse.begin());
        }
        assert!(pulse.healthy(later).is_err());
    }

    #[test]
    fn a_turn_that_panics_has_ended() {
        let pulse = Pulse::default();
        let inside = pulse.clone();
        let panicked = std::thread::spawn(move || {
            let _turn = inside.begin();
            std::panic::resume_unwind(Box::new("a defect"));
        });
        assert!(panicked.join().is_err());
        assert_eq!(pulse.healthy(Instant::now() + 2 * STUCK), Ok(()));
    }
}
