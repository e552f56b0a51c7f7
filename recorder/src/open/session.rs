//! What one session does with its recording. Output is shown only as [`Recorded`]: nothing else makes one, and it is made after the
//! journal's `write` has returned, or where the session's role lets output go by and the gap is remembered.

use std::fmt;
use std::time::{Duration, Instant};

use access::event::Lost;
use access::words::SessionId;
use bytes::Bytes;
use tokio::sync::oneshot;
use wire::frames::{Size, Stream};
use wire::journal::{Ending, Gap, InputMark, Kind, Mode, Recording};
use wire::proof::Hash;

use super::closing::Closing;
use super::{ClosedRecording, Recordings, locked};
use crate::files;
use crate::journal::{AppendError, Class, Entry};

/// Most bytes of one record: well below what a reader of casts takes as a line.
const CHUNK: usize = 256 * 1024;
/// How often input that is only counted leaves a mark.
const MARK: Duration = Duration::from_secs(10);

/// How often the terminal's size is recorded at most.
const SIZE_EVERY: Duration = Duration::from_millis(50);

/// Why something was not recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum RecordError {
    #[error("the recorder has no room at the moment")]
    Backlog,
    #[error("the session cannot be recorded any more: {0}")]
    Full(String),
    #[error("the session could not be recorded: {0}")]
    Io(String),
}

impl From<AppendError> for RecordError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Backlog => Self::Backlog,
            AppendError::Io(error) if files::is_full(&error) => Self::Full(error.to_string()),
            other => Self::Io(other.to_string()),
        }
    }
}

/// Output that is recorded, or need not be: only this may be shown.
#[derive(Debug)]
#[must_use = "recorded output is to be shown"]
pub struct Recorded {
    stream: Stream,
    offset: u64,
    bytes: Bytes,
}

impl Recorded {
    /// Which stream.
    pub fn stream(&self) -> Stream {
        self.stream
    }
    /// Of its first byte in the session's output.
    pub fn offset(&self) -> u64 {
        self.offset
    }
    /// The bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
    /// The bytes, taken.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }
}

/// Bytes that went by unrecorded.
#[derive(Default)]
struct Missed {
    offset: u64,
    bytes: u64,
    hash: blake3::Hasher,
    cause: String,
}

impl Missed {
    fn add(&mut self, offset: u64, data: &[u8], cause: &str) {
        if self.bytes == 0 {
            self.offset = offset;
            cause.clone_into(&mut self.cause);
        }
        self.bytes += data.len() as u64;
        self.hash.update(data);
    }

    fn gap(&self) -> Gap {
        Gap { bytes: self.bytes, blake3: Hash(*self.hash.finalize().as_bytes()), cause: self.cause.clone(), continued: false }
    }
}

/// The recording of one live session. Dropped without [`Self::close`] it ends with the reason `abandoned`.
pub struct OpenRecording {
    recordings: Recordings,
    session: SessionId,
    mode: Mode,
    began: Instant,
    /// Bytes of output so far, recorded or let by.
    position: u64,
    recorded: u64,
    missed: Missed,
    cut: Missed,
    /// The beginning of what is cut was not asked for yet; and the recording has it.
    cut_begins: bool,
    cut_told: bool,
    lost: Lost,
    degraded: Option<String>,
    input: Missed,
    marked: Option<(Instant, u64)>,
    /// A size of the terminal that is not recorded yet, and when the last one was.
    size: Option<Size>,
    sized: Option<Instant>,
    /// Streams that have ended.
    ended: [Option<Stream>; 2],
    open: bool,
}

impl fmt::Debug for OpenRecording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenRecording").field("session", &self.session).field("position", &self.position).finish_non_exhaustive()
    }
}

impl OpenRecording {
    pub(super) fn new(recordings: Recordings, session: SessionId, mode: Mode, began: Instant) -> Self {
        Self {
            recordings,
            session,
            mode,
            began,
            position: 0,
            recorded: 0,
            missed: Missed::default(),
            cut: Missed::default(),
            cut_begins: false,
            cut_told: false,
            lost: Lost::default(),
            degraded: None,
            input: Missed::default(),
            marked: None,
            size: None,
            sized: None,
            ended: [None; 2],
            open: mode.recording != Recording::Off,
        }
    }

    /// Which session.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// Bytes of output so far: the offset that comes next.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Records output and gives it back as what may be shown. [`RecordError::Backlog`]: nothing was taken, await [`Self::room`] and
    /// give it again. Any other error: a strict session has to end.
    pub fn output(&mut self, stream: Stream, data: Bytes) -> Result<Recorded, RecordError> {
        let offset = self.position;
        if self.open {
            let left = self.mode.max_output.map_or(u64::MAX, |most| most.saturating_sub(self.recorded));
            let keep = data.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let (kept, over) = data.split_at(keep);
            // What is drawn from here on is drawn at that size.
            self.tell_size()?;
            match self.try_output(stream, offset, kept) {
                Ok(()) => self.recorded += kept.len() as u64,
                Err(error) if self.lets_by(&error) => {
                    if self.missed.bytes == 0 {
                        self.lost.begin(&error.to_string());
                    }
                    self.lost.bytes += kept.len() as u64;
                    self.missed.add(offset, kept, &error.to_string());
                    self.degraded.get_or_insert_with(|| error.to_string());
                }
                Err(error) => {
                    self.recordings.shared.wake_maker();
                    return Err(error);
                }
            }
            if !over.is_empty() {
                self.cut(offset + keep as u64, over);
            }
        }
        self.position += data.len() as u64;
        Ok(Recorded { stream, offset, bytes: data })
    }

    /// As [`Self::output`], and waits for room where there is none.
    pub async fn record(&mut self, stream: Stream, data: Bytes) -> Result<Recorded, RecordError> {
        loop {
            match self.output(stream, data.clone()) {
                Err(RecordError::Backlog) => self.room().await,
                other => return other,
            }
        }
    }

    /// Until the recorder takes more, or has trouble that the next call will tell.
    pub async fn room(&self) {
        if self.open {
            self.recordings.room().await;
        }
    }

    /// Bytes of output that are recorded.
    pub fn recorded(&self) -> u64 {
        self.recorded
    }

    /// Output that is not recorded, so far.
    pub fn lost(&self) -> &Lost {
        &self.lost
    }

    /// What went wrong, once, when output of a session begins to go by unrecorded as its role allows.
    pub fn degraded(&mut self) -> Option<String> {
        if std::mem::take(&mut self.cut_begins) {
            return Some(Lost::MAX_OUTPUT.to_owned());
        }
        // It stays taken until what was missed is marked, so that a long outage is told once.
        self.degraded.as_mut().filter(|cause| !cause.is_empty()).map(std::mem::take)
    }

    /// Input on its way to the program.
    pub fn input(&mut self, data: &[u8]) -> Result<(), RecordError> {
        let offset = self.input.bytes;
        if self.open && self.mode.record_input {
            for (at, part) in data.chunks(CHUNK).enumerate() {
                let entry = self.entry(Kind::Input, None, offset + (at * CHUNK) as u64);
                self.allowed(self.append(&entry, part))?;
            }
        }
        self.input.add(0, data, "");
        let due = self.marked.is_none_or(|(at, bytes)| at.elapsed() >= MARK && bytes != self.input.bytes);
        if self.open && !self.mode.record_input && due {
            self.mark_input()?;
        }
        Ok(())
    }

    /// The terminal has a new size. Of many at once the last is recorded, when there is room for it: a person drags a window, and a
    /// client that sends sizes without end takes nobody else's room.
    pub fn resize(&mut self, size: Size) -> Result<(), RecordError> {
        self.size = self.open.then_some(size);
        let due = self.sized.is_none_or(|at| at.elapsed() >= SIZE_EVERY);
        if due { self.tell_size() } else { Ok(()) }
    }

    fn tell_size(&mut self) -> Result<(), RecordError> {
        let Some(size) = self.size else { return Ok(()) };
        let payload = serde_json::to_vec(&size).map_err(|error| RecordError::Io(error.to_string()))?;
        match self.append(&self.entry(Kind::Resize, None, 0), &payload) {
            // It waits for what is recorded next.
            Err(RecordError::Backlog) => return Ok(()),
            other => self.allowed(other)?,
        }
        (self.size, self.sized) = (None, Some(Instant::now()));
        Ok(())
    }

    /// A stream of output ended. It ends once: what is said again needs no record.
    pub fn output_eof(&mut self, stream: Stream) -> Result<(), RecordError> {
        if self.ended.contains(&Some(stream)) {
            return Ok(());
        }
        self.ended = [self.ended[1], Some(stream)];
        let entry = self.entry(Kind::Eof, Some(stream), self.position);
        self.note(&entry, &())
    }

    /// Ends the recording; it is stored behind this.
    pub fn end(mut self, ending: Ending) -> Closing {
        let (session, reason, exit) = (self.session, ending.reason.clone(), ending.exit.clone());
        let stored = self.open.then(|| {
            let (sender, stored) = oneshot::channel();
            locked(&self.recordings.shared.waiters).insert(session, sender);
            stored
        });
        self.finish(ending);
        let (input_bytes, duration, lost) = (self.input.bytes, self.began.elapsed(), self.lost.clone());
        let so_far = ClosedRecording { manifest: None, output_bytes: self.recorded, input_bytes, duration, reason, exit, lost };
        Closing::new(so_far, stored, self.recordings.clone())
    }

    /// Ends the recording and waits until it is stored and signed.
    pub async fn close(self, ending: Ending) -> ClosedRecording {
        self.end(ending).stored().await.clone()
    }

    fn finish(&mut self, ending: Ending) {
        if !std::mem::take(&mut self.open) {
            return;
        }
        self.open = true;
        // What does not fit any more is lost to the recording, but the end is not.
        let _ = self.tell_size();
        let _ = self.tell_missed();
        if self.cut.bytes > 0 {
            let entry = self.entry(Kind::Gap, None, self.cut.offset);
            let gap = Gap { continued: self.cut_told, ..self.cut.gap() };
            let _ = self.recordings.shared.journal.append_json(&entry, &gap);
        }
        if !self.mode.record_input && self.input.bytes > 0 {
            let _ = self.mark_input();
        }
        self.open = false;
        self.recordings.shared.end(self.session, self.elapsed(), ending);
    }

    /// Takes what is over the role's bound. Its beginning is told to the recording at once, so that who watches sees it; how much it
    /// was, at the end.
    fn cut(&mut self, offset: u64, over: &[u8]) {
        if self.cut.bytes == 0 {
            self.lost.begin(Lost::MAX_OUTPUT);
            self.cut_begins = true;
            let begin = Gap { bytes: 0, blake3: Hash::ZERO, cause: Lost::MAX_OUTPUT.to_owned(), continued: false };
            // Where it does not fit, the end tells all of it.
            self.cut_told = self.recordings.shared.journal.append_json(&self.entry(Kind::Gap, None, offset), &begin).is_ok();
            self.recordings.shared.appended.notify_waiters();
        }
        self.lost.bytes += over.len() as u64;
        self.cut.add(offset, over, Lost::MAX_OUTPUT);
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn entry(&self, kind: Kind, stream: Option<Stream>, offset: u64) -> Entry {
        Entry { kind, stream, session: self.session, elapsed: self.elapsed(), offset }
    }

    fn append(&self, entry: &Entry, payload: &[u8]) -> Result<(), RecordError> {
        let shared = &self.recordings.shared;
        shared.journal.append(Class::Live, entry, payload)?;
        shared.appended.notify_waiters();
        Ok(())
    }

    fn try_output(&mut self, stream: Stream, offset: u64, data: &[u8]) -> Result<(), RecordError> {
        if let (Recording::Strict, Some(cause)) = (self.mode.recording, self.recordings.shared.trouble()) {
            return Err(RecordError::Full(cause.to_string()));
        }
        if self.missed.bytes > 0 {
            // One gap is told once: not before what comes after it has a chance.
            if !self.recordings.shared.journal.has_room() {
                return Err(RecordError::Backlog);
            }
            self.tell_missed()?;
        }
        let size = CHUNK.min(self.recordings.shared.journal.max_payload());
        for (at, part) in data.chunks(size).enumerate() {
            let entry = self.entry(Kind::Output, Some(stream), offset + (at * size) as u64);
            self.append(&entry, part).map_err(|error| match error {
                // Some of it is recorded: giving it again would record that twice.
                RecordError::Backlog if at > 0 => RecordError::Full("no room for the rest of a chunk".into()),
                other => other,
            })?;
        }
        Ok(())
    }

    /// Writes down what went by, before what is recorded again.
    fn tell_missed(&mut self) -> Result<(), RecordError> {
        if self.missed.bytes > 0 {
            let entry = self.entry(Kind::Gap, None, self.missed.offset);
            self.recordings.shared.journal.append_json(&entry, &self.missed.gap())?;
            self.missed = Missed::default();
            self.degraded = None;
        }
        Ok(())
    }

    fn lets_by(&self, error: &RecordError) -> bool {
        let waits = *error == RecordError::Backlog && self.recordings.shared.trouble().is_none();
        self.mode.recording == Recording::BestEffort && !waits
    }

    fn allowed(&self, result: Result<(), RecordError>) -> Result<(), RecordError> {
        if self.mode.recording == Recording::BestEffort { Ok(()) } else { result }
    }

    fn mark_input(&mut self) -> Result<(), RecordError> {
        let mark = InputMark { bytes: self.input.bytes, blake3: self.input.gap().blake3 };
        let entry = self.entry(Kind::InputMark, None, 0);
        self.note(&entry, &mark)?;
        self.marked = Some((Instant::now(), mark.bytes));
        Ok(())
    }

    /// A small record that may use the room kept for endings.
    fn note<T: serde::Serialize>(&self, entry: &Entry, payload: &T) -> Result<(), RecordError> {
        if !self.open {
            return Ok(());
        }
        self.allowed(self.recordings.shared.journal.append_json(entry, payload).map(drop).map_err(RecordError::from))
    }
}

impl Drop for OpenRecording {
    fn drop(&mut self) {
        self.finish(Ending { reason: "abandoned".into(), exit: None });
    }
}
