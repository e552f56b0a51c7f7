//! The roles that count for somebody at one moment, and whether each gives anything from where and when they ask. Nothing is decided here.

use std::collections::BTreeSet;

use crate::condition::Facts;
use crate::identity::{Granted, Identity, Method, Reach};
use crate::policy::{PolicySet, RoleOptions, RoleSpec};
use crate::time::Timestamp;
use crate::words::{Login, RoleName};

/// A role that somebody has, or has for now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate<'a> {
    pub(super) role: &'a RoleName,
    pub(super) spec: &'a RoleSpec,
    /// The request that gave it; none where the person has it anyway.
    pub(super) by: Option<&'a Granted>,
}

/// What a granted role must be for.
#[derive(Debug, Clone, Copy)]
pub(super) struct For<'a> {
    pub(super) kind: Reach,
    pub(super) name: &'a str,
    pub(super) login: Option<&'a Login>,
}

/// The person's roles that the policy knows, by name, each once; those of requests after those that they have anyway. The order in which
/// they came has no say.
pub(super) fn candidates<'a>(identity: &'a Identity, policy: &'a PolicySet, now: Timestamp, target: Option<For<'_>>) -> Vec<Candidate<'a>> {
    let names: BTreeSet<&RoleName> = identity.roles.iter().collect();
    let granted = |grant: &&Granted| {
        let fits = match (&grant.only, target) {
            (None, _) => true,
            (Some(only), Some(target)) => {
                let login = only.login.as_ref().zip(target.login).is_none_or(|(only, login)| only == login);
                only.kind == target.kind && only.name == target.name && login
            }
            (Some(_), None) => false,
        };
        grant.until > now && fits && !names.contains(&grant.role)
    };
    let mut by_request: Vec<&Granted> = identity.granted.iter().filter(granted).collect();
    by_request.sort_by_key(|grant| (&grant.role, grant.until, &grant.request));
    // Of several requests for one role that which lasts longest counts.
    by_request.reverse();
    by_request.dedup_by_key(|grant| &grant.role);
    by_request.reverse();
    let own = names.iter().map(|role| (*role, None));
    let all = own.chain(by_request.into_iter().map(|grant| (&grant.role, Some(grant))));
    all.filter_map(|(role, by)| policy.role(role).map(|spec| Candidate { role, spec, by })).collect()
}

/// The roles that somebody has without any request.
pub(super) fn standing<'a>(identity: &'a Identity, policy: &'a PolicySet) -> Vec<Candidate<'a>> {
    let names: BTreeSet<&RoleName> = identity.roles.iter().collect();
    names.into_iter().filter_map(|role| policy.role(role).map(|spec| Candidate { role, spec, by: None })).collect()
}

/// Why a role gives nothing here and now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closed {
    Network,
    Hours,
}

/// Whether these options let anything through, from where and when somebody asks.
pub(super) fn closed(options: &RoleOptions, identity: &Identity, now: Timestamp) -> Option<Closed> {
    let inside =
        |networks: &[crate::network::Network]| identity.context.from.is_some_and(|from| networks.iter().any(|net| net.contains(from)));
    if !options.networks.is_empty() && !inside(&options.networks) {
        return Some(Closed::Network);
    }
    let open = options.hours.is_empty() || options.hours.iter().any(|hours| hours.contains(now));
    (!open).then_some(Closed::Hours)
}

/// The same of what holds for everybody. Break-glass is the way in for whoever has to set it right.
pub(super) fn closed_to_all(policy: &PolicySet, identity: &Identity, now: Timestamp) -> Option<Closed> {
    closed(&policy.others().settings.options, identity, now).filter(|_| identity.auth.method != Method::BreakGlass)
}

/// The first moment at which hours may open or close any of these.
pub(super) fn hours_change<'a>(all: impl Iterator<Item = &'a RoleOptions>, now: Timestamp) -> Option<Timestamp> {
    all.flat_map(|options| &options.hours).map(|hours| hours.changes(now)).min()
}

/// Something to be told beside the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// A role that is tried out would have said no.
    WouldDeny {
        /// The rule, as `role/deny.ssh[0]`.
        rule: String,
        /// What it would have said.
        sentence: String,
    },
    /// A condition could not be answered: an allow with it gives nothing, a deny with it denies.
    ConditionFailed {
        /// The rule.
        rule: String,
        /// Why.
        why: String,
    },
}

/// Looks at conditions and keeps what goes wrong.
pub(super) struct Conditions<'a> {
    pub(super) facts: Facts<'a>,
    pub(super) notes: Vec<Note>,
    /// Whether any of those looked at changes with the time.
    pub(super) timely: bool,
}

impl<'a> Conditions<'a> {
    pub(super) fn new(facts: Facts<'a>) -> Self {
        Self { facts, notes: Vec::new(), timely: false }
    }

    /// Whether a rule's condition lets it count; `if_unknown` where it cannot be answered.
    pub(super) fn hold(&mut self, condition: Option<&crate::condition::Condition>, rule: impl Fn() -> String, if_unknown: bool) -> bool {
        let Some(condition) = condition else { return true };
        self.timely |= condition.depends_on_time();
        condition.holds(&self.facts).unwrap_or_else(|why| {
            self.notes.push(Note::ConditionFailed { rule: rule(), why });
            if_unknown
        })
    }
}
