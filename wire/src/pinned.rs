//! Trust by pin, for the first contact: a TLS chain counts only if it ends in the CA whose pin is known, and is valid for the name
//! under that CA. No socket here; rustls asks with the peer's chain and the time.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::link::Pin;

/// Offered beside the protocols that are meant, by whoever believes Naru's CA and no other: a server that has a certificate for browsers
/// too then shows that of its CA. No server ever selects it.
pub const ALPN_OWN_CA: &[u8] = b"naru-ca/1";

/// What our own programs offer for HTTP.
pub fn http_alpn() -> Vec<Vec<u8>> {
    vec![b"http/1.1".to_vec(), ALPN_OWN_CA.to_vec()]
}

/// TLS 1.3 that trusts the pinned CA alone, speaking HTTP/1.1.
pub fn client_config(pin: Pin) -> Result<ClientConfig, Error> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier(pin))
        .with_no_client_auth();
    config.alpn_protocols = http_alpn();
    Ok(config)
}

/// Finds the pinned CA among the certificates that the server shows, then checks chain, time and name against it alone.
pub fn verifier(pin: Pin) -> Arc<dyn ServerCertVerifier> {
    Arc::new(PinnedCa { pin, provider: Arc::new(aws_lc_rs::default_provider()) })
}

/// The pin of the first certificate of a PEM text.
pub fn pin_of_pem(pem: &str) -> Option<Pin> {
    CertificateDer::from_pem_slice(pem.as_bytes()).ok().map(|der| Pin::of_der(&der))
}

#[derive(Debug)]
struct PinnedCa {
    pin: Pin,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedCa {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let ca = intermediates.iter().find(|der| Pin::of_der(der) == self.pin);
        let ca = ca.ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone().into_owned())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .build()
            .map_err(|_| Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
