//! Sessions that began in the log and did not end in it: what a start has to finish.
//!
//! A proxy ends them all before it says `server.started`. So the log has to be read from the last of these on and no further, and no
//! session pays for a list of its own.

use std::collections::BTreeMap;

use access::event::What;
use wire::proof::log::LoggedEvent;

use super::read::first_of_file_with;
use super::search::find;
use super::{Log, ReadError};

const BOOT: &[u8] = b"\"type\":\"server.started\"";
const SESSION: &[u8] = b"\"type\":\"session.";
const CLOSED: &[u8] = b"\"type\":\"recording.closed\"";

/// A session that the log knows to have begun, and not to be over.
#[derive(Debug)]
pub struct Unended {
    /// Its `session.start`.
    pub start: LoggedEvent,
    /// It has a `session.end`; what is missing is that its recording was closed.
    pub closing: bool,
}

impl Log {
    /// Every session without a `session.end`, or whose recording was not closed, oldest first. Reads the log twice from the last boot on.
    pub fn unended(&self) -> Result<Vec<Unended>, ReadError> {
        let last = *self.last().borrow();
        let mut open = BTreeMap::new();
        let mut reader = self.reader(self.file_of_last_boot(last)?)?;
        while let Some(entry) = reader.next()? {
            if find(&entry.line, BOOT) {
                open.clear();
            }
            if !find(&entry.line, SESSION) && !find(&entry.line, CLOSED) {
                continue;
            }
            let logged = entry.event()?;
            let Some(session) = logged.event.session.as_ref().map(|session| session.id) else { continue };
            match logged.event.what {
                What::SessionStart { .. } => drop(open.insert(session, Unended { start: logged, closing: false })),
                What::SessionEnd { closing: Some(_), .. } => {
                    if let Some(begun) = open.get_mut(&session) {
                        begun.closing = true;
                    }
                }
                What::SessionEnd { .. } | What::RecordingClosed { .. } => drop(open.remove(&session)),
                _ => {}
            }
        }
        let mut open: Vec<Unended> = open.into_values().collect();
        open.sort_unstable_by_key(|begun| begun.start.seq);
        Ok(open)
    }

    /// The first event of the file that has the last `server.started`; of the whole log where there is none.
    fn file_of_last_boot(&self, last: u64) -> Result<u64, ReadError> {
        let mut upto = last;
        while upto > 0 {
            let first = first_of_file_with(&self.0.paths, &self.0.seen, upto)?;
            let mut reader = self.reader(first)?;
            while let Some(entry) = reader.next()?.filter(|entry| entry.seq <= upto) {
                if find(&entry.line, BOOT) {
                    return Ok(first);
                }
            }
            upto = first - 1;
        }
        Ok(1)
    }
}
