//! The difference between two worlds, person by person.

use std::collections::{BTreeMap, BTreeSet};

use super::lines::Groups;
use super::side::{Side, Tables, roles_of};
use super::{Difference, Held, Moment, World};
use crate::identity::Identity;
use crate::policy::{PolicySet, RoleOptions};
use crate::time::Timestamp;
use crate::words::RoleName;

pub(super) fn diff(before: &World<'_>, after: &World<'_>, moment: &Moment, lines: usize) -> Difference {
    let changed = Changed::of(before, after);
    let mut people = people(before, after);
    people.retain(|_, both| changed.concerns(both));
    let looked_at: Vec<&Identity> = people.values().flatten().filter_map(|one| *one).collect();
    let (tables, roles) = (Tables::of(before, after, &looked_at), roles_of(&looked_at));
    let (was, is) = (from(before.policy, moment), from(after.policy, moment));
    let sides = [(0, &was), (1, &is)].map(|(at, policy)| Side::new(at, policy, &tables, *moment, &roles));
    let (mut gains, mut loses) = (Groups::new(&tables, 1), Groups::new(&tables, 0));
    for (name, both) in &people {
        let mut held = [Held::new(), Held::new()];
        for ((held, side), identity) in held.iter_mut().zip(&sides).zip(both) {
            if let Some(identity) = identity {
                *held = side.held(&present(identity, moment));
            }
        }
        let [was, is] = held;
        gains.add(name, minus(&is, &was));
        loses.add(name, minus(&was, &is));
    }
    Difference { gained: gains.count(), lost: loses.count(), gains: gains.lines(lines), loses: loses.lines(lines) }
}

/// What is another after a change.
struct Changed<'a> {
    /// Something that concerns everybody: targets, settings, guardrails, locks.
    all: bool,
    roles: BTreeSet<&'a RoleName>,
}

impl<'a> Changed<'a> {
    fn of(before: &World<'a>, after: &World<'a>) -> Self {
        let (was, is) = (before.policy.others(), after.policy.others());
        let rules = was.guardrails != is.guardrails || was.settings != is.settings || was.locks != is.locks;
        let names = before.policy.roles().chain(after.policy.roles()).map(|(role, _)| role);
        Self {
            all: rules || !same(before.nodes, after.nodes) || !same(before.clusters, after.clusters),
            roles: names.filter(|role| before.policy.role(role) != after.policy.role(role)).collect(),
        }
    }

    fn concerns(&self, both: &[Option<&Identity>; 2]) -> bool {
        let [Some(was), Some(is)] = both else { return true };
        let has = || is.roles.iter().chain(is.granted.iter().map(|grant| &grant.role)).any(|role| self.roles.contains(role));
        self.all || !(std::ptr::eq(*was, *is) || was == is) || has()
    }
}

fn same<T: PartialEq>(one: &[T], other: &[T]) -> bool {
    std::ptr::eq(one, other) || one == other
}

/// Everybody by name, before and after.
pub(super) fn people<'a>(before: &World<'a>, after: &World<'a>) -> BTreeMap<&'a str, [Option<&'a Identity>; 2]> {
    let mut all: BTreeMap<&str, [Option<&Identity>; 2]> = BTreeMap::new();
    for one in before.people {
        all.entry(one.name.as_str()).or_default()[0] = Some(one);
    }
    for one in after.people {
        all.entry(one.name.as_str()).or_default()[1] = Some(one);
    }
    all
}

/// Somebody as if signed in, and there.
pub(super) fn present(identity: &Identity, moment: &Moment) -> Identity {
    let mut present = identity.clone();
    present.expires = Timestamp::from_nanos(i64::MAX);
    present.context.from = moment.from;
    present
}

/// The policy as it is from there: from an address that all take, no network is asked for.
pub(super) fn from(policy: &PolicySet, moment: &Moment) -> PolicySet {
    let clear = |options: &mut RoleOptions| {
        if moment.from.is_none() {
            options.networks.clear();
        }
    };
    policy.supposing(|role| clear(&mut role.options), |others| clear(&mut others.settings.options))
}

/// What is in the first and not in the second.
pub(super) fn minus(one: &Held, other: &Held) -> Held {
    let left = one.iter().map(|(key, bits)| (key.clone(), other.get(key).map_or_else(|| bits.clone(), |other| bits.without(other))));
    left.filter(|(_, bits)| !bits.is_empty()).collect()
}
