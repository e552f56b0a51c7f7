//! `naru play`: the player. Keys as asciinema's: space pauses, `.` steps, `+` and `-` change the speed, arrows go 5 s, `q` leaves.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, BufWriter, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc;
use wire::api::exit;
use wire::asciicast::{CastFault, Item, MAX_LINE, Reader};

use crate::failure::Failure;
use crate::http::Streamed;
use crate::out::print;
use crate::profile::make_dir;
use crate::screen_filter::{Filter, Keep, RESET};
use crate::terminal::{self, Ends, Raw};
use crate::text::Lines;

/// How far an arrow goes, in microseconds.
const JUMP: u64 = 5_000_000;

/// Something that a player shows or obeys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Microseconds since the session began.
    pub time: u64,
    /// As in asciicast v3, or one of ours: see [`wire::asciicast`].
    pub code: char,
    /// The bytes.
    pub data: Vec<u8>,
}

impl Event {
    /// Of what a cast has; none for the header and for facts.
    pub fn of(item: Item) -> Option<Self> {
        match item {
            Item::Event { at, code, text } => Some(Self { time: at, code, data: text.into_bytes() }),
            Item::Bytes { at, code, bytes, .. } => Some(Self { time: at, code, data: bytes }),
            Item::Header(_) | Item::Fact(_) => None,
        }
    }

    /// Whether it is output, on a terminal or without one.
    pub fn is_output(&self) -> bool {
        matches!(self.code, 'o' | 'O' | 'E')
    }
}

/// Gives the reader one line without its end, and takes what it makes of it.
pub fn item_of(reader: &mut Reader, line: &[u8]) -> Result<Option<Item>, CastFault> {
    reader.push(line);
    reader.push(b"\n");
    reader.next_item().transpose()
}

/// How to play.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wish {
    /// 1 is as it was.
    pub speed: f64,
    /// Longest pause, in microseconds of the recording.
    pub idle: u64,
    /// Where to begin, in microseconds.
    pub at: u64,
    /// Let everything through.
    pub raw: bool,
}

/// A recording in a file without a name, or one that the user has: read from the front as often as one likes.
pub struct Tape {
    file: BufReader<File>,
    reader: Reader,
}

impl Tape {
    /// Keeps a stream in a file in `dir` that nobody else can open.
    pub async fn fetch(mut from: Streamed, dir: &Path) -> Result<Self, Failure> {
        make_dir(dir)?;
        let path = dir.join(format!("play.{}", std::process::id()));
        let failed = |e: std::io::Error| Failure::file("written", &path, &e);
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
        std::fs::remove_file(&path).map_err(failed)?;
        let mut to = BufWriter::new(file);
        let progress = indicatif::ProgressBar::new_spinner().with_message("fetching the recording");
        while let Some(chunk) = from.chunk().await? {
            to.write_all(&chunk).map_err(failed)?;
            progress.inc(1);
        }
        progress.finish_and_clear();
        Self::over(to.into_inner().map_err(|e| failed(e.into_error()))?)
    }

    /// Over a file of the user's.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        File::open(path).map_err(|e| Failure::file("read", path, &e)).and_then(Self::over)
    }

    fn over(file: File) -> Result<Self, Failure> {
        let mut tape = Self { file: BufReader::new(file), reader: Reader::default() };
        tape.rewind()?;
        Ok(tape)
    }

    /// Back to the front.
    pub fn rewind(&mut self) -> Result<(), Failure> {
        self.reader = Reader::default();
        self.file.rewind().map_err(|e| unreadable(&e))
    }

    /// The next line as it is, without its end.
    pub fn line(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let mut line = Vec::new();
        let n = std::io::Read::take(&mut self.file, MAX_LINE as u64 + 2).read_until(b'\n', &mut line).map_err(|e| unreadable(&e))?;
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        Ok((n > 0).then_some(line))
    }

    /// The next event that a player shows or obeys.
    fn next(&mut self) -> Result<Option<Event>, Failure> {
        while let Some(line) = self.line()? {
            let item = item_of(&mut self.reader, &line).map_err(|e| unreadable(&e))?;
            if let Some(event) = item.and_then(Event::of) {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }
}

/// Prints it from this time on (in microseconds) as JSON, one event a line.
pub fn json_lines(tape: &mut Tape, from: u64) -> Result<(), Failure> {
    while let Some(event) = tape.next()? {
        if event.time < from {
            continue;
        }
        print(format!("{}\n", crate::watch::as_json(&event)).as_bytes())?;
    }
    Ok(())
}

fn unreadable(cause: &dyn std::fmt::Display) -> Failure {
    Failure::new("NARU-R120", exit::FAILED, "the recording cannot be read").because(cause)
}

/// What a key wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Pause,
    Step,
    Faster,
    Slower,
    Back,
    Forward,
    Quit,
    Interrupt,
}

/// Keys in what was typed; what means nothing is skipped.
fn keys(typed: &[u8]) -> Vec<Key> {
    let mut rest = typed;
    let mut found = Vec::new();
    while let Some(first) = rest.first() {
        let (key, used) = match (first, rest) {
            (_, [0x1b, b'[' | b'O', b'C', ..]) => (Some(Key::Forward), 3),
            (_, [0x1b, b'[' | b'O', b'D', ..]) => (Some(Key::Back), 3),
            (b' ', _) => (Some(Key::Pause), 1),
            (b'.', _) => (Some(Key::Step), 1),
            (b'+' | b'=' | b'>', _) => (Some(Key::Faster), 1),
            (b'-' | b'_' | b'<', _) => (Some(Key::Slower), 1),
            (b'q', _) => (Some(Key::Quit), 1),
            (0x03, _) => (Some(Key::Interrupt), 1),
            _ => (None, 1),
        };
        found.extend(key);
        rest = rest.get(used..).unwrap_or_default();
    }
    found
}

/// Plays on the terminal until the end, `q` or a signal.
pub async fn screen(tape: Tape, wish: Wish) -> Result<u8, Failure> {
    let mut ends = Ends::listen()?;
    let raw = Raw::enter(true)?;
    let mut player = Player::new(tape, wish, print)?;
    let typed = terminal::typed();
    let code = tokio::select! {
        code = player.run(typed) => code,
        code = ends.next() => Ok(code),
    };
    drop(raw);
    if code.as_ref().is_ok_and(|code| *code == exit::OK) && player.next.is_none() {
        print(player.tail().as_bytes())?;
    }
    if let Some((cols, rows)) = player.largest {
        let here = terminal::size();
        if cols > here.cols || rows > here.rows {
            crate::out::say(&format!("note: the recording is {cols}x{rows}, larger than this terminal"));
        }
    }
    code
}

struct Player {
    tape: Tape,
    wish: Wish,
    filter: Filter,
    lines: Lines,
    /// The last lines as text, for when the other screen is gone.
    text: String,
    next: Option<Event>,
    /// Where we are, in microseconds.
    at: u64,
    paused: bool,
    largest: Option<(u16, u16)>,
    /// Where the picture goes.
    show: fn(&[u8]) -> Result<(), Failure>,
}

impl Player {
    fn new(tape: Tape, wish: Wish, show: fn(&[u8]) -> Result<(), Failure>) -> Result<Self, Failure> {
        let filter = Filter::new(Keep::OneScreen);
        let lines = Lines::default();
        let mut player = Self { tape, wish, filter, lines, text: String::new(), next: None, at: 0, paused: false, largest: None, show };
        player.next = player.tape.next()?;
        player.seek(wish.at)?;
        Ok(player)
    }

    async fn run(&mut self, mut typed: mpsc::Receiver<Bytes>) -> Result<u8, Failure> {
        while self.next.is_some() {
            let began = Instant::now();
            let wait = self.wait();
            let got = if self.paused { Ok(typed.recv().await) } else { tokio::time::timeout(wait, typed.recv()).await };
            match got {
                Err(_) => self.step()?,
                // Nobody can type any more: it plays on by itself.
                Ok(None) => {
                    tokio::time::sleep(wait.saturating_sub(began.elapsed())).await;
                    self.step()?;
                }
                Ok(Some(pressed)) => {
                    if !self.paused {
                        self.passed(began.elapsed());
                    }
                    for key in keys(&pressed) {
                        if let Some(code) = self.obey(key)? {
                            return Ok(code);
                        }
                    }
                }
            }
        }
        Ok(exit::OK)
    }

    /// How long until the next event, as it is to be played.
    fn wait(&self) -> Duration {
        let gap = self.next.as_ref().map_or(0, |event| event.time.saturating_sub(self.at)).min(self.wish.idle);
        Duration::try_from_secs_f64(Duration::from_micros(gap).as_secs_f64() / self.wish.speed).unwrap_or(Duration::MAX)
    }

    /// Counts the part of a pause that has passed before a key came.
    fn passed(&mut self, time: Duration) {
        let Some(next) = self.next.as_ref().map(|event| event.time) else { return };
        let gap = next.saturating_sub(self.at).min(self.wish.idle);
        let part = Duration::try_from_secs_f64(time.as_secs_f64() * self.wish.speed)
            .map_or(gap, |part| u64::try_from(part.as_micros()).unwrap_or(gap));
        self.at = next.saturating_sub(gap.saturating_sub(part));
    }

    fn obey(&mut self, key: Key) -> Result<Option<u8>, Failure> {
        match key {
            Key::Quit => return Ok(Some(exit::OK)),
            Key::Interrupt => return Ok(Some(exit::INTERRUPTED)),
            Key::Pause => self.paused = !self.paused,
            Key::Step => self.step()?,
            Key::Faster => self.wish.speed = (self.wish.speed * 2.0).min(64.0),
            Key::Slower => self.wish.speed = (self.wish.speed / 2.0).max(1.0 / 16.0),
            Key::Back => self.seek(self.at.saturating_sub(JUMP))?,
            Key::Forward => self.seek(self.at.saturating_add(JUMP))?,
        }
        Ok(None)
    }

    /// Shows the next event.
    fn step(&mut self) -> Result<(), Failure> {
        let Some(event) = self.next.take() else { return Ok(()) };
        let mut out = Vec::new();
        self.draw(&event, &mut out);
        self.at = self.at.max(event.time);
        self.next = self.tape.next()?;
        (self.show)(&out)
    }

    /// Goes to this time: back means from the front again, without waiting.
    fn seek(&mut self, to: u64) -> Result<(), Failure> {
        let mut out = Vec::new();
        if to < self.at {
            self.tape.rewind()?;
            self.filter = Filter::new(Keep::OneScreen);
            self.lines = Lines::default();
            self.text.clear();
            out.extend_from_slice(RESET);
            out.extend_from_slice(b"\x1b[H\x1b[2J");
            self.next = self.tape.next()?;
        }
        while let Some(event) = self.next.take_if(|event| event.time <= to) {
            self.draw(&event, &mut out);
            self.next = self.tape.next()?;
            if out.len() > 256 * 1024 {
                (self.show)(&out)?;
                out.clear();
            }
        }
        self.at = to;
        (self.show)(&out)
    }

    fn draw(&mut self, event: &Event, out: &mut Vec<u8>) {
        let returned;
        let data = match event.code {
            'o' => &event.data,
            // Without a terminal nobody has put the returns in.
            'O' | 'E' => {
                returned = with_returns(&event.data);
                &returned
            }
            'r' => {
                if let Some((cols, rows)) = size(&event.data) {
                    let (most_cols, most_rows) = self.largest.unwrap_or_default();
                    self.largest = Some((cols.max(most_cols), rows.max(most_rows)));
                }
                return;
            }
            _ => return,
        };
        if self.wish.raw {
            out.extend_from_slice(data);
        } else {
            self.filter.feed(data, out);
        }
        self.lines.feed(data, &mut self.text);
        if self.text.len() > 64 * 1024 {
            let cut = self.text.char_indices().map(|(at, _)| at).find(|at| *at >= 32 * 1024).unwrap_or(0);
            self.text.drain(..cut);
        }
    }

    /// The last lines, for the screen that the player came from.
    fn tail(&mut self) -> String {
        self.lines.end(&mut self.text);
        let lines: Vec<&str> = self.text.lines().collect();
        let from = lines.len().saturating_sub(usize::from(terminal::size().rows).saturating_sub(2));
        lines.get(from..).unwrap_or_default().iter().map(|line| format!("{line}\n")).collect()
    }
}

/// `80x24`.
fn size(data: &[u8]) -> Option<(u16, u16)> {
    let (cols, rows) = std::str::from_utf8(data).ok()?.split_once('x')?;
    Some((cols.parse().ok()?, rows.parse().ok()?))
}

/// With a return before each line feed.
pub fn with_returns(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() + data.len() / 16);
    for byte in data {
        if *byte == b'\n' {
            out.push(b'\r');
        }
        out.push(*byte);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tape(text: &str) -> Tape {
        let mut file = tempfile::tempfile().expect("file");
        file.write_all(text.as_bytes()).expect("written");
        Tape::over(file).expect("tape")
    }

    const CAST: &str = "{\"version\":3,\"term\":{\"cols\":80,\"rows\":24}}\n[1, \"o\", \"a\"]\n[10, \"o\", \"b\"]\n[0.5, \"r\", \"200x50\"]\n[10, \"o\", \"c\"]\n";
    const WISH: Wish = Wish { speed: 2.0, idle: 4_000_000, at: 0, raw: false };

    #[test]
    fn keys_are_found_in_whatever_is_typed() {
        assert_eq!(keys(b" .q"), [Key::Pause, Key::Step, Key::Quit]);
        assert_eq!(keys(b"\x1b[C\x1b[D\x1bOC\x03"), [Key::Forward, Key::Back, Key::Forward, Key::Interrupt]);
        assert_eq!(keys(b"x\x1b[A\x1b"), []);
        assert_eq!(keys(b"+-"), [Key::Faster, Key::Slower]);
    }

    #[test]
    fn pauses_follow_speed_and_idle_limit() {
        let mut player = Player::new(tape(CAST), WISH, |_| Ok(())).expect("player");
        assert_eq!(player.wait(), Duration::from_millis(500));
        player.step().expect("a");
        assert_eq!((player.at, player.wait()), (1_000_000, Duration::from_secs(2)));
        player.passed(Duration::from_secs(1));
        assert_eq!(player.wait(), Duration::from_secs(1), "half of the shortened pause is over");
        player.obey(Key::Faster).expect("faster");
        assert_eq!(player.wait(), Duration::from_millis(500));
    }

    #[test]
    fn going_back_begins_again_and_going_on_does_not() {
        let mut player = Player::new(tape(CAST), Wish { at: 12_000_000, ..WISH }, |_| Ok(())).expect("player");
        assert_eq!(player.tail(), "ab\n");
        assert_eq!(player.largest, Some((200, 50)));
        player.obey(Key::Back).expect("back");
        assert_eq!((player.at, player.next.as_ref().map(|event| event.time)), (7_000_000, Some(11_000_000)));
        assert_eq!(player.tail(), "a\n");
        player.obey(Key::Forward).expect("on");
        player.obey(Key::Forward).expect("on");
        player.obey(Key::Forward).expect("on");
        assert!(player.next.is_none());
    }

    #[test]
    fn a_damaged_line_is_an_error_and_no_panic() {
        assert!(Player::new(tape("{}\n"), WISH, |_| Ok(())).is_err());
        let mut player = Player::new(tape("{\"version\":3,\"term\":{\"cols\":80,\"rows\":24}}\n[1,\"o\",\"a\"]\n[x\n"), WISH, |_| Ok(()))
            .expect("player");
        assert!(player.step().is_err());
        let long = format!("{{\"version\":3,\"term\":{{\"cols\":80,\"rows\":24}}}}\n#{}\n", "x".repeat(MAX_LINE));
        assert!(Player::new(tape(&long), WISH, |_| Ok(())).is_err());
    }

    #[test]
    fn what_is_no_text_and_what_had_no_terminal_is_shown() {
        let cast = "{\"version\":3,\"term\":{\"cols\":80,\"rows\":24}}\n[1,\"O\",\"a\\n\"]\n# naru {\"E\":\"YgpjCg==\",\"at\":2,\"t\":2000000}\n[2,\"I\",\"typed\"]\n";
        let mut player = Player::new(tape(cast), Wish { at: 9_000_000, ..WISH }, |_| Ok(())).expect("player");
        assert_eq!(player.tail(), "a\nb\nc\n");
    }
}
