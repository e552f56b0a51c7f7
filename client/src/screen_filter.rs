//! Lets through of a recording only what moves and colours text, and writes it anew: nothing recorded reaches the viewer's
//! clipboard, title, keyboard, printer or device control. An allow-list: what is not named here is dropped.

use std::io::Write as _;

use crate::vt::{Action, Csi, Vt};

/// What to do with the alternate screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Let it through: for files that another player plays.
    OtherScreen,
    /// Clear instead: the player is on the alternate screen itself, and a recording must not lead it off.
    OneScreen,
}

/// The filter; it carries its state from chunk to chunk.
#[derive(Debug)]
pub struct Filter {
    vt: Vt,
    keep: Keep,
    cut: bool,
}

/// Undoes everything that a filtered recording can have set: attributes, margins, modes, character sets, tabs.
pub const RESET: &[u8] = b"\x0f\x1b(B\x1b)B\x1b[m\x1b[r\x1b[4l\x1b[?5;6;45l\x1b[?7;25h\x1b[?5W";

/// Cuts lines that are longer than the terminal is wide, in place of wrapping them (DECAWM off). [`RESET`] undoes it.
pub const CUT: &[u8] = b"\x1b[?7l";

const CLEAR: &[u8] = b"\x1b[m\x1b[r\x1b[H\x1b[2J";

impl Filter {
    /// At the beginning of a recording.
    pub fn new(keep: Keep) -> Self {
        Self { vt: Vt::default(), keep, cut: false }
    }

    /// From now on the recording cannot switch the wrapping of long lines on: see [`CUT`].
    pub fn cut_lines(&mut self) {
        self.cut = true;
    }

    /// Appends to `out` what of `bytes` may be shown.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let (keep, cut) = (self.keep, self.cut);
        self.vt.feed(bytes, &mut |action| match action {
            Action::Print(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            // Backspace, tab, the line feeds, return, and the shifts between character sets.
            Action::Control(byte @ (0x08..=0x0f)) => out.push(byte),
            Action::Control(_) => {}
            Action::Escape(between, end) => {
                escape(between, end, keep, out);
                if cut && end == b'c' {
                    out.extend_from_slice(CUT);
                }
            }
            Action::Csi(csi, _) if cut && csi.private == b'?' && csi.params.iter().all(|(value, _)| *value == Some(7)) => {}
            Action::Csi(csi, end) => {
                sequence(csi, end, keep, out);
                if cut && csi.private == b'?' && csi.params.iter().any(|(value, _)| *value == Some(7)) {
                    out.extend_from_slice(CUT);
                }
            }
        });
    }
}

fn escape(between: &[u8], end: u8, keep: Keep, out: &mut Vec<u8>) {
    match (between, end) {
        // Save and restore the cursor; index, next line, tab stop, reverse index.
        ([], b'7' | b'8' | b'D' | b'E' | b'H' | b'M') => out.extend_from_slice(&[0x1b, end]),
        // A full reset also leaves the alternate screen, so it becomes a clear one.
        ([], b'c') if keep == Keep::OneScreen => {
            out.extend_from_slice(RESET);
            out.extend_from_slice(CLEAR);
        }
        ([], b'c') => out.extend_from_slice(b"\x1bc"),
        // The alignment test: fills the screen with E.
        (b"#", b'8') => out.extend_from_slice(b"\x1b#8"),
        // ASCII, British, line drawing.
        ([set @ (b'(' | b')' | b'*' | b'+')], b'B' | b'A' | b'0') => out.extend_from_slice(&[0x1b, *set, end]),
        _ => {}
    }
}

fn sequence(csi: &Csi, end: u8, keep: Keep, out: &mut Vec<u8>) {
    match (csi.private, csi.between.as_slice(), end) {
        // Cursor; tabs; erase; insert and delete; scroll; repeat; tab clear; scroll region.
        (
            0,
            [],
            b'A'..=b'H'
            | b'I'
            | b'Z'
            | b'J'
            | b'K'
            | b'@'
            | b'L'
            | b'M'
            | b'P'
            | b'X'
            | b'S'
            | b'T'
            | b'`'
            | b'a'
            | b'b'
            | b'd'
            | b'e'
            | b'f'
            | b'g'
            | b'r',
        ) => write(csi, end, 5, out),
        (0, [], b'm') => write(csi, end, usize::MAX, out),
        // Without parameters only: with them these are margins, and others.
        (0, [], b's' | b'u') if csi.params.is_empty() => write(csi, end, 0, out),
        // Soft reset.
        (0, b"!", b'p') => out.extend_from_slice(b"\x1b[!p"),
        // Selective erase.
        (b'?', [], b'J' | b'K') => write(csi, end, 1, out),
        // Insert mode.
        (0, [], b'h' | b'l') if csi.params.iter().any(|(value, _)| *value == Some(4)) => out.extend_from_slice(&[0x1b, b'[', b'4', end]),
        (b'?', [], b'h' | b'l') => {
            for (value, _) in &csi.params {
                mode(value.unwrap_or(0), end, keep, out);
            }
        }
        _ => {}
    }
}

/// DEC private modes, one at a time.
fn mode(number: u16, end: u8, keep: Keep, out: &mut Vec<u8>) {
    match (number, keep) {
        // Reverse screen, origin, wrap, cursor blinks, cursor is seen, reverse wrap.
        (5 | 6 | 7 | 12 | 25 | 45, _) => {}
        (47 | 1047 | 1048 | 1049, Keep::OtherScreen) => {}
        (47 | 1047 | 1049, Keep::OneScreen) => return out.extend_from_slice(CLEAR),
        _ => return,
    }
    let _ = write!(out, "\x1b[?{number}{}", char::from(end));
}

/// Writes a sequence anew from its parsed parts; with more than `most` parameters it is dropped.
fn write(csi: &Csi, end: u8, most: usize, out: &mut Vec<u8>) {
    if csi.params.len() > most {
        return;
    }
    out.extend_from_slice(b"\x1b[");
    if csi.private != 0 {
        out.push(csi.private);
    }
    for (at, (value, joined)) in csi.params.iter().enumerate() {
        if at > 0 {
            out.push(if *joined { b':' } else { b';' });
        }
        if let Some(value) = value {
            // No screen is larger, and repeating a character 65,535 times is only a delay.
            let _ = write!(out, "{}", value.min(&9999));
        }
    }
    out.push(end);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(bytes: &[u8]) -> Vec<u8> {
        let (mut filter, mut out) = (Filter::new(Keep::OneScreen), Vec::new());
        filter.feed(bytes, &mut out);
        out
    }

    /// The attacks that a recorded program can print at its later viewer.
    const HOSTILE: &[&str] = &[
        "\x1b]52;c;cm0gLXJmIC8K\x07",
        "\x1b]52;c;?\x1b\\",
        "\x1b]0;title\x07",
        "\x1b]2;title\x1b\\",
        "\x1b[21t",
        "\x1b[20t",
        "\x1b[14t",
        "\x1b[8;10;10t",
        "\x1bP$qm\x1b\\",
        "\x1bP+q544e\x1b\\",
        "\x1b[c",
        "\x1b[0c",
        "\x1b[>c",
        "\x1b[=c",
        "\x1b[5n",
        "\x1b[6n",
        "\x1b[?6n",
        "\x1b[?15n",
        "\x1b[x",
        "\x1b[?2026$p",
        "\x1b[1;1;1;1;1;1*y",
        "\x1bZ",
        "\x05",
        "\x07",
        "\x1b]8;;file:///etc/passwd\x1b\\",
        "\x1b]8;;javascript:alert(1)\x07",
        "\x1b]1337;File=name=eA==;inline=1:eA==\x07",
        "\x1b]777;notify;a;b\x07",
        "\x1b]9;note\x07",
        "\x1b]4;1;?\x07",
        "\x1b]10;?\x07",
        "\x1b]50;x\x07",
        "\x1b]133;A\x07",
        "\x1bPq#0;2;0;0;0~~@@vv@@~~$\x1b\\",
        "\x1b_Gf=24,s=1,v=1;AAAA\x1b\\",
        "\x1b^private\x1b\\",
        "\x1bXstring\x1b\\",
        "\u{9d}0;title\u{9c}",
        "\u{9b}6n",
        "\u{90}$qm\u{9c}",
        "\u{9f}G\u{9c}",
        "\x1b[201~",
        "\x1b[200~",
        "\x1b[?2004h",
        "\x1b[?1000h",
        "\x1b[?1003;1006h",
        "\x1b[?1004h",
        "\x1b[?1h",
        "\x1b=",
        "\x1b>",
        "\x1b[>4;2m",
        "\x1b[>1u",
        "\x1b[=1;1u",
        "\x1b[?u",
        "\x1b[?3h",
        "\x1b[?2026h",
        "\x1b[i",
        "\x1b[5i",
        "\x1b[?4i",
        "\x1b%@",
        "\x1b%G",
        "\x1b[2 q",
        "\x1b[1;2;3\"p",
        "\x1bN",
        "\x1bO",
        "\x1bn",
        "\x1bo",
        "\x1b|",
        "\x1b[?5W",
        "\x1b#3",
        "\x1b(~",
        "\x1b[1;80s",
        "\x1b[4;1;1u",
        "\0",
        "\x7f",
    ];

    #[test]
    fn nothing_of_the_hostile_corpus_comes_out() {
        for text in HOSTILE {
            for split in 0..=text.len() {
                let (mut filter, mut out) = (Filter::new(Keep::OneScreen), Vec::new());
                let bytes = text.as_bytes();
                filter.feed(b"a", &mut out);
                filter.feed(&bytes[..split], &mut out);
                filter.feed(&bytes[split..], &mut out);
                filter.feed(b"b", &mut out);
                assert_eq!(out, b"ab", "{text:?} cut at {split} gave {:?}", String::from_utf8_lossy(&out));
            }
        }
    }

    #[test]
    fn raw_eight_bit_controls_are_not_characters() {
        assert_eq!(shown(b"a\x9b6n\x9d0;x\x9cb"), "a\u{fffd}6n\u{fffd}0;x\u{fffd}b".as_bytes());
    }

    #[test]
    fn what_draws_goes_through_as_it_was() {
        for text in [
            "plain 한글 😀\r\n\t\x08",
            "\x1b[1;31mred\x1b[0m",
            "\x1b[38:2:1:2:3m",
            "\x1b[2J\x1b[H\x1b[10;20H\x1b[K",
            "\x1b[1;24r\x1bM\x1b7\x1b8",
            "\x1b[?25l\x1b[?25h\x1b[?7h",
            "\x1b(0lqk\x1b(B\x0e\x0f",
            "\x1b[5L\x1b[3M\x1b[2P\x1b[4@\x1b[4h\x1b[4l",
            "\x1b[s\x1b[u\x1b[3g\x1bH",
        ] {
            assert_eq!(String::from_utf8_lossy(&shown(text.as_bytes())), text);
        }
    }

    #[test]
    fn the_alternate_screen_is_cleared_or_kept() {
        assert_eq!(shown(b"\x1b[?1049h"), CLEAR);
        assert_eq!(shown(b"\x1b[?1049;2004l"), CLEAR);
        assert!(shown(b"\x1bc").ends_with(CLEAR));
        let (mut filter, mut out) = (Filter::new(Keep::OtherScreen), Vec::new());
        filter.feed(b"\x1b[?1049;2004h\x1b[?1049l", &mut out);
        assert_eq!(out, b"\x1b[?1049h\x1b[?1049l");
    }

    proptest! {
        #[test]
        fn whatever_comes_only_the_allowed_goes_out(bytes in prop::collection::vec(
            prop_oneof![Just(0x1b), Just(b'['), Just(b']'), Just(0x9b), Just(0xc2), 0x20u8..0x7f, any::<u8>()], 0..200)) {
            let once = shown(&bytes);
            prop_assert!(std::str::from_utf8(&once).is_ok(), "only UTF-8");
            // What is allowed is left as it is: nothing that came out would be dropped or changed a second time.
            let (mut filter, mut twice) = (Filter::new(Keep::OneScreen), Vec::new());
            filter.feed(&once, &mut twice);
            // The reset that stands for `ESC c` is ours and not a recording's.
            if !once.windows(RESET.len()).any(|part| part == RESET) {
                prop_assert_eq!(String::from_utf8_lossy(&once), String::from_utf8_lossy(&twice));
            }
        }
    }
}
