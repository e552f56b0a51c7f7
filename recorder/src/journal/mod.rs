//! The journal that all sessions share: preallocated files, chained records, one `write` for each. Nothing here knows a cast.
//!
//! One plain mutex orders the writers; it is never held across an await. A record counts as recorded when `append` has returned.
//! A file is freed when nothing needs it and a HEAD that lies beyond it was signed, so that HEAD's place is always there to check.

mod scan;

pub(crate) use scan::{Cursor, Files, Step};

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use access::words::{InstallId, SessionId};
use serde::Serialize;
use wire::frames::Stream;
use wire::journal::{CHAIN, FileHeader, HEAD, Head, Kind, MAX_PAYLOAD, Position, chain, file_name};
use wire::proof::{Hash, JournalHead};

use crate::files;
use crate::timing::Timing;

/// Who writes: the maker of frames and endings may use room that is kept free for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Live,
    Ending,
}

/// Why a record was not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppendError {
    #[error("too much output waits to be turned into frames")]
    Backlog,
    #[error("a journal record of {0} bytes is over the limit")]
    TooLong(usize),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What one record says besides its payload.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) stream: Option<Stream>,
    pub(crate) session: SessionId,
    pub(crate) elapsed: u64,
    pub(crate) offset: u64,
}

/// The journal of one recorder.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    install: InstallId,
    file_size: u64,
    backlog: u64,
    /// Files of the run before that were there at the start.
    old: u64,
    writer: Mutex<Writer>,
    /// No file was begun, since too many wait to be freed.
    crowded: AtomicBool,
    /// Bytes of records appended, and of those that the maker of frames is done with.
    appended: AtomicU64,
    consumed: AtomicU64,
    appends: Timing,
}

#[derive(Debug)]
struct Writer {
    file: Arc<File>,
    head: JournalHead,
    files: Files,
    /// Files that were left since the last sync.
    unsynced: Vec<Arc<File>>,
    new_names: bool,
    /// What the last sync answered, and the one before: that one is in the signed HEAD by now.
    synced: Option<JournalHead>,
    anchored: Option<JournalHead>,
}

impl Journal {
    /// Begins the file after `last`, going on from its chain. `old` are the files that are still there.
    pub(crate) fn begin(
        dir: &Path,
        install: InstallId,
        file_size: u64,
        backlog: u64,
        last: Option<JournalHead>,
        old: Files,
    ) -> Result<Self, AppendError> {
        let number = old.keys().next_back().copied().max(last.map(|last| last.file)).unwrap_or(0) + 1;
        let chain = last.map_or(Hash::ZERO, |last| last.chain);
        let head = JournalHead { file: number, offset: 0, chain };
        let file = Arc::new(new_file(dir, number, file_size)?);
        let mut files = old;
        let old = files.len() as u64;
        files.insert(number, Arc::clone(&file));
        let writer = Writer { file, head, files, unsynced: Vec::new(), new_names: true, synced: None, anchored: None };
        let journal = Self {
            dir: dir.to_owned(),
            install,
            file_size,
            backlog,
            old,
            writer: Mutex::new(writer),
            crowded: AtomicBool::new(false),
            appended: AtomicU64::new(0),
            consumed: AtomicU64::new(0),
            appends: Timing::default(),
        };
        journal.write_header(&mut journal.lock())?;
        Ok(journal)
    }

    fn lock(&self) -> MutexGuard<'_, Writer> {
        // A panic while it was held leaves the state of the last whole record: the head moves last.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The end of the last record.
    pub fn head(&self) -> JournalHead {
        self.lock().head
    }

    /// Makes everything appended so far durable and answers how far that is. The caller signs the answer into HEAD before it asks
    /// again: files before the HEAD of the last call may be freed from then on.
    pub fn sync(&self) -> io::Result<JournalHead> {
        let (head, current, left, new_names) = {
            let mut writer = self.lock();
            writer.anchored = writer.synced;
            (writer.head, Arc::clone(&writer.file), writer.unsynced.clone(), writer.new_names)
        };
        for file in left.iter().chain([&current]) {
            file.sync_data()?;
        }
        if new_names {
            files::sync_dir(&self.dir)?;
        }
        let mut writer = self.lock();
        writer.unsynced.retain(|file| !left.iter().any(|done| Arc::ptr_eq(done, file)));
        writer.new_names = writer.new_names && writer.head.file != head.file;
        writer.synced = Some(head);
        Ok(head)
    }

    /// Bytes that are not yet part of a cast.
    pub fn backlog(&self) -> u64 {
        self.appended.load(Ordering::Acquire).saturating_sub(self.consumed.load(Ordering::Acquire))
    }

    /// How long appends took, with the wait for the lock.
    pub fn appends(&self) -> &Timing {
        &self.appends
    }

    /// Bytes appended since the start.
    pub(crate) fn appended(&self) -> u64 {
        self.appended.load(Ordering::Acquire)
    }

    /// The backlog at which sessions wait.
    pub(crate) fn most_backlog(&self) -> u64 {
        self.backlog
    }

    /// Whether a session may append.
    pub fn has_room(&self) -> bool {
        self.backlog() < self.backlog && !self.crowded.load(Ordering::Acquire)
    }

    /// What was appended so far is no session's: it waits for nobody.
    pub(crate) fn all_consumed(&self) {
        self.consumed.store(self.appended.load(Ordering::Acquire), Ordering::Release);
    }

    pub(crate) fn consumed(&self, bytes: u64) {
        self.consumed.fetch_add(bytes, Ordering::AcqRel);
    }

    /// The end of the last record as a place, and the files to read up to there.
    pub(crate) fn snapshot(&self) -> (Position, Files) {
        let writer = self.lock();
        (Position { file: writer.head.file, offset: writer.head.offset }, writer.files.clone())
    }

    /// Whether a file is still there: what was read from one before this answer is sound.
    pub(crate) fn has(&self, file: u64) -> bool {
        self.lock().files.contains_key(&file)
    }

    /// Most bytes of one record's payload.
    pub(crate) fn max_payload(&self) -> usize {
        MAX_PAYLOAD.min(usize::try_from(self.file_size / 4).unwrap_or(MAX_PAYLOAD))
    }

    /// Writes one record and returns when `write` has. Answers the place before it.
    pub(crate) fn append(&self, class: Class, entry: &Entry, payload: &[u8]) -> Result<Position, AppendError> {
        if class == Class::Live && !self.has_room() {
            return Err(AppendError::Backlog);
        }
        if payload.len() > self.max_payload() {
            return Err(AppendError::TooLong(payload.len()));
        }
        let began = Instant::now();
        let mut writer = self.lock();
        let size = (HEAD + payload.len() + CHAIN) as u64;
        let free = self.file_size.saturating_sub(writer.head.offset);
        let kept = if class == Class::Live { self.file_size / 8 } else { 0 };
        if size + kept > free {
            self.roll(class, &mut writer).or_else(|error| if class == Class::Ending && size <= free { Ok(()) } else { Err(error) })?;
        }
        let before = Position { file: writer.head.file, offset: writer.head.offset };
        self.write(&mut writer, entry, payload)?;
        drop(writer);
        self.appends.took(began.elapsed());
        Ok(before)
    }

    pub(crate) fn append_json<T: Serialize>(&self, entry: &Entry, payload: &T) -> Result<Position, AppendError> {
        let payload = serde_json::to_vec(payload).map_err(io::Error::other)?;
        self.append(Class::Ending, entry, &payload)
    }

    fn write(&self, writer: &mut Writer, entry: &Entry, payload: &[u8]) -> io::Result<()> {
        let head = Head {
            kind: entry.kind,
            stream: entry.stream,
            len: u32::try_from(payload.len()).unwrap_or(u32::MAX),
            file: u32::try_from(writer.head.file).unwrap_or(u32::MAX),
            session: entry.session,
            elapsed: entry.elapsed,
            offset: entry.offset,
        }
        .encode();
        let after = chain(&writer.head.chain, &head, payload);
        write_all_at(&writer.file, [&head, payload, &after.0], writer.head.offset)?;
        let size = (HEAD + payload.len() + CHAIN) as u64;
        writer.head = JournalHead { file: writer.head.file, offset: writer.head.offset + size, chain: after };
        self.appended.fetch_add(size, Ordering::AcqRel);
        Ok(())
    }

    fn write_header(&self, writer: &mut Writer) -> io::Result<()> {
        let header = FileHeader { format: 1, install: self.install.clone(), file: writer.head.file, prev: writer.head.chain };
        let payload = serde_json::to_vec(&header).map_err(io::Error::other)?;
        let session = SessionId::from_bytes([0; 16]);
        self.write(writer, &Entry { kind: Kind::Header, stream: None, session, elapsed: 0, offset: 0 }, &payload)
    }

    fn roll(&self, class: Class, writer: &mut Writer) -> Result<(), AppendError> {
        // Files are freed only after a signed HEAD: should that stop, the journal does not grow without end.
        // What the frame maker writes is bounded by what it reads.
        if class == Class::Live && writer.files.len() as u64 > self.backlog / self.file_size + 4 + self.old {
            self.crowded.store(true, Ordering::Release);
            return Err(AppendError::Backlog);
        }
        let number = writer.head.file + 1;
        let file = Arc::new(new_file(&self.dir, number, self.file_size)?);
        let before = (writer.head, Arc::clone(&writer.file));
        writer.file = Arc::clone(&file);
        writer.head = JournalHead { file: number, offset: 0, chain: before.0.chain };
        if let Err(error) = self.write_header(writer) {
            (writer.head, writer.file) = before;
            let _ = fs::remove_file(self.dir.join(file_name(number)));
            return Err(error.into());
        }
        writer.files.insert(number, file);
        writer.unsynced.push(before.1);
        writer.new_names = true;
        Ok(())
    }

    /// Frees the files before `file` that a signed HEAD has passed; one of them is kept as the next spare.
    pub(crate) fn free_before(&self, file: u64) {
        let freed: Vec<(u64, Arc<File>)> = {
            let mut writer = self.lock();
            let Some(anchored) = writer.anchored else { return };
            let mut freed = Vec::new();
            while let Some((number, _)) = writer.files.first_key_value().filter(|(number, _)| **number < file.min(anchored.file)) {
                let number = *number;
                freed.extend(writer.files.remove(&number).map(|file| (number, file)));
            }
            if !freed.is_empty() {
                self.crowded.store(false, Ordering::Release);
            }
            freed
        };
        for (number, file) in freed {
            let path = self.dir.join(file_name(number));
            let spare = self.dir.join(SPARE);
            let length = file.metadata().map_or(0, |meta| meta.len());
            let reused = length == self.file_size && !spare.exists() && files::zeroed(&file, length) && fs::rename(&path, &spare).is_ok();
            if !reused && let Err(error) = fs::remove_file(&path) {
                tracing::warn!(%error, file = %path.display(), "a consumed journal file could not be removed");
            }
        }
    }
}

const SPARE: &str = "spare";

/// The spare if there is one, else a new file.
fn new_file(dir: &Path, number: u64, size: u64) -> io::Result<File> {
    let path = dir.join(file_name(number));
    let spare = dir.join(SPARE);
    let fits = fs::metadata(&spare).is_ok_and(|meta| meta.len() == size);
    if fits && fs::rename(&spare, &path).is_ok() {
        return files::private_file(&path);
    }
    files::preallocated(&path, size)
}

fn write_all_at(file: &File, parts: [&[u8]; 3], offset: u64) -> io::Result<()> {
    let total: usize = parts.iter().map(|part| part.len()).sum();
    let slices = parts.map(io::IoSlice::new);
    let mut done = loop {
        match rustix::io::pwritev(file, &slices, offset) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other?,
        }
    };
    // A short write is rare: the rest goes out part by part.
    let mut start = 0;
    for part in parts {
        let end = start + part.len();
        if done < end && done < total {
            let from = done.max(start);
            file.write_all_at(part.get(from - start..).unwrap_or_default(), offset + from as u64)?;
            done = end;
        }
        start = end;
    }
    Ok(())
}
