//! Logout tokens (OpenID Connect Back-Channel Logout 1.0 sections 2.4 to 2.6): a provider's word that a session ended. That each is
//! used once, and what it ends, lives with the caller.

use std::time::Duration;

use access::time::Timestamp;

use super::claims::{Claims, Life, MAX_NAME, kind};
use super::{Expected, KeySet, TokenFault, jws};

/// How long after `iat` a logout token is taken: it is sent at once, and its `jti` is to be remembered for so long only.
pub(super) const MAX_AGE: Duration = Duration::from_secs(600);
/// Longest `jti`, in characters.
const MAX_JTI: usize = 256;

/// A logout token that was believed. Only [`logout_token`] makes one. It is to be taken once: see [`LogoutToken::remember_until`].
#[derive(Debug)]
pub struct LogoutToken {
    subject: Option<String>,
    sid: Option<String>,
    jti: String,
    life: Life,
    until: Timestamp,
}

/// Believes a logout token of the expected issuer for the expected client, now.
pub fn logout_token(token: &str, keys: &KeySet, expected: &Expected<'_>) -> Result<LogoutToken, TokenFault> {
    let signed = jws::open(token, keys, expected.algorithms)?;
    let claims = Claims { claims: &signed.claims, expected };
    kind(signed.typ.as_deref(), true, &["logout+jwt", "jwt"])?;
    if !claims.says_logout() {
        return Err(TokenFault::Events);
    }
    if signed.claims.contains_key("nonce") {
        return Err(TokenFault::NonceThere);
    }
    claims.issuer()?;
    claims.audience_of_ours()?;
    let life = claims.life()?;
    let oldest = expected.now.minus(MAX_AGE).minus(claims.leeway());
    if life.issued < oldest {
        return Err(TokenFault::TooOld { by: expected.now.since(life.issued) });
    }
    let jti = claims.text("jti", MAX_JTI)?.ok_or(TokenFault::Missing("jti"))?.to_owned();
    let subject = claims.text("sub", MAX_NAME)?.map(str::to_owned);
    let sid = claims.text("sid", MAX_NAME)?.map(str::to_owned);
    if subject.is_none() && sid.is_none() {
        return Err(TokenFault::NoOne);
    }
    let until = life.expires.min(life.issued.plus(MAX_AGE)).plus(claims.leeway());
    Ok(LogoutToken { subject, sid, jti, life, until })
}

impl LogoutToken {
    /// Whose sessions end; absent when only a session is named.
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }
    /// Which session ends; absent when all of the person's do.
    pub fn sid(&self) -> Option<&str> {
        self.sid.as_deref()
    }
    /// The token's own id: 1 to 256 characters.
    pub fn jti(&self) -> &str {
        &self.jti
    }
    /// When the token was issued.
    pub fn issued(&self) -> Timestamp {
        self.life.issued
    }
    /// When the token ends.
    pub fn expires(&self) -> Timestamp {
        self.life.expires
    }
    /// The last moment at which this token could be believed again: its `jti` must be remembered up to and with it.
    pub fn remember_until(&self) -> Timestamp {
        self.until
    }
}
