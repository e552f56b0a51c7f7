//! What is in force now: policy, people, connectors and bots, as one value that everybody reads and that is replaced whole when the store moves.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use access::connector::{BotSpec, ConnectorSpec, Kept};
use access::identity::{Auth, Identity, UserId};
use access::policy::{PolicySet, RoleSpec, UserSpec};
use access::time::Timestamp;
use access::words::{ConnectorName, InstallId, RoleName, UserName};
use serde::{Deserialize, Serialize};
use store::kv::{Entry, Kv, KvError};
use tokio::sync::watch;

use crate::authority::sealed::Sealed;

/// Where roles are.
pub(crate) const ROLES: &str = "role/";
/// Where people are.
pub(crate) const USERS: &str = "user/";
/// Where people of identity providers are, since their first sign-in.
pub(crate) const PEOPLE: &str = "person/";
/// Where connectors are.
pub(crate) const CONNECTORS: &str = "connector/";
/// Where bots are.
pub(crate) const BOTS: &str = "bot/";

/// A person as stored. The subject is given once, so that a name that is deleted and made again is another person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredUser {
    pub(crate) subject: String,
    pub(crate) spec: UserSpec,
}

/// A person of an identity provider, as they last signed in or were asked about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredPerson {
    pub(crate) issuer: String,
    pub(crate) subject: String,
    pub(crate) connector: ConnectorName,
    pub(crate) kept: Kept,
}

/// A connector as stored: what is secret of it is sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredConnector {
    /// Without its secret.
    pub(crate) spec: ConnectorSpec,
    /// The client secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<Sealed>,
    /// Our key for `private_key_jwt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<ClientKey>,
}

/// A key pair of ours that a provider knows the public half of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientKey {
    /// PKCS#8, P-256.
    pub(crate) private: Sealed,
    /// The public point, uncompressed (SEC 1), hex.
    pub(crate) public: String,
}

/// Everything that decides, at one revision.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) policy: PolicySet,
    pub(crate) users: BTreeMap<UserName, StoredUser>,
    pub(crate) people: BTreeMap<UserName, StoredPerson>,
    pub(crate) connectors: BTreeMap<ConnectorName, StoredConnector>,
    pub(crate) bots: BTreeMap<UserName, BotSpec>,
    install: InstallId,
}

impl View {
    /// The person of this handle, as of now, signed in until `expires`: somebody declared here, or somebody of a provider with what
    /// was last known of them.
    pub(crate) fn identity(&self, name: &UserName, expires: Timestamp) -> Option<Identity> {
        if let Some(user) = self.users.get(name) {
            return Some(Identity {
                user: self.user_id(user),
                name: name.clone(),
                roles: user.spec.roles.clone(),
                traits: user.spec.traits.clone(),
                expires,
                auth: Auth::default(),
            });
        }
        let person = self.people.get(name)?;
        self.of_provider(name, person, expires)
    }

    /// Somebody of a provider, by what a connector makes of their claims; none where the connector is gone or is another provider's now.
    pub(crate) fn of_provider(&self, name: &UserName, person: &StoredPerson, expires: Timestamp) -> Option<Identity> {
        let StoredPerson { issuer, subject, connector, kept } = person;
        let spec = &self.connectors.get(connector).filter(|stored| stored.spec.issuer == *issuer)?.spec;
        Some(Identity {
            user: UserId { issuer: issuer.clone(), subject: subject.clone() },
            name: name.clone(),
            roles: spec.roles(kept).into_keys().collect(),
            traits: spec.traits(kept),
            expires,
            auth: Auth::default(),
        })
    }

    /// The machine of this handle.
    pub(crate) fn of_bot(&self, name: &UserName, issuer: &str, subject: &str, expires: Timestamp) -> Option<Identity> {
        let spec = self.bots.get(name).filter(|spec| spec.issuer == issuer)?;
        Some(Identity {
            user: UserId { issuer: issuer.to_owned(), subject: subject.to_owned() },
            name: name.clone(),
            roles: spec.roles.clone(),
            traits: spec.traits.clone(),
            expires,
            auth: Auth::default(),
        })
    }

    /// The handle under which a person of a provider is known.
    pub(crate) fn handle(&self, issuer: &str, subject: &str) -> Option<&UserName> {
        self.people.iter().find(|(_, person)| person.issuer == issuer && person.subject == subject).map(|(name, _)| name)
    }

    fn user_id(&self, user: &StoredUser) -> UserId {
        UserId { issuer: self.install.to_string(), subject: user.subject.clone() }
    }
}

/// The view cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The store.
    #[error(transparent)]
    Store(#[from] KvError),
    /// What is in it.
    #[error("the stored {key} cannot be used: {why}")]
    Stored {
        /// Which key.
        key: String,
        /// Why not.
        why: String,
    },
}

/// The view in force, and its changes.
#[derive(Clone)]
pub(crate) struct Live(Arc<Inner>);

struct Inner {
    store: Arc<dyn Kv>,
    install: InstallId,
    view: watch::Sender<Arc<View>>,
    /// One reads at a time: what was read earlier never replaces what was read later.
    reading: Mutex<()>,
}

impl Live {
    /// Reads the view. [`Self::keep`] keeps it current.
    pub(crate) fn start(store: Arc<dyn Kv>, install: InstallId) -> Result<Self, LiveError> {
        let view = watch::Sender::new(Arc::new(read(store.as_ref(), &install)?));
        Ok(Self(Arc::new(Inner { store, install, view, reading: Mutex::default() })))
    }

    /// Follows the store for as long as it is polled: another proxy may write too.
    pub(crate) async fn keep(self) {
        let watch = |prefix| self.0.store.watch(prefix);
        let (Ok(mut roles), Ok(mut users), Ok(mut people)) = (watch(ROLES), watch(USERS), watch(PEOPLE)) else { return };
        let (Ok(mut connectors), Ok(mut bots)) = (watch(CONNECTORS), watch(BOTS)) else { return };
        loop {
            tokio::select! {
                Ok(()) = roles.changed() => {}
                Ok(()) = users.changed() => {}
                Ok(()) = people.changed() => {}
                Ok(()) = connectors.changed() => {}
                Ok(()) = bots.changed() => {}
                else => return,
            }
            // The last good view stays in force: a write that cannot be read back was refused before it was made.
            if let Err(error) = self.refresh() {
                tracing::error!(%error, "the policy could not be read");
            }
        }
    }

    /// Reads again now: whoever wrote sees its own write in force.
    pub(crate) fn refresh(&self) -> Result<(), LiveError> {
        let _one = self.0.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let new = read(self.0.store.as_ref(), &self.0.install)?;
        self.0.view.send_if_modified(|view| {
            let changed = view.policy.digest() != new.policy.digest()
                || view.users != new.users
                || view.people != new.people
                || view.connectors != new.connectors
                || view.bots != new.bots;
            if changed {
                *view = Arc::new(new);
            }
            changed
        });
        Ok(())
    }

    /// Now.
    pub(crate) fn now(&self) -> Arc<View> {
        self.0.view.borrow().clone()
    }

    /// For waiting until it changes.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<View>> {
        self.0.view.subscribe()
    }
}

/// Every entry below a prefix.
pub(crate) fn scan(store: &dyn Kv, prefix: &str) -> Result<Vec<Entry>, KvError> {
    let mut all: Vec<Entry> = Vec::new();
    loop {
        let after = all.last().map(|entry| entry.key.clone());
        let page = store.scan(prefix, after.as_deref(), 500)?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

fn read(store: &dyn Kv, install: &InstallId) -> Result<View, LiveError> {
    let bad = |key: &str, why: &dyn std::fmt::Display| LiveError::Stored { key: key.to_owned(), why: why.to_string() };
    let mut roles: Vec<(RoleName, RoleSpec)> = Vec::new();
    for entry in scan(store, ROLES)? {
        let name = entry.key.trim_start_matches(ROLES).parse().map_err(|e| bad(&entry.key, &e))?;
        roles.push((name, serde_json::from_slice(&entry.at.value).map_err(|e| bad(&entry.key, &e))?));
    }
    let policy = PolicySet::build(roles).map_err(|faults| {
        let why = faults.first().map(|fault| fault.to_string()).unwrap_or_default();
        bad("roles", &why)
    })?;
    let (users, people) = (all(store, USERS)?, all(store, PEOPLE)?);
    let (connectors, bots) = (all(store, CONNECTORS)?, all(store, BOTS)?);
    Ok(View { policy, users, people, connectors, bots, install: install.clone() })
}

/// Every value below a prefix by its name.
fn all<N, T>(store: &dyn Kv, prefix: &str) -> Result<BTreeMap<N, T>, LiveError>
where
    N: std::str::FromStr<Err: std::fmt::Display> + Ord,
    T: serde::de::DeserializeOwned,
{
    let mut all = BTreeMap::new();
    for entry in scan(store, prefix)? {
        let bad = |why: &dyn std::fmt::Display| LiveError::Stored { key: entry.key.clone(), why: why.to_string() };
        let name = entry.key.strip_prefix(prefix).unwrap_or_default().parse().map_err(|error| bad(&error))?;
        all.insert(name, serde_json::from_slice(&entry.at.value).map_err(|error| bad(&error))?);
    }
    Ok(all)
}
