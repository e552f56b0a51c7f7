//! Looking for events: one pass over the log, one event in memory.

use access::time::Timestamp;
use access::words::SessionId;
use wire::proof::log::LoggedEvent;

use super::{Entry, LogReader, ReadError};

/// What an event must be to be found; what is not said fits everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// One of these types, or below one of them: `session` finds `session.start`.
    pub types: Vec<String>,
    /// The handle of whoever did it.
    pub user: Option<String>,
    /// The name of the target.
    pub node: Option<String>,
    /// The session.
    pub session: Option<SessionId>,
    /// Happened at or after.
    pub since: Option<Timestamp>,
    /// Happened before.
    pub until: Option<Timestamp>,
    /// Somewhere in the line, whatever the case of ASCII letters.
    pub text: Option<String>,
}

impl Filter {
    /// Whether this line fits.
    pub fn fits(&self, entry: &Entry) -> Result<bool, ReadError> {
        if self.text.as_ref().is_some_and(|text| !contains(&entry.line, text)) {
            return Ok(false);
        }
        let only_text = Self { text: self.text.clone(), ..Self::default() };
        if *self == only_text {
            return Ok(true);
        }
        Ok(self.fits_event(&entry.event()?, &entry.line))
    }

    fn fits_event(&self, logged: &LoggedEvent, line: &[u8]) -> bool {
        let event = &logged.event;
        let type_fits = |wanted: &String| {
            // The type's name stands in the line only once with this spelling: quotes inside texts are escaped.
            let exact = format!("\"type\":\"{wanted}\"");
            let below = format!("\"type\":\"{}.", wanted.trim_end_matches(['.', '*']));
            find(line, exact.as_bytes()) || find(line, below.as_bytes())
        };
        (self.types.is_empty() || self.types.iter().any(type_fits))
            && self.user.as_ref().is_none_or(|user| event.actor.name == *user)
            && self.node.as_ref().is_none_or(|node| event.target.as_ref().is_some_and(|target| target.name == *node))
            && self.session.is_none_or(|id| event.session.as_ref().is_some_and(|session| session.id == id))
            && self.since.is_none_or(|since| event.time >= since)
            && self.until.is_none_or(|until| event.time < until)
    }
}

pub(super) fn find(line: &[u8], wanted: &[u8]) -> bool {
    line.windows(wanted.len()).any(|part| part == wanted)
}

/// The text as it stands in JSON, so that a quote in it is found too.
fn contains(line: &[u8], text: &str) -> bool {
    let quoted = serde_json::Value::from(text).to_string();
    let wanted = quoted.trim_start_matches('"').as_bytes();
    let wanted = wanted.strip_suffix(b"\"").unwrap_or(wanted);
    wanted.is_empty() || line.windows(wanted.len()).any(|part| part.eq_ignore_ascii_case(wanted))
}

/// Events that fit, oldest first; ends at the end of the log or after `limit` of them.
#[derive(Debug)]
pub struct Search {
    reader: LogReader,
    filter: Filter,
    left: usize,
}

impl Search {
    pub(super) fn new(reader: LogReader, filter: Filter, limit: usize) -> Self {
        Self { reader, filter, left: limit }
    }

    /// Where the next page begins.
    pub fn position(&self) -> u64 {
        self.reader.position()
    }
}

impl Iterator for Search {
    type Item = Result<Entry, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        loop {
            let entry = match self.reader.next() {
                Ok(Some(entry)) => entry,
                Ok(None) => return None,
                Err(error) => {
                    self.left = 0;
                    return Some(Err(error));
                }
            };
            match self.filter.fits(&entry) {
                Ok(false) => {}
                Ok(true) => {
                    self.left -= 1;
                    return Some(Ok(entry));
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
