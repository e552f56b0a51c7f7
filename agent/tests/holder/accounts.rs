//! Whom a host lets in, and as whom.

use agent::holder::{Kind, code};
use nix::unistd::Uid;
use wire::frames::Exit;

use crate::peer::{Host, exec, on_terminal, spec};

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

/// Only root can become another account. The account is one that Debian and its kin have, with a real shell.
#[tokio::test]
async fn root_gives_everything_up() {
    let can = Uid::effective().is_root() && std::fs::read_to_string("/etc/passwd").is_ok_and(|p| p.contains("\nsync:x:4:65534"));
    if !can {
        return;
    }
    let host = Host::new();
    // sync's shell is /bin/sync: it runs, says nothing, ends well. As a shell it takes `-c` for an unknown option.
    let mut asked = spec(Kind::Shell);
    asked.login = "sync".parse().expect("a login");
    assert_eq!(host.start(&asked).await.finish().await, Exit::Code(0));
    // Its holder is not to be looked into by the account.
    let mut asked = on_terminal(exec("id -u; stat -c %U:%G:%a $(tty)"));
    asked.login = "root".parse().expect("a login");
    let mut peer = host.start(&asked).await;
    peer.finish().await;
    assert!(peer.out().contains("0\r\nroot:tty:620"), "{}", peer.out());
}
