//! Which warnings of a session's end were said: one at five minutes, one at one minute, each once for an end that draws near.

use std::time::Duration;

pub(super) const FIRST: Duration = Duration::from_secs(300);
pub(super) const LAST: Duration = Duration::from_secs(60);

/// What was said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Warned {
    said: u8,
    before: u8,
}

impl Warned {
    /// The words that are due with so much time left; none where they were said. An end that was put off is warned of anew.
    pub(super) fn at(&mut self, left: Duration) -> Option<&'static str> {
        let due = if left > FIRST {
            0
        } else if left > LAST {
            1
        } else {
            2
        };
        self.before = self.said.min(due);
        let new = due > self.said;
        self.said = due;
        match due {
            1 if new => Some("in less than five minutes"),
            2 if new => Some("in less than one minute"),
            _ => None,
        }
    }

    /// What was due was not heard.
    pub(super) fn forget(&mut self) {
        self.said = self.before;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_warning_is_said_once_and_anew_for_an_end_that_was_put_off() {
        let mut warned = Warned::default();
        let mut said = |secs| warned.at(Duration::from_secs(secs)).is_some();
        let all: Vec<bool> = [400, 300, 299, 61, 60, 5, 0, 4000, 299, 60].map(&mut said).to_vec();
        assert_eq!(all, [false, true, false, false, true, false, false, false, true, true]);
        let mut short = Warned::default();
        assert_eq!(short.at(Duration::from_secs(30)), Some("in less than one minute"));
        short.forget();
        assert_eq!(short.at(Duration::from_secs(29)), Some("in less than one minute"));
    }
}
