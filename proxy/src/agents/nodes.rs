//! Nodes that have joined, as stored: name, agent and the labels that the join token fixed.

use std::collections::BTreeMap;
use std::sync::Arc;

use access::identity::{ClusterFacts, LabelValue, Labels, NodeFacts, Origin as LabelOrigin};
use access::policy::ResourceKind;
use access::time::Timestamp;
use access::words::{AgentId, NodeName, ResourceName};
use serde::{Deserialize, Serialize};
use store::kv::{Entry, Expect, Kv, KvError};
use wire::tunnel::HelloBack;

use crate::authority::one_time::Origin;
use crate::live::{Live, View, scan};

/// Where nodes are.
pub(crate) const NODES: &str = "node/";

/// When the agent of a node was last there: beside the node, since it changes by itself.
pub(crate) const SEEN: &str = "seen/";

/// A node as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredNode {
    /// The agent that serves it: no other's tunnel counts.
    pub(crate) agent: AgentId,
    /// Fixed by the join token.
    pub(crate) labels: BTreeMap<String, String>,
    /// When it joined.
    pub(crate) joined: Timestamp,
    /// The declared join token that it joined by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) of: Option<Origin>,
}

impl StoredNode {
    /// The labels that its join token fixed.
    pub(crate) fn labels(&self) -> Labels {
        let fixed = |value: &String| LabelValue { value: value.clone(), origin: LabelOrigin::Token };
        self.labels.iter().map(|(key, value)| (key.clone(), fixed(value))).collect()
    }
}

/// A cluster with the labels that administrators gave it.
pub(crate) fn cluster_of(name: &ResourceName, given: &BTreeMap<String, String>) -> ClusterFacts {
    ClusterFacts { name: name.clone(), labels: with_authority(Labels::new(), Some(given)), agent: None }
}

/// Reads nodes.
#[derive(Clone)]
pub(crate) struct Nodes {
    pub(crate) store: Arc<dyn Kv>,
    pub(crate) agents: super::Agents,
    pub(crate) live: Live,
}

/// Labels of an administrator win over those of the same key that were there.
fn with_authority(mut labels: Labels, given: Option<&BTreeMap<String, String>>) -> Labels {
    let given = given.into_iter().flatten();
    labels.extend(given.map(|(key, value)| (key.clone(), LabelValue { value: value.clone(), origin: LabelOrigin::Authority })));
    labels
}

impl Nodes {
    /// One, with its revision.
    pub(crate) fn get(&self, name: &NodeName) -> Result<Option<(StoredNode, u64)>, KvError> {
        let key = format!("{NODES}{name}");
        let Some(stored) = self.store.get(&key)? else { return Ok(None) };
        let node = serde_json::from_slice(&stored.value).map_err(|_| KvError::Damaged(key))?;
        Ok(Some((node, stored.revision)))
    }

    /// One, as `decide` sees it.
    pub(crate) fn facts(&self, name: &NodeName) -> Result<Option<(NodeFacts, AgentId)>, KvError> {
        let Some((node, _)) = self.get(name)? else { return Ok(None) };
        Ok(Some((self.known(&self.live.now(), name, &node), node.agent)))
    }

    fn known(&self, view: &View, name: &NodeName, node: &StoredNode) -> NodeFacts {
        self.labelled(name, node, view.labels(ResourceKind::Node, name.as_str()))
    }

    fn labelled(&self, name: &NodeName, node: &StoredNode, given: Option<&BTreeMap<String, String>>) -> NodeFacts {
        let fixed = with_authority(node.labels(), given);
        let labels = self.agents.with_own_labels(name, &node.agent, fixed);
        NodeFacts { name: name.clone(), labels, agent: Some(node.agent.clone()) }
    }

    /// A cluster that is declared.
    pub(crate) fn cluster(&self, name: &ResourceName) -> Option<ClusterFacts> {
        let view = self.live.now();
        view.labels(ResourceKind::Cluster, name.as_str()).map(|given| cluster_of(name, given))
    }

    /// All nodes, with these labels of administrators.
    pub(crate) fn with<'a>(&self, labels: impl Fn(&NodeName) -> Option<&'a BTreeMap<String, String>>) -> Result<Vec<NodeFacts>, KvError> {
        let stored = self.stored()?;
        Ok(stored.into_iter().map(|(name, node)| self.labelled(&name, &node, labels(&name))).collect())
    }

    /// What its agent said of itself, while that is connected.
    pub(crate) fn said(&self, name: &NodeName) -> Option<HelloBack> {
        let (node, _) = self.get(name).ok().flatten()?;
        self.agents.said(name, &node.agent)
    }

    /// When its agent was last there, as far as that was noted: when its tunnels came and when the last one went.
    pub(crate) fn last_seen(&self, name: &NodeName) -> Result<Option<Timestamp>, KvError> {
        let stored = self.store.get(&format!("{SEEN}{name}"))?;
        Ok(stored.and_then(|stored| serde_json::from_slice(&stored.value).ok()))
    }

    /// Notes that its agent is there now. Nothing waits for it: who depends on it (`gone`) looks at the tunnels too.
    pub(super) fn note_seen(&self, name: &NodeName, now: Timestamp) {
        let (store, key, value) = (self.store.clone(), format!("{SEEN}{name}"), serde_json::to_vec(&now).unwrap_or_default());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn_blocking(move || {
                if let Err(error) = store.put(&key, &value, Expect::Any) {
                    tracing::debug!(%error, "when a node was seen could not be noted");
                }
            });
        }
    }

    /// So many by name, those after `after`.
    pub(crate) fn some(&self, after: Option<&str>, limit: usize) -> Result<Vec<(NodeFacts, AgentId)>, KvError> {
        let view = self.live.now();
        let after = after.map(|after| format!("{NODES}{after}"));
        let some = self.store.scan(NODES, after.as_deref(), limit)?;
        let known = |(name, node): (NodeName, StoredNode)| (self.known(&view, &name, &node), node.agent);
        some.iter().map(|entry| stored(entry).map(known)).collect()
    }

    fn stored(&self) -> Result<Vec<(NodeName, StoredNode)>, KvError> {
        scan(self.store.as_ref(), NODES)?.iter().map(stored).collect()
    }
}

/// Name and node of an entry.
fn stored(entry: &Entry) -> Result<(NodeName, StoredNode), KvError> {
    let damaged = || KvError::Damaged(entry.key.clone());
    let name = entry.key.trim_start_matches(NODES).parse().map_err(|_| damaged())?;
    Ok((name, serde_json::from_slice(&entry.at.value).map_err(|_| damaged())?))
}
