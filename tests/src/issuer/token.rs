//! Tokens, good or not: header and claims as lists of names and JSON texts, so that a name may be there twice and a number may be one
//! that JSON cannot hold. What a token ought to say is known elsewhere.

use super::keys::{Signer, encoded};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};

/// What makes a token a logout token.
pub const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// A token on its way to be signed.
#[derive(Debug, Clone)]
pub struct Token {
    /// Of whom.
    pub issuer: String,
    header: Vec<(String, String)>,
    claims: Vec<(String, String)>,
    body: Option<&'static str>,
    signer: Signer,
    finish: fn(String) -> String,
}

impl Token {
    /// What every token has: issuer, audience, and five minutes from now on; RS256.
    pub fn of(issuer: &str, audience: &str) -> Self {
        let bare =
            Self { issuer: issuer.into(), header: Vec::new(), claims: Vec::new(), body: None, signer: Signer::Rs256, finish: |text| text };
        let token = bare.header("typ", json!("JWT")).signed(Signer::Rs256);
        token.claim("iss", json!(issuer)).claim("aud", json!(audience)).claim("iat", json!(now())).claim("exp", json!(now() + 300))
    }

    /// A logout token (OpenID Connect Back-Channel Logout 1.0 section 2.4).
    pub fn logout(issuer: &str, audience: &str, sub: &str, sid: &str) -> Self {
        let token = Self::of(issuer, audience).header("typ", json!("logout+jwt")).claim("exp", json!(now() + 120));
        let token = token.claim("jti", json!(super::keys::random())).claim("events", json!({ LOGOUT_EVENT: {} }));
        token.claim("sub", json!(sub)).claim("sid", json!(sid))
    }

    /// With a claim of this value, instead of the one that was there.
    #[must_use]
    pub fn claim(self, name: &str, value: Value) -> Self {
        self.raw(name, &value.to_string())
    }

    /// With every member of an object as a claim.
    #[must_use]
    pub fn claims(self, all: &Value) -> Self {
        let members = all.as_object().into_iter().flatten();
        members.fold(self, |token, (name, value)| token.claim(name, value.clone()))
    }

    /// With a claim whose JSON is written as it is given.
    #[must_use]
    pub fn raw(self, name: &str, text: &str) -> Self {
        self.without(name).twice(name, text)
    }

    /// With one more claim of a name that may be there.
    #[must_use]
    pub fn twice(mut self, name: &str, text: &str) -> Self {
        self.claims.push((name.into(), text.into()));
        self
    }

    /// Without a claim.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.claims.retain(|(have, _)| have != name);
        self
    }

    /// With a member of the header.
    #[must_use]
    pub fn header(mut self, name: &str, value: Value) -> Self {
        self.header.retain(|(have, _)| have != name);
        self.header.push((name.into(), value.to_string()));
        self
    }

    /// Without a member of the header.
    #[must_use]
    pub fn no_header(mut self, name: &str) -> Self {
        self.header.retain(|(have, _)| have != name);
        self
    }

    /// Signed by another one, which the header says.
    #[must_use]
    pub fn signed(self, signer: Signer) -> Self {
        Self { signer, ..self }.header("alg", json!(signer.algorithm())).header("kid", json!(signer.kid()))
    }

    /// Signed by another one, which the header does not say.
    #[must_use]
    pub fn secretly_signed(self, signer: Signer) -> Self {
        Self { signer, ..self }
    }

    /// With this text where the JSON of the claims ought to be.
    #[must_use]
    pub fn body(self, body: &'static str) -> Self {
        Self { body: Some(body), ..self }
    }

    /// Changed when it is done.
    #[must_use]
    pub fn afterwards(self, finish: fn(String) -> String) -> Self {
        Self { finish, ..self }
    }

    /// As it travels.
    pub fn written(&self) -> String {
        let body = self.body.map_or_else(|| part(&self.claims), |body| encoded(body.as_bytes()));
        let message = format!("{}.{body}", part(&self.header));
        let signature = encoded(&self.signer.sign(message.as_bytes()));
        (self.finish)(format!("{message}.{signature}"))
    }
}

fn part(members: &[(String, String)]) -> String {
    let members: Vec<String> = members.iter().map(|(name, value)| format!("{}:{value}", json!(name))).collect();
    encoded(format!("{{{}}}", members.join(",")).as_bytes())
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}
