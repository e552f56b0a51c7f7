//! All targets of both worlds, gathered into classes of those that no rule of either tells apart. Nothing is decided here.

use std::collections::BTreeMap;

use super::bits::Bits;
use crate::identity::{ClusterFacts, Labels, NodeFacts};
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

/// Targets by name, and their classes.
#[derive(Debug)]
pub(super) struct Table<'a, T> {
    /// In the order of their names; each before and after, where it is there.
    pub(super) targets: Vec<(&'a str, [Option<&'a T>; 2])>,
    /// Places in `targets`, upwards.
    pub(super) classes: Vec<Vec<usize>>,
}

impl<'a, T: Target> Table<'a, T> {
    pub(super) fn of(before: &'a [T], after: &'a [T]) -> Self {
        let mut by_name: BTreeMap<&str, [Option<&'a T>; 2]> = BTreeMap::new();
        for one in before {
            by_name.entry(one.name()).or_default()[0] = Some(one);
        }
        for one in after {
            by_name.entry(one.name()).or_default()[1] = Some(one);
        }
        let targets: Vec<_> = by_name.into_iter().collect();
        let classes = (0..targets.len()).map(|at| vec![at]).collect();
        Self { targets, classes }
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
}
