//! A pseudo-terminal: opening, owner and mode, modes, size.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use nix::unistd::{Group, Uid};
use rustix::fs::{Mode, OFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::{OptionalActions, Winsize};
use wire::frames::Size;

use super::account::Account;
use super::{Pty, Refused, modes};

/// Largest side in characters that is believed: programs allocate by it.
const WIDEST: u16 = 10_000;

/// A terminal whose program side is not in use yet.
pub(super) struct Terminal {
    /// The controlling side; non-blocking.
    pub(super) near: OwnedFd,
    /// The program's side.
    pub(super) far: OwnedFd,
    /// `/dev/pts/N`.
    pub(super) path: PathBuf,
}

impl Terminal {
    /// Opens one for the account, which owns its program side (0620 to group tty, so that `write` and `mesg` work).
    pub(super) fn open(pty: &Pty, account: &Account) -> Result<Self, Refused> {
        let (near, far, path) = pair().map_err(|e| Refused::host("open a terminal", e))?;
        if Uid::effective().is_root() {
            give(&far, account).map_err(|e| Refused::host("give the terminal to the account", e))?;
        }
        if let Ok(mut termios) = rustix::termios::tcgetattr(&far) {
            modes::apply(&pty.modes, &mut termios);
            // An odd combination may be refused; the terminal then has its defaults.
            let _ = rustix::termios::tcsetattr(&far, OptionalActions::Now, &termios);
        }
        resize(&near, pty.size);
        Ok(Self { near, far, path })
    }
}

fn pair() -> rustix::io::Result<(OwnedFd, OwnedFd, PathBuf)> {
    let near = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    rustix::pty::grantpt(&near)?;
    rustix::pty::unlockpt(&near)?;
    let name = rustix::pty::ptsname(&near, Vec::new())?;
    let far = rustix::fs::open(&name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::ioctl_fionbio(&near, true)?;
    Ok((near, far, PathBuf::from(OsStr::from_bytes(name.to_bytes()))))
}

fn give(far: &OwnedFd, account: &Account) -> rustix::io::Result<()> {
    let tty = Group::from_name("tty").ok().flatten().map(|group| group.gid);
    let uid = rustix::fs::Uid::from_raw(account.uid.as_raw());
    let gid = rustix::fs::Gid::from_raw(tty.unwrap_or(account.gid).as_raw());
    rustix::fs::fchown(far, Some(uid), Some(gid))?;
    rustix::fs::fchmod(far, Mode::from_raw_mode(if tty.is_some() { 0o620 } else { 0o600 }))
}

/// Sets the size; programs on the terminal get WINCH. A side that is not known is 80 or 24, more than any screen is cut.
pub(super) fn resize(near: impl AsFd, size: Size) {
    let side = |side: u16, unknown: u16| if side == 0 { unknown } else { side.min(WIDEST) };
    let winsize = Winsize { ws_row: side(size.rows, 24), ws_col: side(size.cols, 80), ws_xpixel: size.width, ws_ypixel: size.height };
    // Fails only when the other side is gone, and then no program is left to care.
    let _ = rustix::termios::tcsetwinsize(near, winsize);
}

/// The character that ends input on this terminal, if it has one.
pub(super) fn end_of_input(near: impl AsFd) -> Option<u8> {
    let termios = rustix::termios::tcgetattr(near).ok()?;
    Some(termios.special_codes[rustix::termios::SpecialCodeIndex::VEOF]).filter(|code| *code != 0)
}
