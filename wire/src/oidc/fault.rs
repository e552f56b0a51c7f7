//! Why a token is refused: one variant for each reason, a stable word for the log and a sentence for people. No check lives here.

use std::time::Duration;

use super::JsonFault;

/// How much of a token's own text a sentence may repeat, in characters.
const SHOWN: usize = 64;

/// Why a token is refused. No sentence holds the token, and what it repeats of it is short and escaped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum TokenFault {
    #[error("the token is larger than 64 KiB")]
    TooBig,
    #[error("the token has not the three parts of a signed token")]
    Parts,
    #[error("a part of the token is not in base64url without padding")]
    Encoding,
    #[error("the token's {part} {fault}")]
    Json { part: &'static str, fault: JsonFault },
    #[error("the token's header says `{0}`, which would let the token choose how it is checked")]
    Header(&'static str),
    #[error("the token is signed with `{}`, which is not among the algorithms of this provider", shown(said))]
    Algorithm { said: String },
    #[error("the token's key id is not a text of at most 256 bytes")]
    Kid,
    #[error("the provider's keys do not hold {}", named(kid.as_deref()))]
    UnknownKey {
        /// As the token says it, whole.
        kid: Option<String>,
    },
    #[error("the key {} is not for `{algorithm}`", named(kid.as_deref()))]
    KeyAlgorithm { kid: Option<String>, algorithm: super::Algorithm },
    #[error("more than one of the provider's keys fits the token, and it does not say which")]
    AmbiguousKey,
    #[error("the token's signature does not fit")]
    Signature,
    #[error("the token is of another kind: `{}`", shown(said))]
    Kind { said: String },
    #[error("the token has no `{0}`")]
    Missing(&'static str),
    #[error("the token's `{0}` is of the wrong type")]
    ClaimType(&'static str),
    #[error("the token's `{0}` is out of range")]
    ClaimRange(&'static str),
    #[error("the token's `{0}` is empty, too long, or has control characters")]
    ClaimText(&'static str),
    #[error("the token is of issuer `{}`", shown(said))]
    Issuer { said: String },
    #[error("the token is not for this client: its audience is `{}`", shown(said))]
    Audience { said: String },
    #[error("the token is for `{}` as well, which the connector does not allow", shown(said))]
    ExtraAudience { said: String },
    #[error("the token was issued to `{}`, another client", shown(said))]
    Azp { said: String },
    #[error("the token has several audiences and does not say which client it was issued to (`azp`)")]
    AzpMissing,
    #[error("the token was made for another login: its nonce is not the one that was sent")]
    Nonce,
    #[error("the token has a nonce, which a logout token must not have")]
    NonceThere,
    #[error("the token expired {} s ago, beyond what clocks may differ", .by.as_secs())]
    Expired { by: Duration },
    #[error("the token is valid only in {} s: compare the clocks of provider and proxy", .ahead.as_secs())]
    NotYet { ahead: Duration },
    #[error("the token was issued {} s in the future: compare the clocks of provider and proxy", .ahead.as_secs())]
    IssuedAhead { ahead: Duration },
    #[error("the token says that the person will sign in {} s from now: compare the clocks of provider and proxy", .ahead.as_secs())]
    AuthAhead { ahead: Duration },
    #[error("the token expires before it was issued")]
    Order,
    #[error("the token would live longer than the {} hours that are accepted", super::MAX_LIFE.as_secs() / 3600)]
    TooLong,
    #[error("the logout token was issued {} s ago, which is too long for a message that is sent at once", .by.as_secs())]
    TooOld { by: Duration },
    #[error("the logout token does not say the event of a back-channel logout")]
    Events,
    #[error("the token is a logout token, which proves no login")]
    IsLogout,
    #[error("the logout token names neither a person (`sub`) nor a session (`sid`)")]
    NoOne,
}

impl TokenFault {
    /// A short stable word for events and tests.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooBig => "size",
            Self::Parts => "parts",
            Self::Encoding => "encoding",
            Self::Json { fault, .. } => fault.code(),
            Self::Header(_) => "header",
            Self::Algorithm { .. } => "alg",
            Self::Kid => "kid",
            Self::UnknownKey { .. } => "unknown_key",
            Self::KeyAlgorithm { .. } => "key_alg",
            Self::AmbiguousKey => "ambiguous_key",
            Self::Signature => "signature",
            Self::Kind { .. } => "typ",
            Self::Missing(_) => "missing",
            Self::ClaimType(_) => "claim_type",
            Self::ClaimRange(_) => "claim_range",
            Self::ClaimText(_) => "claim_text",
            Self::Issuer { .. } => "issuer",
            Self::Audience { .. } => "audience",
            Self::ExtraAudience { .. } => "extra_audience",
            Self::Azp { .. } => "azp",
            Self::AzpMissing => "azp_missing",
            Self::Nonce => "nonce",
            Self::NonceThere => "nonce_there",
            Self::Expired { .. } => "expired",
            Self::NotYet { .. } => "not_yet",
            Self::IssuedAhead { .. } => "issued_ahead",
            Self::AuthAhead { .. } => "auth_ahead",
            Self::Order => "order",
            Self::TooLong => "too_long",
            Self::TooOld { .. } => "too_old",
            Self::Events => "events",
            Self::IsLogout => "logout_token",
            Self::NoOne => "no_one",
        }
    }
}

/// The beginning of a text of elsewhere, in ASCII without control characters.
fn shown(text: &str) -> String {
    shown_up_to(text, SHOWN)
}

/// As many characters of a text of elsewhere, in ASCII without control characters.
pub(super) fn shown_up_to(text: &str, most: usize) -> String {
    let mut out: String = text.chars().take(most).flat_map(char::escape_default).collect();
    if text.chars().nth(most).is_some() {
        out.push_str("...");
    }
    out
}

/// What a fault keeps of a token's own text: more than is shown, less than a token may hold.
pub(super) fn kept(text: &str) -> String {
    text.chars().take(256).collect()
}

fn named(kid: Option<&str>) -> String {
    kid.map_or_else(|| "one for a token without key id".to_owned(), |kid| format!("`{}`", shown(kid)))
}
