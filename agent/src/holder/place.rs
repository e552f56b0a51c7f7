//! Where a holder stands on its host: its socket, its cgroup, and a clean slate of what it inherited.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use access::words::SessionId;
use rustix::fs::{AtFlags, Mode, OFlags};

use super::{Refused, code};

/// Name of a session's socket in the holders' folder. The folder is the working directory wherever the name is used, since a
/// socket's path is limited to 107 bytes.
pub(super) fn socket_name(session: &SessionId) -> String {
    format!("{session}.sock")
}

/// A session's socket, bound.
pub(super) struct Place {
    pub(super) listener: UnixListener,
    folder: OwnedFd,
    name: String,
}

impl Place {
    /// Binds the session's socket in the working directory.
    pub(super) fn take(session: &SessionId) -> Result<Self, Refused> {
        let name = socket_name(session);
        let listener = UnixListener::bind(&name).map_err(|e| match e.kind() {
            io::ErrorKind::AddrInUse => Refused::new(code::EXISTS, format!("The session {session} exists on this host already.")),
            _ => Refused::host("make the session's socket", e),
        })?;
        let folder = || {
            listener.set_nonblocking(true)?;
            Ok::<_, io::Error>(rustix::fs::open(".", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
        };
        let folder = folder().map_err(|e| Refused::host("make the session's socket", e))?;
        Ok(Self { listener, folder, name })
    }

    /// Removes the socket, as far as the account may; the zygote removes what is left.
    pub(super) fn leave(self) {
        let _ = rustix::fs::unlinkat(&self.folder, &self.name, AtFlags::empty());
    }
}

/// Removes sockets in the working directory on which nobody listens any more.
pub(super) fn sweep() -> io::Result<()> {
    for entry in fs::read_dir(".")? {
        let path = entry?.path();
        if path.extension().is_some_and(|ext| ext == "sock") {
            remove_stale(&path);
        }
    }
    Ok(())
}

/// Removes the socket if nobody listens on it: another holder may have taken its place.
pub(super) fn remove_stale(path: &Path) {
    if UnixStream::connect(path).is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused) {
        let _ = fs::remove_file(path);
    }
}

/// Undoes what an agent may have been given by its service manager: niceness, protection from the OOM killer, umask, audit id.
/// All of it as far as the host allows.
pub(super) fn clean_slate(uid: nix::unistd::Uid) {
    let _ = rustix::process::setpriority_process(None, 0);
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let _ = fs::write("/proc/self/oom_score_adj", "0");
    if nix::unistd::Uid::effective().is_root() {
        // The kernel's audit log then names the account also after su and sudo.
        let _ = fs::write("/proc/self/loginuid", uid.to_string());
    }
}

/// Moves this process to a cgroup of its own below the agent's, where that is possible.
pub(super) fn enter_cgroup(session: &SessionId) {
    if let Some(folder) = cgroup_folder(session)
        && fs::create_dir(&folder).is_ok()
    {
        let _ = fs::write(folder.join("cgroup.procs"), "0");
    }
}

/// Removes a session's cgroup; one with processes in it stays.
pub(super) fn leave_cgroup(session: &SessionId) {
    if let Some(folder) = cgroup_folder(session) {
        let _ = fs::remove_dir(folder);
    }
}

/// Only version 2, and only below the process's own group: at the root it would be everybody's.
fn cgroup_folder(session: &SessionId) -> Option<PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let folder = Path::new("/sys/fs/cgroup").join(path);
    (!path.is_empty() && folder.join("cgroup.procs").exists()).then(|| folder.join(format!("naru-{session}")))
}
