//! Which guardrails the roles break. Whether something is refused at the moment of use is decided elsewhere; this is for whoever changes
//! what is declared.

use std::collections::BTreeMap;

use super::bits::Bits;
use super::compare::{minus, people, present};
use super::lines::Groups;
use super::side::{Side, Tables, roles_of};
use super::{Breaks, Broken, Held, Moment, World};
use crate::decide::Reached;
use crate::decide::parts::guardrail_speaks_of;
use crate::identity::{Identity, Reach};
use crate::policy::{GuardrailSpec, KubeRule, PolicySet, RoleOptions, SshRule};
use crate::time::Timestamp;
use crate::words::ResourceName;

/// What a change does to guardrails. A guardrail is broken by everything of which it speaks that roles would give somebody without any
/// request, were there no guardrails: at any time, from anywhere and whoever is locked, so that none is kept by the hour of the change
/// alone. What a condition says of time, network or the request itself is taken for true in an allow and for false in a deny.
///
/// What was broken before by the same person at the same target as the same login or group is no reason to refuse a change, unless the
/// guardrail is another than before. At most `lines` lines for each guardrail.
pub fn broken(before: &World<'_>, after: &World<'_>, lines: usize) -> Breaks {
    let moment = Moment { now: Timestamp::from_secs(0), from: None };
    let (old_policy, new_policy) = (standing(before.policy), standing(after.policy));
    let everybody: Vec<Identity> = before.people.iter().chain(after.people).map(|one| as_standing(one, &moment)).collect();
    let everybody: Vec<&Identity> = everybody.iter().collect();
    let (tables, roles) = (Tables::of(before, after, &everybody), roles_of(&everybody));
    let [old_side, new_side] = [(0, &old_policy), (1, &new_policy)].map(|(at, policy)| Side::new(at, policy, &tables, moment, &roles));
    let rails = |world: &World<'_>| world.policy.others().guardrails.clone();
    let (was, is) = (rails(before), rails(after));
    let on = |spec: &GuardrailSpec, side: usize| {
        let labels = &spec.never.reach.labels;
        [tables.nodes.select(side, labels, true), tables.clusters.select(side, labels, true)]
    };
    let is: BTreeMap<_, _> = is.into_iter().map(|(name, spec)| (name, (on(&spec, 0), on(&spec, 1), spec))).collect();
    let mut found: BTreeMap<&ResourceName, [Groups<'_>; 2]> =
        is.keys().map(|name| (name, [Groups::new(&tables, 1), Groups::new(&tables, 1)])).collect();
    for (name, both) in people(before, after) {
        let [then, now] = both.map(|identity| identity.map(|identity| as_standing(identity, &moment)));
        let Some(now) = now else { continue };
        let held = new_side.held(&now);
        let mut before: Option<Held> = None;
        for (rail, (on_before, on_after, spec)) in &is {
            let hit = hit(&held, spec, &now, on_after);
            if hit.is_empty() {
                continue;
            }
            let old = match &then {
                Some(then) if was.get(rail) == Some(spec) => {
                    let held = before.get_or_insert_with(|| old_side.held(then));
                    self::hit(held, spec, then, on_before)
                }
                _ => Held::new(),
            };
            let new = minus(&hit, &old);
            if let Some([news, olds]) = found.get_mut(rail) {
                olds.add(name, minus(&hit, &new));
                news.add(name, new);
            }
        }
    }
    let mut breaks = Breaks::default();
    for (rail, [news, olds]) in &found {
        for (groups, list) in [(news, &mut breaks.new), (olds, &mut breaks.old)] {
            if groups.count() > 0 {
                list.push(Broken { guardrail: (*rail).clone(), lines: groups.lines(lines), count: groups.count() });
            }
        }
    }
    breaks
}

/// Somebody without what requests gave them.
fn as_standing(identity: &Identity, moment: &Moment) -> Identity {
    Identity { granted: Vec::new(), ..present(identity, moment) }
}

/// What of it a guardrail speaks of; `on` are the nodes and clusters whose labels it fits.
fn hit(held: &Held, spec: &GuardrailSpec, identity: &Identity, on: &[Bits; 2]) -> Held {
    let [nodes, clusters] = on;
    let kept = held.iter().filter_map(|((kind, name), classes)| {
        let (speaks, on) = match kind {
            Reach::Node => (guardrail_speaks_of(spec, identity, Reached::Ssh(&name.parse().ok()?)), nodes),
            Reach::Cluster => (guardrail_speaks_of(spec, identity, Reached::Kubernetes(std::slice::from_ref(name))), clusters),
        };
        speaks.then(|| ((*kind, name.clone()), classes.both(on)))
    });
    kept.filter(|(_, classes)| !classes.is_empty()).collect()
}

/// The policy without what only time, place, locks or guardrails take away.
fn standing(policy: &PolicySet) -> PolicySet {
    let clear = |options: &mut RoleOptions| {
        options.networks.clear();
        options.hours.clear();
    };
    let passing = |condition: &crate::condition::Condition| ["time", "network", "request"].iter().any(|name| condition.speaks_of(name));
    policy.supposing(
        |role| {
            clear(&mut role.options);
            let allow = (role.allow.ssh.iter_mut().map(|rule| &mut rule.condition))
                .chain(role.allow.kubernetes.iter_mut().map(|rule| &mut rule.condition));
            allow.for_each(|condition| *condition = condition.take().filter(|condition| !passing(condition)));
            role.deny.ssh.retain(|rule: &SshRule| !rule.condition.as_ref().is_some_and(passing));
            role.deny.kubernetes.retain(|rule: &KubeRule| !rule.condition.as_ref().is_some_and(passing));
        },
        |others| {
            clear(&mut others.settings.options);
            others.guardrails.clear();
            others.locks.clear();
        },
    )
}
