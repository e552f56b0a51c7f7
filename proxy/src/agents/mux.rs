//! One tunnel as yamux: the driver task that alone polls the connection, and the handle that opens streams on it.
//! The agent opens none; a stream from its side ends the tunnel.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{mpsc, oneshot};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt as _, TokioAsyncReadCompatExt as _};
use wire::tunnel::STREAM_OPEN;

/// Streams of one tunnel at once.
pub(crate) const MAX_STREAMS: usize = 4096;
/// yamux demands 256 KiB of window for each stream that may exist; memory is used only as data waits.
const CONNECTION_WINDOW: usize = MAX_STREAMS * 256 * 1024;
/// How long opening may wait for room among the streams.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// A stream to the agent. yamux opens it with our first bytes, so the agent's acknowledging byte is taken off when we first read.
pub(crate) struct Stream {
    inner: Compat<yamux::Stream>,
    acknowledged: bool,
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.acknowledged {
            let mut byte = [0];
            let mut first = ReadBuf::new(&mut byte);
            ready!(Pin::new(&mut self.inner).poll_read(cx, &mut first))?;
            match first.filled() {
                [STREAM_OPEN] => self.acknowledged = true,
                [] => return Poll::Ready(Ok(())),
                _ => return Poll::Ready(Err(io::Error::other("the agent did not acknowledge the stream"))),
            }
        }
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// Opens streams on one tunnel.
#[derive(Debug, Clone)]
pub(crate) struct Mux(mpsc::Sender<oneshot::Sender<io::Result<yamux::Stream>>>);

/// Starts yamux on a connection. The future drives it until either side ends it; dropping the future ends it.
pub(crate) fn start<T>(socket: T) -> (Mux, impl Future<Output = io::Result<()>> + Send)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut config = yamux::Config::default();
    config.set_max_connection_receive_window(None);
    config.set_max_num_streams(MAX_STREAMS);
    config.set_max_connection_receive_window(Some(CONNECTION_WINDOW));
    config.set_split_send_size(64 * 1024);
    let connection = yamux::Connection::new(socket.compat(), config, yamux::Mode::Server);
    let (ask, asked) = mpsc::channel(64);
    (Mux(ask), drive(connection, asked))
}

async fn drive<T>(
    mut connection: yamux::Connection<Compat<T>>,
    mut asked: mpsc::Receiver<oneshot::Sender<io::Result<yamux::Stream>>>,
) -> io::Result<()>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut waiting: Option<oneshot::Sender<io::Result<yamux::Stream>>> = None;
    let mut open = true;
    poll_fn(|cx| {
        loop {
            if waiting.is_none() && open {
                match asked.poll_recv(cx) {
                    Poll::Ready(Some(asker)) => waiting = Some(asker),
                    Poll::Ready(None) => open = false,
                    Poll::Pending => {}
                }
            }
            if waiting.is_some()
                && let Poll::Ready(stream) = connection.poll_new_outbound(cx)
            {
                let stream = stream.map_err(io::Error::other);
                let failed = stream.is_err();
                if let Some(asker) = waiting.take() {
                    let _ = asker.send(stream);
                }
                if failed {
                    return Poll::Ready(Err(io::Error::other("the tunnel is closed")));
                }
                continue;
            }
            return match connection.poll_next_inbound(cx) {
                Poll::Ready(Some(Ok(_))) => Poll::Ready(Err(io::Error::other("the agent opened a stream, which it never may"))),
                Poll::Ready(Some(Err(error))) => Poll::Ready(Err(io::Error::other(error))),
                Poll::Ready(None) => Poll::Ready(Ok(())),
                Poll::Pending if !open && waiting.is_none() => Poll::Ready(Ok(())),
                Poll::Pending => Poll::Pending,
            };
        }
    })
    .await
}

impl Mux {
    /// A new stream.
    pub(crate) async fn open(&self) -> io::Result<Stream> {
        let gone = || io::Error::other("the tunnel is closed");
        let opening = async {
            let (answer, answered) = oneshot::channel();
            self.0.send(answer).await.map_err(|_| gone())?;
            let stream = answered.await.map_err(|_| gone())??;
            Ok(Stream { inner: stream.compat(), acknowledged: false })
        };
        tokio::time::timeout(OPEN_TIMEOUT, opening).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }
}
