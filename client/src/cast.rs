//! Reads asciicast v3 (docs.asciinema.org/manual/asciicast/v3) line by line, with our comment lines for bytes that no text can carry.
//!
//! Times are kept as whole microseconds: each interval is rounded by itself and added up, as the writer made them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// `o`: output to a terminal.
    Output,
    /// `i`: input from a terminal.
    Input,
    /// `O`: stdout without a terminal.
    Stdout,
    /// `E`: stderr without a terminal.
    Stderr,
    /// `I`: stdin without a terminal.
    Stdin,
    /// `r`: a new size, `COLSxROWS`.
    Resize,
    /// `x`: the exit status.
    Exit,
    /// Anything else, by its first letter.
    Other(char),
}

impl Code {
    fn of(text: &str) -> Self {
        match text {
            "o" => Self::Output,
            "i" => Self::Input,
            "O" => Self::Stdout,
            "E" => Self::Stderr,
            "I" => Self::Stdin,
            "r" => Self::Resize,
            "x" => Self::Exit,
            other => Self::Other(other.chars().next().filter(char::is_ascii_alphanumeric).unwrap_or('?')),
        }
    }

    /// As it is written.
    pub fn letter(self) -> char {
        match self {
            Self::Output => 'o',
            Self::Input => 'i',
            Self::Stdout => 'O',
            Self::Stderr => 'E',
            Self::Stdin => 'I',
            Self::Resize => 'r',
            Self::Exit => 'x',
            Self::Other(letter) => letter,
        }
    }
}

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Microseconds since the session began.
    pub time: u64,
    /// Seconds since the event before, as it was written.
    pub interval: serde_json::Number,
    /// What.
    pub code: Code,
    /// The bytes.
    pub data: Vec<u8>,
}

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Size of the terminal when the session began.
    pub size: Option<(u16, u16)>,
    /// The title, if it has one.
    pub title: Option<String>,
}

/// What one line is.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// The first.
    Header(Header),
    /// An event.
    Event(Event),
    /// A comment that carries no bytes, or an empty line.
    Comment,
}

/// Why a line is not one of asciicast v3.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CastError {
    /// The first line.
    #[error("the first line is not the header of an asciicast of version 3 (line {0})")]
    Header(u64),
    /// Another line.
    #[error("line {0} is not an event of an asciicast")]
    Event(u64),
}

/// Adds up the time over the lines.
#[derive(Debug, Default)]
pub struct Reader {
    lines: u64,
    time: u64,
}

impl Reader {
    /// Takes the next line, without its end.
    pub fn line(&mut self, line: &[u8]) -> Result<Line, CastError> {
        self.lines += 1;
        match line.first() {
            _ if self.lines == 1 => header(line).map(Line::Header).ok_or(CastError::Header(self.lines)),
            None => Ok(Line::Comment),
            Some(b'#') => Ok(self.carried(line).map_or(Line::Comment, Line::Event)),
            Some(_) => self.event(line).map(Line::Event).ok_or(CastError::Event(self.lines)),
        }
    }

    fn event(&mut self, line: &[u8]) -> Option<Event> {
        let (interval, code, data): (serde_json::Number, String, String) = serde_json::from_slice(line).ok()?;
        self.time = self.time.saturating_add(micros(interval.as_f64()?)?);
        Some(Event { time: self.time, interval, code: Code::of(&code), data: data.into_bytes() })
    }

    /// `# naru {"o":"BASE64"}`: bytes that happened at the time of the event before.
    fn carried(&self, line: &[u8]) -> Option<Event> {
        let facts: Value = serde_json::from_slice(line.strip_prefix(b"# naru ")?).ok()?;
        let (code, data) = ["o", "O", "E", "I", "i"].into_iter().find_map(|code| Some((code, facts.get(code)?.as_str()?)))?;
        Some(Event { time: self.time, interval: 0.into(), code: Code::of(code), data: STANDARD.decode(data).ok()? })
    }
}

/// Whole microseconds; refuses what is negative, not a number, or beyond 30 years.
fn micros(seconds: f64) -> Option<u64> {
    // Rounded and inside the range, so the cast is exact.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    (0.0..=1e9).contains(&seconds).then(|| (seconds * 1e6).round() as u64)
}

fn header(line: &[u8]) -> Option<Header> {
    let facts: Value = serde_json::from_slice(line).ok()?;
    (facts.get("version")?.as_u64()? == 3).then_some(())?;
    let side = |name: &str| facts.pointer(name).and_then(Value::as_u64).and_then(|n| u16::try_from(n).ok()).filter(|n| *n > 0);
    Some(Header { size: side("/term/cols").zip(side("/term/rows")), title: facts.get("title").and_then(Value::as_str).map(str::to_owned) })
}

/// `80x24`.
pub fn size(data: &[u8]) -> Option<(u16, u16)> {
    let (cols, rows) = std::str::from_utf8(data).ok()?.split_once('x')?;
    Some((cols.parse().ok()?, rows.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn events_comments_and_bytes() {
        let mut reader = Reader::default();
        let header = reader.line(br#"{"version":3,"term":{"cols":80,"rows":24},"title":"root@demo"}"#);
        assert_eq!(header, Ok(Line::Header(Header { size: Some((80, 24)), title: Some("root@demo".into()) })));
        let mut next = |line: &str| match reader.line(line.as_bytes()).expect("valid") {
            Line::Event(event) => Some((event.time, event.code, event.data)),
            _ => None,
        };
        assert_eq!(next(r#"[0.1, "o", "a"]"#), Some((100_000, Code::Output, b"a".to_vec())));
        assert_eq!(next(r#"# naru {"O":"/wA=","at":1}"#), Some((100_000, Code::Stdout, vec![255, 0])));
        assert_eq!(next(r#"# naru {"i":{"bytes":3,"blake3":"x"}}"#), None);
        assert_eq!(next("# hello"), None);
        assert_eq!(next(""), None);
        assert_eq!(next(r#"[0.000001, "zap", "b"]"#), Some((100_001, Code::Other('z'), b"b".to_vec())));
        assert_eq!(next(r#"[1, "r", "90x30"]"#).and_then(|(_, _, data)| size(&data)), Some((90, 30)));
    }

    #[test]
    fn lines_that_are_none_are_refused_by_number() {
        assert_eq!(Reader::default().line(b"{\"version\":2}"), Err(CastError::Header(1)));
        assert_eq!(Reader::default().line(b"[0, \"o\", \"\"]"), Err(CastError::Header(1)));
        for bad in ["x", "[1,\"o\"]", "[-1,\"o\",\"\"]", "[1e300,\"o\",\"\"]", "[1,2,3]", "{}"] {
            let mut reader = Reader { lines: 1, time: 0 };
            assert_eq!(reader.line(bad.as_bytes()), Err(CastError::Event(2)), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..8)) {
            let mut reader = Reader { lines: 1, time: 0 };
            for line in lines {
                let _ = reader.line(&line);
            }
        }
    }
}
