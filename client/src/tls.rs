//! Whom the laptop believes over TLS: one pinned authority, never the system's list. No socket here.

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use wire::link::Pin;

use crate::failure::Failure;

/// For the first contact: believes a chain that ends in the authority with this pin.
pub fn pinned(pin: Pin) -> Result<ClientConfig, Failure> {
    wire::pinned::client_config(pin).map_err(broken)
}

/// For a server of which nothing is known yet: believes a chain that ends in an authority which the server itself shows, and remembers
/// that one. Good for one thing: to ask a person about it before anything is sent.
pub fn introducing() -> Result<(ClientConfig, Arc<Shown>), Failure> {
    let shown = Arc::new(Shown { pin: OnceLock::new() });
    // Trusts nothing; only its way of speaking is wanted.
    let mut config = pinned(Pin::of_der(&[]))?;
    config.dangerous().set_certificate_verifier(shown.clone());
    Ok((config, shown))
}

/// What a server has shown.
#[derive(Debug)]
pub struct Shown {
    pin: OnceLock<Pin>,
}

impl Shown {
    /// The authority of a chain that held.
    pub fn pin(&self) -> Option<Pin> {
        self.pin.get().copied()
    }

    fn signatures() -> Arc<dyn ServerCertVerifier> {
        wire::pinned::verifier(Pin::of_der(&[]))
    }
}

impl ServerCertVerifier for Shown {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let last = others.last().ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let pin = Pin::of_der(last);
        let verified = wire::pinned::verifier(pin).verify_server_cert(leaf, others, name, ocsp, now)?;
        let _ = self.pin.set(pin);
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Self::signatures().verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Self::signatures().verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        Self::signatures().supported_verify_schemes()
    }
}

/// For everything later: believes only this authority, and shows the certificate of the sign-in. `tls` is key and chain in PEM.
pub fn signed_in(ca: &str, tls: &str) -> Result<ClientConfig, Failure> {
    let damaged = |e: &dyn std::fmt::Display| Failure::not_signed_in("the files of this sign-in are damaged").because(e);
    let mut roots = RootCertStore::empty();
    for root in certificates(ca).map_err(|e| damaged(&e))? {
        roots.add(root).map_err(|e| damaged(&e))?;
    }
    let chain = certificates(tls).map_err(|e| damaged(&e))?;
    let key = PrivateKeyDer::from_pem_slice(tls.as_bytes()).map_err(|e| damaged(&e))?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(broken)?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(|e| damaged(&e))?;
    config.alpn_protocols = wire::pinned::http_alpn();
    Ok(config)
}

/// All certificates of a PEM text; at least one.
pub fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, rustls_pki_types::pem::Error> {
    let found = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>()?;
    if found.is_empty() { Err(rustls_pki_types::pem::Error::NoItemsFound) } else { Ok(found) }
}

fn broken(e: Error) -> Failure {
    Failure::new("NARU-T100", 1, "TLS cannot be set up").because(e)
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

    use super::*;

    struct Ca(CertifiedIssuer<'static, KeyPair>);

    impl Ca {
        fn make() -> Self {
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            Self(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("key")).expect("ca"))
        }
        fn leaf(&self, name: &str) -> CertificateDer<'static> {
            let params = CertificateParams::new(vec![name.to_owned()]).expect("name");
            params.signed_by(&KeyPair::generate().expect("key"), &self.0).expect("leaf").der().clone()
        }
        fn root(&self) -> CertificateDer<'static> {
            self.0.as_ref().der().clone()
        }
    }

    fn check(pin: Pin, leaf: &CertificateDer<'_>, others: &[CertificateDer<'_>], name: &str) -> bool {
        let verifier = wire::pinned::verifier(pin);
        let name = ServerName::try_from(name.to_owned()).expect("name");
        verifier.verify_server_cert(leaf, others, &name, &[], UnixTime::now()).is_ok()
    }

    #[test]
    fn only_a_chain_that_ends_in_the_pinned_authority_is_believed() {
        let (ours, other) = (Ca::make(), Ca::make());
        let pin = Pin::of_der(&ours.root());
        let leaf = ours.leaf("127.0.0.1");
        assert!(check(pin, &leaf, &[ours.root()], "127.0.0.1"));
        assert!(!check(pin, &leaf, &[ours.root()], "10.0.0.1"), "another name");
        assert!(!check(pin, &leaf, &[], "127.0.0.1"), "the authority is not shown");
        let forged = other.leaf("127.0.0.1");
        assert!(!check(pin, &forged, &[other.root()], "127.0.0.1"), "another authority");
        assert!(!check(pin, &forged, &[other.root(), ours.root()], "127.0.0.1"), "ours is shown but did not sign");
        assert!(!check(Pin::of_der(&forged), &forged, &[other.root()], "127.0.0.1"), "a pinned leaf is no authority");
    }
}
