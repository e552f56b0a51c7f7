//! How long writes and syncs take, counted in fixed steps without a lock: cheap enough for every record of every session.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper ends of the steps, in microseconds: from a write into the page cache to a disk that has stopped.
const STEPS: [u64; 12] = [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 250_000, 1_000_000, 5_000_000];

/// The counts.
#[derive(Debug, Default)]
pub struct Timing {
    steps: [AtomicU64; STEPS.len()],
    /// Longer than the last step.
    longer: AtomicU64,
    micros: AtomicU64,
}

/// The counts at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Timed {
    /// Upper end of each step in seconds, and how many took no longer and longer than the step before; the last end is infinite.
    pub steps: Vec<(f64, u64)>,
    /// All of them together, in seconds.
    pub seconds: f64,
}

impl Timed {
    /// How many there were.
    pub fn count(&self) -> u64 {
        self.steps.iter().map(|(_, count)| count).sum()
    }
}

impl Timing {
    /// Counts one.
    pub(crate) fn took(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let step = STEPS.iter().zip(&self.steps).find(|(end, _)| micros <= **end);
        step.map_or(&self.longer, |(_, count)| count).fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// The counts now.
    pub fn now(&self) -> Timed {
        let seconds = |micros: u64| Duration::from_micros(micros).as_secs_f64();
        let mut steps: Vec<(f64, u64)> =
            STEPS.iter().zip(&self.steps).map(|(end, count)| (seconds(*end), count.load(Ordering::Relaxed))).collect();
        steps.push((f64::INFINITY, self.longer.load(Ordering::Relaxed)));
        Timed { steps, seconds: seconds(self.micros.load(Ordering::Relaxed)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_counted_once_in_the_first_step_that_holds_it() {
        let timing = Timing::default();
        for micros in [1, 50, 51, 5_000_001] {
            timing.took(Duration::from_micros(micros));
        }
        let now = timing.now();
        let counts: Vec<u64> = now.steps.iter().map(|(_, count)| *count).collect();
        assert_eq!((counts[0], counts[1], counts.last(), now.count()), (2, 1, Some(&1), 4));
        assert!((now.seconds - 5.000_103).abs() < 1e-9, "{}", now.seconds);
    }
}
