//! The chain over all lines of one log, its seals, HEAD and checkpoints. Fed file by file and line by line; keeps one line's worth of state.

use access::words::InstallId;
use serde::{Deserialize, Serialize};

use super::super::{Checkpoint, Hash, Head, LogSeal, PublicKey, Statement, unseal};
use super::{Line, read_line};

/// Faults that are kept; more are only counted.
pub const MAX_FAULTS: usize = 1000;

/// A place where something is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Path below the state directory.
    pub file: String,
    /// Line of it from 1, where it has lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// Bytes of the file before the place.
    pub offset: u64,
    /// What is wrong.
    pub kind: FaultKind,
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// A line is longer than any that is written.
    TooLong,
    /// A line is no JSON.
    NotJson,
    /// A line means what it should but is spelled otherwise.
    NotCanonical,
    /// A line lacks what every event has.
    NotAnEvent,
    /// A line has a version that this program does not know.
    OtherVersion,
    /// A line's hash is not its own.
    BadHash,
    /// A line belongs to another log.
    OtherStream,
    /// A line does not follow the one before.
    BrokenChain,
    /// Lines are missing, doubled or out of order before this one.
    Gap,
    /// The file ends within a line that was signed for.
    CutLine,
    /// A file of the log is missing.
    MissingFile,
    /// A closed file has no seal.
    MissingSeal,
    /// A seal is not believed.
    BadSeal,
    /// A file is not the one that was sealed.
    NotAsSealed,
    /// There is no HEAD.
    MissingHead,
    /// HEAD is not believed.
    BadHead,
    /// The event that HEAD names is another one.
    NotAsHead,
    /// Events up to HEAD are missing at the end.
    MissingTail,
    /// A checkpoint is not believed.
    BadCheckpoint,
    /// Lines of `checkpoints` that HEAD counts are missing.
    MissingCheckpoint,
    /// The event that a checkpoint names is another one.
    NotAsCheckpoint,
    /// HEAD or the log is older than a checkpoint.
    RolledBack,
    /// VERSION is missing, unreadable or of another install.
    BadVersion,
    /// A session ended with a recording that is not there.
    MissingManifest,
    /// A manifest is not the one that the log names.
    NotAsLogged,
    /// A manifest is not believed.
    BadManifest,
    /// A file of a recording is missing.
    MissingSegment,
    /// A file of a recording is not the one in its manifest.
    NotAsRecorded,
    /// A file that no manifest names.
    ExtraFile,
    /// A recording that no event in the log speaks of.
    UnknownRecording,
    /// The journal, which holds what open sessions wrote, is not what HEAD covers.
    BadJournal,
    /// A start found that recordings of live sessions were changed or removed since HEAD covered them.
    DamagedWhileLive,
    /// A file could not be read.
    Unreadable,
}

/// What was found of one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOutcome {
    /// HEAD, where it is believed.
    pub head: Option<Head>,
    /// Events that were read.
    pub events: u64,
    /// Well-chained lines after HEAD, and a cut one.
    pub unsigned_tail: u64,
    /// The key that everything is signed with.
    pub key: Option<PublicKey>,
    /// What is wrong; at most [`MAX_FAULTS`].
    pub faults: Vec<Fault>,
    /// Faults that were not kept.
    pub more_faults: u64,
}

struct Open {
    name: String,
    number: u64,
    lines: u64,
    offset: u64,
    first: u64,
    prev: Hash,
    hash: blake3::Hasher,
    seal: Option<LogSeal>,
}

struct Wanted {
    checkpoint: Checkpoint,
    file: String,
    line: Option<u64>,
}

/// Checks one log. Order of calls: [`Self::head`], [`Self::outside`], then for each file [`Self::begin`], its lines, [`Self::end`]; before
/// each line the checkpoints that [`Self::wants_checkpoint`] asks for; [`Self::finish`].
pub struct LogCheck {
    stream: String,
    folder: String,
    install: Option<InstallId>,
    key: Option<PublicKey>,
    head: Option<Head>,
    /// What HEAD counts after everything was read: more than before where the log is being written.
    latest: u64,
    seq: u64,
    hash: Hash,
    /// False after a line that could not be read: the next one is taken at its word.
    chained: bool,
    events: u64,
    unsigned_tail: u64,
    number: u64,
    open: Option<Open>,
    /// Where the next line would be: number of the file, line, offset.
    end: (u64, u64, u64),
    wanted: Option<Wanted>,
    outside: Option<Wanted>,
    checkpoint_lines: u64,
    checkpoint_offset: u64,
    last_checkpoint: u64,
    no_more_checkpoints: bool,
    faults: Vec<Fault>,
    more_faults: u64,
}

impl LogCheck {
    /// For the log `stream` whose files are named below `folder`; `install` and `key` are demanded where they are known.
    pub fn new(stream: &str, folder: &str, install: Option<InstallId>, key: Option<PublicKey>) -> Self {
        Self {
            stream: stream.to_owned(),
            folder: folder.to_owned(),
            install,
            key,
            head: None,
            latest: 0,
            seq: 0,
            hash: Hash::ZERO,
            chained: true,
            events: 0,
            unsigned_tail: 0,
            number: 0,
            open: None,
            end: (1, 1, 0),
            wanted: None,
            outside: None,
            checkpoint_lines: 0,
            checkpoint_offset: 0,
            last_checkpoint: 0,
            no_more_checkpoints: false,
            faults: Vec::new(),
            more_faults: 0,
        }
    }

    fn fault(&mut self, file: String, line: Option<u64>, offset: u64, kind: FaultKind) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(Fault { file, line, offset, kind });
        } else {
            self.more_faults += 1;
        }
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }

    /// Believes a statement of this log, and takes its key as the one for all where none was given.
    fn believe<S: Statement>(&mut self, bytes: &[u8], whose: impl Fn(&S) -> (&InstallId, &str)) -> Option<S> {
        let (statement, key) = unseal::<S>(bytes, self.key.as_ref()).ok()?;
        let (install, stream) = whose(&statement);
        if stream != self.stream || self.install.as_ref().is_some_and(|wanted| wanted != install) {
            return None;
        }
        self.install.get_or_insert_with(|| install.clone());
        self.key = Some(key);
        Some(statement)
    }

    /// The key that is demanded by now: the one given, or the first that was believed.
    pub fn key(&self) -> Option<PublicKey> {
        self.key
    }

    /// The bytes of HEAD, or none when there is no such file.
    pub fn head(&mut self, bytes: Option<&[u8]>) {
        let path = self.path("HEAD");
        let Some(bytes) = bytes else { return self.fault(path, None, 0, FaultKind::MissingHead) };
        self.head = self.believe::<Head>(bytes, |head| (&head.install, &head.stream));
        match &self.head {
            None => self.fault(path, None, 0, FaultKind::BadHead),
            Some(head) if head.count == 0 && head.hash != Hash::ZERO => self.fault(path, None, 0, FaultKind::NotAsHead),
            Some(_) => {}
        }
    }

    /// The bytes of HEAD once more, after all else was read: a checkpoint may have left since, which only this HEAD is as new as.
    /// What is not believed is as if it was not given; the first HEAD stays the one that the log is held against.
    pub fn head_again(&mut self, bytes: &[u8]) {
        if let Some(head) = self.believe::<Head>(bytes, |head| (&head.install, &head.stream)) {
            self.latest = head.count;
        }
    }

    /// Whether the line that was read last is one that HEAD covers.
    pub fn covered(&self) -> bool {
        self.head.as_ref().is_some_and(|head| self.seq <= head.count)
    }

    /// A checkpoint of this log that was kept elsewhere, with the name of its file.
    pub fn outside(&mut self, file: &str, bytes: &[u8]) {
        match self.believe::<Checkpoint>(bytes, |one| (&one.install, &one.stream)) {
            None => self.fault(file.to_owned(), None, 0, FaultKind::BadCheckpoint),
            Some(checkpoint) => {
                if self.head.as_ref().is_some_and(|head| head.count < checkpoint.count) {
                    self.fault(self.path("HEAD"), None, 0, FaultKind::RolledBack);
                }
                self.outside = Some(Wanted { checkpoint, file: file.to_owned(), line: None });
            }
        }
    }

    /// Whether the next line of `checkpoints` must be given before the next line of the log.
    pub fn wants_checkpoint(&self) -> bool {
        !self.no_more_checkpoints && self.wanted.is_none()
    }

    /// The next line of `checkpoints` without its line feed, or none at its end.
    pub fn checkpoint(&mut self, bytes: Option<&[u8]>) {
        let Some(bytes) = bytes else {
            self.no_more_checkpoints = true;
            return;
        };
        self.checkpoint_lines += 1;
        let (file, line, offset) = (self.path("checkpoints"), Some(self.checkpoint_lines), self.checkpoint_offset);
        self.checkpoint_offset += bytes.len() as u64 + 1;
        match self.believe::<Checkpoint>(bytes, |one| (&one.install, &one.stream)) {
            Some(checkpoint) if checkpoint.count > self.last_checkpoint => {
                self.last_checkpoint = checkpoint.count;
                self.wanted = Some(Wanted { checkpoint, file, line });
            }
            _ => self.fault(file, line, offset, FaultKind::BadCheckpoint),
        }
    }

    /// Begins the file `name` with this number; `seal` is its seal where there is one. All but the last file must have one.
    pub fn begin(&mut self, name: &str, number: u64, seal: Option<&[u8]>, last: bool) {
        for missing in (self.number + 1..number).take(MAX_FAULTS) {
            self.fault(self.path(&format!("{missing:08}.jsonl")), None, 0, FaultKind::MissingFile);
            self.chained = false;
        }
        self.number = number;
        let seal_path = self.path(&format!("{number:08}.seal"));
        let mut believed = None;
        match seal {
            None if !last => self.fault(seal_path, None, 0, FaultKind::MissingSeal),
            None => {}
            Some(bytes) => {
                believed = self.believe::<LogSeal>(bytes, |seal| (&seal.install, &seal.stream));
                if believed.as_ref().is_none_or(|seal| seal.segment != number) {
                    self.fault(seal_path, None, 0, FaultKind::BadSeal);
                }
            }
        }
        let (first, prev) = match &believed {
            // After a missing file the seal says where this one begins.
            Some(seal) if !self.chained => (seal.first, seal.prev),
            _ => (self.seq + 1, self.hash),
        };
        let name = self.path(name);
        self.open = Some(Open { name, number, lines: 0, offset: 0, first, prev, hash: blake3::Hasher::new(), seal: believed });
    }

    /// One line without its line feed; `whole` is false when the file ends without one. Answers the line where it is believed.
    pub fn line(&mut self, bytes: &[u8], whole: bool) -> Option<Line> {
        let open = self.open.as_mut()?;
        let offset = open.offset;
        open.lines += 1;
        open.offset += bytes.len() as u64 + u64::from(whole);
        open.hash.update(bytes);
        if whole {
            open.hash.update(b"\n");
        }
        let (file, line, sealed) = (open.name.clone(), Some(open.lines), open.seal.is_some());
        if !whole {
            let signed = sealed || self.head.as_ref().is_none_or(|head| self.seq < head.count);
            if signed {
                self.fault(file, line, offset, FaultKind::CutLine);
            } else {
                self.unsigned_tail += 1;
            }
            return None;
        }
        let read = match read_line(bytes) {
            Ok(read) if read.stream != self.stream => Err(FaultKind::OtherStream),
            other => other,
        };
        let read = match read {
            Ok(read) => read,
            Err(kind) => {
                self.fault(file, line, offset, kind);
                self.seq += 1;
                self.chained = false;
                return None;
            }
        };
        let kind = if read.seq != self.seq + 1 {
            Some(FaultKind::Gap)
        } else if self.chained && read.prev != self.hash {
            Some(FaultKind::BrokenChain)
        } else {
            None
        };
        if let Some(kind) = kind {
            self.fault(file.clone(), line, offset, kind);
        }
        (self.seq, self.hash, self.chained) = (read.seq, read.hash, true);
        self.events += 1;
        self.compare(&file, line, offset);
        Some(read)
    }

    /// Compares the event just read with HEAD and the checkpoints that name it.
    fn compare(&mut self, file: &str, line: Option<u64>, offset: u64) {
        let (seq, hash) = (self.seq, self.hash);
        if let Some(head) = &self.head {
            let (count, wanted) = (head.count, head.hash);
            if seq > count {
                self.unsigned_tail += 1;
            } else if seq == count && hash != wanted {
                self.fault(file.to_owned(), line, offset, FaultKind::NotAsHead);
            }
        }
        let named = [self.wanted.as_ref(), self.outside.as_ref()];
        let other = |wanted: &Wanted| wanted.checkpoint.count == seq && wanted.checkpoint.hash != hash;
        if named.into_iter().flatten().any(other) {
            self.fault(file.to_owned(), line, offset, FaultKind::NotAsCheckpoint);
        }
        self.wanted.take_if(|wanted| wanted.checkpoint.count <= seq);
    }

    /// Bytes that were passed over after the part of an overlong line that was given.
    pub fn skip(&mut self, bytes: u64) {
        if let Some(open) = &mut self.open {
            open.offset += bytes;
        }
    }

    /// The end of the file that was begun.
    pub fn end(&mut self) {
        let Some(open) = self.open.take() else { return };
        self.end = (open.number, open.lines + 1, open.offset);
        let Some(seal) = open.seal else { return };
        self.end = (open.number + 1, 1, 0);
        let as_sealed = seal.bytes == open.offset
            && seal.blake3 == Hash(*open.hash.finalize().as_bytes())
            && seal.count == open.lines
            && seal.first == open.first
            && seal.prev == open.prev
            && seal.segment == open.number
            && (!self.chained || seal.last == self.hash);
        if !as_sealed {
            self.fault(open.name, None, open.offset, FaultKind::NotAsSealed);
            // The seal is signed: go on from what it says.
            (self.seq, self.hash, self.chained) = (seal.first.saturating_add(seal.count).saturating_sub(1), seal.last, true);
        }
    }

    /// The end of the log. The rest of `checkpoints` must have been given, as long as [`Self::wants_checkpoint`] says so.
    pub fn finish(mut self) -> LogOutcome {
        if self.head.as_ref().is_some_and(|head| head.count > self.seq) {
            let (number, line, offset) = self.end;
            self.fault(self.path(&format!("{number:08}.jsonl")), Some(line), offset, FaultKind::MissingTail);
        }
        let behind = [self.wanted.take(), self.outside.take()];
        // What the newest HEAD covers and was not read here was appended meanwhile; lines that the first HEAD misses are told above.
        let seq = self.seq.max(self.latest);
        for wanted in behind.into_iter().flatten().filter(|wanted| wanted.checkpoint.count > seq) {
            self.fault(wanted.file, wanted.line, 0, FaultKind::RolledBack);
        }
        if self.head.as_ref().is_some_and(|head| head.count.max(self.latest) < self.last_checkpoint) {
            self.fault(self.path("HEAD"), None, 0, FaultKind::RolledBack);
        }
        if self.head.as_ref().is_some_and(|head| head.checkpoints > self.checkpoint_lines) {
            self.fault(self.path("checkpoints"), Some(self.checkpoint_lines + 1), self.checkpoint_offset, FaultKind::MissingCheckpoint);
        }
        LogOutcome {
            head: self.head,
            events: self.events,
            unsigned_tail: self.unsigned_tail,
            key: self.key,
            faults: self.faults,
            more_faults: self.more_faults,
        }
    }
}
