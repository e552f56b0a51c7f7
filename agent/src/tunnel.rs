//! One tunnel, seen from the agent: dial, TLS with our certificate and the pinned CA, yamux, and an HTTP/1.1 server on each stream
//! that the proxy opens. What the requests mean is in `serve`.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::AsyncWriteExt as _;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_util::compat::{FuturesAsyncReadCompatExt as _, TokioAsyncReadCompatExt as _};
use wire::link::Address;
use wire::tunnel::STREAM_OPEN;

use crate::serve::Tunnel;

/// TCP and TLS together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes read at once: rustls by itself reads a record at a time, at most. Only what was ever filled takes memory.
const READ_AHEAD: usize = 64 * 1024;
/// Streams of one tunnel at once.
const MAX_STREAMS: usize = 4096;

/// A tunnel could not be made, or ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TunnelError {
    /// TCP or TLS.
    #[error("cannot reach the proxy {address}: {source}")]
    Reach {
        /// Whom we dialled.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// The proxy's certificate is not there.
    #[error("the proxy showed no certificate")]
    NoCertificate,
    /// It ended.
    #[error("the tunnel ended: {0}")]
    Ended(io::Error),
    /// No heartbeat.
    #[error("the proxy sent no heartbeat")]
    Silent,
}

/// A connection that is up, before yamux.
pub(crate) struct Connected {
    stream: tokio_rustls::client::TlsStream<BufReader<TcpStream>>,
    /// The pin of the proxy's certificate.
    pub(crate) proxy: String,
}

/// Dials and does TLS.
pub(crate) async fn connect(address: &Address, tls: Arc<ClientConfig>) -> Result<Connected, TunnelError> {
    let reach = |source| TunnelError::Reach { address: address.authority(), source };
    let dialling = async {
        let tcp = TcpStream::connect((address.host(), address.port())).await?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from(address.host().to_owned()).map_err(io::Error::other)?;
        TlsConnector::from(tls).connect(name, BufReader::with_capacity(READ_AHEAD, tcp)).await
    };
    let timed_out = |_| io::Error::from(io::ErrorKind::TimedOut);
    let stream = tokio::time::timeout(CONNECT_TIMEOUT, dialling).await.map_err(timed_out).flatten().map_err(reach)?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let proxy = certificate.map(|der| wire::link::Pin::of_der(der).to_string()).ok_or(TunnelError::NoCertificate)?;
    Ok(Connected { stream, proxy })
}

/// Serves a tunnel until it ends or the proxy falls silent.
pub(crate) async fn run(connected: Connected, tunnel: Arc<Tunnel>) -> TunnelError {
    let mut config = yamux::Config::default();
    config.set_max_connection_receive_window(None);
    config.set_max_num_streams(MAX_STREAMS);
    config.set_max_connection_receive_window(Some(MAX_STREAMS * 256 * 1024));
    config.set_split_send_size(64 * 1024);
    let mut connection = yamux::Connection::new(connected.stream.compat(), config, yamux::Mode::Client);
    let mut streams = JoinSet::new();
    let mut beat = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            stream = poll_fn(|cx| connection.poll_next_inbound(cx)) => match stream {
                Some(Ok(stream)) => _ = streams.spawn(serve(stream, tunnel.clone())),
                Some(Err(error)) => return TunnelError::Ended(io::Error::other(error)),
                None => return TunnelError::Ended(io::ErrorKind::UnexpectedEof.into()),
            },
            Some(_) = streams.join_next() => {}
            _ = beat.tick() => if tunnel.is_silent() { return TunnelError::Silent },
        }
    }
}

/// One stream: acknowledge at once, then HTTP/1.1 with upgrades.
async fn serve(mut stream: yamux::Stream, tunnel: Arc<Tunnel>) {
    if stream.write_all(&[STREAM_OPEN]).await.is_err() || stream.flush().await.is_err() {
        return;
    }
    let service = hyper::service::service_fn(move |request| {
        let tunnel = tunnel.clone();
        async move { Ok::<_, std::convert::Infallible>(tunnel.answer(request).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(hyper_util::rt::TokioTimer::new())
        .header_read_timeout(Duration::from_secs(30))
        .max_buf_size(64 * 1024)
        .serve_connection(hyper_util::rt::TokioIo::new(stream.compat()), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a stream ended");
    }
}
