//! The X.509 side of the authority: certificates of people, agents and the proxy itself, and what a peer's certificate says.
//! rustls has verified chain, time and usage before [`peer`] is asked; the CSR gives only a public key, all else is ours.

use std::time::Duration;

use access::time::Timestamp;
use access::words::{AgentId, InstallId, UserName};
use rcgen::{
    CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose, SanType,
    SerialNumber,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::ask::SignError;
use super::keyring::Keyring;

/// Clocks of laptops and hosts run behind.
const BACKDATE: Duration = Duration::from_secs(60);
/// The proxy signs its own certificate anew at each start.
const SERVER_LIFE: Duration = Duration::from_secs(397 * 86_400);
/// Longest certificate request that is read.
const MAX_CSR: usize = 8 * 1024;

/// Whom a client certificate is for: the URI in its subject alternative name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A person's sign-in.
    User { name: UserName, sign_in: u64, serial: String },
    /// An agent.
    Agent { id: AgentId },
}

impl Subject {
    fn uri(&self, install: &InstallId) -> String {
        match self {
            Self::User { name, sign_in, .. } => format!("naru://{install}/user/{name}/{sign_in:016x}"),
            Self::Agent { id } => format!("naru://{install}/agent/{id}"),
        }
    }

    fn parse(uri: &str, install: &InstallId) -> Option<Self> {
        let rest = uri.strip_prefix("naru://")?.strip_prefix(install.as_str())?.strip_prefix('/')?;
        let mut parts = rest.split('/');
        let subject = match (parts.next()?, parts.next()?, parts.next()) {
            ("user", name, Some(id)) if id.len() == 16 => {
                Self::User { name: name.parse().ok()?, sign_in: u64::from_str_radix(id, 16).ok()?, serial: String::new() }
            }
            ("agent", id, None) => Self::Agent { id: id.parse().ok()? },
            _ => return None,
        };
        parts.next().is_none().then_some(subject)
    }
}

pub(super) fn at(time: Timestamp) -> time::OffsetDateTime {
    time::OffsetDateTime::from_unix_timestamp(time.as_secs()).unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
}

fn issuer(keys: &Keyring) -> Result<Issuer<'_, &KeyPair>, SignError> {
    Issuer::from_ca_cert_pem(&keys.ca_pem, &keys.ca_key).map_err(SignError::of)
}

fn serial() -> SerialNumber {
    let mut bytes = uuid::Uuid::new_v4().into_bytes();
    if let Some(first) = bytes.first_mut() {
        *first &= 0x7f; // positive in DER
    }
    SerialNumber::from_slice(&bytes)
}

/// Hash of the key that a certificate request is for; the request's own signature shows that the asker holds it.
pub(crate) fn csr_key_hash(csr_pem: &str) -> Option<String> {
    if csr_pem.len() > MAX_CSR {
        return None;
    }
    let csr = CertificateSigningRequestParams::from_pem(csr_pem).ok()?;
    Some(blake3::hash(rcgen::PublicKeyData::der_bytes(&csr.public_key)).to_hex().to_string())
}

pub(super) fn sign_client(keys: &Keyring, csr_pem: &str, subject: &Subject, now: Timestamp, until: Timestamp) -> Result<String, SignError> {
    if csr_pem.len() > MAX_CSR {
        return Err(SignError("the certificate request is too long".into()));
    }
    // Parsing verifies the request's own signature: the asker holds the key.
    let csr = CertificateSigningRequestParams::from_pem(csr_pem).map_err(SignError::of)?;
    let mut params = CertificateParams::default();
    let name = match subject {
        Subject::User { name, .. } => name.to_string(),
        Subject::Agent { id } => id.to_string(),
    };
    params.distinguished_name.push(DnType::CommonName, name);
    let uri = subject.uri(&keys.install).try_into().map_err(SignError::of)?;
    params.subject_alt_names = vec![SanType::URI(uri)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.serial_number = Some(serial());
    params.not_before = at(now.minus(BACKDATE));
    params.not_after = at(until);
    let certificate = params.signed_by(&csr.public_key, &issuer(keys)?).map_err(SignError::of)?;
    Ok(certificate.pem())
}

pub(super) fn sign_server(
    keys: &Keyring,
    names: &[String],
    key: &KeyPair,
    now: Timestamp,
) -> Result<Vec<CertificateDer<'static>>, SignError> {
    let mut params = CertificateParams::new(names.to_vec()).map_err(SignError::of)?;
    params.distinguished_name.push(DnType::CommonName, "Naru proxy");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.serial_number = Some(serial());
    params.not_before = at(now.minus(BACKDATE));
    params.not_after = at(now.plus(SERVER_LIFE));
    let certificate = params.signed_by(key, &issuer(keys)?).map_err(SignError::of)?;
    Ok(vec![certificate.der().clone(), ca_der(&keys.ca_pem)?])
}

/// The CA's certificate as DER.
pub(crate) fn ca_der(pem: &str) -> Result<CertificateDer<'static>, SignError> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(SignError::of)
}

/// Checks that certificate and key of the CA belong together.
pub(super) fn check_ca(pem: &str, key: &KeyPair) -> Result<(), String> {
    let der = ca_der(pem).map_err(|e| e.to_string())?;
    let (_, certificate) = X509Certificate::from_der(&der).map_err(|e| e.to_string())?;
    if certificate.public_key().subject_public_key.data.as_ref() == key.public_key_raw() {
        Ok(())
    } else {
        Err("certificate and key do not belong together".into())
    }
}

/// What a verified peer certificate says; `None` when it is not one of this install's.
pub(crate) fn peer(certificate: &CertificateDer<'_>, install: &InstallId) -> Option<Subject> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    match names.value.general_names.as_slice() {
        [GeneralName::URI(uri)] => Some(match Subject::parse(uri, install)? {
            Subject::User { name, sign_in, .. } => Subject::User { name, sign_in, serial: hex::encode(certificate.raw_serial()) },
            agent => agent,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_reads_back_and_nothing_else_does() {
        let install: InstallId = "i1".parse().expect("id");
        let user = Subject::User { name: "alice@corp".parse().expect("name"), sign_in: 7, serial: String::new() };
        let agent = Subject::Agent { id: "a-1".parse().expect("id") };
        for subject in [user, agent] {
            assert_eq!(Subject::parse(&subject.uri(&install), &install), Some(subject));
        }
        for bad in [
            "naru://i2/agent/a-1",
            "naru://i1x/agent/a-1",
            "naru://i1/agent/a-1/b",
            "naru://i1/user/alice",
            "naru://i1/user/alice/7",
            "naru://i1/user/alice/0000000000000007/x",
            "naru://i1/user/Alice/0000000000000007",
            "https://i1/agent/a-1",
        ] {
            assert_eq!(Subject::parse(bad, &install), None, "{bad}");
        }
    }
}
