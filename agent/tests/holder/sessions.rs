//! What a session does.

use agent::holder::Kind;
use bytes::Bytes;
use wire::frames::{Exit, Frame, Size, Stream};

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
    host.gone(&spec).await;
}

#[tokio::test]
async fn a_shell_on_a_terminal_is_a_login_shell() {
    let host = Host::new();
    let mut peer = host.start(&on_terminal(spec(Kind::Shell))).await;
    peer.type_in(1, "echo =$0:$TERM:$(tty):$(umask); exit 3\n").await;
    assert_eq!(peer.finish().await, Exit::Code(3));
    assert!(peer.out().contains("sh:xterm:/dev/pts/") && peer.out().contains(":0022"), "{}", peer.out());
    assert!(peer.out().contains("=-"), "{}", peer.out());
}

#[tokio::test]
async fn a_signal_that_ends_the_program_is_named() {
    let host = Host::new();
    let mut peer = host.start(&exec("echo up; exec sleep 1000")).await;
    peer.until("up").await;
    peer.send(Frame::Signal { seq: 1, name: "TERM".into() }).await;
    assert_eq!(peer.finish().await, Exit::Signal { name: "TERM".into(), core: false });
}

#[tokio::test]
async fn the_end_of_input_ends_one_direction_only() {
    let host = Host::new();
    let mut peer = host.start(&exec("cat; echo after; echo err >&2")).await;
    peer.type_in(1, "abc").await;
    peer.until("abc").await;
    assert!(peer.seen.ends.is_empty());
    peer.send(Frame::InputEof { seq: 2 }).await;
    assert_eq!(peer.finish().await, Exit::Code(0));
    assert_eq!(peer.out(), "abcafter\n");
    // Acknowledged with the end at the latest.
    assert_eq!(peer.seen.acked, 2);
}

#[tokio::test]
async fn the_end_waits_for_whoever_still_writes_to_a_pipe() {
    let host = Host::new();
    let mut peer = host.start(&exec("(read x < /dev/fd/3; echo late) 3<&0 & exit 4")).await;
    peer.type_in(1, "go\n").await;
    assert_eq!(peer.finish().await, Exit::Code(4));
    assert_eq!(peer.out(), "late\n");
}

#[tokio::test]
async fn eight_mib_pass_both_ways_with_late_acknowledgements() {
    const TOTAL: usize = 8 * 1024 * 1024;
    const WINDOW: usize = 12 * 65_536;
    let data: Vec<u8> = (0..TOTAL).map(|i| (i.wrapping_mul(2_654_435_761) >> 7) as u8).collect();
    let host = Host::new();
    let mut peer = host.start(&exec("cat")).await;
    peer.silent = true;
    let mut sent = 0;
    let mut frames = data.chunks(65_536).map(Bytes::copy_from_slice);
    while peer.seen.stdout.len() < TOTAL {
        while let Some(chunk) = (sent * 65_536 - peer.seen.acked as usize * 65_536 < WINDOW).then(|| frames.next()).flatten() {
            sent += 1;
            peer.send(Frame::Input { seq: sent as u64, data: chunk }).await;
        }
        // Recorded only when nothing more comes without it.
        if peer.idle().await {
            peer.record().await;
        }
        assert!(peer.step().await);
    }
    peer.record().await;
    peer.silent = false;
    peer.send(Frame::InputEof { seq: sent as u64 + 1 }).await;
    assert_eq!(peer.finish().await, Exit::Code(0));
    assert!(peer.seen.stdout == data, "byte-exact");
}

#[tokio::test]
async fn a_terminal_floods_and_loses_nothing() {
    let host = Host::new();
    let mut peer = host.start(&on_terminal(exec("stty -opost; seq 1 200000"))).await;
    assert_eq!(peer.finish().await, Exit::Code(0));
    let want: String = (1..=200_000).map(|i| format!("{i}\n")).collect();
    assert!(peer.out() == want, "{} bytes", peer.out().len());
}

#[tokio::test]
async fn sizes_are_seen_and_clamped() {
    let host = Host::new();
    let mut peer = host.start(&on_terminal(exec("while read x; do stty size; done"))).await;
    let sizes = [(132, 50, "50 132"), (u16::MAX, u16::MAX, "10000 10000"), (0, 0, "24 80")];
    for (n, (cols, rows, want)) in sizes.into_iter().enumerate() {
        let seq = 2 * n as u64 + 1;
        peer.send(Frame::Resize { seq, size: Size { cols, rows, width: 0, height: 0 } }).await;
        peer.type_in(seq + 1, "\n").await;
        peer.until(want).await;
    }
}

#[tokio::test]
async fn control_c_and_signals_reach_the_foreground() {
    let host = Host::new();
    let mut peer = host.start(&on_terminal(spec(Kind::Shell))).await;
    peer.type_in(1, "sh -c 'echo r$((0+1)); exec sleep 1000'\n").await;
    peer.until("r1").await;
    peer.type_in(2, "\x03").await;
    peer.type_in(3, "echo c=$?\n").await;
    peer.until("c=130").await;
    peer.type_in(4, "sh -c 'echo r$((0+2)); exec sleep 1000'\n").await;
    peer.until("r2").await;
    peer.send(Frame::Signal { seq: 5, name: "KILL".into() }).await;
    peer.type_in(6, "echo d=$?\n").await;
    peer.until("d=137").await;
}

#[tokio::test]
async fn modes_of_the_client_are_set() {
    let host = Host::new();
    let mut asked = on_terminal(exec("stty -a"));
    if let Some(pty) = &mut asked.pty {
        // VINTR ^X, -isig, -onlcr; nonsense and an opcode that ends the list.
        pty.modes = vec![(1, 24), (50, 0), (72, 0), (99, 7), (200, 1), (1, 3)];
    }
    let mut peer = host.start(&asked).await;
    peer.finish().await;
    for want in ["intr = ^X", "-isig", "-onlcr"] {
        assert!(peer.out().contains(want), "{want}: {}", peer.out());
    }
}

#[tokio::test]
async fn what_runs_in_the_background_does_not_keep_a_terminal() {
    let host = Host::new();
    let mut peer = host.start(&on_terminal(exec("sleep 1000 & echo $!; exit 5"))).await;
    assert_eq!(peer.finish().await, Exit::Code(5));
    assert_eq!(peer.seen.ends, [Stream::Stdout]);
}

#[tokio::test]
async fn the_program_has_a_clean_start() {
    let host = Host::new();
    let command = "grep -E '^Sig(Blk|Ign)' /proc/self/status | sed s/180000000/000000000/; ls -l /proc/self/fd | grep -c socket; ps -o sid= -p $$ | tr -d ' '; echo $$; env";
    let mut asked = exec(command);
    asked.env = vec![("LC_TIME".into(), "C".into()), ("LD_PRELOAD".into(), "/x".into())];
    let mut peer = host.start(&asked).await;
    peer.finish().await;
    let out = peer.out();
    let lines: Vec<&str> = out.lines().collect();
    // 32 and 33 are the C library's own and stay as they were inherited.
    assert_eq!(lines[..3], ["SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000", "0"], "{out}");
    assert_eq!(lines[3], lines[4], "leads its session");
    assert!(out.contains("LC_TIME=C") && !out.contains("LD_PRELOAD") && !out.contains("CARGO"), "{out}");
}

#[tokio::test]
async fn sftp_is_the_hosts_own() {
    let host = Host::new();
    let asked = spec(Kind::Sftp { read_only: false });
    match host.open(&asked).await {
        // SSH_FXP_INIT version 3 is answered by SSH_FXP_VERSION.
        Ok(()) => {
            let mut peer = host.attach(&asked, crate::peer::SECRET, 1, 0).await.expect("attached").0;
            peer.send(Frame::Input { seq: 1, data: Bytes::from_static(&[0, 0, 0, 5, 1, 0, 0, 0, 3]) }).await;
            while peer.seen.stdout.len() < 9 {
                assert!(peer.step().await);
            }
            assert_eq!(peer.seen.stdout[4..9], [2, 0, 0, 0, 3]);
        }
        Err(refused) => assert_eq!(refused.code, agent::holder::code::NO_SFTP),
    }
}
