//! A holder's loop: one program, at most one attachment, and what passes between them. One thread, `poll`, no blocking call.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::sys::signalfd::SignalFd;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::Signal;
use wire::frames::{Exit, Stream};

use super::attachment::{Attachment, News};
use super::child::Child;
use super::input::{Input, Item};
use super::output::Output;
use super::place::Place;
use super::terminal;

/// A program that was hung up has this long.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// A killed program is gone after this, or is waited for no longer.
const AFTER_KILL: Duration = Duration::from_secs(1);
/// A new connection says what it wants within this.
const HELLO: Duration = Duration::from_secs(10);
/// Who asked for the program attaches within this.
const FIRST: Duration = Duration::from_secs(20);
/// Connections that have not said anything yet.
const CANDIDATES: usize = 4;
/// An acknowledgement of a key waits this long for the echo to go with it: two wake-ups less on the way of each key.
const WITH_ECHO: Duration = Duration::from_millis(20);
/// Bytes of input after which an acknowledgement waits for nothing.
const PROMPT: usize = 64 * 1024;
/// Silence after which the memory of a busy time is given back.
const REST: Duration = Duration::from_secs(1);
/// Most bytes read from one stream before the socket has its turn.
const TURN: usize = 64 * 1024;
/// Most bytes read from a terminal after its program ended: something in the background may write for ever.
const REMAINS: usize = 256 * 1024;
/// What a pipe is enlarged to that was found full.
const WIDE_PIPE: usize = 1024 * 1024;

#[derive(Clone, Copy)]
enum Source {
    Signals,
    Listener,
    Candidate(usize),
    Attached,
    Stdin,
    Out(Stream),
}

struct Ending {
    kill: Instant,
    killed: bool,
}

/// See the head of this file.
pub(super) struct Keeper {
    pub(super) place: Place,
    pub(super) signals: SignalFd,
    pub(super) child: Child,
    /// Whose connections are taken besides root's.
    pub(super) agent: u32,
    pub(super) grace: Duration,
    pub(super) talk: Talk,
    pub(super) input: Input,
    pub(super) output: Output,
    exit: Option<Exit>,
    /// Bytes read after the program ended.
    remains: usize,
    ending: Option<Ending>,
    unacked: usize,
    ack_by: Option<Instant>,
    busy: Instant,
}

/// Who is connected, and who may be.
pub(super) struct Talk {
    pub(super) candidates: Vec<(Attachment, Instant)>,
    pub(super) attached: Option<Attachment>,
    pub(super) secret: Option<blake3::Hash>,
    pub(super) fence: u64,
    pub(super) alone: Instant,
    /// When the peer knows of the program's end: set by what it said since that was sent.
    pub(super) released: Option<Instant>,
}

impl Keeper {
    pub(super) fn new(place: Place, signals: SignalFd, child: Child, agent: u32, grace: Duration) -> Self {
        let now = Instant::now();
        let talk = Talk { candidates: Vec::new(), attached: None, secret: None, fence: 0, alone: now, released: None };
        let (input, output) = (Input::default(), Output::new());
        let (exit, remains, ending, unacked, ack_by) = (None, 0, None, 0, None);
        Self { place, signals, child, agent, grace, talk, input, output, exit, remains, ending, unacked, ack_by, busy: now }
    }

    /// Until the session is over.
    pub(super) fn run(mut self) {
        while let Some(wait) = self.tick(Instant::now()) {
            for (source, events) in self.wait(wait) {
                self.serve(source, events);
            }
            self.settle();
        }
        self.place.leave();
    }

    /// Does what is due and says how long nothing else will be; `None` when the session is over.
    fn tick(&mut self, now: Instant) -> Option<Option<Duration>> {
        let mut next: Option<Instant> = None;
        let mut by = |at: Instant| next = Some(next.map_or(at, |n| n.min(at)));
        self.talk.candidates.retain(|(_, until)| *until > now);
        self.talk.candidates.iter().for_each(|(_, until)| by(*until));
        if self.talk.attached.is_none() {
            // A program that nobody ever came to is not left to itself for long.
            let grace = if self.talk.secret.is_some() { self.grace } else { self.grace.min(FIRST) };
            let end = self.talk.alone + grace;
            let over = end <= now;
            if over && self.finished() {
                return None;
            }
            if over && self.ending.is_none() {
                self.hang_up(now);
            }
            if !over {
                by(end);
            }
        }
        let finished = self.finished();
        if let Some(ending) = &mut self.ending {
            if ending.kill <= now && !ending.killed {
                ending.killed = true;
                self.child.signal_all(Signal::KILL);
            }
            let gone = ending.kill + AFTER_KILL;
            if gone <= now || (finished && self.talk.attached.is_none()) {
                return None;
            }
            by(if ending.killed { gone } else { ending.kill });
        }
        if let Some(at) = self.talk.released.filter(|_| finished) {
            if at <= now {
                return None;
            }
            by(at);
        }
        if let Some(at) = self.ack_by {
            by(at);
        }
        if self.output.is_restless() {
            if self.busy + REST <= now {
                self.output.rest();
                sys::trim_heap();
            } else {
                by(self.busy + REST);
            }
        }
        Some(next.map(|at| at.saturating_duration_since(now)))
    }

    /// Whether the program ended and all that it wrote was read.
    fn finished(&self) -> bool {
        self.exit.is_some() && self.child.stdout.is_none() && self.child.stderr.is_none()
    }

    /// Hangs the program up; after five seconds what is left of it is killed.
    pub(super) fn hang_up(&mut self, now: Instant) {
        if self.ending.is_none() {
            self.child.signal_all(Signal::HUP);
            self.child.signal_all(Signal::CONT);
            self.ending = Some(Ending { kill: now + LAST_WORDS, killed: false });
        }
    }

    fn wait(&self, longest: Option<Duration>) -> Vec<(Source, PollFlags)> {
        let mut sources = Vec::with_capacity(12);
        let mut fds = Vec::with_capacity(12);
        let mut add = |source, fd, flags| {
            sources.push(source);
            fds.push(PollFd::from_borrowed_fd(fd, flags));
        };
        add(Source::Signals, self.signals.as_fd(), PollFlags::IN);
        if self.talk.candidates.len() < CANDIDATES {
            add(Source::Listener, self.place.listener.as_fd(), PollFlags::IN);
        }
        for (at, (candidate, _)) in self.talk.candidates.iter().enumerate() {
            add(Source::Candidate(at), candidate.socket.as_fd(), PollFlags::IN);
        }
        if let Some(attached) = &self.talk.attached {
            let out = if attached.is_blocked() { PollFlags::OUT } else { PollFlags::empty() };
            add(Source::Attached, attached.socket.as_fd(), PollFlags::IN | out);
        }
        // A descriptor that is not of interest is left out, since its hang-up would be reported without end.
        if let Some(stdin) = self.child.stdin.as_ref().filter(|_| self.input.front().is_some()) {
            add(Source::Stdin, stdin.as_fd(), PollFlags::OUT);
        }
        if self.output.has_room() {
            for (stream, fd) in [(Stream::Stdout, &self.child.stdout), (Stream::Stderr, &self.child.stderr)] {
                if let Some(fd) = fd {
                    add(Source::Out(stream), fd.as_fd(), PollFlags::IN);
                }
            }
        }
        let timeout =
            longest.map(|d| Timespec { tv_sec: i64::try_from(d.as_secs()).unwrap_or(i64::MAX), tv_nsec: d.subsec_nanos().into() });
        if rustix::event::poll(&mut fds, timeout.as_ref()).is_err() {
            return Vec::new();
        }
        let ready = sources.into_iter().zip(fds.iter().map(PollFd::revents));
        ready.filter(|(_, events)| !events.is_empty()).collect()
    }

    fn serve(&mut self, source: Source, events: PollFlags) {
        match source {
            Source::Signals => self.on_signals(),
            Source::Listener => self.accept(),
            Source::Candidate(at) => self.hear_candidate(at),
            Source::Attached if events.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) => self.hear_attached(),
            Source::Attached | Source::Stdin => {}
            Source::Out(stream) => {
                self.read_output(stream);
            }
        }
    }

    /// After anything happened: input to the program, news to the peer.
    fn settle(&mut self) {
        self.write_input();
        if self.exit.is_some() {
            self.read_remains();
        }
        let now = Instant::now();
        let due = self.ack_by.is_some_and(|at| at <= now) || self.unacked >= PROMPT;
        let exit = if self.finished() { self.exit.as_ref() } else { None };
        let news = News { acked: self.input.acked(), now: due || exit.is_some(), exit };
        let Some(attached) = &mut self.talk.attached else { return };
        match attached.send(&mut self.output, &news) {
            Ok(()) if attached.acked() == news.acked => (self.unacked, self.ack_by) = (0, None),
            Ok(()) if self.ack_by.is_none() => self.ack_by = Some(now + WITH_ECHO),
            // Without room in the socket the time passes there.
            Ok(()) if due => self.ack_by = Some(now + WITH_ECHO),
            Ok(()) => {}
            Err(_) => self.detach(),
        }
    }

    pub(super) fn detach(&mut self) {
        self.talk.attached = None;
        self.talk.alone = Instant::now();
        (self.unacked, self.ack_by) = (0, None);
    }

    fn on_signals(&mut self) {
        while let Ok(Some(info)) = self.signals.read_signal() {
            if i32::try_from(info.ssi_signo) == Ok(Signal::TERM.as_raw()) {
                self.hang_up(Instant::now());
            }
        }
        if self.exit.is_none() {
            self.exit = self.child.ended();
        }
    }

    /// The end of a program is the end of its terminal; pipes end when their last writer closes them, unless we are ending them.
    fn read_remains(&mut self) {
        let waits = !self.child.terminal && self.ending.is_none();
        for stream in [Stream::Stdout, Stream::Stderr] {
            while !waits && self.output.has_room() && self.out(stream).is_some() {
                let got = self.read_output(stream);
                self.remains += got;
                if got == 0 || self.remains >= REMAINS {
                    self.close(stream);
                }
            }
        }
    }

    fn out(&self, stream: Stream) -> Option<BorrowedFd<'_>> {
        match stream {
            Stream::Stdout => self.child.stdout.as_ref().map(OwnedFd::as_fd),
            Stream::Stderr => self.child.stderr.as_ref().map(OwnedFd::as_fd),
        }
    }

    fn close(&mut self, stream: Stream) {
        match stream {
            Stream::Stdout => self.child.stdout = None,
            Stream::Stderr => self.child.stderr = None,
        }
        self.output.end(stream);
    }

    /// Reads until there is nothing, or a turn is over. Gives the number of bytes.
    fn read_output(&mut self, stream: Stream) -> usize {
        let mut total = 0;
        while total < TURN && self.output.has_room() {
            let fd = match stream {
                Stream::Stdout => &self.child.stdout,
                Stream::Stderr => &self.child.stderr,
            };
            let Some(fd) = fd else { return total };
            match self.output.fill(stream, |to| rustix::io::read(fd, rustix::buffer::spare_capacity(to))) {
                // A terminal whose program side is closed says EIO.
                Ok(0) | Err(Errno::IO) => {
                    self.close(stream);
                    break;
                }
                Ok(got) => {
                    total += got;
                    if got >= TURN {
                        // Refused for a terminal, and to an account with many pipes.
                        let _ = rustix::pipe::fcntl_setpipe_size(fd, WIDE_PIPE);
                    }
                }
                Err(Errno::INTR) => {}
                Err(_) => break,
            }
        }
        if total > 0 {
            self.busy = Instant::now();
        }
        total
    }

    fn write_input(&mut self) {
        while let Some(item) = self.input.front() {
            let Some(stdin) = &self.child.stdin else { return self.input.discard() };
            let wrote = match item {
                Item::Data(data) if data.is_empty() => Ok(0),
                Item::Data(data) => rustix::io::write(stdin, data),
                Item::Done => Ok(0),
                Item::End if self.child.terminal => match terminal::end_of_input(stdin) {
                    Some(code) => rustix::io::write(stdin, &[code]),
                    None => Ok(0),
                },
                Item::End => {
                    self.child.stdin = None;
                    Ok(0)
                }
            };
            match wrote {
                Ok(len) => {
                    self.unacked += len;
                    match item_len(self.input.front()) {
                        0 => self.input.done(),
                        _ => self.input.wrote(len),
                    }
                }
                Err(Errno::AGAIN | Errno::INTR) => return,
                // Nobody reads.
                Err(_) => self.child.stdin = None,
            }
        }
    }

    fn accept(&mut self) {
        let Ok((socket, _)) = self.place.listener.accept() else { return };
        let peer = rustix::net::sockopt::socket_peercred(&socket);
        let known = peer.is_ok_and(|peer| peer.uid.is_root() || peer.uid.as_raw() == self.agent);
        if let Some(attachment) = Attachment::new(socket).ok().filter(|_| known) {
            self.talk.candidates.push((attachment, Instant::now() + HELLO));
        }
    }
}

/// Bytes of data that the item has.
fn item_len(item: Option<&Item>) -> usize {
    if let Some(Item::Data(data)) = item { data.len() } else { 0 }
}
