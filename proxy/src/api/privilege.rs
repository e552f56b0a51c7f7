//! Nobody hands out more than they have. Whoever administers roles can give themselves anything, and does so in the audit log; others
//! give what is theirs: a link signs in as its user, and a user has what the roles say.

use std::collections::BTreeSet;

use access::event::{Outcome, What};
use access::policy::{AuditAction, LoginPattern, Resource, ResourceKind};
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
    administers: BTreeSet<&'static str>,
    sessions: BTreeSet<&'static str>,
    events: bool,
}

impl Rights {
    fn of(roles: &[RoleName], view: &View) -> Self {
        let mut rights = Self::default();
        for spec in roles.iter().filter_map(|role| view.policy.role(role)) {
            rights.administers.extend(spec.administer.iter().copied().map(ResourceKind::as_str));
            rights.sessions.extend(spec.audit.sessions.iter().copied().map(AuditAction::as_str));
            rights.events |= spec.audit.events;
        }
        rights
    }

    fn are_within(&self, other: &Self) -> bool {
        self.administers.is_subset(&other.administers) && self.sessions.is_subset(&other.sessions) && (!self.events || other.events)
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
    let rules = resource.gives().into_iter().filter_map(|role| view.policy.role(role)).flat_map(|spec| &spec.allow);
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
    rights.administers.contains(ResourceKind::Role.as_str())
}

fn refuse(app: &App, person: &Person, asked: &str, why: String, hint: &str) -> No {
    let mut event = person.event(What::AccessDenied { asked: format!("to {asked}") });
    event.outcome = Outcome::denied("NARU-P207", why.clone());
    match app.sessions.refusals.tell(event) {
        Ok(_) => No::new(StatusCode::FORBIDDEN, "NARU-P207", exit::DENIED, why).hint(hint),
        Err(error) => error.into(),
    }
}
