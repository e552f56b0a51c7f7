//! Nodes that are gone leave the list by themselves: those that joined by a declared join token which says after how long. What counts
//! is that join token as it is now; a node of one that was deleted, or that joined otherwise, stays until somebody removes it.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use access::event::{Actor, Event, Outcome, Target, TargetKind, What};
use access::policy::{Resource, ResourceKind};
use access::time::Timestamp;
use access::words::NodeName;
use recorder::log::LogError;
use store::kv::{Change, Expect, KvError};

use super::nodes::{NODES, Nodes, SEEN, StoredNode};
use super::serve::AGENTS;
use crate::clock;
use crate::live::{View, scan};
use crate::session::open::Sessions;
use crate::session::table::Stop;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(60);
/// After a start nothing is gone before agents had this time to come back, or their own time where that is shorter: a proxy that was
/// down for a day removes nobody who is there.
const GRACE: Duration = Duration::from_secs(300);
/// Most that are removed in one round.
const MOST: usize = 200;

/// What a round needs.
pub(crate) struct Gone {
    sessions: Sessions,
    started: Instant,
}

/// A round did not come to its end.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub(crate) enum GoneError {
    #[error(transparent)]
    Store(#[from] KvError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("looking for nodes that are gone ended early")]
    Ended,
}

/// A node that is gone, and its revisions.
struct Away {
    name: NodeName,
    node: StoredNode,
    revision: u64,
    /// Of the note when it was seen; none where there is none.
    seen: Option<u64>,
    cause: String,
}

impl Gone {
    pub(crate) fn new(sessions: &Sessions) -> Self {
        Self { sessions: sessions.clone(), started: Instant::now() }
    }

    /// Looks for as long as it is polled.
    pub(crate) async fn run(self) -> Infallible {
        loop {
            tokio::time::sleep(EVERY).await;
            if let Err(error) = self.round(clock::now(), self.started.elapsed()).await {
                tracing::warn!(%error, "nodes that are gone could not be removed");
            }
        }
    }

    /// Removes those that are gone now; `up` is how long this proxy runs. Answers how many were removed.
    pub(crate) async fn round(&self, now: Timestamp, up: Duration) -> Result<usize, GoneError> {
        let (nodes, view) = (self.sessions.nodes.clone(), self.sessions.live.now());
        let found = tokio::task::spawn_blocking(move || away(&nodes, &view, now, up)).await.map_err(|_| GoneError::Ended)??;
        let mut events = Vec::new();
        let mut last = None;
        for away in &found {
            let mut event = Event::new(now, Actor::system(), What::AgentRemoved { node: away.name.to_string() });
            event.outcome.message = Some(away.cause.clone());
            let (labels, agent_id) = (away.node.labels(), Some(away.node.agent.clone()));
            event.target = Some(Target { kind: TargetKind::Ssh, name: away.name.to_string(), labels, agent_id, login: None });
            last = Some(self.sessions.log.append(&event)?);
            events.push(event);
        }
        if let Some(last) = last {
            // What was written before the last is durable with it.
            let _durable = self.sessions.log.durable(last).await?;
        }
        let mut removed = 0;
        for (away, mut event) in found.iter().zip(events) {
            match self.remove(away) {
                Ok(()) => removed += 1,
                Err(error) => {
                    event.outcome = Outcome::failed("NARU-W409", format!("the node was not removed: {error}"));
                    let _logged = self.sessions.log.append(&event)?;
                }
            }
        }
        Ok(removed)
    }

    /// Node, agent and when it was seen, all or none: an agent that has come back meanwhile has changed one of them.
    fn remove(&self, away: &Away) -> Result<(), KvError> {
        let Away { name, node, revision, seen, cause } = away;
        if self.sessions.nodes.agents.said(name, &node.agent).is_some() {
            return Err(KvError::Conflict { key: format!("{SEEN}{name}"), found: None });
        }
        let mut changes = vec![
            Change::delete(format!("{NODES}{name}"), Expect::Revision(*revision)),
            Change::delete(format!("{AGENTS}{}", node.agent), Expect::Any),
        ];
        changes.push(Change::delete(format!("{SEEN}{name}"), seen.map_or(Expect::Absent, Expect::Revision)));
        self.sessions.nodes.store.batch(&changes)?;
        // Sessions that waited for the agent wait no more.
        let stop = Stop { reason: "target_lost", sentence: format!("the node {name} was removed: {cause}") };
        self.sessions.table.stop_node(name, &stop);
        self.sessions.nodes.agents.cut_all(name);
        Ok(())
    }
}

/// Those that are gone, some at a time.
fn away(nodes: &Nodes, view: &View, now: Timestamp, up: Duration) -> Result<Vec<Away>, KvError> {
    let mut found = Vec::new();
    for entry in scan(nodes.store.as_ref(), NODES)? {
        let damaged = || KvError::Damaged(entry.key.clone());
        let name: NodeName = entry.key.trim_start_matches(NODES).parse().map_err(|_| damaged())?;
        let node: StoredNode = serde_json::from_slice(&entry.at.value).map_err(|_| damaged())?;
        let Some((token, limit)) = gone_after(view, &node) else { continue };
        if up < limit.min(GRACE) || nodes.agents.said(&name, &node.agent).is_some() {
            continue;
        }
        let noted = nodes.store.get(&format!("{SEEN}{name}"))?;
        let time = noted.as_ref().and_then(|noted| serde_json::from_slice::<Timestamp>(&noted.value).ok());
        // What was noted of an agent that had the name before counts for nothing.
        let last = time.map_or(node.joined, |seen| seen.max(node.joined));
        if now.since(last) > limit {
            let cause = format!("its agent was last there at {last}, which join_token/{token} does not wait for any longer");
            found.push(Away { name, node, revision: entry.at.revision, seen: noted.map(|noted| noted.revision), cause });
        }
        if found.len() == MOST {
            break;
        }
    }
    Ok(found)
}

/// The join token of a node, and how long its agent may be away by that.
fn gone_after<'a>(view: &View, node: &'a StoredNode) -> Option<(&'a str, Duration)> {
    let of = node.of.as_ref()?;
    let declared = view.resources.get(&(ResourceKind::JoinToken, of.name.to_string())).filter(|declared| declared.stored.id == of.id)?;
    let Resource::JoinToken { spec, .. } = &declared.stated.resource else { return None };
    Some((of.name.as_str(), spec.gone_after?.duration()))
}
