//! What happens to a log before its first append: the closed files are checked by their seals, the live one line by line, a line that a
//! kill cut off is set aside. Anything else that is wrong stops the start.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use access::event::{Actor, Event, What};
use wire::proof::log::{FaultKind, MAX_LINE, read_line};
use wire::proof::{Hash, Head, JournalHead, LogSeal, PublicKey, Sign, SignatureFault, seal, unseal};

use super::files::{self, Paths};
use super::writer::{Current, Writer};
use super::{Log, LogError, LogSettings, now};

/// Why the log does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A line is not what was written.
    #[error(
        "the audit log is damaged in {file}, line {line}, byte {offset} ({kind:?}); run `naru audit verify`, then restore the state directory from a backup"
    )]
    Line {
        /// Which file.
        file: PathBuf,
        /// From 1.
        line: u64,
        /// Bytes before the line.
        offset: u64,
        /// What is wrong.
        kind: FaultKind,
    },
    /// HEAD or a seal is not what was signed.
    #[error(
        "the audit log is damaged: {file} is not believed ({cause}); run `naru audit verify`, then restore the state directory from a backup"
    )]
    Signed {
        /// Which file.
        file: PathBuf,
        /// Why.
        cause: String,
    },
    /// Events that were durable are not there.
    #[error("the audit log in {dir} ends with event {found}, and HEAD says {wanted}; restore the state directory from a backup")]
    Missing {
        /// The log's folder.
        dir: PathBuf,
        /// Events that are there.
        found: u64,
        /// Events that must be there.
        wanted: u64,
    },
    /// A stream's name that is no folder's.
    #[error("{0:?} is no name for an audit log: use 1 to 64 of a-z A-Z 0-9 . _ -")]
    Name(String),
    /// The first event could not be written.
    #[error("the audit log could not be begun")]
    First(#[from] LogError),
    /// The disk failed.
    #[error("the audit log in {path} could not be opened")]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What a start found, and what it had to repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Repaired {
    /// Bytes of a cut line that were set aside into `torn-<time>`; an `audit.gap` event says so.
    pub torn_bytes: u64,
    /// Events that HEAD covers: these were durable when the run before ended.
    pub durable: u64,
    /// Up to where HEAD covers the journal.
    pub journal: Option<JournalHead>,
    /// The revision of the store that HEAD names.
    pub store: Option<u64>,
}

fn io_at(path: &Path) -> impl FnOnce(io::Error) -> StartError {
    let path = path.to_owned();
    |source| StartError::Io { path, source }
}

pub(super) fn start(settings: LogSettings, sign: Arc<dyn Sign>) -> Result<(Log, Repaired), StartError> {
    let name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if !(1..=64).contains(&settings.stream.len()) || settings.stream.starts_with('.') || !settings.stream.bytes().all(name) {
        return Err(StartError::Name(settings.stream));
    }
    let paths = Paths::make(&settings.dir, &settings.stream).map_err(io_at(&settings.dir))?;
    let head = head(&paths, &settings, sign.as_ref())?;
    let closed = closed_files(&paths, &settings, &sign.public())?;
    let (number, first, prev) = closed.map_or((1, 1, Hash::ZERO), |seal| (seal.segment + 1, seal.first + seal.count, seal.last));
    let live = live_file(&paths, number, first, prev, head.count)?;
    if live.seq < head.count || (live.seq == head.count && live.last != head.hash) {
        return Err(StartError::Missing { dir: paths.dir().to_owned(), found: live.seq, wanted: head.count });
    }
    let checkpoints = trim_checkpoints(&paths).map_err(io_at(&paths.checkpoints()))?;
    if checkpoints < head.checkpoints {
        let cause = format!("it has {checkpoints} lines of {}", head.checkpoints);
        return Err(StartError::Signed { file: paths.checkpoints(), cause });
    }
    let Live { current, seq, last, torn_bytes } = live;
    let mut writer =
        Writer { settings: settings.clone(), paths: paths.clone(), sign: sign.clone(), current, seq, last, reserve: false, stopped: None };
    if let Err(error) = writer.take_reserve() {
        tracing::warn!(%error, "the reserve of the audit log could not be taken");
    }
    let log = Log::new(settings, paths, sign, writer, head.count, checkpoints);
    if torn_bytes > 0 {
        let cause = "the last line was cut off by a crash".to_owned();
        let _logged = log.append(&Event::new(now(), Actor::system(), What::AuditGap { cause, bytes: torn_bytes, damage: None }))?;
    }
    Ok((log, Repaired { torn_bytes, durable: head.count, journal: head.journal, store: head.store }))
}

/// HEAD as it stands; of a log that is new a first one is written before anything else, so that it is never missing later.
fn head(paths: &Paths, settings: &LogSettings, sign: &dyn Sign) -> Result<Head, StartError> {
    let path = paths.head();
    if let Some(bytes) = files::small(&path).map_err(io_at(&path))? {
        let (head, _) = unseal::<Head>(&bytes, Some(&sign.public())).map_err(not_believed(&path))?;
        if head.install != settings.install || head.stream != settings.stream {
            return Err(StartError::Signed { file: path, cause: "it belongs to another log".into() });
        }
        return Ok(head);
    }
    if paths.lines(1).exists() || paths.seal(1).exists() {
        return Err(StartError::Signed { file: path, cause: "it is missing".into() });
    }
    let (install, stream) = (settings.install.clone(), settings.stream.clone());
    let head = Head { install, stream, count: 0, hash: Hash::ZERO, time: now(), checkpoints: 0, journal: None, store: None };
    store::state::replace(&path, &seal(&head, sign), 0o600).map_err(io_at(&path))?;
    Ok(head)
}

fn not_believed(path: &Path) -> impl FnOnce(SignatureFault) -> StartError {
    let file = path.to_owned();
    |fault| StartError::Signed { file, cause: fault.to_string() }
}

/// Follows the seals; answers the last. The bytes behind them are `verify`'s work, their length is looked at.
fn closed_files(paths: &Paths, settings: &LogSettings, key: &PublicKey) -> Result<Option<LogSeal>, StartError> {
    let mut last: Option<LogSeal> = None;
    loop {
        let number = last.as_ref().map_or(1, |seal| seal.segment + 1);
        let path = paths.seal(number);
        let Some(bytes) = files::small(&path).map_err(io_at(&path))? else {
            if paths.lines(number + 1).exists() {
                return Err(StartError::Signed { file: path, cause: "it is missing".into() });
            }
            return Ok(last);
        };
        let (seal, _) = unseal::<LogSeal>(&bytes, Some(key)).map_err(not_believed(&path))?;
        let (first, prev) = last.as_ref().map_or((1, Hash::ZERO), |last| (last.first + last.count, last.last));
        let lines = paths.lines(number);
        let bytes = fs::metadata(&lines).map_err(io_at(&lines))?.len();
        if seal.install != settings.install || seal.stream != settings.stream || seal.segment != number {
            return Err(StartError::Signed { file: path, cause: "it belongs to another file".into() });
        }
        if seal.first != first || seal.prev != prev || seal.bytes != bytes {
            return Err(StartError::Signed { file: path, cause: "its file is not the one that was sealed".into() });
        }
        last = Some(seal);
    }
}

struct Live {
    current: Current,
    seq: u64,
    last: Hash,
    torn_bytes: u64,
}

/// Reads the file that was being written, line by line, and cuts off what a crash left at its end.
fn live_file(paths: &Paths, number: u64, first: u64, prev: Hash, durable: u64) -> Result<Live, StartError> {
    let path = paths.lines(number);
    let mut current = Current::make(paths, number, first, prev).map_err(io_at(&path))?;
    let (mut seq, mut last, mut line) = (first - 1, prev, Vec::new());
    let mut reader = BufReader::new(File::open(&path).map_err(io_at(&path))?);
    loop {
        line.clear();
        let taken = reader.by_ref().take(MAX_LINE as u64 + 1).read_until(b'\n', &mut line).map_err(io_at(&path))?;
        if taken == 0 {
            return Ok(Live { current, seq, last, torn_bytes: 0 });
        }
        let kind = match line.split_last() {
            Some((b'\n', bytes)) => match read_line(bytes) {
                Ok(read) if read.seq != seq + 1 => FaultKind::Gap,
                Ok(read) if read.prev != last => FaultKind::BrokenChain,
                Ok(read) => {
                    (seq, last) = (read.seq, read.hash);
                    current.bytes += taken as u64;
                    current.hash.update(&line);
                    current.since.get_or_insert_with(Instant::now);
                    continue;
                }
                Err(kind) => kind,
            },
            _ => FaultKind::CutLine,
        };
        // A crash leaves a line without its end, or pages of zeros where bytes were not synced; and never below HEAD.
        let torn = seq >= durable && (kind == FaultKind::CutLine || line.contains(&0));
        if !torn {
            return Err(StartError::Line { file: path, line: seq + 2 - first, offset: current.bytes, kind });
        }
        let torn_bytes = set_aside(paths, &current).map_err(io_at(&path))?;
        return Ok(Live { current, seq, last, torn_bytes });
    }
}

/// Copies what is behind the last good line into a file of its own, then cuts it off. Answers its length.
fn set_aside(paths: &Paths, current: &Current) -> io::Result<u64> {
    let length = current.file.metadata()?.len();
    let torn = files::open(&paths.torn(&now().to_string()))?;
    let (mut at, mut buffer) = (current.bytes, vec![0; 64 * 1024]);
    while at < length {
        let read = current.file.read_at(&mut buffer, at)?;
        let some = buffer.get(..read).unwrap_or_default();
        torn.write_all_at(some, at - current.bytes)?;
        at += read as u64;
        if read == 0 {
            break;
        }
    }
    torn.sync_all()?;
    current.file.set_len(current.bytes)?;
    current.file.sync_all()?;
    files::sync_folder(paths.dir())?;
    Ok(length - current.bytes)
}

/// Cuts off what a crash left of the last line of `checkpoints`; answers how many lines there are.
fn trim_checkpoints(paths: &Paths) -> io::Result<u64> {
    let file = files::open(&paths.checkpoints())?;
    let (mut lines, mut keep, mut line) = (0, 0, Vec::new());
    let mut reader = BufReader::new(&file);
    loop {
        line.clear();
        let taken = reader.by_ref().take(MAX_LINE as u64).read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            break;
        }
        lines += 1;
        keep += taken as u64;
    }
    file.set_len(keep)?;
    Ok(lines)
}
