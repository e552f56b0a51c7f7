//! All logins that somebody may take on a node. What does not depend on the node is looked at once for many of them; the answer is that of
//! `decide`, which the laws in `tests/decide_laws.rs` hold it to.

use std::collections::{BTreeMap, BTreeSet};

use super::super::guard::{self, Reached};
use super::super::who::{Candidate, Conditions, For, candidates, closed, closed_to_all};
use super::super::{kube, locks, signed_in};
use super::{Act, allow_fits, allows, channel, denies, deny_fits};
use crate::condition::{Facts, TargetFacts};
use crate::event::SessionKind;
use crate::identity::{ClusterFacts, Identity, NodeFacts, Reach};
use crate::policy::{ChannelKind, LoginPattern, PolicySet, SshRule};
use crate::time::Timestamp;
use crate::words::{Login, RoleName};

/// The logins that this person may take on this node, sorted: exactly those for which [`crate::decide::decide`] allows some kind of
/// session, but for what has to be shown or said first, and taking any command. For many nodes, see [`Reacher`].
pub fn allowed_logins(identity: &Identity, node: &NodeFacts, policy: &PolicySet, now: Timestamp) -> Vec<Login> {
    Reacher::new(identity, policy, now).logins(node)
}

/// What somebody may be at a target, and by what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reaching {
    /// The login, or the group.
    pub r#as: String,
    /// The roles that give it, by name.
    pub roles: BTreeSet<RoleName>,
    /// Where only requests give it: until when the longest of them does.
    pub until: Option<Timestamp>,
}

/// One person before many targets: what is the same for all of them is looked at once.
#[derive(Debug)]
pub struct Reacher<'a> {
    identity: &'a Identity,
    policy: &'a PolicySet,
    now: Timestamp,
    /// Whether nothing at all is reached.
    out: bool,
    /// The roles that the person has without any request.
    own: Vec<Candidate<'a>>,
    /// The logins that each allow rule of a role may give.
    logins: BTreeMap<&'a RoleName, Vec<BTreeSet<Login>>>,
}

/// A login, a kind of session, and a role that gives it.
type Gift<'r, 'a> = (&'r Login, ChannelKind, Candidate<'a>);

impl<'a> Reacher<'a> {
    /// Looks at what no target has a say in.
    pub fn new(identity: &'a Identity, policy: &'a PolicySet, now: Timestamp) -> Self {
        let out = signed_in(identity, now).is_err()
            || locks::person(identity, policy, now).is_err()
            || locks::install(policy, now).is_err()
            || closed_to_all(policy, identity, now).is_some();
        let own = candidates(identity, policy, now, None);
        let of_requests = identity.granted.iter().filter_map(|grant| Some((&grant.role, policy.role(&grant.role)?)));
        let expand = |rule: &SshRule| rule.logins.iter().flat_map(|pattern| pattern.expand(&identity.traits)).collect();
        let roles = own.iter().map(|one| (one.role, one.spec)).chain(of_requests);
        let logins = roles.map(|(role, spec)| (role, spec.allow.ssh.iter().map(expand).collect())).collect();
        Self { identity, policy, now, out, own, logins }
    }

    /// As [`allowed_logins`].
    pub fn logins(&self, node: &NodeFacts) -> Vec<Login> {
        let mut logins: Vec<Login> =
            self.gifts(node, &self.roles(Reach::Node, node.name.as_str())).into_iter().map(|(login, ..)| login.clone()).collect();
        logins.dedup();
        logins
    }

    /// The same with the roles that give each.
    pub fn node(&self, node: &NodeFacts) -> Vec<Reaching> {
        let roles = self.roles(Reach::Node, node.name.as_str());
        let gifts = self.gifts(node, &roles).into_iter();
        reaching(gifts.map(|(login, _, one)| (login.as_str().to_owned(), one)))
    }

    /// The groups as which this person may make some request to this cluster, sorted: those that [`crate::decide::decide`] gives for any
    /// request at all, whatever its verb, namespace, resource and name, but for what has to be shown first.
    pub fn cluster(&self, cluster: &ClusterFacts) -> Vec<Reaching> {
        if self.out {
            return Vec::new();
        }
        reaching(kube::gifts(self.identity, cluster, self.policy, self.now).into_iter())
    }

    fn roles(&self, kind: Reach, name: &str) -> Vec<Candidate<'a>> {
        if self.identity.granted.is_empty() {
            return self.own.clone();
        }
        candidates(self.identity, self.policy, self.now, Some(For { kind, name, login: None }))
    }

    /// Every login with each kind of session that is left to it and each role that gives it, sorted by login.
    fn gifts<'r>(&'r self, node: &NodeFacts, roles: &[Candidate<'a>]) -> Vec<Gift<'r, 'a>> {
        let mut left = Vec::new();
        if self.out {
            return left;
        }
        roles.iter().for_each(|one| self.allow(node, one, &mut left));
        if left.is_empty() {
            return left;
        }
        roles.iter().filter(|one| !one.spec.dry_run).for_each(|one| self.deny(node, one, &mut left));
        let (name, agent) = (node.name.as_str(), node.agent.as_ref());
        let locked = |login: &Login| locks::target(self.policy, self.now, Reach::Node, name, agent, Some(login)).is_err();
        let guarded = |login: &Login, one: &Candidate<'_>| {
            let found = guard::check(self.identity, self.policy, &node.labels, Reached::Ssh(login));
            found.map_or(true, |guarded| guarded.by_request_only && one.by.is_none())
        };
        left.retain(|(login, _, one)| !locked(login) && !guarded(login, one));
        left.sort_by_key(|(login, ..)| *login);
        left
    }

    fn allow<'r>(&'r self, node: &NodeFacts, one: &Candidate<'a>, left: &mut Vec<Gift<'r, 'a>>) {
        if closed(&one.spec.options, self.identity, self.now).is_some() && !one.spec.dry_run {
            return;
        }
        let only = only_login(one);
        let logins = self.logins.get(one.role).into_iter().flatten();
        for (rule, logins) in one.spec.allow.ssh.iter().zip(logins).filter(|(rule, _)| allow_fits(rule, node)) {
            for login in logins.iter().filter(|login| only.is_none_or(|only| only == *login)) {
                let conditioned = |kind| match &rule.condition {
                    Some(condition) => self.conditions(node, login, kind).allow(Some(condition), rule.agent_labels, String::new),
                    None => true,
                };
                left.extend(kinds(rule, allows).filter(|kind| conditioned(*kind)).map(|kind| (login, kind, *one)));
            }
        }
    }

    fn deny(&self, node: &NodeFacts, one: &Candidate<'_>, left: &mut Vec<Gift<'_, 'a>>) {
        let only = only_login(one);
        for rule in one.spec.deny.ssh.iter().filter(|rule| deny_fits(rule, node)) {
            let any = rule.logins.contains(&LoginPattern::Any);
            let named: BTreeSet<Login> = rule.logins.iter().flat_map(|pattern| pattern.expand(&self.identity.traits)).collect();
            let conditioned = |login: &Login, kind| match &rule.condition {
                Some(condition) => self.conditions(node, login, kind).deny(Some(condition), String::new),
                None => true,
            };
            left.retain(|(login, kind, _)| {
                let counts = only.is_none_or(|only| only == *login);
                let spoken_of = counts && denies(rule, Act::Open(*kind, None)) && (any || named.contains(*login));
                !(spoken_of && conditioned(login, *kind))
            });
        }
    }

    fn conditions<'f>(&'f self, node: &'f NodeFacts, login: &'f Login, kind: ChannelKind) -> Conditions<'f> {
        let target = TargetFacts { kind: "node", name: node.name.as_str(), labels: &node.labels, login: login.as_str() };
        Conditions::new(Facts { identity: self.identity, target: Some(target), kind: kind.as_str(), command: None, now: self.now })
    }
}

/// The only login for which a role counts.
fn only_login<'a>(one: &Candidate<'a>) -> Option<&'a Login> {
    one.by?.only.as_ref()?.login.as_ref()
}

/// The kinds of session of which a rule may speak, by which `speaks`.
fn kinds(rule: &SshRule, speaks: fn(&SshRule, Act<'_>) -> bool) -> impl Iterator<Item = ChannelKind> + '_ {
    SessionKind::ALL.into_iter().map(channel).filter(move |kind| speaks(rule, Act::Open(*kind, None)))
}

/// Gathers what gives each login or group.
fn reaching<'a>(gifts: impl Iterator<Item = (String, Candidate<'a>)>) -> Vec<Reaching> {
    let mut all: BTreeMap<String, (BTreeSet<RoleName>, bool, Option<Timestamp>)> = BTreeMap::new();
    for (name, one) in gifts {
        let (roles, standing, until) = all.entry(name).or_default();
        roles.insert(one.role.clone());
        *standing |= one.by.is_none();
        *until = one.by.map(|grant| grant.until).max(*until);
    }
    let made = |(r#as, (roles, standing, until))| Reaching { r#as, roles, until: if standing { None } else { until } };
    all.into_iter().map(made).collect()
}
