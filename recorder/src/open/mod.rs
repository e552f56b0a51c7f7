//! The door of the recorder: settings, the recorder that all sessions share, and what it keeps for the frame maker and for readers.
//! What one session does with its recording is in `session.rs`.

mod closing;
mod permitted;
mod session;

pub use closing::Closing;
pub use permitted::Circumstances;
pub use session::{OpenRecording, RecordError, Recorded};

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use access::decide::{OpenSession, Permit};
use access::event::Lost;
use access::words::{InstallId, SessionId};
use tokio::sync::{Notify, oneshot, watch};
use wire::frames::Exit;
use wire::journal::{Ending, Kind, Position, Recording, Snapshot};
use wire::proof::{Hash, JournalHead, Sign};

use crate::files;
use crate::frames::Maker;
use crate::journal::{AppendError, Class, Entry, Journal};
use crate::recover::{Recovered, recover};
use crate::segment::{Cast, Limits, folder};

/// Where a recorder keeps its things, and its bounds.
#[derive(Debug, Clone)]
pub struct RecorderSettings {
    /// The state directory: `journal/`, `recordings/` and `cache/` lie in it.
    pub dir: PathBuf,
    /// Whose recordings these are.
    pub install: InstallId,
    /// Bytes of one journal file, 64 KiB to 2 GiB.
    pub journal_file: u64,
    /// Most bytes of the journal that may wait for the frame maker.
    pub backlog: u64,
    /// Bytes of cast text of one zstd frame.
    pub frame_text: usize,
    /// How long text may wait for its frame to fill.
    pub frame_age: Duration,
    /// Bytes stored after which a segment ends.
    pub segment: u64,
    /// Bytes kept free for endings when the disk is full.
    pub reserve: u64,
    /// Up to where the signed HEAD covers the journal: what is not there any more of that is told as damage.
    pub covered: Option<JournalHead>,
}

impl RecorderSettings {
    /// The defaults, for a state directory.
    pub fn new(dir: impl Into<PathBuf>, install: InstallId) -> Self {
        Self {
            dir: dir.into(),
            install,
            journal_file: 64 << 20,
            backlog: 1 << 30,
            frame_text: 256 << 10,
            frame_age: Duration::from_secs(5),
            segment: 4 << 20,
            reserve: 4 << 20,
            covered: None,
        }
    }
}

/// Why a recorder does not start.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum StartError {
    #[error("the recorder's folder {path} cannot be used")]
    Folder { path: PathBuf, source: io::Error },
    #[error("the recordings that were open cannot be finished")]
    Recover(#[source] io::Error),
    #[error("the journal cannot be begun")]
    Journal(#[source] io::Error),
    #[error("the thread that makes frames cannot be started")]
    Thread(#[source] io::Error),
}

/// The recorder of one proxy. Cheap to clone; when the last clone and the last [`OpenRecording`] are dropped, everything is stored.
#[derive(Clone)]
pub struct Recordings {
    pub(crate) shared: Arc<Shared>,
    _owner: Arc<Owner>,
}

impl fmt::Debug for Recordings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recordings").field("dir", &self.shared.dir).field("backlog", &self.backlog()).finish_non_exhaustive()
    }
}

/// Ends the frame maker.
struct Owner {
    shared: Arc<Shared>,
    maker: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.wake_maker();
        let maker = self.maker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if maker.is_some_and(|maker| maker.join().is_err()) {
            tracing::error!("the frame maker panicked; the next start finishes its recordings from the journal");
        }
    }
}

/// A recording that is closed: stored, its manifest signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedRecording {
    /// blake3 of the stored manifest; nothing where nothing was to be recorded.
    pub manifest: Option<Hash>,
    /// Bytes of output recorded.
    pub output_bytes: u64,
    /// Bytes of input counted.
    pub input_bytes: u64,
    /// How long it was.
    pub duration: Duration,
    /// Why it ended, as in `session.end`.
    pub reason: String,
    /// How the program ended, where it did.
    pub exit: Option<Exit>,
    /// What it does not have.
    pub lost: Lost,
}

impl ClosedRecording {
    pub(crate) fn of(cast: &Cast, manifest: Hash) -> Self {
        let convert = &cast.convert;
        Self {
            manifest: Some(manifest),
            output_bytes: convert.output_bytes,
            input_bytes: convert.input_bytes,
            duration: Duration::from_micros(convert.elapsed),
            reason: convert.ending.as_ref().map_or_else(String::new, |ending| ending.reason.clone()),
            exit: convert.ending.as_ref().and_then(|ending| ending.exit.clone()),
            lost: convert.lost.clone(),
        }
    }
}

/// How far a live session's cast is stored, and where in the journal the rest begins.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) from: Position,
}

/// What sessions, the frame maker and readers share. No lock in it is held while another is taken, nor across an await.
pub(crate) struct Shared {
    pub(crate) dir: PathBuf,
    pub(crate) install: InstallId,
    pub(crate) sign: Arc<dyn Sign>,
    pub(crate) limits: Limits,
    pub(crate) journal: Journal,
    pub(crate) stop: AtomicBool,
    /// Woken when something was appended: for watchers.
    pub(crate) appended: Notify,
    /// Woken when the backlog has room again.
    room: Notify,
    trouble: watch::Sender<Option<Arc<str>>>,
    reserve: u64,
    live: Mutex<HashMap<SessionId, Live>>,
    waiters: Mutex<HashMap<SessionId, oneshot::Sender<ClosedRecording>>>,
    endings: Mutex<Vec<(SessionId, u64, Ending)>>,
    maker: OnceLock<Thread>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each critical section is one map operation: there is no half-done state to fear after a panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn wake_maker(&self) {
        if let Some(maker) = self.maker.get() {
            maker.unpark();
        }
    }

    pub(crate) fn consumed(&self, bytes: u64) {
        self.making_room(|| self.journal.consumed(bytes));
    }

    pub(crate) fn free_before(&self, file: u64) {
        self.making_room(|| self.journal.free_before(file));
    }

    fn making_room(&self, make: impl FnOnce()) {
        let full = !self.journal.has_room();
        make();
        if full && self.journal.has_room() {
            self.room.notify_waiters();
        }
    }

    pub(crate) fn trouble(&self) -> Option<Arc<str>> {
        self.trouble.borrow().clone()
    }

    pub(crate) fn set_trouble(&self, trouble: Option<String>) {
        let trouble = trouble.map(Arc::from);
        self.trouble.send_if_modified(|old| {
            let changed = *old != trouble;
            *old = trouble;
            changed
        });
    }

    pub(crate) fn live(&self, session: &SessionId) -> Option<Live> {
        locked(&self.live).get(session).cloned()
    }

    pub(crate) fn live_sessions(&self) -> Vec<(SessionId, Live)> {
        locked(&self.live).iter().map(|(session, live)| (*session, live.clone())).collect()
    }

    pub(crate) fn set_live(&self, session: &SessionId, live: Live) {
        locked(&self.live).insert(*session, live);
    }

    /// Everything before `from` is stored: readers need not look there.
    pub(crate) fn set_live_from(&self, session: &SessionId, cast: &Cast, from: Position) {
        if let Some(live) = locked(&self.live).get_mut(session) {
            if live.snapshot.framed.upto != cast.upto {
                live.snapshot = Arc::new(cast.snapshot());
            }
            live.from = from;
        }
    }

    /// The recording is stored and signed: whoever waits is told.
    pub(crate) fn closed(&self, session: &SessionId, closed: ClosedRecording) {
        locked(&self.live).remove(session);
        let waiter = locked(&self.waiters).remove(session);
        if let Some(waiter) = waiter {
            // Whoever waited may have given up.
            let _ = waiter.send(closed);
        }
        self.appended.notify_waiters();
    }

    /// Whether somebody waits for a recording to be closed.
    pub(crate) fn is_awaited(&self) -> bool {
        !locked(&self.waiters).is_empty()
    }

    pub(crate) fn take_endings(&self) -> Vec<(SessionId, u64, Ending)> {
        std::mem::take(&mut *locked(&self.endings))
    }

    /// Ends a session: by a record, and where the journal is full, past it.
    fn end(&self, session: SessionId, elapsed: u64, ending: Ending) {
        let entry = Entry { kind: Kind::Close, stream: None, session, elapsed, offset: 0 };
        if let Err(error) = self.journal.append_json(&entry, &ending) {
            tracing::warn!(%session, %error, "the end of a session did not fit into the journal");
            locked(&self.endings).push((session, elapsed, ending));
        }
        self.appended.notify_waiters();
        self.wake_maker();
    }

    fn reserve_path(&self) -> PathBuf {
        self.dir.join("journal").join("reserve")
    }

    /// Gives the reserved space back to the disk.
    pub(crate) fn free_reserve(&self) {
        let _ = fs::remove_file(self.reserve_path());
    }

    /// Takes the reserved space again once there is room.
    pub(crate) fn keep_reserve(&self) {
        let path = self.reserve_path();
        if self.reserve > 0 && !path.exists() {
            // Without it a later full disk is only less comfortable.
            let _ = files::preallocated(&path, self.reserve);
        }
    }
}

impl Recordings {
    /// Finishes what an earlier run left open, then begins a new journal file and the frame maker's thread. Blocks while it reads the
    /// journal back: at most the backlog.
    pub fn start(settings: RecorderSettings, sign: Arc<dyn Sign>) -> Result<(Self, Recovered), StartError> {
        let journal_dir = settings.dir.join("journal");
        for path in [journal_dir.clone(), settings.dir.join("recordings"), settings.dir.join("cache")] {
            files::private_dir(&path).map_err(|source| StartError::Folder { path, source })?;
        }
        let limits = Limits { frame: settings.frame_text, age: settings.frame_age, segment: settings.segment };
        // Finishing may need the space.
        let _ = fs::remove_file(journal_dir.join("reserve"));
        let (old, recovered) = recover(&settings.dir, &settings.install, &*sign, &limits, settings.covered).map_err(StartError::Recover)?;
        let size = settings.journal_file.clamp(64 << 10, 2 << 30);
        let journal = Journal::begin(&journal_dir, settings.install.clone(), size, settings.backlog, old.last, old.files)
            .map_err(|error| StartError::Journal(io_error(error)))?;
        for (session, manifest) in &old.sealed {
            let entry = Entry { kind: Kind::Sealed, stream: None, session: *session, elapsed: 0, offset: 0 };
            let sealed = wire::journal::Sealed { manifest: *manifest };
            journal.append_json(&entry, &sealed).map_err(|error| StartError::Journal(io_error(error)))?;
        }
        let shared = Arc::new(Shared {
            dir: settings.dir,
            install: settings.install,
            sign,
            limits,
            journal,
            stop: AtomicBool::new(false),
            appended: Notify::new(),
            room: Notify::new(),
            trouble: watch::Sender::new(None),
            reserve: settings.reserve,
            live: Mutex::new(HashMap::new()),
            waiters: Mutex::new(HashMap::new()),
            endings: Mutex::new(Vec::new()),
            maker: OnceLock::new(),
        });
        shared.keep_reserve();
        let maker = Maker::new(Arc::clone(&shared)).map_err(StartError::Thread)?;
        let thread = std::thread::Builder::new().name("frames".into()).spawn(move || maker.run()).map_err(StartError::Thread)?;
        let _ = shared.maker.set(thread.thread().clone());
        let owner = Owner { shared: Arc::clone(&shared), maker: Mutex::new(Some(thread)) };
        Ok((Self { shared, _owner: Arc::new(owner) }, recovered))
    }

    /// Opens the recording of a session that begins now: of the permit's person, as the permit demands. Where that is
    /// [`Recording::Off`] nothing is written.
    /// Errors as [`OpenRecording::output`]; a strict session is not opened while the disk is full.
    pub fn open(&self, permit: &Permit<OpenSession>, circumstances: Circumstances) -> Result<OpenRecording, RecordError> {
        let (opened, began) = (permitted::opened(permit, circumstances), Instant::now());
        let (session, mode) = (opened.about.session, opened.mode);
        if mode.recording == Recording::Off {
            return Ok(OpenRecording::new(self.clone(), session, mode, began));
        }
        if let (Recording::Strict, Some(cause)) = (mode.recording, self.shared.trouble()) {
            return Err(RecordError::Full(cause.to_string()));
        }
        let entry = Entry { kind: Kind::Open, stream: None, session, elapsed: 0, offset: 0 };
        let payload = serde_json::to_vec(&opened).map_err(|error| RecordError::Io(error.to_string()))?;
        let from = self.shared.journal.append(Class::Live, &entry, &payload)?;
        let snapshot = Cast::new(folder(&self.shared.dir, &session), opened, from).snapshot();
        self.shared.set_live(&session, Live { snapshot: Arc::new(snapshot), from });
        self.shared.wake_maker();
        Ok(OpenRecording::new(self.clone(), session, mode, began))
    }

    /// The journal, for the commit thread.
    pub fn journal(&self) -> &Journal {
        &self.shared.journal
    }

    /// Bytes of the journal that wait for the frame maker.
    pub fn backlog(&self) -> u64 {
        self.shared.journal.backlog()
    }

    /// Why recordings cannot be stored at the moment, if so: strict sessions are to end, new ones are refused.
    pub fn trouble(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.shared.trouble.subscribe()
    }

    pub(crate) async fn room(&self) {
        loop {
            let notified = self.shared.room.notified();
            if self.shared.journal.has_room() || self.shared.trouble().is_some() {
                return;
            }
            self.shared.wake_maker();
            // The wait has an end of its own, since a full disk shows as trouble and not as room.
            let _ = tokio::time::timeout(Duration::from_millis(200), notified).await;
        }
    }
}

fn io_error(error: AppendError) -> io::Error {
    match error {
        AppendError::Io(error) => error,
        other => io::Error::other(other),
    }
}
