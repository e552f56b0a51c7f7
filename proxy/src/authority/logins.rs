//! Logins as stored records, and the list of them: what a login is, how one is found by its provider's session, which are live. Who is
//! behind one is [`super::people`]'s.

use access::connector::Kept;
use access::identity::{Auth, Method};
use access::time::Timestamp;
use access::words::{ConnectorName, RoleName, UserName};
use serde::{Deserialize, Serialize};
use store::kv::{Kv, KvError, MAX_BATCH};

use super::sealed::Sealed;

/// Where sign-ins are.
pub(crate) const SIGN_INS: &str = "signin/";
/// Where what providers gave for sign-ins is: beside them, since it changes with each refresh.
pub(crate) const TOKENS: &str = "signin-tokens/";

/// One sign-in. The certificates name it, so that ending it ends them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignIn {
    pub(crate) user: UserName,
    pub(super) principal: String,
    pub(super) method: Method,
    pub(crate) started: Timestamp,
    pub(crate) expires: Timestamp,
    /// Over. The record stays, so that its link does not begin it again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) ended: bool,
    /// Why it is over, as its person reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<String>,
    /// How the person showed who they are.
    #[serde(default)]
    pub(crate) auth: Auth,
    /// What a provider said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) provider: Option<Provided>,
    /// Roles on top, of a break-glass link.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) roles: Vec<RoleName>,
}

/// What a provider said of a sign-in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Provided {
    pub(crate) issuer: String,
    pub(crate) subject: String,
    /// None for a bot, which has its own declaration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) connector: Option<ConnectorName>,
    /// The claims that count.
    #[serde(default)]
    pub(crate) kept: Kept,
    /// The provider's session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sid: Option<String>,
}

/// What is needed to ask the provider again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tokens {
    /// The refresh token; a new one comes with each use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refresh: Option<Sealed>,
    /// The last ID token, as the hint of a logout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id_token: Option<Sealed>,
    /// When the provider last said that all is as it was.
    pub(crate) confirmed: Timestamp,
}

/// A sign-in with its number.
#[derive(Debug, Clone)]
pub(crate) struct Login {
    pub(crate) id: u64,
    pub(crate) record: SignIn,
}

impl SignIn {
    /// Whether it is this person's.
    pub(crate) fn is_of(&self, principal: &str) -> bool {
        self.principal == principal
    }
    /// Whether it goes on.
    pub(crate) fn lives(&self, now: Timestamp) -> bool {
        !self.ended && now < self.expires
    }
}

/// Every login that goes on and for which `wanted` holds. Blocks on the disk.
pub(crate) fn live(store: &dyn Kv, now: Timestamp, wanted: impl Fn(&SignIn) -> bool) -> Result<Vec<Login>, KvError> {
    let (mut all, mut after) = (Vec::new(), None::<String>);
    loop {
        let entries = store.scan(SIGN_INS, after.as_deref(), MAX_BATCH)?;
        let Some(last) = entries.last() else { return Ok(all) };
        after = Some(last.key.clone());
        for entry in entries {
            let record: SignIn = serde_json::from_slice(&entry.at.value).map_err(|_| KvError::Damaged(entry.key.clone()))?;
            let id = entry.key.strip_prefix(SIGN_INS).and_then(|hex| u64::from_str_radix(hex, 16).ok());
            if let Some(id) = id.filter(|_| record.lives(now) && wanted(&record)) {
                all.push(Login { id, record });
            }
        }
    }
}

pub(crate) fn key_of(sign_in: u64) -> String {
    format!("{SIGN_INS}{sign_in:016x}")
}

pub(crate) fn tokens_of(sign_in: u64) -> String {
    format!("{TOKENS}{sign_in:016x}")
}
