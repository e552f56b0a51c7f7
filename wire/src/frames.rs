//! The session protocol: what a proxy and a holder say to each other through an agent, and `naru ssh` and a proxy through a WebSocket.
//!
//! A frame is 16 bytes of head and a payload, big endian: kind u8, stream u8, zero u16, length u32, number u64. The number is an
//! offset of output or the sequence of input. Output has one offset over stdout and stderr; input, its end, resizes and signals are
//! one sequence that the holder acknowledges. At most [`INPUT_WINDOW`] bytes of input are unacknowledged, so that a holder can
//! always read its socket and an acknowledgement never waits behind data.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bytes of a frame's head.
pub const HEAD: usize = 16;
/// Most bytes of a frame's payload.
pub const MAX_PAYLOAD: usize = 64 * 1024;
/// Most bytes of input, with [`HEAD`] counted for each frame, that may be unacknowledged.
pub const INPUT_WINDOW: usize = 1024 * 1024;

/// Most characters of what a host says to a person.
pub const MAX_MESSAGE: usize = 500;

/// Which stream of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words say it")]
pub enum Stream {
    Stdout,
    Stderr,
}

/// Size of a terminal in characters and pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TerminalSize")]
#[allow(missing_docs, reason = "the words say it")]
pub struct Size {
    pub cols: u16,
    pub rows: u16,
    #[serde(default)]
    pub width: u16,
    #[serde(default)]
    pub height: u16,
}

/// First frame from the proxy on each attachment.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attach {
    /// The session's resume secret: set by the first attachment, demanded of each later one. 64 hex digits.
    pub secret: String,
    /// Grows with each attachment; a holder refuses one that is not above the last.
    pub fence: u64,
    /// Output before this offset is already recorded.
    pub recorded: u64,
}

impl std::fmt::Debug for Attach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attach").field("fence", &self.fence).field("recorded", &self.recorded).finish_non_exhaustive()
    }
}

/// The holder's answer to [`Attach`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attached {
    /// Output produced so far; what is not recorded follows again from `Attach::recorded`.
    pub produced: u64,
    /// The last input that was taken; what comes after it is to be sent again.
    pub acked: u64,
}

/// How the program ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Exit {
    /// With this code.
    Code(u8),
    /// By this signal, named as in RFC 4254 6.10 without `SIG`.
    Signal {
        /// `TERM`, `KILL`, …
        name: String,
        /// Whether a core was dumped.
        core: bool,
    },
    /// It never ran, or was lost: the sentence for the user and a stable code.
    Failed {
        /// `NARU-N…`
        code: String,
        /// One sentence.
        message: String,
    },
}

/// One frame. Upper half towards the holder, lower half from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Opens an attachment.
    Attach(Attach),
    /// Bytes for stdin or the terminal; `seq` counts from 1 over all four kinds of input.
    Input {
        #[allow(missing_docs)]
        seq: u64,
        #[allow(missing_docs)]
        data: Bytes,
    },
    /// No more input.
    InputEof {
        #[allow(missing_docs)]
        seq: u64,
    },
    /// The terminal has a new size.
    Resize {
        #[allow(missing_docs)]
        seq: u64,
        #[allow(missing_docs)]
        size: Size,
    },
    /// A signal for the foreground group, named as in RFC 4254 6.10 without `SIG`.
    Signal {
        #[allow(missing_docs)]
        seq: u64,
        #[allow(missing_docs)]
        name: String,
    },
    /// Output before this offset is recorded and may be freed.
    Recorded {
        #[allow(missing_docs)]
        offset: u64,
    },
    /// The session is over: hang up the terminal, and kill what is left after five seconds.
    End,

    /// Answers [`Frame::Attach`].
    Attached(Attached),
    /// Output; `offset` is that of its first byte.
    Output {
        #[allow(missing_docs)]
        offset: u64,
        #[allow(missing_docs)]
        stream: Stream,
        #[allow(missing_docs)]
        data: Bytes,
    },
    /// A stream of output ended at this offset.
    OutputEof {
        #[allow(missing_docs)]
        offset: u64,
        #[allow(missing_docs)]
        stream: Stream,
    },
    /// Input up to this one was taken by the program's side of the pipe or terminal.
    Acked {
        #[allow(missing_docs)]
        seq: u64,
    },
    /// The program ended; `offset` is the end of all output, which was sent before.
    Exit {
        #[allow(missing_docs)]
        offset: u64,
        #[allow(missing_docs)]
        exit: Exit,
    },
}

/// Why bytes are not a frame. Any of these ends the attachment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum FrameError {
    #[error("a frame of unknown kind {0}")]
    Kind(u8),
    #[error("a frame of {0} bytes is over the limit")]
    TooLong(u32),
    #[error("a frame whose head or payload is malformed")]
    Malformed,
}

const ATTACH: u8 = 1;
const INPUT: u8 = 2;
const INPUT_EOF: u8 = 3;
const RESIZE: u8 = 4;
const SIGNAL: u8 = 5;
const RECORDED: u8 = 6;
const END: u8 = 7;
const ATTACHED: u8 = 65;
const OUTPUT: u8 = 66;
const OUTPUT_EOF: u8 = 67;
const ACKED: u8 = 68;
const EXIT: u8 = 69;

fn stream_byte(stream: Stream) -> u8 {
    match stream {
        Stream::Stdout => 1,
        Stream::Stderr => 2,
    }
}

fn put_head(out: &mut BytesMut, kind: u8, stream: u8, number: u64, len: usize) {
    out.put_u8(kind);
    out.put_u8(stream);
    out.put_u16(0);
    out.put_u32(u32::try_from(len).unwrap_or(u32::MAX));
    out.put_u64(number);
}

fn put_json<T: Serialize>(out: &mut BytesMut, kind: u8, number: u64, value: &T) {
    let json = serde_json::to_vec(value).unwrap_or_default();
    put_head(out, kind, 0, number, json.len());
    out.put_slice(&json);
}

/// The 16 bytes that come before output of this length: for a sender that writes head and payload apart and copies nothing.
pub fn output_head(offset: u64, stream: Stream, len: usize) -> [u8; HEAD] {
    let mut out = BytesMut::with_capacity(HEAD);
    put_head(&mut out, OUTPUT, stream_byte(stream), offset, len);
    let mut head = [0; HEAD];
    out.copy_to_slice(&mut head);
    head
}

/// The 16 bytes that come before input of this length.
pub fn input_head(seq: u64, len: usize) -> [u8; HEAD] {
    let mut out = BytesMut::with_capacity(HEAD);
    put_head(&mut out, INPUT, 0, seq, len);
    let mut head = [0; HEAD];
    out.copy_to_slice(&mut head);
    head
}

impl Frame {
    /// Appends the frame to `out`.
    pub fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Attach(attach) => put_json(out, ATTACH, 0, attach),
            Self::Input { seq, data } => {
                put_head(out, INPUT, 0, *seq, data.len());
                out.put_slice(data);
            }
            Self::InputEof { seq } => put_head(out, INPUT_EOF, 0, *seq, 0),
            Self::Resize { seq, size } => {
                put_head(out, RESIZE, 0, *seq, 8);
                for part in [size.cols, size.rows, size.width, size.height] {
                    out.put_u16(part);
                }
            }
            Self::Signal { seq, name } => {
                put_head(out, SIGNAL, 0, *seq, name.len());
                out.put_slice(name.as_bytes());
            }
            Self::Recorded { offset } => put_head(out, RECORDED, 0, *offset, 0),
            Self::End => put_head(out, END, 0, 0, 0),
            Self::Attached(attached) => put_json(out, ATTACHED, 0, attached),
            Self::Output { offset, stream, data } => {
                put_head(out, OUTPUT, stream_byte(*stream), *offset, data.len());
                out.put_slice(data);
            }
            Self::OutputEof { offset, stream } => put_head(out, OUTPUT_EOF, stream_byte(*stream), *offset, 0),
            Self::Acked { seq } => put_head(out, ACKED, 0, *seq, 0),
            Self::Exit { offset, exit } => put_json(out, EXIT, *offset, exit),
        }
    }

    /// Takes one whole frame from the front of `buf`, or nothing when it is not all there yet.
    /// `buf` never needs more than [`HEAD`] + [`MAX_PAYLOAD`] bytes.
    pub fn decode(buf: &mut BytesMut) -> Result<Option<Self>, FrameError> {
        let Some(mut head) = buf.get(..HEAD) else { return Ok(None) };
        let (kind, stream, zero, len, number) = (head.get_u8(), head.get_u8(), head.get_u16(), head.get_u32(), head.get_u64());
        if zero != 0 {
            return Err(FrameError::Malformed);
        }
        let size = usize::try_from(len).unwrap_or(usize::MAX);
        if size > MAX_PAYLOAD {
            return Err(FrameError::TooLong(len));
        }
        if buf.len() < HEAD + size {
            return Ok(None);
        }
        buf.advance(HEAD);
        let data = buf.split_to(size).freeze();
        Self::parse(kind, stream, number, data).map(Some)
    }

    fn parse(kind: u8, stream: u8, number: u64, data: Bytes) -> Result<Self, FrameError> {
        let which = match (kind, stream) {
            (OUTPUT | OUTPUT_EOF, 1) => Stream::Stdout,
            (OUTPUT | OUTPUT_EOF, 2) => Stream::Stderr,
            (OUTPUT | OUTPUT_EOF, _) => return Err(FrameError::Malformed),
            (_, 0) => Stream::Stdout,
            _ => return Err(FrameError::Malformed),
        };
        let empty = data.is_empty();
        let frame = match kind {
            ATTACH => Self::Attach(json(&data)?),
            INPUT => Self::Input { seq: number, data },
            INPUT_EOF if empty => Self::InputEof { seq: number },
            RESIZE => Self::Resize { seq: number, size: size_of(&data)? },
            SIGNAL => Self::Signal { seq: number, name: signal_name(&data)? },
            RECORDED if empty => Self::Recorded { offset: number },
            END if empty => Self::End,
            ATTACHED => Self::Attached(json(&data)?),
            OUTPUT => Self::Output { offset: number, stream: which, data },
            OUTPUT_EOF if empty => Self::OutputEof { offset: number, stream: which },
            ACKED if empty => Self::Acked { seq: number },
            EXIT => Self::Exit { offset: number, exit: exit(&data)? },
            INPUT_EOF | RECORDED | END | OUTPUT_EOF | ACKED => return Err(FrameError::Malformed),
            other => return Err(FrameError::Kind(other)),
        };
        Ok(frame)
    }
}

fn json<T: for<'de> Deserialize<'de>>(data: &[u8]) -> Result<T, FrameError> {
    serde_json::from_slice(data).map_err(|_| FrameError::Malformed)
}

/// What a host says of an end goes to a person's terminal and into the log: it is held to what a host of ours would say.
fn exit(data: &[u8]) -> Result<Exit, FrameError> {
    Ok(match json(data)? {
        Exit::Signal { name, core } => Exit::Signal { name: signal_name(name.as_bytes())?, core },
        Exit::Failed { code, message } => Exit::Failed { code: tame_code(code), message: tame_message(&message) },
        code @ Exit::Code(_) => code,
    })
}

/// A code of ours, or the one for what makes no sense.
pub(crate) fn tame_code(code: String) -> String {
    let ours = code.strip_prefix("NARU-").is_some_and(
        |rest| matches!(rest.as_bytes(), [area, number @ ..] if area.is_ascii_uppercase() && number.len() == 3 && number.iter().all(u8::is_ascii_digit)),
    );
    if ours { code } else { "NARU-N324".to_owned() }
}

/// At most [`MAX_MESSAGE`] characters without control characters. Ends of lines stay: the notices of a host have several.
pub(crate) fn tame_message(message: &str) -> String {
    message.chars().filter(|c| *c == '\n' || !c.is_control()).take(MAX_MESSAGE).collect()
}

fn size_of(mut data: &[u8]) -> Result<Size, FrameError> {
    if data.len() != 8 {
        return Err(FrameError::Malformed);
    }
    Ok(Size { cols: data.get_u16(), rows: data.get_u16(), width: data.get_u16(), height: data.get_u16() })
}

/// RFC 4254 6.10 and the `NAME@domain` form that it allows, which we do not know: letters and digits only.
fn signal_name(data: &[u8]) -> Result<String, FrameError> {
    let plain = (1..=8).contains(&data.len()) && data.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    if !plain {
        return Err(FrameError::Malformed);
    }
    String::from_utf8(data.to_vec()).map_err(|_| FrameError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Frame> {
        vec![
            Frame::Attach(Attach { secret: "ab".into(), fence: 1, recorded: 7 }),
            Frame::Input { seq: 1, data: Bytes::from_static(b"ls\n") },
            Frame::InputEof { seq: 2 },
            Frame::Resize { seq: 3, size: Size { cols: 80, rows: 24, width: 0, height: 0 } },
            Frame::Signal { seq: 4, name: "INT".into() },
            Frame::Recorded { offset: 9 },
            Frame::End,
            Frame::Attached(Attached { produced: 1, acked: 2 }),
            Frame::Output { offset: 3, stream: Stream::Stderr, data: Bytes::from_static(b"\xff\0") },
            Frame::OutputEof { offset: 5, stream: Stream::Stdout },
            Frame::Acked { seq: 4 },
            Frame::Exit { offset: 5, exit: Exit::Signal { name: "TERM".into(), core: false } },
        ]
    }

    #[test]
    fn frames_read_back_however_they_are_cut() {
        let mut all = BytesMut::new();
        for frame in samples() {
            frame.encode(&mut all);
        }
        let (mut buf, mut got) = (BytesMut::new(), Vec::new());
        for byte in all {
            buf.put_u8(byte);
            while let Some(frame) = Frame::decode(&mut buf).expect("valid") {
                got.push(frame);
            }
        }
        assert_eq!(got, samples());
    }

    #[test]
    fn a_hostile_end_is_tamed() {
        let read = |exit: Exit| {
            let mut buf = BytesMut::new();
            Frame::Exit { offset: 0, exit }.encode(&mut buf);
            Frame::decode(&mut buf)
        };
        let failed = |code: &str, message: String| Exit::Failed { code: code.into(), message };
        let tamed = |exit| Ok(Some(Frame::Exit { offset: 0, exit }));
        let long = format!("no\x1b[2J\u{9b}\nway{}", "é".repeat(1000));
        assert_eq!(read(failed("NARU-N301", long)), tamed(failed("NARU-N301", format!("no[2J\nway{}", "é".repeat(491)))));
        for code in ["", "N301", "NARU-N3010", "NARU-n301", "NARU-N30\n", "NARU-É01"] {
            assert_eq!(read(failed(code, "x".into())), tamed(failed("NARU-N324", "x".into())), "{code:?}");
        }
        for name in ["", "TERM\n", "term", "A23456789"] {
            assert_eq!(read(Exit::Signal { name: name.into(), core: false }), Err(FrameError::Malformed), "{name:?}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let head = |kind, stream, zero, len| {
            let mut buf = BytesMut::new();
            buf.put_u8(kind);
            buf.put_u8(stream);
            buf.put_u16(zero);
            buf.put_u32(len);
            buf.put_u64(0);
            buf.put_slice(&vec![b'x'; len.min(70_000) as usize]);
            Frame::decode(&mut buf)
        };
        assert_eq!(head(99, 0, 0, 0), Err(FrameError::Kind(99)));
        assert_eq!(head(INPUT, 0, 0, 65_537), Err(FrameError::TooLong(65_537)));
        assert_eq!(head(INPUT, 0, 1, 0), Err(FrameError::Malformed));
        assert_eq!(head(INPUT, 1, 0, 0), Err(FrameError::Malformed));
        assert_eq!(head(OUTPUT, 3, 0, 1), Err(FrameError::Malformed));
        assert_eq!(head(END, 0, 0, 1), Err(FrameError::Malformed));
        assert_eq!(head(RESIZE, 0, 0, 7), Err(FrameError::Malformed));
        assert_eq!(head(SIGNAL, 0, 0, 2), Err(FrameError::Malformed));
        assert_eq!(head(ATTACH, 0, 0, 2), Err(FrameError::Malformed));
    }
}
