//! What is in force now: policy, people, connectors and bots, as one value that everybody reads and that is replaced whole when the store moves.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use access::connector::Kept;
use access::identity::{Auth, Granted, Identity, Traits, UserId};
use access::policy::PolicySet;
use access::time::Timestamp;
use access::words::{ConnectorName, InstallId, RoleName, UserName};
use serde::{Deserialize, Serialize};
use store::kv::{Entry, Kv, KvError};
use tokio::sync::watch;

use crate::declared::{self, All, DECLARED, Id, StoredUser};

/// Where people of identity providers are, since their first sign-in.
pub(crate) const PEOPLE: &str = "person/";
/// Where access requests are.
pub(crate) const REQUESTS: &str = "request/";

/// A person of an identity provider, as they last signed in or were asked about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredPerson {
    pub(crate) issuer: String,
    pub(crate) subject: String,
    pub(crate) connector: ConnectorName,
    pub(crate) kept: Kept,
}

/// Everything that decides, at one revision.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) policy: PolicySet,
    /// What is declared.
    pub(crate) all: All,
    pub(crate) people: BTreeMap<UserName, StoredPerson>,
    /// What access requests gave, by the person's principal: those that are over may be among them.
    granted: BTreeMap<String, Vec<Granted>>,
    install: InstallId,
    /// Everything up to this revision of the store is in it, and maybe something that came while it was read.
    pub(crate) at: u64,
    /// What was deleted lately.
    gone: Arc<Gone>,
}

/// Resources that were deleted: so many of the last ones, and all since some revision.
#[derive(Debug, Clone, Default)]
struct Gone {
    since: u64,
    /// The first view without it, and which it was.
    last: VecDeque<(u64, Id)>,
}

/// Most deletions that are remembered for who comes back.
const REMEMBERED: usize = 1000;

impl std::ops::Deref for View {
    type Target = All;
    fn deref(&self) -> &All {
        &self.all
    }
}

impl View {
    /// The resources that were deleted after a revision; none where so much is not known of the time since then.
    pub(crate) fn gone_since(&self, revision: u64) -> Option<impl Iterator<Item = &Id>> {
        let known = (self.gone.since..=self.at).contains(&revision);
        known.then(|| self.gone.last.iter().filter(move |(at, _)| *at > revision).map(|(_, id)| id))
    }

    /// What this view, which comes after `before`, is to remember as deleted.
    fn remember(&mut self, before: &Self) {
        let deleted: Vec<Id> = before.resources.keys().filter(|id| !self.resources.contains_key(*id)).cloned().collect();
        self.gone = before.gone.clone();
        if deleted.is_empty() {
            return;
        }
        let gone = Arc::make_mut(&mut self.gone);
        gone.last.extend(deleted.into_iter().map(|id| (self.at, id)));
        while gone.last.len() > REMEMBERED
            && let Some((at, _)) = gone.last.pop_front()
        {
            gone.since = at;
        }
    }

    /// What requests gave somebody.
    pub(crate) fn granted(&self, user: &UserId) -> Vec<Granted> {
        self.granted.get(&user.principal()).cloned().unwrap_or_default()
    }

    /// A person or machine with what requests gave them.
    fn person(&self, user: UserId, name: &UserName, roles: Vec<RoleName>, traits: Traits, expires: Timestamp) -> Identity {
        let granted = self.granted(&user);
        Identity { user, name: name.clone(), roles, traits, expires, auth: Auth::default(), context: Default::default(), granted }
    }

    /// The person of this handle, as of now, signed in until `expires`: somebody declared here, or somebody of a provider with what
    /// was last known of them.
    pub(crate) fn identity(&self, name: &UserName, expires: Timestamp) -> Option<Identity> {
        if let Some(user) = self.users.get(name) {
            return Some(self.person(self.user_id(user), name, user.spec.roles.clone(), user.spec.traits.clone(), expires));
        }
        let person = self.people.get(name)?;
        self.of_provider(name, person, expires)
    }

    /// Somebody of a provider, by what a connector makes of their claims; none where the connector is gone or is another provider's now.
    pub(crate) fn of_provider(&self, name: &UserName, person: &StoredPerson, expires: Timestamp) -> Option<Identity> {
        let StoredPerson { issuer, subject, connector, kept } = person;
        let spec = &self.connectors.get(connector).filter(|stored| stored.spec.issuer == *issuer)?.spec;
        let user = UserId { issuer: issuer.clone(), subject: subject.clone() };
        Some(self.person(user, name, spec.roles(kept).into_keys().collect(), spec.traits(kept), expires))
    }

    /// The machine of this handle.
    pub(crate) fn of_bot(&self, name: &UserName, issuer: &str, subject: &str, expires: Timestamp) -> Option<Identity> {
        let spec = self.bots.get(name).filter(|spec| spec.issuer == issuer)?;
        let user = UserId { issuer: issuer.to_owned(), subject: subject.to_owned() };
        Some(self.person(user, name, spec.roles.clone(), spec.traits.clone(), expires))
    }

    /// Whoever this was, as of now: somebody declared, of a provider, or a bot. None where the name is another's by now.
    pub(crate) fn still(&self, name: &UserName, user: &UserId, expires: Timestamp) -> Option<Identity> {
        let found = self.identity(name, expires).or_else(|| self.of_bot(name, &user.issuer, &user.subject, expires));
        found.filter(|identity| identity.user == *user)
    }

    /// The handle under which a person of a provider is known.
    pub(crate) fn handle(&self, issuer: &str, subject: &str) -> Option<&UserName> {
        self.people.iter().find(|(_, person)| person.issuer == issuer && person.subject == subject).map(|(name, _)| name)
    }

    /// Somebody as they would be.
    pub(crate) fn somebody(&self, user: UserId, name: &UserName, roles: Vec<RoleName>, traits: Traits, granted: Vec<Granted>) -> Identity {
        let never = Timestamp::from_nanos(i64::MAX);
        Identity { granted, ..self.person(user, name, roles, traits, never) }
    }

    /// Who would be declared by a name that nobody has.
    pub(crate) fn new_user(&self, name: &UserName) -> UserId {
        UserId { issuer: self.install.to_string(), subject: name.to_string() }
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
        let (Ok(mut declared), Ok(mut people), Ok(mut requests)) = (watch(DECLARED), watch(PEOPLE), watch(REQUESTS)) else { return };
        loop {
            tokio::select! {
                Ok(()) = declared.changed() => {}
                Ok(()) = people.changed() => {}
                Ok(()) = requests.changed() => {}
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
        let mut new = read(self.0.store.as_ref(), &self.0.install)?;
        self.0.view.send_if_modified(|view| {
            let changed = view.all != new.all || view.people != new.people || view.granted != new.granted;
            if changed {
                new.remember(view);
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
    // First: what is written while it is read may be in it too, and nothing is missing that was written before.
    let at = store.revision()?;
    let mut all = declared::read(store)?;
    let policy = declared::policy(std::mem::take(&mut all.parts))?;
    let granted = crate::requests::granted(store)?;
    // What the parts came to is in the policy; whether they changed shows in the resources.
    let gone = Arc::new(Gone { since: at, last: VecDeque::new() });
    Ok(View { policy, all, people: below(store, PEOPLE)?, granted, install: install.clone(), at, gone })
}

/// Every value below a prefix by its name.
fn below<N, T>(store: &dyn Kv, prefix: &str) -> Result<BTreeMap<N, T>, LiveError>
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
