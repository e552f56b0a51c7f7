//! Reads records one after the other. Never past the place that the caller names, so never a torn one in a live journal.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use wire::journal::{CHAIN, HEAD, MAX_PAYLOAD, Parse, Position, Record, parse};

/// The journal's files by number, open.
pub(crate) type Files = BTreeMap<u64, Arc<File>>;

/// What comes next.
#[derive(Debug)]
pub(crate) enum Step<'a> {
    /// A record and the place before it.
    Record(Record<'a>, Position),
    /// Nothing more before the end that was named.
    End,
    /// The file is not there any more.
    Gone,
    /// No record stands here, though more was promised.
    Bad,
}

/// A place in the journal and what was read ahead from there.
#[derive(Debug)]
pub(crate) struct Cursor {
    at: Position,
    buf: Vec<u8>,
    taken: usize,
}

const BLOCK: usize = 256 * 1024;

impl Cursor {
    pub(crate) fn new(at: Position) -> Self {
        Self { at, buf: Vec::new(), taken: 0 }
    }

    /// The place before the next record.
    pub(crate) fn at(&self) -> Position {
        self.at
    }

    /// Frees what was read ahead.
    pub(crate) fn shrink(&mut self) {
        self.buf = Vec::new();
        self.taken = 0;
    }

    /// The next record that ends at or before `until`. With `until.offset` `u64::MAX` everything up to the file's end counts.
    pub(crate) fn next(&mut self, files: &Files, until: Position) -> io::Result<Step<'_>> {
        loop {
            if self.at >= until {
                return Ok(Step::End);
            }
            let Some(file) = files.get(&self.at.file) else { return Ok(Step::Gone) };
            let size = match parse(self.buf.get(self.taken..).unwrap_or_default()) {
                Parse::Record(record) => record.size(),
                Parse::Bad => return Ok(Step::Bad),
                Parse::More(wanted) => {
                    if self.fill(file, wanted, until)? {
                        continue;
                    }
                    // The rest of a full file may be shorter than a head.
                    let rest = self.buf.get(self.taken..).unwrap_or_default();
                    if rest.iter().any(|byte| *byte != 0) {
                        return Ok(Step::Bad);
                    }
                    if self.at.file < until.file {
                        self.go_to(self.at.file + 1);
                        continue;
                    }
                    return Ok(Step::End);
                }
                Parse::End if self.at.file < until.file => {
                    self.go_to(self.at.file + 1);
                    continue;
                }
                Parse::End => return Ok(Step::End),
            };
            let before = self.at;
            let start = self.taken;
            self.taken += size;
            self.at.offset += size as u64;
            // Parsed a second time, since the borrow checker cannot see that nothing changed; the payload is not copied.
            return Ok(match parse(self.buf.get(start..).unwrap_or_default()) {
                Parse::Record(record) => Step::Record(record, before),
                _ => Step::Bad,
            });
        }
    }

    fn go_to(&mut self, file: u64) {
        self.at = Position { file, offset: 0 };
        self.buf.clear();
        self.taken = 0;
    }

    /// Reads on until `wanted` bytes lie ahead. `false` when the file, or the end that was named, comes first.
    fn fill(&mut self, file: &File, wanted: usize, until: Position) -> io::Result<bool> {
        debug_assert!(wanted <= HEAD + MAX_PAYLOAD + CHAIN, "the parser's bound");
        self.buf.drain(..self.taken);
        self.taken = 0;
        let from = self.at.offset + self.buf.len() as u64;
        let end = if self.at.file == until.file { until.offset } else { u64::MAX };
        let most = usize::try_from(end.saturating_sub(from)).unwrap_or(usize::MAX);
        let room = BLOCK.max(wanted.saturating_sub(self.buf.len())).min(most);
        let have = self.buf.len();
        self.buf.resize(have + room, 0);
        let mut got = have;
        while let Some(space) = self.buf.get_mut(got..).filter(|space| !space.is_empty()) {
            match file.read_at(space, self.at.offset + got as u64) {
                Ok(0) => break,
                Ok(n) => got += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.buf.truncate(got);
        Ok(got > have && got >= wanted)
    }
}
