//! What the laptop sends in a session: numbered input within the window, and the escapes `~.`, `~?` and `~~`. No I/O.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use wire::frames::{Frame, HEAD, INPUT_WINDOW, MAX_PAYLOAD, Size};

/// What typing meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Typed {
    /// It was sent.
    Sent,
    /// The same, and `~?` at the beginning of a line: the user asks for the escapes.
    Help,
    /// `~.` at the beginning of a line: the user leaves.
    Leave,
}

/// Counts input: one sequence from 1 over bytes, their end and resizes.
#[derive(Debug)]
pub struct Input {
    seq: u64,
    /// Sequence numbers that are not acknowledged, with what they weigh.
    sent: VecDeque<(u64, usize)>,
    weight: usize,
    escape: Option<Escape>,
}

/// Where in a line the typing stands, as ssh(1) "ESCAPE CHARACTERS" has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escape {
    LineStart,
    Tilde,
    Inside,
}

impl Input {
    /// With escapes where a person types.
    pub fn new(interactive: bool) -> Self {
        Self { seq: 0, sent: VecDeque::new(), weight: 0, escape: interactive.then_some(Escape::LineStart) }
    }

    /// Whether one more piece of 64 KiB may be sent.
    pub fn room(&self) -> bool {
        self.weight + 2 * (HEAD + MAX_PAYLOAD) <= INPUT_WINDOW
    }

    /// Appends frames for what was typed.
    pub fn typed(&mut self, piece: &[u8], out: &mut BytesMut) -> Typed {
        let (kept, meant) = match self.escape {
            Some(_) => self.unescape(piece),
            None => (piece.to_vec(), Typed::Sent),
        };
        for part in kept.chunks(MAX_PAYLOAD) {
            let data = Bytes::copy_from_slice(part);
            self.push(HEAD + part.len(), out, |seq| Frame::Input { seq, data });
        }
        meant
    }

    /// Appends the end of input.
    pub fn eof(&mut self, out: &mut BytesMut) {
        self.push(HEAD, out, |seq| Frame::InputEof { seq });
    }

    /// Appends a new size.
    pub fn resize(&mut self, size: Size, out: &mut BytesMut) {
        self.push(HEAD + 8, out, |seq| Frame::Resize { seq, size });
    }

    /// Everything up to this was taken.
    pub fn acked(&mut self, seq: u64) {
        while let Some((_, weight)) = self.sent.pop_front_if(|(sent, _)| *sent <= seq) {
            self.weight -= weight;
        }
    }

    fn push(&mut self, weight: usize, out: &mut BytesMut, frame: impl FnOnce(u64) -> Frame) {
        self.seq += 1;
        self.sent.push_back((self.seq, weight));
        self.weight += weight;
        frame(self.seq).encode(out);
    }

    /// Takes `~.`, `~?` and the first of `~~` out.
    fn unescape(&mut self, piece: &[u8]) -> (Vec<u8>, Typed) {
        let mut kept = Vec::with_capacity(piece.len() + 1);
        let mut meant = Typed::Sent;
        for byte in piece {
            let after = if matches!(byte, b'\r' | b'\n') { Escape::LineStart } else { Escape::Inside };
            match (self.escape, byte) {
                (Some(Escape::LineStart), b'~') => {
                    self.escape = Some(Escape::Tilde);
                    continue;
                }
                (Some(Escape::Tilde), b'.') => return (kept, Typed::Leave),
                (Some(Escape::Tilde), b'?') => {
                    (self.escape, meant) = (Some(Escape::LineStart), Typed::Help);
                    continue;
                }
                (Some(Escape::Tilde), b'~') => kept.push(b'~'),
                (Some(Escape::Tilde), other) => kept.extend([b'~', *other]),
                (_, other) => kept.push(*other),
            }
            self.escape = Some(after);
        }
        (kept, meant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(mut buf: BytesMut) -> Vec<Frame> {
        std::iter::from_fn(|| Frame::decode(&mut buf).expect("valid")).collect()
    }

    #[test]
    fn input_is_one_sequence_within_the_window() {
        let (mut input, mut out) = (Input::new(false), BytesMut::new());
        assert_eq!(input.typed(&vec![b'x'; MAX_PAYLOAD + 1], &mut out), Typed::Sent);
        input.resize(Size { cols: 80, rows: 24, width: 0, height: 0 }, &mut out);
        input.eof(&mut out);
        let seqs: Vec<u64> = frames(out)
            .iter()
            .map(|frame| match frame {
                Frame::Input { seq, .. } | Frame::Resize { seq, .. } | Frame::InputEof { seq } => *seq,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(seqs, [1, 2, 3, 4]);
    }

    #[test]
    fn nothing_is_sent_beyond_the_window_until_it_is_acknowledged() {
        let (mut input, mut out, mut sent) = (Input::new(false), BytesMut::new(), 0);
        while input.room() {
            input.typed(&vec![b'x'; MAX_PAYLOAD], &mut out);
            sent += HEAD + MAX_PAYLOAD;
            out.clear();
        }
        assert!(sent <= INPUT_WINDOW && sent > INPUT_WINDOW / 2);
        input.acked(1);
        assert!(input.room());
        input.acked(u64::MAX);
        assert_eq!(input.weight, 0);
    }

    #[test]
    fn tilde_dot_leaves_only_at_the_beginning_of_a_line() {
        let typed = |pieces: &[&str]| {
            let (mut input, mut out, mut last) = (Input::new(true), BytesMut::new(), Typed::Sent);
            for piece in pieces {
                last = input.typed(piece.as_bytes(), &mut out);
            }
            let bytes: Vec<u8> = frames(out)
                .into_iter()
                .flat_map(|frame| if let Frame::Input { data, .. } = frame { data.to_vec() } else { vec![] })
                .collect();
            (String::from_utf8(bytes).expect("text"), last)
        };
        assert_eq!(typed(&["ls\r", "~", "."]), ("ls\r".into(), Typed::Leave));
        assert_eq!(typed(&["~."]), (String::new(), Typed::Leave));
        assert_eq!(typed(&["a~."]), ("a~.".into(), Typed::Sent));
        assert_eq!(typed(&["~~."]), ("~.".into(), Typed::Sent));
        assert_eq!(typed(&["a\r~?ls"]), ("a\rls".into(), Typed::Help));
        assert_eq!(typed(&["~", "?", "~."]), (String::new(), Typed::Leave));
        assert_eq!(typed(&["a~?"]), ("a~?".into(), Typed::Sent));
        assert_eq!(typed(&["~/x\r~\r~."]), ("~/x\r~\r".into(), Typed::Leave));
    }
}
