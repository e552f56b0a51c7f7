//! The process that holders are forked from: one thread, next to no heap, and pages that all holders share.
//!
//! INVARIANT: it never waits for a holder. A holder answers the agent itself; the zygote only cleans up after it.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use access::words::SessionId;
use nix::sys::signal::{SigSet, Signal as NixSignal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Uid;
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use rustix::process::{DumpableBehavior, Pid, Signal, WaitOptions};
use serde::{Deserialize, Serialize};
use sys::LoginRecord;

use super::account::Account;
use super::child::Child;
use super::environment::Program;
use super::keeper::Keeper;
use super::place::{self, Place};
use super::terminal::Terminal;
use super::{Kind, Refused, SpawnSpec, code};

/// Most bytes of a message on the zygote's socket.
pub(super) const MESSAGE: usize = 192 * 1024;

/// What the agent asks.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Ask {
    /// First, and once: the holders' folder.
    Hello { dir: PathBuf },
    /// A holder. Answered with the same id.
    Spawn { id: u64, spec: Box<SpawnSpec> },
    /// All holders of this zygote hang up and end. Answered with the same id when none is left.
    EndAll { id: u64 },
}

/// The answer to an [`Ask`] with an id; one that comes a second time is of no interest.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    pub(super) id: u64,
    pub(super) refused: Option<Refused>,
}

/// What a holder tells the zygote when its program is on a terminal.
#[derive(Serialize, Deserialize)]
struct Arrived {
    holder: i32,
    pid: i32,
    line: String,
}

struct Held {
    id: u64,
    session: SessionId,
    user: String,
    host: String,
    login: Option<LoginRecord>,
}

struct Zygote {
    agent: OwnedFd,
    agent_uid: u32,
    signals: SignalFd,
    /// Holders write here, before they become the login, what only root may record.
    arrivals: (OwnedFd, OwnedFd),
    holders: BTreeMap<i32, Held>,
    /// Who is to be told when no holder is left.
    ending: Option<u64>,
}

/// The zygote's whole life: stdin is its socket to the agent, whose end ends it and leaves the holders alone.
pub fn main() -> ExitCode {
    match start().and_then(Zygote::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn start() -> io::Result<Zygote> {
    let agent = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    sys::close_at_exec_from(3)?;
    // A terminal's hang-up and Ctrl-C are the agent's, not ours.
    let _ = rustix::process::setsid();
    rustix::thread::set_name(c"naru-zygote")?;
    let Some(Ask::Hello { dir }) = receive(&agent)? else { return Err(io::ErrorKind::InvalidData.into()) };
    std::env::set_current_dir(&dir)?;
    place::sweep()?;
    let mut mask = SigSet::empty();
    for signal in [NixSignal::SIGHUP, NixSignal::SIGINT, NixSignal::SIGQUIT, NixSignal::SIGPIPE, NixSignal::SIGCHLD] {
        mask.add(signal);
    }
    mask.thread_block()?;
    let signals = signals(&[NixSignal::SIGCHLD])?;
    let arrivals = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC | rustix::pipe::PipeFlags::NONBLOCK)?;
    let agent_uid = Uid::effective().as_raw();
    Ok(Zygote { agent, agent_uid, signals, arrivals, holders: BTreeMap::new(), ending: None })
}

fn signals(wanted: &[NixSignal]) -> io::Result<SignalFd> {
    let mut mask = SigSet::empty();
    wanted.iter().for_each(|signal| mask.add(*signal));
    mask.thread_block()?;
    Ok(SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?)
}

/// The next message; `None` when the agent is gone.
fn receive(agent: &OwnedFd) -> io::Result<Option<Ask>> {
    let mut message = Vec::with_capacity(MESSAGE);
    let (got, _) = rustix::io::retry_on_intr(|| {
        rustix::net::recv(agent, rustix::buffer::spare_capacity(&mut message), RecvFlags::empty()).map(|got| (got, ()))
    })
    .map_or_else(|e| if e == Errno::CONNRESET { Ok(((0, 0), ())) } else { Err(e) }, Ok)?;
    if got.0 == 0 {
        return Ok(None);
    }
    serde_json::from_slice(&message).map(Some).map_err(io::Error::other)
}

fn answer(agent: &OwnedFd, id: u64, refused: Option<Refused>) {
    if let Ok(message) = serde_json::to_vec(&Answer { id, refused }) {
        let _ = rustix::net::send(agent, &message, SendFlags::NOSIGNAL);
    }
}

impl Zygote {
    fn run(mut self) -> io::Result<()> {
        loop {
            let ready = {
                let mut fds = [self.agent.as_fd(), self.signals.as_fd(), self.arrivals.0.as_fd()]
                    .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
                match rustix::event::poll(&mut fds, None) {
                    Ok(_) | Err(Errno::INTR) => fds.map(|fd| !fd.revents().is_empty()),
                    Err(e) => return Err(e.into()),
                }
            };
            let [asked, ended, arrived] = ready;
            if arrived {
                self.record_logins();
            }
            if ended {
                self.reap();
            }
            if asked {
                match receive(&self.agent)? {
                    None => return Ok(()),
                    Some(Ask::Spawn { id, spec }) => self = self.spawn(id, *spec),
                    Some(Ask::EndAll { id }) => self.end_all(id),
                    Some(Ask::Hello { .. }) => {}
                }
            }
            if self.holders.is_empty()
                && let Some(id) = self.ending.take()
            {
                answer(&self.agent, id, None);
            }
        }
    }

    fn spawn(mut self, id: u64, spec: SpawnSpec) -> Self {
        let place = match Place::take(&spec.session) {
            Ok(place) => place,
            Err(refused) => {
                answer(&self.agent, id, Some(refused));
                return self;
            }
        };
        match sys::fork() {
            Ok(sys::Fork::Child) => {
                (self.holders, self.ending) = (BTreeMap::new(), None);
                hold(self, id, &spec, place)
            }
            Ok(sys::Fork::Parent(pid)) => {
                let host = spec.env.iter().find(|(name, _)| name == "SSH_CONNECTION").and_then(|(_, v)| v.split(' ').next());
                let host = host.unwrap_or_default().to_owned();
                let held = Held { id, session: spec.session, user: spec.login.to_string(), host, login: None };
                self.holders.insert(pid.as_raw_nonzero().get(), held);
            }
            Err(e) => {
                place.leave();
                answer(&self.agent, id, Some(Refused::host("start a holder", e)));
            }
        }
        self
    }

    fn end_all(&mut self, id: u64) {
        self.ending = Some(id);
        for pid in self.holders.keys().filter_map(|pid| Pid::from_raw(*pid)) {
            let _ = rustix::process::kill_process(pid, Signal::TERM);
        }
    }

    fn reap(&mut self) {
        while let Ok(Some(_)) = self.signals.read_signal() {}
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let Some(held) = self.holders.remove(&pid.as_raw_nonzero().get()) else { continue };
            place::remove_stale(Path::new(&place::socket_name(&held.session)));
            place::leave_cgroup(&held.session);
            if let Some(login) = held.login {
                sys::write_login(&LoginRecord { begins: false, ..login });
            }
            if status.exit_status() != Some(0) {
                answer(&self.agent, held.id, Some(Refused::new(code::LOST, "The session's process on the host ended unexpectedly.")));
            }
        }
    }

    fn record_logins(&mut self) {
        let mut bytes = Vec::with_capacity(4096);
        if rustix::io::read(&self.arrivals.0, rustix::buffer::spare_capacity(&mut bytes)).is_err() {
            return;
        }
        for arrived in bytes.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice::<Arrived>(line).ok()) {
            if let Some(held) = self.holders.get_mut(&arrived.holder) {
                let (user, host) = (held.user.clone(), held.host.clone());
                let login = LoginRecord { line: arrived.line, user, host, pid: arrived.pid, begins: true };
                sys::write_login(&login);
                held.login = Some(login);
            }
        }
    }
}

/// The holder's whole life.
fn hold(zygote: Zygote, id: u64, spec: &SpawnSpec, place: Place) -> ! {
    match prepare(&zygote, spec) {
        Ok((signals, child)) => {
            let grace = Duration::from_secs(spec.grace.into());
            let keeper = Keeper::new(place, signals, child, zygote.agent_uid, grace);
            answer(&zygote.agent, id, None);
            drop(zygote);
            keeper.run();
        }
        Err(refused) => {
            // First, so that the session can be asked for again.
            place.leave();
            answer(&zygote.agent, id, Some(refused));
        }
    }
    std::process::exit(0)
}

/// Everything before the loop, in this order: what needs root, becoming the login, the program.
fn prepare(zygote: &Zygote, spec: &SpawnSpec) -> Result<(SignalFd, Child), Refused> {
    let agent = Uid::effective();
    let host = |e: io::Error| Refused::host("set up the holder", e);
    detach().map_err(host)?;
    let signals = signals(&[NixSignal::SIGCHLD, NixSignal::SIGTERM]).map_err(host)?;
    let account = Account::admit(&spec.login, spec.allow_root)?;
    if agent.is_root() {
        place::enter_cgroup(&spec.session);
    }
    place::clean_slate(account.uid);
    let terminal = spec.pty.as_ref().map(|pty| Terminal::open(pty, &account)).transpose()?;
    let tty = terminal.as_ref().map(|terminal| terminal.path.clone());
    let program = Program::new(&account, spec, tty.as_deref())?;
    account.become_it()?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(|e| host(e.into()))?;
    std::env::set_current_dir("/").map_err(host)?;
    let motd = spec.motd && spec.kind == Kind::Shell && terminal.is_some();
    let child = Child::start(&program, &account, terminal, motd)?;
    if let Some(line) = tty.as_deref().and_then(|path| path.strip_prefix("/dev").ok()).filter(|_| agent.is_root()) {
        let (holder, pid) = (rustix::process::getpid().as_raw_nonzero().get(), child.pid.as_raw_nonzero().get());
        let arrived = Arrived { holder, pid, line: line.display().to_string() };
        if let Ok(mut text) = serde_json::to_vec(&arrived) {
            text.push(b'\n');
            let _ = rustix::io::write(&zygote.arrivals.1, &text);
        }
    }
    Ok((signals, child))
}

/// A session of its own, nothing of the agent's streams.
fn detach() -> io::Result<()> {
    rustix::process::setsid()?;
    rustix::thread::set_name(c"naru-holder")?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(())
}
