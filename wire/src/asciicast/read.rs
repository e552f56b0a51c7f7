//! The reader of asciicast v3, tolerant of v2: lines become items with absolute times. A line is bounded; what is not understood is skipped.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;

use super::FACT;

/// Most bytes of one line.
pub const MAX_LINE: usize = 1024 * 1024;

/// What the first line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// 2 or 3.
    pub version: u64,
    /// Columns at the start.
    pub cols: u16,
    /// Rows at the start.
    pub rows: u16,
    /// `TERM`.
    pub term: Option<String>,
    /// Unix seconds.
    pub timestamp: Option<i64>,
    /// What was run.
    pub command: Option<String>,
    /// `login@node` in ours; anything in others'.
    pub title: Option<String>,
}

/// One line, understood.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// The first line.
    Header(Header),
    /// An event.
    Event {
        /// Microseconds since the start.
        at: u64,
        /// `o`, `i`, `m`, `r`, `x`, or one of ours: `O`, `E`, `I`.
        code: char,
        /// Its text.
        text: String,
    },
    /// Bytes that are not text.
    Bytes {
        /// Microseconds since the start.
        at: u64,
        /// As of an event.
        code: char,
        /// Which offset the first of them has in its stream.
        offset: u64,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Another fact of ours: an object.
    Fact(Value),
}

/// Why text is not a cast.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum CastFault {
    #[error("line {0} is longer than {MAX_LINE} bytes")]
    LongLine(u64),
    #[error("the first line is not the header of an asciicast of version 2 or 3")]
    Header,
    #[error("line {0} is no event")]
    Line(u64),
}

/// Takes text in pieces of any size and gives items.
#[derive(Debug, Default)]
pub struct Reader {
    buf: Vec<u8>,
    taken: usize,
    /// Up to here there is no end of line, so that a long line is searched once.
    searched: usize,
    line: u64,
    version: u64,
    clock: u64,
    broken: bool,
}

impl Reader {
    /// Before the first line.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds text. Take all items out before adding more: then at most one line and one piece are held.
    pub fn push(&mut self, text: &[u8]) {
        self.buf.drain(..self.taken);
        self.searched = self.searched.saturating_sub(self.taken);
        self.taken = 0;
        self.buf.extend_from_slice(text);
    }

    /// No more text comes: a last line without its end counts.
    pub fn finish(&mut self) {
        if self.buf.len() > self.taken {
            self.push(b"\n");
        }
    }

    /// The next item, or nothing until more is pushed. After an error of the header or of a line's length nothing more comes.
    pub fn next_item(&mut self) -> Option<Result<Item, CastFault>> {
        while !self.broken {
            let from = self.searched.max(self.taken);
            let end = self.buf.get(from..)?.iter().position(|b| *b == b'\n').map(|at| from + at);
            let length = end.unwrap_or(self.buf.len()) - self.taken;
            if length > MAX_LINE {
                self.broken = true;
                return Some(Err(CastFault::LongLine(self.line + 1)));
            }
            let Some(end) = end else {
                self.searched = self.buf.len();
                return None;
            };
            let start = self.taken;
            self.taken = end + 1;
            self.searched = self.taken;
            self.line += 1;
            let line = self.buf.get(start..end).unwrap_or_default();
            let item = match self.line {
                1 => header(line).map(Some),
                _ => body(line, self.version, &mut self.clock).ok_or(CastFault::Line(self.line)),
            };
            match item {
                Ok(None) => {}
                Ok(Some(item)) => {
                    if let Item::Header(header) = &item {
                        self.version = header.version;
                    }
                    return Some(Ok(item));
                }
                Err(fault) => {
                    self.broken = fault == CastFault::Header;
                    return Some(Err(fault));
                }
            }
        }
        None
    }
}

fn header(line: &[u8]) -> Result<Item, CastFault> {
    #[derive(Deserialize)]
    struct Term {
        cols: u16,
        rows: u16,
        #[serde(rename = "type")]
        kind: Option<String>,
    }
    #[derive(Deserialize)]
    struct Line {
        version: u64,
        term: Option<Term>,
        width: Option<u16>,
        height: Option<u16>,
        timestamp: Option<i64>,
        command: Option<String>,
        title: Option<String>,
    }
    let line: Line = serde_json::from_slice(line).map_err(|_| CastFault::Header)?;
    let (cols, rows, term) = match (line.version, line.term, line.width, line.height) {
        (3, Some(term), _, _) => (term.cols, term.rows, term.kind),
        (2, _, Some(width), Some(height)) => (width, height, None),
        _ => return Err(CastFault::Header),
    };
    Ok(Item::Header(Header {
        version: line.version,
        cols,
        rows,
        term,
        timestamp: line.timestamp,
        command: line.command,
        title: line.title,
    }))
}

/// `Some(None)`: a line that readers skip. `None`: no line of a cast.
fn body(line: &[u8], version: u64, clock: &mut u64) -> Option<Option<Item>> {
    match line.first() {
        None => Some(None),
        Some(b'#') => Some(fact(line)),
        Some(b'[') => {
            let (time, code, text): (f64, String, String) = serde_json::from_slice(line).ok()?;
            // Negative and not-a-number become 0, what is too large the largest: `as` saturates.
            let micros = (time * 1e6).round() as u64;
            *clock = if version == 2 { micros.max(*clock) } else { clock.saturating_add(micros) };
            Some(Some(Item::Event { at: *clock, code: code.chars().next()?, text }))
        }
        Some(_) => Some(None),
    }
}

fn fact(line: &[u8]) -> Option<Item> {
    let value: Value = serde_json::from_slice(line.strip_prefix(FACT.as_bytes())?).ok()?;
    let number = |key| value.get(key).and_then(Value::as_u64);
    for code in ['o', 'O', 'E', 'i', 'I'] {
        let mut utf8 = [0; 4];
        if let Some(Value::String(text)) = value.get(&*code.encode_utf8(&mut utf8)) {
            let bytes = STANDARD.decode(text).ok()?;
            return Some(Item::Bytes { at: number("t")?, code, offset: number("at")?, bytes });
        }
    }
    Some(Item::Fact(value))
}

/// The exact bytes of one stream of a whole cast, by its code.
pub fn bytes(cast: &[u8], code: char) -> Result<Vec<u8>, CastFault> {
    let (mut reader, mut out) = (Reader::new(), Vec::new());
    reader.push(cast);
    reader.finish();
    while let Some(item) = reader.next_item() {
        match item? {
            Item::Event { code: found, text, .. } if found == code => out.extend_from_slice(text.as_bytes()),
            Item::Bytes { code: found, bytes, .. } if found == code => out.extend_from_slice(&bytes),
            _ => {}
        }
    }
    Ok(out)
}
