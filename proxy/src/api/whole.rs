//! The whole that would be in force after a change: it must build, name only what exists, and leave the one who writes it a way back.

use std::collections::BTreeMap;

use access::decide::{Administer, decide};
use access::identity::{Identity, Method};
use access::policy::{Level, LockInForce, Others, PolicySet, Resource, ResourceKind, SpecFault, Stated, whole};
use axum::http::StatusCode;
use wire::api::{FieldFault, exit};

use super::person::Person;
use super::problem::No;
use crate::clock;
use crate::declared::Id;
use crate::live::View;

/// Checks everything.
pub(super) fn check(
    after: &BTreeMap<Id, Stated>,
    view: &View,
    person: &Person,
    allow_self_lockout: bool,
    changed: &[Id],
) -> Result<PolicySet, No> {
    let policy = policy(after, view)?;
    let mut faults: Vec<FieldFault> = Vec::new();
    for stated in after.values() {
        let (kind, name) = (stated.resource.kind(), stated.resource.name());
        faults.extend(
            stated.faults_beside().iter().map(|fault| FieldFault { pointer: pointer("", &fault.path), ..field(kind, name, fault) }),
        );
    }
    let whole = whole::faults(after.values().map(|stated| &stated.resource));
    faults.extend(whole.iter().map(|fault| field(fault.kind, &fault.name, &fault.fault)));
    if whole.len() == faults.len()
        && let Some(missing) = whole.iter().map(|fault| fault.missing.as_ref()).collect::<Option<Vec<_>>>()
        && let Some((kind, name)) = missing.first()
    {
        let word = kind.as_str().replace('_', " ");
        if missing.iter().any(|id| changed.contains(id)) {
            let mut no = unsound("NARU-C036", &format!("the {word} {name} is named by others, and cannot go"), faults);
            (no.status, no.problem.exit) = (StatusCode::CONFLICT, exit::CONFLICT);
            return Err(no.hint("Nothing was changed. Take it from those that name it, in the same apply or before."));
        }
        return Err(unsound("NARU-C004", &format!("a {word} is named that does not exist"), faults));
    }
    if !faults.is_empty() {
        return Err(unsound("NARU-C003", "what is declared is not sound", faults));
    }
    let taken = |resource: &Resource| match resource {
        Resource::User { name, .. } | Resource::Bot { name, .. } => view.people.contains_key(name).then(|| name.clone()),
        _ => None,
    };
    if let Some(name) = after.values().map(|stated| &stated.resource).find_map(taken) {
        let title = format!("the name {name} is taken by somebody of an identity provider");
        return Err(No::new(StatusCode::CONFLICT, "NARU-C008", exit::CONFLICT, title).hint("Choose another name."));
    }
    if !allow_self_lockout && let Some(title) = locks_out(after, view, &policy, person, changed) {
        let hint = "Let another administrator make it, keep a role for yourself, or say --allow-self-lockout.";
        return Err(No::bad("NARU-C005", title).hint(hint));
    }
    Ok(policy)
}

/// What the resources come to.
pub(super) fn policy(after: &BTreeMap<Id, Stated>, view: &View) -> Result<PolicySet, No> {
    let (mut roles, mut others) = (Vec::new(), Others::default());
    for ((kind, name), stated) in after {
        let resource = &stated.resource;
        match resource.clone() {
            Resource::Role { name, spec } => roles.push((name, spec)),
            Resource::Guardrail { name, spec } => drop(others.guardrails.insert(name, spec)),
            Resource::AccessRule { name, spec } => drop(others.access_rules.insert(name, spec)),
            Resource::Settings { spec, .. } => others.settings = spec,
            Resource::Lock { name: lock, spec } => {
                let there = view.resources.get(&(*kind, name.clone())).filter(|there| there.stated.resource == *resource);
                let since = there.map_or_else(clock::now, |there| there.stored.created);
                others.locks.push(LockInForce { name: lock, spec, since });
            }
            _ => {}
        }
    }
    let built = PolicySet::build(roles).map_err(|faults| {
        let fields = faults.iter().map(|fault| field(ResourceKind::Role, fault.role.as_str(), &fault.fault)).collect();
        unsound("NARU-C003", "the roles are not sound", fields)
    })?;
    Ok(built.with(others))
}

fn field(kind: ResourceKind, name: &str, fault: &SpecFault) -> FieldFault {
    FieldFault {
        kind: Some(kind.as_str().to_owned()),
        name: Some(name.to_owned()),
        pointer: pointer("/spec", &fault.path),
        message: fault.message.clone(),
        remedy: Some(fault.remedy.clone()),
    }
}

/// `allow.ssh[0].labels.env` as `/spec/allow/ssh/0/labels/env`. A key with dots in it is one step more: the place is for people to find.
fn pointer(under: &str, path: &str) -> String {
    let steps = path.split(['.', '[']).map(|step| step.trim_end_matches(']')).filter(|step| !step.is_empty());
    steps.fold(under.to_owned(), |all, step| all + "/" + &step.replace('~', "~0").replace('/', "~1"))
}

fn unsound(code: &str, title: &str, fields: Vec<FieldFault>) -> No {
    let line = |fault: &FieldFault| {
        let place = fault.pointer.trim_start_matches("/spec").trim_start_matches('/').replace('/', ".");
        let of = [fault.kind.as_deref(), fault.name.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ");
        let dot = if place.is_empty() { "" } else { "." };
        let remedy = fault.remedy.as_ref().map(|remedy| format!("; {remedy}")).unwrap_or_default();
        format!("{of}{dot}{place}: {}{remedy}", fault.message)
    };
    let mut no = No::bad(code, title);
    no.problem.detail = Some(fields.iter().map(line).collect::<Vec<_>>().join("\n"));
    no.problem.fields = fields;
    no
}

/// Whoever may write roles and users keeps that; whoever writes other kinds keeps the right to write these. A lock on oneself is no way back.
pub(super) fn locks_out(after: &BTreeMap<Id, Stated>, view: &View, policy: &PolicySet, person: &Person, changed: &[Id]) -> Option<String> {
    let now = clock::now();
    let then = Identity { roles: roles_after(after, view, person), ..person.identity.clone() };
    let was = |kind| decide(Administer { identity: person.identity.clone(), kind, level: Level::Write }, &view.policy, now).is_ok();
    let is = |kind| decide(Administer { identity: then.clone(), kind, level: Level::Write }, policy, now).is_ok();
    let mut kinds: Vec<ResourceKind> = changed.iter().map(|(kind, _)| *kind).chain([ResourceKind::Role, ResourceKind::User]).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let lost = kinds.into_iter().find(|kind| was(*kind) && !is(*kind))?;
    Some(format!("this change would take away your own right to undo it: you could not write {}s", lost.as_str()))
}

/// The roles that the writer would have.
fn roles_after(after: &BTreeMap<Id, Stated>, view: &View, person: &Person) -> Vec<access::words::RoleName> {
    let name = &person.identity.name;
    let of = |id: Id| after.get(&id).map(|stated| &stated.resource);
    match view.people.get(name) {
        // Whoever repairs what broke has what the server's own machine gave them, until their login ends.
        _ if person.identity.auth.method == Method::BreakGlass => person.identity.roles.clone(),
        // Somebody of a provider has what the connector will make of what is known of them.
        Some(known) => match of((ResourceKind::OidcConnector, known.connector.to_string())) {
            Some(Resource::OidcConnector { spec, .. }) => spec.roles(&known.kept).into_keys().collect(),
            _ => Vec::new(),
        },
        None => match (of((ResourceKind::User, name.to_string())), of((ResourceKind::Bot, name.to_string()))) {
            (Some(Resource::User { spec, .. }), _) => spec.roles.clone(),
            (_, Some(Resource::Bot { spec, .. })) => spec.roles.clone(),
            _ => Vec::new(),
        },
    }
}
