//! The offline proof: reads a state directory, or a copy of it, with a public key, and says what is missing or changed, and where.
//!
//! Reads only, and may do so while the server writes: HEAD is read before what it covers. Memory: one line, one record of the journal,
//! one manifest, and 24 bytes for each recording.

mod lines;
mod live;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use access::event::Lost;
use access::time::Timestamp;
use access::words::{InstallId, SessionId};
use serde::Serialize;
use wire::proof::log::{Fault, FaultKind, Line, LogCheck, LogOutcome, MAX_FAULTS};
use wire::proof::recording::{RecordingCheck, RecordingFault};
use wire::proof::{Checkpoint, Hash, Head, JournalHead, Manifest, PublicKey, unseal};

use self::lines::Lines;

/// Most bytes of a manifest: some 25,000 segments.
const MAX_MANIFEST: u64 = 4 * 1024 * 1024;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Nothing is missing or changed.
    pub ok: bool,
    /// The key was given; else it lay beside the data and proves only consistency.
    pub trusted: bool,
    /// Fingerprint of the key that was used.
    pub key: Option<String>,
    /// HEAD of each log, by its name.
    pub head: BTreeMap<String, HeadFound>,
    /// Well-chained lines after HEAD.
    pub unsigned_tail: u64,
    /// Records of the journal after the place that HEAD covers, whose chain fits.
    pub journal_tail: u64,
    /// Recorded sessions that began and have not ended.
    pub open: Vec<SessionId>,
    /// Events that were read.
    pub events: u64,
    /// Closed recordings that were read.
    pub recordings: u64,
    /// What is wrong, at most [`MAX_FAULTS`].
    pub faults: Vec<Fault>,
    /// Faults beyond those.
    pub more_faults: u64,
}

/// What a HEAD says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the words say it")]
pub struct HeadFound {
    pub count: u64,
    pub hash: Hash,
    pub time: Timestamp,
}

/// How far the work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the words say it")]
pub struct Progress {
    pub bytes: u64,
    pub events: u64,
    pub recordings: u64,
}

/// Why nothing could be said.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// No state directory.
    #[error("{0} is not a state directory: it has no folder log")]
    NotState(String),
    /// A file could not be read.
    #[error("{file} could not be read")]
    Io {
        /// Which.
        file: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Verifies the state directory `dir`; with `checkpoint`, a file with a checkpoint that was kept elsewhere, also that it was not set back.
/// `progress` is called after each file and each thousand events.
pub fn verify(
    dir: &Path,
    key: Option<PublicKey>,
    checkpoint: Option<&Path>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, VerifyError> {
    if !dir.join("log").is_dir() {
        return Err(VerifyError::NotState(dir.display().to_string()));
    }
    let report = Report {
        ok: false,
        trusted: key.is_some(),
        key: None,
        head: BTreeMap::new(),
        unsigned_tail: 0,
        journal_tail: 0,
        open: Vec::new(),
        events: 0,
        recordings: 0,
        faults: Vec::new(),
        more_faults: 0,
    };
    let mut work =
        Work { dir, key, install: None, report, open: BTreeMap::new(), stored: BTreeMap::new(), done: Progress::default(), progress };
    work.version()?;
    work.list_recordings()?;
    let outside = checkpoint.map(|path| work.read_checkpoint(path)).transpose()?.flatten();
    let journals = work.logs(outside)?;
    work.unknown_recordings();
    work.live(journals)?;
    let mut report = work.report;
    report.key = work.key.map(|key| key.fingerprint());
    report.ok = report.faults.is_empty();
    Ok(report)
}

struct Outside {
    file: String,
    stream: Option<String>,
    bytes: Vec<u8>,
}

struct Work<'a> {
    dir: &'a Path,
    key: Option<PublicKey>,
    install: Option<InstallId>,
    report: Report,
    /// Recorded sessions that began and whose recording was not closed; as many as live at once.
    open: BTreeMap<SessionId, Begun>,
    /// Folders below `recordings`, and whether the log named them.
    stored: BTreeMap<SessionId, bool>,
    done: Progress,
    progress: &'a mut dyn FnMut(Progress),
}

/// A recorded session without a closed recording.
#[derive(Clone, Copy)]
struct Begun {
    /// HEAD covers its beginning.
    covered: bool,
    /// Its end is in the log, and names no recording.
    ended: bool,
}

impl Work<'_> {
    fn fault(&mut self, file: impl Into<String>, line: Option<u64>, offset: u64, kind: FaultKind) {
        if self.report.faults.len() < MAX_FAULTS {
            self.report.faults.push(Fault { file: file.into(), line, offset, kind });
        } else {
            self.report.more_faults += 1;
        }
    }

    /// The bytes of a small file below the state directory; none when it is not there or larger than `most`.
    fn small(&self, file: &str, most: u64) -> Result<Option<Vec<u8>>, VerifyError> {
        let read = || -> io::Result<Vec<u8>> {
            let mut bytes = Vec::new();
            File::open(self.dir.join(file))?.take(most).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        match read() {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(source) => Err(VerifyError::Io { file: file.to_owned(), source }),
        }
    }

    /// Names in a folder below the state directory, sorted; empty when it is not there.
    fn names(&self, folder: &str) -> Result<Vec<String>, VerifyError> {
        let io_at = |source| VerifyError::Io { file: folder.to_owned(), source };
        let entries = match fs::read_dir(self.dir.join(folder)) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(Vec::new()),
            other => other.map_err(io_at)?,
        };
        let mut names = Vec::new();
        for entry in entries {
            names.push(entry.map_err(io_at)?.file_name().to_string_lossy().into_owned());
        }
        names.sort_unstable();
        Ok(names)
    }

    /// A copy may lack VERSION; one that is there says whose logs these are.
    fn version(&mut self) -> Result<(), VerifyError> {
        let Some(bytes) = self.small("VERSION", 4096)? else { return Ok(()) };
        let value: Option<serde_json::Value> = serde_json::from_slice(&bytes).ok();
        let install = value.as_ref().and_then(|value| value.get("install")?.as_str()?.parse().ok());
        match install {
            Some(install) => self.install = Some(install),
            None => self.fault("VERSION", None, 0, FaultKind::BadVersion),
        }
        Ok(())
    }

    /// Before the logs are read, so that on a running server nothing is listed that the logs cannot name yet.
    fn list_recordings(&mut self) -> Result<(), VerifyError> {
        for name in self.names("recordings")? {
            match name.parse() {
                Ok(id) => drop(self.stored.insert(id, false)),
                Err(_) => self.fault(format!("recordings/{name}"), None, 0, FaultKind::ExtraFile),
            }
        }
        Ok(())
    }

    /// The last line of a file of checkpoints that was kept elsewhere.
    fn read_checkpoint(&mut self, path: &Path) -> Result<Option<Outside>, VerifyError> {
        let file = path.display().to_string();
        let text = fs::read(path).map_err(|source| VerifyError::Io { file: file.clone(), source })?;
        let last = text.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty()).unwrap_or_default();
        match unseal::<Checkpoint>(last, self.key.as_ref()) {
            Ok((checkpoint, _)) => Ok(Some(Outside { file, stream: Some(checkpoint.stream), bytes: last.to_vec() })),
            Err(_) => {
                self.fault(file, None, 0, FaultKind::BadCheckpoint);
                Ok(None)
            }
        }
    }

    /// Answers, for each log whose HEAD speaks of a journal, the log's name and that place.
    fn logs(&mut self, mut outside: Option<Outside>) -> Result<Vec<(String, JournalHead)>, VerifyError> {
        let mut journals = Vec::new();
        let streams = self.names("log")?;
        if streams.is_empty() {
            self.fault("log", None, 0, FaultKind::MissingHead);
        }
        for stream in streams {
            let here = outside.take_if(|outside| outside.stream.as_ref() == Some(&stream));
            let journal = self.log(&stream, here)?.and_then(|head| head.journal);
            journals.extend(journal.map(|journal| (stream, journal)));
        }
        if let Some(outside) = outside {
            self.fault(format!("log/{}", outside.stream.unwrap_or_default()), None, 0, FaultKind::MissingFile);
        }
        Ok(journals)
    }

    fn log(&mut self, stream: &str, outside: Option<Outside>) -> Result<Option<Head>, VerifyError> {
        let folder = format!("log/{stream}");
        let mut check = LogCheck::new(stream, &folder, self.install.clone(), self.key);
        check.head(self.small(&format!("{folder}/HEAD"), 64 * 1024)?.as_deref());
        if let Some(outside) = outside {
            check.outside(&outside.file, &outside.bytes);
        }
        let mut checkpoints = Lines::open(&self.dir.join(&folder).join("checkpoints"))
            .map_err(|source| VerifyError::Io { file: format!("{folder}/checkpoints"), source })?;
        let names = self.names(&folder)?;
        let files: Vec<(u64, &String)> = names.iter().filter_map(|name| Some((number_of(name)?, name))).collect();
        for (at, (number, name)) in files.iter().enumerate() {
            let seal = self.small(&format!("{folder}/{number:08}.seal"), 64 * 1024)?;
            check.begin(name, *number, seal.as_deref(), at + 1 == files.len());
            self.lines(&format!("{folder}/{name}"), &mut check, &mut checkpoints)?;
            check.end();
            (self.progress)(self.done);
        }
        feed_checkpoints(&mut check, &mut checkpoints)
            .map_err(|source| VerifyError::Io { file: format!("{folder}/checkpoints"), source })?;
        if let Some(bytes) = self.small(&format!("{folder}/HEAD"), 64 * 1024)? {
            check.head_again(&bytes);
        }
        let outcome = check.finish();
        let head = outcome.head.clone();
        self.take(stream, outcome);
        Ok(head)
    }

    fn lines(&mut self, file: &str, check: &mut LogCheck, checkpoints: &mut Lines) -> Result<(), VerifyError> {
        let io_at = |source| VerifyError::Io { file: file.to_owned(), source };
        let mut lines = Lines::open(&self.dir.join(file)).map_err(io_at)?;
        let (mut number, mut offset) = (1, 0);
        while let Some(whole) = lines.next().map_err(io_at)? {
            feed_checkpoints(check, checkpoints).map_err(io_at)?;
            self.done.bytes += lines.line.len() as u64 + 1;
            if let Some(line) = check.line(&lines.line, whole) {
                self.done.events += 1;
                if self.done.events.is_multiple_of(1000) {
                    (self.progress)(self.done);
                }
                if line.text(&["type"]) == Some("audit.gap") && line.body.get("data").is_some_and(|data| data.get("damage").is_some()) {
                    self.fault(file, Some(number), offset, FaultKind::DamagedWhileLive);
                }
                self.event(&line, check.covered(), check.key())?;
            }
            check.skip(lines.skipped);
            number += 1;
            offset += lines.line.len() as u64 + lines.skipped + 1;
        }
        Ok(())
    }

    fn take(&mut self, stream: &str, outcome: LogOutcome) {
        if let Some(head) = outcome.head {
            self.report.head.insert(stream.to_owned(), HeadFound { count: head.count, hash: head.hash, time: head.time });
            self.install.get_or_insert(head.install);
        }
        self.key = outcome.key;
        self.report.events += outcome.events;
        self.report.unsigned_tail += outcome.unsigned_tail;
        self.report.more_faults += outcome.more_faults;
        for fault in outcome.faults {
            self.fault(fault.file, fault.line, fault.offset, fault.kind);
        }
    }

    /// Follows the sessions: what began recorded is open until it ends, and what ended must lie there as the end event says.
    fn event(&mut self, line: &Line, covered: bool, key: Option<PublicKey>) -> Result<(), VerifyError> {
        let Some(id) = line.text(&["session", "id"]).and_then(|text| text.parse().ok()) else { return Ok(()) };
        match line.text(&["type"]) {
            Some("session.start") if line.text(&["data", "recording"]) != Some("off") => {
                self.open.insert(id, Begun { covered, ended: false });
            }
            // Its recording could not be closed yet: `recording.closed` will come.
            Some("session.end") if line.text(&["data", "closing"]).is_some() => {}
            Some("session.end" | "recording.closed") => {
                if let Some(hash) = line.text(&["data", "manifest"]) {
                    self.open.remove(&id);
                    self.stored.insert(id, true);
                    self.recording(id, Some(hash), key)?;
                } else if line.text(&["data", "lost", "cause"]) == Some(Lost::NOT_ON_DISK) {
                    self.open.remove(&id);
                    // Its first file may have reached the disk before the power failed.
                    self.stored.entry(id).and_modify(|named| *named = true);
                } else if let Some(begun) = self.open.get_mut(&id) {
                    // A recorder that stopped early leaves it to the next start, which ends the session again with a manifest.
                    begun.ended = true;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A closed recording; `hash` is what the log or the journal says of its manifest, where either does.
    fn recording(&mut self, id: SessionId, hash: Option<&str>, key: Option<PublicKey>) -> Result<(), VerifyError> {
        let folder = format!("recordings/{id}");
        let file = format!("{folder}/manifest.json");
        let Some(bytes) = self.small(&file, MAX_MANIFEST)? else {
            self.fault(file, None, 0, FaultKind::MissingManifest);
            return Ok(());
        };
        if hash.is_some_and(|hash| Hash::of(&bytes).to_string() != hash) {
            self.fault(file, None, 0, FaultKind::NotAsLogged);
            return Ok(());
        }
        let manifest = match unseal::<Manifest>(&bytes, key.as_ref()) {
            Ok((manifest, _)) if manifest.session == id && self.install.as_ref().is_none_or(|wanted| *wanted == manifest.install) => {
                manifest
            }
            _ => {
                self.fault(file, None, 0, FaultKind::BadManifest);
                return Ok(());
            }
        };
        for name in self.names(&folder)? {
            if name != "manifest.json" && name != "cast" {
                self.fault(format!("{folder}/{name}"), None, 0, FaultKind::ExtraFile);
            }
        }
        self.cast(&id, RecordingCheck::of_manifest(&manifest))?;
        self.report.recordings += 1;
        self.done.recordings += 1;
        (self.progress)(self.done);
        Ok(())
    }

    /// The files of a recording's folder `cast`, given to a checker.
    fn cast(&mut self, id: &SessionId, mut check: RecordingCheck) -> Result<(), VerifyError> {
        let cast = format!("recordings/{id}/cast");
        let mut block = vec![0; 256 * 1024];
        for name in self.names(&cast)? {
            check.begin(&name);
            let fed = File::open(self.dir.join(&cast).join(&name)).and_then(|mut file| {
                loop {
                    let read = file.read(&mut block)?;
                    if read == 0 {
                        return Ok(());
                    }
                    self.done.bytes += read as u64;
                    check.feed(block.get(..read).unwrap_or_default());
                }
            });
            if fed.is_err() {
                self.fault(format!("{cast}/{name}"), None, 0, FaultKind::Unreadable);
            }
        }
        for fault in check.finish() {
            let (file, offset) = fault.place();
            let kind = match fault {
                RecordingFault::Missing { .. } => FaultKind::MissingSegment,
                RecordingFault::Extra { .. } => FaultKind::ExtraFile,
                RecordingFault::Length { .. } | RecordingFault::Changed { .. } => FaultKind::NotAsRecorded,
                RecordingFault::Manifest(_) | RecordingFault::OtherSession(_) | RecordingFault::OtherManifest => FaultKind::BadManifest,
            };
            self.fault(format!("recordings/{id}/{file}"), None, offset, kind);
        }
        Ok(())
    }

    fn unknown_recordings(&mut self) {
        let unknown: Vec<_> =
            self.stored.iter().filter(|(id, named)| !**named && !self.open.contains_key(*id)).map(|(id, _)| *id).collect();
        for id in unknown {
            self.fault(format!("recordings/{id}"), None, 0, FaultKind::UnknownRecording);
        }
    }
}

fn feed_checkpoints(check: &mut LogCheck, checkpoints: &mut Lines) -> io::Result<()> {
    while check.wants_checkpoint() {
        match checkpoints.next()? {
            // A line that is being written when the server runs has no end yet; one that HEAD counts is missed at the end.
            Some(true) => check.checkpoint(Some(&checkpoints.line)),
            Some(false) | None => check.checkpoint(None),
        }
    }
    Ok(())
}

/// `00000001.jsonl` -> 1.
fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".jsonl")?;
    digits.parse().ok().filter(|number| *number > 0 && format!("{number:08}") == digits)
}
