//! What a program gets at its start: argv and environment, made from scratch.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::account::Account;
use super::{Kind, Pty, Refused, SpawnSpec, code};

/// Where distributions keep OpenSSH's sftp server.
const SFTP_SERVERS: [&str; 6] = [
    "/usr/lib/openssh/sftp-server",
    "/usr/libexec/openssh/sftp-server",
    "/usr/libexec/sftp-server",
    "/usr/lib/ssh/sftp-server",
    "/usr/local/libexec/sftp-server",
    "/usr/libexec/ssh/sftp-server",
];
const ROOT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const USER_PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games";
/// What a caller may set. Anything else could change what a shell loads or runs.
const ALLOWED: [&str; 7] = ["LANG", "LANGUAGE", "TZ", "COLORTERM", "NARU_SESSION", "SSH_CONNECTION", "SSH_CLIENT"];
/// Longest value of a variable.
const LONGEST: usize = 1024;
/// Most variables of a caller.
const MOST: usize = 64;
/// Longest argument that Linux takes (`MAX_ARG_STRLEN`), with room for the NUL.
const LONGEST_COMMAND: usize = 128 * 1024 - 1;

/// A program that is ready to run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Program {
    pub(super) path: PathBuf,
    pub(super) argv0: OsString,
    pub(super) args: Vec<OsString>,
    pub(super) env: Vec<(String, OsString)>,
}

impl Program {
    pub(super) fn new(account: &Account, spec: &SpawnSpec, tty: Option<&Path>) -> Result<Self, Refused> {
        let base = account.shell.file_name().unwrap_or(account.shell.as_os_str()).to_owned();
        let mut argv0 = base;
        let args = match &spec.kind {
            Kind::Shell => {
                let mut login = OsString::from("-");
                login.push(&argv0);
                argv0 = login;
                Vec::new()
            }
            Kind::Exec { command } => vec!["-c".into(), checked(command)?.into()],
            // Through the shell, as sshd does it: an account's start files and restrictions apply here too.
            Kind::Sftp { read_only } => {
                // `-R` is OpenSSH's own: every request that would write is refused (sftp-server(8)).
                let flag = if *read_only { " -R" } else { "" };
                vec!["-c".into(), format!("exec {}{flag}", sftp_server()?).into()]
            }
        };
        Ok(Self { path: account.shell.clone(), argv0, args, env: environment(account, spec, tty) })
    }
}

fn checked(command: &str) -> Result<&str, Refused> {
    if command.contains('\0') || command.len() > LONGEST_COMMAND {
        return Err(Refused::new(code::BAD_REQUEST, "The command contains a NUL or is longer than 128 KiB."));
    }
    Ok(command)
}

fn sftp_server() -> Result<&'static str, Refused> {
    let found = SFTP_SERVERS.into_iter().find(|path| fs::metadata(path).is_ok_and(|meta| meta.is_file()));
    found.ok_or_else(|| Refused::new(code::NO_SFTP, "This host has no sftp-server; install OpenSSH's or use scp -O."))
}

fn environment(account: &Account, spec: &SpawnSpec, tty: Option<&Path>) -> Vec<(String, OsString)> {
    let path = if account.uid.is_root() { ROOT_PATH } else { USER_PATH };
    let mut env: Vec<(String, OsString)> = vec![
        ("USER".into(), account.name.clone().into()),
        ("LOGNAME".into(), account.name.clone().into()),
        ("HOME".into(), account.home.clone().into()),
        ("SHELL".into(), account.shell.clone().into()),
        ("PATH".into(), path.into()),
    ];
    let runtime = format!("/run/user/{}", account.uid);
    if Path::new(&runtime).is_dir() {
        env.push(("XDG_RUNTIME_DIR".into(), runtime.into()));
    }
    if let Some(pty) = &spec.pty {
        env.push(("TERM".into(), term(pty).into()));
    }
    if let Some(tty) = tty {
        env.push(("SSH_TTY".into(), tty.into()));
    }
    for (name, value) in spec.env.iter().take(MOST).filter(|(name, value)| may_pass(name, value)) {
        env.retain(|(known, _)| known != name);
        env.push((name.clone(), value.into()));
    }
    env
}

fn may_pass(name: &str, value: &str) -> bool {
    let locale = name.strip_prefix("LC_").is_some_and(|rest| {
        (1..=32).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    });
    let plain = value.len() <= LONGEST && !value.chars().any(char::is_control);
    // glibc reads a file named in TZ or a locale; a path there is only for the account's own start files.
    let path = value.contains('/') && (locale || name == "LANG" || name == "LANGUAGE");
    (locale || ALLOWED.contains(&name)) && plain && !path && !(name == "TZ" && (value.starts_with([':', '/']) || value.contains("..")))
}

/// A name that terminfo could have, or `dumb`: TERM becomes part of a path.
fn term(pty: &Pty) -> &str {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'+' | b'.');
    let fine = (1..=64).contains(&pty.term.len()) && pty.term.bytes().all(good) && !pty.term.starts_with('.');
    if fine { &pty.term } else { "dumb" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::{Gid, Uid};
    use wire::frames::Size;

    fn account() -> Account {
        let (uid, gid) = (Uid::from_raw(1000), Gid::from_raw(1000));
        Account { name: "ubuntu".into(), uid, gid, home: "/home/ubuntu".into(), shell: "/bin/bash".into() }
    }

    fn spec(kind: Kind, env: &[(&str, &str)]) -> SpawnSpec {
        SpawnSpec {
            session: "0190f3c0-0000-7000-8000-000000000001".parse().expect("id"),
            login: "ubuntu".parse().expect("login"),
            kind,
            pty: Some(Pty { term: "../../x".into(), size: Size::default(), modes: vec![] }),
            env: env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            grace: 1,
            allow_root: true,
            motd: false,
        }
    }

    #[test]
    fn only_listed_variables_pass_and_none_replaces_ours() {
        let given = [
            ("LD_PRELOAD", "/x.so"),
            ("PATH", "/evil"),
            ("LC_ALL", "ko_KR.UTF-8"),
            ("LC_x", "a"),
            ("LANG", "../../evil"),
            ("TZ", "Asia/Seoul"),
            ("COLORTERM", "a\x1b[2J"),
            ("BASH_ENV", "/x"),
        ];
        let program = Program::new(&account(), &spec(Kind::Shell, &given), None).expect("program");
        assert_eq!(program.argv0, "-bash");
        let get = |name: &str| program.env.iter().find(|(n, _)| n == name).map(|(_, v)| v.to_string_lossy().into_owned());
        assert_eq!(get("PATH").as_deref(), Some(USER_PATH));
        assert_eq!(get("LC_ALL").as_deref(), Some("ko_KR.UTF-8"));
        assert_eq!(get("TZ").as_deref(), Some("Asia/Seoul"));
        assert_eq!(get("TERM").as_deref(), Some("dumb"));
        for none in ["LD_PRELOAD", "LC_x", "LANG", "COLORTERM", "BASH_ENV"] {
            assert_eq!(get(none), None, "{none}");
        }
    }

    #[test]
    fn a_command_is_one_argument_of_the_shell() {
        let command = "echo 'a b'; exit 7".to_owned();
        let program = Program::new(&account(), &spec(Kind::Exec { command: command.clone() }, &[]), None).expect("program");
        assert_eq!((program.argv0, program.args), ("bash".into(), vec!["-c".into(), command.into()]));
        let nul = Kind::Exec { command: "a\0b".into() };
        assert_eq!(Program::new(&account(), &spec(nul, &[]), None).expect_err("refused").code, code::BAD_REQUEST);
    }
}
