//! The end of the log that grows: one file, one chain, one write per event. Whoever holds it holds the log's lock.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Instant;

use access::event::Event;
use rustix::fs::FallocateFlags;
use uuid::Uuid;
use wire::proof::log::{MAX_LINE, Stamp, make_line};
use wire::proof::{Hash, LogSeal, Sign, seal};

use super::files::{self, Paths};
use super::read::Seen;
use super::{LogError, LogSettings, now};

/// Most bytes of an event as JSON; the rest of [`MAX_LINE`] is for what the log adds.
const MAX_EVENT: usize = 64 * 1024;

/// What a commit needs: the file to sync and what HEAD is to say.
pub(crate) struct Snapshot {
    pub(crate) file: Arc<File>,
    pub(crate) count: u64,
    pub(crate) hash: Hash,
}

/// The file that is being written.
pub(crate) struct Current {
    pub(crate) file: Arc<File>,
    pub(crate) number: u64,
    /// `seq` of its first event.
    pub(crate) first: u64,
    pub(crate) prev: Hash,
    pub(crate) bytes: u64,
    pub(crate) hash: blake3::Hasher,
    /// When its first event was written; none while it is empty.
    pub(crate) since: Option<Instant>,
}

impl Current {
    pub(crate) fn make(paths: &Paths, number: u64, first: u64, prev: Hash) -> io::Result<Self> {
        let file = Arc::new(files::open(&paths.lines(number))?);
        files::sync_folder(paths.dir())?;
        Ok(Self { file, number, first, prev, bytes: 0, hash: blake3::Hasher::new(), since: None })
    }
}

pub(crate) struct Writer {
    pub(crate) settings: LogSettings,
    pub(crate) paths: Paths,
    pub(crate) sign: Arc<dyn Sign>,
    pub(crate) current: Current,
    pub(crate) seq: u64,
    pub(crate) last: Hash,
    /// False after the reserve was given to end events: nothing else gets in until it is there again.
    pub(crate) reserve: bool,
    pub(crate) stopped: Option<&'static str>,
}

impl Writer {
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot { file: self.current.file.clone(), count: self.seq, hash: self.last }
    }

    /// How far readers may go.
    pub(crate) fn seen(&self) -> Seen {
        Seen { seq: self.seq, file: self.current.number, bytes: self.current.bytes }
    }

    /// Answers number and id.
    pub(crate) fn append(&mut self, event: &Event, ending: bool) -> Result<(u64, String), LogError> {
        if let Some(why) = self.stopped {
            return Err(LogError::Stopped(why));
        }
        if !self.reserve && !ending {
            return Err(LogError::Full);
        }
        let id = Uuid::now_v7().to_string();
        let stamp = Stamp { id, stream: self.settings.stream.clone(), seq: self.seq + 1, prev: self.last, logged_time: now() };
        let (mut line, hash) = make_line(event, &stamp)?;
        if line.len() > MAX_EVENT.min(MAX_LINE) {
            return Err(LogError::TooLarge(line.len()));
        }
        line.push(b'\n');
        if self.is_due() {
            self.with_reserve(ending, Self::roll)?;
        }
        self.with_reserve(ending, |writer| writer.write(&line))?;
        self.current.bytes += line.len() as u64;
        self.current.hash.update(&line);
        self.current.since.get_or_insert_with(Instant::now);
        (self.seq, self.last) = (stamp.seq, hash);
        Ok((stamp.seq, stamp.id))
    }

    fn with_reserve(&mut self, ending: bool, mut attempt: impl FnMut(&mut Self) -> io::Result<()>) -> Result<(), LogError> {
        let failed = match attempt(self) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if !files::is_full(&failed) {
            return Err(LogError::Io(failed));
        }
        if !ending {
            return Err(LogError::Full);
        }
        self.release_reserve();
        attempt(self).map_err(|error| if files::is_full(&error) { LogError::Full } else { LogError::Io(error) })
    }

    /// One write; what a failed one left behind is cut off again, or nothing more is written.
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let Err(error) = self.current.file.write_all_at(line, self.current.bytes) else { return Ok(()) };
        if self.current.file.set_len(self.current.bytes).is_err() {
            self.stopped = Some("a failed write could not be taken back");
        }
        Err(error)
    }

    fn is_due(&self) -> bool {
        let old = self.current.since.is_some_and(|since| since.elapsed() >= self.settings.file_age);
        self.current.bytes > 0 && (old || self.current.bytes >= self.settings.file_bytes)
    }

    /// Closes the file with a signed seal and begins the next. The seal comes first, so that only the last file can be without one.
    fn roll(&mut self) -> io::Result<()> {
        self.current.file.sync_data()?;
        let number = self.current.number;
        let sealed = LogSeal {
            install: self.settings.install.clone(),
            stream: self.settings.stream.clone(),
            segment: number,
            first: self.current.first,
            count: self.seq + 1 - self.current.first,
            prev: self.current.prev,
            last: self.last,
            bytes: self.current.bytes,
            blake3: Hash(*self.current.hash.finalize().as_bytes()),
        };
        store::state::replace(&self.paths.seal(number), &seal(&sealed, self.sign.as_ref()), 0o600)?;
        self.current = Current::make(&self.paths, number + 1, self.seq + 1, self.last)?;
        Ok(())
    }

    /// Gives the reserved bytes back to the disk.
    pub(crate) fn release_reserve(&mut self) {
        self.reserve = false;
        match fs::remove_file(self.paths.reserve()) {
            Ok(()) => tracing::warn!("the disk of the audit log is full: its reserve is released for end events"),
            Err(error) => tracing::error!(%error, "the reserve of the audit log could not be released"),
        }
    }

    /// Takes the reserve again when there is room for it.
    pub(crate) fn take_reserve(&mut self) -> io::Result<()> {
        if self.reserve {
            return Ok(());
        }
        let path = self.paths.reserve();
        let taken = files::open(&path).and_then(|file| reserve(&file, self.settings.reserve));
        match taken {
            Ok(()) => self.reserve = true,
            Err(_) => fs::remove_file(&path)?,
        }
        taken
    }
}

fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes) {
        // Some file systems cannot reserve: bytes that are written take the room too.
        Err(rustix::io::Errno::OPNOTSUPP) => {
            let zeros = [0; 4096];
            for at in (0..bytes).step_by(zeros.len()) {
                file.write_all_at(&zeros, at)?;
            }
        }
        other => other?,
    }
    file.sync_all()
}
