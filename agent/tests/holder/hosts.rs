//! A host with accounts of its own: the zygote sees other files under `/etc` and `/var/log`, in a mount namespace. Only root makes one.

use std::path::{Path, PathBuf};

use agent::holder::{Zygote, code};
use wire::frames::Exit;

use crate::peer::{Host, exec, on_terminal, zygote_program};

/// The files, and the folder that holds them.
struct Etc(tempfile::TempDir);

/// Bytes of a record of utmp(5) on Linux, and the kind of one whose process has ended.
const RECORD: usize = 384;
const DEAD: u8 = 8;
/// One day after the epoch, far in the past.
const EXPIRED: &str = "1";

impl Etc {
    /// None where this process may not mount, with the reason on stderr.
    fn new() -> Option<Self> {
        let may = std::process::Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|status| status.success());
        if !may || !nix::unistd::Uid::effective().is_root() {
            eprintln!("skipped: only root has a mount namespace of its own");
            return None;
        }
        let etc = Self(tempfile::tempdir().expect("a folder"));
        let add = |file: &str, lines: &str| {
            let there = std::fs::read_to_string(Path::new("/etc").join(file)).expect("read");
            etc.write(file, &format!("{}\n{lines}", there.trim_end()));
        };
        let account = |name: &str, uid: u32, shell: &str| format!("{name}:x:{uid}:{uid}::/:{shell}\n");
        let people = [
            ("nr-open", 7001, "/bin/sh"),
            ("nr-old", 7002, "/bin/sh"),
            ("nr-shut", 7003, "/usr/sbin/nologin"),
            ("nr-future", 7004, "/bin/sh"),
        ];
        add("passwd", &people.map(|(name, uid, shell)| account(name, uid, shell)).concat());
        add("group", &people.map(|(name, uid, _)| format!("{name}:x:{uid}:\n")).concat());
        // `!` in the place of a password is no lock: who signs in by other means has none.
        let shadow = format!(
            "nr-open:!:19000:0:99999:7:::\nnr-old:!:19000:0:99999:7::{EXPIRED}:\nnr-shut:*:19000:0:99999:7:::\nnr-future:!:19000:0:99999:7::99999:\n"
        );
        add("shadow", &shadow);
        etc.write("wtmp", "");
        etc.write("utmp", "");
        Some(etc)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.path(file), text).expect("written");
    }

    /// A host whose zygote sees them; with `/etc/nologin` where that is wanted.
    fn host(&self, nologin: Option<&str>) -> Host {
        let at = self.0.path().display();
        let mut script = format!("set -e; mount --make-rprivate /; for f in passwd group shadow; do mount --bind {at}/$f /etc/$f; done; ");
        // A file cannot be bound where none is: a folder over the real one has copies of both.
        script += &format!("mkdir -p {at}/log; cp {at}/wtmp {at}/log/wtmp; mount --bind {at}/log /var/log; ");
        script += &format!("mkdir -p {at}/run; cp -n {at}/utmp {at}/run/utmp; mount --bind {at}/run /run; ");
        if let Some(text) = nologin {
            self.write("nologin", text);
            script += &format!("mkdir -p {at}/up; mount -t tmpfs tmpfs {at}/up; ");
            script += &format!("cp -a /etc {at}/up/etc; cp {at}/nologin {at}/up/etc/nologin; mount --bind {at}/up/etc /etc; ");
        }
        script += &format!("exec {}", zygote_program().display());
        let args = ["-m", "sh", "-c", &script].map(Into::into).to_vec();
        Host::of(|dir| Zygote::start(dir, "unshare".into(), args))
    }
}

fn as_login(mut spec: agent::holder::SpawnSpec, login: &str) -> agent::holder::SpawnSpec {
    spec.login = login.parse().expect("a login");
    spec
}

#[tokio::test]
async fn the_hosts_own_rules_keep_accounts_out() {
    let Some(etc) = Etc::new() else { return };
    let host = etc.host(None);
    for (login, want) in [("nr-open", None), ("nr-future", None), ("nr-old", Some(code::EXPIRED)), ("nr-shut", Some(code::NO_SHELL))] {
        let opened = host.open(&as_login(exec("true"), login)).await;
        assert_eq!(opened.err().map(|refused| refused.code).as_deref(), want, "{login}");
    }
    let host = etc.host(Some("back at nine\n"));
    let refused = host.open(&as_login(exec("true"), "nr-open")).await.expect_err("refused");
    assert_eq!((refused.code.as_str(), refused.message.contains("back at nine")), (code::NOLOGIN, true), "{refused}");
    assert!(host.open(&exec("true")).await.is_ok(), "root may");
}

#[tokio::test]
async fn a_session_on_a_terminal_is_in_the_hosts_login_records() {
    let Some(etc) = Etc::new() else { return };
    let host = etc.host(None);
    let mut peer = host.start(&as_login(on_terminal(exec("sleep 0.2")), "nr-open")).await;
    assert_eq!(peer.finish().await, Exit::Code(0));
    let mut peer = host.start(&as_login(exec("true"), "nr-future")).await;
    assert_eq!(peer.finish().await, Exit::Code(0));
    let read = |file: &str| std::fs::read(etc.path(file)).expect("read");
    let has = |records: &[u8], name: &[u8]| records.windows(name.len()).any(|part| part == name);
    // What was: the login and its end. Who is there: one place, which is free again when the zygote has cleaned up.
    while read("log/wtmp").len() < 2 * RECORD {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let (were, are) = (read("log/wtmp"), read("run/utmp"));
    assert!(has(&were, b"nr-open") && !has(&were, b"nr-future"), "only who was on a terminal");
    assert_eq!((were.len(), are.len(), are.first(), has(&are, b"nr-open")), (2 * RECORD, RECORD, Some(&DEAD), false));
}
