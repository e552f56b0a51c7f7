//! Who reaches what, as rows for people to read, page by page.

use std::collections::BTreeSet;

use super::compare::{from, present};
use super::{Moment, World};
use crate::decide::{Reacher, Reaching};
use crate::identity::{Identity, Reach};
use crate::time::Timestamp;
use crate::words::{RoleName, UserName};

/// One person at one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Who.
    pub user: UserName,
    /// What kind of target.
    pub kind: Reach,
    /// Its name.
    pub target: String,
    /// Of a node the logins, of a cluster the groups.
    pub r#as: Vec<String>,
    /// The roles that give any of them, by name.
    pub roles: Vec<RoleName>,
    /// Where a request gives it: until when. What somebody has anyway and what requests give them there are rows of their own.
    pub until: Option<Timestamp>,
}

/// A page of rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    /// The rows; those of one person at one target are never parted, so that there may be a few more than were asked for.
    pub items: Vec<Row>,
    /// What the next page begins after; none where this is the last.
    pub next: Option<String>,
}

/// What one person reaches: nodes, then clusters, each by name. `after` is the `next` of the page before: `node/db-1`.
/// Empty for somebody who is not in that world.
pub fn list_user(world: &World<'_>, user: &UserName, moment: &Moment, after: Option<&str>, limit: usize) -> Rows {
    let Some(identity) = world.people.iter().find(|one| one.name == *user) else { return Rows::default() };
    let (policy, identity) = (from(world.policy, moment), present(identity, moment));
    let reacher = Reacher::new(&identity, &policy, moment.now);
    // Clusters come after nodes, whatever their words.
    let place = |kind, name: &str| (kind, name.to_owned());
    let after = after
        .and_then(|text| text.split_once('/'))
        .map(|(kind, name)| place(if kind == "cluster" { Reach::Cluster } else { Reach::Node }, name));
    let mut nodes: Vec<_> = world.nodes.iter().collect();
    nodes.sort_by(|one, other| one.name.cmp(&other.name));
    let mut clusters: Vec<_> = world.clusters.iter().collect();
    clusters.sort_by(|one, other| one.name.cmp(&other.name));
    let nodes = nodes.into_iter().map(|node| (place(Reach::Node, node.name.as_str()), Facts::Node(node)));
    let clusters = clusters.into_iter().map(|cluster| (place(Reach::Cluster, cluster.name.as_str()), Facts::Cluster(cluster)));
    let mut rows = Rows::default();
    for ((kind, name), facts) in nodes.chain(clusters).filter(|(place, _)| after.as_ref().is_none_or(|after| place > after)) {
        let found = match facts {
            Facts::Node(node) => reacher.node(node),
            Facts::Cluster(cluster) => reacher.cluster(cluster),
        };
        let word = if kind == Reach::Node { "node" } else { "cluster" };
        if rows.add(&identity, kind, &name, found, limit, || format!("{word}/{name}")) {
            return rows;
        }
    }
    Rows { next: None, ..rows }
}

enum Facts<'a> {
    Node(&'a crate::identity::NodeFacts),
    Cluster(&'a crate::identity::ClusterFacts),
}

/// Who reaches one target, by name. `after` is the `next` of the page before: `alice`. Empty for a target that is not in that world.
pub fn list_target(world: &World<'_>, kind: Reach, name: &str, moment: &Moment, after: Option<&str>, limit: usize) -> Rows {
    let policy = from(world.policy, moment);
    let node = world.nodes.iter().find(|node| kind == Reach::Node && node.name.as_str() == name);
    let cluster = world.clusters.iter().find(|cluster| kind == Reach::Cluster && cluster.name.as_str() == name);
    let mut people: Vec<&Identity> = world.people.iter().filter(|one| after.is_none_or(|after| one.name.as_str() > after)).collect();
    people.sort_by(|one, other| one.name.cmp(&other.name));
    let mut rows = Rows::default();
    for identity in people {
        let identity = present(identity, moment);
        let reacher = Reacher::new(&identity, &policy, moment.now);
        let found = match (node, cluster) {
            (Some(node), _) => reacher.node(node),
            (_, Some(cluster)) => reacher.cluster(cluster),
            _ => break,
        };
        if rows.add(&identity, kind, name, found, limit, || identity.name.to_string()) {
            return rows;
        }
    }
    Rows { next: None, ..rows }
}

impl Rows {
    /// Adds what was found, or says that the page is full and where the next begins.
    fn add(
        &mut self,
        identity: &Identity,
        kind: Reach,
        target: &str,
        found: Vec<Reaching>,
        limit: usize,
        place: impl Fn() -> String,
    ) -> bool {
        if found.is_empty() {
            return false;
        }
        if self.items.len() >= limit.max(1) {
            return true;
        }
        let (own, by_request): (Vec<_>, Vec<_>) = found.into_iter().partition(|one| one.until.is_none());
        for part in [own, by_request].into_iter().filter(|part| !part.is_empty()) {
            let roles: BTreeSet<&RoleName> = part.iter().flat_map(|one| &one.roles).collect();
            self.items.push(Row {
                user: identity.name.clone(),
                kind,
                target: target.to_owned(),
                roles: roles.into_iter().cloned().collect(),
                until: part.iter().filter_map(|one| one.until).min(),
                r#as: part.into_iter().map(|one| one.r#as).collect(),
            });
        }
        self.next = Some(place());
        false
    }
}
