//! One POST to one receiver: no redirect, no proxy of the environment, no compression; the address is checked on the socket, and time
//! and size of the answer are bounded. Nothing here says the URL, which may carry a secret.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use config::proxy::Webhook;
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use super::pace::retry_after;
use crate::address::{Class, class};

/// Most bytes of an answer that are read: of its head, and of its body.
const MAX_ANSWER: usize = 64 * 1024;
/// A part of the timeout for one address, so that a dead one leaves time for the next.
const CONNECT: Duration = Duration::from_secs(3);

/// A receiver that can never be reached as configured.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum BadReceiver {
    #[error("its url names no host")]
    Url,
    #[error("no certificates to trust were found on this machine: {0}")]
    Trust(rustls::Error),
}

/// Why a try failed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub(super) enum PostError {
    #[error("its name could not be looked up: {0}")]
    Name(io::Error),
    #[error("its name has no address")]
    NoAddress,
    #[error("its address {0} is not public, and allow_private is not set")]
    Private(std::net::IpAddr),
    #[error("its address {0} is none that a receiver can have")]
    Forbidden(std::net::IpAddr),
    #[error("plain http goes only to this machine, and its address is {0}")]
    Plain(std::net::IpAddr),
    #[error("no connection: {0}")]
    Connect(io::Error),
    #[error("the connection failed: {0}")]
    Http(#[from] hyper::Error),
    #[error("the request cannot be made: {0}")]
    Request(#[from] http::Error),
    #[error("it did not answer in {} s", .0.as_secs_f64())]
    Timeout(Duration),
}

impl PostError {
    /// Whether trying again helps nothing until somebody changes something.
    pub(super) fn stays(&self) -> bool {
        matches!(self, Self::Private(_) | Self::Forbidden(_) | Self::Plain(_) | Self::Request(_))
    }
}

/// What a receiver said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// What it asks to wait.
    pub(super) retry_after: Option<Duration>,
}

/// A receiver and the connection to it, which is kept between messages.
pub(super) struct Receiver {
    host: String,
    port: u16,
    authority: HeaderValue,
    path: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    allow_private: bool,
    kept: Option<Kept>,
}

/// A connection and the task that drives it.
type Kept = (SendRequest<Full<Bytes>>, AbortOnDropHandle<()>);

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiver").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

impl Receiver {
    /// Reads the URL, and for https the certificates that this machine trusts.
    pub(super) fn new(webhook: &Webhook) -> Result<Self, BadReceiver> {
        let uri: Uri = webhook.url.parse().map_err(|_| BadReceiver::Url)?;
        let authority = uri.authority().ok_or(BadReceiver::Url)?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(BadReceiver::Url),
        };
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let tls = if secure {
            let name = ServerName::try_from(host.clone()).map_err(|_| BadReceiver::Url)?;
            Some((TlsConnector::from(Arc::new(trust().map_err(BadReceiver::Trust)?)), name))
        } else {
            None
        };
        Ok(Self {
            port: authority.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            authority: HeaderValue::from_str(authority.as_str()).map_err(|_| BadReceiver::Url)?,
            path: uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
            host,
            tls,
            allow_private: webhook.allow_private,
            kept: None,
        })
    }

    /// Sends and reads what comes back, all within `timeout`.
    pub(super) async fn post(&mut self, headers: HeaderMap, body: Bytes, timeout: Duration) -> Result<Answer, PostError> {
        let mut request = Request::post(self.path.as_str()).header(header::HOST, &self.authority).body(Full::new(body))?;
        request.headers_mut().extend(headers);
        // Taken out, so that a connection in an unknown state is never used again.
        let kept = self.kept.take();
        match tokio::time::timeout(timeout, self.exchange(kept, request)).await {
            Ok(Ok((answer, kept))) => {
                self.kept = kept;
                Ok(answer)
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(PostError::Timeout(timeout)),
        }
    }

    async fn exchange(&self, kept: Option<Kept>, request: Request<Full<Bytes>>) -> Result<(Answer, Option<Kept>), PostError> {
        let alive = match kept {
            Some(mut kept) => kept.0.ready().await.is_ok().then_some(kept),
            None => None,
        };
        let mut kept = match alive {
            Some(kept) => kept,
            None => self.connect().await?,
        };
        let answer = kept.0.send_request(request).await?;
        let asked = answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let said = Answer { status: answer.status(), retry_after: asked.and_then(|text| retry_after(text, SystemTime::now())) };
        // The body says nothing to us; it is read so that the connection can be kept, and given up when it is long or slow.
        let read = Limited::new(answer.into_body(), MAX_ANSWER).collect();
        let whole = tokio::time::timeout(Duration::from_secs(1), read).await.is_ok_and(|read| read.is_ok());
        Ok((said, whole.then_some(kept)))
    }

    async fn connect(&self) -> Result<Kept, PostError> {
        let tcp = self.dial().await?;
        match &self.tls {
            Some((connector, name)) => {
                let tls = connector.connect(name.clone(), tcp).await.map_err(PostError::Connect)?;
                begin(tls).await
            }
            None => begin(tcp).await,
        }
    }

    async fn dial(&self) -> Result<TcpStream, PostError> {
        let addresses = tokio::net::lookup_host((self.host.as_str(), self.port)).await.map_err(PostError::Name)?;
        let mut last = PostError::NoAddress;
        for address in addresses.take(8) {
            match self.dial_one(address).await {
                Ok(tcp) => return Ok(tcp),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Nothing is sent to an address that is refused, not even a first packet; the socket is asked again.
    async fn dial_one(&self, address: SocketAddr) -> Result<TcpStream, PostError> {
        self.allowed(address)?;
        let late = |_| PostError::Connect(io::ErrorKind::TimedOut.into());
        let tcp = tokio::time::timeout(CONNECT, TcpStream::connect(address)).await.map_err(late)?.map_err(PostError::Connect)?;
        self.allowed(tcp.peer_addr().map_err(PostError::Connect)?)?;
        tcp.set_nodelay(true).map_err(PostError::Connect)?;
        Ok(tcp)
    }

    fn allowed(&self, address: SocketAddr) -> Result<(), PostError> {
        let ip = address.ip();
        match class(ip) {
            Class::Never => Err(PostError::Forbidden(ip)),
            Class::Loopback | Class::Private if !self.allow_private => Err(PostError::Private(ip)),
            Class::Private | Class::Public if self.tls.is_none() => Err(PostError::Plain(ip)),
            _ => Ok(()),
        }
    }
}

fn trust() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = config.with_platform_verifier()?.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

async fn begin(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Kept, PostError> {
    let (sender, connection) = http1::Builder::new().max_buf_size(MAX_ANSWER).max_headers(64).handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to a receiver ended");
        }
    });
    Ok((sender, AbortOnDropHandle::new(driver)))
}
