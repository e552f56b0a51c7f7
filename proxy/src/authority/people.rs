//! From a credential to a person: sign-ins as stored records, and who stands behind a certificate now.

use std::sync::Arc;

use access::identity::Identity;
use access::time::Timestamp;
use access::words::UserName;
use serde::{Deserialize, Serialize};
use store::kv::{Expect, Kv, KvError};

use super::ask::USER_LIFE;
use super::one_time::{Purpose, Redeemed};
use super::ssh::SshClaim;
use crate::live::Live;

/// One sign-in. The certificates name it, so that ending it ends them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignIn {
    user: UserName,
    principal: String,
    method: String,
    started: Timestamp,
    expires: Timestamp,
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
}

impl People {
    pub(crate) fn new(store: Arc<dyn Kv>, live: Live) -> Self {
        Self { store, live }
    }

    /// A used-up link signs its person in.
    pub(crate) fn sign_in(&self, link: &Redeemed, now: Timestamp) -> Result<VerifiedUser, NobodyError> {
        let Purpose::LoginLink { user } = link.purpose() else { return Err(NobodyError::OtherPurpose) };
        let expires = now.plus(USER_LIFE);
        let identity = self.live.now().identity(user, expires).ok_or_else(|| NobodyError::NoUser(user.clone()))?;
        let record = SignIn { user: user.clone(), principal: identity.user.principal(), method: "link".to_owned(), started: now, expires };
        let value = serde_json::to_vec(&record).unwrap_or_default();
        loop {
            let mut bytes = [0_u8; 8];
            aws_lc_rs::rand::fill(&mut bytes).map_err(|_| KvError::Io(std::io::Error::other("no random numbers")))?;
            let sign_in = u64::from_ne_bytes(bytes);
            match self.store.put(&key_of(sign_in), &value, Expect::Absent) {
                Ok(_) => return Ok(VerifiedUser { identity, sign_in }),
                Err(KvError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Ends a sign-in; its certificates count no more.
    pub(crate) fn sign_out(&self, sign_in: u64) -> Result<(), KvError> {
        self.store.delete(&key_of(sign_in), Expect::Any).map(|_| ())
    }

    /// Who is behind a sign-in now, with the roles of now.
    pub(crate) fn identity(&self, name: &UserName, sign_in: u64, now: Timestamp) -> Result<Identity, NobodyError> {
        let stored = self.store.get(&key_of(sign_in))?.ok_or(NobodyError::Ended)?;
        let record: SignIn = serde_json::from_slice(&stored.value).map_err(|_| KvError::Damaged(key_of(sign_in)))?;
        let identity = self.live.now().identity(name, record.expires).ok_or_else(|| NobodyError::NoUser(name.clone()))?;
        // A user who was deleted and made again under the same name is somebody else.
        let same = record.user == *name && record.principal == identity.user.principal();
        if same && now < record.expires { Ok(identity) } else { Err(NobodyError::Ended) }
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
        let made = once.make(Purpose::LoginLink { user: name.clone() }, USER_LIFE, now).expect("a link");
        let redeemed = once.redeem(super::one_time::LOGIN_LINK, &made.secret, "test", now).expect("redeemed");
        self.sign_in(&redeemed, now).expect("signed in")
    }
}
