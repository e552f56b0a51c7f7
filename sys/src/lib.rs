//! The one crate with unsafe: the few calls that rustix, nix and std do not offer safely.
//!
//! INVARIANT: every function here is safe to call with any argument, holds one call and no policy.

mod login;

pub use login::{LoginRecord, write_login};

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

use rustix::process::{Pid, Signal};

/// Which side of a [`fork`] this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fork {
    /// The new process.
    Child,
    /// The caller, with the new process's id.
    Parent(Pid),
}

/// `fork(2)`, refused when this process has more than one thread: the child of such a process may only call what is safe in a
/// signal handler, and nothing would keep a caller to that.
pub fn fork() -> io::Result<Fork> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("a process with several threads cannot be forked safely"));
    }
    // SAFETY: the only thread is this one, so no lock is held by a thread that the child would lack.
    match unsafe { libc::fork() } {
        0 => Ok(Fork::Child),
        pid => Pid::from_raw(pid).filter(|_| pid > 0).map(Fork::Parent).ok_or_else(io::Error::last_os_error),
    }
}

/// Marks each open descriptor from `first` on as closed at `exec`: a program gets only what it is meant to have.
/// A kernel without `close_range` (before 5.11) is an error.
pub fn close_at_exec_from(first: u32) -> io::Result<()> {
    // SAFETY: the flag closes nothing now; it only sets FD_CLOEXEC, which no owner of a descriptor relies on being absent.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Gives every signal its default action and lets all through, as a program expects that is started at a login.
pub fn default_signals() {
    for signal in 1..=64 {
        // SAFETY: SIG_DFL runs no code of ours; the call fails harmlessly for KILL, STOP and the C library's own signals.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: `set` is initialised by sigemptyset before it is read; the old mask is not asked for.
    unsafe {
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &set, std::ptr::null_mut());
    }
}

/// Day since 1970 on which the account expires (`sp_expire` of shadow(5)); `None` without an entry, a date, or the right to look.
pub fn shadow_expiry(login: &CStr) -> Option<libc::c_long> {
    let mut buffer = vec![0u8; 16 * 1024];
    // SAFETY: an all-zero spwd is valid (null pointers and numbers) and is only read after the call filled it.
    let mut entry = unsafe { std::mem::zeroed::<libc::spwd>() };
    let mut found = std::ptr::null_mut();
    // SAFETY: `login` ends in NUL; the C library writes at most the length that is given into `buffer`, and both outlive the call.
    let code = unsafe { libc::getspnam_r(login.as_ptr(), &mut entry, buffer.as_mut_ptr().cast(), buffer.len(), &mut found) };
    (code == 0 && !found.is_null()).then_some(entry.sp_expire).filter(|day| *day > 0)
}

/// Has the kernel send INT, QUIT or TSTP to the terminal's foreground group, also to programs of another user such as `sudo`.
/// `terminal` is the controlling side. Other signals are an error of the kernel.
pub fn terminal_signal(terminal: impl AsFd, signal: Signal) -> io::Result<()> {
    // SAFETY: TIOCSIG takes the signal's number by value and touches no memory of ours.
    let done = unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCSIG, signal.as_raw()) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Gives freed memory back to the kernel, where the C library can.
pub fn trim_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: only returns memory that is already free.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_threads_is_not_forked() {
        let (hold, held) = std::sync::mpsc::sync_channel::<()>(0);
        let other = std::thread::spawn(move || held.recv());
        assert!(fork().is_err());
        drop(hold);
        assert!(other.join().expect("joined").is_err());
    }

    #[test]
    fn root_never_expires() {
        assert_eq!(shadow_expiry(c"root"), None);
        assert_eq!(shadow_expiry(c"no-such-login"), None);
    }
}
