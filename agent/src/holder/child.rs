//! The program of a session: started on a terminal or on three pipes, signalled, and asked how it ended.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use rustix::pipe::PipeFlags;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use wire::frames::Exit;

use super::Refused;
use super::account::Account;
use super::environment::Program;
use super::terminal::Terminal;

/// Most bytes of the message of the day.
const MOTD: u64 = 64 * 1024;

/// A running program and our ends of its streams, all non-blocking. With a terminal `stdin` and `stdout` are the same one.
pub(super) struct Child {
    pub(super) pid: Pid,
    pub(super) terminal: bool,
    pub(super) stdin: Option<OwnedFd>,
    pub(super) stdout: Option<OwnedFd>,
    pub(super) stderr: Option<OwnedFd>,
}

/// The program's ends.
struct Far {
    stdin: OwnedFd,
    stdout: OwnedFd,
    stderr: OwnedFd,
}

impl Child {
    /// Forks and runs the program as the leader of a new session. This process is the account already.
    pub(super) fn start(program: &Program, account: &Account, terminal: Option<Terminal>, motd: bool) -> Result<Self, Refused> {
        let has_terminal = terminal.is_some();
        let ends = match terminal {
            Some(terminal) => on_terminal(terminal),
            None => on_pipes(),
        };
        let (near, far) = ends.map_err(|e| Refused::host("connect the program", e))?;
        let ready = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|e| Refused::host("connect the program", e))?;
        match sys::fork().map_err(|e| Refused::host("start a process", e))? {
            sys::Fork::Child => {
                drop(near);
                let failed = match lead_session(&far, has_terminal) {
                    Ok(()) => {
                        drop(ready);
                        become_program(program, account, motd)
                    }
                    Err(e) => e.into(),
                };
                let _ = writeln!(io::stderr(), "naru: {} cannot be run: {failed}", program.path.display());
                std::process::exit(126)
            }
            sys::Fork::Parent(pid) => {
                // Before it leads its group, a signal to that would be lost: the other end closes when it does, or ends.
                drop(ready.1);
                let _ = rustix::io::retry_on_intr(|| rustix::io::read(&ready.0, &mut [0u8; 1][..]));
                let [stdin, stdout, stderr] = near;
                Ok(Self { pid, terminal: has_terminal, stdin, stdout, stderr })
            }
        }
    }

    /// Sends the signal to the terminal's foreground group, or without a terminal to the program's own group.
    pub(super) fn signal(&self, signal: Signal) {
        let by_kernel = [Signal::INT, Signal::QUIT, Signal::TSTP].contains(&signal);
        if let Some(near) = self.stdout.as_ref().filter(|_| self.terminal) {
            // The kernel also reaches programs that run as another user, such as sudo.
            if by_kernel && sys::terminal_signal(near, signal).is_ok() {
                return;
            }
            if let Ok(group) = rustix::termios::tcgetpgrp(near)
                && rustix::process::kill_process_group(group, signal).is_ok()
            {
                return;
            }
        }
        let _ = rustix::process::kill_process_group(self.pid, signal);
    }

    /// Sends the signal to everything of the session that can be named: the program's group and the foreground group.
    pub(super) fn signal_all(&self, signal: Signal) {
        let _ = rustix::process::kill_process_group(self.pid, signal);
        if let Some(near) = self.stdout.as_ref().filter(|_| self.terminal)
            && let Ok(group) = rustix::termios::tcgetpgrp(near)
            && group != self.pid
        {
            let _ = rustix::process::kill_process_group(group, signal);
        }
    }

    /// How the program ended, once it has.
    pub(super) fn ended(&self) -> Option<Exit> {
        match rustix::process::waitpid(Some(self.pid), WaitOptions::NOHANG) {
            Ok(Some((_, status))) => exit_of(status),
            Ok(None) | Err(rustix::io::Errno::INTR) => None,
            Err(_) => Some(Exit::Code(255)),
        }
    }
}

type Near = [Option<OwnedFd>; 3];

fn on_terminal(terminal: Terminal) -> io::Result<(Near, Far)> {
    let far = Far { stdin: terminal.far.try_clone()?, stdout: terminal.far.try_clone()?, stderr: terminal.far };
    Ok(([Some(terminal.near.try_clone()?), Some(terminal.near), None], far))
}

fn on_pipes() -> io::Result<(Near, Far)> {
    let pipe = || rustix::pipe::pipe_with(PipeFlags::CLOEXEC);
    let ((stdin, in_near), (out_near, stdout), (err_near, stderr)) = (pipe()?, pipe()?, pipe()?);
    for near in [&in_near, &out_near, &err_near] {
        rustix::io::ioctl_fionbio(near, true)?;
    }
    Ok(([Some(in_near), Some(out_near), Some(err_near)], Far { stdin, stdout, stderr }))
}

/// In the new process: a session and a group of its own, its streams, signals as at a login.
fn lead_session(far: &Far, terminal: bool) -> rustix::io::Result<()> {
    rustix::process::setsid()?;
    if terminal {
        rustix::process::ioctl_tiocsctty(&far.stdin)?;
    }
    rustix::stdio::dup2_stdin(&far.stdin)?;
    rustix::stdio::dup2_stdout(&far.stdout)?;
    rustix::stdio::dup2_stderr(&far.stderr)?;
    // Every descriptor of ours is closed at exec by itself; this catches what a library or an ancestor opened.
    let _ = sys::close_at_exec_from(3);
    sys::default_signals();
    Ok(())
}

/// In the new process: returns only the reason why it could not.
fn become_program(program: &Program, account: &Account, motd: bool) -> io::Error {
    if let Err(e) = std::env::set_current_dir(&account.home) {
        let _ = writeln!(io::stderr(), "Could not change to home directory {}: {e}", account.home.display());
        let _ = std::env::set_current_dir("/");
    }
    if motd {
        say_motd(&account.home);
    }
    Command::new(&program.path).arg0(&program.argv0).args(&program.args).env_clear().envs(program.env.iter().cloned()).exec()
}

fn say_motd(home: &Path) {
    if home.join(".hushlogin").exists() {
        return;
    }
    for file in ["/run/motd.dynamic", "/etc/motd"] {
        let mut text = Vec::new();
        if fs::File::open(file).and_then(|f| f.take(MOTD).read_to_end(&mut text)).is_ok() {
            let _ = io::stdout().write_all(&text);
        }
    }
    let _ = io::stdout().flush();
}

fn exit_of(status: WaitStatus) -> Option<Exit> {
    if let Some(code) = status.exit_status() {
        return Some(Exit::Code(u8::try_from(code & 0xff).unwrap_or(255)));
    }
    let signal = status.terminating_signal()?;
    // The bit that WCOREDUMP tests.
    Some(Exit::Signal { name: signal_name(signal), core: status.as_raw() & 0x80 != 0 })
}

/// The names of RFC 4254 6.10 and the few more that end programs.
const NAMES: [(Signal, &str); 19] = [
    (Signal::ABORT, "ABRT"),
    (Signal::ALARM, "ALRM"),
    (Signal::FPE, "FPE"),
    (Signal::HUP, "HUP"),
    (Signal::ILL, "ILL"),
    (Signal::INT, "INT"),
    (Signal::KILL, "KILL"),
    (Signal::PIPE, "PIPE"),
    (Signal::QUIT, "QUIT"),
    (Signal::SEGV, "SEGV"),
    (Signal::TERM, "TERM"),
    (Signal::USR1, "USR1"),
    (Signal::USR2, "USR2"),
    (Signal::BUS, "BUS"),
    (Signal::SYS, "SYS"),
    (Signal::TRAP, "TRAP"),
    (Signal::XCPU, "XCPU"),
    (Signal::XFSZ, "XFSZ"),
    (Signal::TSTP, "TSTP"),
];

fn signal_name(raw: i32) -> String {
    NAMES.iter().find(|(signal, _)| signal.as_raw() == raw).map_or_else(|| format!("SIG{raw}"), |(_, name)| (*name).to_owned())
}

/// The signal of this name, if a client may send it.
pub(super) fn signal_named(name: &str) -> Option<Signal> {
    NAMES.iter().find(|(_, known)| *known == name).map(|(signal, _)| *signal)
}
