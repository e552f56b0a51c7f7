//! Nobody hands out more than they have. Whoever administers roles can give themselves anything, and does so in the audit log; others
//! give what is theirs: a link signs in as its user, and a user has what the roles say.

use std::collections::{BTreeMap, BTreeSet};

use access::condition::Condition;
use access::decide::{Administer, AuditAsk, audits_all, decide};
use access::event::{Outcome, What};
use access::identity::Traits;
use access::policy::{AuditAction, AuditRule, Level, LoginPattern, Resource, ResourceKind, RoleSpec, Template};
use access::words::RoleName;
use axum::http::StatusCode;
use wire::api::exit;

use super::App;
use super::person::Person;
use super::problem::No;
use crate::clock;
use crate::live::View;

/// What roles give beyond sessions of one's own.
#[derive(Debug, Default)]
struct Rights {
    administers: BTreeMap<ResourceKind, Level>,
    audits: BTreeSet<String>,
    sessions: BTreeSet<&'static str>,
    events: bool,
}

impl Rights {
    /// What this person has now, from where they are: as it would be decided, with denies, networks, hours and locks.
    fn had(view: &View, person: &Person) -> Self {
        let (policy, now) = (&view.policy, clock::now());
        let identity = || person.identity.clone();
        let has = |kind, level: &Level| decide(Administer { identity: identity(), kind, level: *level }, policy, now).is_ok();
        let level = |kind| Some((kind, Level::ALL.into_iter().filter(|level| has(kind, level)).max()?));
        let all = |action| audits_all(&person.identity, action, policy, now);
        let specs = || person.identity.roles.iter().filter_map(|role| policy.role(role));
        // A rule about some people counts as it stands, where nothing stands against it.
        let open = |spec: &&RoleSpec| spec.options.networks.is_empty() && spec.options.hours.is_empty();
        let told = specs().all(|spec| spec.deny.audit.is_empty());
        let rules = specs().filter(open).filter(|_| told).flat_map(|spec| &spec.allow.audit);
        Self {
            administers: ResourceKind::ALL.into_iter().filter_map(level).collect(),
            audits: rules.map(|rule| serde_json::to_string(rule).unwrap_or_default()).collect(),
            sessions: AuditAction::ALL.into_iter().filter(|action| all(AuditAsk::Sessions(*action))).map(AuditAction::as_str).collect(),
            events: all(AuditAsk::Events),
        }
    }

    /// What roles give at most: whatever takes something of it away again is not looked at.
    fn of(roles: &[RoleName], view: &View) -> Self {
        let mut rights = Self::default();
        for spec in roles.iter().filter_map(|role| view.policy.role(role)) {
            for kind in ResourceKind::ALL {
                let level = spec.allow.administer.iter().filter(|(of, _)| of.is(kind)).map(|(_, level)| *level).max();
                if let Some(level) = level {
                    let had = rights.administers.entry(kind).or_insert(level);
                    *had = level.max(*had);
                }
            }
            for rule in &spec.allow.audit {
                // What is about some people only is had by who has the same rule, or the right over all.
                if rule.users.is_empty() && rule.roles.is_empty() && rule.labels.is_empty() {
                    rights.sessions.extend(rule.sessions.iter().copied().map(AuditAction::as_str));
                    rights.events |= rule.events;
                } else {
                    rights.audits.insert(serde_json::to_string(rule).unwrap_or_default());
                }
            }
        }
        rights
    }

    fn are_within(&self, other: &Self) -> bool {
        let administers = self.administers.iter().all(|(kind, level)| other.administers.get(kind).is_some_and(|has| has >= level));
        let narrow = |rule: &String| {
            let rule: AuditRule = serde_json::from_str(rule).unwrap_or_default();
            rule.sessions.iter().all(|action| other.sessions.contains(action.as_str())) && (!rule.events || other.events)
        };
        let audits = self.audits.iter().all(|rule| other.audits.contains(rule) || narrow(rule));
        administers && audits && self.sessions.is_subset(&other.sessions) && (!self.events || other.events)
    }
}

/// Whether these roles administer and see no more than this person does, who may therefore act on who has them. Logs a no.
pub(super) fn reaches(app: &App, view: &View, person: &Person, roles: &[RoleName], asked: &str) -> Result<(), No> {
    if roles.is_empty() {
        return Ok(());
    }
    let own = Rights::had(view, person);
    if administers_roles(&own) || Rights::of(roles, view).are_within(&own) {
        return Ok(());
    }
    let why = format!("you may not {asked}, who has rights that you do not have");
    Err(refuse(app, person, asked, why, "Ask somebody who administers roles."))
}

/// Whether this person may say who is told of events: whoever may read all of them. Logs a no.
pub(super) fn hears(app: &App, view: &View, person: &Person, asked: &str) -> Result<(), No> {
    let own = Rights::had(view, person);
    if administers_roles(&own) || own.events {
        return Ok(());
    }
    let why = format!("you may not {asked}: it is told of events, and you may not read all of them");
    Err(refuse(app, person, asked, why, "Ask somebody who administers roles, or who may read the audit log."))
}

/// Whether this person may give a user these roles: all are roles of the person's own. Logs a no.
pub(super) fn gives(app: &App, view: &View, person: &Person, roles: &[RoleName], asked: &str) -> Result<(), No> {
    let foreign = roles.iter().find(|role| !person.identity.roles.contains(role));
    match foreign {
        Some(role) if !administers_roles(&Rights::had(view, person)) => {
            let why = format!("you may not {asked} the role {role}, which you do not have yourself");
            Err(refuse(app, person, asked, why, "Ask somebody who administers roles."))
        }
        _ => Ok(()),
    }
}

/// Whether this person may let somebody have these traits: rules take logins and groups from them, conditions and guardrails ask for them.
/// A person or a bot is given what the giver has, and loses nothing that something may hold against them; of a connector the provider
/// says any. Logs a no.
pub(super) fn fills(app: &App, view: &View, person: &Person, from: Option<&Resource>, to: &Resource, asked: &str) -> Result<(), No> {
    let none = Traits::new();
    let traits = |resource: Option<&Resource>| match resource {
        Some(Resource::User { spec, .. }) => spec.traits.clone(),
        Some(Resource::Bot { spec, .. }) => spec.traits.clone(),
        _ => none.clone(),
    };
    let foreign = match to {
        Resource::OidcConnector { spec, .. } => {
            let counts = taken_from(view, to);
            spec.traits.keys().find(|name| counts.as_ref().is_none_or(|counts| counts.contains(name.as_str()))).cloned()
        }
        _ => {
            let (before, after, own) = (traits(from), traits(Some(to)), &person.identity.traits);
            let has = |all: &Traits, name: &str, value: &String| all.get(name).is_some_and(|values| values.contains(value));
            let every = |all: &Traits| -> Vec<(String, String)> {
                all.iter().flat_map(|(name, values)| values.iter().map(|value| (name.clone(), value.clone()))).collect()
            };
            let given = every(&after).into_iter().find(|(name, value)| !has(&before, name, value) && !has(own, name, value));
            given.or_else(|| every(&before).into_iter().find(|(name, value)| !has(&after, name, value))).map(|(name, _)| name)
        }
    };
    let Some(name) = foreign.filter(|_| !administers_roles(&Rights::had(view, person))) else { return Ok(()) };
    let why = format!("you may not {asked} say the trait {name}: rules may go by it, and you have not all of what it says");
    Err(refuse(app, person, asked, why, "Ask somebody who administers roles."))
}

/// The traits from which the roles that a resource gives take logins and groups; none where conditions or guardrails may ask for any.
fn taken_from<'v>(view: &'v View, resource: &Resource) -> Option<BTreeSet<&'v str>> {
    let asks = |condition: &Option<Condition>| condition.as_ref().is_some_and(|condition| condition.speaks_of("user"));
    let mut counts = BTreeSet::new();
    for spec in resource.gives().into_iter().filter_map(|role| view.policy.role(role)) {
        for rights in [&spec.allow, &spec.deny] {
            if rights.ssh.iter().any(|rule| asks(&rule.condition)) || rights.kubernetes.iter().any(|rule| asks(&rule.condition)) {
                return None;
            }
            counts.extend(rights.ssh.iter().flat_map(|rule| &rule.logins).filter_map(LoginPattern::trait_name));
            let groups = rights.kubernetes.iter().flat_map(|rule| rule.groups.iter().chain(&rule.user));
            counts.extend(groups.filter_map(Template::trait_name));
        }
    }
    let guarded = view.policy.others().guardrails.values().flat_map(|rail| rail.never.who.traits.keys());
    counts.extend(guarded.map(String::as_str));
    Some(counts)
}

fn administers_roles(rights: &Rights) -> bool {
    rights.administers.get(&ResourceKind::Role) == Some(&Level::Write)
}

fn refuse(app: &App, person: &Person, asked: &str, why: String, hint: &str) -> No {
    let mut event = person.event(What::AccessDenied { asked: format!("to {asked}") });
    event.outcome = Outcome::denied("NARU-P207", why.clone());
    match app.sessions.refusals.tell(event) {
        Ok(_) => No::new(StatusCode::FORBIDDEN, "NARU-P207", exit::DENIED, why).hint(hint),
        Err(error) => error.into(),
    }
}
