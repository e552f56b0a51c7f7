//! What may be asked of the keys: a closed list, each with the proof that it needs. No function returns a key, so that the signer
//! can move behind a process, PKCS#11 or a KMS without touching a caller.

use std::sync::Arc;
use std::time::Duration;

use access::time::Timestamp;
use access::words::{AgentId, InstallId, NodeName};
use recorder::Durable;
use russh::keys::{Certificate, PublicKey};
use rustls_pki_types::CertificateDer;
use wire::grant::{Claims, GrantKeys};
use wire::proof::Sign;

use super::keyring::Keyring;
use super::people::VerifiedUser;
use super::{ssh, tls};

/// Longest life of a user's certificates.
pub(crate) const USER_LIFE: Duration = Duration::from_secs(12 * 3600);
/// Life of an agent's certificate.
pub(crate) const AGENT_LIFE: Duration = Duration::from_secs(7 * 86_400);
/// Life of the statement about grant keys; a tunnel gets a new one with each hello.
pub(crate) const GRANT_KEYS_LIFE: Duration = Duration::from_secs(86_400);
/// The id of the only grant key so far.
const GRANT_KEY_ID: &str = "g1";

pub(super) mod sealed {
    pub(crate) trait Sealed {}
}

/// One thing that may be asked.
pub(crate) trait Ask: sealed::Sealed {
    /// What comes back.
    type Answer;
    #[doc(hidden)]
    fn answer(self, keys: &Keyring) -> Result<Self::Answer, SignError>;
}

/// A signature could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the authority could not sign: {0}")]
pub struct SignError(pub(super) String);

impl SignError {
    pub(crate) fn of(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// The door to the keys.
#[derive(Debug, Clone)]
pub(crate) struct Keys(Arc<Keyring>);

impl Keys {
    /// Puts the keys behind the door.
    pub(crate) fn new(ring: Keyring) -> Self {
        Self(Arc::new(ring))
    }

    /// Answers.
    pub(crate) fn ask<A: Ask>(&self, ask: A) -> Result<A::Answer, SignError> {
        ask.answer(&self.0)
    }

    /// The signer of HEAD, manifests and checkpoints.
    pub(crate) fn checkpoint(&self) -> Arc<dyn Sign> {
        Arc::new(CheckpointSigner(self.0.clone()))
    }

    /// What everybody may know.
    pub(crate) fn public(&self) -> Public {
        Public {
            install: self.0.install.clone(),
            ca_pem: self.0.ca_pem.clone(),
            ssh_user_ca: self.0.ssh_user.public_key().clone(),
            ssh_host_ca: self.0.ssh_host.public_key().clone(),
        }
    }

    /// The proxy's own host key. russh signs each key exchange with it, so it is lent to the SSH front; it certifies nothing.
    pub(crate) fn ssh_host_key(&self) -> russh::keys::PrivateKey {
        self.0.host_key.clone()
    }
}

/// What everybody may know.
#[derive(Debug, Clone)]
pub(crate) struct Public {
    pub(crate) install: InstallId,
    pub(crate) ca_pem: String,
    pub(crate) ssh_user_ca: PublicKey,
    pub(crate) ssh_host_ca: PublicKey,
}

struct CheckpointSigner(Arc<Keyring>);

impl Sign for CheckpointSigner {
    fn public(&self) -> wire::proof::PublicKey {
        self.0.checkpoint.public()
    }
    fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        self.0.checkpoint.sign(bytes)
    }
}

/// Both certificates of a person, after the sign-in is durably in the log.
pub(crate) struct SignUser<'a> {
    pub(crate) user: &'a VerifiedUser,
    pub(crate) ssh_key: PublicKey,
    pub(crate) csr_pem: &'a str,
    pub(crate) now: Timestamp,
    pub(crate) logged: Durable,
}

/// Answer to [`SignUser`].
pub(crate) struct UserCertificates {
    pub(crate) ssh: Certificate,
    pub(crate) x509_pem: String,
}

impl sealed::Sealed for SignUser<'_> {}
impl Ask for SignUser<'_> {
    type Answer = UserCertificates;
    fn answer(self, keys: &Keyring) -> Result<UserCertificates, SignError> {
        let until = self.user.identity().expires.min(self.now.plus(USER_LIFE));
        let _in_the_log = self.logged;
        let ssh = ssh::sign_user(&keys.ssh_user, self.user, &self.ssh_key, self.now, until)?;
        let subject = tls::Subject::User { name: self.user.identity().name.clone(), sign_in: self.user.sign_in(), serial: String::new() };
        let x509_pem = tls::sign_client(keys, self.csr_pem, &subject, self.now, until)?;
        Ok(UserCertificates { ssh, x509_pem })
    }
}

/// An agent's certificate, after its join or renewal is durably in the log.
pub(crate) struct SignAgent<'a> {
    pub(crate) agent: &'a AgentId,
    pub(crate) csr_pem: &'a str,
    pub(crate) now: Timestamp,
    pub(crate) logged: Durable,
}

impl sealed::Sealed for SignAgent<'_> {}
impl Ask for SignAgent<'_> {
    type Answer = String;
    fn answer(self, keys: &Keyring) -> Result<String, SignError> {
        let _in_the_log = self.logged;
        let subject = tls::Subject::Agent { id: self.agent.clone() };
        tls::sign_client(keys, self.csr_pem, &subject, self.now, self.now.plus(AGENT_LIFE))
    }
}

/// The proxy's own TLS certificate for these names.
pub(crate) struct SignServer<'a> {
    pub(crate) names: &'a [String],
    pub(crate) key: &'a rcgen::KeyPair,
    pub(crate) now: Timestamp,
}

impl sealed::Sealed for SignServer<'_> {}
impl Ask for SignServer<'_> {
    /// The chain: certificate, CA.
    type Answer = Vec<CertificateDer<'static>>;
    fn answer(self, keys: &Keyring) -> Result<Self::Answer, SignError> {
        tls::sign_server(keys, self.names, self.key, self.now)
    }
}

/// A host certificate for any valid name: whether such a node exists does not show.
pub(crate) struct SignHost<'a> {
    pub(crate) names: &'a [String],
    pub(crate) now: Timestamp,
}

impl sealed::Sealed for SignHost<'_> {}
impl Ask for SignHost<'_> {
    type Answer = Certificate;
    fn answer(self, keys: &Keyring) -> Result<Certificate, SignError> {
        ssh::sign_host(&keys.ssh_host, keys.host_key.public_key(), self.names, self.now)
    }
}

/// The host certificate of one node, by its dialled name and the name with our suffix.
pub(crate) fn node_names(node: &NodeName) -> Vec<String> {
    vec![node.to_string(), format!("{node}.naru")]
}

/// A grant. [`super::grants`] builds the claims from the permit; nobody else makes one.
pub(crate) struct SignGrant {
    pub(super) claims: Claims,
}

impl sealed::Sealed for SignGrant {}
impl Ask for SignGrant {
    type Answer = String;
    fn answer(self, keys: &Keyring) -> Result<String, SignError> {
        wire::grant::encode(&self.claims, GRANT_KEY_ID, &keys.grant).ok_or_else(|| SignError("grant".into()))
    }
}

/// The statement which keys sign grants, by the CA.
pub(crate) struct StateGrantKeys {
    pub(crate) now: Timestamp,
}

impl sealed::Sealed for StateGrantKeys {}
impl Ask for StateGrantKeys {
    type Answer = String;
    fn answer(self, keys: &Keyring) -> Result<String, SignError> {
        let statement = GrantKeys {
            iss: keys.install.clone(),
            iat: self.now.as_secs(),
            exp: self.now.plus(GRANT_KEYS_LIFE).as_secs(),
            keys: [(GRANT_KEY_ID.to_owned(), keys.grant_public.clone())].into(),
        };
        wire::grant::encode_keys(&statement, &keys.ca_jwt).ok_or_else(|| SignError("grant keys".into()))
    }
}
