//! A recording as plain lines: no escape at all, with returns, backspaces and erasures inside a line carried out.
//!
//! It is not a screen: what a program draws with cursor addressing comes out in the order in which it was drawn.

use crate::vt::{Action, Csi, Vt};

/// Most characters of one line; a longer one is broken.
const LINE: usize = 4096;

/// Lines from bytes.
#[derive(Debug, Default)]
pub struct Lines {
    vt: Vt,
    line: Line,
}

#[derive(Debug, Default)]
struct Line {
    chars: Vec<char>,
    at: usize,
}

impl Lines {
    /// Appends to `out` the lines that these bytes complete.
    pub fn feed(&mut self, bytes: &[u8], out: &mut String) {
        let line = &mut self.line;
        self.vt.feed(bytes, &mut |action| match action {
            Action::Print(c) => line.print(c, out),
            Action::Control(b'\n' | 0x0b | 0x0c) => line.end(out),
            Action::Control(b'\r') => line.at = 0,
            Action::Control(0x08) => line.at = line.at.saturating_sub(1),
            Action::Control(b'\t') => {
                for _ in 0..8 - line.at % 8 {
                    line.print(' ', out);
                }
            }
            Action::Control(_) => {}
            Action::Escape([], b'D' | b'E') => line.end(out),
            Action::Escape(..) => {}
            Action::Csi(csi, end) => line.sequence(csi, end, out),
        });
    }

    /// Appends an unfinished last line.
    pub fn end(&mut self, out: &mut String) {
        if !self.line.chars.is_empty() {
            self.line.end(out);
        }
    }
}

impl Line {
    fn print(&mut self, c: char, out: &mut String) {
        if self.at >= LINE {
            self.end(out);
        }
        self.pad();
        match self.chars.get_mut(self.at) {
            Some(place) => *place = c,
            None => self.chars.push(c),
        }
        self.at += 1;
    }

    fn pad(&mut self) {
        while self.chars.len() < self.at.min(LINE) {
            self.chars.push(' ');
        }
    }

    fn end(&mut self, out: &mut String) {
        let kept = self.chars.iter().rposition(|c| *c != ' ').map_or(0, |last| last + 1);
        out.extend(self.chars.iter().take(kept));
        out.push('\n');
        self.chars.clear();
        self.at = 0;
    }

    fn sequence(&mut self, csi: &Csi, end: u8, out: &mut String) {
        if csi.private != 0 || !csi.between.is_empty() {
            return;
        }
        let count = usize::from(csi.param(0, 1).max(1));
        match end {
            b'C' => self.at = (self.at + count).min(LINE),
            b'D' => self.at = self.at.saturating_sub(count),
            b'G' => self.at = (count - 1).min(LINE),
            b'K' => match csi.param(0, 0) {
                0 => self.chars.truncate(self.at),
                1 => self.chars.iter_mut().take(self.at + 1).for_each(|c| *c = ' '),
                _ => self.chars.clear(),
            },
            b'P' => {
                let from = self.at.min(self.chars.len());
                self.chars.drain(from..(from + count).min(self.chars.len()));
            }
            b'@' if self.at < self.chars.len() => {
                let room = count.min(LINE - self.at.min(LINE));
                self.chars.splice(self.at..self.at, std::iter::repeat_n(' ', room));
                self.chars.truncate(LINE);
            }
            // Another line, or a cleared screen: what was begun is done.
            b'H' | b'f' | b'd' | b'A' | b'B' | b'E' | b'F' | b'J' if !self.chars.is_empty() => self.end(out),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(bytes: &[u8]) -> String {
        let (mut lines, mut out) = (Lines::default(), String::new());
        for byte in bytes {
            lines.feed(&[*byte], &mut out);
        }
        lines.end(&mut out);
        out
    }

    #[test]
    fn lines_are_as_they_stood() {
        assert_eq!(text(b"hi\r\n\x1b[1mbold\x1b[0m\r\n"), "hi\nbold\n");
        assert_eq!(text(b"10%\r20%\r100%\n"), "100%\n");
        assert_eq!(text(b"lx\x08s\x1b[K -l"), "ls -l\n");
        assert_eq!(text(b"abc\x1b[2Dx\x1b[P\n"), "ax\n");
        assert_eq!(text("a\tb\n\n한글".as_bytes()), "a       b\n\n한글\n");
        assert_eq!(text(b"a\x1b]0;t\x07\x1b[6nb\x1b[2J\x1b[Hc"), "ab\nc\n");
    }

    proptest! {
        #[test]
        fn no_control_character_ever(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(text(&bytes).chars().all(|c| c == '\n' || !c.is_control()));
        }
    }
}
