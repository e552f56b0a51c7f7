//! The claims that every token has, read strictly: a claim of the wrong type is refused, never taken as absent
//! (CVE-2026-25537 was that). What a kind of token demands beyond these lives with that kind.

use std::time::Duration;

use access::time::Timestamp;
use serde_json::{Map, Value};

use super::fault::kept;
use super::{Expected, MAX_LEEWAY, MAX_LIFE, TokenFault};

/// 9999-12-31T23:59:59Z.
const LAST_SECOND: u64 = 253_402_300_799;
/// OpenID Connect Core 1.0 section 2: `sub` has at most 255 characters; ours for `sid` as well.
pub(super) const MAX_NAME: usize = 255;
/// The event that makes a token a logout token.
const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// When a token was issued and when it ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Life {
    pub(super) issued: Timestamp,
    pub(super) expires: Timestamp,
}

/// Claims of a token whose signature was checked, beside what is expected of them.
#[derive(Clone, Copy)]
pub(super) struct Claims<'a> {
    pub(super) claims: &'a Map<String, Value>,
    pub(super) expected: &'a Expected<'a>,
}

impl<'a> Claims<'a> {
    /// `iss`, to the letter.
    pub(super) fn issuer(self) -> Result<(), TokenFault> {
        let said = self.text_as_it_is("iss")?.ok_or(TokenFault::Missing("iss"))?;
        if said != self.expected.issuer {
            return Err(TokenFault::Issuer { said: kept(said) });
        }
        Ok(())
    }

    /// `aud` holds ours; gives all of them. One text or a list of texts (RFC 7519 section 4.1.3).
    pub(super) fn audiences(self) -> Result<Vec<&'a str>, TokenFault> {
        let wrong = || TokenFault::ClaimType("aud");
        let said: Vec<&str> = match self.claims.get("aud").ok_or(TokenFault::Missing("aud"))? {
            Value::String(one) => vec![one],
            Value::Array(many) => many.iter().map(Value::as_str).collect::<Option<_>>().ok_or_else(wrong)?,
            _ => return Err(wrong()),
        };
        if !said.contains(&self.expected.audience) {
            return Err(TokenFault::Audience { said: kept(said.first().copied().unwrap_or_default()) });
        }
        Ok(said)
    }

    /// As [`Self::audiences`], and nobody stands beside us whom the connector does not name; `azp` is ours where it is said.
    pub(super) fn audience_of_ours(self) -> Result<Vec<&'a str>, TokenFault> {
        let said = self.audiences()?;
        let ours = |one: &str| one == self.expected.audience || self.expected.also_audiences.iter().any(|also| also == one);
        if let Some(other) = said.iter().find(|one| !ours(one)) {
            return Err(TokenFault::ExtraAudience { said: kept(other) });
        }
        match self.text_as_it_is("azp")? {
            Some(azp) if azp != self.expected.audience => Err(TokenFault::Azp { said: kept(azp) }),
            _ => Ok(said),
        }
    }

    /// `exp`, `iat` and `nbf` against the time and each other.
    pub(super) fn life(self) -> Result<Life, TokenFault> {
        let expires = self.seconds("exp")?.ok_or(TokenFault::Missing("exp"))?;
        let issued = self.seconds("iat")?.ok_or(TokenFault::Missing("iat"))?;
        let starts = self.seconds("nbf")?;
        // In seconds: as nanoseconds a far year would be cut.
        let life = expires.checked_sub(issued).and_then(|life| u64::try_from(life).ok()).ok_or(TokenFault::Order)?;
        if life == 0 {
            return Err(TokenFault::Order);
        }
        if life > MAX_LIFE.as_secs() {
            return Err(TokenFault::TooLong);
        }
        if let Some(ahead) = self.ahead(issued) {
            return Err(TokenFault::IssuedAhead { ahead });
        }
        if let Some(ahead) = starts.and_then(|at| self.ahead(at)) {
            return Err(TokenFault::NotYet { ahead });
        }
        let (now, expires) = (self.expected.now, Timestamp::from_secs(expires));
        // RFC 7519 section 4.1.4: not on the second of `exp` either.
        if now >= expires.plus(self.leeway()) {
            return Err(TokenFault::Expired { by: now.since(expires) });
        }
        Ok(Life { issued: Timestamp::from_secs(issued), expires })
    }

    /// By how much a second lies in the future, when it is more than clocks may differ.
    pub(super) fn ahead(self, second: i64) -> Option<Duration> {
        let at = Timestamp::from_secs(second);
        (at > self.expected.now.plus(self.leeway())).then(|| at.since(self.expected.now))
    }

    pub(super) fn leeway(self) -> Duration {
        self.expected.leeway.min(MAX_LEEWAY)
    }

    /// A point in time as whole seconds since 1970: a JSON number written as an integer, before the year 10000.
    pub(super) fn seconds(self, name: &'static str) -> Result<Option<i64>, TokenFault> {
        let Some(value) = self.claims.get(name) else { return Ok(None) };
        let seconds = value.as_u64().ok_or(TokenFault::ClaimType(name))?;
        let within = i64::try_from(seconds).ok().filter(|_| seconds <= LAST_SECOND);
        within.map(Some).ok_or(TokenFault::ClaimRange(name))
    }

    /// A text of 1 to `most` characters without control characters.
    pub(super) fn text(self, name: &'static str, most: usize) -> Result<Option<&'a str>, TokenFault> {
        let Some(text) = self.text_as_it_is(name)? else { return Ok(None) };
        let long = text.chars().nth(most).is_some();
        if text.is_empty() || long || text.chars().any(char::is_control) {
            return Err(TokenFault::ClaimText(name));
        }
        Ok(Some(text))
    }

    pub(super) fn text_as_it_is(self, name: &'static str) -> Result<Option<&'a str>, TokenFault> {
        let Some(value) = self.claims.get(name) else { return Ok(None) };
        value.as_str().map(Some).ok_or(TokenFault::ClaimType(name))
    }

    /// Whether `events` holds the event of a back-channel logout, which must be an object.
    pub(super) fn says_logout(self) -> bool {
        self.claims.get("events").and_then(|events| events.get(LOGOUT_EVENT)).is_some_and(Value::is_object)
    }

    /// Refuses the kinds that Keycloak writes into a claim `typ`. Elsewhere that claim means nothing.
    pub(super) fn is_none_of(self, kinds: &[&str]) -> Result<(), TokenFault> {
        match self.claims.get("typ").and_then(Value::as_str) {
            Some(said) if kinds.contains(&said.to_ascii_lowercase().as_str()) => Err(TokenFault::Kind { said: kept(said) }),
            _ => Ok(()),
        }
    }
}

/// The header's `typ` is one of these, or absent where a plain token will do.
pub(super) fn kind(typ: Option<&str>, plain: bool, wanted: &[&str]) -> Result<(), TokenFault> {
    match typ {
        None if plain => Ok(()),
        Some(typ) if wanted.contains(&typ) => Ok(()),
        other => Err(TokenFault::Kind { said: kept(other.unwrap_or("none")) }),
    }
}
