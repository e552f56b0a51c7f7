//! Tokens of machines: CI systems, Kubernetes service accounts (RFC 7523 style), client credentials. What a workload may do, and
//! which of its claims are pinned, lives with the caller.

use std::fmt;

use access::time::Timestamp;
use serde_json::{Map, Value};

use super::claims::{Claims, Life, MAX_NAME, kind};
use super::{Expected, KeySet, TokenFault, jws};

/// Kinds of Keycloak that stand for a person or for no access at all.
const OTHER_KINDS: [&str; 4] = ["id", "refresh", "offline", "logout"];

/// A workload's token that was believed. Only [`workload_token`] makes one.
pub struct WorkloadToken {
    claims: Map<String, Value>,
    subject: String,
    life: Life,
}

/// Believes a workload's token of the expected issuer that is for the expected audience among others, now. `azp` is the workload's
/// own client and is a claim like any other; [`Expected::also_audiences`] is not looked at.
pub fn workload_token(token: &str, keys: &KeySet, expected: &Expected<'_>) -> Result<WorkloadToken, TokenFault> {
    let signed = jws::open(token, keys, expected.algorithms)?;
    let claims = Claims { claims: &signed.claims, expected };
    kind(signed.typ.as_deref(), true, &["jwt", "at+jwt"])?;
    claims.is_none_of(&OTHER_KINDS)?;
    if claims.says_logout() {
        return Err(TokenFault::IsLogout);
    }
    claims.issuer()?;
    claims.audiences()?;
    let life = claims.life()?;
    let subject = claims.text("sub", MAX_NAME)?.ok_or(TokenFault::Missing("sub"))?.to_owned();
    Ok(WorkloadToken { subject, life, claims: signed.claims })
}

impl WorkloadToken {
    /// The workload at this issuer: 1 to 255 characters, none of them a control character.
    pub fn subject(&self) -> &str {
        &self.subject
    }
    /// Everything that the token says.
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }
    /// When the token was issued.
    pub fn issued(&self) -> Timestamp {
        self.life.issued
    }
    /// When the token ends.
    pub fn expires(&self) -> Timestamp {
        self.life.expires
    }
}

impl fmt::Debug for WorkloadToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkloadToken").field("subject", &self.subject).finish_non_exhaustive()
    }
}
