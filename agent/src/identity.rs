//! Who this agent is: key, certificate, CA and proxy address in its state folder. Written whole by temp + fsync + rename; the key is
//! made here and never leaves.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use access::time::Timestamp;
use access::words::{AgentId, InstallId, NodeName};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use serde::{Deserialize, Serialize};
use wire::link::Address;
use x509_parser::prelude::{FromDer as _, X509Certificate};

const FILE: &str = "agent.json";

/// What is stored.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stored {
    /// `https://HOST:PORT`.
    pub proxy: String,
    /// The install that it joined.
    pub install: InstallId,
    /// Its id.
    pub agent: AgentId,
    /// The node that it serves.
    pub node: NodeName,
    /// Its private key, PKCS#8 PEM.
    pub key_pem: String,
    /// Its certificate.
    pub chain_pem: String,
    /// The CA that it pinned.
    pub ca_pem: String,
    /// The machine that it was made on, see [`machine`]; absent where that machine has no name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
}

impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stored").field("proxy", &self.proxy).field("agent", &self.agent).field("node", &self.node).finish_non_exhaustive()
    }
}

/// A stored identity, ready for use.
#[derive(Debug)]
pub struct Identity {
    /// What is stored.
    pub stored: Stored,
    /// The install.
    pub install: InstallId,
    /// The id.
    pub agent: AgentId,
    /// Where the proxy is.
    pub address: Address,
    /// The CA's public key: an uncompressed P-256 point.
    pub ca_point: Vec<u8>,
    /// From when the certificate is valid.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
    /// TLS for tunnels.
    pub tunnel_tls: Arc<ClientConfig>,
    /// TLS for the API.
    pub api_tls: Arc<ClientConfig>,
}

/// The identity cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its mode or owner.
    #[error("{0} can be read by others or belongs to somebody else; it holds this agent's private key. Run chmod 600 on it, or join again")]
    Open(PathBuf),
    /// Its content.
    #[error("{path} is damaged: {why}. Remove it and join again")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// It came with an image or a copy: two hosts with one identity could not be told apart.
    #[error("{0} was made on another machine. Remove it and join again; an image must not have it")]
    Elsewhere(PathBuf),
}

/// Where a machine keeps its name: made once for each, also where it is cloned (machine-id(5)).
const MACHINE_ID: &str = "/etc/machine-id";

/// This machine, as a hash: its name itself is to be kept to itself (machine-id(5)). None where it has none yet.
pub fn machine() -> Option<String> {
    let text = fs::read_to_string(MACHINE_ID).ok()?;
    let id = text.trim();
    let is_one = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_one.then(|| blake3::Hasher::new_derive_key("naru agent machine v1").update(id.as_bytes()).finalize().to_hex().to_string())
}

/// Whether an identity that was made there may be used here. A machine without a name is taken for any.
fn is_of(made: Option<&str>, here: Option<&str>) -> bool {
    made.zip(here).is_none_or(|(made, here)| made == here)
}

/// Whether this folder holds an identity.
pub fn is_joined(state: &Path) -> bool {
    state.join(FILE).symlink_metadata().is_ok()
}

/// Writes the identity.
pub fn save(state: &Path, stored: &Stored) -> Result<(), IdentityError> {
    let json = serde_json::to_vec_pretty(stored).unwrap_or_default();
    write_private(state, FILE, &json)
}

/// Writes a file that only this account may read: 0600 from the first byte, whole or not at all.
pub(crate) fn write_private(state: &Path, name: &str, bytes: &[u8]) -> Result<(), IdentityError> {
    let write = || -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(state)?;
        let temp = state.join(format!(".{name}.new"));
        match fs::remove_file(&temp) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temp)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temp, state.join(name))?;
        fs::File::open(state)?.sync_all()
    };
    write().map_err(|source| IdentityError::File { path: state.join(name), source })
}

/// Reads the identity.
pub fn load(state: &Path) -> Result<Identity, IdentityError> {
    let path = state.join(FILE);
    let failed = |source| IdentityError::File { path: path.clone(), source };
    let meta = path.symlink_metadata().map_err(failed)?;
    if meta.permissions().mode() & 0o077 != 0 || meta.uid() != rustix::process::geteuid().as_raw() || !meta.is_file() {
        return Err(IdentityError::Open(path));
    }
    let text = fs::read(&path).map_err(failed)?;
    let damaged = |why: String| IdentityError::Damaged { path: path.clone(), why };
    let stored: Stored = serde_json::from_slice(&text).map_err(|e| damaged(e.to_string()))?;
    if !is_of(stored.machine.as_deref(), machine().as_deref()) {
        return Err(IdentityError::Elsewhere(path));
    }
    from_stored(stored).map_err(damaged)
}

fn from_stored(stored: Stored) -> Result<Identity, String> {
    let text = |e: &dyn std::fmt::Display| e.to_string();
    let address: Address = stored.proxy.parse().map_err(|e| text(&e))?;
    let ca = CertificateDer::from_pem_slice(stored.ca_pem.as_bytes()).map_err(|e| text(&e))?;
    let (_, parsed) = X509Certificate::from_der(&ca).map_err(|e| text(&e))?;
    let ca_point = parsed.public_key().subject_public_key.data.to_vec();
    let chain: Vec<_> = CertificateDer::pem_slice_iter(stored.chain_pem.as_bytes()).collect::<Result<_, _>>().map_err(|e| text(&e))?;
    let leaf = chain.first().ok_or("there is no certificate")?;
    let (_, leaf) = X509Certificate::from_der(leaf).map_err(|e| text(&e))?;
    let not_before = Timestamp::from_secs(leaf.validity().not_before.timestamp());
    let not_after = Timestamp::from_secs(leaf.validity().not_after.timestamp());
    let mut roots = RootCertStore::empty();
    roots.add(ca.clone()).map_err(|e| text(&e))?;
    let key = PrivateKeyDer::from_pem_slice(stored.key_pem.as_bytes()).map_err(|e| text(&e))?;
    let config = ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
        .with_root_certificates(roots)
        .with_client_auth_cert(chain.clone(), key)
        .map_err(|e| text(&e))?;
    let with_alpn = |names: Vec<Vec<u8>>| {
        let mut config = config.clone();
        config.alpn_protocols = names;
        Arc::new(config)
    };
    Ok(Identity {
        install: stored.install.clone(),
        agent: stored.agent.clone(),
        address,
        ca_point,
        not_before,
        not_after,
        tunnel_tls: with_alpn(vec![wire::tunnel::ALPN.to_vec()]),
        api_tls: with_alpn(wire::pinned::http_alpn()),
        stored,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_of_another_machine_is_not_used_and_one_that_says_nothing_is() {
        let dir = tempfile::tempdir().expect("a folder");
        let stored = |machine: Option<&str>| Stored {
            proxy: "https://127.0.0.1:1".into(),
            install: "i".parse().expect("an install"),
            agent: "web-1".parse().expect("an id"),
            node: "web".parse().expect("a name"),
            key_pem: String::new(),
            chain_pem: String::new(),
            ca_pem: String::new(),
            machine: machine.map(str::to_owned),
        };
        let loaded = |machine| {
            save(dir.path(), &stored(machine)).expect("written");
            load(dir.path()).expect_err("there is no certificate in it")
        };
        assert!(matches!(loaded(None), IdentityError::Damaged { .. }), "looked at further");
        assert_eq!(matches!(loaded(Some("of another")), IdentityError::Elsewhere(_)), machine().is_some());
        assert!(is_of(Some("a"), Some("a")) && is_of(Some("a"), None) && is_of(None, Some("a")) && !is_of(Some("a"), Some("b")));
    }
}
