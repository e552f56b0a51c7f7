//! Id tokens (OpenID Connect Core 1.0 sections 2 and 3.1.3.7): proof that a provider saw somebody sign in. Who that is to us, and
//! what the claims are worth, lives with the caller.

use std::fmt;

use access::time::Timestamp;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use serde_json::{Map, Value};

use super::claims::{Claims, Life, MAX_NAME, kind};
use super::{Expected, KeySet, TokenFault, jws, strings};

/// Kinds of Keycloak that are no id token although issuer and audience may fit.
const OTHER_KINDS: [&str; 5] = ["bearer", "dpop", "refresh", "offline", "logout"];

/// The nonce that a login was begun with.
#[derive(Debug, Clone, Copy)]
pub enum Nonce<'a> {
    /// The token must repeat this one.
    Must(&'a str),
    /// There was none: refresh, device flow. One in the token means nothing.
    None,
}

/// An id token that was believed. Only [`id_token`] makes one.
#[derive(Clone)]
pub struct IdToken {
    claims: Map<String, Value>,
    subject: String,
    life: Life,
    auth_time: Option<Timestamp>,
}

/// Believes an id token of the expected issuer for the expected client, now.
pub fn id_token(token: &str, keys: &KeySet, expected: &Expected<'_>, nonce: Nonce<'_>) -> Result<IdToken, TokenFault> {
    let signed = jws::open(token, keys, expected.algorithms)?;
    let claims = Claims { claims: &signed.claims, expected };
    kind(signed.typ.as_deref(), true, &["jwt"])?;
    claims.is_none_of(&OTHER_KINDS)?;
    if claims.says_logout() {
        return Err(TokenFault::IsLogout);
    }
    claims.issuer()?;
    let audiences = claims.audience_of_ours()?;
    if audiences.len() > 1 && !signed.claims.contains_key("azp") {
        return Err(TokenFault::AzpMissing);
    }
    let life = claims.life()?;
    if let Nonce::Must(sent) = nonce {
        let said = claims.text_as_it_is("nonce")?.ok_or(TokenFault::Missing("nonce"))?;
        verify_slices_are_equal(said.as_bytes(), sent.as_bytes()).map_err(|_| TokenFault::Nonce)?;
    }
    let subject = claims.text("sub", MAX_NAME)?.ok_or(TokenFault::Missing("sub"))?.to_owned();
    claims.text("sid", MAX_NAME)?;
    claims.text_as_it_is("acr")?;
    let auth_time = claims.seconds("auth_time")?;
    if let Some(ahead) = auth_time.and_then(|at| claims.ahead(at)) {
        return Err(TokenFault::AuthAhead { ahead });
    }
    Ok(IdToken { subject, life, auth_time: auth_time.map(Timestamp::from_secs), claims: signed.claims })
}

impl IdToken {
    /// The person at this issuer: 1 to 255 characters, none of them a control character.
    pub fn subject(&self) -> &str {
        &self.subject
    }
    /// Everything that the token says.
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }
    /// The provider's session, which a logout token may name.
    pub fn sid(&self) -> Option<&str> {
        self.claims.get("sid").and_then(Value::as_str)
    }
    /// How strongly the person signed in, in the provider's words.
    pub fn acr(&self) -> Option<&str> {
        self.claims.get("acr").and_then(Value::as_str)
    }
    /// By which means the person signed in (RFC 8176); empty when the provider does not say.
    pub fn amr(&self) -> Vec<String> {
        self.claims.get("amr").map(strings).unwrap_or_default()
    }
    /// When the person signed in at the provider.
    pub fn auth_time(&self) -> Option<Timestamp> {
        self.auth_time
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

impl fmt::Debug for IdToken {
    /// Without the claims, which say much about a person.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdToken").field("subject", &self.subject).finish_non_exhaustive()
    }
}
