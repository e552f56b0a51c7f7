//! Access tokens: what a program shows in place of a certificate, for minutes, and how one is asked for.

use ::access::time::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SignedIn;

/// How each access token begins, so that a search for secrets finds one. 48 characters of base64url follow: 32 bytes of chance, and the
/// first 4 of the SHA-256 of them.
pub const ACCESS_TOKEN: &str = "naru_at_";

/// Asks for an access token. It is bound to a key where the request carries a proof of that key in `DPoP` (RFC 9449).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAccessToken {
    /// Seconds that it lives, at most 3600; 600 when absent. It never outlives the login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_s: Option<u64>,
}

/// An access token: shown once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccessToken {
    /// The token.
    pub token: String,
    /// How it is shown: `Authorization: TYPE TOKEN`.
    pub token_type: AccessTokenType,
    /// Its public id, as events have it.
    pub id: String,
    /// When it ends, at the latest.
    pub expires: Timestamp,
}

impl std::fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessToken").field("id", &self.id).finish_non_exhaustive()
    }
}

/// How an access token is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AccessTokenType {
    /// By itself (RFC 6750).
    Bearer,
    /// With a proof of the key that it is bound to (RFC 9449).
    #[serde(rename = "DPoP")]
    Dpop,
}

/// What a machine wants of a sign-in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BotWants {
    /// Certificates for keys of its own.
    #[default]
    Certificates,
    /// An access token, for where nothing can show a certificate.
    AccessToken,
}

impl BotWants {
    /// Whether it is what is meant where nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The answer to a machine that signed in: what it wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum BotSignedIn {
    /// An access token.
    AccessToken(AccessToken),
    /// Certificates.
    Certificates(Box<SignedIn>),
}
