//! TLS of the one port: a certificate by what the client asks for, optional client certificates of our own CA, protocols told by ALPN.

use std::io;
use std::sync::Arc;

use access::words::InstallId;
use rustls::RootCertStore;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{Acceptor, WebPkiClientVerifier};
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificate::{ALPN_ACME, Certificates};
use super::{Arrived, Incoming, Rewind};
use crate::authority::tls::{Subject, ca_der, peer};

/// ALPN of SSH inside TLS.
pub(super) const ALPN_SSH: &[u8] = b"naru-ssh/1";

/// Bytes read at once. Of a quiet connection only the first few of them ever take memory.
const READ_AHEAD: usize = 64 * 1024;

/// The certificates, and what it takes to read a peer's.
pub(crate) struct Tls {
    pub(crate) certificates: Arc<Certificates>,
    pub(crate) install: InstallId,
}

/// What ALPN said.
pub(super) enum Told {
    /// SSH inside TLS: its first bytes may be a preface.
    Ssh(TlsStream<Incoming>),
    /// Something that needs no further look.
    Other(Arrived),
}

/// TLS could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("TLS could not be set up: {0}")]
pub struct TlsError(String);

/// Believes the client certificates of this CA, and lets those in who show none.
pub(crate) fn clients_of(ca_pem: &str) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let failed = |error: &dyn std::fmt::Display| TlsError(error.to_string());
    let mut roots = RootCertStore::empty();
    roots.add(ca_der(ca_pem).map_err(|e| failed(&e))?).map_err(|e| failed(&e))?;
    WebPkiClientVerifier::builder(Arc::new(roots)).allow_unauthenticated().build().map_err(|e| failed(&e))
}

impl Tls {
    /// The handshake, and what ALPN and certificate together make of it.
    pub(super) async fn accept(&self, socket: Rewind<TcpStream>) -> io::Result<Told> {
        let asked = LazyConfigAcceptor::new(Acceptor::default(), BufReader::with_capacity(READ_AHEAD, socket)).await?;
        let shown = self.certificates.choose(&asked.client_hello());
        let shown = shown.ok_or_else(|| io::Error::other("an ACME server asked for what nobody ordered"))?;
        let mut stream = asked.into_stream(shown.config).await?;
        let (_, connection) = stream.get_mut();
        connection.set_buffer_limit(Some(256 * 1024));
        let certificate = connection.peer_certificates().and_then(|chain| chain.first());
        let subject = certificate.map(|certificate| peer(certificate, &self.install));
        if subject == Some(None) {
            return Err(io::Error::other("a certificate of this CA that names nobody of this install"));
        }
        let subject = subject.flatten();
        match (connection.alpn_protocol(), subject) {
            (Some(wire::tunnel::ALPN), Some(Subject::Agent { id })) => {
                Ok(Told::Other(Arrived::Tunnel { stream, agent: id, pin: shown.pin }))
            }
            (Some(wire::tunnel::ALPN), _) => Err(io::Error::other("a tunnel without an agent's certificate")),
            (Some(ALPN_SSH), _) => Ok(Told::Ssh(stream)),
            (Some(ALPN_ACME), _) => Err(io::Error::other("an ACME server was answered: nothing follows")),
            (_, subject) => Ok(Told::Other(Arrived::Http { stream, subject })),
        }
    }
}
