//! Login records: who is on which terminal (utmp) and who was (wtmp). Nothing is created: a host without the files has none.

use std::ffi::{CStr, CString, c_char};
use std::time::{SystemTime, UNIX_EPOCH};

/// One login or logout.
#[derive(Debug, Clone)]
pub struct LoginRecord {
    /// Device without `/dev/`: `pts/3`.
    pub line: String,
    /// The account.
    pub user: String,
    /// Where from: a host or an address, or nothing.
    pub host: String,
    /// The process that leads the session.
    pub pid: i32,
    /// Whether it begins.
    pub begins: bool,
}

unsafe extern "C" {
    fn updwtmpx(file: *const c_char, entry: *const libc::utmpx);
}

const WTMP: &CStr = c"/var/log/wtmp";

/// Writes the record where the host keeps such records; failures are of no interest to a session.
pub fn write_login(record: &LoginRecord) {
    // SAFETY: utmpx is plain numbers and arrays of characters, for which all zero is valid.
    let mut entry = unsafe { std::mem::zeroed::<libc::utmpx>() };
    entry.ut_type = if record.begins { libc::USER_PROCESS } else { libc::DEAD_PROCESS };
    entry.ut_pid = record.pid;
    copy(&mut entry.ut_line, &record.line);
    // The id tells entries apart; a terminal's number does.
    copy(&mut entry.ut_id, record.line.rsplit('/').next().unwrap_or_default());
    if record.begins {
        copy(&mut entry.ut_user, &record.user);
        copy(&mut entry.ut_host, &record.host);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    entry.ut_tv.tv_sec = now.as_secs() as _;
    entry.ut_tv.tv_usec = now.subsec_micros() as _;
    // SAFETY: the C library copies the entry and keeps no pointer; both arguments outlive the calls; the caller is single-threaded
    // or, at worst, another utmp call of this process moves the same read position.
    unsafe {
        libc::setutxent();
        libc::pututxline(&entry);
        libc::endutxent();
        updwtmpx(WTMP.as_ptr(), &entry);
    }
}

/// Fills the field and leaves a NUL at its end.
fn copy(field: &mut [c_char], text: &str) {
    let bytes = CString::new(text).unwrap_or_default();
    let most = field.len().saturating_sub(1);
    for (to, from) in field.iter_mut().take(most).zip(bytes.as_bytes()) {
        *to = *from as c_char;
    }
}
