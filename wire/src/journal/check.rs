//! Checks a journal against the signed HEAD without opening a file: whoever has the files feeds them in, in order.

use std::collections::BTreeMap;

use access::words::SessionId;
use serde::de::DeserializeOwned;

use super::{FileHeader, Framed, Kind, Opened, Parse, Position, Record, Sealed, Snapshot, parse};
use crate::proof::{Hash, JournalHead, Segment};

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum JournalFault {
    #[error("journal file {file} is damaged or changed at byte {offset}, before the place that HEAD covers")]
    Broken { file: u64, offset: u64 },
    #[error("the journal does not pass through the place that HEAD covers: byte {offset} of file {file}")]
    HeadMissing { file: u64, offset: u64 },
    #[error("the chain at byte {offset} of journal file {file} is not the one in HEAD")]
    HeadDiffers { file: u64, offset: u64 },
}

/// How the journal stands to HEAD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadState {
    /// No HEAD was given.
    NotGiven,
    /// It passes through HEAD's place.
    Matches,
    /// A fault says why not.
    Fails,
}

/// A recording that is not closed: what is stored of it, by the journal's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveRecording {
    /// Its files. Of the last one only the first `bytes` are covered: more may follow that the journal has not told yet.
    pub segments: Vec<Segment>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalReport {
    /// How the journal stands to HEAD.
    pub head: HeadState,
    /// What is wrong.
    pub faults: Vec<JournalFault>,
    /// Where the chain ends.
    pub end: Position,
    /// Records whose chain fits and that lie after HEAD.
    pub unsigned_records: u64,
    /// Recordings that are not closed.
    pub live: BTreeMap<SessionId, LiveRecording>,
    /// Manifests of recordings that were closed lately.
    pub sealed: BTreeMap<SessionId, Hash>,
}

/// The checker. For each file: [`Self::file`], then [`Self::feed`] with all its bytes in pieces of any size; then [`Self::finish`].
/// Holds at most one record (about 1 MiB) and one piece.
#[derive(Debug)]
pub struct JournalCheck {
    head: Option<JournalHead>,
    chain: Option<Hash>,
    at: Position,
    /// Bytes of the current file that were given.
    read: u64,
    buf: Vec<u8>,
    /// The current file has no more records.
    done: bool,
    broken: Option<Position>,
    state: HeadState,
    faults: Vec<JournalFault>,
    unsigned: u64,
    live: BTreeMap<SessionId, LiveRecording>,
    sealed: BTreeMap<SessionId, Hash>,
}

impl JournalCheck {
    /// A checker against the journal's place in the signed HEAD.
    pub fn new(head: Option<JournalHead>) -> Self {
        Self {
            head,
            chain: None,
            at: Position::default(),
            read: 0,
            buf: Vec::new(),
            done: true,
            broken: None,
            state: HeadState::NotGiven,
            faults: Vec::new(),
            unsigned: 0,
            live: BTreeMap::new(),
            sealed: BTreeMap::new(),
        }
    }

    /// The next file begins. Numbers grow by one.
    pub fn file(&mut self, number: u64) {
        self.end_of_file();
        if self.chain.is_some() && number != self.at.file + 1 && self.broken.is_none() {
            // The one that is not there.
            self.broken = Some(Position { file: self.at.file + 1, offset: 0 });
        }
        self.read = 0;
        self.at = if self.broken.is_some() { self.at } else { Position { file: number, offset: 0 } };
        self.done = self.broken.is_some();
    }

    /// Bytes of the current file.
    pub fn feed(&mut self, bytes: &[u8]) {
        let before = self.read;
        self.read += bytes.len() as u64;
        if self.done {
            return self.padding(before, bytes);
        }
        let mut buf = std::mem::take(&mut self.buf);
        buf.extend_from_slice(bytes);
        let (mut taken, start) = (0, self.at.offset);
        while !self.done {
            match parse(buf.get(taken..).unwrap_or_default()) {
                Parse::More(_) => break,
                Parse::End => self.done = true,
                Parse::Bad => self.break_here(),
                Parse::Record(record) => {
                    taken += record.size();
                    self.record(&record);
                }
            }
        }
        if self.done {
            self.padding(start + taken as u64, buf.get(taken..).unwrap_or_default());
            return;
        }
        buf.drain(..taken);
        self.buf = buf;
    }

    /// The answer.
    pub fn finish(mut self) -> JournalReport {
        self.end_of_file();
        if let Some(JournalHead { file, offset, .. }) = self.head
            && self.state == HeadState::NotGiven
        {
            self.state = HeadState::Fails;
            let fault = match self.broken {
                Some(at) => JournalFault::Broken { file: at.file, offset: at.offset },
                None => JournalFault::HeadMissing { file, offset },
            };
            self.faults.push(fault);
        }
        JournalReport {
            head: self.state,
            faults: self.faults,
            end: self.at,
            unsigned_records: self.unsigned,
            live: self.live,
            sealed: self.sealed,
        }
    }

    /// A file that HEAD lies beyond holds nothing but zeros after its last record.
    fn padding(&mut self, offset: u64, bytes: &[u8]) {
        let below = self.head.is_some_and(|head| self.at.file < head.file);
        if self.broken.is_none()
            && below
            && let Some(at) = bytes.iter().position(|byte| *byte != 0)
        {
            self.broken = Some(Position { file: self.at.file, offset: offset + at as u64 });
        }
    }

    fn end_of_file(&mut self) {
        let rest = std::mem::take(&mut self.buf);
        // A full file may have less room left than a record's head.
        if !self.done && rest.iter().any(|byte| *byte != 0) {
            self.break_here();
        }
    }

    fn break_here(&mut self) {
        self.broken = Some(self.at);
        self.done = true;
    }

    fn record(&mut self, record: &Record<'_>) {
        let begins = self.at.offset == 0;
        if begins != (record.head.kind == Kind::Header) || u64::from(record.head.file) != self.at.file {
            return self.break_here();
        }
        let before = if begins {
            let Some(header) = json::<FileHeader>(record.payload) else { return self.break_here() };
            if header.file != self.at.file || self.chain.is_some_and(|chain| chain != header.prev) {
                return self.break_here();
            }
            header.prev
        } else {
            self.chain.unwrap_or(Hash::ZERO)
        };
        if !record.follows(&before) {
            return self.break_here();
        }
        self.chain = Some(record.chain);
        self.at.offset += record.size() as u64;
        match self.head {
            Some(head) if self.state == HeadState::NotGiven => self.compare(&head, record.chain),
            Some(_) => self.unsigned += 1,
            None => {}
        }
        self.learn(record);
    }

    fn compare(&mut self, head: &JournalHead, chain: Hash) {
        let place = Position { file: head.file, offset: head.offset };
        if self.at < place {
            return;
        }
        let fault = match (self.at == place, chain == head.chain) {
            (true, true) => {
                self.state = HeadState::Matches;
                return;
            }
            (true, false) => JournalFault::HeadDiffers { file: head.file, offset: head.offset },
            (false, _) => JournalFault::HeadMissing { file: head.file, offset: head.offset },
        };
        self.state = HeadState::Fails;
        self.faults.push(fault);
    }

    fn learn(&mut self, record: &Record<'_>) {
        let session = record.head.session;
        match record.head.kind {
            Kind::Open if json::<Opened>(record.payload).is_some() => {
                self.live.insert(session, LiveRecording { segments: Vec::new() });
            }
            Kind::Snapshot => {
                if let Some(mut snapshot) = json::<Snapshot>(record.payload) {
                    if snapshot.framed.current.bytes > 0 {
                        snapshot.segments.push(snapshot.framed.current);
                    }
                    self.live.insert(session, LiveRecording { segments: snapshot.segments });
                }
            }
            Kind::Framed => {
                if let (Some(framed), Some(live)) = (json::<Framed>(record.payload), self.live.get_mut(&session)) {
                    live.segments.retain(|segment| segment.file != framed.current.file);
                    live.segments.push(framed.current);
                }
            }
            Kind::Sealed => {
                self.live.remove(&session);
                if let Some(sealed) = json::<Sealed>(record.payload) {
                    self.sealed.insert(session, sealed.manifest);
                }
            }
            _ => {}
        }
    }
}

fn json<T: DeserializeOwned>(payload: &[u8]) -> Option<T> {
    serde_json::from_slice(payload).ok()
}
