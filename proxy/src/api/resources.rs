//! What is declared as resources: apply all or none, read, delete. What is checked is the whole that would be in force afterwards.

use std::collections::BTreeMap;
use std::sync::Arc;

use access::decide::Administer;
use access::event::{Outcome, OutcomeResult, What};
use access::identity::Method;
use access::policy::{PolicySet, Resource, ResourceKind, whole};
use access::words::{ConnectorName, RoleName, UserName};
use axum::Json;
use axum::extract::{Path, State};
use store::kv::{Change as Write, Expect, KvError, MAX_BATCH};
use wire::api::{Applied, AppliedItem, Apply, Change, Items};

use super::person::{Person, Told};
use super::privilege::{fills, gives, reaches};
use super::problem::No;
use super::{App, connectors, forget};
use crate::live::{BOTS, CONNECTORS, ROLES, StoredConnector, StoredUser, USERS, View};

fn kind_of(text: &str) -> Result<ResourceKind, No> {
    let known = ResourceKind::DECLARED.into_iter().find(|kind| kind.as_str() == text);
    known.ok_or_else(|| {
        No::not_found(format!("there is no kind of resource {text}")).hint("Kinds are role, user, bot, oidc_connector and node.")
    })
}

fn may(app: &App, person: &Person, kind: ResourceKind) -> Result<(), No> {
    let question = Administer { identity: person.identity.clone(), kind };
    person.may(app, question, &format!("to administer {}s", kind.as_str())).map(|_permit| ())
}

/// What is there, by kind and name.
fn there(view: &View) -> BTreeMap<(ResourceKind, String), Resource> {
    let roles = view.policy.roles().map(|(name, spec)| Resource::Role { name: name.clone(), spec: spec.clone() });
    let users = view.users.iter().map(|(name, user)| Resource::User { name: name.clone(), spec: user.spec.clone() });
    let spec = |stored: &StoredConnector| stored.spec.clone();
    let connectors = view.connectors.iter().map(|(name, stored)| Resource::OidcConnector { name: name.clone(), spec: spec(stored) });
    let bots = view.bots.iter().map(|(name, spec)| Resource::Bot { name: name.clone(), spec: spec.clone() });
    roles.chain(users).chain(connectors).chain(bots).map(|resource| ((resource.kind(), resource.name().to_owned()), resource)).collect()
}

/// `GET /v1/resources/{kind}`, for who may administer that kind.
pub(crate) async fn list(State(app): State<App>, person: Person, Path(kind): Path<String>) -> Result<Json<Items<Resource>>, No> {
    let kind = kind_of(&kind)?;
    may(&app, &person, kind)?;
    let all = there(&app.sessions.live.now());
    Ok(Json(Items { items: all.into_iter().filter(|((of, _), _)| *of == kind).map(|(_, resource)| resource).collect() }))
}

/// `GET /v1/resources/{kind}/{name}`, for who may administer that kind.
pub(crate) async fn show(State(app): State<App>, person: Person, Path((kind, name)): Path<(String, String)>) -> Result<Json<Resource>, No> {
    let kind = kind_of(&kind)?;
    may(&app, &person, kind)?;
    let found = there(&app.sessions.live.now()).remove(&(kind, name.clone()));
    found.map(Json).ok_or_else(|| No::not_found(format!("there is no {} {name}", kind.as_str())))
}

/// `POST /v1/apply`, for who may administer each kind in it.
pub(crate) async fn apply(State(app): State<App>, Told(person, asked): Told<Person, Apply>) -> Result<Json<Applied>, No> {
    let (mut wanted, mut secrets) = (BTreeMap::new(), BTreeMap::new());
    for value in asked.resources {
        let resource: Resource =
            serde_json::from_value(value).map_err(|error| No::bad("NARU-C001", format!("a resource is not understood: {error}")))?;
        let (resource, secret) = connectors::without_secret(resource);
        let key = (resource.kind(), resource.name().to_owned());
        secrets.extend(secret.map(|secret| (key.clone(), secret)));
        if wanted.insert(key, resource).is_some() {
            return Err(No::bad("NARU-C002", "a resource is declared twice"));
        }
    }
    let _one_at_a_time = app.writing.lock().await;
    let (view, expected) = fresh(&app, wanted.keys())?;
    let before = there(&view);
    // A secret that is the one that is there is no change.
    secrets.retain(|(_, name), secret| !connectors::has_secret(&app, &view, name, secret));
    let same = |key: &Id, resource: &Resource| before.get(key) == Some(resource) && !secrets.contains_key(key);
    let allowed = |person: &Person| {
        // Decided with person and roles as the writes before this one have left them.
        let person = person.again(&app)?;
        for kind in ResourceKind::DECLARED {
            if wanted.keys().any(|(of, _)| *of == kind) {
                may(&app, &person, kind)?;
            }
        }
        for (key, resource) in wanted.iter().filter(|(key, resource)| !same(key, resource)) {
            may_touch(&app, &view, &person, key, before.get(key), Some(resource))?;
        }
        Ok::<_, No>(person)
    };
    let person = allowed(&person)?;
    let mut after = before.clone();
    after.extend(wanted.clone());
    let policy = check(&after, &view, &person)?;
    let changed = wanted.iter().filter(|(key, resource)| !same(key, resource));
    let connectors = connectors::made(&app, &view, changed, &secrets).await?;
    // Their providers may have taken their time, and this login may have ended meanwhile.
    let person = allowed(&person)?;
    let items = wanted.iter().map(|(key, resource)| AppliedItem {
        kind: key.0.as_str().to_owned(),
        name: key.1.clone(),
        change: match before.get(key) {
            None => Change::Created,
            Some(_) if same(key, resource) => Change::Unchanged,
            Some(_) => Change::Changed,
        },
        next: None,
    });
    let mut items: Vec<AppliedItem> = items.collect();
    if items.iter().filter(|item| item.change != Change::Unchanged).count() > MAX_BATCH {
        let no = No::bad("NARU-C006", format!("more than {MAX_BATCH} changes in one apply: they could not be made all or none"));
        return Err(no.hint("Apply the file in parts, roles before the users who have them."));
    }
    if !asked.dry_run {
        let writes = wanted.into_values().zip(&items).filter(|(_, item)| item.change != Change::Unchanged);
        let writes = writes.map(|(resource, _)| write(&view, &expected, &connectors, resource));
        let writes: Vec<Write> = writes.collect::<Result<_, No>>()?;
        commit(&app, &person, &items, &writes, policy.digest()).await?;
        for item in items.iter_mut().filter(|item| item.kind == ResourceKind::OidcConnector.as_str()) {
            if let Ok(name) = item.name.parse() {
                item.next = app.oidc.dry_run(&name, person.client.clone()).await.ok();
            }
        }
    }
    Ok(Json(Applied { items }))
}

/// `DELETE /v1/resources/{kind}/{name}`, for who may administer that kind.
pub(crate) async fn delete(
    State(app): State<App>,
    person: Person,
    Path((kind, name)): Path<(String, String)>,
) -> Result<Json<Applied>, No> {
    let kind = kind_of(&kind)?;
    let _one_at_a_time = app.writing.lock().await;
    let id = (kind, name.clone());
    let (view, expected) = fresh(&app, [&id])?;
    let person = person.again(&app)?;
    may(&app, &person, kind)?;
    let mut after = there(&view);
    let known = name.parse().ok().filter(|name: &UserName| kind == ResourceKind::User && view.people.contains_key(name));
    if let Some(name) = known {
        return forget::person(&app, &view, &person, &name).await.map(Json);
    }
    may_touch(&app, &view, &person, &id, after.get(&id), None)?;
    if after.remove(&id).is_none() {
        return Err(No::not_found(format!("there is no {} {name}", kind.as_str())));
    }
    let policy = check(&after, &view, &person)?;
    let key = key_of(kind, &name);
    let expect = expected.get(&key).copied().unwrap_or(Expect::Any);
    let writes = [Write::delete(key, expect)];
    let items = vec![AppliedItem { kind: kind.as_str().to_owned(), name, change: Change::Deleted, next: None }];
    commit(&app, &person, &items, &writes, policy.digest()).await?;
    Ok(Json(Applied { items }))
}

/// The whole must build, name only roles that exist, and leave the one who writes it an administrator of roles.
fn check(after: &BTreeMap<Id, Resource>, view: &View, person: &Person) -> Result<PolicySet, No> {
    let roles = after.values().filter_map(|resource| match resource {
        Resource::Role { name, spec } => Some((name.clone(), spec.clone())),
        _ => None,
    });
    let policy = PolicySet::build(roles.collect()).map_err(|faults| {
        let all: Vec<String> = faults.iter().map(ToString::to_string).collect();
        let mut no = No::bad("NARU-C003", "the roles are not sound");
        no.problem.detail = Some(all.join("\n"));
        no
    })?;
    let mut missing = Vec::new();
    for resource in after.values() {
        if let Resource::User { name, spec } = resource {
            missing.extend(spec.roles.iter().filter(|role| policy.role(role).is_none()).map(|role| unknown(name, role)));
        }
    }
    if !missing.is_empty() {
        let mut no = No::bad("NARU-C004", "a user names a role that does not exist");
        no.problem.detail = Some(missing.join("\n"));
        return Err(no.hint("Declare the role in the same apply, or take it from the user."));
    }
    // Users' roles have just been looked at, with a code of their own.
    let faults: Vec<String> =
        whole::faults(after.values()).iter().filter(|fault| fault.kind != ResourceKind::User).map(ToString::to_string).collect();
    if !faults.is_empty() {
        let mut no = No::bad("NARU-C003", "what is declared is not sound");
        no.problem.detail = Some(faults.join("\n"));
        return Err(no);
    }
    let taken = |resource: &Resource| match resource {
        Resource::User { name, .. } | Resource::Bot { name, .. } => view.people.contains_key(name).then(|| name.clone()),
        _ => None,
    };
    if let Some(name) = after.values().find_map(taken) {
        return Err(No::new(
            axum::http::StatusCode::CONFLICT,
            "NARU-C008",
            wire::api::exit::CONFLICT,
            format!("the name {name} is taken by somebody of an identity provider"),
        )
        .hint("Choose another name."));
    }
    keep_an_administrator(after, view, &policy, person)?;
    Ok(policy)
}

fn unknown(user: &UserName, role: &RoleName) -> String {
    format!("user {user}: there is no role {role}")
}

fn keep_an_administrator(after: &BTreeMap<Id, Resource>, view: &View, policy: &PolicySet, person: &Person) -> Result<(), No> {
    let name = &person.identity.name;
    let roles = match view.people.get(name) {
        // Whoever repairs what broke has what the server's own machine gave them, until their login ends.
        _ if person.identity.auth.method == Method::BreakGlass => person.identity.roles.clone(),
        // Somebody of a provider has what the connector will make of what is known of them.
        Some(known) => match after.get(&(ResourceKind::OidcConnector, known.connector.to_string())) {
            Some(Resource::OidcConnector { spec, .. }) => spec.roles(&known.kept).into_keys().collect(),
            _ => Vec::new(),
        },
        None => match (after.get(&(ResourceKind::User, name.to_string())), after.get(&(ResourceKind::Bot, name.to_string()))) {
            (Some(Resource::User { spec, .. }), _) => spec.roles.clone(),
            (_, Some(Resource::Bot { spec, .. })) => spec.roles.clone(),
            _ => Vec::new(),
        },
    };
    match policy.has_administrator(&roles) {
        true => Ok(()),
        false => Err(No::bad("NARU-C005", "this change would take away your own right to undo it")
            .hint("Let another administrator make it, or keep a role for yourself that administers role and user.")),
    }
}

fn key_of(kind: ResourceKind, name: &str) -> String {
    let prefix = match kind {
        ResourceKind::Role => ROLES,
        ResourceKind::OidcConnector => CONNECTORS,
        ResourceKind::Bot => BOTS,
        _ => USERS,
    };
    format!("{prefix}{name}")
}

pub(super) type Id = (ResourceKind, String);

/// The view as the store has it, and what these keys are expected to be at when they are written. The keys are read first: what is
/// changed in between makes the write fail, and never makes it overwrite what was not looked at.
fn fresh<'a>(app: &App, ids: impl IntoIterator<Item = &'a Id>) -> Result<(Arc<View>, BTreeMap<String, Expect>), No> {
    let mut expected = BTreeMap::new();
    for (kind, name) in ids {
        let key = key_of(*kind, name);
        let expect = app.store.get(&key)?.map_or(Expect::Absent, |at| Expect::Revision(at.revision));
        expected.insert(key, expect);
    }
    app.sessions.live.refresh().map_err(No::ours)?;
    Ok((app.sessions.live.now(), expected))
}

/// What gives roles is touched by who has what it gives, and gives what the giver has. Of a connector and a bot every role counts as
/// given, also where only its provider changes: whoever is named there decides who gets it.
fn may_touch(app: &App, view: &View, person: &Person, id: &Id, from: Option<&Resource>, to: Option<&Resource>) -> Result<(), No> {
    let (kind, name) = (id.0, &id.1);
    let words = if kind == ResourceKind::OidcConnector { "connector" } else { kind.as_str() };
    let had: Vec<RoleName> = from.map(Resource::gives).unwrap_or_default().into_iter().cloned().collect();
    reaches(app, view, person, &had, &format!("change the {words} {name}"))?;
    let Some(to) = to else { return Ok(()) };
    let kept = |role: &&RoleName| kind == ResourceKind::User && had.contains(role);
    let new: Vec<RoleName> = to.gives().into_iter().filter(|role| !kept(role)).cloned().collect();
    gives(app, view, person, &new, &format!("give the {words} {name}"))?;
    fills(app, view, person, to, &format!("let the {words} {name}"))
}

fn write(
    view: &View,
    expected: &BTreeMap<String, Expect>,
    connectors: &BTreeMap<ConnectorName, StoredConnector>,
    resource: Resource,
) -> Result<Write, No> {
    let key = key_of(resource.kind(), resource.name());
    let expect = expected.get(&key).copied().unwrap_or(Expect::Absent);
    Ok(match resource {
        Resource::Role { spec, .. } => Write::put(key, serde_json::to_vec(&spec).map_err(No::ours)?, expect),
        Resource::User { name, spec } => {
            let subject = match view.users.get(&name) {
                Some(user) => user.subject.clone(),
                None => uuid::Uuid::new_v4().to_string(),
            };
            let value = serde_json::to_vec(&StoredUser { subject, spec }).map_err(No::ours)?;
            Write::put(key, value, expect)
        }
        Resource::Bot { spec, .. } => Write::put(key, serde_json::to_vec(&spec).map_err(No::ours)?, expect),
        Resource::OidcConnector { name, .. } => {
            let stored = connectors.get(&name).ok_or_else(|| No::ours("a connector that was not made"))?;
            Write::put(key, serde_json::to_vec(stored).map_err(No::ours)?, expect)
        }
    })
}

/// Every change is durably in the log before it is in force.
async fn commit(app: &App, person: &Person, items: &[AppliedItem], writes: &[Write], policy: &str) -> Result<(), No> {
    let mut last = None;
    for what in changes(items, policy) {
        last = Some(app.sessions.log.append(&person.event(what))?);
    }
    if let Some(logged) = last {
        let _durable = app.sessions.log.durable(logged).await?;
        if let Err(error) = app.store.batch(writes) {
            take_back(app, person, items, &error)?;
            return Err(error.into());
        }
        app.sessions.live.refresh().map_err(No::ours)?;
    }
    Ok(())
}

fn changes(items: &[AppliedItem], policy: &str) -> impl Iterator<Item = What> {
    items.iter().filter(|item| item.change != Change::Unchanged).map(move |item| {
        let change = serde_json::to_value(item.change).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default();
        What::PolicyChanged { kind: item.kind.clone(), name: item.name.clone(), change, policy: policy.to_owned() }
    })
}

/// What the log says already did not happen after all.
fn take_back(app: &App, person: &Person, items: &[AppliedItem], error: &KvError) -> Result<(), No> {
    let now = app.sessions.live.now();
    for what in changes(items, now.policy.digest()) {
        let mut event = person.event(what);
        event.outcome = Outcome::failed("NARU-C007", format!("the change did not happen: {error}"));
        if matches!(error, KvError::Io(_)) {
            event.outcome.result = OutcomeResult::Unknown;
            event.outcome.message = Some(format!("whether the change happened shows at the next start: {error}"));
        }
        let _logged = app.sessions.log.append(&event)?;
    }
    Ok(())
}
