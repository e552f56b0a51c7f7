//! From a credential to a person: sign-ins as stored records, and who stands behind a certificate now.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use access::identity::Identity;
use access::time::Timestamp;
use access::words::UserName;
use serde::{Deserialize, Serialize};
use store::kv::{Expect, Kv, KvError, MAX_BATCH};

use super::ask::USER_LIFE;
use super::one_time::{Purpose, Redeemed};
use super::ssh::SshClaim;
use crate::live::Live;

/// One sign-in. The certificates name it, so that ending it ends them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignIn {
    user: UserName,
    principal: String,
    method: String,
    started: Timestamp,
    pub(super) expires: Timestamp,
    /// Signed out. The record stays, so that its link does not begin it again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    ended: bool,
}

/// The proof that a person signed in: what the authority signs certificates for.
#[derive(Debug)]
pub(crate) struct VerifiedUser {
    identity: Identity,
    sign_in: u64,
}

impl VerifiedUser {
    /// Who.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }
    /// The sign-in.
    pub(crate) fn sign_in(&self) -> u64 {
        self.sign_in
    }
}

/// Why nobody stands behind a credential.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub(crate) enum NobodyError {
    #[error("there is no user {0}")]
    NoUser(UserName),
    #[error("the sign-in has ended")]
    Ended,
    #[error("this link signs nobody in")]
    OtherPurpose,
    #[error(transparent)]
    Store(#[from] KvError),
}

/// People and their sign-ins.
#[derive(Clone)]
pub(crate) struct People {
    store: Arc<dyn Kv>,
    live: Live,
    /// Of a sign-in.
    life: Duration,
}

impl People {
    /// Sign-ins last for `life`, or for as long as a certificate may at most.
    pub(crate) fn new(store: Arc<dyn Kv>, live: Live, life: Duration) -> Self {
        Self { store, live, life: life.min(USER_LIFE) }
    }

    /// A used-up link signs its person in.
    pub(crate) fn sign_in(&self, link: &Redeemed, now: Timestamp) -> Result<VerifiedUser, NobodyError> {
        let Purpose::LoginLink { user } = link.purpose() else { return Err(NobodyError::OtherPurpose) };
        let expires = now.plus(self.life);
        let identity = self.live.now().identity(user, expires).ok_or_else(|| NobodyError::NoUser(user.clone()))?;
        let principal = identity.user.principal();
        let record = SignIn { user: user.clone(), principal, method: "link".to_owned(), started: now, expires, ended: false };
        let value = serde_json::to_vec(&record).unwrap_or_default();
        let sign_in = link.sign_in();
        match self.store.put(&key_of(sign_in), &value, Expect::Absent) {
            Ok(_) => Ok(VerifiedUser { identity, sign_in }),
            // The holder's answer was lost: the sign-in that is there goes on, no longer than it would have, unless it was ended.
            Err(KvError::Conflict { .. }) => self.identity(user, sign_in, now).map(|identity| VerifiedUser { identity, sign_in }),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends a sign-in; its certificates count no more, and its link begins it no more.
    pub(crate) fn sign_out(&self, sign_in: u64) -> Result<(), KvError> {
        let key = key_of(sign_in);
        let Some(stored) = self.store.get(&key)? else { return Ok(()) };
        let mut record: SignIn = serde_json::from_slice(&stored.value).map_err(|_| KvError::Damaged(key.clone()))?;
        record.ended = true;
        self.store.put(&key, &serde_json::to_vec(&record).unwrap_or_default(), Expect::Any).map(|_| ())
    }

    /// Who is behind a sign-in now, with the roles of now.
    pub(crate) fn identity(&self, name: &UserName, sign_in: u64, now: Timestamp) -> Result<Identity, NobodyError> {
        let stored = self.store.get(&key_of(sign_in))?.ok_or(NobodyError::Ended)?;
        let record: SignIn = serde_json::from_slice(&stored.value).map_err(|_| KvError::Damaged(key_of(sign_in)))?;
        let identity = self.live.now().identity(name, record.expires).ok_or_else(|| NobodyError::NoUser(name.clone()))?;
        // A user who was deleted and made again under the same name is somebody else.
        let same = record.user == *name && record.principal == identity.user.principal();
        if same && !record.ended && now < record.expires { Ok(identity) } else { Err(NobodyError::Ended) }
    }

    /// Everybody who is signed in.
    pub(crate) fn signed_in(&self, now: Timestamp) -> Result<BTreeSet<UserName>, KvError> {
        let mut names = BTreeSet::new();
        let mut after: Option<String> = None;
        loop {
            let entries = self.store.scan(SIGN_INS, after.as_deref(), MAX_BATCH)?;
            let Some(last) = entries.last() else { return Ok(names) };
            after = Some(last.key.clone());
            for entry in entries {
                let record: SignIn = serde_json::from_slice(&entry.at.value).map_err(|_| KvError::Damaged(entry.key.clone()))?;
                let sign_in = entry.key.strip_prefix(SIGN_INS).and_then(|hex| u64::from_str_radix(hex, 16).ok());
                if sign_in.is_some_and(|sign_in| self.identity(&record.user, sign_in, now).is_ok()) {
                    names.insert(record.user);
                }
            }
        }
    }

    /// Who is behind a believed SSH certificate.
    pub(crate) fn of_certificate(&self, claim: &SshClaim, now: Timestamp) -> Result<Identity, NobodyError> {
        let name = claim.name.parse().map_err(|_| NobodyError::Ended)?;
        let identity = self.identity(&name, claim.sign_in, now)?;
        if identity.user.principal() == claim.principal { Ok(identity) } else { Err(NobodyError::Ended) }
    }
}

/// Where sign-ins are.
pub(crate) const SIGN_INS: &str = "signin/";

fn key_of(sign_in: u64) -> String {
    format!("{SIGN_INS}{sign_in:016x}")
}

#[cfg(test)]
impl People {
    /// A sign-in without a link, for tests of what comes after it.
    pub(crate) fn sign_in_for_test(&self, name: &UserName, now: Timestamp) -> VerifiedUser {
        let once = super::one_time::OneTime::new(self.store.clone());
        let made = once.make(Purpose::LoginLink { user: name.clone() }, USER_LIFE, None, now).expect("a link");
        let redeemed = once.redeem(super::one_time::LOGIN_LINK, &made.secret, "test", now).expect("redeemed");
        self.sign_in(&redeemed, now).expect("signed in")
    }
}
