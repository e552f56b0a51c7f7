//! A cursor over the log's files, closed ones and the one that grows. It sees an event as soon as it is appended, and never half of one.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, Take};
use std::path::{Path, PathBuf};

use tokio::sync::watch;
use wire::proof::log::{LoggedEvent, MAX_LINE};
use wire::proof::{LogSeal, SignatureFault, unseal};

use super::files::{self, Paths};

/// Why the log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The disk failed.
    #[error("the audit log in {path} could not be read")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file or line that must be there is not.
    #[error("the audit log in {path} has no event {seq}; run `naru audit verify`")]
    Missing {
        /// Which file.
        path: PathBuf,
        /// Which event.
        seq: u64,
    },
    /// A seal says nothing.
    #[error("the seal {path} is damaged; run `naru audit verify`")]
    Seal {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: SignatureFault,
    },
    /// A line is no event.
    #[error("event {seq} of the audit log is damaged; run `naru audit verify`")]
    Line {
        /// Which event.
        seq: u64,
        /// Why.
        source: serde_json::Error,
    },
}

/// How far the log is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) seq: u64,
    pub(crate) file: u64,
    pub(crate) bytes: u64,
}

/// One event as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number.
    pub seq: u64,
    /// The line without its line feed: canonical JSON.
    pub line: Vec<u8>,
}

impl Entry {
    /// The line as what it means.
    pub fn event(&self) -> Result<LoggedEvent, ReadError> {
        serde_json::from_slice(&self.line).map_err(|source| ReadError::Line { seq: self.seq, source })
    }
}

/// A cursor. It keeps one open file and one buffer.
#[derive(Debug)]
pub struct LogReader {
    paths: Paths,
    seen: watch::Receiver<Seen>,
    next: u64,
    number: u64,
    file: BufReader<Take<File>>,
    /// Bytes of the file that may be read: those of whole events.
    allowed: u64,
}

fn io_at(path: &Path) -> impl FnOnce(io::Error) -> ReadError {
    let path = path.to_owned();
    |source| ReadError::Io { path, source }
}

fn open(paths: &Paths, number: u64) -> Result<BufReader<Take<File>>, ReadError> {
    let path = paths.lines(number);
    Ok(BufReader::with_capacity(64 * 1024, File::open(&path).map_err(io_at(&path))?.take(0)))
}

impl LogReader {
    pub(super) fn live(paths: Paths, seen: watch::Receiver<Seen>, from: u64) -> Result<Self, ReadError> {
        let last = seen.borrow().file;
        let (number, first) = file_with(&paths, from.max(1), last)?;
        let file = open(&paths, number)?;
        let mut reader = Self { paths, seen, next: first, number, file, allowed: 0 };
        while reader.next < from && reader.next()?.is_some() {}
        // A cursor may be asked to begin behind the end.
        reader.next = reader.next.max(from.min(reader.seen.borrow().seq + 1));
        Ok(reader)
    }

    /// The number of the event that comes next.
    pub fn position(&self) -> u64 {
        self.next
    }

    /// The next event, or none when all that was appended has been read. Blocks on the disk.
    #[allow(clippy::should_implement_trait, reason = "it is no iterator: none may be followed by more")]
    pub fn next(&mut self) -> Result<Option<Entry>, ReadError> {
        let seen = *self.seen.borrow();
        if self.next > seen.seq {
            return Ok(None);
        }
        let mut line = Vec::new();
        loop {
            self.allow(seen);
            let path = || self.paths.lines(self.number);
            let taken = (&mut self.file).take(MAX_LINE as u64 + 1).read_until(b'\n', &mut line).map_err(io_at(&path()))?;
            if line.pop_if(|last| *last == b'\n').is_some() {
                let entry = Entry { seq: self.next, line };
                self.next += 1;
                return Ok(Some(entry));
            }
            if taken > 0 || self.number >= seen.file {
                return Err(ReadError::Missing { path: path(), seq: self.next });
            }
            self.number += 1;
            self.file = open(&self.paths, self.number)?;
            self.allowed = 0;
        }
    }

    fn allow(&mut self, seen: Seen) {
        let allowed = if self.number < seen.file { u64::MAX } else { seen.bytes };
        let more = allowed.saturating_sub(self.allowed);
        let take = self.file.get_mut();
        take.set_limit(take.limit().saturating_add(more));
        self.allowed = allowed;
    }

    /// Waits until there is something to read; false when the log is closed.
    pub async fn ready(&mut self) -> bool {
        let next = self.next;
        self.seen.wait_for(|seen| seen.seq >= next).await.is_ok()
    }
}

/// The number of the first event of the file that has the event `seq`.
pub(super) fn first_of_file_with(paths: &Paths, seen: &watch::Sender<Seen>, seq: u64) -> Result<u64, ReadError> {
    let last = seen.borrow().file;
    file_with(paths, seq, last).map(|(_, first)| first)
}

/// The signed line of `checkpoints` that begins at byte `from`, without its line feed, and where the next begins; none when there is
/// no whole line there yet.
pub(super) fn checkpoint(paths: &Paths, from: u64) -> Result<Option<(Vec<u8>, u64)>, ReadError> {
    let path = paths.checkpoints();
    let mut file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(io_at(&path))?,
    };
    file.seek(io::SeekFrom::Start(from)).map_err(io_at(&path))?;
    let mut line = Vec::new();
    let read = BufReader::new(file).take(MAX_LINE as u64).read_until(b'\n', &mut line).map_err(io_at(&path))?;
    Ok(line.pop_if(|last| *last == b'\n').map(|_| (line, from + read as u64)))
}

/// Which file has the event `seq`, and the number of that file's first event. Looks from the end, where most cursors are.
fn file_with(paths: &Paths, seq: u64, last: u64) -> Result<(u64, u64), ReadError> {
    if seq > 1 {
        for number in (2..=last).rev() {
            let path = paths.seal(number - 1);
            let bytes = files::small(&path).map_err(io_at(&path))?.ok_or(ReadError::Missing { path: path.clone(), seq })?;
            let (seal, _) = unseal::<LogSeal>(&bytes, None).map_err(|source| ReadError::Seal { path, source })?;
            if seal.first + seal.count <= seq {
                return Ok((number, seal.first + seal.count));
            }
        }
    }
    let first = paths.lines(1);
    fs::metadata(&first).map_err(io_at(&first))?;
    Ok((1, 1))
}
