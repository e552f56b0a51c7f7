//! What a start does with the journal of the run before: checks its chain, sets a torn tail aside, and finishes every recording that
//! was open. Doing it twice does no harm: nothing is told to the journal before all of it is stored.
//!
//! What a signed HEAD covered was durable, so a crash does not take it: where it is missing or changed, that is damage, and told as such.
//! The start goes on all the same. A damaged log stops it, since a log can carry nothing on after that; here the log is sound and keeps
//! the evidence for good, while a proxy that refuses would lock everybody out and could be mended only by removing the evidence.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _};
use std::path::Path;
use std::sync::Arc;

use access::event::Damage;
use access::time::Timestamp;
use access::words::{InstallId, SessionId};
use serde::de::DeserializeOwned;
use wire::journal::{About, Ending, FileHeader, Framed, Kind, Mode, Opened, Position, Record, Snapshot, file_name, file_number};
use wire::proof::{Hash, JournalHead, Sign};

use crate::files;
use crate::journal::{Cursor, Files, Step};
use crate::open::ClosedRecording;
use crate::segment::{Cast, Limits, Squeeze, folder};

/// A recording that was open when the run before ended, finished now.
#[derive(Debug, Clone)]
pub struct Lost {
    /// What it was.
    pub about: About,
    /// How it was recorded.
    pub mode: Mode,
    /// As [`crate::OpenRecording::close`] would have answered; the reason is `proxy_lost` unless the session itself had ended.
    pub closed: ClosedRecording,
    /// When its last record was made.
    pub ended: Timestamp,
}

/// What a start found.
#[derive(Debug, Clone, Default)]
pub struct Recovered {
    /// Recordings that it finished: their end is to be logged.
    pub sessions: Vec<Lost>,
    /// Bytes of the journal that were no sound records, kept in `journal/` under a name that begins with `torn-`.
    pub set_aside_bytes: u64,
    /// Something that was durable is missing or changed. To be in the log before a HEAD covers the new journal.
    pub damage: Option<Damage>,
}

/// What a recording says where records are missing that HEAD covered.
const MISSING: &str = "the journal was damaged";

/// What the new journal goes on from.
pub(crate) struct Old {
    pub(crate) last: Option<JournalHead>,
    pub(crate) files: Files,
    pub(crate) sealed: Vec<(SessionId, Hash)>,
}

/// What the chain of the old journal shows.
struct Scanned {
    /// The end of the last sound record, where there is any.
    end: Option<JournalHead>,
    /// The chain passes through the place that HEAD covers.
    reached: bool,
    open: BTreeMap<SessionId, Snapshot>,
}

pub(crate) fn recover(
    dir: &Path,
    install: &InstallId,
    sign: &dyn Sign,
    limits: &Limits,
    covered: Option<JournalHead>,
) -> io::Result<(Old, Recovered)> {
    let journal = dir.join("journal");
    let mut files = open_files(&journal)?;
    let scanned = scan(dir, &files, covered)?;
    let set_aside_bytes = set_aside(&journal, &mut files, scanned.end)?;
    let mut recovered = Recovered { sessions: Vec::new(), set_aside_bytes, damage: None };
    let (mut sealed, mut hit) = (Vec::new(), Vec::new());
    if let Some(end) = scanned.end {
        for cast in rebuild(dir, scanned.open, &files, end, limits, scanned.reached)? {
            let manifest = cast.manifest(install, sign)?;
            sealed.push((cast.about.session, manifest));
            hit.extend(cast.damaged.then_some(cast.about.session));
            let (closed, ended) = (ClosedRecording::of(&cast, manifest), cast.ended());
            recovered.sessions.push(Lost { about: cast.about, mode: cast.mode, closed, ended });
        }
    }
    if !scanned.reached || !hit.is_empty() {
        let place = covered.or(scanned.end).map_or((0, 0), |head| (head.file, head.offset));
        recovered.damage = Some(Damage { file: place.0, offset: place.1, sessions: hit });
    }
    Ok((Old { last: scanned.end, files, sealed }, recovered))
}

fn open_files(journal: &Path) -> io::Result<Files> {
    let mut files = Files::new();
    for entry in fs::read_dir(journal)? {
        let entry = entry?;
        if let Some(number) = entry.file_name().to_str().and_then(file_number) {
            files.insert(number, Arc::new(files::private_file(&entry.path())?));
        }
    }
    Ok(files)
}

/// Follows the chain as far as it goes.
fn scan(dir: &Path, files: &Files, covered: Option<JournalHead>) -> io::Result<Scanned> {
    let mut scanned = Scanned { end: None, reached: covered.is_none(), open: BTreeMap::new() };
    let (Some(first), Some(last)) = (files.keys().next(), files.keys().next_back()) else { return Ok(scanned) };
    let mut cursor = Cursor::new(Position { file: *first, offset: 0 });
    let until = Position { file: *last, offset: u64::MAX };
    while let Step::Record(record, before) = cursor.next(files, until)? {
        let Some(prev) = chain_before(&record, before, scanned.end) else { break };
        if !record.follows(&prev) {
            break;
        }
        let offset = before.offset + record.size() as u64;
        scanned.end = Some(JournalHead { file: before.file, offset, chain: record.chain });
        // The chain at that place stands for every byte before it.
        scanned.reached |= scanned.end == covered;
        learn(dir, &record, before, &mut scanned.open);
    }
    Ok(scanned)
}

/// The chain that this record must go on from; nothing where it stands in a wrong place.
fn chain_before(record: &Record<'_>, at: Position, end: Option<JournalHead>) -> Option<Hash> {
    if (at.offset == 0) != (record.head.kind == Kind::Header) || u64::from(record.head.file) != at.file {
        return None;
    }
    if record.head.kind != Kind::Header {
        return end.map(|end| end.chain);
    }
    let header: FileHeader = json(record)?;
    (header.file == at.file && end.is_none_or(|end| end.chain == header.prev)).then_some(header.prev)
}

fn learn(dir: &Path, record: &Record<'_>, before: Position, open: &mut BTreeMap<SessionId, Snapshot>) {
    let session = record.head.session;
    match record.head.kind {
        Kind::Open => {
            if let Some(opened) = json::<Opened>(record) {
                open.insert(session, Cast::new(folder(dir, &session), opened, before).snapshot());
            }
        }
        Kind::Snapshot => {
            if let Some(snapshot) = json::<Snapshot>(record) {
                open.insert(session, snapshot);
            }
        }
        Kind::Framed => {
            if let (Some(framed), Some(snapshot)) = (json::<Framed>(record), open.get_mut(&session)) {
                snapshot.framed = framed;
            }
        }
        Kind::Sealed => {
            open.remove(&session);
        }
        _ => {}
    }
}

fn json<T: DeserializeOwned>(record: &Record<'_>) -> Option<T> {
    serde_json::from_slice(record.payload).ok()
}

/// Makes the casts of the open sessions whole from the records that were not stored; without `whole` the last of those are missing.
fn rebuild(
    dir: &Path,
    open: BTreeMap<SessionId, Snapshot>,
    files: &Files,
    end: JournalHead,
    limits: &Limits,
    whole: bool,
) -> io::Result<Vec<Cast>> {
    let Some(first) = open.values().map(|snapshot| snapshot.framed.upto).min() else { return Ok(Vec::new()) };
    let mut squeeze = Squeeze::new()?;
    let mut casts = BTreeMap::new();
    for (session, snapshot) in open {
        casts.insert(session, Cast::resume(folder(dir, &session), snapshot)?);
    }
    // A file is freed only when no open session needs it, so one that is not there was taken away.
    let there = Position { file: files.keys().next().copied().unwrap_or(end.file), offset: 0 };
    for cast in casts.values_mut().filter(|cast| cast.upto < there) {
        cast.damage(MISSING);
    }
    let mut cursor = Cursor::new(first.max(there));
    let until = Position { file: end.file, offset: end.offset };
    while let Step::Record(record, before) = cursor.next(files, until)? {
        let after = Position { file: before.file, offset: before.offset + record.size() as u64 };
        let Some(cast) = casts.get_mut(&record.head.session).filter(|cast| cast.upto <= before) else { continue };
        if let Err(error) = cast.feed(&record, after) {
            tracing::error!(session = %cast.about.session, %error, "a journal record was skipped");
        }
        if cast.pending() >= limits.frame {
            cast.store(&mut squeeze, limits)?;
        }
    }
    for cast in casts.values_mut() {
        if !whole && cast.convert.ending.is_none() && !cast.damaged {
            cast.damage(MISSING);
        }
        let elapsed = cast.convert.elapsed;
        cast.end(elapsed, Ending { reason: "proxy_lost".into(), exit: None })?;
        cast.store(&mut squeeze, limits)?;
        cast.sync()?;
    }
    Ok(casts.into_values().collect())
}

/// Keeps what follows the last sound record under another name. Answers how many bytes that was, zeros at the end not counted.
fn set_aside(journal: &Path, files: &mut Files, end: Option<JournalHead>) -> io::Result<u64> {
    let (last, offset) = end.map_or((0, 0), |end| (end.file, end.offset));
    let mut total = 0;
    let later: Vec<u64> = files.range(last..).map(|(number, _)| *number).collect();
    for number in later {
        let path = journal.join(file_name(number));
        let from = if number == last { offset } else { 0 };
        let Some(file) = files.get(&number).cloned() else { continue };
        let torn = used(&file, from)?;
        total += torn;
        if torn > 0 {
            let aside = journal.join(format!("torn-{}-{from}", file_name(number)));
            let mut source = File::open(&path)?;
            source.seek(io::SeekFrom::Start(from))?;
            let copy = files::private_file(&aside)?;
            copy.set_len(0)?;
            io::copy(&mut source.take(torn), &mut &copy)?;
            copy.sync_all()?;
        }
        if number == last {
            file.set_len(offset)?;
            file.sync_all()?;
        } else {
            fs::remove_file(&path)?;
            files.remove(&number);
        }
    }
    Ok(total)
}

/// Bytes from `from` to the last one that is not zero.
fn used(file: &File, from: u64) -> io::Result<u64> {
    let mut file = file;
    file.seek(io::SeekFrom::Start(from))?;
    let mut block = vec![0; 256 * 1024];
    let (mut at, mut last) = (0, 0);
    loop {
        let got = file.read(&mut block)?;
        if got == 0 {
            return Ok(last);
        }
        if let Some(used) = block.iter().take(got).rposition(|byte| *byte != 0) {
            last = at + used as u64 + 1;
        }
        at += got as u64;
    }
}
