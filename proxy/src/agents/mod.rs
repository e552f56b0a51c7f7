//! Which agent hangs on this proxy, by which tunnels, and dialling through them. The only way to a target is [`Agents::dial`].

pub(crate) mod dial;
mod hello;
pub(crate) mod mux;
pub(crate) mod nodes;
pub(crate) mod serve;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use access::identity::{LabelValue, Labels, Origin};
use access::words::{AgentId, NodeName};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use wire::tunnel::{HelloBack, Purpose};

use mux::Mux;

/// One tunnel that is up.
#[derive(Debug)]
pub(crate) struct Tunnel {
    pub(crate) agent: AgentId,
    pub(crate) hello: HelloBack,
    mux: Mux,
    /// Drives the HTTP connections of its streams.
    connections: TaskTracker,
}

/// Tunnels by node. Shared by all fronts; a change wakes sessions that wait for their agent.
#[derive(Debug, Clone)]
pub(crate) struct Agents {
    nodes: Arc<Mutex<HashMap<NodeName, Vec<Arc<Tunnel>>>>>,
    changed: watch::Sender<u64>,
}

impl Agents {
    pub(crate) fn new() -> Self {
        Self { nodes: Arc::default(), changed: watch::channel(0).0 }
    }

    /// The tunnel for this purpose, or the other when that is lost.
    pub(crate) fn tunnel(&self, node: &NodeName, purpose: Purpose) -> Option<Arc<Tunnel>> {
        let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let tunnels = nodes.get(node)?;
        // The newest of a purpose is last: an agent that reconnects before its old tunnel is found dead is served by the new one.
        let wanted = tunnels.iter().rev().find(|tunnel| tunnel.hello.purpose == purpose);
        wanted.or_else(|| tunnels.last()).cloned()
    }

    /// Whether any tunnel is there, and what the agent said of itself.
    pub(crate) fn said(&self, node: &NodeName) -> Option<HelloBack> {
        let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.get(node)?.last().map(|tunnel| tunnel.hello.clone())
    }

    /// Adds the labels of the agent's own word below those that are fixed.
    pub(crate) fn with_own_labels(&self, node: &NodeName, mut labels: Labels) -> Labels {
        for (key, value) in self.said(node).map(|hello| hello.labels).unwrap_or_default() {
            labels.entry(key).or_insert(LabelValue { value, origin: Origin::Agent });
        }
        labels
    }

    /// Wakes when tunnels come or go.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Answers whether it is the first tunnel of its node.
    fn add(&self, node: &NodeName, tunnel: Arc<Tunnel>) -> bool {
        let first = {
            let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
            let tunnels = nodes.entry(node.clone()).or_default();
            tunnels.push(tunnel);
            tunnels.len() == 1
        };
        self.changed.send_modify(|count| *count += 1);
        first
    }

    /// Answers whether it was the last tunnel of its node.
    fn remove(&self, node: &NodeName, tunnel: &Arc<Tunnel>) -> bool {
        let last = {
            let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(tunnels) = nodes.get_mut(node) else { return false };
            tunnels.retain(|other| !Arc::ptr_eq(other, tunnel));
            let last = tunnels.is_empty();
            if last {
                nodes.remove(node);
            }
            last
        };
        self.changed.send_modify(|count| *count += 1);
        last
    }
}
