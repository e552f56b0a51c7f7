//! The writer of asciicast v3: chunks with absolute times become lines. It keeps a clock and at most three bytes per stream.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::FACT;
use crate::frames::{Exit, Size, Stream};

/// What the first two lines say.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// The terminal at the start; 80 by 24 is written where there is none, as the format demands a size.
    pub terminal: Option<Size>,
    /// `TERM`.
    pub term: Option<&'a str>,
    /// Unix seconds.
    pub timestamp: i64,
    /// What was run, where it was not a shell.
    pub command: Option<&'a str>,
    /// `login@node`.
    pub title: &'a str,
    /// Our own facts: an object.
    pub facts: &'a Value,
}

/// Makes the lines of one recording. Its state can be stored, and another writer goes on from there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Writer {
    terminal: bool,
    /// Time of the last event line, in microseconds since the start.
    clock: u64,
    stdout: Carry,
    stderr: Carry,
    stdin: Carry,
}

/// The first bytes of a character whose rest is still to come, and where they stood.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Carry {
    bytes: Vec<u8>,
    at: u64,
}

/// Characters of a command in the header line; the whole command is in the audit log.
const COMMAND: usize = 16 * 1024;

impl Writer {
    /// For a recording with or without a terminal.
    pub fn new(terminal: bool) -> Self {
        Self { terminal, clock: 0, stdout: Carry::default(), stderr: Carry::default(), stdin: Carry::default() }
    }

    /// Time of the last event line, in microseconds.
    pub fn clock(&self) -> u64 {
        self.clock
    }

    /// The header and the line of facts.
    pub fn header(&self, about: &About<'_>, out: &mut Vec<u8>) {
        let size = about.terminal.filter(|size| size.cols > 0 && size.rows > 0);
        let (cols, rows) = size.map_or((80, 24), |size| (size.cols, size.rows));
        let mut term = json!({"cols": cols, "rows": rows});
        if let (Some(kind), Some(map)) = (about.term, term.as_object_mut()) {
            map.insert("type".into(), kind.into());
        }
        let mut header = json!({"version": 3, "term": term, "timestamp": about.timestamp, "title": about.title});
        if let (Some(command), Some(map)) = (about.command, header.as_object_mut()) {
            map.insert("command".into(), command.chars().take(COMMAND).collect::<String>().into());
        }
        line(out, "", &header);
        line(out, FACT, about.facts);
    }

    /// Output at `micros` since the start; `offset` is that of the first byte in the session's output.
    pub fn output(&mut self, micros: u64, stream: Stream, offset: u64, data: &[u8], out: &mut Vec<u8>) {
        let code = self.code(stream);
        let carry = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        chunk(&mut self.clock, carry, code, micros, offset, data, out);
    }

    /// Input whose bytes are kept; `offset` counts input.
    pub fn input(&mut self, micros: u64, offset: u64, data: &[u8], out: &mut Vec<u8>) {
        let code = if self.terminal { 'i' } else { 'I' };
        chunk(&mut self.clock, &mut self.stdin, code, micros, offset, data, out);
    }

    /// Input of which only the count and the hash so far are kept.
    pub fn input_mark(&self, micros: u64, bytes: u64, blake3: &str, out: &mut Vec<u8>) {
        let key = if self.terminal { "i" } else { "I" };
        self.fact(micros, key, json!({"bytes": bytes, "blake3": blake3}), out);
    }

    /// A new size of the terminal.
    pub fn resize(&mut self, micros: u64, size: Size, out: &mut Vec<u8>) {
        self.flush(Some(Stream::Stdout), micros, out);
        let text = format!("{}x{}", size.cols, size.rows);
        event(&mut self.clock, 'r', micros, &text, out);
    }

    /// One fact of ours as a comment line.
    pub fn fact(&self, micros: u64, key: &str, value: Value, out: &mut Vec<u8>) {
        let mut map = serde_json::Map::new();
        map.insert(key.to_owned(), value);
        map.insert("t".into(), micros.into());
        line(out, FACT, &Value::Object(map));
    }

    /// A stream of output ended: what was carried over is written as it is.
    pub fn eof(&mut self, micros: u64, stream: Stream, out: &mut Vec<u8>) {
        self.flush(Some(stream), micros, out);
        let code = self.code(stream);
        self.fact(micros, "eof", code.to_string().into(), out);
    }

    /// The last lines.
    pub fn end(&mut self, micros: u64, reason: &str, exit: Option<&Exit>, out: &mut Vec<u8>) {
        self.flush(None, micros, out);
        self.fact(micros, "end", json!({"reason": reason, "exit": exit}), out);
        let status = match exit {
            Some(Exit::Code(code)) => u32::from(*code),
            Some(Exit::Signal { name, .. }) => 128 + signal_number(name),
            Some(Exit::Failed { .. }) => 255,
            None => return,
        };
        event(&mut self.clock, 'x', micros, &status.to_string(), out);
    }

    fn code(&self, stream: Stream) -> char {
        match (stream, self.terminal) {
            (Stream::Stdout, true) => 'o',
            (Stream::Stdout, false) => 'O',
            (Stream::Stderr, _) => 'E',
        }
    }

    fn flush(&mut self, which: Option<Stream>, micros: u64, out: &mut Vec<u8>) {
        let (stdout, stderr) = (self.code(Stream::Stdout), self.code(Stream::Stderr));
        if which.is_none_or(|stream| stream == Stream::Stdout) {
            self.stdout.flush(stdout, micros, out);
        }
        if which.is_none_or(|stream| stream == Stream::Stderr) {
            self.stderr.flush(stderr, micros, out);
        }
        if which.is_none() {
            self.stdin.flush(if self.terminal { 'i' } else { 'I' }, micros, out);
        }
    }
}

impl Carry {
    fn flush(&mut self, code: char, micros: u64, out: &mut Vec<u8>) {
        if !self.bytes.is_empty() {
            exact(code, micros, self.at, &self.bytes, out);
            self.bytes.clear();
        }
    }
}

/// As in Linux on every architecture that we build for; 0 for a name that we do not know.
fn signal_number(name: &str) -> u32 {
    match name {
        "HUP" => 1,
        "INT" => 2,
        "QUIT" => 3,
        "ILL" => 4,
        "ABRT" => 6,
        "FPE" => 8,
        "KILL" => 9,
        "USR1" => 10,
        "SEGV" => 11,
        "USR2" => 12,
        "PIPE" => 13,
        "ALRM" => 14,
        "TERM" => 15,
        _ => 0,
    }
}

fn line(out: &mut Vec<u8>, before: &str, value: &Value) {
    out.extend_from_slice(before.as_bytes());
    out.extend_from_slice(value.to_string().as_bytes());
    out.push(b'\n');
}

fn event(clock: &mut u64, code: char, micros: u64, text: &str, out: &mut Vec<u8>) {
    let now = micros.max(*clock);
    let gap = now - *clock;
    *clock = now;
    // Writing to a Vec cannot fail, and a str always serialises.
    let _ = write!(out, "[{}.{:06}, \"{code}\", ", gap / 1_000_000, gap % 1_000_000);
    let _ = serde_json::to_writer(&mut *out, text);
    out.extend_from_slice(b"]\n");
}

/// Bytes as a comment line that gives them back exactly.
fn exact(code: char, micros: u64, offset: u64, data: &[u8], out: &mut Vec<u8>) {
    let _ = write!(out, "{FACT}{{\"{code}\":\"");
    let start = out.len();
    out.resize(start + base64::encoded_len(data.len(), true).unwrap_or(0), 0);
    if let Some(room) = out.get_mut(start..) {
        let _ = STANDARD.encode_slice(data, room);
    }
    let _ = writeln!(out, "\",\"at\":{offset},\"t\":{micros}}}");
}

fn chunk(clock: &mut u64, carry: &mut Carry, code: char, micros: u64, offset: u64, data: &[u8], out: &mut Vec<u8>) {
    let joined;
    let (mut offset, mut data) = (offset, data);
    if !carry.bytes.is_empty() {
        // Where bytes went by unrecorded in between, what was carried does not belong to what comes now.
        if carry.at + carry.bytes.len() as u64 != offset {
            carry.flush(code, micros, out);
        } else {
            offset = carry.at;
            carry.bytes.extend_from_slice(data);
            joined = std::mem::take(&mut carry.bytes);
            data = &joined;
        }
    }
    let whole = data.len() - unfinished(data);
    let (now, later) = data.split_at(whole);
    carry.bytes = later.to_vec();
    carry.at = offset + whole as u64;
    if now.is_empty() {
        return;
    }
    // Nearly everything is text, and that is quick to see.
    match std::str::from_utf8(now) {
        Ok(text) if escaped_len(now) > most(now) => exact(code, micros, offset, text.as_bytes(), out),
        Ok(text) => event(clock, code, micros, text, out),
        Err(_) if blown_up(now) => exact(code, micros, offset, now, out),
        Err(_) => parts(clock, code, micros, offset, now, out),
    }
}

/// Text as events, and what is not text between them exactly.
fn parts(clock: &mut u64, code: char, micros: u64, mut offset: u64, data: &[u8], out: &mut Vec<u8>) {
    for part in data.utf8_chunks() {
        if !part.valid().is_empty() {
            event(clock, code, micros, part.valid(), out);
            offset += part.valid().len() as u64;
        }
        if !part.invalid().is_empty() {
            exact(code, micros, offset, part.invalid(), out);
            offset += part.invalid().len() as u64;
        }
    }
}

/// How many bytes at the end are the start of a character (RFC 3629) that may still become whole.
fn unfinished(data: &[u8]) -> usize {
    let tail = data.len().saturating_sub(3);
    data.get(tail..)
        .and_then(|last| {
            let lead = last.iter().rposition(|b| *b >= 0xc0)?;
            let start = last.get(lead..)?;
            let error = std::str::from_utf8(start).err()?;
            (error.error_len().is_none() && error.valid_up_to() == 0).then_some(start.len())
        })
        .unwrap_or(0)
}

/// Bytes that a line of its own takes beside its data.
const RUN: usize = 48;

/// As JSON text it may take half as much again and no more.
fn most(data: &[u8]) -> usize {
    data.len() + data.len() / 2 + 2 * RUN
}

/// Whether as JSON text, with a line of its own for each run of bytes that are not UTF-8, this would take more than [`most`].
fn blown_up(data: &[u8]) -> bool {
    let mut cost = 0;
    for part in data.utf8_chunks() {
        cost += escaped_len(part.valid().as_bytes());
        if !part.invalid().is_empty() {
            cost += 2 * RUN + 4;
        }
        if cost > most(data) {
            return true;
        }
    }
    false
}

/// Bytes of a text in JSON: control characters take six, those with a short form and the quoted ones two.
fn escaped_len(text: &[u8]) -> usize {
    // Sums in a byte, without branches: compilers do many bytes at once so. 48 times 5 fits.
    let extra = |block: &[u8]| -> u8 {
        block
            .iter()
            .map(|b| {
                let control = u8::from(*b < 0x20) * 5;
                let short = u8::from(matches!(b, 0x08 | 0x09 | 0x0a | 0x0c | 0x0d)) * 4;
                control - short + u8::from(*b == b'"') + u8::from(*b == b'\\')
            })
            .fold(0, u8::wrapping_add)
    };
    text.len() + text.chunks(48).map(|block| usize::from(extra(block))).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_in_json_is_known_without_writing_it() {
        let all: String = (0..0x80).map(char::from).chain("가é\u{10ffff}\u{7f}".chars()).collect();
        let mut texts = vec![String::new(), all.clone(), "\0".repeat(1000), "\"\\\n".repeat(100)];
        texts.extend(all.chars().map(String::from));
        for text in texts {
            let json = serde_json::to_string(&text).expect("a string");
            assert_eq!(escaped_len(text.as_bytes()), json.len() - 2, "{text:?}");
        }
    }
}
