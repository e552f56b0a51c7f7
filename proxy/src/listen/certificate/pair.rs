//! A certificate with its key: read from PEM, and looked at before anybody is shown it. No file and no network here.

use std::sync::Arc;

use access::time::Timestamp;
use rustls::pki_types::ServerName;
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use wire::link::Pin;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Most certificates of a chain.
const MAX_CHAIN: usize = 16;
/// Most names that are told of a certificate.
const MAX_NAMES: usize = 100;

/// Why a certificate is not shown to anybody.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum PairError {
    #[error("there is no certificate in it, or one that cannot be read")]
    NoCertificate,
    #[error("it has more than {MAX_CHAIN} certificates")]
    LongChain,
    #[error("there is no private key in it, or one that cannot be read")]
    NoKey,
    #[error("the private key does not belong to the certificate")]
    KeyMismatch,
    #[error("the private key cannot be used: {0}")]
    BadKey(String),
    #[error("it is not for servers")]
    NotForServers,
    #[error("it has expired")]
    Expired,
    #[error("it is not valid yet by this machine's clock")]
    NotYet,
    #[error("it is not for {0}, which stands in `public`")]
    NotFor(String),
}

/// A chain, the key of its first certificate, and what that one says.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(super) certified: Arc<CertifiedKey>,
    pub(super) facts: Facts,
}

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    /// For whom it is, the first hundred.
    pub(super) names: Vec<String>,
    /// Whether an address is among the names.
    pub(super) has_address: bool,
    /// Hex.
    pub(super) serial: String,
    /// Hash of the certificate.
    pub(super) pin: Pin,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
}

impl Pair {
    /// Reads PEM texts; the key may be PKCS #8, PKCS #1 or SEC 1.
    pub(super) fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, PairError> {
        let chain: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(chain).take(MAX_CHAIN + 1).collect::<Result<_, _>>().map_err(|_| PairError::NoCertificate)?;
        // What the parser says of a key may quote it.
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| PairError::NoKey)?;
        Self::new(chain, key)
    }

    /// Checks that key and certificate belong together.
    pub(crate) fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Self, PairError> {
        if chain.len() > MAX_CHAIN {
            return Err(PairError::LongChain);
        }
        let facts = facts(chain.first().ok_or(PairError::NoCertificate)?)?;
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let certified = CertifiedKey::from_der(chain, key, &provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => PairError::KeyMismatch,
            rustls::Error::InvalidCertificate(_) => PairError::NoCertificate,
            other => PairError::BadKey(other.to_string()),
        })?;
        Ok(Self { certified: Arc::new(certified), facts })
    }

    /// Whether it can be shown at this time under these names.
    pub(super) fn check<'n>(&self, names: impl IntoIterator<Item = &'n String>, now: Timestamp) -> Result<(), PairError> {
        if now < self.facts.not_before {
            return Err(PairError::NotYet);
        }
        if now >= self.facts.not_after {
            return Err(PairError::Expired);
        }
        match names.into_iter().find(|name| !self.covers(name)) {
            Some(name) => Err(PairError::NotFor(name.clone())),
            None => Ok(()),
        }
    }

    /// Whether a client that asks for this name would take it; by the rules of clients, wildcards among them.
    pub(super) fn covers(&self, name: &str) -> bool {
        let (Some(leaf), Ok(name)) = (self.certified.cert.first(), ServerName::try_from(name)) else { return false };
        ParsedCertificate::try_from(leaf).is_ok_and(|leaf| rustls::client::verify_server_name(&leaf, &name).is_ok())
    }
}

impl Facts {
    /// From when on a new one is got: after two thirds of its life.
    pub(super) fn renew_at(&self) -> Timestamp {
        self.not_before.plus(self.not_after.since(self.not_before) / 3 * 2)
    }

    /// Whether it ends so soon that somebody has to look: in the last tenth of its life.
    pub(super) fn ends_soon(&self, now: Timestamp) -> bool {
        now >= self.not_before.plus(self.not_after.since(self.not_before) / 10 * 9)
    }
}

fn facts(leaf: &CertificateDer<'_>) -> Result<Facts, PairError> {
    let (_, parsed) = X509Certificate::from_der(leaf).map_err(|_| PairError::NoCertificate)?;
    let usage = parsed.extended_key_usage().map_err(|_| PairError::NoCertificate)?;
    if usage.is_some_and(|usage| !usage.value.server_auth && !usage.value.any) {
        return Err(PairError::NotForServers);
    }
    let alternative = parsed.subject_alternative_name().map_err(|_| PairError::NoCertificate)?;
    let all = alternative.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
    Ok(Facts {
        names: all.iter().filter_map(name_of).take(MAX_NAMES).collect(),
        has_address: all.iter().any(|name| matches!(name, GeneralName::IPAddress(_))),
        serial: hex::encode(parsed.raw_serial()),
        pin: Pin::of_der(leaf),
        not_before: Timestamp::from_secs(parsed.validity().not_before.timestamp()),
        not_after: Timestamp::from_secs(parsed.validity().not_after.timestamp()),
    })
}

fn name_of(name: &GeneralName<'_>) -> Option<String> {
    match name {
        // At most 253 bytes by RFC 1035; what a file says beside that is not repeated in the log.
        GeneralName::DNSName(text) => (text.len() <= 253).then(|| (*text).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let four = <[u8; 4]>::try_from(*bytes).map(std::net::IpAddr::from);
            four.or_else(|_| <[u8; 16]>::try_from(*bytes).map(std::net::IpAddr::from)).ok().map(|ip| ip.to_string())
        }
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair};

    use super::*;
    use crate::authority::tls::at;

    /// Certificate and key in PEM for these names from `from` for a day.
    pub(in crate::listen) fn made(names: &[&str], from: Timestamp) -> (String, String) {
        made_for(names, from, ExtendedKeyUsagePurpose::ServerAuth)
    }

    fn made_for(names: &[&str], from: Timestamp, usage: ExtendedKeyUsagePurpose) -> (String, String) {
        let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).expect("names");
        params.not_before = at(from);
        params.not_after = at(from.plus(Duration::from_secs(86_400)));
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().expect("a key");
        (params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
    }

    #[test]
    fn only_a_pair_that_clients_would_take_is_shown() {
        let now = Timestamp::from_secs(1_800_000_000);
        let wanted = ["naru.example.org".to_owned(), "a.wild.example.org".to_owned()];
        let (chain, key) = made(&["naru.example.org", "*.wild.example.org", "10.0.0.1"], now);
        let pair = Pair::from_pem(chain.as_bytes(), key.as_bytes()).expect("a pair");
        assert_eq!(pair.facts.names, ["naru.example.org", "*.wild.example.org", "10.0.0.1"]);
        assert!(pair.facts.has_address);
        assert_eq!(pair.facts.renew_at(), now.plus(Duration::from_secs(57_600)));
        assert!(
            !pair.facts.ends_soon(now.plus(Duration::from_secs(77_759))) && pair.facts.ends_soon(now.plus(Duration::from_secs(77_760)))
        );
        assert!(pair.check(&wanted, now).is_ok());
        assert!(matches!(pair.check(&wanted, now.minus(Duration::from_secs(1))), Err(PairError::NotYet)));
        assert!(matches!(pair.check(&wanted, now.plus(Duration::from_secs(86_400))), Err(PairError::Expired)));
        assert!(matches!(pair.check(&["x.org".to_owned()], now), Err(PairError::NotFor(name)) if name == "x.org"));
        let (_, other) = made(&["naru.example.org"], now);
        assert!(matches!(Pair::from_pem(chain.as_bytes(), other.as_bytes()), Err(PairError::KeyMismatch)));
        assert!(matches!(Pair::from_pem(b"", key.as_bytes()), Err(PairError::NoCertificate)));
        assert!(matches!(Pair::from_pem(key.as_bytes(), key.as_bytes()), Err(PairError::NoCertificate)));
        assert!(matches!(Pair::from_pem(chain.as_bytes(), chain.as_bytes()), Err(PairError::NoKey)));
        assert!(matches!(Pair::from_pem(chain.repeat(17).as_bytes(), key.as_bytes()), Err(PairError::LongChain)));
        let (chain, key) = made_for(&["naru.example.org"], now, ExtendedKeyUsagePurpose::ClientAuth);
        assert!(matches!(Pair::from_pem(chain.as_bytes(), key.as_bytes()), Err(PairError::NotForServers)));
    }
}
