//! A change of what is declared: looked at as a whole, allowed, tried, in the log, in the store, in force; all of it or nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use access::connector::WriteOnly;
use access::event::{FieldChanges, What};
use access::policy::{Level, Resource, ResourceKind, Stated};
use access::words::{ConnectorName, RoleName};
use store::kv::{Change as Write, Expect, MAX_BATCH};
use wire::api::{Applied, AppliedItem, Change};

use super::App;
use super::person::Person;
use super::privilege::{fills, gives, hears, reaches};
use super::problem::No;
use super::resources::{may, missing, moved, there};
use super::{connectors, guarded, whole};
use crate::clock;
use crate::declared::{CLIENT_SECRET, Declared, Id, SECRET, Stored, StoredConnector, key_of};
use crate::live::View;
use crate::notify::fault;
use crate::unmade::unmade;

/// What somebody wants changed.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) dry_run: bool,
    pub(super) allow_self_lockout: bool,
    /// To be written, or, where there is nothing, deleted; and the revision that it must be at: 0 for none.
    pub(super) items: BTreeMap<Id, (Option<Stated>, Option<u64>)>,
    /// Write-only fields, taken out: what is compared, kept and shown is without them.
    pub(super) secrets: BTreeMap<Id, WriteOnly>,
}

impl Wanted {
    pub(super) fn write(&mut self, mut stated: Stated) -> Result<(), No> {
        let id = (stated.resource.kind(), stated.resource.name().to_owned());
        let (resource, secret) = connectors::without_secret(stated.resource);
        stated.resource = resource;
        self.secrets.extend(secret.map(|secret| (id.clone(), secret)));
        let revision = stated.revision.take();
        if self.items.insert(id, (Some(stated), revision)).is_some() {
            return Err(No::bad("NARU-C002", "a resource is declared twice"));
        }
        Ok(())
    }

    pub(super) fn delete(&mut self, id: Id, revision: Option<u64>) {
        self.items.insert(id, (None, revision));
    }

    fn kinds_permitted(&self, app: &App, person: &Person) -> Result<(), No> {
        let level = if self.dry_run { Level::Plan } else { Level::Write };
        let mut kinds: Vec<ResourceKind> = self.items.keys().map(|(kind, _)| *kind).collect();
        kinds.dedup();
        kinds.into_iter().try_for_each(|kind| may(app, person, kind, level))
    }

    /// Whether this person may write each kind in it, and may touch those that would change.
    pub(super) fn permitted<'a>(
        &self,
        app: &App,
        view: &View,
        person: &Person,
        changed: impl IntoIterator<Item = &'a Id>,
    ) -> Result<(), No> {
        self.kinds_permitted(app, person)?;
        for id in changed {
            let from = view.resources.get(id).map(|there| &there.stated.resource);
            let to = self.items.get(id).and_then(|(stated, _)| stated.as_ref()).map(|stated| &stated.resource);
            may_touch(app, view, person, id, from, to)?;
        }
        Ok(())
    }
}

/// Connectors whose providers were tried, and what was in force then.
#[derive(Default)]
struct Tried {
    connectors: BTreeMap<ConnectorName, StoredConnector>,
    view: Option<Arc<View>>,
}

impl Tried {
    /// One of what is wanted that was changed by somebody else since it was tried, or was found to need no trying.
    fn outdated<'w>(&self, wanted: &'w Wanted, view: &View) -> Option<&'w Id> {
        let before = self.view.as_ref()?;
        let connectors = wanted.items.keys().filter(|id| id.0 == ResourceKind::OidcConnector);
        connectors.into_iter().find(|id| before.resources.get(*id) != view.resources.get(*id))
    }
}

/// A change on its way.
pub(super) struct Changes<'a> {
    app: &'a App,
    wanted: Wanted,
    /// As the store has it.
    view: Arc<View>,
    /// What the keys are expected to be at when they are written.
    expected: BTreeMap<Id, Expect>,
}

impl<'a> Changes<'a> {
    /// Makes the change, or only says what it would be.
    pub(super) async fn make(app: &'a App, person: &Person, wanted: Wanted) -> Result<Applied, No> {
        // Whoever may write nothing of it waits in nobody's way.
        wanted.kinds_permitted(app, person)?;
        let dry_run = wanted.dry_run;
        // So do providers, which may take their time: they are tried before it is this change's turn.
        let (wanted, tried) = Self::tried(app, person, wanted).await?;
        let mut items = {
            let _one_at_a_time = app.writing.lock().await;
            Self::in_turn(app, person, wanted, &tried).await?
        };
        for item in items.iter_mut().filter(|item| item.kind == ResourceKind::OidcConnector.as_str() && !dry_run) {
            if let Ok(name) = item.name.parse() {
                item.next = app.oidc.dry_run(&name, person.client.clone()).await.ok();
            }
        }
        Ok(Applied { items })
    }

    /// The connectors among what changes, as they will be kept; where there are none, nothing is looked at yet.
    async fn tried(app: &'a App, person: &Person, wanted: Wanted) -> Result<(Wanted, Tried), No> {
        if !wanted.items.values().any(|(stated, _)| matches!(stated, Some(Stated { resource: Resource::OidcConnector { .. }, .. }))) {
            return Ok((wanted, Tried::default()));
        }
        let changes = Self::fresh(app, wanted)?;
        let person = changes.allowed(person)?;
        whole::check(&changes.after(), &changes.view, &person, changes.wanted.allow_self_lockout, &changes.changed())?;
        let connectors = changes.connectors().await?;
        Ok((changes.wanted, Tried { connectors, view: Some(changes.view) }))
    }

    async fn in_turn(app: &'a App, person: &Person, wanted: Wanted, tried: &Tried) -> Result<Vec<AppliedItem>, No> {
        let changes = Self::fresh(app, wanted)?;
        if let Some((kind, name)) = tried.outdated(&changes.wanted, &changes.view) {
            return Err(moved(*kind, name));
        }
        // Providers may have taken their time, and this login may have ended meanwhile.
        let person = changes.allowed(person)?;
        let after = changes.after();
        let policy = whole::check(&after, &changes.view, &person, changes.wanted.allow_self_lockout, &changes.changed())?;
        guarded::check(app, &changes.view, &after, &policy, &changes.changed()).await?;
        let items = changes.items();
        if items.iter().filter(|item| item.change != Change::Unchanged).count() > MAX_BATCH {
            let no = No::bad("NARU-C006", format!("more than {MAX_BATCH} changes in one apply: they could not be made all or none"));
            return Err(no.hint("Apply the file in parts, roles before the users who have them."));
        }
        if !changes.wanted.dry_run {
            // Guardrails take their time too.
            let person = changes.allowed(&person)?;
            changes.commit(&person, &items, &tried.connectors, policy.digest()).await?;
        }
        Ok(items)
    }

    /// The view as the store has it. The keys are read first: what is changed in between makes the write fail, and never makes it
    /// overwrite what was not looked at.
    fn fresh(app: &'a App, wanted: Wanted) -> Result<Self, No> {
        let mut expected = BTreeMap::new();
        for (id, (stated, demanded)) in &wanted.items {
            let key = key_of(id.0, &id.1);
            let at = app.store.get(&key)?.map(|at| at.revision);
            match demanded {
                Some(demanded) if *demanded != at.unwrap_or(0) => return Err(moved(id.0, &id.1)),
                _ if stated.is_none() && at.is_none() => return Err(missing(id.0, &id.1)),
                _ => {}
            }
            expected.insert(id.clone(), at.map_or(Expect::Absent, Expect::Revision));
        }
        app.sessions.live.refresh().map_err(No::ours)?;
        let view = app.sessions.live.now();
        let mut changes = Self { app, wanted, view, expected };
        changes.same_ids()?;
        // A secret that is the one that is there is no change.
        let (view, app) = (changes.view.clone(), changes.app);
        changes.wanted.secrets.retain(|id, secret| !connectors::has_secret(app, &view, id, secret));
        Ok(changes)
    }

    /// An id that was written along is that of the resource that is there: a file of another install changes nothing here by its name.
    fn same_ids(&self) -> Result<(), No> {
        for (id, (stated, _)) in &self.wanted.items {
            let Some(written) = stated.as_ref().and_then(|stated| stated.id.as_ref()) else { continue };
            if let Some(there) = self.view.resources.get(id).filter(|there| there.stored.id != *written) {
                let title = format!("{} {} has the id {}, and the one that was written is another", id.0.as_str(), id.1, there.stored.id);
                return Err(No::bad("NARU-P228", title).hint("Leave out id, or write to the install that it was read from."));
            }
        }
        Ok(())
    }

    /// The resources that would be there.
    fn after(&self) -> BTreeMap<Id, Stated> {
        let mut after = there(&self.view);
        for (id, (stated, _)) in &self.wanted.items {
            match stated {
                Some(stated) => drop(after.insert(id.clone(), stated.clone())),
                None => drop(after.remove(id)),
            }
        }
        after
    }

    fn before(&self, id: &Id) -> Option<&Declared> {
        self.view.resources.get(id)
    }

    fn is_same(&self, id: &Id) -> bool {
        let Some((Some(stated), _)) = self.wanted.items.get(id) else { return false };
        let same = |there: &Declared| {
            let there = &there.stated;
            (&there.resource, &there.labels, &there.managed_by) == (&stated.resource, &stated.labels, &stated.managed_by)
        };
        self.before(id).is_some_and(same) && !self.wanted.secrets.contains_key(id)
    }

    fn changed(&self) -> Vec<Id> {
        self.wanted.items.keys().filter(|id| !self.is_same(id)).cloned().collect()
    }

    /// Decided with person and roles as the writes before this one have left them.
    fn allowed(&self, person: &Person) -> Result<Person, No> {
        let person = person.again(self.app)?;
        self.wanted.permitted(self.app, &self.view, &person, &self.changed())?;
        Ok(person)
    }

    async fn connectors(&self) -> Result<BTreeMap<ConnectorName, StoredConnector>, No> {
        let changed = self.changed();
        let written = changed.iter().filter_map(|id| Some((id, &self.wanted.items.get(id)?.0.as_ref()?.resource)));
        connectors::made(self.app, &self.view, written, &self.wanted.secrets).await
    }

    fn items(&self) -> Vec<AppliedItem> {
        let change = |id: &Id, stated: &Option<Stated>| match (self.before(id), stated) {
            (_, None) => Change::Deleted,
            (None, Some(_)) => Change::Created,
            _ if self.is_same(id) => Change::Unchanged,
            _ => Change::Changed,
        };
        let item = |(id, (stated, _)): (&Id, &(Option<Stated>, Option<u64>))| AppliedItem {
            kind: id.0.as_str().to_owned(),
            name: id.1.clone(),
            change: change(id, stated),
            next: None,
        };
        self.wanted.items.iter().map(item).collect()
    }

    /// As it will be kept.
    fn stored(&self, id: &Id, stated: &Stated, connectors: &BTreeMap<ConnectorName, StoredConnector>) -> Result<Stored, No> {
        let before = self.before(id).map(|there| &there.stored);
        let mut stored = match before {
            // A lock that is written anew holds from now on.
            Some(before) if id.0 == ResourceKind::Lock => Stored::new(before.id.clone(), clock::now(), stated.resource.spec()),
            Some(before) => Stored { spec: stated.resource.spec(), ..before.clone() },
            None => Stored::new(uuid::Uuid::new_v4().to_string(), clock::now(), stated.resource.spec()),
        };
        stored.labels.clone_from(&stated.labels);
        stored.managed_by.clone_from(&stated.managed_by);
        match &stated.resource {
            Resource::OidcConnector { name, .. } => {
                let made = connectors.get(name).ok_or_else(|| No::ours("a connector that was not made"))?;
                stored.secrets = made.secret.iter().map(|secret| (CLIENT_SECRET.to_owned(), secret.clone())).collect();
                stored.key.clone_from(&made.key);
            }
            Resource::Messenger { spec, .. } | Resource::AuditSink { spec, .. } => {
                let url = |spec: &serde_json::Value| spec.pointer("/webhook/url").cloned();
                // A secret signs for one address, and for no other that the resource comes to name.
                if before.is_some_and(|before| url(&before.spec) != url(&stored.spec)) || spec.webhook.is_none() {
                    stored.secrets.clear();
                }
                let refused = |why: String| {
                    let no = No::bad("NARU-P229", format!("{} {} would tell nobody: {why}", id.0.as_str(), id.1));
                    no.hint(
                        "Nothing was changed. A secret is whsec_ and the base64 of 24 to 64 bytes, as `naru` signs by Standard Webhooks.",
                    )
                };
                match self.wanted.secrets.get(id) {
                    Some(secret) => {
                        fault(spec, secret.reveal()).map_or(Ok(()), |why| Err(refused(why)))?;
                        stored.secrets = [(SECRET.to_owned(), connectors::sealed(self.app, id, secret)?)].into();
                    }
                    None if stored.secrets.is_empty() => return Err(refused("it has no secret to sign with".to_owned())),
                    None => {}
                }
            }
            _ => {}
        }
        Ok(stored)
    }

    /// Every change is durably in the log before it is in force.
    async fn commit(
        &self,
        person: &Person,
        items: &[AppliedItem],
        connectors: &BTreeMap<ConnectorName, StoredConnector>,
        policy: &str,
    ) -> Result<(), No> {
        let (mut writes, mut told) = (Vec::new(), Vec::new());
        for ((id, (stated, _)), _) in self.wanted.items.iter().zip(items).filter(|(_, item)| item.change != Change::Unchanged) {
            let expect = self.expected.get(id).copied().unwrap_or(Expect::Absent);
            let key = key_of(id.0, &id.1);
            let stored = stated.as_ref().map(|stated| self.stored(id, stated, connectors)).transpose()?;
            writes.push(
                stored
                    .as_ref()
                    .map_or_else(|| Write::delete(key.clone(), expect), |stored| Write::put(key.clone(), stored.bytes(), expect)),
            );
            told.extend(self.events(id, stored.as_ref(), policy));
        }
        let mut last = None;
        for what in &told {
            last = Some(self.app.sessions.log.append(&person.event(what.clone()))?);
        }
        let Some(logged) = last else { return Ok(()) };
        let _durable = self.app.sessions.log.durable(logged).await?;
        if let Err(error) = self.app.store.batch(&writes) {
            for what in told {
                let _logged = self.app.sessions.log.append(&unmade(person.event(what), &error))?;
            }
            return Err(error.into());
        }
        self.app.sessions.live.refresh().map_err(No::ours)
    }

    fn events(&self, id: &Id, after: Option<&Stored>, policy: &str) -> Vec<What> {
        let before = self.before(id).map(|there| &there.stored);
        let change = match (before, after) {
            (_, None) => "deleted",
            (None, _) => "created",
            _ => "changed",
        };
        let mut diff = FieldChanges::between(shown(before).as_ref(), shown(after).as_ref());
        if let Some(after) = after.filter(|after| before.map(|before| &before.secrets) != Some(&after.secrets)) {
            after.secrets.keys().for_each(|field| diff.secret(&format!("spec/{field}")));
        }
        let (kind, name) = (id.0.as_str().to_owned(), id.1.clone());
        let mut all = vec![What::PolicyChanged { kind, name, change: change.to_owned(), policy: policy.to_owned(), diff }];
        if id.0 == ResourceKind::Lock {
            all.extend(before.map(|before| What::LockRemoved { lock: id.1.clone(), target: target(before) }));
            all.extend(after.map(|after| What::LockCreated {
                lock: id.1.clone(),
                target: target(after),
                resource: serde_json::to_value(after).unwrap_or_default(),
            }));
        }
        all
    }
}

/// What of a resource is told: never its secrets.
fn shown(stored: Option<&Stored>) -> Option<serde_json::Value> {
    let stored = stored?;
    Some(serde_json::json!({"labels": stored.labels, "managed_by": stored.managed_by, "spec": stored.spec}))
}

fn target(lock: &Stored) -> String {
    let spec: Option<access::policy::LockSpec> = serde_json::from_value(lock.spec.clone()).ok();
    spec.and_then(|spec| spec.target.word()).unwrap_or_default()
}

/// What gives roles is touched by who has what it gives, and gives what the giver has. Of a connector and a bot every role counts as
/// given, also where only its provider changes: whoever is named there decides who gets it.
fn may_touch(app: &App, view: &View, person: &Person, id: &Id, from: Option<&Resource>, to: Option<&Resource>) -> Result<(), No> {
    let (kind, name) = (id.0, &id.1);
    let words = if kind == ResourceKind::OidcConnector { "connector" } else { kind.as_str() };
    let had: Vec<RoleName> = from.map(Resource::gives).unwrap_or_default().into_iter().cloned().collect();
    reaches(app, view, person, &had, &format!("change the {words} {name}"))?;
    if matches!(kind, ResourceKind::Messenger | ResourceKind::AuditSink) {
        hears(app, view, person, &format!("change the {words} {name}"))?;
    }
    let Some(to) = to else { return Ok(()) };
    let kept = |role: &&RoleName| kind == ResourceKind::User && had.contains(role);
    let new: Vec<RoleName> = to.gives().into_iter().filter(|role| !kept(role)).cloned().collect();
    gives(app, view, person, &new, &format!("give the {words} {name}"))?;
    fills(app, view, person, from, to, &format!("let the {words} {name}"))
}
