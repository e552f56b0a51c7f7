//! Times as people write and read them: `1h`, `02:13`, a clock of the laptop's. The one place of this crate that reads the clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use access::time::Timestamp;

use crate::failure::Failure;

/// Now, by the laptop's clock.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// `90s`, `5m`, `1h30m`, `7d`; at most ten years.
pub fn duration(text: &str) -> Result<Duration, Failure> {
    let bad = || Failure::usage(format!("{text:?} is not a length of time")).hint("write it as 90s, 5m, 1h30m or 7d");
    let (mut total, mut digits) = (0u64, String::new());
    for c in text.chars() {
        if c.is_ascii_digit() && digits.len() < 9 {
            digits.push(c);
            continue;
        }
        let unit = match c {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return Err(bad()),
        };
        total += digits.parse::<u64>().map_err(|_| bad())? * unit;
        digits.clear();
    }
    if text.is_empty() || !digits.is_empty() || total > 3650 * 86_400 {
        return Err(bad());
    }
    Ok(Duration::from_secs(total))
}

/// A point in time: RFC 3339, or a length of time before `now`.
pub fn point(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    let length = duration(text).map_err(|_| {
        Failure::usage(format!("{text:?} is not a point in time")).hint("write it as 1h (that long ago) or as 2026-01-31T09:00:00Z")
    })?;
    Ok(now.minus(length))
}

/// A place in a recording: `SS`, `MM:SS`, `HH:MM:SS`, each with a fraction, or `5m`. Microseconds.
pub fn place(text: &str) -> Result<u64, Failure> {
    let bad = || Failure::usage(format!("{text:?} is not a place in a recording")).hint("write it as 90, 1:30, 1:02:03.5 or 5m");
    if text.ends_with(['s', 'm', 'h']) {
        return duration(text).map(|d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX));
    }
    let parts: Vec<&str> = text.split(':').collect();
    let (Some((last, before)), true) = (parts.split_last(), parts.len() <= 3) else { return Err(bad()) };
    let (whole, fraction) = last.split_once('.').unwrap_or((last, "0"));
    let number = |part: &str| if part.len() <= 9 && part.bytes().all(|b| b.is_ascii_digit()) { part.parse::<u64>().ok() } else { None };
    let mut seconds = 0;
    for part in before.iter().chain([&whole]) {
        seconds = seconds * 60 + number(part).ok_or_else(bad)?;
    }
    let micros = number(fraction.get(..fraction.len().min(6)).unwrap_or("0")).ok_or_else(bad)?;
    Ok(seconds * 1_000_000 + micros * 10u64.pow(6 - u32::try_from(fraction.len().min(6)).unwrap_or(6)))
}

/// A length of time in its two largest units: `3d 4h`, `12m 5s`, `0s`.
pub fn length(time: Duration) -> String {
    let seconds = time.as_secs();
    let parts = [(seconds / 86_400, 'd'), (seconds / 3600 % 24, 'h'), (seconds / 60 % 60, 'm'), (seconds % 60, 's')];
    let shown: Vec<String> =
        parts.iter().skip_while(|(n, _)| *n == 0).take(2).filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n}{unit}")).collect();
    if shown.is_empty() { "0s".to_owned() } else { shown.join(" ") }
}

/// For people: the laptop's zone, to the second.
pub fn shown(at: Timestamp) -> String {
    match jiff::Timestamp::from_second(at.as_secs()) {
        Ok(at) => at.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string(),
        Err(_) => at.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time() {
        for (text, seconds) in [("90s", 90), ("1h30m", 5400), ("7d", 604_800), ("0s", 0)] {
            assert_eq!(duration(text).map(|d| d.as_secs()), Ok(seconds));
        }
        for bad in ["", "5", "h", "-1h", "1w", "1h ", "9999999999s", "999999d", "1.5h"] {
            assert!(duration(bad).is_err(), "{bad:?}");
        }
        assert_eq!(length(Duration::from_secs(90_061)), "1d 1h");
        assert_eq!(length(Duration::from_secs(3_605)), "1h");
        assert_eq!(length(Duration::from_millis(10)), "0s");
    }

    #[test]
    fn places_in_a_recording() {
        for (text, micros) in [("90", 90_000_000), ("1:30", 90_000_000), ("1:02:03.5", 3_723_500_000), ("0.000001", 1), ("2m", 120_000_000)]
        {
            assert_eq!(place(text), Ok(micros), "{text}");
        }
        for bad in ["", ":", "1:2:3:4", "-1", "1.x", "a"] {
            assert!(place(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn points_in_time() {
        let now = Timestamp::from_secs(10_000);
        assert_eq!(point("1h", now), Ok(Timestamp::from_secs(6_400)));
        assert_eq!(point("1970-01-01T00:00:05Z", now), Ok(Timestamp::from_secs(5)));
        assert_eq!(point("yesterday", now).map_err(|e| e.exit), Err(2));
    }
}
