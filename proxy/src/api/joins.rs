//! Agents: joining with a token, and renewing. The token fixes name and labels; what the agent says of itself counts for nothing here.

use access::event::{Actor, Client, Event, Outcome, Target, TargetKind, What};
use access::words::{AgentId, NodeName};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use store::kv::{Change, Expect, KvError};
use wire::api::{Join, Joined, Renew, Renewed, exit};

use super::offer::Offer;
use super::problem::{Body, No};
use super::{App, Peer};
use crate::agents::nodes::{NODES, StoredNode};
use crate::agents::serve::AGENTS;
use crate::authority::ask::{AGENT_LIFE, SignAgent};
use crate::authority::one_time::{NODE, RedeemError};
use crate::authority::tls::{Subject, csr_key_hash};
use crate::clock;
use crate::refusals::Told;

/// A conflict and no denial: another name, or a token that replaces, would do.
const NAME_TAKEN: &str = "NARU-J106";

/// `POST /v1/join`, for whoever has a token.
pub(crate) async fn join(
    State(app): State<App>,
    axum::Extension(peer): axum::Extension<Peer>,
    Body(asked): Body<Join>,
) -> Result<Json<Joined>, No> {
    let client = Client { ip: peer.from.ip(), port: peer.from.port(), user_agent: None, run: None };
    let now = clock::now();
    let refused = |code: &str, why: String| refuse(&app, &client, code, why);
    // Who used a token may use it again with the same key: a crash in the middle of joining locks nobody out.
    let by = csr_key_hash(&asked.csr_pem).ok_or_else(|| No::bad("NARU-J107", "the certificate request is not understood"))?;
    let bad = |error: RedeemError| match error {
        RedeemError::Store(error) => error.into(),
        other => refused("NARU-J104", format!("the join token is refused: {other}")),
    };
    // The name is looked at before the token is used up: who forgot it tries again, from whichever host.
    let purpose = app.once.purpose(NODE, &asked.token, &by, now).map_err(bad)?;
    let offer = Offer::of(purpose, &app.sessions.live.now(), now).map_err(|why| refused("NARU-J104", why))?;
    let other_name = |why| refused("NARU-J105", why).hint("The token is still good: run the same line with --node and a name that fits.");
    let node = offer.name(asked.node).map_err(other_name)?;
    let agent: AgentId = format!("{node}-{}", by.get(..12).unwrap_or_default()).parse().map_err(No::ours)?;
    let stored = StoredNode { agent: agent.clone(), labels: offer.labels, joined: now, of: offer.resource };
    let taken = app.sessions.nodes.get(&node)?;
    let name_taken = || {
        let why = format!("the name {node} is taken");
        refused(NAME_TAKEN, why).hint("Make a token with --replace, or with another name.")
    };
    let redeemed = match offer.uses {
        None => app.once.redeem(NODE, &asked.token, &by, now),
        // Of a token for many, whose hosts choose their names, a clash costs no use.
        Some(_) if taken.as_ref().is_some_and(|(old, _)| old.agent != agent) => return Err(name_taken()),
        Some(most) => app.once.count(NODE, &asked.token, &by, most, now),
    };
    let redeemed = redeemed.map_err(bad)?;
    let expect = match (redeemed.chosen(), &taken) {
        // It has let this very agent join: only a lost answer is made good, and nothing is taken over a second time.
        (Some(chosen), Some((old, revision))) if chosen == node.as_str() && old.agent == agent => Expect::Revision(*revision),
        (Some(chosen), _) => return Err(refused("NARU-J104", format!("the join token is refused: it was used before, for {chosen}"))),
        (None, None) => Expect::Absent,
        (None, Some((_, revision))) if offer.replace => Expect::Revision(*revision),
        (None, Some(_)) => return Err(name_taken()),
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
        .ask(SignAgent { agent: &agent, csr_pem: &asked.csr_pem, now, logged, fresh: app.sessions.freshness.proof()? })
        .map_err(|error| No::bad("NARU-J107", error.to_string()))?;
    put(&app, &node, &stored, expect, redeemed.choose(node.as_str()))?;
    let public = app.keys.public();
    Ok(Json(Joined { agent_id: agent, node, x509_chain_pem, ca_pem: public.ca_pem, install: public.install }))
}

/// The node, its agent and what the token is bound to, all or none; whoever served the node before is cut off.
fn put(app: &App, node: &NodeName, stored: &StoredNode, expect: Expect, chosen: Change) -> Result<(), KvError> {
    let value = serde_json::to_vec(stored).unwrap_or_default();
    let name = serde_json::to_vec(node).unwrap_or_default();
    let by_agent = Change::put(format!("{AGENTS}{}", stored.agent), name, Expect::Any);
    app.store.batch(&[Change::put(format!("{NODES}{node}"), value, expect), by_agent, chosen])?;
    app.sessions.dialler.agents.cut_others(node, &stored.agent);
    Ok(())
}

fn tame(version: &str) -> String {
    version.chars().filter(char::is_ascii_graphic).take(64).collect()
}

fn refuse(app: &App, client: &Client, code: &str, why: String) -> No {
    let mut event = Event::new(clock::now(), Actor::anonymous(), What::AgentRefused { cause: why.clone() });
    event.outcome = Outcome::denied(code, why.clone());
    event.client = Some(client.clone());
    match app.sessions.refusals.tell(event) {
        Ok(Told::Counted) => No::too_many(),
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
        .ask(SignAgent { agent: &agent, csr_pem: &asked.csr_pem, now, logged, fresh: app.sessions.freshness.proof()? })
        .map_err(|error| No::bad("NARU-J107", error.to_string()))?;
    Ok(Json(Renewed { x509_chain_pem }))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt as _;
    use rcgen::{CertificateParams, KeyPair};
    use tower::ServiceExt as _;

    use super::*;
    use crate::agents::serve::Tunnels;
    use crate::agents::tests::{is_cut, pin_of, speak};
    use crate::api::refusals::{Stage, request, stage, stage_of};
    use crate::authority::one_time::Purpose;

    impl Stage {
        fn token(&self, node: &str, replace: bool) -> String {
            let purpose = Purpose::Node { node: node.to_owned(), labels: Default::default(), replace };
            self.proxy.app.once.make(purpose, Duration::from_secs(60), None, clock::now()).expect("made").secret
        }

        /// The agent that joined, or the code of the refusal.
        pub(in crate::api) async fn join(&self, token: &str, key: &KeyPair, node: &str) -> Result<AgentId, String> {
            let csr_pem = CertificateParams::default().serialize_request(key).and_then(|csr| csr.pem()).expect("a request");
            let asked = Join {
                token: token.to_owned(),
                csr_pem,
                node: Some(node.parse().expect("a name")),
                labels: Default::default(),
                version: "1".to_owned(),
            };
            let body = Body::from(serde_json::to_vec(&asked).expect("json"));
            let mut request = Request::post("/v1/join").header("content-type", "application/json").body(body).expect("a request");
            request.extensions_mut().insert(Peer::new((std::net::Ipv4Addr::LOCALHOST, 1).into(), None));
            let answer = self.front.0.clone().oneshot(request).await.expect("an answer");
            let joined = answer.status() == StatusCode::OK;
            let body = answer.into_body().collect().await.expect("a body").to_bytes();
            let said: serde_json::Value = serde_json::from_slice(&body).expect("json");
            let text = |key: &str| said[key].as_str().expect("text").to_owned();
            if joined { Ok(text("agent_id").parse().expect("an id")) } else { Err(text("code")) }
        }
    }

    #[tokio::test]
    async fn a_token_lets_one_name_join_and_takes_over_once() {
        let stage = stage().await;
        let (one, two) = (KeyPair::generate().expect("key"), KeyPair::generate().expect("key"));
        let token = stage.token("web-*", true);
        let first = stage.join(&token, &one, "web-1").await.expect("joined");
        assert_eq!(stage.join(&token, &one, "web-1").await, Ok(first), "a lost answer");
        assert_eq!(stage.join(&token, &one, "web-2").await.err().as_deref(), Some("NARU-J104"), "another name");
        let taken = stage.join(&stage.token("web-1", true), &two, "web-1").await.expect("taken over");
        assert_eq!(stage.join(&token, &one, "web-1").await.err().as_deref(), Some("NARU-J104"), "it does not take over again");
        let node = "web-1".parse().expect("a name");
        assert_eq!(stage.proxy.app.sessions.nodes.get(&node).expect("read").map(|(node, _)| node.agent), Some(taken));
        let missed = stage.token("web-*", false);
        assert_eq!(stage.join(&missed, &two, "web-1").await.err().as_deref(), Some("NARU-J106"));
        assert!(stage.join(&missed, &two, "web-3").await.is_ok(), "a name that was taken binds nothing");
        let other = stage.token("db-*", false);
        assert_eq!(stage.join(&other, &one, "web-4").await.err().as_deref(), Some("NARU-J105"));
        assert!(stage.join(&other, &two, "db-1").await.is_ok(), "a wrong name uses nothing up, for nobody");
    }

    #[tokio::test]
    async fn a_node_that_is_removed_is_gone_at_once() {
        let people = "kind: role\nname: chief\nspec: {allow: {administer: {node: write, role: write, user: write}}}\n---\nkind: user\nname: admin\nspec: {roles: [chief]}\n";
        let stage = stage_of(people).await;
        let (admin, sessions) = (stage.signed_in("admin"), &stage.proxy.app.sessions);
        let (token, key) = (stage.token("web-*", false), KeyPair::generate().expect("key"));
        let agent = stage.join(&token, &key, "web-1").await.expect("joined");
        let tunnels = Tunnels {
            agents: sessions.nodes.agents.clone(),
            nodes: sessions.nodes.clone(),
            keys: stage.proxy.app.keys.clone(),
            log: sessions.log.clone(),
        };
        let (near, far) = tokio::io::duplex(64 * 1024);
        tokio::spawn(speak(far, agent.clone()));
        let served = tokio::spawn({
            let (tunnels, agent) = (tunnels.clone(), agent.clone());
            async move { tunnels.serve(near, agent, "shown".to_owned(), (std::net::Ipv4Addr::LOCALHOST, 2).into()).await }
        });
        let (node, mut changed): (NodeName, _) = ("web-1".parse().expect("a name"), sessions.nodes.agents.watch());
        while sessions.nodes.said(&node).is_none() {
            changed.changed().await.expect("a change");
        }
        // Not to the certificate that is shown to others by now.
        let tunnel = sessions.nodes.agents.tunnel(&node, &agent, wire::tunnel::Purpose::Terminals);
        assert_eq!(tunnel.as_deref().map(pin_of), Some("shown"), "grants are bound to what its own tunnel was shown");
        let ask = async |method: &str, path: &str| {
            let answer = stage.send(request(Some(admin.clone()), method, path, "")).await;
            let body = answer.into_body().collect().await.expect("a body").to_bytes();
            serde_json::from_slice::<serde_json::Value>(&body).expect("json")
        };
        assert_eq!(ask("GET", "/v1/nodes").await["items"], serde_json::json!([]), "an administrator reaches nothing by that");
        let all = ask("GET", "/v1/nodes?all=true").await;
        let row = &all["items"][0];
        assert_eq!((&row["name"], &row["connected"], &row["version"]), (&"web-1".into(), &true.into(), &"1".into()));
        assert!(row["last_seen"].is_string() && row["joined"].is_string(), "{row}");
        assert_eq!(ask("DELETE", "/v1/nodes/web-1").await, serde_json::json!({}));
        served.await.expect("its tunnel ends");
        assert_eq!(ask("GET", "/v1/nodes/web-1").await["code"], "NARU-W404");
        assert_eq!(ask("DELETE", "/v1/nodes/web-1").await["code"], "NARU-W404");
        let renewing = request(Some(Subject::Agent { id: agent.clone() }), "POST", "/v1/agent/renew", r#"{"csr_pem":"x"}"#);
        assert_eq!(stage.send(renewing).await.status(), StatusCode::FORBIDDEN);
        let (near, _far) = tokio::io::duplex(64);
        tunnels.serve(near, agent, String::new(), (std::net::Ipv4Addr::LOCALHOST, 2).into()).await;
        assert_eq!(stage.join(&token, &key, "web-1").await.err().as_deref(), Some("NARU-J104"), "its token is used up");
    }

    #[tokio::test]
    async fn whoever_is_taken_over_is_cut_off_at_once_and_does_not_come_back() {
        let stage = stage().await;
        let sessions = &stage.proxy.app.sessions;
        let nodes = sessions.nodes.clone();
        let tunnels =
            Tunnels { agents: nodes.agents.clone(), nodes: nodes.clone(), keys: stage.proxy.app.keys.clone(), log: sessions.log.clone() };
        let key = || KeyPair::generate().expect("key");
        let node: NodeName = "demo".parse().expect("a name");
        let old = stage.join(&stage.token("demo", false), &key(), "demo").await.expect("joined");
        let serve = |agent: &AgentId| {
            let (near, far) = tokio::io::duplex(64 * 1024);
            let (tunnels, agent) = (tunnels.clone(), agent.clone());
            tokio::spawn(speak(far, agent.clone()));
            tokio::spawn(async move { tunnels.serve(near, agent, String::new(), (std::net::Ipv4Addr::LOCALHOST, 2).into()).await })
        };
        let mut changed = nodes.agents.watch();
        let served = serve(&old);
        while nodes.said(&node).is_none() {
            changed.changed().await.expect("a change");
        }
        let tunnel = nodes.agents.tunnel(&node, &old, wire::tunnel::Purpose::Terminals).expect("a tunnel");
        let new = stage.join(&stage.token("demo", true), &key(), "demo").await.expect("taken over");
        assert!(is_cut(&tunnel), "not only at its next beat");
        served.await.expect("the old tunnel ends");
        assert!(nodes.said(&node).is_none() && nodes.agents.said(&node, &old).is_none());
        serve(&old).await.expect("the old agent is refused");
        let _served = serve(&new);
        while nodes.said(&node).is_none() {
            changed.changed().await.expect("a change");
        }
        assert!(nodes.agents.said(&node, &old).is_none());
    }
}
