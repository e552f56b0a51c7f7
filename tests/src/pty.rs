//! A terminal with a program in it, for what only happens on a terminal. No word of Naru lives here.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// A program on a pseudo-terminal of its own, killed when dropped.
pub struct Terminal {
    master: File,
    child: Child,
}

impl Terminal {
    /// Starts the program as leader of a session whose controlling terminal is ours, `cols` by `rows` characters.
    pub fn start(command: &Command, cols: u16, rows: u16) -> io::Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname(&master, Vec::new())?;
        let name = name.to_str().map_err(io::Error::other)?;
        let noctty = i32::try_from(rustix::fs::OFlags::NOCTTY.bits()).map_err(io::Error::other)?;
        let slave = OpenOptions::new().read(true).write(true).custom_flags(noctty).open(name)?;
        tcsetwinsize(&slave, Winsize { ws_col: cols, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 })?;
        // util-linux's setsid makes stdin the controlling terminal and then becomes the program, which std alone cannot do.
        let mut wrapped = Command::new("setsid");
        wrapped.arg("--ctty").arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => wrapped.env(name, value),
                None => wrapped.env_remove(name),
            };
        }
        let child = wrapped.stdin(slave.try_clone()?).stdout(slave.try_clone()?).stderr(slave).spawn()?;
        Ok(Self { master: File::from(master), child })
    }

    /// Types.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.master.write_all(bytes)
    }

    /// Some bytes, none at the end, or an error of kind `TimedOut`.
    pub fn read(&mut self, buf: &mut [u8], limit: Duration) -> io::Result<usize> {
        let time = Timespec::try_from(limit).map_err(io::Error::other)?;
        if poll(&mut [PollFd::new(&self.master, PollFlags::IN)], Some(&time))? == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match self.master.read(buf) {
            // What Linux says when the last program on the terminal has gone.
            Err(e) if e.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => Ok(0),
            other => other,
        }
    }

    /// Reads until `needle` was seen and gives all that came; at the end or after `limit` an error with what came instead.
    pub fn wait_for(&mut self, needle: &str, limit: Duration) -> Result<String, String> {
        let (start, mut seen, mut buf) = (Instant::now(), Vec::new(), [0; 4096]);
        loop {
            let text = String::from_utf8_lossy(&seen).into_owned();
            if text.contains(needle) {
                return Ok(text);
            }
            match self.read(&mut buf, limit.saturating_sub(start.elapsed())) {
                Ok(0) => return Err(format!("the program ended without saying {needle:?}: {text}")),
                Ok(n) => seen.extend_from_slice(&buf[..n]),
                Err(e) => return Err(format!("{e} while waiting for {needle:?}: {text}")),
            }
        }
    }

    /// Changes the size, which the program learns by `SIGWINCH`.
    pub fn resize(&self, cols: u16, rows: u16) -> io::Result<()> {
        Ok(tcsetwinsize(&self.master, Winsize { ws_col: cols, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 })?)
    }

    /// Waits for the program's end.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Both may fail when the program has already gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_sees_a_terminal_of_that_size() {
        let mut command = Command::new("sh");
        command.args(["-c", "stty size; tty <&1 >/dev/null && : >/dev/tty && echo yes; read line; stty size"]);
        let mut terminal = Terminal::start(&command, 91, 17).unwrap();
        terminal.wait_for("17 91\r\nyes", Duration::from_secs(20)).unwrap();
        terminal.resize(92, 18).unwrap();
        terminal.send(b"\n").unwrap();
        terminal.wait_for("18 92", Duration::from_secs(20)).unwrap();
        assert!(terminal.wait().unwrap().success());
    }
}
