//! What an attachment may do, and what survives its end.

use agent::holder::Kind;
use bytes::{Bytes, BytesMut};
use tokio::io::AsyncWriteExt as _;
use wire::frames::{Exit, Frame, INPUT_WINDOW};

use crate::peer::{Host, SECRET, exec, on_terminal, spec};

fn code_of(exit: Exit) -> String {
    match exit {
        Exit::Failed { code, .. } => code,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_dropped_attachment_loses_and_doubles_nothing() {
    let host = Host::new();
    let asked = exec("read a; echo got $a; read b; echo got $b; seq 1 100000; cat");
    let mut peer = host.start(&asked).await;
    peer.silent = true;
    peer.type_in(1, "one\n").await;
    peer.type_in(2, "two\n").await;
    while peer.seen.offset < 100_000 {
        assert!(peer.step().await);
    }
    // A third of it is recorded; the rest of what arrived is lost with the connection.
    let recorded = peer.seen.offset / 3;
    peer.send(Frame::Recorded { offset: recorded }).await;
    let mut whole = peer.seen.stdout[..recorded as usize].to_vec();
    drop(peer);

    let (mut peer, attached) = host.attach(&asked, SECRET, 2, recorded).await.expect("attached again");
    assert!(attached.produced >= recorded && attached.acked == 2, "{attached:?}");
    // A proxy that had not heard of the acknowledgement types again.
    peer.type_in(2, "two\n").await;
    peer.type_in(3, "three").await;
    peer.send(Frame::InputEof { seq: 4 }).await;
    assert_eq!(peer.finish().await, Exit::Code(0));
    whole.extend_from_slice(&peer.seen.stdout);
    let want = format!("got one\ngot two\n{}three", (1..=100_000).map(|i| format!("{i}\n")).collect::<String>());
    assert!(String::from_utf8_lossy(&whole) == want);
}

#[tokio::test]
async fn an_end_that_nobody_heard_is_said_again() {
    let host = Host::new();
    let asked = exec("echo x; exit 9");
    let mut peer = host.start(&asked).await;
    peer.silent = true;
    assert_eq!(peer.finish().await, Exit::Code(9));
    drop(peer);
    let (mut peer, attached) = host.attach(&asked, SECRET, 2, 2).await.expect("attached again");
    assert_eq!(attached.produced, 2);
    assert_eq!(peer.finish().await, Exit::Code(9));
    assert!(!peer.step().await);
}

#[tokio::test]
async fn only_the_secret_and_a_newer_fence_attach() {
    let host = Host::new();
    let asked = exec("cat");
    host.open(&asked).await.expect("a holder");
    let not_yours = agent::holder::code::NOT_YOURS;
    let short = host.attach(&asked, "abc", 1, 0).await.err().expect("refused");
    assert_eq!(code_of(short), not_yours);
    let (mut peer, _) = host.attach(&asked, SECRET, 5, 0).await.expect("attached");
    let wrong = host.attach(&asked, &SECRET.replace('1', "2"), 6, 0).await.err().expect("refused");
    assert_eq!(code_of(wrong), not_yours);
    let stale = host.attach(&asked, SECRET, 5, 0).await.err().expect("refused");
    assert_eq!(code_of(stale), not_yours);
    let early = host.attach(&asked, SECRET, 6, 1).await.err().expect("refused");
    assert_eq!(code_of(early), agent::holder::code::GONE);
    // None of them disturbed the one that holds it.
    peer.type_in(1, "still here\n").await;
    peer.until("still here").await;
    // A newer one takes over, and the old connection ends.
    let offset = peer.seen.offset;
    let (mut newer, _) = host.attach(&asked, SECRET, 6, offset).await.expect("attached");
    while peer.step().await {}
    newer.type_in(2, "mine now\n").await;
    newer.until("mine now").await;
}

#[tokio::test]
async fn a_breach_of_the_protocol_ends_the_attachment_and_not_the_session() {
    let host = Host::new();
    let asked = exec("read x; echo $x");
    let skipping = Frame::Input { seq: 3, data: Bytes::new() };
    let unsent = Frame::Recorded { offset: 1 };
    let wrong_way = Frame::Acked { seq: 1 };
    host.open(&asked).await.expect("a holder");
    for (fence, breach) in (1..).zip([skipping, unsent, wrong_way]) {
        let (mut peer, _) = host.attach(&asked, SECRET, fence, 0).await.expect("attached");
        peer.send(breach).await;
        assert!(!peer.step().await);
    }
    for (fence, bytes) in (10..).zip([[0xff; 16], [0; 16]]) {
        let (mut peer, _) = host.attach(&asked, SECRET, fence, 0).await.expect("attached");
        peer.socket.write_all(&bytes).await.expect("sent");
        assert!(!peer.step().await);
    }
    let (mut peer, _) = host.attach(&asked, SECRET, 20, 0).await.expect("attached");
    peer.type_in(1, "alive\n").await;
    assert_eq!(peer.finish().await, Exit::Code(0));
    assert_eq!(peer.out(), "alive\n");
}

#[tokio::test]
async fn input_beyond_the_window_is_refused() {
    let host = Host::new();
    let asked = exec("exec sleep 1000");
    let mut peer = host.start(&asked).await;
    let mut out = BytesMut::new();
    // More than the window and what a pipe takes.
    for seq in 1..=(2 * INPUT_WINDOW as u64 / 65_536) {
        Frame::Input { seq, data: Bytes::from(vec![0; 65_536]) }.encode(&mut out);
    }
    let _ = peer.socket.write_all(&out).await;
    while peer.step().await {}
    let (mut peer, attached) = host.attach(&asked, SECRET, 2, 0).await.expect("attached again");
    assert!(attached.acked < 4, "{attached:?}");
    // Nor does input that nobody reads hold up the end.
    peer.send(Frame::End).await;
    assert_eq!(peer.finish().await, Exit::Signal { name: "HUP".into(), core: false });
}

#[tokio::test]
async fn a_shell_outlives_zygote_and_agent() {
    let host = Host::new();
    let asked = on_terminal(spec(Kind::Shell));
    let mut peer = host.start(&asked).await;
    peer.type_in(1, "X=kept; echo up$((1+1))\n").await;
    peer.until("up2").await;
    host.kill_zygote();
    peer.type_in(2, "echo $X$((2+2))\n").await;
    peer.until("kept4").await;
    let offset = peer.seen.offset;
    drop(peer);
    // Another zygote is there soon, and the shell is where it was.
    let other = exec("true");
    while host.open(&other).await.is_err() {
        tokio::task::yield_now().await;
    }
    let (mut peer, _) = host.attach(&asked, SECRET, 2, offset).await.expect("attached again");
    peer.type_in(3, "echo $X$((3+3)); exit\n").await;
    peer.until("kept6").await;
    peer.finish().await;
}

#[tokio::test]
async fn after_the_grace_period_the_program_is_gone() {
    let host = Host::new();
    let mut asked = exec("echo $$; exec sleep 1000");
    asked.grace = 1;
    let mut peer = host.start(&asked).await;
    peer.until("\n").await;
    let process = format!("/proc/{}", peer.out().trim());
    assert!(std::fs::exists(&process).expect("looked"));
    drop(peer);
    host.gone(&asked).await;
    assert!(!std::fs::exists(&process).expect("looked"));
}

#[tokio::test]
async fn all_sessions_can_be_ended() {
    let host = Host::new();
    let (one, two) = (exec("exec sleep 1000"), on_terminal(spec(Kind::Shell)));
    let mut peers = [host.start(&one).await, host.start(&two).await];
    let (host, [first, second]) = (&host, &mut peers);
    // It returns when they are gone, so whoever asked may end at once.
    tokio::join!(
        async {
            host.zygote.end_all().await;
            for spec in [&one, &two] {
                assert!(host.zygote.attach_socket(&spec.session).await.is_err(), "it is still there");
            }
            host.zygote.end_all().await;
        },
        first.finish(),
        second.finish()
    );
}
