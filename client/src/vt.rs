//! What a terminal would make of bytes: characters, controls and escape sequences, by the state machine of Paul Williams
//! (vt100.net/emu/dec_ansi_parser) with UTF-8 in front. It parses and judges nothing; memory is bounded whatever comes.

/// Most parameters of one sequence; with more it is ignored whole.
const PARAMS: usize = 32;
/// Most bytes between parameters and the final byte.
const BETWEEN: usize = 2;

/// One thing that a terminal would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action<'a> {
    /// Shows a character; bytes that are not UTF-8 come as U+FFFD. Never a control.
    Print(char),
    /// A C0 control.
    Control(u8),
    /// `ESC` … final.
    Escape(&'a [u8], u8),
    /// `CSI` … final.
    Csi(&'a Csi, u8),
}

/// The inside of a control sequence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Csi {
    /// `?`, `>`, `=` or `<` in front, or 0.
    pub private: u8,
    /// Each with whether a `:` joins it to the one before; absent ones are `None`.
    pub params: Vec<(Option<u16>, bool)>,
    /// Bytes 0x20 to 0x2f before the final one.
    pub between: Vec<u8>,
}

impl Csi {
    /// The value of a parameter, or the default where it is absent.
    pub fn param(&self, at: usize, default: u16) -> u16 {
        self.params.get(at).and_then(|(value, _)| *value).unwrap_or(default)
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Ground,
    Escape,
    Csi,
    /// A sequence that is malformed or too long: nothing of it counts.
    CsiIgnore,
    EscapeIgnore,
    /// OSC, DCS, SOS, PM, APC; true where BEL ends it (xterm's OSC).
    Text(bool),
}

/// The machine.
#[derive(Debug, Default)]
pub struct Vt {
    state: State,
    csi: Csi,
    between: Vec<u8>,
    utf8: Utf8,
}

impl Vt {
    /// Takes bytes and tells `on` what they do, in order.
    pub fn feed(&mut self, bytes: &[u8], on: &mut impl FnMut(Action<'_>)) {
        for byte in bytes {
            // An incomplete character ends at a byte that cannot continue it; that byte then counts by itself.
            let (lost, char) = self.utf8.push(*byte);
            if lost {
                self.char(char::REPLACEMENT_CHARACTER, on);
            }
            if let Some(c) = char {
                self.char(c, on);
            }
        }
    }

    fn char(&mut self, c: char, on: &mut impl FnMut(Action<'_>)) {
        let code = u32::from(c);
        match u8::try_from(code) {
            // CAN and SUB end whatever is going on.
            Ok(0x18 | 0x1a) => self.state = State::Ground,
            Ok(0x1b) => self.begin_escape(),
            // Some terminals take U+0080 to U+009F for the 8-bit controls: what they would begin is begun, so that its inside goes too.
            Ok(byte @ 0x80..=0x9f) => self.eight_bit(byte),
            Ok(byte @ (0..=0x1f | 0x7f)) => self.control(byte, on),
            Ok(byte @ 0x20..=0x7e) => self.plain(byte, on),
            _ => match self.state {
                State::Ground => on(Action::Print(c)),
                State::Text(_) => {}
                State::Escape | State::EscapeIgnore => self.state = State::Ground,
                State::Csi | State::CsiIgnore => self.state = State::CsiIgnore,
            },
        }
    }

    fn begin_escape(&mut self) {
        self.state = State::Escape;
        self.between.clear();
    }

    fn begin_csi(&mut self) {
        self.state = State::Csi;
        self.csi = Csi::default();
    }

    fn eight_bit(&mut self, byte: u8) {
        match byte {
            0x90 | 0x98 | 0x9e | 0x9f => self.state = State::Text(false),
            0x9d => self.state = State::Text(true),
            0x9b => self.begin_csi(),
            _ => self.state = State::Ground,
        }
    }

    fn control(&mut self, byte: u8, on: &mut impl FnMut(Action<'_>)) {
        match self.state {
            State::Text(true) if byte == 0x07 => self.state = State::Ground,
            State::Text(_) => {}
            // Inside a sequence a terminal carries a control out at once.
            _ => on(Action::Control(byte)),
        }
    }

    fn plain(&mut self, byte: u8, on: &mut impl FnMut(Action<'_>)) {
        match self.state {
            State::Ground => on(Action::Print(char::from(byte))),
            State::Text(_) => {}
            State::Escape => self.escape(byte, on),
            State::EscapeIgnore => {
                if byte >= 0x30 {
                    self.state = State::Ground;
                }
            }
            State::Csi => self.sequence(byte, on),
            State::CsiIgnore => {
                if byte >= 0x40 {
                    self.state = State::Ground;
                }
            }
        }
    }

    fn escape(&mut self, byte: u8, on: &mut impl FnMut(Action<'_>)) {
        match (byte, self.between.is_empty()) {
            (0x20..=0x2f, _) if self.between.len() < BETWEEN => self.between.push(byte),
            (0x20..=0x2f, _) => self.state = State::EscapeIgnore,
            (b'[', true) => self.begin_csi(),
            (b']', true) => self.state = State::Text(true),
            (b'P' | b'X' | b'^' | b'_', true) => self.state = State::Text(false),
            _ => {
                self.state = State::Ground;
                on(Action::Escape(&self.between, byte));
            }
        }
    }

    fn sequence(&mut self, byte: u8, on: &mut impl FnMut(Action<'_>)) {
        let csi = &mut self.csi;
        let fresh = csi.params.is_empty() && csi.private == 0 && csi.between.is_empty();
        match byte {
            b'0'..=b'9' if csi.between.is_empty() => {
                if csi.params.is_empty() {
                    csi.params.push((None, false));
                }
                if let Some((value, _)) = csi.params.last_mut() {
                    *value = Some(value.unwrap_or(0).saturating_mul(10).saturating_add(u16::from(byte - b'0')));
                }
            }
            b';' | b':' if csi.between.is_empty() && csi.params.len() < PARAMS => {
                if csi.params.is_empty() {
                    csi.params.push((None, false));
                }
                csi.params.push((None, byte == b':'));
            }
            b'<'..=b'?' if fresh => csi.private = byte,
            0x20..=0x2f if csi.between.len() < BETWEEN => csi.between.push(byte),
            0x40..=0x7e => {
                self.state = State::Ground;
                on(Action::Csi(&self.csi, byte));
            }
            _ => self.state = State::CsiIgnore,
        }
    }
}

/// Characters from bytes, one at a time.
#[derive(Debug, Default)]
struct Utf8 {
    have: [u8; 4],
    len: usize,
}

impl Utf8 {
    /// Whether an incomplete character before this byte was lost, and the character that is complete now.
    fn push(&mut self, byte: u8) -> (bool, Option<char>) {
        if self.len == 0 {
            return (false, self.begin(byte));
        }
        let mut tried = self.have;
        if let Some(place) = tried.get_mut(self.len) {
            *place = byte;
        }
        let now = tried.get(..self.len + 1).unwrap_or_default();
        match std::str::from_utf8(now) {
            Ok(text) => {
                self.len = 0;
                (false, text.chars().next())
            }
            Err(e) if e.error_len().is_none() => {
                self.have = tried;
                self.len += 1;
                (false, None)
            }
            Err(_) => {
                self.len = 0;
                (true, self.begin(byte))
            }
        }
    }

    fn begin(&mut self, byte: u8) -> Option<char> {
        match byte {
            0..=0x7f => Some(char::from(byte)),
            0xc2..=0xf4 => {
                self.have = [byte, 0, 0, 0];
                self.len = 1;
                None
            }
            _ => Some(char::REPLACEMENT_CHARACTER),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(bytes: &[u8]) -> Vec<String> {
        let (mut vt, mut out) = (Vt::default(), Vec::new());
        for byte in bytes {
            vt.feed(&[*byte], &mut |action| out.push(format!("{action:?}")));
        }
        out
    }

    fn printed(bytes: &[u8]) -> String {
        let (mut vt, mut out) = (Vt::default(), String::new());
        vt.feed(bytes, &mut |action| {
            if let Action::Print(c) = action {
                out.push(c);
            }
        });
        out
    }

    #[test]
    fn characters_are_whole_however_they_are_cut() {
        assert_eq!(printed("a한글😀".as_bytes()), "a한글😀");
        assert_eq!(printed(b"a\xffb\xed\x95c\xf0\x9f\x98"), "a\u{fffd}b\u{fffd}c");
        assert_eq!(seen("한".as_bytes()), ["Print('한')"]);
    }

    #[test]
    fn strings_swallow_their_inside() {
        for text in [
            "\x1b]0;x\x07",
            "\x1b]0;x\x1b\\",
            "\x1bPx\x07y\x1b\\",
            "\x1bXx\x1b\\",
            "\x1b^x\x1b\\",
            "\x1b_x\x1b\\",
            "\u{9d}x\u{9c}",
            "\u{90}x\u{9c}",
        ] {
            assert_eq!(printed(format!("a{text}b").as_bytes()), "ab", "{text:?}");
        }
        assert_eq!(printed(b"a\x1b]0;x\x18b"), "ab", "CAN ends a string");
    }

    #[test]
    fn sequences_have_their_parts() {
        let (mut vt, mut got) = (Vt::default(), None);
        vt.feed(b"\x1b[?1;;38:2:99999$p", &mut |action| {
            if let Action::Csi(csi, end) = action {
                got = Some((csi.clone(), end));
            }
        });
        let params = vec![(Some(1), false), (None, false), (Some(38), false), (Some(2), true), (Some(u16::MAX), true)];
        assert_eq!(got, Some((Csi { private: b'?', params, between: vec![b'$'] }, b'p')));
        assert_eq!(printed(format!("\x1b[{}mx", ";".repeat(100_000)).as_bytes()), "x", "too many parameters");
    }
}
