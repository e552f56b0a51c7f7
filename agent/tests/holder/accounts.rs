//! Whom a host lets in, and as whom.

use agent::holder::code;
use nix::unistd::Uid;
use wire::frames::Exit;

use crate::peer::{Host, exec, on_terminal};

#[tokio::test]
async fn accounts_that_may_not_log_in_are_refused_with_a_sentence() {
    let host = Host::new();
    let mut asked = exec("id");
    asked.login = "no-such-login".parse().expect("a login");
    let refused = host.open(&asked).await.expect_err("refused");
    assert_eq!((refused.code.as_str(), refused.message.as_str()), (code::UNKNOWN_LOGIN, "There is no account no-such-login on this host."));

    asked.login = "nobody".parse().expect("a login");
    let refused = host.open(&asked).await.expect_err("refused");
    let want = if Uid::effective().is_root() { code::NO_SHELL } else { code::OWN_ACCOUNT_ONLY };
    assert_eq!(refused.code, want, "{refused}");

    // Root is a uid: whatever the account is called, it has to be listed.
    asked = exec("id");
    asked.allow_root = false;
    let opened = host.open(&asked).await;
    assert_eq!(opened.err().map(|refused| refused.code).as_deref(), Uid::effective().is_root().then_some(code::ROOT));
    // Nothing is left of them.
    host.gone(&asked).await;
}

#[tokio::test]
async fn a_session_exists_once() {
    let host = Host::new();
    let asked = exec("exec sleep 1000");
    let _peer = host.start(&asked).await;
    assert_eq!(host.open(&asked).await.expect_err("refused").code, code::EXISTS);
    assert!(host.zygote.attach_socket(&asked.session).await.is_ok());
}

#[tokio::test]
async fn a_nul_in_a_command_is_refused() {
    assert_eq!(Host::new().open(&exec("a\0b")).await.expect_err("refused").code, code::BAD_REQUEST);
}

/// An account of a person with a shell, if this host has one.
fn somebody() -> Option<(String, String)> {
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    passwd.lines().find_map(|line| {
        let field: Vec<&str> = line.split(':').collect();
        let person = field.get(2)?.parse::<u32>().is_ok_and(|uid| (1000..60_000).contains(&uid));
        (person && field.get(6)?.ends_with("sh")).then(|| (field[0].to_owned(), field[2].to_owned()))
    })
}

/// Only root can become another account.
#[tokio::test]
async fn root_gives_everything_up() {
    let Some((name, uid)) = somebody().filter(|_| Uid::effective().is_root()) else { return };
    let host = Host::new();
    let look = "grep -E '^(Uid|Gid|Groups|CapEff|CapPrm)' /proc/self/status; stat -c %U:%G:%a $(tty); cat /proc/$PPID/environ; echo =$?";
    let mut asked = on_terminal(exec(look));
    asked.login = name.parse().expect("a login");
    let mut peer = host.start(&asked).await;
    peer.finish().await;
    let out = peer.out();
    assert!(out.contains(&format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}")), "{out}");
    assert!(out.contains("CapEff:\t0000000000000000") && !out.contains("Groups:\t0 "), "{out}");
    assert!(out.contains(&format!("{name}:tty:620")), "{out}");
    // Its holder runs as the account and is still not to be looked into.
    assert!(out.contains("Permission denied") && out.contains("=1"), "{out}");
}

#[tokio::test]
async fn a_terminal_belongs_to_its_account() {
    let host = Host::new();
    let mut peer = host.start(&on_terminal(exec("stat -c =%U=%a $(tty)"))).await;
    assert_eq!(peer.finish().await, Exit::Code(0));
    // The group's right to write depends on how the host mounts its terminals, where we are not root.
    assert!(peer.out().contains(&format!("={}=6", crate::peer::me())), "{}", peer.out());
}
