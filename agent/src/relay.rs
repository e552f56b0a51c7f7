//! Bytes between a tunnel's stream and a holder's socket. The agent does not look into frames: what it may do was in the grant,
//! and what is in them is between proxy and holder. An idle relay holds no buffer.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// Bytes moved at once.
pub(crate) const CHUNK: usize = 128 * 1024;
/// What waits for a quiet tunnel to say something.
const QUIET: usize = 2 * 1024;

/// Copies both ways until either side ends; both are closed then.
pub(crate) async fn run<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(tunnel: T, holder: UnixStream) {
    let (from_tunnel, to_tunnel) = tokio::io::split(tunnel);
    let (from_holder, to_holder) = holder.into_split();
    let ended = tokio::select! {
        ended = up(from_holder, to_tunnel) => ended,
        ended = down(from_tunnel, to_holder) => ended,
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a relay ended");
    }
}

async fn up<T: AsyncWrite>(from: OwnedReadHalf, mut to: WriteHalf<T>) -> io::Result<()> {
    loop {
        from.readable().await?;
        let mut buffer = Vec::with_capacity(CHUNK);
        loop {
            buffer.clear();
            match from.try_read_buf(&mut buffer) {
                Ok(0) => return to.shutdown().await,
                Ok(_) => to.write_all(&buffer).await?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        to.flush().await?;
    }
}

async fn down<T: AsyncRead>(mut from: ReadHalf<T>, mut to: OwnedWriteHalf) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(QUIET);
    loop {
        buffer.clear();
        let read = from.read_buf(&mut buffer).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer).await?;
        if read == buffer.capacity() {
            buffer = Vec::with_capacity(CHUNK);
        } else if buffer.capacity() > QUIET && read < QUIET {
            buffer = Vec::with_capacity(QUIET);
        }
    }
}
