//! `naru break-glass`: asks the proxy of this machine for a link, over the socket in its state directory.

use std::path::Path;
use std::time::Duration;

use access::words::{RoleName, UserName};
use client::failure::Failure;
use proxy::control::{Answer, Ask, MAX_LINE, SOCKET};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use wire::api::exit;

use super::{Talk, say};

/// How long the proxy may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Asks, and prints the link.
pub(crate) async fn run(state: &Path, user: &UserName, reason: &str, roles: &[RoleName], ttl_s: u64, talk: Talk) -> Result<(), Failure> {
    let path = state.join(SOCKET);
    let ask = Ask::BreakGlass { user: user.clone(), reason: reason.to_owned(), roles: roles.to_vec(), ttl_s };
    let asked = tokio::time::timeout(TIMEOUT, exchange(&path, &ask)).await;
    let answer = asked.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())).map_err(|error| {
        Failure::new("NARU-C019", exit::CANNOT_REACH, format!("no proxy answers at {}", path.display()))
            .because(error)
            .hint("run it on the server's machine, as root or as the proxy's account; --state DIR is the server's state directory")
    })?;
    match answer {
        Answer::Link { link, expires } => {
            if talk.json {
                say(&format!("{}\n", serde_json::json!({ "link": link, "user": user, "expires": expires })));
            } else {
                say(&format!("break-glass link for {user}, single use, until {expires}:\n  naru login --link '{link}'\n"));
            }
            Ok(())
        }
        Answer::No { code, title, hint } => Err(Failure::new(&code, exit::FAILED, title).hint(hint)),
        Answer::Backup {} => Err(Failure::new("NARU-C019", exit::FAILED, "the proxy answered something else")),
    }
}

async fn exchange(path: &Path, ask: &Ask) -> std::io::Result<Answer> {
    let mut stream = UnixStream::connect(path).await?;
    let mut line = serde_json::to_vec(ask).map_err(std::io::Error::other)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    let mut text = Vec::new();
    stream.take(MAX_LINE).read_to_end(&mut text).await?;
    serde_json::from_slice(&text).map_err(std::io::Error::other)
}
