//! TLS of the one port: our own CA's certificate, optional client certificates of the same CA, protocols told by ALPN.

use std::io;
use std::sync::Arc;

use access::words::InstallId;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{Arrived, Incoming, Rewind};
use crate::authority::tls::{Subject, ca_der, peer};

/// ALPN of SSH inside TLS.
const ALPN_SSH: &[u8] = b"naru-ssh/1";

/// Bytes read at once. Of a quiet connection only the first few of them ever take memory.
const READ_AHEAD: usize = 64 * 1024;

/// The acceptor, with what it needs to read a peer's certificate.
pub(crate) struct Tls {
    acceptor: TlsAcceptor,
    install: InstallId,
    /// The pin of our own certificate, to which grants are bound.
    pub(crate) own_pin: String,
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

impl Tls {
    /// With the proxy's chain and key; client certificates of `ca_pem` count.
    pub(crate) fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        ca_pem: &str,
        install: InstallId,
    ) -> Result<Self, TlsError> {
        let failed = |error: &dyn std::fmt::Display| TlsError(error.to_string());
        let own_pin = chain.first().map(|der| wire::link::Pin::of_der(der).to_string()).unwrap_or_default();
        let mut roots = RootCertStore::empty();
        roots.add(ca_der(ca_pem).map_err(|e| failed(&e))?).map_err(|e| failed(&e))?;
        let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).allow_unauthenticated().build().map_err(|e| failed(&e))?;
        let mut config =
            ServerConfig::builder().with_client_cert_verifier(verifier).with_single_cert(chain, key).map_err(|e| failed(&e))?;
        config.alpn_protocols = [wire::tunnel::ALPN, ALPN_SSH, b"h2", b"http/1.1"].map(<[u8]>::to_vec).to_vec();
        // A resumed TLS session would bring back a certificate that no longer counts; handshakes are cheap enough.
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), install, own_pin })
    }

    /// The handshake, and what ALPN and certificate together make of it.
    pub(super) async fn accept(&self, socket: Rewind<TcpStream>) -> io::Result<Told> {
        let mut stream = self.acceptor.accept(BufReader::with_capacity(READ_AHEAD, socket)).await?;
        let (_, connection) = stream.get_mut();
        connection.set_buffer_limit(Some(256 * 1024));
        let shown = connection.peer_certificates().and_then(|chain| chain.first());
        let subject = shown.map(|certificate| peer(certificate, &self.install));
        if subject == Some(None) {
            return Err(io::Error::other("a certificate of this CA that names nobody of this install"));
        }
        let subject = subject.flatten();
        match (connection.alpn_protocol(), subject) {
            (Some(wire::tunnel::ALPN), Some(Subject::Agent { id })) => Ok(Told::Other(Arrived::Tunnel { stream, agent: id })),
            (Some(wire::tunnel::ALPN), _) => Err(io::Error::other("a tunnel without an agent's certificate")),
            (Some(ALPN_SSH), _) => Ok(Told::Ssh(stream)),
            (_, subject) => Ok(Told::Other(Arrived::Http { stream, subject })),
        }
    }
}
