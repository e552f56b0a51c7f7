//! When the frame maker rests: a burst of output goes to people first, frames of it are made behind it. No thread, no clock.

use std::time::{Duration, Instant};

/// Bytes of the journal a second above which it is a burst.
const BURST: u64 = 4 << 20;
/// Least time over which a rate says something.
const LOOK: Duration = Duration::from_millis(20);

/// What the journal and its readers say now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    pub(crate) at: Instant,
    /// Bytes ever appended.
    pub(crate) appended: u64,
    /// Bytes that wait, and the most that may.
    pub(crate) backlog: u64,
    pub(crate) most: u64,
    /// Somebody waits for a recording to be closed.
    pub(crate) awaited: bool,
}

/// What was seen last.
#[derive(Debug)]
pub(crate) struct Pace {
    seen: (Instant, u64),
    /// Whether it was a burst when a rate was last known.
    burst: bool,
    /// Since when it rests, if it does.
    resting: Option<Instant>,
    /// Longest rest: a frame may be that much older than its age says.
    longest: Duration,
}

impl Pace {
    pub(crate) fn new(at: Instant, longest: Duration) -> Self {
        Self { seen: (at, 0), burst: false, resting: None, longest }
    }

    /// Whether the maker of frames should leave the processor to the sessions for now. A rest that was long enough is followed by work
    /// until the backlog is gone, which [`Self::caught_up`] says.
    pub(crate) fn rests(&mut self, now: Now) -> bool {
        let passed = now.at.saturating_duration_since(self.seen.0);
        if passed >= LOOK {
            let bytes = u128::from(now.appended.saturating_sub(self.seen.1));
            self.burst = bytes * 1000 > u128::from(BURST) * passed.as_millis();
            self.seen = (now.at, now.appended);
        }
        let began = *self.resting.get_or_insert(now.at);
        self.burst && !now.awaited && now.backlog < now.most / 2 && now.at.saturating_duration_since(began) < self.longest
    }

    /// Nothing is left to do: the next burst may be rested through again.
    pub(crate) fn caught_up(&mut self) {
        self.resting = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    struct Case {
        pace: Pace,
        now: Now,
    }

    fn case() -> Case {
        let at = Instant::now();
        Case { pace: Pace::new(at, Duration::from_secs(5)), now: Now { at, appended: 0, backlog: 0, most: 1024 * MIB, awaited: false } }
    }

    impl Case {
        fn after(&mut self, ms: u64, mib: u64) -> bool {
            self.now.at += Duration::from_millis(ms);
            self.now.appended += mib * MIB;
            self.now.backlog += mib * MIB;
            self.pace.rests(self.now)
        }
    }

    #[test]
    fn it_rests_through_a_burst_and_works_when_that_is_over() {
        let mut case = case();
        assert!(!case.after(250, 0));
        assert!(case.after(250, 50));
        assert!(case.after(1, 0), "a moment says nothing about a rate");
        assert!(case.after(250, 50));
        assert!(!case.after(250, 0));
    }

    #[test]
    fn a_trickle_is_no_burst() {
        assert!(!case().after(1000, 3));
    }

    #[test]
    fn it_works_when_half_of_the_room_is_used_or_somebody_waits() {
        let mut full = case();
        assert!(!full.after(1000, 512));
        let mut awaited = case();
        awaited.now.awaited = true;
        assert!(!awaited.after(250, 50));
    }

    #[test]
    fn a_long_burst_is_worked_on_until_nothing_is_left() {
        let mut case = case();
        assert!((0..19).all(|_| case.after(250, 5)));
        assert!((0..4).map(|_| case.after(250, 5)).any(|rests| !rests));
        assert!(!case.after(250, 5), "no second rest before it caught up");
        case.pace.caught_up();
        assert!(case.after(250, 5));
    }
}
