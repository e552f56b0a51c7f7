//! What a session does.

use agent::holder::Kind;
use wire::frames::Exit;

use crate::peer::{Host, exec, on_terminal, spec};

#[tokio::test]
async fn a_command_says_its_code_and_keeps_its_streams_apart() {
    let host = Host::new();
    let spec = exec("echo out; echo err >&2; exit 7");
    let mut peer = host.start(&spec).await;
    assert_eq!(peer.finish().await, Exit::Code(7));
    assert_eq!((peer.out().as_str(), peer.seen.stderr.as_slice()), ("out\n", b"err\n".as_slice()));
    assert_eq!(peer.seen.ends.len(), 2);
    // Recorded to its end, the holder goes and takes its socket with it.
    assert!(!peer.step().await);
    while host.zygote.attach_socket(&spec.session).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_shell_on_a_terminal_is_a_login_shell() {
    let host = Host::new();
    let mut peer = host.start(&on_terminal(spec(Kind::Shell))).await;
    peer.type_in(1, "echo $0:$TERM:$(tty); exit 3\n").await;
    assert_eq!(peer.finish().await, Exit::Code(3));
    assert!(peer.out().contains("sh:xterm:/dev/pts/"), "{}", peer.out());
    assert!(peer.out().contains('-'), "{}", peer.out());
}
