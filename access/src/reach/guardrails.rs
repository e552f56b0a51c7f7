//! Which guardrails the roles break. Whether something is refused at the moment of use is decided elsewhere; this is for whoever changes
//! what is declared.

use std::collections::BTreeMap;

use super::bits::Bits;
use super::compare::{minus, people, present};
use super::lines::Groups;
use super::side::{Side, Tables};
use super::table::{Table, Target};
use super::{Breaks, Broken, Held, Moment, World};
use crate::decide::{Reached, guardrail_hits};
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
    let tables = Tables { nodes: Table::of(before.nodes, after.nodes), clusters: Table::of(before.clusters, after.clusters) };
    let moment = Moment { now: Timestamp::from_secs(0), from: None };
    let (old_policy, new_policy) = (standing(before.policy), standing(after.policy));
    let [old_side, new_side] = [(0, &old_policy), (1, &new_policy)].map(|(at, policy)| Side { at, policy, tables: &tables, moment });
    let rails = |world: &World<'_>| world.policy.others().guardrails.clone();
    let (was, is) = (rails(before), rails(after));
    let mut found: BTreeMap<&ResourceName, [Groups<'_>; 2]> =
        is.keys().map(|name| (name, [Groups::new(&tables, 1), Groups::new(&tables, 1)])).collect();
    for (name, both) in people(before, after) {
        let [then, now] = both.map(|identity| identity.map(|identity| Identity { granted: Vec::new(), ..present(identity, &moment) }));
        let Some(now) = now else { continue };
        let held = new_side.held(&now);
        let mut before: Option<Held> = None;
        for (rail, spec) in &is {
            let hit = hit(&held, spec, &now, &tables, 1);
            if hit.is_empty() {
                continue;
            }
            let old = match &then {
                Some(then) if was.get(rail) == Some(spec) => {
                    let held = before.get_or_insert_with(|| old_side.held(then));
                    self::hit(held, spec, then, &tables, 0)
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

/// What of it a guardrail speaks of.
fn hit(held: &Held, spec: &GuardrailSpec, identity: &Identity, tables: &Tables<'_>, side: usize) -> Held {
    let hits = |kind: Reach, name: &str, class: usize| match kind {
        Reach::Node => tables
            .nodes
            .stands_for(class, side)
            .zip(name.parse().ok())
            .is_some_and(|(node, login)| guardrail_hits(spec, identity, node.labels(), Reached::Ssh(&login))),
        Reach::Cluster => tables
            .clusters
            .stands_for(class, side)
            .is_some_and(|cluster| guardrail_hits(spec, identity, cluster.labels(), Reached::Kubernetes(&[name.to_owned()]))),
    };
    let kept = held.iter().map(|((kind, name), classes)| {
        let mut left = Bits::none(classes.len());
        classes.iter().filter(|class| hits(*kind, name, *class)).for_each(|class| left.add(class));
        ((*kind, name.clone()), left)
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
