//! OpenSSH certificates: what ours look like, and which of the client's count. One verifier: a certificate counts only if its
//! signing key is our user CA's, byte for byte, before anything else in it is looked at. (PROTOCOL.certkeys of OpenSSH.)

use std::time::Duration;

use access::time::Timestamp;
use russh::keys::ssh_key::certificate::{Builder, CertType};
use russh::keys::{Certificate, PrivateKey, PublicKey};

use super::ask::SignError;
use super::people::VerifiedUser;

/// Host certificates live this long and are signed anew well before.
pub(crate) const HOST_LIFE: Duration = Duration::from_secs(86_400);
/// Clocks of laptops run behind.
const BACKDATE: Duration = Duration::from_secs(60);
/// Extensions of a user certificate; OpenSSH clients such as editors look for them. They permit nothing here.
const EXTENSIONS: [&str; 4] = ["permit-agent-forwarding", "permit-port-forwarding", "permit-pty", "permit-user-rc"];

/// The operating system's random numbers in the shape that ssh-key wants.
pub(crate) fn rng() -> impl russh::keys::ssh_key::rand_core::CryptoRng {
    rand::rand_core::UnwrapErr(rand::rngs::SysRng)
}

fn unix(at: Timestamp) -> u64 {
    u64::try_from(at.as_secs()).unwrap_or(0)
}

pub(super) fn sign_user(
    ca: &PrivateKey,
    user: &VerifiedUser,
    key: &PublicKey,
    now: Timestamp,
    until: Timestamp,
) -> Result<Certificate, SignError> {
    let build = || -> Result<Certificate, russh::keys::ssh_key::Error> {
        let mut builder = Builder::new_with_random_nonce(&mut rng(), key.key_data().clone(), unix(now.minus(BACKDATE)), unix(until))?;
        builder.serial(user.sign_in())?;
        builder.key_id(user.identity().name.as_str())?;
        builder.cert_type(CertType::User)?;
        builder.valid_principal(user.identity().user.principal())?;
        for extension in EXTENSIONS {
            builder.extension(extension, "")?;
        }
        builder.sign(ca)
    };
    build().map_err(SignError::of)
}

pub(super) fn sign_host(ca: &PrivateKey, key: &PublicKey, names: &[String], now: Timestamp) -> Result<Certificate, SignError> {
    let build = || -> Result<Certificate, russh::keys::ssh_key::Error> {
        let until = unix(now.plus(HOST_LIFE));
        let mut builder = Builder::new_with_random_nonce(&mut rng(), key.key_data().clone(), unix(now.minus(BACKDATE)), until)?;
        builder.key_id(names.first().map(String::as_str).unwrap_or_default())?;
        builder.cert_type(CertType::Host)?;
        for name in names {
            builder.valid_principal(name.as_str())?;
        }
        builder.sign(ca)
    };
    build().map_err(SignError::of)
}

/// What a certificate says after it was believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SshClaim {
    /// The handle: where to look the person up.
    pub(crate) name: String,
    /// Must be the person's.
    pub(crate) principal: String,
    /// The sign-in behind it.
    pub(crate) sign_in: u64,
}

impl SshClaim {
    /// The certificate's serial, as `cert.issued` tells it.
    pub(crate) fn serial(&self) -> String {
        format!("{:016x}", self.sign_in)
    }
}

/// Why a certificate does not count. The client is told nothing but "Permission denied"; the log has this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CertificateError {
    #[error("it is not signed by this install's user CA")]
    OtherCa,
    #[error("it is not a user certificate")]
    NotUser,
    #[error("it has a critical option that this proxy does not know")]
    CriticalOption,
    #[error("it does not name exactly one principal of Naru")]
    Principals,
    #[error("it is not valid now")]
    NotNow,
    #[error("its signature does not fit")]
    BadSignature,
}

/// Believes a certificate whose key finished the authentication (russh has checked possession).
pub(crate) fn believe(certificate: &Certificate, ca: &PublicKey, now: Timestamp) -> Result<SshClaim, CertificateError> {
    if certificate.signature_key() != ca.key_data() {
        return Err(CertificateError::OtherCa);
    }
    certificate.verify_signature().map_err(|_| CertificateError::BadSignature)?;
    if certificate.cert_type() != CertType::User {
        return Err(CertificateError::NotUser);
    }
    if !certificate.critical_options().is_empty() {
        return Err(CertificateError::CriticalOption);
    }
    let now = unix(now);
    if now < certificate.valid_after() || now >= certificate.valid_before() {
        return Err(CertificateError::NotNow);
    }
    match certificate.valid_principals() {
        [principal] if principal.starts_with("naru:") => {
            Ok(SshClaim { name: certificate.key_id().to_owned(), principal: principal.clone(), sign_in: certificate.serial() })
        }
        _ => Err(CertificateError::Principals),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use russh::keys::Algorithm;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn key() -> PrivateKey {
        PrivateKey::random(&mut rng(), Algorithm::Ed25519).expect("key")
    }

    type Edit = fn(&mut Builder);

    fn certificate(ca: &PrivateKey, after: u64, before: u64, kind: CertType, edit: Edit) -> Certificate {
        let mut builder =
            Builder::new_with_random_nonce(&mut rng(), key().public_key().key_data().clone(), after, before).expect("builder");
        builder.cert_type(kind).expect("type");
        builder.key_id("alice").expect("id");
        edit(&mut builder);
        builder.sign(ca).expect("signs")
    }

    #[test]
    fn only_our_user_certificates_count_and_only_now() {
        let (ca, other) = (key(), key());
        let now = unix(NOW);
        let one: Edit = |b| _ = b.valid_principal("naru:aa").expect("principal");
        let two: Edit = |b| _ = b.valid_principal("naru:aa").expect("principal").valid_principal("root").expect("principal");
        let stock: Edit = |b| _ = b.valid_principal("root").expect("principal");
        let option: Edit = |b| {
            b.valid_principal("naru:aa").expect("principal").critical_option("force-command", "x").expect("option");
        };
        let all: Edit = |b| _ = b.all_principals_valid().expect("all");
        let user = CertType::User;
        let table = [
            (certificate(&ca, now - 5, now + 5, user, one), Ok("alice")),
            (certificate(&other, now - 5, now + 5, user, one), Err(CertificateError::OtherCa)),
            (certificate(&ca, now - 5, now + 5, CertType::Host, one), Err(CertificateError::NotUser)),
            (certificate(&ca, now - 5, now, user, one), Err(CertificateError::NotNow)),
            (certificate(&ca, now + 1, now + 5, user, one), Err(CertificateError::NotNow)),
            (certificate(&ca, now - 5, now + 5, user, two), Err(CertificateError::Principals)),
            (certificate(&ca, now - 5, now + 5, user, stock), Err(CertificateError::Principals)),
            (certificate(&ca, now - 5, now + 5, user, all), Err(CertificateError::Principals)),
            (certificate(&ca, now - 5, now + 5, user, option), Err(CertificateError::CriticalOption)),
        ];
        for (i, (certificate, wanted)) in table.into_iter().enumerate() {
            let got = believe(&certificate, ca.public_key(), NOW).map(|claim| claim.name);
            assert_eq!(got, wanted.map(str::to_owned), "row {i}");
        }
    }
}
