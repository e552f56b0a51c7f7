//! The proxy's part in these tests: frames in, frames out, and what was seen.

use std::path::PathBuf;
use std::time::Duration;

use access::words::{Login, SessionId};
use agent::holder::spawn::StartError;
use agent::holder::{Kind, Pty, Refused, SpawnSpec, Zygote};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use wire::frames::{Attach, Attached, Exit, Frame, Size, Stream};

pub(crate) const SECRET: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
/// Far more than anything here takes: a test that hangs fails instead.
const LONG: Duration = Duration::from_secs(60);

pub(crate) fn zygote_program() -> PathBuf {
    let exe = std::env::current_exe().expect("test binary");
    let debug = exe.parent().and_then(|deps| deps.parent()).expect("target folder");
    let path = debug.join("examples/zygote");
    assert!(path.exists(), "run `cargo build -p agent --examples` first: {} is missing", path.display());
    path
}

/// A host with a zygote.
pub(crate) struct Host {
    dir: tempfile::TempDir,
    pub(crate) zygote: Zygote,
}

impl Host {
    pub(crate) fn new() -> Self {
        Self::of(|dir| Zygote::start(dir, zygote_program(), vec![]))
    }

    /// With a zygote that is started like this.
    pub(crate) fn of(start: impl FnOnce(&std::path::Path) -> Result<Zygote, StartError>) -> Self {
        let dir = tempfile::tempdir().expect("folder");
        // Deeper than a socket's path may be long.
        let deep = dir.path().join("x".repeat(120));
        let zygote = start(&deep).expect("zygote");
        Self { dir, zygote }
    }

    pub(crate) async fn open(&self, spec: &SpawnSpec) -> Result<(), Refused> {
        tokio::time::timeout(LONG, self.zygote.spawn(spec)).await.expect("an answer")
    }

    /// Until the session's socket is gone.
    pub(crate) async fn gone(&self, spec: &SpawnSpec) {
        while self.zygote.attach_socket(&spec.session).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// `kill -9` for the zygote: the child of this process whose folder is ours.
    pub(crate) fn kill_zygote(&self) {
        let folder = std::fs::canonicalize(self.dir.path()).expect("folder");
        let ours = |entry: &std::fs::DirEntry| {
            let status = std::fs::read_to_string(entry.path().join("status")).unwrap_or_default();
            let parent = format!("PPid:\t{}\n", std::process::id());
            let cwd = std::fs::read_link(entry.path().join("cwd")).unwrap_or_default();
            status.starts_with("Name:\tnaru-zygote") && status.contains(&parent) && cwd.starts_with(&folder)
        };
        let zygote = std::fs::read_dir("/proc").expect("proc").flatten().find(ours).expect("a zygote");
        let pid = zygote.file_name().to_string_lossy().parse().expect("a number");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).expect("killed");
    }

    /// Spawns and attaches.
    pub(crate) async fn start(&self, spec: &SpawnSpec) -> Peer {
        self.open(spec).await.expect("a holder");
        self.attach(spec, SECRET, 1, 0).await.expect("attached").0
    }

    pub(crate) async fn attach(&self, spec: &SpawnSpec, secret: &str, fence: u64, recorded: u64) -> Result<(Peer, Attached), Exit> {
        let socket = self.zygote.attach_socket(&spec.session).await.expect("the holder's socket");
        let mut peer = Peer { socket, buf: BytesMut::new(), seen: Seen::default(), silent: false };
        peer.send(Frame::Attach(Attach { secret: secret.into(), fence, recorded })).await;
        match peer.next().await {
            Some(Frame::Attached(attached)) => {
                peer.seen.offset = recorded;
                Ok((peer, attached))
            }
            Some(Frame::Exit { exit, .. }) => Err(exit),
            other => panic!("not an answer: {other:?}"),
        }
    }
}

pub(crate) fn me() -> Login {
    nix::unistd::User::from_uid(nix::unistd::Uid::effective()).expect("looked up").expect("known").name.parse().expect("a login")
}

pub(crate) fn spec(kind: Kind) -> SpawnSpec {
    let session = SessionId::new(uuid());
    SpawnSpec { session, login: me(), kind, pty: None, env: vec![], grace: 30, allow_root: true, motd: false }
}

fn uuid() -> uuid::Uuid {
    uuid::Uuid::now_v7()
}

pub(crate) fn exec(command: &str) -> SpawnSpec {
    spec(Kind::Exec { command: command.into() })
}

pub(crate) fn on_terminal(mut spec: SpawnSpec) -> SpawnSpec {
    let size = Size { cols: 80, rows: 24, width: 0, height: 0 };
    spec.pty = Some(Pty { term: "xterm".into(), size, modes: vec![(53, 0)] });
    spec
}

/// What came out.
#[derive(Default, Debug)]
pub(crate) struct Seen {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) ends: Vec<Stream>,
    pub(crate) acked: u64,
    pub(crate) offset: u64,
    pub(crate) exit: Option<Exit>,
}

/// One attachment.
pub(crate) struct Peer {
    pub(crate) socket: UnixStream,
    buf: BytesMut,
    pub(crate) seen: Seen,
    /// Acknowledges nothing.
    pub(crate) silent: bool,
}

impl Peer {
    pub(crate) async fn send(&mut self, frame: Frame) {
        let mut out = BytesMut::new();
        frame.encode(&mut out);
        tokio::time::timeout(LONG, self.socket.write_all(&out)).await.expect("the holder reads").expect("sent");
    }

    pub(crate) async fn type_in(&mut self, seq: u64, text: &'static str) {
        self.send(Frame::Input { seq, data: Bytes::from_static(text.as_bytes()) }).await;
    }

    /// The next frame; `None` when the holder closed.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = Frame::decode(&mut self.buf).expect("frames") {
                return Some(frame);
            }
            let read = tokio::time::timeout(LONG, self.socket.read_buf(&mut self.buf)).await;
            match read.expect("something within a minute") {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// Takes one frame in. `false` at the end of the connection.
    pub(crate) async fn step(&mut self) -> bool {
        let Some(frame) = self.next().await else { return false };
        match frame {
            Frame::Output { offset, stream, data } => {
                assert_eq!(offset, self.seen.offset, "output has no gap and no overlap");
                self.seen.offset += data.len() as u64;
                match stream {
                    Stream::Stdout => self.seen.stdout.extend_from_slice(&data),
                    Stream::Stderr => self.seen.stderr.extend_from_slice(&data),
                }
                if !self.silent {
                    self.record().await;
                }
            }
            Frame::OutputEof { stream, .. } => self.seen.ends.push(stream),
            Frame::Acked { seq } => {
                assert!(seq > self.seen.acked, "acknowledgements grow");
                self.seen.acked = seq;
            }
            Frame::Exit { offset, exit } => {
                assert_eq!(offset, self.seen.offset, "all output came before the end");
                self.seen.exit = Some(exit);
                if !self.silent {
                    // A holder that was told to end does not wait for this.
                    let mut out = BytesMut::new();
                    Frame::Recorded { offset }.encode(&mut out);
                    let _ = self.socket.write_all(&out).await;
                }
            }
            other => panic!("not from a holder: {other:?}"),
        }
        true
    }

    /// Whether nothing comes by itself for a moment: only for tests that do not depend on how long that is.
    pub(crate) async fn idle(&mut self) -> bool {
        self.buf.is_empty() && tokio::time::timeout(Duration::from_millis(20), self.socket.readable()).await.is_err()
    }

    pub(crate) async fn record(&mut self) {
        let offset = self.seen.offset;
        self.send(Frame::Recorded { offset }).await;
    }

    /// Until standard output contains the text.
    pub(crate) async fn until(&mut self, text: &str) {
        while !String::from_utf8_lossy(&self.seen.stdout).contains(text) {
            assert!(self.step().await, "closed before {text:?}: {:?}", self.seen);
        }
    }

    /// Until the program ended.
    pub(crate) async fn finish(&mut self) -> Exit {
        loop {
            if let Some(exit) = self.seen.exit.clone() {
                return exit;
            }
            assert!(self.step().await, "closed before the end: {:?}", self.seen);
        }
    }

    pub(crate) fn out(&self) -> String {
        String::from_utf8_lossy(&self.seen.stdout).into_owned()
    }
}
