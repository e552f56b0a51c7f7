//! Joining: the host makes its key, shows a join token to the proxy whose CA it pinned, and keeps what comes back. Renewal likewise.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use access::words::NodeName;
use rcgen::{CertificateParams, KeyPair};
use wire::api::{Join, Joined, Renew, Renewed};
use wire::link::{Address, Pin};

use crate::https;
pub use crate::https::CallError;
use crate::identity::{self, Identity, IdentityError, Stored};

/// What the person typed.
pub struct JoinRequest {
    /// `https://HOST:PORT`.
    pub proxy: Address,
    /// The join token.
    pub token: String,
    /// The CA's pin.
    pub pin: Pin,
    /// The wanted name, where the token has a pattern.
    pub node: Option<NodeName>,
    /// The agent's own labels.
    pub labels: BTreeMap<String, String>,
}

/// Joining failed. Nothing was changed; the token may be used again by the same host when the answer was lost.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The proxy.
    #[error(transparent)]
    Call(#[from] CallError),
    /// Our files.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Our key.
    #[error("a key could not be made: {0}")]
    Key(String),
    /// Another answer than we pinned.
    #[error("the proxy answered with another CA than the pinned one")]
    OtherCa,
}

/// The key waits here between the first try and the answer, so that a crash in the middle redeems the token again with the same key.
const PENDING: &str = "joining.key";

/// Joins and stores the identity.
pub async fn join(state: &Path, request: &JoinRequest) -> Result<Stored, JoinError> {
    let key = pending_key(state)?;
    let tls = wire::pinned::client_config(request.pin).map_err(|error| JoinError::Key(error.to_string()))?;
    let asked = Join {
        token: request.token.clone(),
        csr_pem: csr(&key)?,
        node: request.node.clone(),
        labels: request.labels.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let joined: Joined = https::post(&request.proxy, Arc::new(tls), "/v1/join", &asked).await?;
    if wire::pinned::pin_of_pem(&joined.ca_pem) != Some(request.pin) {
        return Err(JoinError::OtherCa);
    }
    let stored = Stored {
        proxy: request.proxy.to_string(),
        install: joined.install,
        agent: joined.agent_id,
        node: joined.node,
        key_pem: key.serialize_pem(),
        chain_pem: joined.x509_chain_pem,
        ca_pem: joined.ca_pem,
        machine: identity::machine(),
    };
    identity::save(state, &stored)?;
    let _ = std::fs::remove_file(state.join(PENDING));
    Ok(stored)
}

/// A new certificate for a new key, before the old one ends.
pub(crate) async fn renew(state: &Path, identity: &Identity) -> Result<(), JoinError> {
    let key = KeyPair::generate().map_err(|error| JoinError::Key(error.to_string()))?;
    let asked = Renew { csr_pem: csr(&key)? };
    let renewed: Renewed = https::post(&identity.address, identity.api_tls.clone(), "/v1/agent/renew", &asked).await?;
    let (chain_pem, machine) = (renewed.x509_chain_pem, identity.stored.machine.clone().or_else(identity::machine));
    let stored = Stored { key_pem: key.serialize_pem(), chain_pem, machine, ..identity.stored.clone() };
    Ok(identity::save(state, &stored)?)
}

fn csr(key: &KeyPair) -> Result<String, JoinError> {
    let params = CertificateParams::default();
    let request = params.serialize_request(key).and_then(|request| request.pem());
    request.map_err(|error| JoinError::Key(error.to_string()))
}

fn pending_key(state: &Path) -> Result<KeyPair, JoinError> {
    if let Ok(pem) = std::fs::read_to_string(state.join(PENDING))
        && let Ok(key) = KeyPair::from_pem(&pem)
    {
        return Ok(key);
    }
    let key = KeyPair::generate().map_err(|error| JoinError::Key(error.to_string()))?;
    identity::write_private(state, PENDING, key.serialize_pem().as_bytes())?;
    Ok(key)
}
