//! Which agent hangs on this proxy, by which tunnels, and dialling through them. The only way to a target is [`Agents::dial`].

pub(crate) mod dial;
pub(crate) mod gone;
mod hello;
pub(crate) mod mux;
pub(crate) mod nodes;
pub(crate) mod serve;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use access::identity::{LabelValue, Labels, Origin};
use access::words::{AgentId, NodeName};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wire::tunnel::{HelloBack, Purpose};

use mux::Mux;

/// Tunnels of one agent at once: two, and two that come in their place before the old ones are found dead.
const MAX_TUNNELS: usize = 4;
/// How often the coming of one agent that is refused is told.
const REFUSED_EVERY: Duration = Duration::from_secs(60);

/// One tunnel that is up.
#[derive(Debug)]
pub(crate) struct Tunnel {
    pub(crate) agent: AgentId,
    pub(crate) hello: HelloBack,
    /// The pin of the certificate that we showed it; grants for it are bound to that.
    pin: String,
    mux: Mux,
    /// Drives the HTTP connections of its streams.
    connections: TaskTracker,
    /// Cuts it.
    cut: CancellationToken,
}

/// Tunnels by node, each with the agent that it belongs to: a node answers only for the agent that the store names. Shared by all
/// fronts; a change wakes sessions that wait for their agent.
#[derive(Debug, Clone)]
pub(crate) struct Agents {
    nodes: Arc<Mutex<HashMap<NodeName, Vec<Arc<Tunnel>>>>>,
    /// Connections of each agent, the oldest first; also those that have not said hello yet.
    arrived: Arc<Mutex<HashMap<AgentId, VecDeque<Arc<CancellationToken>>>>>,
    /// When the coming of a refused agent was last told.
    refused: Arc<Mutex<HashMap<AgentId, Instant>>>,
    changed: watch::Sender<u64>,
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Agents {
    pub(crate) fn new() -> Self {
        Self { nodes: Arc::default(), arrived: Arc::default(), refused: Arc::default(), changed: watch::channel(0).0 }
    }

    /// How many nodes have a tunnel.
    pub(crate) fn count(&self) -> usize {
        locked(&self.nodes).len()
    }

    /// The tunnel of this agent for this purpose, or the other when that is lost.
    pub(crate) fn tunnel(&self, node: &NodeName, agent: &AgentId, purpose: Purpose) -> Option<Arc<Tunnel>> {
        let nodes = locked(&self.nodes);
        // The newest of a purpose is last: an agent that reconnects before its old tunnel is found dead is served by the new one.
        let mut newest = nodes.get(node)?.iter().rev().filter(|tunnel| tunnel.agent == *agent).peekable();
        let any = newest.peek().copied();
        newest.find(|tunnel| tunnel.hello.purpose == purpose).or(any).cloned()
    }

    /// What this agent said of itself, while a tunnel of it is there.
    pub(crate) fn said(&self, node: &NodeName, agent: &AgentId) -> Option<HelloBack> {
        let nodes = locked(&self.nodes);
        nodes.get(node)?.iter().rev().find(|tunnel| tunnel.agent == *agent).map(|tunnel| tunnel.hello.clone())
    }

    /// Adds the labels of the agent's own word below those that are fixed.
    pub(crate) fn with_own_labels(&self, node: &NodeName, agent: &AgentId, mut labels: Labels) -> Labels {
        for (key, value) in self.said(node, agent).map(|hello| hello.labels).unwrap_or_default() {
            labels.entry(key).or_insert(LabelValue { value, origin: Origin::Agent });
        }
        labels
    }

    /// Wakes when tunnels come or go.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Cuts what other agents have on this node: it was taken over.
    pub(crate) fn cut_others(&self, node: &NodeName, agent: &AgentId) {
        for tunnel in locked(&self.nodes).get(node).into_iter().flatten().filter(|tunnel| tunnel.agent != *agent) {
            tunnel.cut.cancel();
        }
    }

    /// Cuts every tunnel of an agent.
    pub(crate) fn cut(&self, agent: &AgentId) {
        for tunnel in locked(&self.nodes).values().flatten().filter(|tunnel| tunnel.agent == *agent) {
            tunnel.cut.cancel();
        }
    }

    /// Cuts all that is on this node: it was removed.
    pub(crate) fn cut_all(&self, node: &NodeName) {
        for tunnel in locked(&self.nodes).get(node).into_iter().flatten() {
            tunnel.cut.cancel();
        }
    }

    /// Counts a connection of an agent in. One too many cuts the oldest: whoever reconnects is better served by the new one.
    fn arrive(&self, agent: &AgentId) -> Arrival<'_> {
        let cut = Arc::new(CancellationToken::new());
        let mut arrived = locked(&self.arrived);
        let those = arrived.entry(agent.clone()).or_default();
        those.push_back(cut.clone());
        while those.len() > MAX_TUNNELS {
            if let Some(oldest) = those.pop_front() {
                oldest.cancel();
            }
        }
        Arrival { agents: self, agent: agent.clone(), cut }
    }

    /// Whether it is time to tell again that this agent was refused.
    fn tells_refusal(&self, agent: &AgentId, now: Instant) -> bool {
        let mut refused = locked(&self.refused);
        refused.retain(|_, told| now.saturating_duration_since(*told) < REFUSED_EVERY);
        match refused.entry(agent.clone()) {
            Entry::Occupied(_) => false,
            Entry::Vacant(first) => {
                first.insert(now);
                true
            }
        }
    }

    /// Answers whether it is the first tunnel of its agent.
    fn add(&self, node: &NodeName, tunnel: Arc<Tunnel>) -> bool {
        let first = {
            let mut nodes = locked(&self.nodes);
            let tunnels = nodes.entry(node.clone()).or_default();
            let first = tunnels.iter().all(|other| other.agent != tunnel.agent);
            tunnels.push(tunnel);
            first
        };
        self.changed.send_modify(|count| *count += 1);
        first
    }

    /// Answers whether it was the last tunnel of its agent.
    fn remove(&self, node: &NodeName, tunnel: &Arc<Tunnel>) -> bool {
        let last = {
            let mut nodes = locked(&self.nodes);
            let Some(tunnels) = nodes.get_mut(node) else { return false };
            tunnels.retain(|other| !Arc::ptr_eq(other, tunnel));
            let last = tunnels.iter().all(|other| other.agent != tunnel.agent);
            if tunnels.is_empty() {
                nodes.remove(node);
            }
            last
        };
        self.changed.send_modify(|count| *count += 1);
        last
    }
}

/// A connection of an agent, counted until it ends.
struct Arrival<'a> {
    agents: &'a Agents,
    agent: AgentId,
    cut: Arc<CancellationToken>,
}

impl Drop for Arrival<'_> {
    fn drop(&mut self) {
        let mut arrived = locked(&self.agents.arrived);
        let Some(those) = arrived.get_mut(&self.agent) else { return };
        those.retain(|other| !Arc::ptr_eq(other, &self.cut));
        if those.is_empty() {
            arrived.remove(&self.agent);
        }
    }
}
