//! The roles that count for somebody at one moment, and whether each gives anything from where and when they ask. Nothing is decided here.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::time::Duration;

use crate::condition::{Condition, Facts, TargetFacts};
use crate::identity::{Granted, Identity, Labels, Method, Origin, Reach};
use crate::policy::{PolicySet, RoleOptions, RoleSpec};
use crate::time::Timestamp;
use crate::words::{Login, RoleName};

/// A role that somebody has, or has for now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate<'a> {
    pub(crate) role: &'a RoleName,
    pub(crate) spec: &'a RoleSpec,
    /// The request that gave it; none where the person has it anyway.
    pub(crate) by: Option<&'a Granted>,
}

/// What a granted role must be for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct For<'a> {
    pub(crate) kind: Reach,
    pub(crate) name: &'a str,
    pub(crate) login: Option<&'a Login>,
}

/// The person's roles that the policy knows, by name, each once; those of requests after those that they have anyway. The order in which
/// they came has no say.
pub(crate) fn candidates<'a>(identity: &'a Identity, policy: &'a PolicySet, now: Timestamp, target: Option<For<'_>>) -> Vec<Candidate<'a>> {
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
    // Of several requests for one role that which lasts longest counts; where no login is asked about, for each login that they are for.
    let login = |grant: &Granted| match target {
        Some(For { login: None, .. }) => grant.only.as_ref().and_then(|only| only.login.clone()),
        _ => None,
    };
    by_request.sort_by_key(|grant| (&grant.role, login(grant), Reverse((grant.until, &grant.request))));
    by_request.dedup_by_key(|grant| (&grant.role, login(grant)));
    let own = names.iter().map(|role| (*role, None));
    let all = own.chain(by_request.into_iter().map(|grant| (&grant.role, Some(grant))));
    all.filter_map(|(role, by)| policy.role(role).map(|spec| Candidate { role, spec, by })).collect()
}

/// The roles that somebody has without any request.
pub(crate) fn standing<'a>(identity: &'a Identity, policy: &'a PolicySet) -> Vec<Candidate<'a>> {
    let names: BTreeSet<&RoleName> = identity.roles.iter().collect();
    names.into_iter().filter_map(|role| policy.role(role).map(|spec| Candidate { role, spec, by: None })).collect()
}

/// Why a role gives nothing here and now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closed {
    Network,
    Hours,
}

/// Whether these options let anything through, from where and when somebody asks.
pub(crate) fn closed(options: &RoleOptions, identity: &Identity, now: Timestamp) -> Option<Closed> {
    let inside =
        |networks: &[crate::network::Network]| identity.context.from.is_some_and(|from| networks.iter().any(|net| net.contains(from)));
    if !options.networks.is_empty() && !inside(&options.networks) {
        return Some(Closed::Network);
    }
    let open = options.hours.is_empty() || options.hours.iter().any(|hours| hours.contains(now));
    (!open).then_some(Closed::Hours)
}

/// The same of what holds for everybody. Break-glass is the way in for whoever has to set it right.
pub(crate) fn closed_to_all(policy: &PolicySet, identity: &Identity, now: Timestamp) -> Option<Closed> {
    closed(&policy.others().settings.options, identity, now).filter(|_| identity.auth.method != Method::BreakGlass)
}

/// When time alone may change an answer: hours of any of these options, requests of those that allow, and each minute where a condition
/// that was looked at is `timely`.
pub(crate) fn time_changes<'a>(
    options: impl Iterator<Item = &'a RoleOptions>,
    allowing: impl Iterator<Item = Candidate<'a>>,
    timely: bool,
    now: Timestamp,
) -> Option<Timestamp> {
    let hours = options.flat_map(|options| &options.hours).map(|hours| hours.changes(now)).min();
    let granted = allowing.filter_map(|one| one.by).map(|grant| grant.until).min();
    let minute = Timestamp::from_secs(now.as_secs().div_euclid(60) * 60).plus(Duration::from_secs(60));
    [hours, granted, timely.then_some(minute)].into_iter().flatten().min()
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

impl Note {
    /// A role that is tried out lets something through that it would not from here, or now.
    pub(super) fn closed(role: &RoleName, shut: Closed) -> Self {
        let when = match shut {
            Closed::Network => "from your network",
            Closed::Hours => "at this time",
        };
        Self::WouldDeny { rule: format!("{role}/options"), sentence: format!("role {role} would give nothing {when}") }
    }
}

/// Looks at conditions and keeps what goes wrong.
pub(crate) struct Conditions<'a> {
    pub(crate) facts: Facts<'a>,
    pub(crate) notes: Vec<Note>,
    /// Whether any of those looked at changes with the time.
    pub(crate) timely: bool,
}

impl<'a> Conditions<'a> {
    pub(crate) fn new(facts: Facts<'a>) -> Self {
        Self { facts, notes: Vec::new(), timely: false }
    }

    /// What there is to be told, each once. Nothing is kept.
    pub(crate) fn told(&mut self) -> Vec<Note> {
        let mut told: Vec<Note> = Vec::new();
        for note in std::mem::take(&mut self.notes) {
            if !told.contains(&note) {
                told.push(note);
            }
        }
        told
    }

    /// Whether the condition of an allow lets it count. It sees the labels that the rule believes; what it cannot answer gives nothing.
    pub(crate) fn allow(&mut self, condition: Option<&Condition>, agent_labels: bool, rule: impl Fn() -> String) -> bool {
        condition.is_none_or(|condition| self.hold(condition, agent_labels, rule, false))
    }

    /// Whether the condition of a deny lets it count: with all labels or with those alone that nobody doubts, since neither an agent's word
    /// nor its silence takes a deny away. What it cannot answer denies.
    pub(crate) fn deny(&mut self, condition: Option<&Condition>, rule: impl Fn() -> String) -> bool {
        let Some(condition) = condition else { return true };
        self.hold(condition, true, &rule, true) || (self.doubtful(condition) && self.hold(condition, false, &rule, true))
    }

    /// Whether what a condition sees may be an agent's own word.
    fn doubtful(&self, condition: &Condition) -> bool {
        let labels = self.facts.target.map(|target| target.labels);
        condition.speaks_of("target") && labels.is_some_and(|labels| labels.values().any(|label| label.origin == Origin::Agent))
    }

    fn hold(&mut self, condition: &Condition, agent_labels: bool, rule: impl Fn() -> String, if_unknown: bool) -> bool {
        self.timely |= condition.depends_on_time();
        let answer = match self.facts.target {
            Some(target) if !agent_labels && self.doubtful(condition) => {
                let believed = target.labels.iter().filter(|(_, label)| label.origin != Origin::Agent);
                let labels: Labels = believed.map(|(key, label)| (key.clone(), label.clone())).collect();
                condition.holds(&Facts { target: Some(TargetFacts { labels: &labels, ..target }), ..self.facts })
            }
            _ => condition.holds(&self.facts),
        };
        answer.unwrap_or_else(|why| {
            self.notes.push(Note::ConditionFailed { rule: rule(), why });
            if_unknown
        })
    }
}
