//! The account of a session: whether the host lets it in, and becoming it for good.

use std::ffi::CString;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use access::words::Login;
use nix::unistd::{Gid, Uid, User};

use super::{Refused, code};

/// Shells that mean "no login here".
const NO_LOGIN: [&str; 6] = ["/usr/sbin/nologin", "/sbin/nologin", "/usr/bin/nologin", "/bin/nologin", "/bin/false", "/usr/bin/false"];
/// Most bytes of a notice that are shown.
const NOTICE: u64 = 4 * 1024;

/// An account that may log in.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) uid: Uid,
    pub(super) gid: Gid,
    pub(super) home: PathBuf,
    pub(super) shell: PathBuf,
}

impl Account {
    /// Looks the login up and applies the host's own rules: expiry (a `!` or `*` for a password is no lock: such accounts log in
    /// by other means), the shell, `/etc/nologin`.
    ///
    /// Root is a uid and not a name: an account of another name with uid 0 needs `allow_root` too.
    pub(super) fn admit(login: &Login, allow_root: bool) -> Result<Self, Refused> {
        let name = login.to_string();
        let user = User::from_name(&name).map_err(|e| Refused::host("look up the account", e))?;
        let Some(user) = user else {
            return Err(Refused::new(code::UNKNOWN_LOGIN, format!("There is no account {name} on this host.")));
        };
        let me = Uid::effective();
        if !me.is_root() && user.uid != me {
            let own = User::from_uid(me).ok().flatten().map_or_else(|| me.to_string(), |u| u.name);
            let message = format!("The agent on this host does not run as root and opens sessions only for {own}, not for {name}.");
            return Err(Refused::new(code::OWN_ACCOUNT_ONLY, message));
        }
        root_is_listed(&name, user.uid, allow_root)?;
        let shell = if user.shell.as_os_str().is_empty() { PathBuf::from("/bin/sh") } else { user.shell };
        not_expired(&name)?;
        is_login_shell(&name, &shell)?;
        if !user.uid.is_root() {
            no_notice(Path::new("/etc/nologin"))?;
        }
        Ok(Self { name, uid: user.uid, gid: user.gid, home: user.dir, shell })
    }

    /// Becomes the account with all its groups. As root there is no way back, which is checked; otherwise we are it already.
    pub(super) fn become_it(&self) -> Result<(), Refused> {
        if !Uid::effective().is_root() {
            return Ok(());
        }
        let fail = |e| Refused::host("become the account", e);
        let name = CString::new(self.name.as_str()).map_err(|e| Refused::host("become the account", e))?;
        nix::unistd::initgroups(&name, self.gid).map_err(fail)?;
        nix::unistd::setresgid(self.gid, self.gid, self.gid).map_err(fail)?;
        nix::unistd::setresuid(self.uid, self.uid, self.uid).map_err(fail)?;
        let root = Uid::from_raw(0);
        let back = !self.uid.is_root() && nix::unistd::setresuid(root, root, root).is_ok();
        if back || Uid::current() != self.uid || Uid::effective() != self.uid || Gid::effective() != self.gid {
            return Err(Refused::host("become the account", "privileges were not given up"));
        }
        Ok(())
    }
}

fn root_is_listed(name: &str, uid: Uid, allow_root: bool) -> Result<(), Refused> {
    if !uid.is_root() || allow_root {
        return Ok(());
    }
    let message = format!(
        "The account {name} is root on this host (uid 0), and this host does not list root among the logins that its agent may open."
    );
    Err(Refused::new(code::ROOT, message))
}

fn not_expired(name: &str) -> Result<(), Refused> {
    let today = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs() / 86_400);
    let expiry = CString::new(name).ok().and_then(|name| sys::shadow_expiry(&name)).and_then(|day| u64::try_from(day).ok());
    match expiry {
        Some(day) if today >= day => Err(Refused::new(code::EXPIRED, format!("The account {name} has expired on this host."))),
        _ => Ok(()),
    }
}

fn is_login_shell(name: &str, shell: &Path) -> Result<(), Refused> {
    let shown = shell.display();
    if NO_LOGIN.iter().any(|no| Path::new(no) == shell) {
        // What nologin(8) would print.
        let own = read_notice(Path::new("/etc/nologin.txt")).map(|text| format!("\n{text}")).unwrap_or_default();
        let message = format!("The account {name} allows no login on this host (its shell is {shown}).{own}");
        return Err(Refused::new(code::NO_SHELL, message));
    }
    let runs = fs::metadata(shell).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0);
    if !runs {
        return Err(Refused::new(code::NO_SHELL, format!("The shell {shown} of the account {name} is not there or cannot be run.")));
    }
    Ok(())
}

fn no_notice(path: &Path) -> Result<(), Refused> {
    if !path.exists() {
        return Ok(());
    }
    let text = read_notice(path).unwrap_or_default();
    Err(Refused::new(code::NOLOGIN, format!("This host admits only root at the moment (/etc/nologin).\n{text}").trim_end()))
}

fn read_notice(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(NOTICE).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    // It goes to a terminal: lines only.
    Some(text.chars().filter(|c| *c == '\n' || !c.is_control()).collect::<String>().trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_keeps_all_but_root_out_and_brings_no_escapes() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("nologin");
        assert!(no_notice(&path).is_ok());
        fs::write(&path, "back at nine\x1b[2J\n").expect("written");
        let refused = no_notice(&path).expect_err("refused");
        assert_eq!(refused.code, code::NOLOGIN);
        assert!(refused.message.ends_with("\nback at nine[2J"), "{}", refused.message);
    }

    #[test]
    fn root_by_any_name_needs_to_be_listed() {
        let code = |uid, allow| root_is_listed("toor", Uid::from_raw(uid), allow).err().map(|refused| refused.code);
        assert_eq!((code(0, false).as_deref(), code(0, true), code(1000, false)), (Some(code::ROOT), None, None));
    }

    #[test]
    fn a_shell_must_run() {
        assert!(is_login_shell("a", Path::new("/bin/sh")).is_ok());
        for bad in ["/bin/false", "/usr/sbin/nologin", "/etc/passwd", "/no/such", "/etc"] {
            assert_eq!(is_login_shell("a", Path::new(bad)).expect_err(bad).code, code::NO_SHELL);
        }
    }
}
