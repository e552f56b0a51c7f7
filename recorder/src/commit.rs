//! The group commit: one thread that syncs journal and log for everybody, signs HEAD, and lets checkpoints go.
//!
//! Nothing is written here that was not appended elsewhere. The journal is reached through the function that is given.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use wire::proof::{Checkpoint, Head, JournalHead, seal};

use crate::log::{Log, LogError, Snapshot, now};

/// Syncs the journal; answers how far it is now on disk, or none when there is no journal.
pub type JournalSync = Box<dyn FnMut() -> io::Result<Option<JournalHead>> + Send>;

/// The revision of the store that is on disk, or none when HEAD is to name none.
pub type StoreRevision = Box<dyn FnMut() -> Option<u64> + Send>;

/// What is not yet on disk is at most this old.
const INTERVAL: Duration = Duration::from_millis(200);
/// A checkpoint leaves after this many events or this time, whichever comes first.
const CHECKPOINT_EVENTS: u64 = 1000;
const CHECKPOINT_AGE: Duration = Duration::from_secs(60);

/// The running commit thread. Dropping it commits a last time too, without telling how that went.
#[derive(Debug)]
pub struct Commits {
    log: Log,
    thread: Option<JoinHandle<Result<(), LogError>>>,
}

impl Commits {
    /// Starts committing this log, and the journal through `journal`.
    pub fn start(log: Log, journal: JournalSync) -> io::Result<Self> {
        Self::with_store(log, journal, Box::new(|| None))
    }

    /// As [`Self::start`], with the store's revision in HEAD.
    pub fn with_store(log: Log, journal: JournalSync, store: StoreRevision) -> io::Result<Self> {
        let (at, count) = (Instant::now(), log.0.synced.borrow().upto);
        let checkpoints = log.0.old_checkpoints;
        let mut work =
            Work { log: log.clone(), journal, store, committed: (count, None, None), checkpoint: count, checkpoint_at: at, checkpoints };
        let thread = std::thread::Builder::new().name("commit".into()).spawn(move || work.run())?;
        Ok(Self { log, thread: Some(thread) })
    }

    /// Commits a last time, leaves a last checkpoint, and ends. Events appended after this are not durable. Blocks.
    pub fn stop(mut self) -> Result<(), LogError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), LogError> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        self.log.0.bell.ring(|rung| rung.stop = true);
        thread.join().unwrap_or(Err(LogError::Stopped("the commit thread ended badly")))
    }
}

impl Drop for Commits {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::error!(%error, "the last commit of the audit log failed");
        }
    }
}

struct Work {
    log: Log,
    journal: JournalSync,
    store: StoreRevision,
    /// What HEAD says now.
    committed: (u64, Option<JournalHead>, Option<u64>),
    /// What the last checkpoint says, and when it left.
    checkpoint: u64,
    checkpoint_at: Instant,
    /// Lines of `checkpoints`.
    checkpoints: u64,
}

impl Work {
    fn run(&mut self) -> Result<(), LogError> {
        loop {
            let stop = self.wait();
            let done = self.commit(stop);
            let round = u64::try_from(self.log.0.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.log.0.came_round.store(round, Ordering::Relaxed);
            self.log.0.synced.send_if_modified(|synced| std::mem::replace(&mut synced.failing, done.is_err()) != done.is_err());
            if let Err(error) = &done {
                tracing::error!(%error, "the audit log could not be committed");
                self.log.0.synced.send_modify(|synced| synced.failures += 1);
            }
            if stop {
                self.log.0.synced.send_modify(|synced| synced.closed = true);
                return done;
            }
        }
    }

    /// Until somebody waits for durability, or the interval is over. Those who come during a commit share the next one.
    fn wait(&self) -> bool {
        let bell = &self.log.0.bell;
        let rung = bell.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = |rung: &mut crate::log::Rung| !rung.urgent && !rung.stop;
        let (mut rung, _) = bell.bell.wait_timeout_while(rung, INTERVAL, idle).unwrap_or_else(PoisonError::into_inner);
        rung.urgent = false;
        rung.stop
    }

    fn commit(&mut self, stop: bool) -> Result<(), LogError> {
        let began = Instant::now();
        // The log first: a session is in the journal before the log speaks of it, so what HEAD covers of the log it covers of the journal.
        let end = self.log.snapshot()?;
        let journal = (self.journal)().map_err(LogError::Io)?;
        let store = (self.store)();
        if (end.count, journal, store) != self.committed {
            if let Err(error) = end.file.sync_data() {
                // What a failed sync left on disk cannot be known: nothing more may be promised.
                self.log.writer()?.stopped = Some("its disk failed to sync");
                return Err(LogError::Io(error));
            }
            self.write_head(&end, journal, store)?;
            // Files of the journal before this one may be freed from now on. After a power cut an older HEAD would miss them.
            if journal.map(|head| head.file) != self.committed.1.map(|head| head.file) {
                File::open(self.log.0.paths.dir()).and_then(|dir| dir.sync_all()).map_err(LogError::Io)?;
            }
            self.committed = (end.count, journal, store);
            self.log.0.syncs.took(began.elapsed());
        }
        self.log.0.synced.send_modify(|synced| synced.upto = end.count);
        let behind = end.count - self.checkpoint;
        if behind >= CHECKPOINT_EVENTS || (behind > 0 && (stop || self.checkpoint_at.elapsed() >= CHECKPOINT_AGE)) {
            let settings = &self.log.0.settings;
            let (install, stream) = (settings.install.clone(), settings.stream.clone());
            self.leave(Checkpoint { install, stream, count: end.count, hash: end.hash, time: now() }).map_err(LogError::Io)?;
            // HEAD counts the checkpoints, so that a line removed from them shows. It comes second: one more than it says is no fault.
            self.write_head(&end, journal, store)?;
        }
        let mut writer = self.log.writer()?;
        if !writer.reserve && writer.take_reserve().is_ok() {
            tracing::info!("the disk of the audit log has room again");
        }
        Ok(())
    }

    /// A new file in the place of the old one: a crash leaves either whole. On a full disk the reserve gives the room.
    fn write_head(&self, end: &Snapshot, journal: Option<JournalHead>, store: Option<u64>) -> Result<(), LogError> {
        let settings = &self.log.0.settings;
        let (install, stream) = (settings.install.clone(), settings.stream.clone());
        let head = Head { install, stream, count: end.count, hash: end.hash, time: now(), checkpoints: self.checkpoints, journal, store };
        let bytes = seal(&head, self.log.0.sign.as_ref());
        match replace(&self.log, &bytes) {
            Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
                self.log.writer()?.release_reserve();
                replace(&self.log, &bytes).map_err(|_| LogError::Full)
            }
            other => other.map_err(LogError::Io),
        }
    }

    fn leave(&mut self, checkpoint: Checkpoint) -> io::Result<()> {
        let mut line = seal(&checkpoint, self.log.0.sign.as_ref());
        line.push(b'\n');
        let path = self.log.0.paths.checkpoints();
        let mut file = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        let length = file.metadata()?.len();
        if let Err(error) = file.write_all(&line) {
            file.set_len(length)?;
            return Err(error);
        }
        file.sync_data()?;
        self.checkpoints += 1;
        (self.checkpoint, self.checkpoint_at) = (checkpoint.count, Instant::now());
        self.log.0.checkpoints.send_replace(Some(checkpoint));
        Ok(())
    }
}

/// Without `fsync` of the folder: after a power cut the old HEAD may stand, and what it covers is still there.
fn replace(log: &Log, bytes: &[u8]) -> io::Result<()> {
    let temp = log.0.paths.dir().join("HEAD.new");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temp)?;
    file.write_all(bytes)?;
    File::sync_data(&file)?;
    std::fs::rename(&temp, log.0.paths.head())
}
