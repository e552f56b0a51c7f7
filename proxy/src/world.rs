//! Everybody and every target with what would decide, as one value: what is in force, and what would be after a change. Nothing is decided here.

use std::collections::BTreeMap;

use access::identity::{ClusterFacts, Identity, Method, NodeFacts};
use access::policy::{PolicySet, Resource, ResourceKind, Stated};
use access::reach::World;
use access::time::Timestamp;
use store::kv::KvError;

use crate::agents::nodes::{Nodes, cluster_of};
use crate::declared::Id;
use crate::live::View;

/// A [`World`] that owns what is in it.
#[derive(Debug)]
pub(crate) struct Everything {
    pub(crate) policy: PolicySet,
    people: Vec<Identity>,
    nodes: Vec<NodeFacts>,
    clusters: Vec<ClusterFacts>,
}

impl Everything {
    /// What is in force.
    pub(crate) fn now(view: &View, nodes: &Nodes) -> Result<Self, KvError> {
        let resources = view.resources.iter().map(|(id, declared)| (id.clone(), declared.stated.clone())).collect();
        Self::with(view, nodes, &resources, view.policy.clone())
    }

    /// What would be with these resources.
    pub(crate) fn with(view: &View, nodes: &Nodes, resources: &BTreeMap<Id, Stated>, policy: PolicySet) -> Result<Self, KvError> {
        let labels = |kind, name: &str| resources.get(&(kind, name.to_owned())).map(|stated| &stated.labels);
        let clusters = resources.values().filter_map(|stated| match &stated.resource {
            Resource::Cluster { name, .. } => Some(cluster_of(name, &stated.labels)),
            _ => None,
        });
        Ok(Self {
            policy,
            people: people(view, resources),
            nodes: nodes.with(|name| labels(ResourceKind::Node, name.as_str()))?,
            clusters: clusters.collect(),
        })
    }

    /// To be looked at.
    pub(crate) fn world(&self) -> World<'_> {
        World { policy: &self.policy, people: &self.people, nodes: &self.nodes, clusters: &self.clusters }
    }
}

/// Everybody who is declared, everybody of a provider that is known, and every machine.
fn people(view: &View, resources: &BTreeMap<Id, Stated>) -> Vec<Identity> {
    let never = Timestamp::from_nanos(i64::MAX);
    let mut all: BTreeMap<_, Identity> = BTreeMap::new();
    for stated in resources.values() {
        match &stated.resource {
            Resource::User { name, spec } => {
                let there = view.identity(name, never);
                let user = there.as_ref().map_or_else(|| view.new_user(name), |there| there.user.clone());
                let granted = there.map(|there| there.granted).unwrap_or_default();
                all.insert(name.clone(), view.somebody(user, name, spec.roles.clone(), spec.traits.clone(), granted));
            }
            Resource::Bot { name, spec } => {
                let user = access::identity::UserId { issuer: spec.issuer.clone(), subject: name.to_string() };
                let mut bot = view.somebody(user, name, spec.roles.clone(), spec.traits.clone(), Vec::new());
                bot.auth.method = Method::Bot;
                all.insert(name.clone(), bot);
            }
            _ => {}
        }
    }
    for (name, person) in &view.people {
        let connector = resources.get(&(ResourceKind::OidcConnector, person.connector.to_string()));
        let Some(Resource::OidcConnector { spec, .. }) = connector.map(|stated| &stated.resource) else { continue };
        if spec.issuer != person.issuer {
            continue;
        }
        let user = access::identity::UserId { issuer: person.issuer.clone(), subject: person.subject.clone() };
        let granted = view.granted(&user);
        let roles = spec.roles(&person.kept).into_keys().collect();
        all.insert(name.clone(), view.somebody(user, name, roles, spec.traits(&person.kept), granted));
    }
    all.into_values().collect()
}
