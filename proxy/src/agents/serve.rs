//! One tunnel from its arrival to its end: who it is, hello, registration, heartbeats, and the events of coming and going.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use access::event::{Actor, Event, Outcome, What};
use access::words::{AgentId, NodeName};
use recorder::Log;
use store::kv::KvError;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::hello::Introduced;
use super::nodes::Nodes;
use super::{Agents, hello, mux};
use crate::authority::ask::{GRANT_KEYS_LIFE, Keys};

/// Which node an agent serves: written at the join beside the node.
pub(crate) const AGENTS: &str = "agent/";

/// Why an agent that has a certificate is not served.
const NOT_ITS: &str = "its node is gone or was taken over";

/// What serving tunnels needs.
#[derive(Clone)]
pub(crate) struct Tunnels {
    pub(crate) agents: Agents,
    pub(crate) nodes: Nodes,
    pub(crate) keys: Keys,
    pub(crate) log: Log,
}

impl Tunnels {
    /// Serves a tunnel until it ends. `pin` is of the certificate that the agent was shown.
    pub(crate) async fn serve<T>(&self, stream: T, agent: AgentId, pin: String, from: SocketAddr)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let node = match self.node_of(&agent) {
            Ok(Some(node)) => node,
            Ok(None) => {
                if self.agents.tells_refusal(&agent, Instant::now()) {
                    self.say(&agent, What::AgentRefused { cause: NOT_ITS.to_owned() });
                }
                return;
            }
            Err(error) => return tracing::error!(%error, "the store could not be read"),
        };
        if let Some(lock) = access::decide::locked_agent(&self.nodes.live.now().policy, &agent, crate::clock::now()) {
            if self.agents.tells_refusal(&agent, Instant::now()) {
                self.say(&agent, What::AgentRefused { cause: format!("it is locked: {}", lock.spec.reason) });
            }
            return;
        }
        let arrival = self.agents.arrive(&agent);
        let (mux, drive) = mux::start(stream);
        let ended = tokio::select! {
            ended = drive => ended,
            ended = self.attend(mux, Introduced { agent: agent.clone(), pin }, &node, &arrival.cut) => ended,
            () = arrival.cut.cancelled() => Err(io::Error::other("a newer one took its place")),
        };
        let cause = ended.err().map_or_else(|| "it closed the tunnel".to_owned(), |error| wire::plain::words(&error));
        tracing::info!(%agent, %node, %from, cause, "a tunnel ended");
    }

    async fn attend(&self, mux: mux::Mux, from: Introduced, node: &NodeName, cut: &CancellationToken) -> io::Result<()> {
        let agent = &from.agent.clone();
        let mut greeted = crate::clock::now();
        let tunnel = Arc::new(hello::hello(mux, from, cut.clone(), &self.keys, greeted).await?);
        let _registered = Registered::new(self, node.clone(), tunnel.clone());
        loop {
            // The node may have been taken over since the tunnel came: at once, while it said hello, or by another proxy.
            if self.node_of(agent).map_err(io::Error::other)?.as_ref() != Some(node) {
                return Err(io::Error::other(NOT_ITS));
            }
            hello::beat(&tunnel).await?;
            let now = crate::clock::now();
            if now.since(greeted) > GRANT_KEYS_LIFE / 2 {
                hello::greet(&tunnel, &self.keys, now).await?;
                greeted = now;
            }
        }
    }

    /// Which node it serves, if it still does.
    pub(crate) fn node_of(&self, agent: &AgentId) -> Result<Option<NodeName>, KvError> {
        let key = format!("{AGENTS}{agent}");
        let Some(stored) = self.nodes.store.get(&key)? else { return Ok(None) };
        let name: NodeName = serde_json::from_slice(&stored.value).map_err(|_| KvError::Damaged(key))?;
        // The node names its agent: one that was taken over by a later join serves nothing any more.
        let current = self.nodes.get(&name)?.is_some_and(|(node, _)| node.agent == *agent);
        Ok(current.then_some(name))
    }

    fn say(&self, agent: &AgentId, what: What) {
        let refused = if let What::AgentRefused { cause } = &what { Some(cause.clone()) } else { None };
        let mut event = Event::new(crate::clock::now(), Actor::agent(agent), what);
        if let Some(cause) = refused {
            let code = if cause == NOT_ITS { "NARU-J109" } else { access::decide::Denial::LOCKED };
            event.outcome = Outcome::denied(code, cause);
        }
        if let Err(error) = self.log.append(&event) {
            tracing::error!(%error, "an event of an agent could not be logged");
        }
    }
}

/// A tunnel in the table; leaves it however the tunnel ends.
struct Registered<'a> {
    tunnels: &'a Tunnels,
    node: NodeName,
    tunnel: Arc<super::Tunnel>,
}

impl<'a> Registered<'a> {
    fn new(tunnels: &'a Tunnels, node: NodeName, tunnel: Arc<super::Tunnel>) -> Self {
        if tunnels.agents.add(&node, tunnel.clone()) {
            tunnels.nodes.note_seen(&node, crate::clock::now());
            tunnels.say(&tunnel.agent, What::AgentConnected { version: tunnel.hello.version.clone() });
        }
        Self { tunnels, node, tunnel }
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        if self.tunnels.agents.remove(&self.node, &self.tunnel) {
            // A node that was removed is not noted again.
            if matches!(self.tunnels.nodes.get(&self.node), Ok(Some(_))) {
                self.tunnels.nodes.note_seen(&self.node, crate::clock::now());
            }
            self.tunnels.say(&self.tunnel.agent, What::AgentLeft { cause: "its last tunnel ended".to_owned() });
        }
    }
}
