//! Nobody hands out more than they have. Whoever administers roles can give themselves anything, and does so in the audit log; others
//! give what is theirs: a link signs in as its user, and a user has what the roles say.

use std::collections::{BTreeMap, BTreeSet};

use access::event::{Outcome, What};
use access::policy::{AuditAction, AuditRule, Level, LoginPattern, Resource, ResourceKind};
use access::words::RoleName;
use axum::http::StatusCode;
use wire::api::exit;

use super::App;
use super::person::Person;
use super::problem::No;
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
    let own = Rights::of(&person.identity.roles, view);
    if administers_roles(&own) || Rights::of(roles, view).are_within(&own) {
        return Ok(());
    }
    let why = format!("you may not {asked}, who has rights that you do not have");
    Err(refuse(app, person, asked, why, "Ask somebody who administers roles."))
}

/// Whether this person may say who is told of events: whoever may read all of them. Logs a no.
pub(super) fn hears(app: &App, view: &View, person: &Person, asked: &str) -> Result<(), No> {
    let own = Rights::of(&person.identity.roles, view);
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
        Some(role) if !administers_roles(&Rights::of(&person.identity.roles, view)) => {
            let why = format!("you may not {asked} the role {role}, which you do not have yourself");
            Err(refuse(app, person, asked, why, "Ask somebody who administers roles."))
        }
        _ => Ok(()),
    }
}

/// Whether this person may let a bot or a connector say the traits that its roles take logins from. A bot has those of the person at
/// most; of a connector the provider says any. Logs a no.
pub(super) fn fills(app: &App, view: &View, person: &Person, resource: &Resource, asked: &str) -> Result<(), No> {
    if administers_roles(&Rights::of(&person.identity.roles, view)) {
        return Ok(());
    }
    let rules = resource.gives().into_iter().filter_map(|role| view.policy.role(role)).flat_map(|spec| &spec.allow.ssh);
    let counts: BTreeSet<&str> = rules.flat_map(|rule| &rule.logins).filter_map(LoginPattern::trait_name).collect();
    let foreign = counts.into_iter().find(|name| match resource {
        Resource::OidcConnector { spec, .. } => spec.traits.contains_key(*name),
        Resource::Bot { spec, .. } => {
            let own = person.identity.traits.get(*name);
            spec.traits.get(*name).into_iter().flatten().any(|value| !own.is_some_and(|own| own.contains(value)))
        }
        _ => false,
    });
    match foreign {
        None => Ok(()),
        Some(name) => {
            let why = format!(
                "you may not {asked} say the trait {name}: a role that it gives takes logins from it, and you have not all of them"
            );
            Err(refuse(app, person, asked, why, "Ask somebody who administers roles."))
        }
    }
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
