//! The key files of an install: made at the first start, read at each later one, never handed out but into a backup.

use std::path::{Path, PathBuf};

use access::words::InstallId;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use jsonwebtoken::EncodingKey;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose};
use russh::keys::PrivateKey;
use russh::keys::ssh_key::LineEnding;
use store::state::{self, SecretError};
use wire::proof::{MemoryKey, PublicKey, Sign as _};
use zeroize::Zeroizing;

use super::tls;

/// Why the keys of an install cannot be used. The start stops with this.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file itself.
    #[error(transparent)]
    File(#[from] SecretError),
    /// Its content.
    #[error(
        "the key file {path} is damaged or half written: {why}. Restore it from a backup; a new key would orphan everything that the old one signed"
    )]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Some are there and some are not.
    #[error("the key file {0} is missing while others exist. Restore it from a backup")]
    Missing(PathBuf),
    /// Making one failed.
    #[error("a key could not be made: {0}")]
    Make(String),
}

/// All keys of the authority. Fields are private to this room; [`super::ask`] answers questions with them.
pub(crate) struct Keyring {
    pub(super) install: InstallId,
    pub(super) ssh_user: PrivateKey,
    pub(super) ssh_host: PrivateKey,
    /// The key that this proxy shows to SSH clients; certificates of it are signed by `ssh_host`.
    pub(super) host_key: PrivateKey,
    pub(super) ca_key: KeyPair,
    pub(super) ca_jwt: EncodingKey,
    pub(super) ca_pem: String,
    pub(super) grant: EncodingKey,
    pub(super) grant_public: String,
    pub(super) checkpoint: MemoryKey,
    /// What secrets of others are sealed with in the store: 32 bytes.
    pub(super) secrets: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyring").field("install", &self.install).finish_non_exhaustive()
    }
}

const FILES: [&str; 7] = ["ssh-user-ca", "ssh-host-ca", "ssh-host-key", "x509-ca.key", "x509-ca.crt", "grant.key", "checkpoint.key"];
/// Installs from before identity providers have none; without it nothing that others believe is lost, only what was sealed with it.
const SECRETS: &str = "secrets.key";

impl Keyring {
    /// Reads the keys below `dir`, or makes all of them when none exists yet.
    pub(crate) fn open(dir: &Path, install: &InstallId) -> Result<Self, KeyError> {
        let path = |name: &str| dir.join(name);
        let there = FILES.iter().filter(|name| path(name).symlink_metadata().is_ok()).count();
        if there == 0 {
            make_all(dir, install)?;
        } else if let Some(name) = FILES.iter().find(|name| path(name).symlink_metadata().is_err()) {
            return Err(KeyError::Missing(path(name)));
        }
        if path(SECRETS).symlink_metadata().is_err() {
            let mut secrets = Zeroizing::new([0; 32]);
            aws_lc_rs::rand::fill(&mut secrets[..]).map_err(|error| KeyError::Make(error.to_string()))?;
            state::write_secret(&path(SECRETS), &secrets[..])?;
        }
        Self::read(dir, install)
    }

    /// Reads the keys below `dir`, all of which must be there.
    pub(crate) fn complete(dir: &Path, install: &InstallId) -> Result<Self, KeyError> {
        let missing = FILES.iter().chain([&SECRETS]).find(|name| dir.join(name).symlink_metadata().is_err());
        missing.map_or_else(|| Self::read(dir, install), |name| Err(KeyError::Missing(dir.join(name))))
    }

    /// The signer of HEAD, manifests, checkpoints and backups.
    pub(crate) fn checkpoint_key(&self) -> &MemoryKey {
        &self.checkpoint
    }

    fn read(dir: &Path, install: &InstallId) -> Result<Self, KeyError> {
        let ca = read(dir, "x509-ca.key")?;
        let grant = read(dir, "grant.key")?;
        let checkpoint = read(dir, "checkpoint.key")?;
        let damaged = |name: &str, why: String| KeyError::Damaged { path: dir.join(name), why };
        let ca_pem = String::from_utf8(read(dir, "x509-ca.crt")?.to_vec()).map_err(|e| damaged("x509-ca.crt", e.to_string()))?;
        let ca_text = std::str::from_utf8(&ca).map_err(|e| damaged("x509-ca.key", e.to_string()))?;
        let ca_key = KeyPair::from_pem(ca_text).map_err(|e| damaged("x509-ca.key", e.to_string()))?;
        tls::check_ca(&ca_pem, &ca_key).map_err(|why| damaged("x509-ca.crt", why))?;
        let secrets = read(dir, SECRETS)?;
        let secrets = <[u8; 32]>::try_from(&secrets[..]).map_err(|_| damaged(SECRETS, "it has not 32 bytes".to_owned()))?;
        let grant_pair = Ed25519KeyPair::from_pkcs8(&grant).map_err(|e| damaged("grant.key", e.to_string()))?;
        Ok(Self {
            install: install.clone(),
            ssh_user: ssh_key(dir, "ssh-user-ca")?,
            ssh_host: ssh_key(dir, "ssh-host-ca")?,
            host_key: ssh_key(dir, "ssh-host-key")?,
            ca_jwt: EncodingKey::from_ec_der(ca_key.serialized_der()),
            ca_key,
            ca_pem,
            grant_public: hex::encode(grant_pair.public_key()),
            grant: EncodingKey::from_ed_der(&grant),
            checkpoint: MemoryKey::from_pkcs8(&checkpoint).map_err(|e| damaged("checkpoint.key", e.to_string()))?,
            secrets: Zeroizing::new(secrets),
        })
    }
}

/// Whether a key file of an install has this name.
pub(crate) fn is_file(name: &str) -> bool {
    name == SECRETS || FILES.contains(&name)
}

/// A key file: its name, and its bytes as stored.
pub(crate) type KeyFile = (&'static str, Zeroizing<Vec<u8>>);

/// Every key file below `dir` as it is stored, by name: for a backup, and for nothing else.
pub(crate) fn files(dir: &Path) -> Result<Vec<KeyFile>, KeyError> {
    let mut names: Vec<&'static str> = FILES.into_iter().chain([SECRETS]).collect();
    names.sort_unstable();
    names.into_iter().map(|name| Ok((name, read(dir, name)?))).collect()
}

/// Who signs for the install whose keys lie below `dir`; none where that key is gone.
pub(crate) fn checkpoint_in(dir: &Path) -> Result<Option<PublicKey>, KeyError> {
    let name = "checkpoint.key";
    if dir.join(name).symlink_metadata().is_err() {
        return Ok(None);
    }
    let key = MemoryKey::from_pkcs8(&read(dir, name)?);
    key.map(|key| Some(key.public())).map_err(|e| KeyError::Damaged { path: dir.join(name), why: e.to_string() })
}

fn read(dir: &Path, name: &str) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    Ok(Zeroizing::new(state::read_secret(&dir.join(name))?))
}

fn ssh_key(dir: &Path, name: &str) -> Result<PrivateKey, KeyError> {
    let text = read(dir, name)?;
    PrivateKey::from_openssh(&text[..]).map_err(|e| KeyError::Damaged { path: dir.join(name), why: e.to_string() })
}

fn make_all(dir: &Path, install: &InstallId) -> Result<(), KeyError> {
    let failed = |e: &dyn std::fmt::Display| KeyError::Make(e.to_string());
    for name in ["ssh-user-ca", "ssh-host-ca", "ssh-host-key"] {
        let key = PrivateKey::random(&mut super::ssh::rng(), russh::keys::Algorithm::Ed25519).map_err(|e| failed(&e))?;
        state::write_secret(&dir.join(name), key.to_openssh(LineEnding::LF).map_err(|e| failed(&e))?.as_bytes())?;
    }
    for name in ["grant.key", "checkpoint.key"] {
        let key = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).map_err(|e| failed(&e))?;
        state::write_secret(&dir.join(name), key.as_ref())?;
    }
    let key = KeyPair::generate().map_err(|e| failed(&e))?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, format!("Naru CA {install}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = tls::at(crate::clock::now().minus(std::time::Duration::from_secs(3600)));
    params.not_after = tls::at(crate::clock::now().plus(std::time::Duration::from_secs(10 * 365 * 86_400)));
    let pem = params.self_signed(&key).map_err(|e| failed(&e))?.pem();
    state::write_secret(&dir.join("x509-ca.key"), Zeroizing::new(key.serialize_pem()).as_bytes())?;
    state::write_secret(&dir.join("x509-ca.crt"), pem.as_bytes())?;
    Ok(())
}
