//! From a credential to a person: who stands behind a sign-in now, how one begins, changes and ends.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use access::connector::Kept;
use access::decide::locked;
use access::identity::{Auth, Identity, Method};
use access::time::Timestamp;
use access::words::{ConnectorName, UserName};
use store::kv::{Change, Expect, Kv, KvError};

use super::ask::USER_LIFE;
use super::logins::{self, Login, Provided, SignIn, Tokens, key_of, tokens_of};
use super::one_time::{Allowed, Purpose, Redeemed};
use super::ssh::SshClaim;
use crate::live::{Live, PEOPLE, StoredPerson};

/// How often a change of a login is tried where others write too.
const RENEWS: usize = 4;

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
    #[error("the sign-in has ended: {0}")]
    EndedBecause(String),
    #[error("this link signs nobody in")]
    OtherPurpose,
    #[error("what {0} may do, or who made this link, has changed since it was made")]
    Changed(UserName),
    #[error("the name {0} is taken by somebody else")]
    Taken(UserName),
    #[error(transparent)]
    Store(#[from] KvError),
}

/// A person or machine whom a provider vouched for, with what was checked of its word. Made in [`crate::oidc`] only, where a token was
/// believed.
#[derive(Debug)]
pub(crate) struct Vouched {
    pub(crate) name: UserName,
    pub(crate) provided: Provided,
    pub(crate) auth: Auth,
    pub(crate) tokens: Option<Tokens>,
    pub(crate) expires: Timestamp,
    /// Bound to the token that was believed.
    pub(crate) proof: crate::oidc::Believed,
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

    /// Where sign-ins are kept.
    pub(crate) fn store(&self) -> &dyn Kv {
        self.store.as_ref()
    }

    /// How long a sign-in lasts where nothing makes it shorter.
    pub(crate) fn life(&self) -> Duration {
        self.life
    }

    /// Whether a link is for the person of now, who has no role more than when it was made, and by somebody who may still act.
    fn is_allowed_still(&self, user: &UserName, of: &Allowed, now: Timestamp) -> Result<(), NobodyError> {
        let view = self.live.now();
        let soon = now.plus(self.life);
        let same = view.identity(user, soon).filter(|identity| identity.user == of.user);
        let no_more = same.is_some_and(|identity| identity.roles.iter().all(|role| of.roles.contains(role)));
        let (name, maker) = &of.by;
        let maker = view.still(name, maker, soon).is_some_and(|maker| locked(&maker, &view.policy, now).is_ok());
        if no_more && maker { Ok(()) } else { Err(NobodyError::Changed(user.clone())) }
    }

    /// A used-up link signs its person in.
    pub(crate) fn sign_in(&self, link: &Redeemed, now: Timestamp) -> Result<VerifiedUser, NobodyError> {
        let (user, method, roles) = match link.purpose() {
            Purpose::LoginLink { user, of } => {
                of.as_ref().map_or(Ok(()), |of| self.is_allowed_still(user, of, now))?;
                (user, Method::Link, Vec::new())
            }
            Purpose::BreakGlass { user, roles, .. } => (user, Method::BreakGlass, roles.clone()),
            Purpose::Node { .. } | Purpose::Nodes { .. } => return Err(NobodyError::OtherPurpose),
        };
        let expires = now.plus(self.life);
        let view = self.live.now();
        let known = view.identity(user, expires).filter(|_| method == Method::BreakGlass || view.users.contains_key(user));
        let principal = known.ok_or_else(|| NobodyError::NoUser(user.clone()))?.user.principal();
        let provider = view.people.get(user).filter(|_| !view.users.contains_key(user)).map(|person| Provided {
            issuer: person.issuer.clone(),
            subject: person.subject.clone(),
            connector: Some(person.connector.clone()),
            kept: person.kept.clone(),
            sid: None,
        });
        let auth = Auth { method, time: Some(now), ..Auth::default() };
        let record =
            SignIn { user: user.clone(), principal, method, started: now, expires, ended: false, why: None, auth, provider, roles };
        let value = serde_json::to_vec(&record).unwrap_or_default();
        let sign_in = link.sign_in();
        match self.store.put(&key_of(sign_in), &value, Expect::Absent) {
            Ok(_) => Ok(VerifiedUser { identity: self.identity(user, sign_in, now)?, sign_in }),
            // The holder's answer was lost: the sign-in that is there goes on, no longer than it would have, unless it was ended.
            Err(KvError::Conflict { .. }) => self.identity(user, sign_in, now).map(|identity| VerifiedUser { identity, sign_in }),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether whoever a provider vouches for may have this name: it is theirs already, or nobody's.
    pub(crate) fn may_be_called(&self, name: &UserName, provided: &Provided) -> Result<(), NobodyError> {
        let view = self.live.now();
        let free = match view.people.get(name) {
            _ if view.users.contains_key(name) => false,
            _ if view.bots.contains_key(name) => provided.connector.is_none(),
            Some(person) => person.issuer == provided.issuer && person.subject == provided.subject,
            None => true,
        };
        if free { Ok(()) } else { Err(NobodyError::Taken(name.clone())) }
    }

    /// Somebody whom a provider vouched for signs in.
    pub(crate) fn vouched(&self, vouched: Vouched, now: Timestamp) -> Result<VerifiedUser, NobodyError> {
        let Vouched { name, provided, auth, tokens, expires, proof } = vouched;
        self.may_be_called(&name, &provided)?;
        let sign_in = proof.sign_in();
        let user = access::identity::UserId { issuer: provided.issuer.clone(), subject: provided.subject.clone() };
        let mut changes = Vec::new();
        if let Some(person) = stored_person(&provided) {
            changes.extend(self.known_as(&name, person)?);
        }
        let news = !changes.is_empty();
        if let Some(tokens) = tokens {
            changes.push(Change::put(tokens_of(sign_in), serde_json::to_vec(&tokens).unwrap_or_default(), Expect::Absent));
        }
        let expires = expires.min(now.plus(self.life));
        let record = SignIn {
            user: name.clone(),
            principal: user.principal(),
            method: auth.method,
            started: now,
            expires,
            ended: false,
            why: None,
            auth,
            provider: Some(provided),
            roles: Vec::new(),
        };
        changes.push(Change::put(key_of(sign_in), serde_json::to_vec(&record).unwrap_or_default(), Expect::Absent));
        match self.store.batch(&changes) {
            Ok(_) => {}
            Err(KvError::Conflict { key, .. }) if key.starts_with(PEOPLE) => return Err(NobodyError::Taken(name)),
            Err(error) => return Err(error.into()),
        }
        // Somebody who comes back as they were changes nothing that all others read.
        if news {
            self.live.refresh().map_err(|error| KvError::Io(std::io::Error::other(error)))?;
        }
        Ok(VerifiedUser { identity: self.identity(&name, sign_in, now)?, sign_in })
    }

    /// What makes a person known by this name, where it is news.
    fn known_as(&self, name: &UserName, person: StoredPerson) -> Result<Option<Change>, NobodyError> {
        let key = format!("{PEOPLE}{name}");
        let value = serde_json::to_vec(&person).unwrap_or_default();
        Ok(match self.store.get(&key)? {
            None => Some(Change::put(key, value, Expect::Absent)),
            Some(stored) if stored.value == value => None,
            Some(stored) => {
                let before: StoredPerson = serde_json::from_slice(&stored.value).map_err(|_| KvError::Damaged(key.clone()))?;
                if (before.issuer, before.subject) != (person.issuer, person.subject) {
                    return Err(NobodyError::Taken(name.clone()));
                }
                Some(Change::put(key, value, Expect::Revision(stored.revision)))
            }
        })
    }

    /// A sign-in as it is stored.
    pub(crate) fn login(&self, sign_in: u64) -> Result<Option<SignIn>, KvError> {
        let Some(stored) = self.store.get(&key_of(sign_in))? else { return Ok(None) };
        serde_json::from_slice(&stored.value).map(Some).map_err(|_| KvError::Damaged(key_of(sign_in)))
    }

    /// Logins that go on.
    pub(crate) fn live_logins(&self, now: Timestamp, wanted: impl Fn(&SignIn) -> bool) -> Result<Vec<Login>, KvError> {
        logins::live(self.store.as_ref(), now, wanted)
    }

    /// What the provider of a sign-in gave.
    pub(crate) fn tokens(&self, sign_in: u64) -> Result<Option<Tokens>, KvError> {
        let Some(stored) = self.store.get(&tokens_of(sign_in))? else { return Ok(None) };
        serde_json::from_slice(&stored.value).map(Some).map_err(|_| KvError::Damaged(tokens_of(sign_in)))
    }

    /// The provider was asked again: what it said of the person, if that is known yet, and its new tokens; or the person showed anew who
    /// they are (`auth`: a refresh shows nothing of that). Answers whether anything changed that decides.
    pub(crate) fn renewed(
        &self,
        sign_in: u64,
        kept: Option<&Kept>,
        auth: Option<&Auth>,
        tokens: Option<&Tokens>,
    ) -> Result<bool, NobodyError> {
        for _ in 0..RENEWS {
            match self.renew_once(sign_in, kept, auth, tokens) {
                // Somebody else wrote in between: what they wrote is looked at, also whether they ended it.
                Err(NobodyError::Store(KvError::Conflict { .. })) => {}
                other => return other,
            }
        }
        self.renew_once(sign_in, kept, auth, tokens)
    }

    fn renew_once(&self, sign_in: u64, kept: Option<&Kept>, auth: Option<&Auth>, tokens: Option<&Tokens>) -> Result<bool, NobodyError> {
        let key = key_of(sign_in);
        let stored = self.store.get(&key)?.ok_or(NobodyError::Ended)?;
        let mut record: SignIn = serde_json::from_slice(&stored.value).map_err(|_| KvError::Damaged(key.clone()))?;
        if record.ended {
            return Err(NobodyError::Ended);
        }
        let mut changes = Vec::new();
        if let Some(tokens) = tokens {
            changes.push(Change::put(tokens_of(sign_in), serde_json::to_vec(tokens).unwrap_or_default(), Expect::Any));
        }
        let provided = record.provider.as_mut().ok_or(NobodyError::Ended)?;
        let kept = kept.filter(|kept| provided.kept != **kept);
        let auth = auth.filter(|auth| record.auth != **auth);
        let changed = kept.is_some() || auth.is_some();
        if !changed && tokens.is_none() {
            return Ok(false);
        }
        if let Some(kept) = kept {
            provided.kept = kept.clone();
            if let Some(person) = stored_person(provided) {
                changes.extend(self.known_as(&record.user, person)?);
            }
        }
        if let Some(auth) = auth {
            record.auth = auth.clone();
        }
        // Also where it is as it was: the tokens of a login that somebody ends meanwhile are not put back.
        changes.push(Change::put(key, serde_json::to_vec(&record).unwrap_or_default(), Expect::Revision(stored.revision)));
        self.store.batch(&changes)?;
        if changed {
            self.live.refresh().map_err(|error| KvError::Io(std::io::Error::other(error)))?;
        }
        Ok(changed)
    }

    /// Ends a sign-in; its certificates count no more, and its link begins it no more. Answers whether it went on until now.
    pub(crate) fn sign_out(&self, sign_in: u64, why: &str) -> Result<bool, KvError> {
        let key = key_of(sign_in);
        loop {
            let Some(stored) = self.store.get(&key)? else { return Ok(false) };
            let mut record: SignIn = serde_json::from_slice(&stored.value).map_err(|_| KvError::Damaged(key.clone()))?;
            if record.ended {
                return Ok(false);
            }
            (record.ended, record.why) = (true, Some(why.to_owned()));
            let changes = [
                Change::put(key.clone(), serde_json::to_vec(&record).unwrap_or_default(), Expect::Revision(stored.revision)),
                Change::delete(tokens_of(sign_in), Expect::Any),
            ];
            match self.store.batch(&changes) {
                Ok(_) => return Ok(true),
                // A refresh wrote in between: what it wrote is ended too.
                Err(KvError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Who is behind a sign-in now, with the roles of now.
    pub(crate) fn identity(&self, name: &UserName, sign_in: u64, now: Timestamp) -> Result<Identity, NobodyError> {
        let record = self.login(sign_in)?.ok_or(NobodyError::Ended)?;
        let view = self.live.now();
        let gone = || NobodyError::NoUser(name.clone());
        let mut identity = match (&record.provider, record.method) {
            (Some(provided), Method::Bot) => view.of_bot(name, &provided.issuer, &provided.subject, record.expires).ok_or_else(gone)?,
            (Some(provided), _) => {
                let person = stored_person(provided).ok_or_else(gone)?;
                view.of_provider(name, &person, record.expires).ok_or_else(gone)?
            }
            (None, _) => view.identity(name, record.expires).ok_or_else(gone)?,
        };
        identity.roles.extend(record.roles.iter().filter(|role| !identity.roles.contains(role)).cloned().collect::<Vec<_>>());
        // A user who was deleted and made again under the same name is somebody else.
        let same = record.user == *name && record.principal == identity.user.principal();
        identity.auth = record.auth.clone();
        match record.why {
            _ if same && !record.ended && now < record.expires => Ok(identity),
            Some(why) if same && record.ended => Err(NobodyError::EndedBecause(why)),
            _ => Err(NobodyError::Ended),
        }
    }

    /// Everybody who is signed in.
    pub(crate) fn signed_in(&self, now: Timestamp) -> Result<BTreeSet<UserName>, KvError> {
        let logins = self.live_logins(now, |_| true)?;
        Ok(logins
            .into_iter()
            .filter(|login| self.identity(&login.record.user, login.id, now).is_ok())
            .map(|login| login.record.user)
            .collect())
    }

    /// Who is behind a believed SSH certificate.
    pub(crate) fn of_certificate(&self, claim: &SshClaim, now: Timestamp) -> Result<Identity, NobodyError> {
        let name = claim.name.parse().map_err(|_| NobodyError::Ended)?;
        let identity = self.identity(&name, claim.sign_in, now)?;
        if identity.user.principal() == claim.principal { Ok(identity) } else { Err(NobodyError::Ended) }
    }
}

/// A person as they are known between logins; none for a bot.
fn stored_person(provided: &Provided) -> Option<StoredPerson> {
    let Provided { issuer, subject, connector, kept, .. } = provided;
    let connector: ConnectorName = connector.clone()?;
    Some(StoredPerson { issuer: issuer.clone(), subject: subject.clone(), connector, kept: kept.clone() })
}

#[cfg(test)]
impl People {
    /// A sign-in without a link, for tests of what comes after it.
    pub(crate) fn sign_in_for_test(&self, name: &UserName, now: Timestamp) -> VerifiedUser {
        let once = super::one_time::OneTime::new(self.store.clone());
        let made = once.make(Purpose::login_link(name.clone()), USER_LIFE, None, now).expect("a link");
        let redeemed = once.redeem(super::one_time::LOGIN_LINK, &made.secret, "test", now).expect("redeemed");
        self.sign_in(&redeemed, now).expect("signed in")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_refresh_keeps_at_once_undoes_neither_a_step_up_nor_a_sign_out() {
        let store: Arc<dyn Kv> = Arc::new(store::kv::memory());
        let live = Live::start(store.clone(), "i".parse().expect("an id")).expect("a view");
        let people = People::new(store.clone(), live, USER_LIFE);
        let now = Timestamp::from_secs(1_800_000_000);
        let sign_in = serde_json::json!({
            "user": "alice", "principal": "p", "method": "oidc", "started": now, "expires": now.plus(USER_LIFE),
            "provider": {"issuer": "https://i", "subject": "s", "connector": "c"},
        });
        store.put(&key_of(1), sign_in.to_string().as_bytes(), Expect::Absent).expect("stored");
        let stronger = Auth { acr: Some("gold".into()), ..Auth::default() };
        assert!(people.renewed(1, Some(&Kept::default()), Some(&stronger), None).expect("stepped up"));
        let tokens = Tokens { refresh: None, id_token: None, confirmed: now };
        assert!(!people.renewed(1, None, None, Some(&tokens)).expect("kept"));
        assert_eq!(people.login(1).expect("a store").expect("there").auth, stronger);
        assert_eq!(people.tokens(1).expect("a store"), Some(tokens.clone()));
        assert!(people.sign_out(1, "a test").expect("signed out"));
        assert!(matches!(people.renewed(1, None, None, Some(&tokens)), Err(NobodyError::Ended)));
        assert_eq!(people.tokens(1).expect("a store"), None);
    }
}
