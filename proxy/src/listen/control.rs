//! The door for whoever runs the server's machine: a socket in the state directory, which only root and the proxy's own account can
//! open. One request of one line, one answer of one line. What may be asked is a closed list.

use std::io;
use std::path::Path;
use std::time::Duration;

use access::words::{RoleName, UserName};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

/// Its name in the state directory.
pub const SOCKET: &str = "control.sock";
/// Longest request and answer, in bytes.
pub const MAX_LINE: u64 = 16 * 1024;
/// From a connection to its answer.
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

/// Serves one after the other, until the future is dropped.
pub(crate) async fn run<F: Future<Output = Answer>>(listener: UnixListener, answer: impl Fn(Ask, u32) -> F) -> std::convert::Infallible {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if let Ok(Err(error)) = tokio::time::timeout(TIMEOUT, serve(stream, &answer)).await {
                    tracing::debug!(%error, "a request on the control socket came to nothing");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept on the control socket");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn serve<F: Future<Output = Answer>>(stream: UnixStream, answer: &impl Fn(Ask, u32) -> F) -> io::Result<()> {
    let uid = stream.peer_cred()?.uid();
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    (&mut stream).take(MAX_LINE).read_line(&mut line).await?;
    let own = rustix::process::geteuid().as_raw();
    let no = |code: &str, title: String, hint: &str| Answer::No { code: code.to_owned(), title, hint: hint.to_owned() };
    let said = match serde_json::from_str(&line) {
        _ if uid != 0 && uid != own => no("NARU-C017", "only root and the proxy's own account may ask this".into(), "use sudo"),
        Ok(ask) => answer(ask, uid).await,
        Err(error) => no("NARU-C017", format!("the request is not understood: {error}"), "use the same version of naru"),
    };
    let mut text = serde_json::to_vec(&said).map_err(io::Error::other)?;
    text.push(b'\n');
    stream.write_all(&text).await?;
    stream.shutdown().await
}
