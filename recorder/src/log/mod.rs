//! The audit log: one stream of hash-chained JSON lines per proxy, appended before the effect that a line speaks of.
//!
//! INVARIANT: there is no call that changes or removes an event. [`Logged`] and [`Durable`] are made nowhere else.

mod files;
mod read;
mod search;
mod start;
mod unended;
mod writer;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use access::event::{Event, What};
use access::time::Timestamp;
use access::words::InstallId;
use tokio::sync::watch;
use wire::proof::{Checkpoint, Sign};

use self::files::Paths;
use self::read::Seen;
use self::writer::Writer;

pub(crate) use self::writer::Snapshot;

pub use read::{Entry, LogReader, ReadError};
pub use search::{Filter, Search};
pub use start::{Repaired, StartError};
pub use unended::Unended;

use crate::timing::Timing;

/// A commit thread that did not come round for this long does not commit.
pub const STUCK: Duration = Duration::from_secs(10);

/// What a log needs to know.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// The folder `log` of the state directory; the stream has a folder of its name in it.
    pub dir: PathBuf,
    /// Whose log it is.
    pub install: InstallId,
    /// The log's name: letters, digits, `.`, `_`, `-`.
    pub stream: String,
    /// A file is closed after this many bytes.
    pub file_bytes: u64,
    /// A file is closed when its first event is this old.
    pub file_age: Duration,
    /// Bytes of disk kept free for the events that say how things ended.
    pub reserve: u64,
}

impl LogSettings {
    /// Files of 16 MiB or a day, a reserve of 1 MiB.
    pub fn new(dir: impl Into<PathBuf>, install: InstallId, stream: impl Into<String>) -> Self {
        let (file_bytes, file_age) = (16 * 1024 * 1024, Duration::from_secs(24 * 3600));
        Self { dir: dir.into(), install, stream: stream.into(), file_bytes, file_age, reserve: 1024 * 1024 }
    }
}

/// Why an event is not in the log. What it speaks of must then not happen.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// More than 64 KiB.
    #[error("the event has {0} bytes, and the log takes at most 65536")]
    TooLarge(usize),
    /// No room on the disk; what is left is kept for end events.
    #[error("the disk of the audit log is full")]
    Full,
    /// The disk failed.
    #[error("the audit log could not be written")]
    Io(#[source] io::Error),
    /// The event cannot be written as JSON.
    #[error("the event cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    /// The log could not be synced earlier, or was closed.
    #[error("the audit log takes no more events: {0}")]
    Stopped(&'static str),
}

/// Proof that an event is in the log: it survives a kill of the process.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "this is the proof that an effect may go ahead"]
pub struct Logged {
    seq: u64,
    id: String,
}

impl Logged {
    /// Its number.
    pub fn seq(&self) -> u64 {
        self.seq
    }
    /// Its id, a UUIDv7.
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// Proof that an event is in the log, on disk and under HEAD: it survives a power cut.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "this is the proof that an effect may go ahead"]
pub struct Durable(Logged);

impl Durable {
    /// What this is more than.
    pub fn logged(&self) -> &Logged {
        &self.0
    }
}

/// The log. Clones are the same log.
#[derive(Clone)]
pub struct Log(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) settings: LogSettings,
    pub(crate) paths: Paths,
    pub(crate) sign: Arc<dyn Sign>,
    writer: Mutex<Writer>,
    seen: watch::Sender<Seen>,
    last: watch::Sender<u64>,
    pub(crate) synced: watch::Sender<Synced>,
    pub(crate) checkpoints: watch::Sender<Option<Checkpoint>>,
    /// Lines of `checkpoints` when the log was started.
    pub(crate) old_checkpoints: u64,
    pub(crate) bell: Bell,
    /// Of commits that had something to sync.
    pub(crate) syncs: Timing,
    /// Since this log was opened, in milliseconds: when the commit thread last came round.
    pub(crate) came_round: AtomicU64,
    pub(crate) opened: Instant,
}

/// How far the commit thread got.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Synced {
    pub(crate) upto: u64,
    /// Commits that failed: whoever waits then fails too.
    pub(crate) failures: u64,
    /// Whether the last one did.
    pub(crate) failing: bool,
    pub(crate) closed: bool,
}

/// Wakes the commit thread.
#[derive(Default)]
pub(crate) struct Bell {
    pub(crate) rung: Mutex<Rung>,
    pub(crate) bell: Condvar,
}

#[derive(Default)]
pub(crate) struct Rung {
    pub(crate) urgent: bool,
    pub(crate) stop: bool,
}

impl Bell {
    pub(crate) fn ring(&self, how: impl FnOnce(&mut Rung)) {
        how(&mut self.rung.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        self.bell.notify_one();
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("stream", &self.0.settings.stream).finish_non_exhaustive()
    }
}

impl Log {
    /// Opens or makes the log, checks it, and repairs a line that a kill cut off. Its events become durable only while
    /// [`crate::commit::Commits`] runs. Blocks on the disk.
    pub fn start(settings: LogSettings, sign: Arc<dyn Sign>) -> Result<(Self, Repaired), StartError> {
        start::start(settings, sign)
    }

    pub(crate) fn new(settings: LogSettings, paths: Paths, sign: Arc<dyn Sign>, writer: Writer, synced: u64, old_checkpoints: u64) -> Self {
        let (seen, last) = (watch::Sender::new(writer.seen()), watch::Sender::new(writer.seen().seq));
        let synced = watch::Sender::new(Synced { upto: synced, ..Synced::default() });
        let (checkpoints, bell) = (watch::Sender::new(None), Bell::default());
        let (syncs, came_round, opened) = (Timing::default(), AtomicU64::new(0), Instant::now());
        Self(Arc::new(Shared {
            settings,
            paths,
            sign,
            writer: Mutex::new(writer),
            seen,
            last,
            synced,
            checkpoints,
            old_checkpoints,
            bell,
            syncs,
            came_round,
            opened,
        }))
    }

    pub(crate) fn writer(&self) -> Result<MutexGuard<'_, Writer>, LogError> {
        self.0.writer.lock().map_err(|_| LogError::Stopped("a write did not end"))
    }

    pub(crate) fn snapshot(&self) -> Result<Snapshot, LogError> {
        Ok(self.writer()?.snapshot())
    }

    /// Appends an event. When this returns it survives a kill of the process. Some tens of microseconds; no await.
    pub fn append(&self, event: &Event) -> Result<Logged, LogError> {
        let (seq, id) = {
            let mut writer = self.writer()?;
            let written = writer.append(event, speaks_of_an_end(&event.what))?;
            // Sent under the lock, so that the number never goes back.
            self.0.seen.send_replace(writer.seen());
            self.0.last.send_replace(written.0);
            written
        };
        Ok(Logged { seq, id })
    }

    /// Waits until the event is on disk and under HEAD; a waiter makes the next commit come at once.
    pub async fn durable(&self, logged: Logged) -> Result<Durable, LogError> {
        let mut synced = self.0.synced.subscribe();
        let failures = synced.borrow_and_update().failures;
        self.0.bell.ring(|rung| rung.urgent = true);
        let reached = synced.wait_for(|now| now.upto >= logged.seq || now.failures > failures || now.closed).await;
        match reached {
            Ok(now) if now.upto >= logged.seq => Ok(Durable(logged)),
            Ok(now) if now.failures > failures => Err(LogError::Io(io::Error::other("the event was written and could not be synced"))),
            _ => Err(LogError::Stopped("it was closed")),
        }
    }

    /// A cursor that begins with the event `from` (the first has 1).
    pub fn reader(&self, from: u64) -> Result<LogReader, ReadError> {
        LogReader::live(self.0.paths.clone(), self.0.seen.subscribe(), from)
    }

    /// The number of the last event; moves with every append.
    pub fn last(&self) -> watch::Receiver<u64> {
        self.0.last.subscribe()
    }

    /// The newest checkpoint of this process, to be carried away by a sink.
    pub fn checkpoints(&self) -> watch::Receiver<Option<Checkpoint>> {
        self.0.checkpoints.subscribe()
    }

    /// The signed checkpoint that begins at this byte of their file, as stored, and where the next one begins; none when it has not
    /// left yet. Blocks on the disk.
    pub fn checkpoint_at(&self, byte: u64) -> Result<Option<(Vec<u8>, u64)>, ReadError> {
        read::checkpoint(&self.0.paths, byte)
    }

    /// How long commits took that had something to sync.
    pub fn syncs(&self) -> &Timing {
        &self.0.syncs
    }

    /// Why events cannot be relied on to get in or to become durable, if so. Never waits: a disk that hangs shows by the commit thread,
    /// which did not come round for [`STUCK`].
    ///
    /// # Errors
    /// One sentence.
    pub fn check(&self) -> Result<(), String> {
        let age = self.0.opened.elapsed().saturating_sub(Duration::from_millis(self.0.came_round.load(Ordering::Relaxed)));
        if age > STUCK {
            return Err(format!("nothing was committed for {} s", age.as_secs()));
        }
        let synced = *self.0.synced.borrow();
        if synced.closed || synced.failing {
            return Err(if synced.closed { "the log is closed" } else { "the last commit failed" }.to_owned());
        }
        match self.0.writer.try_lock().ok().map(|writer| (writer.stopped, writer.reserve)) {
            Some((Some(cause), _)) => Err(format!("the log takes no more events: {cause}")),
            Some((None, false)) => Err(LogError::Full.to_string()),
            // Somebody writes at this moment.
            Some((None, true)) | None => Ok(()),
        }
    }

    /// Events that fit, oldest first, from the event `from` on.
    pub fn search(&self, filter: Filter, from: u64, limit: usize) -> Result<Search, ReadError> {
        Ok(Search::new(self.reader(from)?, filter, limit))
    }
}

/// These events still get in when the disk is full.
fn speaks_of_an_end(what: &What) -> bool {
    matches!(
        what,
        What::SessionEnd { .. }
            | What::SessionTerminated { .. }
            | What::RecordingLost { .. }
            | What::ServerStopped {}
            | What::SinkFailed { .. }
            | What::ViewStale { .. }
            | What::AuditGap { .. }
            | What::StoreRestored { .. }
    )
}

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
