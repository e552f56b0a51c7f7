//! The door for whoever runs the server's machine: a socket in the state directory, which only root and the proxy's own account can
//! open. One request of one line, one answer of one line. What may be asked is a closed list.

use std::io;
use std::path::Path;
use std::time::Duration;

use access::words::{RoleName, UserName};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

/// Its name in the state directory.
pub const SOCKET: &str = "control.sock";
/// Longest request and answer, in bytes.
pub const MAX_LINE: u64 = 16 * 1024;
/// How long one who asks may be silent, or not take what is said.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What may be asked here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
pub enum Ask {
    /// A single-use sign-in link while nothing else works.
    BreakGlass {
        /// For whom.
        user: UserName,
        /// Why; in the log.
        reason: String,
        /// Roles on top of those that are known of the person.
        #[serde(default)]
        roles: Vec<RoleName>,
        /// Seconds for which the link can be used.
        ttl_s: u64,
    },
    /// A backup of the running proxy.
    Backup {},
}

/// An answer, and what follows it.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) answer: Answer,
    /// A file from its beginning, after the line, until the end of the connection.
    pub(crate) then: Option<std::fs::File>,
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        Self { answer, then: None }
    }
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// The link, shown once.
    Link {
        /// The link.
        link: String,
        /// Until when it can be used.
        expires: access::time::Timestamp,
    },
    /// What follows this line, until the end of the connection, is the backup, not encrypted.
    Backup {},
    /// No.
    No {
        /// A stable code.
        code: String,
        /// One sentence.
        title: String,
        /// What to do next.
        hint: String,
    },
}

/// Takes the socket's place. One that a killed proxy left is replaced: the state directory's lock says that no other lives.
pub(crate) fn bind(state: &Path) -> io::Result<UnixListener> {
    let path = state.join(SOCKET);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // The directory is 0700 before the socket is in it.
    UnixListener::bind(path)
}

/// Files that are sent at once.
const MAX_SENDING: usize = 4;

/// Serves one after the other, until the future is dropped. A file that follows an answer is sent beside that.
pub(crate) async fn run<F: Future<Output = Reply>>(listener: UnixListener, answer: impl Fn(Ask, u32) -> F) -> std::convert::Infallible {
    let mut sending = JoinSet::new();
    loop {
        let accepted = listener.accept().await;
        while sending.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => match serve(stream, &answer, sending.len() >= MAX_SENDING).await {
                Ok(Some((stream, file))) => {
                    sending.spawn(send(stream, file));
                }
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "a request on the control socket came to nothing"),
            },
            Err(error) => {
                tracing::warn!(%error, "cannot accept on the control socket");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Reads one request and answers it; what is then to be sent, and to whom, is answered.
async fn serve<F: Future<Output = Reply>>(
    stream: UnixStream,
    answer: &impl Fn(Ask, u32) -> F,
    busy: bool,
) -> io::Result<Option<(UnixStream, std::fs::File)>> {
    let uid = stream.peer_cred()?.uid();
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    tokio::time::timeout(TIMEOUT, (&mut stream).take(MAX_LINE).read_line(&mut line)).await??;
    let own = rustix::process::geteuid().as_raw();
    let no = |code: &str, title: String, hint: &str| Reply::from(Answer::No { code: code.to_owned(), title, hint: hint.to_owned() });
    let said = match serde_json::from_str(&line) {
        _ if uid != 0 && uid != own => no("NARU-C017", "only root and the proxy's own account may ask this".into(), "use sudo"),
        Ok(Ask::Backup {}) if busy => {
            no("NARU-C130", "several backups are being taken away already".into(), "try again when they are done")
        }
        // Not bound by time: how long a copy takes, the disk says.
        Ok(ask) => answer(ask, uid).await,
        Err(error) => no("NARU-C017", format!("the request is not understood: {error}"), "use the same version of naru"),
    };
    let mut text = serde_json::to_vec(&said.answer).map_err(io::Error::other)?;
    text.push(b'\n');
    tokio::time::timeout(TIMEOUT, stream.write_all(&text)).await??;
    match said.then {
        Some(file) => Ok(Some((stream.into_inner(), file))),
        None => stream.shutdown().await.map(|()| None),
    }
}

/// Sends a file to somebody who goes on taking it.
async fn send(mut to: UnixStream, file: std::fs::File) {
    let mut file = tokio::fs::File::from_std(file);
    let mut buffer = vec![0; 64 * 1024];
    let sent = async {
        loop {
            let read = file.read(&mut buffer).await?;
            if read == 0 {
                return to.shutdown().await;
            }
            tokio::time::timeout(TIMEOUT, to.write_all(buffer.get(..read).unwrap_or_default())).await??;
        }
    };
    if let Err(error) = sent.await {
        tracing::warn!(%error, "a backup was not taken away whole");
    }
}
