//! Agents: joining with a token, and renewing. The token fixes name and labels; what the agent says of itself counts for nothing here.

use access::event::{Actor, Client, Event, Outcome, Target, TargetKind, What};
use access::policy::Pattern;
use access::words::{AgentId, NodeName};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use store::kv::{Change, Expect, KvError};
use wire::api::{Join, Joined, Renew, Renewed, exit};

use super::problem::{Body, No};
use super::{App, Peer};
use crate::agents::nodes::{NODES, StoredNode};
use crate::agents::serve::AGENTS;
use crate::authority::ask::{AGENT_LIFE, SignAgent};
use crate::authority::one_time::{NODE, Purpose, RedeemError};
use crate::authority::tls::{Subject, csr_key_hash};
use crate::clock;

/// A conflict and no denial: another name, or a token that replaces, would do.
const NAME_TAKEN: &str = "NARU-J106";

/// `POST /v1/join`, for whoever has a token.
pub(crate) async fn join(
    State(app): State<App>,
    axum::Extension(peer): axum::Extension<Peer>,
    Body(asked): Body<Join>,
) -> Result<Json<Joined>, No> {
    let client = Client { ip: peer.from.ip(), port: peer.from.port(), user_agent: None };
    let now = clock::now();
    let refused = |code: &str, why: String| refuse(&app, &client, code, why);
    // Who used a token may use it again with the same key: a crash in the middle of joining locks nobody out.
    let by = csr_key_hash(&asked.csr_pem).ok_or_else(|| No::bad("NARU-J107", "the certificate request is not understood"))?;
    let redeemed = app.once.redeem(NODE, &asked.token, &by, now).map_err(|error| match error {
        RedeemError::Store(error) => error.into(),
        other => refused("NARU-J104", format!("the join token is refused: {other}")),
    })?;
    let Purpose::Node { node: pattern, labels, replace } = redeemed.purpose() else {
        return Err(refused("NARU-J104", "this token lets nothing join".to_owned()));
    };
    let node = name(pattern, asked.node).map_err(|why| refused("NARU-J105", why))?;
    let agent: AgentId = format!("{node}-{}", by.get(..12).unwrap_or_default()).parse().map_err(No::ours)?;
    let stored = StoredNode { agent: agent.clone(), labels: labels.clone(), joined: now };
    let taken = app.sessions.nodes.get(&node)?;
    let expect = match &taken {
        None => Expect::Absent,
        Some((old, revision)) if *replace || (redeemed.is_again() && old.agent == agent) => Expect::Revision(*revision),
        Some(_) => {
            let why = format!("the name {node} is taken");
            return Err(refused(NAME_TAKEN, why).hint("Make a token with --replace, or with another name."));
        }
    };
    let mut event = Event::new(now, Actor::agent(&agent), What::AgentJoined { node: node.to_string(), version: tame(&asked.version) });
    event.client = Some(client.clone());
    event.target =
        Some(Target { kind: TargetKind::Ssh, name: node.to_string(), labels: stored.labels(), agent_id: Some(agent.clone()), login: None });
    let used = What::TokenUsed { kind: NODE.to_owned(), id: redeemed.id().to_owned() };
    let _logged = app.sessions.log.append(&Event::new(now, Actor::agent(&agent), used))?;
    let logged = app.sessions.log.append(&event)?;
    let logged = app.sessions.log.durable(logged).await?;
    let x509_chain_pem = app
        .keys
        .ask(SignAgent { agent: &agent, csr_pem: &asked.csr_pem, now, logged })
        .map_err(|error| No::bad("NARU-J107", error.to_string()))?;
    put(&app, &node, &stored, expect)?;
    let public = app.keys.public();
    Ok(Json(Joined { agent_id: agent, node, x509_chain_pem, ca_pem: public.ca_pem, install: public.install }))
}

fn put(app: &App, node: &NodeName, stored: &StoredNode, expect: Expect) -> Result<(), KvError> {
    let value = serde_json::to_vec(stored).unwrap_or_default();
    let name = serde_json::to_vec(node).unwrap_or_default();
    let by_agent = Change::put(format!("{AGENTS}{}", stored.agent), name, Expect::Any);
    app.store.batch(&[Change::put(format!("{NODES}{node}"), value, expect), by_agent]).map(|_| ())
}

/// The token's name, or the host's wish where the token has a pattern that it fits.
fn name(pattern: &str, wish: Option<NodeName>) -> Result<NodeName, String> {
    if let Ok(fixed) = pattern.parse::<NodeName>() {
        return match wish {
            Some(wish) if wish != fixed => Err(format!("the token is for {fixed}, not for {wish}")),
            _ => Ok(fixed),
        };
    }
    let wish = wish.ok_or_else(|| format!("the token is for names like {pattern}: say which with --node"))?;
    let fits = pattern.parse::<Pattern>().is_ok_and(|pattern| pattern.matches(wish.as_str()));
    if fits { Ok(wish) } else { Err(format!("the token is for names like {pattern}, which {wish} is not")) }
}

fn tame(version: &str) -> String {
    version.chars().filter(char::is_ascii_graphic).take(64).collect()
}

fn refuse(app: &App, client: &Client, code: &str, why: String) -> No {
    let mut event = Event::new(clock::now(), Actor::anonymous(), What::AgentRefused { cause: why.clone() });
    event.outcome = Outcome::denied(code, why.clone());
    event.client = Some(client.clone());
    match app.sessions.log.append(&event) {
        Ok(_) if code == NAME_TAKEN => No::new(StatusCode::CONFLICT, code, exit::CONFLICT, why),
        Ok(_) => No::new(StatusCode::FORBIDDEN, code, exit::DENIED, why),
        Err(error) => error.into(),
    }
}

/// `POST /v1/agent/renew`, for an agent whose node is still its own.
pub(crate) async fn renew(
    State(app): State<App>,
    axum::Extension(peer): axum::Extension<Peer>,
    Body(asked): Body<Renew>,
) -> Result<Json<Renewed>, No> {
    let Some(Subject::Agent { id: agent }) = peer.subject else {
        return Err(No::new(StatusCode::UNAUTHORIZED, "NARU-J108", exit::NOT_SIGNED_IN, "only an agent renews its certificate"));
    };
    let stored = app.store.get(&format!("{AGENTS}{agent}"))?;
    let node: Option<NodeName> = stored.and_then(|stored| serde_json::from_slice(&stored.value).ok());
    let current = match &node {
        Some(node) => app.sessions.nodes.get(node)?.is_some_and(|(node, _)| node.agent == agent),
        None => false,
    };
    if !current {
        return Err(No::new(StatusCode::FORBIDDEN, "NARU-J109", exit::DENIED, "the node of this agent is gone or was taken over"));
    }
    let now = clock::now();
    let what = What::CertRenewed { serial: String::new(), expires: now.plus(AGENT_LIFE) };
    let logged = app.sessions.log.append(&Event::new(now, Actor::agent(&agent), what))?;
    let logged = app.sessions.log.durable(logged).await?;
    let x509_chain_pem = app
        .keys
        .ask(SignAgent { agent: &agent, csr_pem: &asked.csr_pem, now, logged })
        .map_err(|error| No::bad("NARU-J107", error.to_string()))?;
    Ok(Json(Renewed { x509_chain_pem }))
}
