//! The terminal of the laptop: raw mode and the other screen, put back whatever happens; its size; what is typed.

use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use rustix::termios::{self, OptionalActions, Termios};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use wire::frames::Size;

use crate::failure::Failure;
use crate::screen_filter::RESET;

/// What has to be put back. One for the process, so that a panic hook reaches it too.
static SAVED: Mutex<Option<(Termios, bool)>> = Mutex::new(None);

/// Raw mode lasts as long as this.
#[derive(Debug)]
pub struct Raw(());

impl Raw {
    /// Switches stdin's terminal to raw mode; with `screen` also to the other screen of stdout's.
    pub fn enter(screen: bool) -> Result<Self, Failure> {
        let failed = |e: rustix::io::Errno| Failure::new("NARU-C014", 1, "the terminal cannot be set up").because(std::io::Error::from(e));
        let stdin = std::io::stdin();
        let before = termios::tcgetattr(&stdin).map_err(failed)?;
        let mut raw = before.clone();
        raw.make_raw();
        *SAVED.lock().unwrap_or_else(PoisonError::into_inner) = Some((before, screen));
        let guard = Self(());
        termios::tcsetattr(&stdin, OptionalActions::Now, &raw).map_err(failed)?;
        if screen {
            crate::out::print(b"\x1b[?1049h\x1b[m\x1b[H\x1b[2J")?;
        }
        Ok(guard)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

/// Puts the terminal back if [`Raw`] has changed it. May be called from anywhere and again.
pub fn restore() {
    let Some((before, screen)) = SAVED.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
    if screen {
        let mut out = std::io::stdout();
        let _ = out.write_all(RESET).and_then(|()| out.write_all(b"\x1b[?1049l")).and_then(|()| out.flush());
    }
    let _ = termios::tcsetattr(std::io::stdin(), OptionalActions::Flush, &before);
}

/// The size of stdout's terminal, 80x24 where it does not say.
pub fn size() -> Size {
    match termios::tcgetwinsize(std::io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
            Size { cols: size.ws_col, rows: size.ws_row, width: size.ws_xpixel, height: size.ws_ypixel }
        }
        _ => Size { cols: 80, rows: 24, width: 0, height: 0 },
    }
}

/// What writes a line into the last row and leaves the cursor and everything else as it is.
pub fn bottom_row(text: &str, here: Size) -> Vec<u8> {
    let text: String = crate::out::plain(text).chars().take(usize::from(here.cols)).collect();
    // The cursor is saved with its attributes, character set and origin mode (DECSC, DECRC).
    format!("\x1b7\x1b[?6l\x1b[{};1H\x0f\x1b(B\x1b[0;7m{text}\x1b[m\x1b[K\x1b8", here.rows).into_bytes()
}

/// What to say where a recording needs more columns or rows than there are here.
pub fn larger(recorded: (u16, u16), here: Size) -> Option<String> {
    let (cols, rows) = recorded;
    let more = cols > here.cols || rows > here.rows;
    more.then(|| format!("note: the session is {cols}x{rows}, larger than this terminal ({}x{}); lines are cut", here.cols, here.rows))
}

/// What comes in on stdin, piece by piece; the channel closes at its end. A thread reads, because a terminal cannot be polled safely.
pub fn typed() -> mpsc::Receiver<Bytes> {
    let (to, from) = mpsc::channel(8);
    std::thread::spawn(move || {
        let stdin = std::io::stdin();
        let mut buf = vec![0; 32 * 1024];
        loop {
            match rustix::io::read(&stdin, &mut *buf) {
                Err(rustix::io::Errno::INTR) => {}
                Ok(n) if n > 0 => {
                    let piece = Bytes::copy_from_slice(buf.get(..n).unwrap_or_default());
                    if to.blocking_send(piece).is_err() {
                        break;
                    }
                }
                _ => break,
            }
        }
    });
    from
}

/// The signals that end a program; each leaves the terminal as it was.
pub struct Ends {
    term: Signal,
    hup: Signal,
    int: Signal,
}

impl Ends {
    /// Begins to listen.
    pub fn listen() -> Result<Self, Failure> {
        let of = |kind| signal(kind).map_err(|e| Failure::new("NARU-C014", 1, "signals cannot be listened to").because(e));
        Ok(Self { term: of(SignalKind::terminate())?, hup: of(SignalKind::hangup())?, int: of(SignalKind::interrupt())? })
    }

    /// Waits for one; answers the exit code that a shell would show.
    pub async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.term.recv() => 143,
            _ = self.hup.recv() => 129,
            _ = self.int.recv() => wire::api::exit::INTERRUPTED,
        }
    }
}
