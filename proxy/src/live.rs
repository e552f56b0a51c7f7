//! What is in force now: the policy and the people, as one value that everybody reads and that is replaced whole when the store moves.

use std::collections::BTreeMap;
use std::sync::Arc;

use access::identity::{Identity, UserId};
use access::policy::{PolicySet, RoleSpec, UserSpec};
use access::time::Timestamp;
use access::words::{InstallId, RoleName, UserName};
use serde::{Deserialize, Serialize};
use store::kv::{Entry, Kv, KvError};
use tokio::sync::watch;

/// Where roles are.
pub(crate) const ROLES: &str = "role/";
/// Where people are.
pub(crate) const USERS: &str = "user/";

/// A person as stored. The subject is given once, so that a name that is deleted and made again is another person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredUser {
    pub(crate) subject: String,
    pub(crate) spec: UserSpec,
}

/// Everything that decides, at one revision.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) policy: PolicySet,
    pub(crate) users: BTreeMap<UserName, StoredUser>,
    install: InstallId,
}

impl View {
    /// The person of this handle, as of now, signed in until `expires`.
    pub(crate) fn identity(&self, name: &UserName, expires: Timestamp) -> Option<Identity> {
        let user = self.users.get(name)?;
        Some(Identity {
            user: self.user_id(user),
            name: name.clone(),
            roles: user.spec.roles.clone(),
            traits: user.spec.traits.clone(),
            expires,
            auth: Default::default(),
        })
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
}

impl Live {
    /// Reads the view. [`Self::keep`] keeps it current.
    pub(crate) fn start(store: Arc<dyn Kv>, install: InstallId) -> Result<Self, LiveError> {
        let view = watch::Sender::new(Arc::new(read(store.as_ref(), &install)?));
        Ok(Self(Arc::new(Inner { store, install, view })))
    }

    /// Follows the store for as long as it is polled: another proxy may write too.
    pub(crate) async fn keep(self) {
        let (Ok(mut roles), Ok(mut users)) = (self.0.store.watch(ROLES), self.0.store.watch(USERS)) else { return };
        loop {
            tokio::select! {
                Ok(()) = roles.changed() => {}
                Ok(()) = users.changed() => {}
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
        let new = read(self.0.store.as_ref(), &self.0.install)?;
        self.0.view.send_if_modified(|view| {
            let changed = view.policy.digest() != new.policy.digest() || view.users != new.users;
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
    let mut users = BTreeMap::new();
    for entry in scan(store, USERS)? {
        let name = entry.key.trim_start_matches(USERS).parse().map_err(|e| bad(&entry.key, &e))?;
        users.insert(name, serde_json::from_slice(&entry.at.value).map_err(|e| bad(&entry.key, &e))?);
    }
    Ok(View { policy, users, install: install.clone() })
}
