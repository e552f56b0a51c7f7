//! Tests of join tokens that many machines use, and of the nodes that leave the list by themselves.

use std::time::Duration;

use axum::http::StatusCode;
use http_body_util::BodyExt as _;
use rcgen::KeyPair;
use serde_json::{Value, json};

use super::refusals::{Stage, request, stage_of};
use crate::agents::gone::Gone;
use crate::authority::tls::Subject;
use crate::clock;

const PEOPLE: &str = "kind: role\nname: chief\nspec: {allow: {administer: {node: write, role: write, user: write, join_token: write}}}\n---\nkind: user\nname: admin\nspec: {roles: [chief]}\n";
const WEB: &str = "---\nkind: join_token\nname: web\nspec: {kinds: [ssh], names: [web-*, edge], labels: {env: prod}, uses: 3, ttl: 2h, gone_after: 30m}\n";

async fn ask(stage: &Stage, admin: &Subject, method: &str, path: &str, body: Value) -> (StatusCode, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = stage.send(request(Some(admin.clone()), method, path, body)).await;
    let status = answer.status();
    let bytes = answer.into_body().collect().await.expect("a body").to_bytes();
    (status, serde_json::from_slice(&bytes).expect("json"))
}

async fn made(stage: &Stage, admin: &Subject, more: Value) -> Result<String, String> {
    let mut asked = json!({"kind": "node", "node": "", "ttl_s": 0, "from": "web"});
    asked.as_object_mut().expect("words").extend(more.as_object().cloned().expect("words"));
    let (_, said) = ask(stage, admin, "POST", "/v1/tokens", asked).await;
    match said["token"].as_str() {
        Some(token) => Ok(token.to_owned()),
        None => Err(said["code"].as_str().expect("a code").to_owned()),
    }
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key")
}

#[tokio::test]
async fn a_token_of_a_resource_is_bounded_by_it_and_ends_with_it() {
    let stage = stage_of(&format!("{PEOPLE}{WEB}")).await;
    let admin = stage.signed_in("admin");
    for (more, code) in [
        (json!({"uses": 4}), "NARU-J111"),
        (json!({"uses": 0}), "NARU-J111"),
        (json!({"ttl_s": 7201}), "NARU-J112"),
        (json!({"node": "web-1"}), "NARU-J110"),
        (json!({"labels": {"env": "dev"}}), "NARU-J110"),
        (json!({"replace": true}), "NARU-J110"),
        (json!({"from": "other"}), "NARU-W404"),
    ] {
        assert_eq!(made(&stage, &admin, more.clone()).await.err().as_deref(), Some(code), "{more}");
    }
    let token = made(&stage, &admin, json!({"uses": 2})).await.expect("made");
    let (one, two, three) = (key(), key(), key());
    let first = stage.join(&token, &one, "web-1").await.expect("joined");
    assert_eq!(stage.join(&token, &one, "web-1").await, Ok(first), "a lost answer");
    assert_eq!(stage.join(&token, &one, "web-2").await.err().as_deref(), Some("NARU-J104"), "one machine, one name");
    assert_eq!(stage.join(&token, &two, "db-1").await.err().as_deref(), Some("NARU-J105"));
    assert_eq!(stage.join(&token, &two, "web-1").await.err().as_deref(), Some("NARU-J106"), "taken");
    stage.join(&token, &two, "edge").await.expect("a clash and a wrong name cost no use");
    assert_eq!(stage.join(&token, &three, "web-3").await.err().as_deref(), Some("NARU-J104"), "used up");
    let (_, all) = ask(&stage, &admin, "GET", "/v1/tokens", Value::Null).await;
    let row = &all["items"][0];
    assert_eq!((&row["from"], &row["uses"], &row["uses_left"], &row["used"]), (&"web".into(), &2.into(), &0.into(), &true.into()), "{row}");
    let (node, _) = stage.proxy.app.sessions.nodes.get(&"edge".parse().expect("name")).expect("read").expect("there");
    assert_eq!(node.labels.get("env").map(String::as_str), Some("prod"));

    let again = made(&stage, &admin, json!({})).await.expect("made");
    let (status, said) = ask(&stage, &admin, "DELETE", "/v1/resources/join_token/web", Value::Null).await;
    assert_eq!(status, StatusCode::OK, "{said}");
    assert_eq!(stage.join(&again, &three, "web-3").await.err().as_deref(), Some("NARU-J104"), "deleted");
    let web = config::policy::resources("web.yaml", WEB, None).expect("sound");
    stage.proxy.seed(web).await.expect("seeded");
    assert_eq!(stage.join(&again, &three, "web-3").await.err().as_deref(), Some("NARU-J104"), "another of the same name");
}

#[tokio::test]
async fn a_token_for_clusters_alone_is_refused() {
    let stage = stage_of(&format!("{PEOPLE}{}", WEB.replace("[ssh]", "[kubernetes]"))).await;
    assert_eq!(made(&stage, &stage.signed_in("admin"), json!({})).await.err().as_deref(), Some("NARU-J110"));
}

#[tokio::test]
async fn a_node_that_is_gone_leaves_the_list_and_no_other() {
    const MINUTE: Duration = Duration::from_secs(60);
    let stage = stage_of(&format!("{PEOPLE}{WEB}")).await;
    let (admin, sessions) = (stage.signed_in("admin"), &stage.proxy.app.sessions);
    let token = made(&stage, &admin, json!({})).await.expect("made");
    stage.join(&token, &key(), "web-1").await.expect("joined");
    let (_, plain) = ask(&stage, &admin, "POST", "/v1/tokens", json!({"kind": "node", "node": "db-1", "ttl_s": 60})).await;
    stage.join(plain["token"].as_str().expect("a token"), &key(), "db-1").await.expect("joined");
    let gone = Gone::new(sessions);
    let joined = clock::now();
    let there = |name: &str| sessions.nodes.get(&name.parse().expect("a name")).expect("read").is_some();
    let hour = MINUTE * 60;
    assert_eq!(gone.round(joined.plus(MINUTE * 29), hour).await.expect("a round"), 0, "not yet");
    assert_eq!(gone.round(joined.plus(hour), MINUTE * 4).await.expect("a round"), 0, "its agent had no time to come back");
    // It was there in between.
    let seen = serde_json::to_vec(&joined.plus(MINUTE * 50)).expect("json");
    sessions.nodes.store.put("seen/web-1", &seen, store::kv::Expect::Any).expect("noted");
    assert_eq!(gone.round(joined.plus(hour), hour).await.expect("a round"), 0, "it was seen");
    assert!(there("web-1"));
    assert_eq!(gone.round(joined.plus(hour * 2), hour).await.expect("a round"), 1);
    assert!(!there("web-1") && there("db-1"));
    assert!(sessions.nodes.store.get("seen/web-1").expect("read").is_none());
    assert!(sessions.nodes.store.scan("agent/web-1", None, 9).expect("read").is_empty());
    assert_eq!(gone.round(joined.plus(hour * 2), hour).await.expect("a round"), 0);
    // The name is free again.
    stage.join(&token, &key(), "web-1").await.expect("joined");
    assert_eq!(ask(&stage, &admin, "DELETE", "/v1/resources/join_token/web", Value::Null).await.0, StatusCode::OK);
    assert_eq!(gone.round(joined.plus(hour * 9), hour).await.expect("a round"), 0, "nothing says any more after how long");
}
