//! How long to wait before trying again: exponential with full jitter, and what the receiver asks for.

use std::time::{Duration, SystemTime};

/// Longest wait that a receiver may ask for.
const ASKED_MOST: Duration = Duration::from_secs(5 * 60);

/// The times of a receiver.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Most of the first wait; doubles with every try.
    pub(super) first: Duration,
    /// Most of any wait that was not asked for.
    pub(super) most: Duration,
    /// A try ends after this.
    pub(super) timeout: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { first: Duration::from_millis(500), most: Duration::from_secs(60), timeout: Duration::from_secs(10) }
    }
}

impl Pace {
    /// The wait after `tries` failed ones, from 1. `part` is random, from 0 to 1.
    pub(super) fn wait(&self, tries: u32, asked: Option<Duration>, part: f64) -> Duration {
        let doubled = self.first.saturating_mul(2_u32.saturating_pow(tries.saturating_sub(1)));
        let own = doubled.min(self.most).mul_f64(part.clamp(0.0, 1.0));
        asked.map_or(own, |asked| asked.min(ASKED_MOST).max(own))
    }

    /// The wait when more tries help nothing until somebody changes something: the longest, a little spread.
    pub(super) fn long(&self, part: f64) -> Duration {
        self.most.mul_f64(0.5 + part.clamp(0.0, 1.0) / 2.0)
    }
}

/// From 0 to 1. Without randomness there is no jitter, which is no fault.
pub(super) fn part() -> f64 {
    let mut bytes = [0; 4];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 1.0,
    }
}

/// `Retry-After` (RFC 9110, 10.2.3): seconds or a date.
pub(super) fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    Some(httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_cap_and_asked_waits_are_bounded() {
        let pace = Pace::default();
        let longest: Vec<u128> = (1..=9).map(|tries| pace.wait(tries, None, 1.0).as_millis()).collect();
        assert_eq!(longest, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
        assert_eq!(pace.wait(u32::MAX, None, 1.0), Duration::from_secs(60));
        assert_eq!(pace.wait(3, None, 0.0), Duration::ZERO);
        assert_eq!(pace.wait(1, Some(Duration::from_secs(7)), 1.0), Duration::from_secs(7));
        assert_eq!(pace.wait(1, Some(Duration::MAX), 1.0), ASKED_MOST);
        assert_eq!((pace.long(0.0), pace.long(1.0)), (Duration::from_secs(30), Duration::from_secs(60)));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        assert_eq!(retry_after(" 7 ", now), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(&httpdate::fmt_http_date(now + Duration::from_secs(90)), now), Some(Duration::from_secs(90)));
        assert_eq!(retry_after(&httpdate::fmt_http_date(SystemTime::UNIX_EPOCH), now), Some(Duration::ZERO));
        assert_eq!(retry_after("-1", now), None);
        assert_eq!(retry_after("soon", now), None);
    }
}
