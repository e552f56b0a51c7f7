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

    /// Made with `ssh-keygen -s ca -I alice -n naru:abc -V +1h u.pub`.
    const PUBLIC: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEXmdxLZ/sTT90flGquZC/hLAZ18uNzTav4tVXjg+WWk";
    const CERTIFICATE: &str = "ssh-ed25519-cert-v01@openssh.com AAAAIHNzaC1lZDI1NTE5LWNlcnQtdjAxQG9wZW5zc2guY29tAAAAIL3qEoOSOKg/1Ps/VNNKYvc52y8Gmzq+QxJ2IXRBEmT8AAAAIEXmdxLZ/sTT90flGquZC/hLAZ18uNzTav4tVXjg+WWkAAAAAAAAAAAAAAABAAAABWFsaWNlAAAADAAAAAhuYXJ1OmFiYwAAAABrAWVMAAAAAGsBc7YAAAAAAAAAggAAABVwZXJtaXQtWDExLWZvcndhcmRpbmcAAAAAAAAAF3Blcm1pdC1hZ2VudC1mb3J3YXJkaW5nAAAAAAAAABZwZXJtaXQtcG9ydC1mb3J3YXJkaW5nAAAAAAAAAApwZXJtaXQtcHR5AAAAAAAAAA5wZXJtaXQtdXNlci1yYwAAAAAAAAAAAAAAMwAAAAtzc2gtZWQyNTUxOQAAACDiKJG3+cx6wTEFD3bVwS3cSxIAEPI1xoFslYeQJP7Q0gAAAFMAAAALc3NoLWVkMjU1MTkAAABA7BnAulOXlVM2LakxyUewbCX15zO0aGMffm0TWjOni9CjQ/AYmV2LleZmkQKv953RzJh7ZVXYGnrCs0xKYHCADQ==";

    #[test]
    fn a_certificate_is_kept_for_its_own_key_only() {
        assert_eq!(clean_certificate(&format!("{CERTIFICATE} a comment\n"), PUBLIC).as_deref(), Some(CERTIFICATE));
        let other = Keys::make().expect("keys").ssh_public;
        assert_eq!(clean_certificate(CERTIFICATE, &other), None);
    }
}
