//! All targets of both worlds, gathered into classes of those that nothing tells apart: no rule, lock, request or condition of either
//! side. Nothing is decided here.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::bits::Bits;
use crate::identity::{ClusterFacts, Labels, NodeFacts, Origin};
use crate::policy::{Pattern, Selector};
use crate::words::AgentId;

/// What a node and a cluster have in common.
pub(super) trait Target {
    fn name(&self) -> &str;
    fn labels(&self) -> &Labels;
    fn agent(&self) -> Option<&AgentId>;
}

impl Target for NodeFacts {
    fn name(&self) -> &str {
        self.name.as_str()
    }
    fn labels(&self) -> &Labels {
        &self.labels
    }
    fn agent(&self) -> Option<&AgentId> {
        self.agent.as_ref()
    }
}

impl Target for ClusterFacts {
    fn name(&self) -> &str {
        self.name.as_str()
    }
    fn labels(&self) -> &Labels {
        &self.labels
    }
    fn agent(&self) -> Option<&AgentId> {
        self.agent.as_ref()
    }
}

/// What may tell targets apart.
#[derive(Debug, Default)]
pub(super) struct Apart<'p> {
    /// Keys of labels.
    pub(super) keys: BTreeSet<String>,
    /// Names that stand for themselves.
    pub(super) names: BTreeSet<&'p str>,
    /// Agents that do.
    pub(super) agents: BTreeSet<&'p AgentId>,
    /// Whether every target stands for itself.
    pub(super) each: bool,
}

/// Targets by name, and their classes.
#[derive(Debug)]
pub(super) struct Table<'a, T> {
    /// In the order of their names; each before and after, where it is there.
    pub(super) targets: Vec<(&'a str, [Option<&'a T>; 2])>,
    /// Places in `targets`, upwards.
    pub(super) classes: Vec<Vec<usize>>,
    /// For each key the values there are, with whether only an agent says so.
    values: Vec<(String, Vec<(&'a str, bool)>)>,
    /// For each class what tells it apart: before, then after, the value of each key.
    signs: Vec<Vec<u32>>,
}

/// The value of a label that is not there.
const ABSENT: u32 = u32::MAX;

impl<'a, T: Target> Table<'a, T> {
    pub(super) fn of(before: &'a [T], after: &'a [T], apart: &Apart<'_>) -> Self {
        let mut targets: Vec<(&str, [Option<&T>; 2])> = before.iter().map(|one| (one.name(), [Some(one), None])).collect();
        if std::ptr::eq(before, after) {
            targets.iter_mut().for_each(|(_, [was, is])| *is = *was);
            targets.sort_unstable_by_key(|(name, _)| *name);
        } else {
            targets.extend(after.iter().map(|one| (one.name(), [None, Some(one)])));
            targets.sort_by_key(|(name, _)| *name);
            targets.dedup_by(|(name, second), (first_name, first)| {
                let same = name == first_name;
                if same {
                    *first = [first[0].or(second[0]), first[1].or(second[1])];
                }
                same
            });
        }
        let mut signer = Signer::new(apart);
        let mut found: HashMap<Vec<u32>, usize> = HashMap::new();
        let (mut classes, mut signs): (Vec<Vec<usize>>, Vec<Vec<u32>>) = (Vec::new(), Vec::new());
        for (place, (name, both)) in targets.iter().enumerate() {
            let sign = signer.sign(place, name, both);
            let class = *found.entry(sign).or_insert_with_key(|sign| {
                signs.push(sign.clone());
                classes.push(Vec::new());
                classes.len() - 1
            });
            if let Some(members) = classes.get_mut(class) {
                members.push(place);
            }
        }
        Self { targets, classes, values: signer.values(), signs }
    }

    /// One of a class that stands for all of it, before or after; none where they are not there.
    pub(super) fn stands_for(&self, class: usize, side: usize) -> Option<&'a T> {
        let at = self.classes.get(class)?.first()?;
        self.targets.get(*at)?.1.get(side).copied().flatten()
    }

    /// How many targets are in these classes.
    pub(super) fn count(&self, classes: &Bits) -> usize {
        classes.iter().filter_map(|class| self.classes.get(class)).map(Vec::len).sum()
    }

    /// The classes for which `is` says so of what stands for them.
    pub(super) fn where_is(&self, side: usize, is: impl Fn(&T) -> bool) -> Bits {
        Bits::of(self.classes.len(), |class| self.stands_for(class, side).is_some_and(&is))
    }

    /// The classes that a selector fits: `decide`'s own answer, looked up value by value.
    pub(super) fn select(&self, side: usize, selector: &Selector, agent_labels: bool) -> Bits {
        let mut left = Bits::none(self.classes.len());
        if selector.is_empty() {
            return left;
        }
        left = self.where_is(side, |_| true);
        for (key, patterns) in selector {
            if key == "*" {
                if !patterns.iter().any(Pattern::is_any) {
                    return Bits::none(self.classes.len());
                }
                continue;
            }
            let Ok(at) = self.values.binary_search_by(|(known, _)| known.as_str().cmp(key)) else { return Bits::none(self.classes.len()) };
            let values = self.values.get(at).map(|(_, values)| values.as_slice()).unwrap_or_default();
            let fits = |(value, agents): &(&str, bool)| (agent_labels || !agents) && patterns.iter().any(|pattern| pattern.matches(value));
            let fitting: Vec<bool> = values.iter().map(fits).collect();
            let place = side * self.values.len() + at;
            let fits = |class: usize| {
                let value = self.signs.get(class).and_then(|sign| sign.get(place)).copied().unwrap_or(ABSENT);
                usize::try_from(value).ok().and_then(|value| fitting.get(value)).copied().unwrap_or_default()
            };
            left.keep(&Bits::of(self.classes.len(), fits));
        }
        left
    }
}

/// Gives each target what tells it apart, as numbers.
struct Signer<'p, 'a> {
    apart: &'p Apart<'p>,
    /// For each key the number of each value.
    known: BTreeMap<String, HashMap<(&'a str, bool), u32>>,
}

impl<'p, 'a> Signer<'p, 'a> {
    fn new(apart: &'p Apart<'p>) -> Self {
        Self { apart, known: apart.keys.iter().map(|key| (key.clone(), HashMap::new())).collect() }
    }

    fn sign<T: Target>(&mut self, place: usize, name: &str, both: &[Option<&'a T>; 2]) -> Vec<u32> {
        let mut sign = Vec::with_capacity(self.known.len() * 2 + 4);
        let same = matches!(both, [Some(was), Some(is)] if std::ptr::eq(*was, *is));
        for one in both {
            if same && !sign.is_empty() {
                sign.extend_from_within(..);
                break;
            }
            for (key, known) in &mut self.known {
                let next = u32::try_from(known.len()).unwrap_or(ABSENT);
                let label = one.and_then(|one| one.labels().get(key));
                sign.push(label.map_or(ABSENT, |label| *known.entry((&label.value, label.origin == Origin::Agent)).or_insert(next)));
            }
        }
        let itself = self.apart.each || self.apart.names.contains(name);
        sign.push(if itself { u32::try_from(place).unwrap_or(ABSENT) } else { ABSENT });
        for one in both {
            let agent = one.and_then(|one| one.agent()).and_then(|agent| self.apart.agents.iter().position(|locked| *locked == agent));
            sign.push(agent.and_then(|at| u32::try_from(at).ok()).unwrap_or(ABSENT));
        }
        sign.push(both.iter().fold(0, |there, one| there * 2 + u32::from(one.is_some())));
        sign
    }

    fn values(self) -> Vec<(String, Vec<(&'a str, bool)>)> {
        let ordered = |known: HashMap<(&'a str, bool), u32>| {
            let mut values: Vec<_> = known.into_iter().collect();
            values.sort_unstable_by_key(|(_, number)| *number);
            values.into_iter().map(|(value, _)| value).collect()
        };
        self.known.into_iter().map(|(key, known)| (key, ordered(known))).collect()
    }
}
