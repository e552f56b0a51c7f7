//! One session's cast while it is made: records become text, text becomes zstd frames, frames become segments, and at the end the
//! signed manifest. Which record comes when, and what is done about a full disk, is the frame maker's business.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use access::event::Lost;
use access::time::Timestamp;
use access::words::{InstallId, SessionId};
use serde::de::DeserializeOwned;
use serde_json::json;
use wire::asciicast::{self, Writer};
use wire::frames::{Size, Stream};
use wire::journal::{About, Ending, Framed, Gap, InputMark, Kind, Mode, Opened, Position, Record, Snapshot};
use wire::proof::{Hash, Manifest, Segment, Sign, seal};

use crate::files;

/// What the records of one session have become: how text is made of the next.
#[derive(Debug, Clone)]
pub(crate) struct Convert {
    pub(crate) writer: Writer,
    pub(crate) elapsed: u64,
    pub(crate) output_bytes: u64,
    pub(crate) input_bytes: u64,
    pub(crate) lost: Lost,
    pub(crate) ending: Option<Ending>,
}

impl Convert {
    pub(crate) fn new(about: &About) -> Self {
        Self {
            writer: Writer::new(about.terminal.is_some()),
            elapsed: 0,
            output_bytes: 0,
            input_bytes: 0,
            lost: Lost::default(),
            ending: None,
        }
    }

    pub(crate) fn of(framed: &Framed) -> Self {
        Self {
            writer: framed.writer.clone(),
            elapsed: framed.elapsed,
            output_bytes: framed.output_bytes,
            input_bytes: framed.input_bytes,
            lost: framed.lost.clone(),
            ending: None,
        }
    }

    /// Adds the text of one record. Records of our own making are skipped.
    pub(crate) fn feed(&mut self, record: &Record<'_>, out: &mut Vec<u8>) -> io::Result<()> {
        let (head, at) = (record.head, record.head.elapsed.max(self.elapsed));
        let stream = head.stream.unwrap_or(Stream::Stdout);
        match head.kind {
            Kind::Header | Kind::Framed | Kind::Snapshot | Kind::Sealed => return Ok(()),
            Kind::Open => self.header(&json::<Opened>(record)?, out),
            Kind::Output => {
                self.writer.output(at, stream, head.offset, record.payload, out);
                self.output_bytes += record.payload.len() as u64;
            }
            Kind::Input => {
                self.writer.input(at, head.offset, record.payload, out);
                self.input_bytes = head.offset + record.payload.len() as u64;
            }
            Kind::InputMark => {
                let mark: InputMark = json(record)?;
                self.writer.input_mark(at, mark.bytes, &mark.blake3.to_string(), out);
                self.input_bytes = mark.bytes;
            }
            Kind::Resize => self.writer.resize(at, json::<Size>(record)?, out),
            Kind::Eof => self.writer.eof(at, stream, out),
            Kind::Gap => {
                let gap: Gap = json(record)?;
                if !gap.continued {
                    self.lost.begin(&gap.cause);
                }
                self.lost.bytes += gap.bytes;
                // One that only begins has no bytes yet.
                let fact = match gap.bytes {
                    0 => json!({"cause": gap.cause, "at": head.offset}),
                    bytes => json!({"bytes": bytes, "blake3": gap.blake3, "cause": gap.cause, "at": head.offset}),
                };
                self.writer.fact(at, "gap", fact, out);
            }
            Kind::Close => return self.end(head.elapsed, json(record)?, out),
        }
        self.elapsed = at;
        Ok(())
    }

    fn header(&self, opened: &Opened, out: &mut Vec<u8>) {
        let (about, mode) = (&opened.about, &opened.mode);
        let facts = json!({
            "session": about.session, "user": about.user_name, "node": about.node, "login": about.login, "kind": about.kind,
            "recording": mode.recording, "record_input": mode.record_input,
        });
        let title = format!("{}@{}", about.login, about.node);
        let about = asciicast::About {
            terminal: about.terminal,
            term: about.term.as_deref(),
            timestamp: about.started.as_secs(),
            command: about.command.as_deref(),
            title: &title,
            facts: &facts,
        };
        self.writer.header(&about, out);
    }

    /// The last text; an ending that comes second is not heard.
    pub(crate) fn end(&mut self, elapsed: u64, ending: Ending, out: &mut Vec<u8>) -> io::Result<()> {
        if self.ending.is_none() {
            self.elapsed = self.elapsed.max(elapsed);
            self.writer.end(self.elapsed, &ending.reason, ending.exit.as_ref(), out);
            self.ending = Some(ending);
        }
        Ok(())
    }
}

fn json<T: DeserializeOwned>(record: &Record<'_>) -> io::Result<T> {
    serde_json::from_slice(record.payload).map_err(io::Error::other)
}

/// When frames and segments end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Bytes of text of one frame.
    pub(crate) frame: usize,
    /// How old the first text of a frame may get.
    pub(crate) age: Duration,
    /// Bytes stored of one segment.
    pub(crate) segment: u64,
}

/// Makes zstd frames: one context for all sessions.
pub(crate) struct Squeeze(zstd::bulk::Compressor<'static>);

impl Squeeze {
    pub(crate) fn new() -> io::Result<Self> {
        let mut squeeze = zstd::bulk::Compressor::new(3)?;
        squeeze.set_parameter(zstd::zstd_safe::CParameter::ChecksumFlag(true))?;
        Ok(Self(squeeze))
    }
}

/// One session's cast.
pub(crate) struct Cast {
    pub(crate) about: About,
    pub(crate) mode: Mode,
    pub(crate) convert: Convert,
    dir: PathBuf,
    text: Vec<u8>,
    since: Option<Instant>,
    segments: Vec<Segment>,
    current: Segment,
    hash: blake3::Hasher,
    stored_text: u64,
    unsynced: bool,
    new_name: bool,
    /// What was durable of it is not there any more, or not as it was.
    pub(crate) damaged: bool,
    /// Its records before this place are in `text` or stored.
    pub(crate) upto: Position,
}

/// A segment that is ready for its first frame.
fn empty_segment(number: usize, start_ms: u64) -> Segment {
    Segment { file: format!("{number:04}.zst"), bytes: 0, blake3: Hash::of(b""), start_ms }
}

impl Cast {
    pub(crate) fn new(dir: PathBuf, opened: Opened, upto: Position) -> Self {
        let convert = Convert::new(&opened.about);
        Self {
            about: opened.about,
            mode: opened.mode,
            convert,
            dir,
            text: Vec::new(),
            since: None,
            segments: Vec::new(),
            current: empty_segment(1, 0),
            hash: blake3::Hasher::new(),
            stored_text: 0,
            unsynced: false,
            new_name: false,
            damaged: false,
            upto,
        }
    }

    /// Goes on from what was told to the journal: what was stored beyond it is cut off.
    pub(crate) fn resume(dir: PathBuf, snapshot: Snapshot) -> io::Result<Self> {
        let Snapshot { about, mode, segments, framed } = snapshot;
        let convert = Convert::of(&framed);
        let (current, stored_text, upto) = (framed.current, framed.text, framed.upto);
        let mut cast = Self { segments, current, stored_text, convert, ..Self::new(dir, Opened { about, mode }, upto) };
        cast.cut_to_told()?;
        Ok(cast)
    }

    fn cut_to_told(&mut self) -> io::Result<()> {
        let path = self.path();
        if self.current.bytes == 0 {
            return match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        let sound = match File::open(&path) {
            Ok(file) => self.hash.update_reader(file.take(self.current.bytes))?.finalize().as_bytes() == &self.current.blake3.0,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        if sound {
            return files::private_file(&path)?.set_len(self.current.bytes);
        }
        // Somebody or something else changed it. It is kept aside and counts as a gap; the rest is still told.
        let _ = fs::rename(&path, self.dir.join(format!("{}.damaged", self.current.file)));
        self.damage("a stored segment was damaged");
        self.current = empty_segment(self.number() + 1, self.convert.elapsed / 1000);
        self.hash.reset();
        Ok(())
    }

    /// Says in the recording that something is missing here which was durable.
    pub(crate) fn damage(&mut self, cause: &str) {
        self.damaged = true;
        self.convert.lost.begin(cause);
        let fact = json!({"cause": cause, "file": self.current.file});
        self.convert.writer.fact(self.convert.elapsed, "gap", fact, &mut self.text);
    }

    fn number(&self) -> usize {
        self.current.file.strip_suffix(".zst").and_then(|number| number.parse().ok()).unwrap_or(self.segments.len() + 1)
    }

    fn path(&self) -> PathBuf {
        self.dir.join("cast").join(&self.current.file)
    }

    /// Takes a record that stands before `upto`.
    pub(crate) fn feed(&mut self, record: &Record<'_>, upto: Position) -> io::Result<()> {
        self.upto = upto;
        let before = self.text.len();
        self.convert.feed(record, &mut self.text)?;
        if self.text.len() > before && self.since.is_none() {
            self.since = Some(Instant::now());
        }
        Ok(())
    }

    /// Ends it without a record.
    pub(crate) fn end(&mut self, elapsed: u64, ending: Ending) -> io::Result<()> {
        self.convert.end(elapsed, ending, &mut self.text)
    }

    /// Bytes of text that are not stored.
    pub(crate) fn pending(&self) -> usize {
        self.text.len()
    }

    pub(crate) fn is_due(&self, limits: &Limits) -> bool {
        self.convert.ending.is_some() || self.text.len() >= limits.frame || self.since.is_some_and(|since| since.elapsed() >= limits.age)
    }

    /// Stores the text as one frame, not yet durable but where a segment became full. Answers whether one did.
    pub(crate) fn store(&mut self, squeeze: &mut Squeeze, limits: &Limits) -> io::Result<bool> {
        if self.text.is_empty() {
            return Ok(false);
        }
        let frame = squeeze.0.compress(&self.text)?;
        let path = self.path();
        let first = self.current.bytes == 0;
        if first {
            files::private_dir(&self.dir.join("cast"))?;
        }
        let file = files::private_file(&path)?;
        if file.metadata()?.len() != self.current.bytes {
            // What a failed attempt left.
            file.set_len(self.current.bytes)?;
        }
        file.write_all_at(&frame, self.current.bytes)?;
        self.unsynced = true;
        self.new_name |= first;
        self.hash.update(&frame);
        self.current.bytes += frame.len() as u64;
        self.current.blake3 = Hash(*self.hash.finalize().as_bytes());
        self.stored_text += self.text.len() as u64;
        // A quiet session holds no memory.
        self.text = Vec::new();
        self.since = None;
        // Later segments are larger, so that the list of a very long recording still fits into one record.
        let full = self.current.bytes >= limits.segment.saturating_mul(1 + self.segments.len() as u64 / 64);
        if full {
            self.sync()?;
            let next = empty_segment(self.number() + 1, self.convert.writer.clock() / 1000);
            self.segments.push(std::mem::replace(&mut self.current, next));
            self.hash.reset();
        }
        Ok(full)
    }

    /// Makes what is stored durable: before the journal is told, and before a manifest is signed.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        if self.unsynced {
            File::open(self.path())?.sync_data()?;
            if self.new_name {
                files::sync_dir(&self.dir.join("cast"))?;
                files::sync_dir(&self.dir)?;
            }
            (self.unsynced, self.new_name) = (false, false);
        }
        Ok(())
    }

    /// How far it is stored. Sound only while nothing is pending.
    pub(crate) fn framed(&self) -> Framed {
        Framed {
            current: self.current.clone(),
            text: self.stored_text,
            upto: self.upto,
            elapsed: self.convert.elapsed,
            output_bytes: self.convert.output_bytes,
            input_bytes: self.convert.input_bytes,
            gaps: self.convert.lost.gaps,
            lost: self.convert.lost.clone(),
            writer: self.convert.writer.clone(),
        }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot { about: self.about.clone(), mode: self.mode, segments: self.segments.clone(), framed: self.framed() }
    }

    /// When its last record was made.
    pub(crate) fn ended(&self) -> Timestamp {
        self.about.started.plus(Duration::from_micros(self.convert.elapsed))
    }

    /// Signs and stores the manifest; everything must be stored before. Answers the hash of the stored bytes.
    pub(crate) fn manifest(&self, install: &InstallId, sign: &dyn Sign) -> io::Result<Hash> {
        let mut segments = self.segments.clone();
        if self.current.bytes > 0 {
            segments.push(self.current.clone());
        }
        let kind = serde_json::to_value(self.about.kind).map_err(io::Error::other)?;
        let manifest = Manifest {
            install: install.clone(),
            session: self.about.session,
            user: self.about.user.to_string(),
            user_name: self.about.user_name.to_string(),
            node: self.about.node.to_string(),
            login: self.about.login.to_string(),
            kind: kind.as_str().unwrap_or_default().to_owned(),
            started: self.about.started,
            ended: self.ended(),
            reason: self.convert.ending.as_ref().map_or_else(String::new, |ending| ending.reason.clone()),
            segments,
            output_bytes: self.convert.output_bytes,
            gaps: self.convert.lost.gaps,
            lost: self.convert.lost.clone(),
        };
        let bytes = seal(&manifest, sign);
        files::replace(&self.dir.join("manifest.json"), &bytes)?;
        Ok(Hash::of(&bytes))
    }
}

/// The folder of one recording.
pub(crate) fn folder(state: &Path, session: &SessionId) -> PathBuf {
    state.join("recordings").join(session.to_string())
}
