//! The text of one recording as a stream: stored segments first, then what the journal holds of it, made into text on the way.

use std::fs::File;
use std::io::{self, BufReader, Read, Take};
use std::path::PathBuf;
use std::time::Duration;

use access::words::SessionId;
use bytes::Bytes;
use wire::journal::Position;
use zstd::stream::read::Decoder;

use super::ReadError;
use crate::journal::{Cursor, Step};
use crate::open::{Live, Recordings};
use crate::segment::{Convert, folder};

/// Largest window of a frame: ours need 256 KiB, plus a record.
const WINDOW_LOG: u32 = 23;
/// Bytes of text that one stored byte may become. A frame of nothing but the same byte reaches about 20,000.
const RATIO: u64 = 1 << 16;
/// Text of the journal that is made at once.
const BLOCK: usize = 64 * 1024;

/// The text of a recording from its start, in bounded memory. When a live recording has no more at the moment, reading gives 0 bytes;
/// reading on later gives what came since, until [`Self::ended`].
pub struct CastText {
    recordings: Recordings,
    session: SessionId,
    /// Text given out so far.
    given: u64,
    /// Text to be passed over, after a source was opened anew.
    skip: u64,
    source: Source,
    ended: bool,
}

impl std::fmt::Debug for CastText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CastText").field("session", &self.session).field("given", &self.given).finish_non_exhaustive()
    }
}

struct Source {
    /// Files still to be read, with the bytes of them that count; the next one is last.
    files: Vec<(PathBuf, u64)>,
    current: Option<Stored>,
    tail: Option<Tail>,
}

struct Stored {
    text: Decoder<'static, BufReader<Take<File>>>,
    left: u64,
}

/// What the journal holds of a live recording beyond its stored segments.
struct Tail {
    cursor: Cursor,
    from: Position,
    convert: Convert,
    text: Vec<u8>,
    given: usize,
}

impl CastText {
    pub(super) fn open(recordings: &Recordings, session: &SessionId) -> Result<Self, ReadError> {
        let source = Source::open(recordings, session)?;
        Ok(Self { recordings: recordings.clone(), session: *session, given: 0, skip: 0, source, ended: false })
    }

    /// Whether the recording is closed and everything was given.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Nothing: the source was opened anew, and what was given before is to be passed over.
    fn read_once(&mut self, out: &mut [u8]) -> io::Result<Option<usize>> {
        Ok(match self.source.read(&self.recordings, &self.session, out)? {
            Got::Text(got) => Some(got),
            Got::NothingNow => Some(0),
            Got::Ended => {
                self.ended = true;
                Some(0)
            }
            Got::Gone => {
                // The journal moved on: what was to be read there is stored by now.
                self.source = Source::open(&self.recordings, &self.session).map_err(io::Error::other)?;
                self.skip = self.given;
                None
            }
        })
    }
}

impl Read for CastText {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut waste = [0; 8192];
        while !out.is_empty() && !self.ended {
            if self.skip == 0 {
                let Some(got) = self.read_once(out)? else { continue };
                self.given += got as u64;
                return Ok(got);
            }
            let most = waste.len().min(usize::try_from(self.skip).unwrap_or(usize::MAX));
            match self.read_once(waste.get_mut(..most).unwrap_or_default())? {
                Some(0) => return Ok(0),
                Some(got) => self.skip -= got as u64,
                None => {}
            }
        }
        Ok(0)
    }
}

enum Got {
    Text(usize),
    NothingNow,
    Ended,
    Gone,
}

impl Source {
    fn open(recordings: &Recordings, session: &SessionId) -> Result<Self, ReadError> {
        let cast = folder(&recordings.shared.dir, session).join("cast");
        let (segments, tail) = match recordings.shared.live(session) {
            Some(live) => (live_segments(&live), Some(Tail::new(&live))),
            None => match recordings.stored(session)? {
                super::Stored::Closed(manifest) => {
                    (manifest.segments.into_iter().map(|segment| (segment.file, segment.bytes)).collect(), None)
                }
                // It was opened in between.
                super::Stored::Live(_) => return Err(ReadError::Unknown(*session)),
            },
        };
        // A name in a manifest is not a path.
        let plain = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.') && !name.starts_with('.');
        let mut files: Vec<_> =
            segments.into_iter().filter(|(name, _)| plain(name)).map(|(name, bytes)| (cast.join(name), bytes)).collect();
        files.reverse();
        Ok(Self { files, current: None, tail })
    }

    fn read(&mut self, recordings: &Recordings, session: &SessionId, out: &mut [u8]) -> io::Result<Got> {
        loop {
            if let Some(stored) = &mut self.current {
                let got = stored.text.read(out)?;
                if got > 0 {
                    stored.left = stored.left.checked_sub(got as u64).ok_or_else(|| io::Error::other("a segment expands too far"))?;
                    return Ok(Got::Text(got));
                }
                self.current = None;
            }
            if let Some((path, bytes)) = self.files.pop() {
                let mut text = Decoder::new(File::open(path)?.take(bytes))?;
                text.window_log_max(WINDOW_LOG)?;
                self.current = Some(Stored { text, left: bytes.saturating_mul(RATIO) });
                continue;
            }
            return match &mut self.tail {
                Some(tail) => tail.read(recordings, session, out),
                None => Ok(Got::Ended),
            };
        }
    }
}

fn live_segments(live: &Live) -> Vec<(String, u64)> {
    let snapshot = &live.snapshot;
    let current = Some(&snapshot.framed.current).filter(|segment| segment.bytes > 0);
    snapshot.segments.iter().chain(current).map(|segment| (segment.file.clone(), segment.bytes)).collect()
}

impl Tail {
    fn new(live: &Live) -> Self {
        let convert = Convert::of(&live.snapshot.framed);
        Self { cursor: Cursor::new(live.from), from: live.snapshot.framed.upto, convert, text: Vec::new(), given: 0 }
    }

    fn read(&mut self, recordings: &Recordings, session: &SessionId, out: &mut [u8]) -> io::Result<Got> {
        if self.given == self.text.len() {
            self.text.clear();
            self.given = 0;
            if !self.make(recordings, session)? {
                return Ok(Got::Gone);
            }
        }
        let ready = self.text.get(self.given..).unwrap_or_default();
        let size = ready.len().min(out.len());
        if size == 0 {
            // An end that the journal had no room for is only in the stored recording.
            let closed = recordings.shared.live(session).is_none();
            return Ok(match (self.convert.ending.is_some(), closed) {
                (true, _) => Got::Ended,
                (false, true) => Got::Gone,
                (false, false) => Got::NothingNow,
            });
        }
        for (to, from) in out.iter_mut().zip(ready) {
            *to = *from;
        }
        self.given += size;
        Ok(Got::Text(size))
    }

    /// Makes a block of text. `false` when the journal does not hold the place any more.
    fn make(&mut self, recordings: &Recordings, session: &SessionId) -> io::Result<bool> {
        let journal = &recordings.shared.journal;
        let (until, files) = journal.snapshot();
        while self.text.len() < BLOCK && self.convert.ending.is_none() {
            let (record, before) = match self.cursor.next(&files, until)? {
                Step::Record(record, before) => (record, before),
                Step::End => break,
                Step::Gone | Step::Bad => return Ok(false),
            };
            if record.head.session != *session || before < self.from {
                continue;
            }
            let had = self.text.len();
            self.convert.feed(&record, &mut self.text)?;
            // A file that was freed while it was read may have shown zeros.
            if !journal.has(before.file) {
                self.text.truncate(had);
                return Ok(false);
            }
        }
        Ok(journal.has(self.cursor.at().file))
    }
}

/// The text of a recording as it grows.
#[derive(Debug)]
pub struct Follow {
    text: Option<CastText>,
}

impl Follow {
    pub(super) fn new(text: CastText) -> Self {
        Self { text: Some(text) }
    }

    /// The next piece of text, at most 64 KiB; nothing after the recording's end. Not to be polled again once dropped half-way: then it
    /// answers nothing.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        while let Some(text) = self.text.take() {
            let recordings = text.recordings.clone();
            let notified = recordings.shared.appended.notified();
            let (text, got) = tokio::task::spawn_blocking(move || piece(text)).await.map_err(io::Error::other)?;
            let piece = got?;
            let ended = text.ended;
            self.text = Some(text).filter(|_| !ended);
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
            if !ended {
                // Whatever wakes it, watchers look at most twenty times a second.
                let _ = tokio::time::timeout(Duration::from_secs(1), notified).await;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(None)
    }
}

fn piece(mut text: CastText) -> (CastText, io::Result<Bytes>) {
    let mut out = vec![0; BLOCK];
    let got = text.read(&mut out).map(|got| {
        out.truncate(got);
        Bytes::from(out)
    });
    (text, got)
}
