//! What people reach on one side of a change, as classes of targets.

use super::bits::Bits;
use super::table::Table;
use super::{Held, Moment};
use crate::decide::Reacher;
use crate::identity::{ClusterFacts, Identity, NodeFacts, Reach};
use crate::policy::PolicySet;

/// The tables of both sides.
pub(super) struct Tables<'a> {
    pub(super) nodes: Table<'a, NodeFacts>,
    pub(super) clusters: Table<'a, ClusterFacts>,
}

/// One side.
pub(super) struct Side<'a> {
    /// 0 before, 1 after.
    pub(super) at: usize,
    pub(super) policy: &'a PolicySet,
    pub(super) tables: &'a Tables<'a>,
    pub(super) moment: Moment,
}

impl Side<'_> {
    /// What one person reaches.
    pub(super) fn held(&self, identity: &Identity) -> Held {
        let reacher = Reacher::new(identity, self.policy, self.moment.now);
        let mut held = Held::new();
        let (nodes, clusters) = (&self.tables.nodes, &self.tables.clusters);
        for class in 0..nodes.classes.len() {
            for login in nodes.stands_for(class, self.at).map(|node| reacher.logins(node)).unwrap_or_default() {
                held.entry((Reach::Node, login.to_string())).or_insert_with(|| Bits::none(nodes.classes.len())).add(class);
            }
        }
        for class in 0..clusters.classes.len() {
            for group in clusters.stands_for(class, self.at).map(|cluster| reacher.cluster(cluster)).unwrap_or_default() {
                held.entry((Reach::Cluster, group.r#as)).or_insert_with(|| Bits::none(clusters.classes.len())).add(class);
            }
        }
        held
    }
}
