//! Which certificate who is shown, over real handshakes; and that a change is for the connections after it.

use std::net::Ipv4Addr;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use wire::link::Pin;

use super::pair::tests::made;
use super::*;
use crate::clock;
use crate::listen::Rewind;
use crate::listen::tls::{Tls, clients_of};

/// Believes anything: what is shown is what is looked at.
#[derive(Debug)]
struct Anything;

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

pub(super) fn pair(names: &[&str]) -> Pair {
    let (chain, key) = made(names, clock::now());
    Pair::from_pem(chain.as_bytes(), key.as_bytes()).expect("a pair")
}

/// Certificates whose own one is for loopback, and that one's pin.
pub(super) fn certificates() -> (Arc<Certificates>, Pin) {
    let (ca, _) = made(&["ca"], clock::now());
    let own = pair(&["127.0.0.1", "naru.example.org"]);
    let pin = own.facts.pin;
    (Arc::new(Certificates::new(own, clients_of(&ca).expect("a CA"))), pin)
}

/// What a client that dials this name with these protocols is shown, and which protocol was selected.
async fn seen(certificates: &Arc<Certificates>, name: &str, offered: &[&[u8]]) -> Option<(Pin, Option<Vec<u8>>)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let to = listener.local_addr().expect("an address");
    let tls = Tls { certificates: certificates.clone(), install: "i1".parse().expect("an id") };
    let serving = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.expect("a client");
        tls.accept(Rewind::new(Vec::new(), socket)).await.map(drop)
    });
    let config = ClientConfig::builder().dangerous().with_custom_certificate_verifier(Arc::new(Anything));
    let mut config = config.with_no_client_auth();
    config.alpn_protocols = offered.iter().map(|one| one.to_vec()).collect();
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let socket = TcpStream::connect(to).await.expect("connected");
    let stream = TlsConnector::from(Arc::new(config)).connect(name, socket).await;
    let seen = stream.ok().map(|stream| {
        let (_, connection) = stream.get_ref();
        let leaf = connection.peer_certificates().and_then(|chain| chain.first()).expect("a certificate");
        (Pin::of_der(leaf), connection.alpn_protocol().map(<[u8]>::to_vec))
    });
    let _ = serving.await.expect("no panic");
    seen
}

async fn shown(certificates: &Arc<Certificates>, name: &str, offered: &[&[u8]]) -> Option<Pin> {
    seen(certificates, name, offered).await.map(|(pin, _)| pin)
}

const BROWSER: [&[u8]; 2] = [b"h2", b"http/1.1"];

#[tokio::test]
async fn browsers_are_shown_the_public_certificate_and_our_own_programs_that_of_our_ca() {
    let (certificates, own) = certificates();
    assert_eq!(shown(&certificates, "naru.example.org", &BROWSER).await, Some(own), "there is no other");
    let public = pair(&["naru.example.org", "*.wild.example.org"]);
    let pin = public.facts.pin;
    certificates.set_public(public);
    for name in ["naru.example.org", "NARU.example.org", "a.wild.example.org"] {
        assert_eq!(shown(&certificates, name, &BROWSER).await, Some(pin), "{name}");
        assert_eq!(shown(&certificates, name, &[]).await, Some(pin), "{name}");
    }
    for offered in [&[wire::tunnel::ALPN][..], &[ALPN_SSH], &[b"http/1.1", wire::pinned::ALPN_OWN_CA]] {
        assert_eq!(shown(&certificates, "naru.example.org", offered).await, Some(own));
    }
    let program = seen(&certificates, "naru.example.org", &[b"http/1.1", wire::pinned::ALPN_OWN_CA]).await;
    assert_eq!(program, Some((own, Some(b"http/1.1".to_vec()))), "the mark itself is never selected");
    for name in ["other.example.org", "wild.example.org", "127.0.0.1", "::1"] {
        assert_eq!(shown(&certificates, name, &BROWSER).await, Some(own), "{name}");
    }
    // Who dials an address says none, so an address among the names is taken to be it.
    let public = pair(&["naru.example.org", "10.0.0.1"]);
    let pin = public.facts.pin;
    certificates.set_public(public);
    assert_eq!(shown(&certificates, "10.0.0.1", &BROWSER).await, Some(pin));
}

#[tokio::test]
async fn an_acme_server_is_answered_only_while_something_is_ordered() {
    let (certificates, own) = certificates();
    assert_eq!(shown(&certificates, "naru.example.org", &[ALPN_ACME]).await, None);
    let proof = super::acme::order::proof("naru.example.org", &[7; 32]).expect("a proof");
    let pin = Pin::of_der(&proof.cert[0]);
    let answer = certificates.challenge("naru.example.org", proof);
    let seen_by_acme = seen(&certificates, "naru.example.org", &[ALPN_ACME]).await;
    assert_eq!(seen_by_acme, Some((pin, Some(ALPN_ACME.to_vec()))));
    assert_eq!(shown(&certificates, "other.example.org", &[ALPN_ACME]).await, None);
    assert_eq!(shown(&certificates, "127.0.0.1", &[ALPN_ACME]).await, None);
    // A browser is never shown a proof.
    assert_eq!(shown(&certificates, "naru.example.org", &[b"h2", ALPN_ACME]).await, Some(own));
    drop(answer);
    assert_eq!(shown(&certificates, "naru.example.org", &[ALPN_ACME]).await, None);
}

#[tokio::test]
async fn a_change_is_for_the_connections_after_it() {
    let (certificates, own) = certificates();
    let before = certificates.choose_for(Asks::OwnCa, None).expect("a choice");
    assert_eq!(before.pin, own.to_string());
    let new = pair(&["naru.example.org"]);
    let pin = new.facts.pin;
    certificates.set_own(new);
    let after = certificates.choose_for(Asks::OwnCa, None).expect("a choice");
    assert_eq!(after.pin, pin.to_string(), "what grants are bound to is what is shown");
    assert_eq!(shown(&certificates, "naru.example.org", &[wire::tunnel::ALPN]).await, Some(pin));
    // A handshake that had begun ends with what it began with.
    let _ = TlsAcceptor::from(before.config);
}

#[test]
fn what_is_offered_tells_who_asks() {
    let mark = wire::pinned::ALPN_OWN_CA;
    for (offered, who) in [
        (&[][..], Asks::Any),
        (&[b"h2".as_slice(), b"http/1.1"], Asks::Any),
        (&[ALPN_ACME], Asks::Challenge),
        (&[ALPN_ACME, b"h2"], Asks::Any),
        (&[ALPN_ACME, mark], Asks::OwnCa),
        (&[b"\xff", b"", b"http/1.1", mark], Asks::OwnCa),
    ] {
        assert_eq!(asks(offered.iter().copied()), who, "{offered:?}");
    }
}
