//! Lengths of time and amounts of bytes as people write them: `8h`, `30m`, `1GiB`. No clock and no arithmetic.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::words::{BadName, as_text, cut};

/// A length of time in whole seconds, written as a number with one unit: `90s`, `30m`, `8h`, `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^[0-9]+[smhd]$"))]
pub struct Period(u64);

/// Units of [`Period`] in seconds, largest first.
const TIMES: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];

impl Period {
    /// Longest that can be written: a year.
    pub const MAX: Self = Self(366 * 86_400);

    /// From whole seconds; longer than [`Self::MAX`] becomes that.
    pub fn from_secs(secs: u64) -> Self {
        Self(secs.min(Self::MAX.0))
    }
    /// As the standard library's type.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0)
    }
}

impl FromStr for Period {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        read(text, &TIMES).filter(|secs| *secs <= Self::MAX.0).map(Self).ok_or_else(|| BadName {
            kind: "length of time",
            rule: "a whole number and one of s, m, h, d, such as 30m, at most 366d",
            text: cut(text),
        })
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self.0, &TIMES)
    }
}

/// A number of bytes, written as a number with one binary unit: `512KiB`, `64MiB`, `1GiB`, or plain bytes as `100B`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^[0-9]+(B|KiB|MiB|GiB|TiB)$"))]
pub struct Size(u64);

/// Units of [`Size`] in bytes, largest first. `B` is last: every other name ends with it.
const SIZES: [(&str, u64); 5] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl Size {
    /// From bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }
    /// In bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        read(text, &SIZES).map(Self).ok_or_else(|| BadName {
            kind: "size",
            rule: "a whole number and one of B, KiB, MiB, GiB, TiB, such as 1GiB",
            text: cut(text),
        })
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self.0, &SIZES)
    }
}

/// Digits and one unit, nothing between; none for anything else and for what overflows.
fn read(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (digits, worth) = units.iter().find_map(|(unit, worth)| text.strip_suffix(unit).map(|digits| (digits, *worth)))?;
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(worth)
}

/// In the largest unit that divides it, so that what was read prints as one number again.
fn write(f: &mut fmt::Formatter<'_>, amount: u64, units: &[(&str, u64)]) -> fmt::Result {
    let fitting = units.iter().find(|(_, worth)| amount != 0 && amount.is_multiple_of(*worth)).or(units.last());
    fitting.map_or(Ok(()), |(unit, worth)| write!(f, "{}{unit}", amount / worth))
}

as_text!(Period);
as_text!(Size);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_print_as_they_were_read() {
        for (text, secs) in [("8h", 28_800), ("30m", 1_800), ("90s", 90), ("7d", 604_800), ("0s", 0)] {
            assert_eq!(text.parse::<Period>().map(Period::duration), Ok(Duration::from_secs(secs)), "{text}");
            assert_eq!(text.parse::<Period>().map(|p| p.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("60m".parse::<Period>().map(|p| p.to_string()), Ok("1h".to_owned()));
        assert_eq!("1GiB".parse::<Size>().map(Size::bytes), Ok(1 << 30));
        assert_eq!("1536KiB".parse::<Size>().map(|s| s.to_string()), Ok("1536KiB".to_owned()));
    }

    #[test]
    fn other_spellings_are_refused() {
        for bad in ["", "8", "h", "-8h", "+8h", "8 h", "1.5h", "8H", "8h30m", "367d", "99999999999999999999s", "٣h"] {
            assert!(bad.parse::<Period>().is_err(), "{bad}");
        }
        for bad in ["", "1", "1GB", "GiB", "1gib", "18446744073709551615KiB"] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
    }
}
