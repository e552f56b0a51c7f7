//! `naru play`: the player. Keys as asciinema's: space pauses, `.` steps, `+` and `-` change the speed, arrows go 5 s, `q` leaves;
//! `?` shows them. While it stands still the last row says where.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, BufWriter, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc;
use wire::api::exit;
use wire::asciicast::{CastFault, Item, MAX_LINE, Reader};
use wire::frames::Size;

use crate::failure::Failure;
use crate::http::Streamed;
use crate::out::print;
use crate::profile::make_dir;
use crate::screen_filter::{CUT, Filter, Keep, RESET};
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
            Item::Fact(_) => crate::gap::event(&item),
            Item::Header(_) => None,
        }
    }

    /// Whether it is output, on a terminal or without one.
    pub fn is_output(&self) -> bool {
        matches!(self.code, 'o' | 'O' | 'E' | crate::gap::CODE)
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
    /// Columns and rows at the start, once the header was read.
    size: Option<(u16, u16)>,
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
        let mut tape = Self { file: BufReader::new(file), reader: Reader::default(), size: None };
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
            if let Some(Item::Header(header)) = &item {
                self.size = Some((header.cols, header.rows));
            }
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
    Help,
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
            (b'?', _) => (Some(Key::Help), 1),
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
    let here = terminal::size();
    let mut player = Player::new(tape, wish, here, print)?;
    if let Some(note) = player.largest.and_then(|size| terminal::larger(size, here)) {
        print(&terminal::bottom_row(&note, here))?;
    }
    let typed = terminal::typed();
    let code = tokio::select! {
        code = player.run(typed) => code,
        code = ends.next() => Ok(code),
    };
    drop(raw);
    if code.as_ref().is_ok_and(|code| *code == exit::OK) && player.next.is_none() {
        print(player.tail().as_bytes())?;
    }
    if let Some(note) = player.largest.and_then(|size| terminal::larger(size, here)) {
        crate::out::say(&note);
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
    /// The last row shows the keys.
    help: bool,
    largest: Option<(u16, u16)>,
    /// The terminal that it plays on.
    here: Size,
    /// Where the picture goes.
    show: fn(&[u8]) -> Result<(), Failure>,
}

impl Player {
    fn new(tape: Tape, wish: Wish, here: Size, show: fn(&[u8]) -> Result<(), Failure>) -> Result<Self, Failure> {
        let mut player = Self {
            tape,
            wish,
            filter: Filter::new(Keep::OneScreen),
            lines: Lines::default(),
            text: String::new(),
            next: None,
            at: 0,
            paused: false,
            help: false,
            largest: None,
            here,
            show,
        };
        let mut out = Vec::new();
        player.begin(&mut out)?;
        player.go_on(wish.at, out)?;
        Ok(player)
    }

    /// At the front, with nothing drawn.
    fn begin(&mut self, out: &mut Vec<u8>) -> Result<(), Failure> {
        self.tape.rewind()?;
        self.filter = Filter::new(Keep::OneScreen);
        self.lines = Lines::default();
        self.text.clear();
        self.next = self.tape.next()?;
        if let Some(size) = self.tape.size {
            self.sized(size, out);
        }
        Ok(())
    }

    /// What is wider than this terminal is cut: wrapped lines would push everything else out of its place.
    fn sized(&mut self, (cols, rows): (u16, u16), out: &mut Vec<u8>) {
        let (most_cols, most_rows) = self.largest.unwrap_or_default();
        self.largest = Some((cols.max(most_cols), rows.max(most_rows)));
        if cols > self.here.cols {
            self.filter.cut_lines();
            out.extend_from_slice(CUT);
        }
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
                    if self.paused {
                        (self.show)(&terminal::bottom_row(&self.status(), self.here))?;
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
            Key::Help => {
                self.help = !(self.help && self.paused);
                self.paused = true;
            }
            Key::Pause => {
                self.paused = !self.paused;
                if !self.paused {
                    self.help = false;
                    // What the last row showed before is drawn again.
                    self.again(self.at)?;
                }
            }
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

    /// Where it stands and how fast it goes, or the keys.
    fn status(&self) -> String {
        if self.help {
            return "space goes on   . steps   + - speed   arrows 5 s   ? time   q leaves".to_owned();
        }
        let seconds = self.at / 1_000_000;
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        let time = if hours > 0 { format!("{hours}:{minutes:02}") } else { minutes.to_string() };
        format!("paused at {time}:{:02}   speed {}   space goes on   ? keys", seconds % 60, self.wish.speed)
    }

    /// Goes to this time: back means from the front again, without waiting.
    fn seek(&mut self, to: u64) -> Result<(), Failure> {
        if to < self.at { self.again(to) } else { self.go_on(to, Vec::new()) }
    }

    /// Draws everything up to this time anew.
    fn again(&mut self, to: u64) -> Result<(), Failure> {
        let mut out = [RESET, b"\x1b[H\x1b[2J"].concat();
        self.begin(&mut out)?;
        self.go_on(to, out)
    }

    /// Draws on up to this time, behind what `out` has.
    fn go_on(&mut self, to: u64, mut out: Vec<u8>) -> Result<(), Failure> {
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
            'o' | crate::gap::CODE => &event.data,
            // Without a terminal nobody has put the returns in.
            'O' | 'E' => {
                returned = with_returns(&event.data);
                &returned
            }
            'r' => {
                if let Some(size) = size(&event.data) {
                    self.sized(size, out);
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
pub(crate) fn size(data: &[u8]) -> Option<(u16, u16)> {
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

    const HERE: Size = Size { cols: 80, rows: 24, width: 0, height: 0 };

    /// What a player has shown, per thread: tests run beside each other.
    fn shown(bytes: &[u8]) -> Result<(), Failure> {
        SHOWN.with_borrow_mut(|all| all.extend_from_slice(bytes));
        Ok(())
    }

    thread_local! {
        static SHOWN: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) };
    }

    #[test]
    fn what_is_wider_than_the_terminal_is_cut_and_not_wrapped() {
        let wide = "{\"version\":3,\"term\":{\"cols\":100,\"rows\":24}}\n[1, \"o\", \"a\\u001b[?7hb\\u001bcd\\u001b[?25;7he\"]\n";
        let mut player = Player::new(tape(wide), WISH, HERE, shown).expect("player");
        assert!(terminal::larger(player.largest.expect("a size"), HERE).is_some_and(|note| note.contains("100x24")));
        player.seek(2_000_000).expect("sought");
        let all = SHOWN.take();
        let text = String::from_utf8_lossy(&all);
        let on = text.rfind("\x1b[?7h").into_iter().chain(text.rfind(";25h")).max().unwrap_or(0);
        assert!(text.starts_with("\x1b[?7l") && text.rfind("\x1b[?7l").is_some_and(|off| off > on), "{text:?}");
        Player::new(tape(CAST), WISH, HERE, shown).expect("player");
        assert!(SHOWN.take().is_empty(), "80 columns fit");
    }

    #[test]
    fn while_it_stands_still_the_last_row_says_where_and_which_keys() {
        let mut player = Player::new(tape(CAST), Wish { at: 2_000_000, ..WISH }, HERE, shown).expect("player");
        player.obey(Key::Pause).expect("paused");
        assert!(player.paused && player.status().starts_with("paused at 0:02   speed 2 "), "{}", player.status());
        player.obey(Key::Help).expect("help");
        assert!(player.paused && player.status().contains("q leaves") && player.status().len() <= 80);
        SHOWN.take();
        player.obey(Key::Pause).expect("goes on");
        assert!(!player.paused && !player.help && player.at == 2_000_000);
        assert!(SHOWN.take().ends_with(b"a"), "the row is drawn anew");
        let row = String::from_utf8(terminal::bottom_row("x\x1by", HERE)).expect("text");
        assert!(row.starts_with("\x1b7") && row.ends_with("\x1b8") && row.contains("\x1b[24;1H") && row.contains("x\\u{1b}y"), "{row:?}");
    }

    #[test]
    fn keys_are_found_in_whatever_is_typed() {
        assert_eq!(keys(b" .q"), [Key::Pause, Key::Step, Key::Quit]);
        assert_eq!(keys(b"\x1b[C\x1b[D\x1bOC\x03"), [Key::Forward, Key::Back, Key::Forward, Key::Interrupt]);
        assert_eq!(keys(b"x\x1b[A\x1b"), []);
        assert_eq!(keys(b"+-?"), [Key::Faster, Key::Slower, Key::Help]);
    }

    #[test]
    fn pauses_follow_speed_and_idle_limit() {
        let mut player = Player::new(tape(CAST), WISH, HERE, |_| Ok(())).expect("player");
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
        let mut player = Player::new(tape(CAST), Wish { at: 12_000_000, ..WISH }, HERE, |_| Ok(())).expect("player");
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
        assert!(Player::new(tape("{}\n"), WISH, HERE, |_| Ok(())).is_err());
        let mut player =
            Player::new(tape("{\"version\":3,\"term\":{\"cols\":80,\"rows\":24}}\n[1,\"o\",\"a\"]\n[x\n"), WISH, HERE, |_| Ok(()))
                .expect("player");
        assert!(player.step().is_err());
        let long = format!("{{\"version\":3,\"term\":{{\"cols\":80,\"rows\":24}}}}\n#{}\n", "x".repeat(MAX_LINE));
        assert!(Player::new(tape(&long), WISH, HERE, |_| Ok(())).is_err());
    }

    #[test]
    fn what_is_no_text_and_what_had_no_terminal_is_shown() {
        let cast = "{\"version\":3,\"term\":{\"cols\":80,\"rows\":24}}\n[1,\"O\",\"a\\n\"]\n# naru {\"E\":\"YgpjCg==\",\"at\":2,\"t\":2000000}\n[2,\"I\",\"typed\"]\n";
        let mut player = Player::new(tape(cast), Wish { at: 9_000_000, ..WISH }, HERE, |_| Ok(())).expect("player");
        assert_eq!(player.tail(), "a\nb\nc\n");
    }
}
