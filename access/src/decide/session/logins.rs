//! All logins that somebody may take on a node. Each rule is expanded once, so that long traits stay cheap; the answer is that of `decide`,
//! which the laws in `tests/decide_laws.rs` hold it to.

use std::collections::{BTreeMap, BTreeSet};

use super::super::guard::{self, Reached};
use super::super::who::{Candidate, Conditions, For, candidates, closed, closed_to_all};
use super::super::{locks, signed_in};
use super::{Act, allow_fits, allows, channel, denies, deny_fits};
use crate::condition::{Facts, TargetFacts};
use crate::event::SessionKind;
use crate::identity::{Identity, NodeFacts, Reach};
use crate::policy::{ChannelKind, LoginPattern, PolicySet, SshRule};
use crate::time::Timestamp;
use crate::words::Login;

/// The logins that this person may take on this node, sorted: exactly those for which [`crate::decide::decide`] allows some kind of
/// session, but for what has to be shown or said first, and taking any command.
pub fn allowed_logins(identity: &Identity, node: &NodeFacts, policy: &PolicySet, now: Timestamp) -> Vec<Login> {
    let out = signed_in(identity, now).is_err()
        || locks::person(identity, policy, now).is_err()
        || locks::install(policy, now).is_err()
        || closed_to_all(policy, identity, now).is_some();
    if out {
        return Vec::new();
    }
    let target = For { kind: Reach::Node, name: node.name.as_str(), login: None };
    let roles = candidates(identity, policy, now, Some(target));
    if !roles.iter().any(|one| one.spec.allow.ssh.iter().any(|rule| allow_fits(rule, node))) {
        return Vec::new();
    }
    let mut logins = Logins { identity, node, now, left: BTreeMap::new() };
    roles.iter().for_each(|one| logins.allow(one));
    roles.iter().filter(|one| !one.spec.dry_run).for_each(|one| logins.deny(one));
    let locked = |login: &Login| locks::target(policy, now, Reach::Node, node.name.as_str(), node.agent.as_ref(), Some(login)).is_err();
    let guarded =
        |login: &Login, kinds: &BTreeMap<ChannelKind, bool>| match guard::check(identity, policy, &node.labels, Reached::Ssh(login)) {
            Ok(guarded) => guarded.by_request_only && !kinds.values().any(|by_request| *by_request),
            Err(_) => true,
        };
    let left = logins.left.into_iter().filter(|(login, kinds)| !kinds.is_empty() && !locked(login) && !guarded(login, kinds));
    left.map(|(login, _)| login).collect()
}

/// What is left of the logins, rule by rule.
struct Logins<'a> {
    identity: &'a Identity,
    node: &'a NodeFacts,
    now: Timestamp,
    /// For each login the kinds of session, and whether a request gives it.
    left: BTreeMap<Login, BTreeMap<ChannelKind, bool>>,
}

impl Logins<'_> {
    /// The kinds of session of which a rule may speak, by which `speaks`.
    fn kinds(rule: &SshRule, speaks: fn(&SshRule, Act<'_>) -> bool) -> impl Iterator<Item = ChannelKind> + '_ {
        SessionKind::ALL.into_iter().map(channel).filter(move |kind| speaks(rule, Act::Open(*kind, None)))
    }

    fn holds(&self, rule: &SshRule, login: &Login, kind: ChannelKind, if_unknown: bool) -> bool {
        if rule.condition.is_none() {
            return true;
        }
        let target = TargetFacts { kind: "node", name: self.node.name.as_str(), labels: &self.node.labels, login: login.as_str() };
        let facts = Facts { identity: self.identity, target: Some(target), kind: kind.as_str(), command: None, now: self.now };
        Conditions::new(facts).hold(rule.condition.as_ref(), String::new, if_unknown)
    }

    fn allow(&mut self, one: &Candidate<'_>) {
        if closed(&one.spec.options, self.identity, self.now).is_some() && !one.spec.dry_run {
            return;
        }
        let only = one.by.and_then(|grant| grant.only.as_ref()).and_then(|only| only.login.as_ref());
        let by_request = one.by.is_some();
        for rule in one.spec.allow.ssh.iter().filter(|rule| allow_fits(rule, self.node)) {
            let expanded = rule.logins.iter().flat_map(|pattern| pattern.expand(&self.identity.traits));
            for login in expanded.filter(|login| only.is_none_or(|only| only == login)) {
                for kind in Self::kinds(rule, allows) {
                    if self.holds(rule, &login, kind, false) {
                        *self.left.entry(login.clone()).or_default().entry(kind).or_default() |= by_request;
                    }
                }
            }
        }
    }

    fn deny(&mut self, one: &Candidate<'_>) {
        for rule in one.spec.deny.ssh.iter().filter(|rule| deny_fits(rule, self.node)) {
            let any = rule.logins.contains(&LoginPattern::Any);
            let named: BTreeSet<Login> = rule.logins.iter().flat_map(|pattern| pattern.expand(&self.identity.traits)).collect();
            let mut left = std::mem::take(&mut self.left);
            for (login, kinds) in left.iter_mut().filter(|(login, _)| any || named.contains(*login)) {
                for kind in Self::kinds(rule, denies) {
                    if self.holds(rule, login, kind, true) {
                        kinds.remove(&kind);
                    }
                }
            }
            self.left = left;
        }
    }
}
