//! One request to a provider: no redirect, no compression, its own certificates, perhaps through a CONNECT proxy; time and size are
//! bounded, and plain http goes to this machine only. Nothing here knows what is said.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use access::connector::ProviderSpec;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, Uri, header};
use http_body_util::{BodyExt as _, Empty, Full, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use crate::address::{Class, class};

/// For one request, from the name's look-up to the last byte.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A part of it for one address, so that a dead one leaves time for the next.
const CONNECT: Duration = Duration::from_secs(3);
/// Most bytes of an answer's body.
const MAX_BODY: usize = 1024 * 1024;
/// Most bytes of its head.
const MAX_HEAD: usize = 64 * 1024;

/// Why a provider did not answer.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub(crate) enum WebError {
    #[error("its address is none that can be asked")]
    Uri,
    #[error("plain http goes only to this machine")]
    Plain,
    #[error("its address {0} is none that a provider can have")]
    Forbidden(IpAddr),
    #[error("its name cannot be looked up: {0}")]
    Name(io::Error),
    #[error("its name has no address")]
    NoAddress,
    #[error("no connection: {0}")]
    Connect(io::Error),
    #[error("its certificate is not trusted: {0}")]
    Tls(String),
    #[error("the proxy on the way to it refused: {0}")]
    Proxy(String),
    #[error("the connection failed: {0}")]
    Http(String),
    #[error("its answer is longer than {MAX_BODY} bytes")]
    TooLong,
    #[error("it answered {0}")]
    Status(u16),
    #[error("its answer is compressed, which was not asked for")]
    Compressed,
    #[error("our own key for it cannot be used: {0}")]
    Assertion(String),
    #[error("it did not answer in {} s", TIMEOUT.as_secs())]
    Timeout,
}

impl WebError {
    /// Whether it is about certificates.
    pub(super) fn is_trust(&self) -> bool {
        matches!(self, Self::Tls(_))
    }
}

/// A provider that can never be asked as it is declared.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadProvider(String);

/// The way to one provider.
#[derive(Clone)]
pub(crate) struct Web {
    tls: TlsConnector,
    /// Host and port of a CONNECT proxy.
    through: Option<(String, u16)>,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Web {
    /// Reads the certificates and the proxy's address.
    pub(crate) fn new(spec: &ProviderSpec) -> Result<Self, BadProvider> {
        let through = spec.proxy.as_deref().map(proxy_at).transpose()?;
        Ok(Self { tls: TlsConnector::from(Arc::new(trust(spec.ca.as_deref())?)), through })
    }

    /// To a server that is no identity provider: believes these authorities, PEM, or those of this system.
    pub(crate) fn trusting(ca: Option<&str>) -> Result<Self, BadProvider> {
        Ok(Self { tls: TlsConnector::from(Arc::new(trust(ca)?)), through: None })
    }

    /// Asks once.
    pub(crate) async fn ask(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, WebError> {
        tokio::time::timeout(TIMEOUT, self.exchange(request)).await.map_err(|_| WebError::Timeout)?
    }

    /// Asks once with GET for JSON.
    pub(crate) async fn get(&self, url: &str) -> Result<Response<Vec<u8>>, WebError> {
        let request = Request::get(url).header(header::ACCEPT, "application/json").body(Vec::new()).map_err(|_| WebError::Uri)?;
        self.ask(request).await
    }

    async fn exchange(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, WebError> {
        let (mut head, body) = request.into_parts();
        let secure = match head.uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(WebError::Uri),
        };
        let authority = head.uri.authority().ok_or(WebError::Uri)?.clone();
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let plain: Box<dyn Stream> = match &self.through {
            Some((proxy, at)) if secure => Box::new(tunnel(dial(proxy, *at, true).await?, &host, port).await?),
            _ => Box::new(dial(&host, port, secure).await?),
        };
        let stream: Box<dyn Stream> = if secure {
            let name = ServerName::try_from(host).map_err(|_| WebError::Uri)?;
            Box::new(self.tls.connect(name, plain).await.map_err(|error| tls_error(&error))?)
        } else {
            plain
        };
        head.headers.insert(header::HOST, HeaderValue::from_str(authority.as_str()).map_err(|_| WebError::Uri)?);
        head.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        let path = head.uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
        head.uri = path.parse().map_err(|_| WebError::Uri)?;
        let http = |error: hyper::Error| WebError::Http(wire::plain::words(&io::Error::other(error)));
        let builder = |stream| http1::Builder::new().max_buf_size(MAX_HEAD).max_headers(100).handshake(TokioIo::new(stream));
        let (mut sender, connection) = builder(stream).await.map_err(http)?;
        let _driver = AbortOnDropHandle::new(tokio::spawn(async move {
            // What went wrong is told where the answer is awaited.
            let _ = connection.await;
        }));
        let answer = sender.send_request(Request::from_parts(head, Full::new(Bytes::from(body)))).await.map_err(http)?;
        let (head, body) = answer.into_parts();
        if head.headers.contains_key(header::CONTENT_ENCODING) {
            return Err(WebError::Compressed);
        }
        let body = Limited::new(body, MAX_BODY).collect().await.map_err(|error| match error.downcast::<LengthLimitError>() {
            Ok(_) => WebError::TooLong,
            Err(error) => WebError::Http(wire::plain::words(&io::Error::other(error))),
        })?;
        Ok(Response::from_parts(head, body.to_bytes().to_vec()))
    }
}

/// Tries each address; nothing is sent to one that is refused.
async fn dial(host: &str, port: u16, anywhere: bool) -> Result<TcpStream, WebError> {
    let addresses = tokio::net::lookup_host((host, port)).await.map_err(WebError::Name)?;
    let mut last = WebError::NoAddress;
    for address in addresses.take(8) {
        last = match class(address.ip()) {
            Class::Never => WebError::Forbidden(address.ip()),
            Class::Private | Class::Public if !anywhere => WebError::Plain,
            _ => match tokio::time::timeout(CONNECT, TcpStream::connect(address)).await {
                Ok(Ok(tcp)) => {
                    tcp.set_nodelay(true).map_err(WebError::Connect)?;
                    return Ok(tcp);
                }
                Ok(Err(error)) => WebError::Connect(error),
                Err(_) => WebError::Connect(io::ErrorKind::TimedOut.into()),
            },
        };
    }
    Err(last)
}

/// A way through a proxy (RFC 9110 section 9.3.6).
async fn tunnel(tcp: TcpStream, host: &str, port: u16) -> Result<impl Stream + use<>, WebError> {
    let refused = |error: hyper::Error| WebError::Proxy(wire::plain::words(&io::Error::other(error)));
    let (mut sender, connection) = http1::Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(tcp)).await.map_err(refused)?;
    // It ends when the upgraded stream is dropped.
    tokio::spawn(async move {
        let _ = connection.with_upgrades().await;
    });
    let to = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let uri: Uri = to.parse().map_err(|_| WebError::Uri)?;
    let request = Request::builder().method(Method::CONNECT).uri(uri).header(header::HOST, &to).body(Empty::<Bytes>::new());
    let answer = sender.send_request(request.map_err(|_| WebError::Uri)?).await.map_err(refused)?;
    if !answer.status().is_success() {
        return Err(WebError::Proxy(format!("it answered {}", answer.status())));
    }
    hyper::upgrade::on(answer).await.map(TokioIo::new).map_err(refused)
}

fn proxy_at(text: &str) -> Result<(String, u16), BadProvider> {
    let bad = || BadProvider(format!("{text:?} is no address of a proxy: write http://host:port"));
    let uri: Uri = text.parse().map_err(|_| bad())?;
    let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http")).ok_or_else(bad)?;
    Ok((authority.host().trim_matches(['[', ']']).to_owned(), authority.port_u16().ok_or_else(bad)?))
}

fn trust(ca: Option<&str>) -> Result<ClientConfig, BadProvider> {
    let bad = |why: &dyn std::fmt::Display| BadProvider(format!("the provider's certificates cannot be used: {why}"));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(|error| bad(&error))?;
    let mut config = match ca {
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            for der in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                roots.add(der.map_err(|error| bad(&error))?).map_err(|error| bad(&error))?;
            }
            if roots.is_empty() {
                return Err(bad(&"there is none in `ca`"));
            }
            config.with_root_certificates(roots).with_no_client_auth()
        }
        None => config.with_platform_verifier().map_err(|error| bad(&error))?.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn tls_error(error: &io::Error) -> WebError {
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidCertificate(why)) => WebError::Tls(why.to_string()),
        Some(other) => WebError::Http(format!("TLS failed: {other}")),
        None => WebError::Connect(io::Error::new(error.kind(), wire::plain::words(error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    /// A provider behind TLS that answers one request, and its certificate.
    async fn provider() -> (u16, String) {
        let made = rcgen::generate_simple_self_signed(["idp.example".to_owned()]).expect("a certificate");
        let (pem, der) = (made.cert.pem(), made.cert.der().clone());
        let key = rustls_pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
        let config = config.with_no_client_auth().with_single_cert(vec![der], key).expect("a config");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let Ok(mut tls) = tokio_rustls::TlsAcceptor::from(Arc::new(config.clone())).accept(tcp).await else { continue };
                let mut head = [0; 4096];
                let _ = tls.read(&mut head).await;
                let _ = tls.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await;
                let _ = tls.shutdown().await;
            }
        });
        (port, pem)
    }

    /// A CONNECT proxy that leads every name to one port, or refuses; answers what it was asked.
    async fn proxy(to: Option<u16>) -> (u16, tokio::sync::mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (told, asked) = tokio::sync::mpsc::channel(8);
        tokio::spawn(async move {
            while let Ok((mut tcp, _)) = listener.accept().await {
                let mut head = vec![0; 4096];
                let read = tcp.read(&mut head).await.unwrap_or(0);
                let line = String::from_utf8_lossy(&head[..read]).lines().next().unwrap_or_default().to_owned();
                let _ = told.send(line).await;
                let Some(to) = to else {
                    let _ = tcp.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await;
                    continue;
                };
                let _ = tcp.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
                let mut far = TcpStream::connect(("127.0.0.1", to)).await.expect("the provider");
                let _ = tokio::io::copy_bidirectional(&mut tcp, &mut far).await;
            }
        });
        (port, asked)
    }

    fn spec(ca: &str, proxy: u16) -> ProviderSpec {
        ProviderSpec { ca: Some(ca.to_owned()), proxy: Some(format!("http://127.0.0.1:{proxy}")), ..ProviderSpec::default() }
    }

    #[tokio::test]
    async fn a_provider_is_reached_through_a_proxy_and_believed_by_its_own_certificates_only() {
        let (port, pem) = provider().await;
        let (through, mut asked) = proxy(Some(port)).await;
        let web = Web::new(&spec(&pem, through)).expect("a way");
        let answer = web.get("https://idp.example/x").await.expect("an answer");
        assert_eq!((answer.status().as_u16(), answer.body().as_slice()), (200, &b"hi"[..]));
        assert_eq!(asked.recv().await.as_deref(), Some("CONNECT idp.example:443 HTTP/1.1"), "its name is for the proxy to look up");
        // Another name, and another authority.
        assert!(matches!(web.get("https://other.example/x").await, Err(WebError::Tls(_))));
        let (_, stranger) = provider().await;
        let web = Web::new(&spec(&stranger, through)).expect("a way");
        assert!(matches!(web.get("https://idp.example/x").await, Err(WebError::Tls(_))));
        let (closed, _asked) = proxy(None).await;
        let web = Web::new(&spec(&pem, closed)).expect("a way");
        assert!(matches!(web.get("https://idp.example/x").await, Err(WebError::Proxy(_))));
    }
}
