//! Grants: the signed, single-use leave that an agent believes instead of the tunnel. Claims, signing format, and the gate that
//! turns a token into a [`VerifiedGrant`]. Pure: the time and the bytes come in as arguments.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use access::event::SessionKind;
use access::time::Timestamp;
use access::words::{AgentId, InstallId, Login, NodeName, SessionId};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use crate::proof::Hash;

/// Longest life of a grant.
pub const MAX_LIFE: Duration = Duration::from_secs(60);
/// How far the clocks of proxy and agent may differ.
pub const CLOCK_SKEW: Duration = Duration::from_secs(30);
/// Used ids that are remembered at once; beyond it new grants are refused until old ones expire.
const MAX_REMEMBERED: usize = 65_536;
/// Longest token that is looked at.
const MAX_TOKEN: usize = 4096;

/// What may be done: a closed list. What an agent does not know it refuses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Allowed {
    /// Begin the session.
    Open {
        /// Of this kind.
        kind: SessionKind,
        /// On a terminal.
        terminal: bool,
    },
    /// Take up a session that runs.
    Resume {
        /// The fencing number of the attachment.
        fence: u64,
    },
}

/// The claims of a grant (RFC 7519 names where they exist).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// The install that grants.
    pub iss: InstallId,
    /// The agent that it is for.
    pub aud: AgentId,
    /// Used once.
    pub jti: String,
    /// Issued, seconds.
    pub iat: i64,
    /// Expires, seconds; at most [`MAX_LIFE`] after `iat`.
    pub exp: i64,
    /// The pin (`wire::link::Pin`) of the proxy's certificate: only that proxy's tunnel may use it (as RFC 8705 section 3.1).
    pub cnf: String,
    /// The random epoch that the agent chose for this tunnel.
    pub epoch: String,
    /// The person: `issuer|subject`.
    pub user: String,
    /// The handle.
    pub user_name: String,
    /// The target.
    pub node: NodeName,
    /// The account there.
    pub login: Login,
    /// The session.
    pub session: SessionId,
    /// What is allowed.
    pub allow: Allowed,
    /// blake3 of the request's body: nothing in the request can differ from what was decided.
    pub body: Hash,
}

/// The keys that may sign grants, as said by the CA: the statement that an agent checks against the CA that it pinned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantKeys {
    /// The install.
    pub iss: InstallId,
    /// Issued, seconds.
    pub iat: i64,
    /// Expires, seconds.
    pub exp: i64,
    /// Key id to the public key, 32 bytes of Ed25519 in hex.
    pub keys: BTreeMap<String, String>,
}

/// Why a grant or a statement is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum GrantError {
    #[error("the grant is malformed or says something this agent does not know")]
    Malformed,
    #[error("the grant is signed by a key that the authority does not name")]
    UnknownKey,
    #[error("the signature does not fit")]
    BadSignature,
    #[error("the grant is of install {0}")]
    OtherInstall(String),
    #[error("the grant is for agent {0}")]
    OtherAgent(String),
    #[error("the grant is bound to another proxy")]
    OtherProxy,
    #[error("the grant is of another epoch of this tunnel")]
    OtherEpoch,
    #[error("the grant is not valid now: the clocks differ or it waited too long")]
    NotNow,
    #[error("the grant would live longer than a grant may")]
    TooLong,
    #[error("the grant was used before")]
    Used,
    #[error("the request is not the one that was granted")]
    OtherRequest,
    #[error("too many grants at once")]
    Busy,
    #[error("the authority's word on the grant keys has ended")]
    OldKeys,
}

/// Signs claims with the grant key.
pub fn encode(claims: &Claims, key_id: &str, key: &EncodingKey) -> Option<String> {
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = Some(key_id.to_owned());
    jsonwebtoken::encode(&header, claims, key).ok()
}

/// Signs the statement about grant keys with the CA's key (P-256).
pub fn encode_keys(keys: &GrantKeys, ca: &EncodingKey) -> Option<String> {
    jsonwebtoken::encode(&Header::new(Algorithm::ES256), keys, ca).ok()
}

/// `exp` and the like are checked here with the time that is handed in, so that nothing looks at a clock.
fn validation(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}

/// Believes a statement about grant keys. `ca_point` is the CA's public key as an uncompressed P-256 point.
pub fn verify_keys(token: &str, ca_point: &[u8], install: &InstallId, now: Timestamp) -> Result<GrantKeys, GrantError> {
    if token.len() > MAX_TOKEN {
        return Err(GrantError::Malformed);
    }
    let key = DecodingKey::from_ec_der(ca_point);
    let keys = decoded::<GrantKeys>(token, &key, Algorithm::ES256)?;
    if keys.iss != *install {
        return Err(GrantError::OtherInstall(keys.iss.to_string()));
    }
    let skew = CLOCK_SKEW.as_secs() as i64;
    if now.as_secs() > keys.exp || now.as_secs().saturating_add(skew) < keys.iat {
        return Err(GrantError::NotNow);
    }
    Ok(keys)
}

fn decoded<T: serde::de::DeserializeOwned>(token: &str, key: &DecodingKey, algorithm: Algorithm) -> Result<T, GrantError> {
    jsonwebtoken::decode::<T>(token, key, &validation(algorithm)).map(|data| data.claims).map_err(|error| match error.kind() {
        jsonwebtoken::errors::ErrorKind::InvalidSignature => GrantError::BadSignature,
        _ => GrantError::Malformed,
    })
}

/// A grant that was believed: the only way to get work done by an agent.
#[derive(Debug)]
pub struct VerifiedGrant {
    claims: Claims,
}

impl VerifiedGrant {
    /// What was granted.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }
}

/// One tunnel's gate: knows who may be believed and which grants were used.
#[derive(Debug)]
pub struct Gate {
    install: InstallId,
    agent: AgentId,
    proxy: String,
    epoch: String,
    keys: GrantKeys,
    used: HashMap<String, i64>,
}

impl Gate {
    /// For a tunnel to the proxy with the certificate of this pin, with the epoch that this agent chose.
    pub fn new(install: InstallId, agent: AgentId, proxy: String, epoch: String, keys: GrantKeys) -> Self {
        Self { install, agent, proxy, epoch, keys, used: HashMap::new() }
    }

    /// Takes a later statement about the keys. What was used stays used.
    pub fn renew(&mut self, keys: GrantKeys) -> Result<(), GrantError> {
        // One that was replaced never comes back.
        if keys.iat < self.keys.iat {
            return Err(GrantError::OldKeys);
        }
        self.keys = keys;
        Ok(())
    }

    /// Believes a token for this request body, once.
    pub fn admit(&mut self, token: &str, body: &[u8], now: Timestamp) -> Result<VerifiedGrant, GrantError> {
        if token.len() > MAX_TOKEN {
            return Err(GrantError::Malformed);
        }
        if now.as_secs() > self.keys.exp {
            return Err(GrantError::OldKeys);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| GrantError::Malformed)?;
        let kid = header.kid.ok_or(GrantError::UnknownKey)?;
        let key = self.keys.keys.get(&kid).ok_or(GrantError::UnknownKey)?;
        let key = hex::decode(key).map_err(|_| GrantError::UnknownKey)?;
        let claims = decoded::<Claims>(token, &DecodingKey::from_ed_der(&key), Algorithm::EdDSA)?;
        self.check(&claims, body, now)?;
        self.remember(&claims, now)?;
        Ok(VerifiedGrant { claims })
    }

    fn check(&self, claims: &Claims, body: &[u8], now: Timestamp) -> Result<(), GrantError> {
        if claims.iss != self.install {
            return Err(GrantError::OtherInstall(claims.iss.to_string()));
        }
        if claims.aud != self.agent {
            return Err(GrantError::OtherAgent(claims.aud.to_string()));
        }
        if claims.cnf != self.proxy {
            return Err(GrantError::OtherProxy);
        }
        if claims.epoch != self.epoch {
            return Err(GrantError::OtherEpoch);
        }
        let life = claims.exp.checked_sub(claims.iat).ok_or(GrantError::TooLong)?;
        if !(1..=MAX_LIFE.as_secs() as i64).contains(&life) || claims.jti.is_empty() || claims.jti.len() > 64 {
            return Err(GrantError::TooLong);
        }
        let (now, skew) = (now.as_secs(), CLOCK_SKEW.as_secs() as i64);
        if now > claims.exp.saturating_add(skew) || now.saturating_add(skew) < claims.iat {
            return Err(GrantError::NotNow);
        }
        if claims.body != Hash::of(body) {
            return Err(GrantError::OtherRequest);
        }
        Ok(())
    }

    fn remember(&mut self, claims: &Claims, now: Timestamp) -> Result<(), GrantError> {
        let skew = CLOCK_SKEW.as_secs() as i64;
        if self.used.len() >= MAX_REMEMBERED / 2 {
            self.used.retain(|_, until| *until >= now.as_secs());
        }
        if self.used.len() >= MAX_REMEMBERED {
            return Err(GrantError::Busy);
        }
        // Kept for as long as `check` would still accept it.
        let until = claims.exp.saturating_add(skew);
        if self.used.insert(claims.jti.clone(), until).is_some() {
            return Err(GrantError::Used);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    struct Signer {
        key: EncodingKey,
        public: String,
    }

    fn signer() -> Signer {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("key");
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("key");
        Signer { key: EncodingKey::from_ed_der(pkcs8.as_ref()), public: hex::encode(pair.public_key()) }
    }

    fn claims() -> Claims {
        Claims {
            iss: "inst".parse().expect("id"),
            aud: "agent-1".parse().expect("id"),
            jti: "j1".into(),
            iat: NOW.as_secs(),
            exp: NOW.as_secs() + 60,
            cnf: "ab".into(),
            epoch: "e1".into(),
            user: "inst|alice".into(),
            user_name: "alice".into(),
            node: "demo".parse().expect("name"),
            login: "root".parse().expect("login"),
            session: "01933b6c-8b3e-7000-8000-000000000001".parse().expect("id"),
            allow: Allowed::Open { kind: SessionKind::Shell, terminal: true },
            body: Hash::of(b"body"),
        }
    }

    fn gate_keys(public: &str) -> GrantKeys {
        GrantKeys { iss: "inst".parse().expect("id"), iat: 0, exp: i64::MAX, keys: [("k1".to_owned(), public.to_owned())].into() }
    }

    fn gate(public: &str) -> Gate {
        let keys = gate_keys(public);
        Gate::new("inst".parse().expect("id"), "agent-1".parse().expect("id"), "ab".into(), "e1".into(), keys)
    }

    #[test]
    fn a_grant_works_once_and_only_as_it_was_given() {
        let signer = signer();
        let mut gate = gate(&signer.public);
        let good = encode(&claims(), "k1", &signer.key).expect("signs");
        assert_eq!(gate.admit(&good, b"other", NOW).err(), Some(GrantError::OtherRequest));
        assert_eq!(gate.admit(&good, b"body", NOW).expect("admitted").claims(), &claims());
        assert_eq!(gate.admit(&good, b"body", NOW).err(), Some(GrantError::Used));
        let late = NOW.plus(MAX_LIFE).plus(CLOCK_SKEW).plus(Duration::from_secs(1));
        assert_eq!(gate.admit(&good, b"body", late).err(), Some(GrantError::NotNow));
    }

    #[test]
    fn new_keys_forget_no_grant_and_old_keys_sign_none() {
        let signer = signer();
        let mut gate = gate(&signer.public);
        let token = encode(&claims(), "k1", &signer.key).expect("signs");
        assert!(gate.admit(&token, b"body", NOW).is_ok());
        let keys = |iat, exp| GrantKeys { iat, exp, ..gate_keys(&signer.public) };
        gate.renew(keys(5, NOW.as_secs())).expect("renewed");
        assert_eq!(gate.admit(&token, b"body", NOW).err(), Some(GrantError::Used));
        let late = NOW.plus(Duration::from_secs(1));
        let other = encode(&Claims { jti: "j2".into(), ..claims() }, "k1", &signer.key).expect("signs");
        assert_eq!(gate.admit(&other, b"body", late).err(), Some(GrantError::OldKeys));
        assert_eq!(gate.renew(keys(4, i64::MAX)), Err(GrantError::OldKeys));
        gate.renew(keys(6, i64::MAX)).expect("renewed");
        assert!(gate.admit(&other, b"body", late).is_ok());
    }

    type Edit = fn(&mut Claims);

    #[test]
    fn each_claim_is_held_to() {
        let signer = signer();
        let table: [(Edit, GrantError); 8] = [
            (|c| c.iss = "x".parse().expect("id"), GrantError::OtherInstall("x".into())),
            (|c| c.aud = "x".parse().expect("id"), GrantError::OtherAgent("x".into())),
            (|c| c.cnf = "cd".into(), GrantError::OtherProxy),
            (|c| c.epoch = "e2".into(), GrantError::OtherEpoch),
            (|c| c.exp += 1, GrantError::TooLong),
            (|c| c.exp = c.iat - 1, GrantError::TooLong),
            (|c| (c.iat, c.exp) = (c.iat + 600, c.exp + 600), GrantError::NotNow),
            (|c| c.jti = String::new(), GrantError::TooLong),
        ];
        for (edit, wanted) in table {
            let mut claims = claims();
            edit(&mut claims);
            let token = encode(&claims, "k1", &signer.key).expect("signs");
            assert_eq!(gate(&signer.public).admit(&token, b"body", NOW).err(), Some(wanted));
        }
    }

    #[test]
    fn unknown_keys_algorithms_and_restrictions_are_refused() {
        let (ours, other) = (signer(), signer());
        let mut gate = gate(&ours.public);
        let forged = encode(&claims(), "k1", &other.key).expect("signs");
        assert_eq!(gate.admit(&forged, b"body", NOW).err(), Some(GrantError::BadSignature));
        let unnamed = encode(&claims(), "k2", &ours.key).expect("signs");
        assert_eq!(gate.admit(&unnamed, b"body", NOW).err(), Some(GrantError::UnknownKey));
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some("k1".into());
        let secret = EncodingKey::from_secret(&hex::decode(&ours.public).expect("hex"));
        let confused = jsonwebtoken::encode(&header, &claims(), &secret).expect("signs");
        assert_eq!(gate.admit(&confused, b"body", NOW).err(), Some(GrantError::Malformed));
        let mut more = serde_json::to_value(claims()).expect("json");
        more["read_only"] = true.into();
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some("k1".into());
        let token = jsonwebtoken::encode(&header, &more, &ours.key).expect("signs");
        assert_eq!(gate.admit(&token, b"body", NOW).err(), Some(GrantError::Malformed));
    }

    #[test]
    fn grant_keys_are_believed_from_the_ca_alone() {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).expect("key");
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).expect("key");
        let install: InstallId = "inst".parse().expect("id");
        let keys = GrantKeys { iss: install.clone(), iat: NOW.as_secs(), exp: NOW.as_secs() + 100, keys: BTreeMap::new() };
        let token = encode_keys(&keys, &EncodingKey::from_ec_der(pkcs8.as_ref())).expect("signs");
        let point = pair.public_key().as_ref();
        assert_eq!(verify_keys(&token, point, &install, NOW), Ok(keys));
        let late = NOW.plus(Duration::from_secs(101));
        assert_eq!(verify_keys(&token, point, &install, late), Err(GrantError::NotNow));
        let other = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).expect("key");
        let other = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, other.as_ref()).expect("key");
        assert_eq!(verify_keys(&token, other.public_key().as_ref(), &install, NOW), Err(GrantError::BadSignature));
    }
}
