//! The agent's end: starts the zygote, asks it for holders, connects to them. The only file here that knows tokio.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::DirBuilder;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::os::unix::net::UnixDatagram as StdDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use access::words::SessionId;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use tokio::net::{UnixDatagram, UnixStream};
use tokio::sync::{mpsc, oneshot};

use super::place::socket_name;
use super::zygote::{Answer, Ask, MESSAGE};
use super::{Refused, SpawnSpec, code};

/// Requests that wait for the task.
const QUEUE: usize = 64;
/// Between two starts of a zygote that does not stay.
const PAUSE: Duration = Duration::from_secs(1);
/// How long holders may take to end: what a program has after its hang-up, and a little.
const END_ALL: Duration = Duration::from_secs(7);

/// Why there is no zygote.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The folder is somebody else's or open to others.
    #[error("the folder {0} must belong to the agent's account and be closed to others (mode 0700)")]
    Folder(PathBuf),
    /// A call of the host failed.
    #[error("the holders' process could not be started: {0}")]
    Io(#[from] io::Error),
}

/// A handle on the zygote; clones ask the same one. It is started again when it dies, and ends with the last handle. Holders stay.
#[derive(Debug, Clone)]
pub struct Zygote {
    requests: mpsc::Sender<Request>,
    folder: Arc<OwnedFd>,
}

#[derive(Debug)]
enum Request {
    Spawn(Box<SpawnSpec>, oneshot::Sender<Result<(), Refused>>),
    EndAll(oneshot::Sender<Result<(), Refused>>),
}

struct Starter {
    dir: PathBuf,
    program: PathBuf,
    args: Vec<OsString>,
}

/// A zygote that lives.
struct Link {
    socket: UnixDatagram,
    child: Child,
    next: u64,
    waiting: HashMap<u64, oneshot::Sender<Result<(), Refused>>>,
}

impl Zygote {
    /// Makes `dir` if needed (0700) and starts `program args…`, which has to end up in [`super::zygote::main`].
    /// To be called in a tokio runtime.
    pub fn start(dir: &Path, program: PathBuf, args: Vec<OsString>) -> Result<Self, StartError> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let dir = dir.canonicalize()?;
        let meta = std::fs::metadata(&dir)?;
        if meta.uid() != rustix::process::geteuid().as_raw() || meta.mode() & 0o077 != 0 {
            return Err(StartError::Folder(dir));
        }
        let folder = rustix::fs::open(&dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(io::Error::from)?;
        let starter = Starter { dir, program, args };
        let link = starter.start()?;
        let (requests, queue) = mpsc::channel(QUEUE);
        tokio::spawn(serve(starter, link, queue));
        Ok(Self { requests, folder: Arc::new(folder) })
    }

    /// A holder for this session: its program runs, and [`Self::attach_socket`] connects to it.
    pub async fn spawn(&self, spec: &SpawnSpec) -> Result<(), Refused> {
        let lost = || Refused::new(code::LOST, "The host's session process is being started again; try once more.");
        let (answer, answered) = oneshot::channel();
        self.requests.send(Request::Spawn(Box::new(spec.clone()), answer)).await.map_err(|_| lost())?;
        answered.await.unwrap_or_else(|_| Err(lost()))
    }

    /// Ends the sessions that this zygote started: they are hung up, and killed after five seconds. Returns when they are gone, or
    /// after seven seconds: the caller's process may end then without anything being left.
    pub async fn end_all(&self) {
        let (answer, answered) = oneshot::channel();
        let ended = async {
            // Without a zygote nobody answers.
            if self.requests.send(Request::EndAll(answer)).await.is_ok() {
                let _ = answered.await;
            }
        };
        if tokio::time::timeout(END_ALL, ended).await.is_err() {
            tracing::warn!("some sessions did not end in time");
        }
    }

    /// Connects to a session's holder. `NotFound` when there is none (any more).
    pub async fn attach_socket(&self, session: &SessionId) -> io::Result<UnixStream> {
        let name = socket_name(session);
        // Through the descriptor, since a socket's path is limited to 107 bytes.
        let path = format!("/proc/self/fd/{}/{name}", self.folder.as_raw_fd());
        match UnixStream::connect(path).await {
            Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
                // Its holder ended while no zygote was there to clean up.
                let _ = rustix::fs::unlinkat(&self.folder, &name, AtFlags::empty());
                Err(io::ErrorKind::NotFound.into())
            }
            other => other,
        }
    }
}

impl Starter {
    fn start(&self) -> io::Result<Link> {
        let (ours, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).map_err(io::Error::from)?;
        // What other libraries opened in this process is not for the host's shells.
        sys::close_at_exec_from(3)?;
        let mut command = Command::new(&self.program);
        command.args(&self.args).stdin(Stdio::from(theirs)).stdout(Stdio::null());
        let child = command.spawn()?;
        // The calls are the same for any socket that keeps messages apart.
        let socket = StdDatagram::from(ours);
        socket.send(&serde_json::to_vec(&Ask::Hello { dir: self.dir.clone() })?)?;
        socket.set_nonblocking(true)?;
        Ok(Link { socket: UnixDatagram::from_std(socket)?, child, next: 0, waiting: HashMap::new() })
    }
}

async fn serve(starter: Starter, mut link: Link, mut queue: mpsc::Receiver<Request>) {
    while link.serve(&mut queue).await {
        link.end().await;
        link = loop {
            match starter.start() {
                Ok(link) => break link,
                Err(e) => tracing::error!("{}", StartError::Io(e)),
            }
            tokio::time::sleep(PAUSE).await;
        };
    }
    link.end().await;
}

impl Link {
    /// `true` when the zygote died, `false` when nobody asks any more.
    async fn serve(&mut self, queue: &mut mpsc::Receiver<Request>) -> bool {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            tokio::select! {
                got = self.socket.recv(&mut buffer) => match got {
                    Ok(0) | Err(_) => return true,
                    Ok(len) => self.answer(buffer.get(..len).unwrap_or_default()),
                },
                request = queue.recv() => match request {
                    None => return false,
                    Some(request) => if self.ask(request).await.is_err() { return true },
                },
            }
        }
    }

    fn answer(&mut self, message: &[u8]) {
        if let Ok(Answer { id, refused }) = serde_json::from_slice(message)
            && let Some(waiting) = self.waiting.remove(&id)
        {
            let _ = waiting.send(refused.map_or(Ok(()), Err));
        }
    }

    async fn ask(&mut self, request: Request) -> io::Result<()> {
        self.next += 1;
        let id = self.next;
        let (ask, answer) = match request {
            Request::EndAll(answer) => (Ask::EndAll { id }, answer),
            Request::Spawn(spec, answer) => (Ask::Spawn { id, spec }, answer),
        };
        let message = serde_json::to_vec(&ask)?;
        if message.len() > MESSAGE {
            let _ = answer.send(Err(Refused::new(code::BAD_REQUEST, "The command or its environment is too long.")));
            return Ok(());
        }
        self.waiting.insert(id, answer);
        self.socket.send(&message).await.map(|_| ())
    }

    /// Lets the zygote end, and waits for it: it has nothing to do that takes time.
    async fn end(&mut self) {
        self.waiting.clear();
        let _ = self.socket.shutdown(Shutdown::Both);
        for _ in 0..100 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
