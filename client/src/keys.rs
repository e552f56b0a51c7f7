//! The two key pairs of a sign-in, made on the laptop: Ed25519 for SSH, P-256 for TLS. No file, no network.

use aws_lc_rs::rand;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{Certificate, LineEnding, PrivateKey, PublicKey};
use zeroize::Zeroizing;

use crate::failure::Failure;

/// Fresh keys, as text in the formats that OpenSSH and TLS libraries read.
pub struct Keys {
    /// `-----BEGIN OPENSSH PRIVATE KEY-----`.
    pub ssh_private: Zeroizing<String>,
    /// One line, `ssh-ed25519 AAAA… naru`.
    pub ssh_public: String,
    /// PKCS#8 in PEM.
    pub tls_private: Zeroizing<String>,
    /// PKCS#10 in PEM, without any wish: the authority decides what the certificate says.
    pub csr: String,
}

impl Keys {
    /// Draws new keys.
    pub fn make() -> Result<Self, Failure> {
        let failed = |e: &dyn std::fmt::Display| Failure::new("NARU-C013", 1, "no key could be made").because(e);
        let mut seed = Zeroizing::new([0; 32]);
        rand::fill(seed.as_mut()).map_err(|e| failed(&e))?;
        let ssh = PrivateKey::new(KeypairData::from(Ed25519Keypair::from_seed(&seed)), "naru").map_err(|e| failed(&e))?;
        let tls = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|e| failed(&e))?;
        let csr = CertificateParams::default().serialize_request(&tls).and_then(|csr| csr.pem()).map_err(|e| failed(&e))?;
        Ok(Self {
            ssh_private: ssh.to_openssh(LineEnding::LF).map_err(|e| failed(&e))?,
            ssh_public: ssh.public_key().to_openssh().map_err(|e| failed(&e))?,
            tls_private: Zeroizing::new(tls.serialize_pem()),
            csr,
        })
    }
}

/// Reads one line of an OpenSSH public key and writes it again without its comment, so that nothing of a hostile answer is kept.
pub fn clean_public(line: &str) -> Option<String> {
    let mut key = PublicKey::from_openssh(line.trim()).ok()?;
    key.set_comment("");
    key.to_openssh().ok().map(|line| line.trim_end().to_owned())
}

/// Reads one line of an OpenSSH certificate for this public key and writes it again.
pub fn clean_certificate(line: &str, public: &str) -> Option<String> {
    let certificate = Certificate::from_openssh(line.trim()).ok()?;
    let ours = PublicKey::from_openssh(public.trim()).ok()?;
    (certificate.public_key() == ours.key_data()).then_some(())?;
    let text = certificate.to_openssh().ok()?;
    let mut words = text.split_ascii_whitespace();
    Some(format!("{} {}", words.next()?, words.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back_and_differ() {
        let (one, two) = (Keys::make().expect("keys"), Keys::make().expect("keys"));
        assert!(one.ssh_public.starts_with("ssh-ed25519 ") && one.ssh_public != two.ssh_public);
        let private = PrivateKey::from_openssh(one.ssh_private.as_str()).expect("reads back");
        assert_eq!(private.public_key().to_openssh().expect("text"), one.ssh_public);
        assert!(one.csr.starts_with("-----BEGIN CERTIFICATE REQUEST-----"));
    }

    #[test]
    fn a_hostile_comment_is_not_kept() {
        let keys = Keys::make().expect("keys");
        let bare = clean_public(&keys.ssh_public).expect("key");
        assert_eq!(bare.split(' ').count(), 2, "{bare}");
        assert_eq!(clean_public(&format!("{bare} x y")), Some(bare.clone()));
        let hostile = clean_public(&format!("{bare}\nHost *\n  ProxyCommand sh"));
        assert!(hostile.is_none_or(|key| key == bare));
        assert_eq!(clean_public("ssh-ed25519 AAAA"), None);
        assert_eq!(clean_certificate(&bare, &bare), None, "a key is no certificate");
    }
}
