//! Nodes: what a person reaches, and what an administrator of nodes sees of all of them, and takes away.

use std::time::Duration;

use access::decide::{Reacher, allowed_logins};
use access::event::{Outcome, Target, TargetKind, What};
use access::identity::NodeFacts;
use access::words::{AgentId, Login, NodeName};
use axum::Json;
use axum::extract::{Path, State};
use store::kv::{Change, Expect};
use wire::api::{Done, LabelRow, NodeQuery, NodeRow, Page};

use super::person::{KeepNodes, May, Person, Right as _};
use super::problem::{Asked, No};
use super::{App, page};
use crate::agents::nodes::{NODES, SEEN};
use crate::agents::serve::AGENTS;
use crate::clock;
use crate::session::table::Stop;

/// Rows of a page where nothing is said, and at most.
const PAGE: usize = 1000;
const MOST: usize = 5000;
/// Nodes that are looked at before somebody else may have the thread.
const STRETCH: usize = 500;

/// `GET /v1/nodes`, for whoever is signed in: only nodes on which some login is allowed. With `all` every node, for who may administer
/// nodes.
pub(crate) async fn list(State(app): State<App>, person: Person, Asked(query): Asked<NodeQuery>) -> Result<Json<Page<NodeRow>>, No> {
    if query.all {
        let _permit = person.may(&app, KeepNodes::question(person.identity.clone()), KeepNodes::ASKED)?;
    }
    let (view, now, limit) = (app.sessions.live.now(), clock::now(), page::within(query.limit, PAGE, MOST));
    let (mut items, mut after) = (Vec::new(), query.after);
    // One more than the page has says whether there are more.
    while items.len() <= limit {
        let some = app.sessions.nodes.some(after.as_deref(), STRETCH.min(limit + 1))?;
        let Some((last, _)) = some.last() else { break };
        after = Some(last.name.to_string());
        let reacher = Reacher::new(&person.identity, &view.policy, now);
        for (node, agent_id) in some {
            let logins = reacher.logins(&node);
            if query.all {
                items.push(administered(&app, node, agent_id, logins)?);
            } else if !logins.is_empty() {
                items.push(row(&app, node, agent_id, logins));
            }
        }
        tokio::task::yield_now().await;
    }
    Ok(Json(page::of(items, limit, |row| row.name.to_string())))
}

fn row(app: &App, node: NodeFacts, agent_id: AgentId, logins: Vec<Login>) -> NodeRow {
    let said = app.sessions.dialler.agents.said(&node.name, &agent_id);
    let label = |(key, label): (String, access::identity::LabelValue)| LabelRow { key, value: label.value, origin: label.origin };
    NodeRow {
        name: node.name,
        labels: node.labels.into_iter().map(label).collect(),
        logins,
        connected: said.is_some(),
        agent_id,
        version: said.map(|hello| hello.version).unwrap_or_default(),
        joined: None,
        last_seen: None,
    }
}

/// With what only who administers nodes is told.
fn administered(app: &App, node: NodeFacts, agent_id: AgentId, logins: Vec<Login>) -> Result<NodeRow, No> {
    let nodes = &app.sessions.nodes;
    let joined = nodes.get(&node.name)?.map(|(stored, _)| stored.joined);
    let row = row(app, node, agent_id, logins);
    let last_seen = if row.connected { Some(clock::now()) } else { nodes.last_seen(&row.name)? };
    Ok(NodeRow { joined, last_seen, ..row })
}

fn name_of(text: &str) -> Result<NodeName, No> {
    text.parse().map_err(|_| no_node(text))
}

fn no_node(name: &str) -> No {
    No::not_found(format!("there is no node {name}")).hint("`naru get node` lists them.")
}

/// `GET /v1/nodes/{name}`, for who may administer nodes.
pub(crate) async fn show(State(app): State<App>, may: May<KeepNodes>, Path(name): Path<String>) -> Result<Json<NodeRow>, No> {
    let (view, now) = (app.sessions.live.now(), clock::now());
    let (node, agent_id) = app.sessions.nodes.facts(&name_of(&name)?)?.ok_or_else(|| no_node(&name))?;
    let logins = allowed_logins(&may.person.identity, &node, &view.policy, now);
    administered(&app, node, agent_id, logins).map(Json)
}

/// How long the ends of sessions on a removed node may take.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// `DELETE /v1/nodes/{name}`, for who may administer nodes: its agent is cut off at once, and its certificate counts for nothing.
pub(crate) async fn delete(State(app): State<App>, may: May<KeepNodes>, Path(name): Path<String>) -> Result<Json<Done>, No> {
    let nodes = &app.sessions.nodes;
    let name = name_of(&name)?;
    let (stored, revision) = nodes.get(&name)?.ok_or_else(|| no_node(name.as_str()))?;
    let mut event = may.person.event(What::AgentRemoved { node: name.to_string() });
    event.access = Some(may.permit.access());
    let (labels, agent_id) = (stored.labels(), Some(stored.agent.clone()));
    event.target = Some(Target { kind: TargetKind::Ssh, name: name.to_string(), labels, agent_id, login: None });
    let logged = app.sessions.log.append(&event)?;
    let _durable = app.sessions.log.durable(logged).await?;
    let changes = [
        Change::delete(format!("{NODES}{name}"), Expect::Revision(revision)),
        Change::delete(format!("{AGENTS}{}", stored.agent), Expect::Any),
        Change::delete(format!("{SEEN}{name}"), Expect::Any),
    ];
    if let Err(error) = app.store.batch(&changes) {
        event.outcome = Outcome::failed("NARU-W409", format!("the node was not removed: {error}"));
        let _logged = app.sessions.log.append(&event)?;
        return Err(error.into());
    }
    // What the sessions' ends have to say to the host goes over the tunnels that are cut then.
    let stop = Stop { reason: "target_lost", sentence: format!("the node {name} was removed by {}", may.person.identity.name) };
    let over = async {
        while app.sessions.table.stop_node(&name, &stop) > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let _ = tokio::time::timeout(LAST_WORDS, over).await;
    nodes.agents.cut_all(&name);
    Ok(Json(Done {}))
}
