//! Tests of what is watched: messages as a reader gets them, coming back in the middle, and the end with the right.

use access::decide::Denial;
use axum::body::{Body, BodyDataStream};
use axum::http::{Request, StatusCode};
use futures::StreamExt as _;
use serde_json::{Value, json};
use wire::sse::{Message, Reader};

use super::refusals::{Stage, request, stage_of};
use crate::authority::tls::Subject;

const PEOPLE: &str = "
kind: role
name: chief
spec: {allow: {administer: {role: write, user: write, node: write, lock: write}}}
---
kind: role
name: reader
spec: {allow: {administer: {role: read}, audit: [{events: true}]}, may_request: [prod]}
---
kind: role
name: prod
---
kind: access_rule
name: prod
spec: {roles: [prod], approvals: {from: [chief]}}
---
kind: user
name: admin
spec: {roles: [chief]}
---
kind: user
name: ann
spec: {roles: [reader]}
";

/// What somebody watches.
struct Watch {
    body: BodyDataStream,
    reader: Reader,
    ready: std::collections::VecDeque<Message>,
}

impl Watch {
    async fn next(&mut self) -> Option<Message> {
        while self.ready.is_empty() {
            let piece = self.body.next().await?.expect("a stream of messages does not break off");
            self.ready.extend(self.reader.feed(&piece).expect("messages"));
        }
        self.ready.pop_front()
    }

    /// The next message, which is of this kind; its data.
    async fn is(&mut self, kind: &str) -> Value {
        let message = self.next().await.expect("a message");
        assert_eq!(message.event, kind, "{message:?}");
        serde_json::from_str(&message.data).expect("json")
    }

    /// Names up to the first message that is not of this kind, which is answered too.
    async fn names(&mut self, kind: &str) -> (Vec<String>, Message) {
        let mut names = Vec::new();
        loop {
            let message = self.next().await.expect("a message");
            if message.event != kind {
                return (names, message);
            }
            let data: Value = serde_json::from_str(&message.data).expect("json");
            names.push(data["name"].as_str().expect("a name").to_owned());
        }
    }

    /// The problem that ends it.
    async fn ended(&mut self) -> String {
        loop {
            let message = self.next().await.expect("a last word");
            if message.event == "problem" {
                assert_eq!(self.next().await, None, "the last one");
                let problem: Value = serde_json::from_str(&message.data).expect("json");
                return problem["code"].as_str().expect("a code").to_owned();
            }
        }
    }
}

fn asked(subject: &Subject, path: &str, last: Option<&str>) -> Request<Body> {
    let mut request = request(Some(subject.clone()), "GET", path, "");
    request.headers_mut().insert("accept", "text/event-stream".parse().expect("a value"));
    if let Some(last) = last {
        request.headers_mut().insert("last-event-id", last.parse().expect("a value"));
    }
    request
}

impl Stage {
    async fn watch(&self, subject: &Subject, path: &str, last: Option<&str>) -> Watch {
        let answer = self.send(asked(subject, path, last)).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        assert_eq!(answer.headers()["cache-control"], "no-store");
        Watch { body: answer.into_body().into_data_stream(), reader: Reader::default(), ready: Default::default() }
    }

    async fn apply(&self, resource: Value) {
        let body = json!({"resources": [resource], "allow_self_lockout": true}).to_string();
        let admin = self.signed_in("admin");
        let answer = self.send(request(Some(admin), "POST", "/v1/apply", body)).await;
        assert_eq!(answer.status(), StatusCode::OK);
    }

    async fn delete_role(&self, name: &str) {
        let path = format!("/v1/resources/role/{name}");
        assert_eq!(self.send(request(Some(self.signed_in("admin")), "DELETE", &path, "")).await.status(), StatusCode::OK);
    }
}

fn role(name: &str, description: &str) -> Value {
    json!({"kind": "role", "name": name, "spec": {"description": description}})
}

const ROLES: &str = "/v1/resources/role?watch=true";

#[tokio::test]
async fn resources_are_said_then_each_change_and_whoever_comes_back_goes_on() {
    let stage = stage_of(PEOPLE).await;
    let ann = stage.signed_in("ann");
    let mut watch = stage.watch(&ann, ROLES, None).await;
    let (names, ready) = watch.names("present").await;
    assert_eq!(names, ["chief", "prod", "reader"]);
    let said: Value = serde_json::from_str(&ready.data).expect("json");
    assert_eq!((ready.event.as_str(), &said["whole"], said["revision"].to_string()), ("ready", &json!(true), ready.id.clone()));

    stage.apply(role("new", "one")).await;
    let made = watch.is("changed").await;
    assert_eq!((&made["name"], &made["kind"], made["revision"].is_u64()), (&json!("new"), &json!("role"), true));
    // Of another kind: nothing is said of it here.
    stage.apply(json!({"kind": "user", "name": "bob"})).await;
    stage.apply(role("new", "two")).await;
    let message = watch.next().await.expect("a message");
    assert_eq!((message.event.as_str(), message.data.contains("\"two\"")), ("changed", true), "{message:?}");
    let known = message.id;

    // Gone for a while.
    drop(watch);
    stage.apply(role("other", "x")).await;
    stage.delete_role("new").await;
    let mut watch = stage.watch(&ann, ROLES, Some(&known)).await;
    assert_eq!(watch.is("deleted").await["name"], "new");
    assert_eq!(watch.is("changed").await["name"], "other");
    assert_eq!(watch.is("ready").await["whole"], false);
    stage.delete_role("other").await;
    assert_eq!(watch.is("deleted").await["name"], "other");

    // What is too old, or of another install, is started over.
    for id in ["0", "99999999"] {
        let mut watch = stage.watch(&ann, ROLES, Some(id)).await;
        let (names, ready) = watch.names("present").await;
        assert_eq!((names.len(), ready.data.contains("true")), (3, true), "{id}");
    }
    assert_eq!(stage.send(asked(&ann, ROLES, Some("x"))).await.status(), StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn what_is_watched_ends_with_the_right_the_sign_in_and_a_lock() {
    let stage = stage_of(PEOPLE).await;
    for path in [ROLES, "/v1/events?follow=true"] {
        let mut watch = stage.watch(&stage.signed_in("ann"), path, None).await;
        watch.next().await.expect("what is there");
        stage.apply(json!({"kind": "user", "name": "ann", "spec": {"roles": []}})).await;
        let code = if path == ROLES { Denial::ADMINISTER } else { Denial::AUDIT };
        assert_eq!(watch.ended().await, code, "{path} without the role");
        stage.apply(json!({"kind": "user", "name": "ann", "spec": {"roles": ["reader"]}})).await;
    }
    for path in [ROLES, "/v1/events?follow=true", "/v1/requests?watch=true", "/v1/sessions?watch=true"] {
        let ann = stage.signed_in("ann");
        let mut watch = stage.watch(&ann, path, None).await;
        watch.next().await.expect("what is there");
        let Subject::User { sign_in, .. } = ann else { panic!("a person") };
        stage.proxy.app.sessions.people.sign_out(sign_in, "a test").expect("signed out");
        assert_eq!(watch.ended().await, "NARU-A104", "{path} after signing out");

        let mut watch = stage.watch(&stage.signed_in("ann"), path, None).await;
        watch.next().await.expect("what is there");
        stage.apply(json!({"kind": "lock", "name": "l", "spec": {"target": {"user": "ann"}, "reason": "x"}})).await;
        assert_eq!(watch.ended().await, Denial::LOCKED, "{path} when locked");
        let answer = stage.send(request(Some(stage.signed_in("admin")), "DELETE", "/v1/resources/lock/l", "")).await;
        assert_eq!(answer.status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn events_go_on_after_the_last_one_that_was_had() {
    let stage = stage_of(PEOPLE).await;
    let ann = stage.signed_in("ann");
    let from = stage.mark();
    let marks = [stage.mark(), stage.mark(), stage.mark()];
    let mut watch = stage.watch(&ann, &format!("/v1/events?follow=true&after={from}"), None).await;
    for mark in marks {
        let message = watch.next().await.expect("an event");
        assert_eq!((message.id, message.event.as_str()), (mark.to_string(), "auth.logout"));
        let event: Value = serde_json::from_str(&message.data).expect("json");
        assert_eq!(event["seq"], mark);
    }
    drop(watch);
    // The same address once more, as a browser asks it: what the last one was wins, also over a limit.
    let again = format!("/v1/events?follow=true&after={from}&limit=1");
    let mut watch = stage.watch(&ann, &again, Some(&marks[0].to_string())).await;
    assert_eq!(watch.next().await.expect("an event").id, marks[1].to_string());
    assert_eq!(watch.next().await.expect("an event").id, marks[2].to_string());
    let late = stage.mark();
    assert_eq!(watch.next().await.expect("an event").id, late.to_string());
    assert_eq!(stage.send(asked(&ann, &again, Some("x"))).await.status(), StatusCode::UNPROCESSABLE_ENTITY);
    // Whoever does not ask for messages gets lines.
    let answer = stage.send(request(Some(ann), "GET", &format!("/v1/events?after={}", marks[1]), "")).await;
    assert_eq!(answer.headers()["content-type"], "application/jsonl");
}

#[tokio::test]
async fn requests_are_said_then_each_step() {
    let stage = stage_of(PEOPLE).await;
    let ann = stage.signed_in("ann");
    let post = async |who: &Subject, path: &str, body: &str| {
        let answer = stage.send(request(Some(who.clone()), "POST", path, body.to_owned())).await;
        let bytes = axum::body::to_bytes(answer.into_body(), 1 << 20).await.expect("a body");
        serde_json::from_slice::<Value>(&bytes).expect("json")
    };
    let first = post(&ann, "/v1/requests", r#"{"role":"prod"}"#).await;
    let mut watch = stage.watch(&ann, "/v1/requests?watch=true&state=pending", None).await;
    assert_eq!(watch.is("present").await["id"], first["id"]);
    assert_eq!(watch.is("ready").await["whole"], true);
    let second = post(&ann, "/v1/requests", r#"{"role":"prod"}"#).await;
    assert_eq!(watch.is("changed").await["id"], second["id"], "{second}");
    let id = first["id"].as_str().expect("an id");
    post(&ann, &format!("/v1/requests/{id}/revoke"), "{}").await;
    assert_eq!(watch.is("deleted").await["name"], id, "it is not pending any more");
}

#[tokio::test]
async fn so_many_watch_and_no_more() {
    let stage = stage_of(PEOPLE).await;
    let ann = stage.signed_in("ann");
    let mut held = Vec::new();
    let full = loop {
        let answer = stage.send(asked(&ann, ROLES, None)).await;
        if answer.status() != StatusCode::OK {
            break answer;
        }
        held.push(answer);
    };
    assert_eq!((held.len(), full.status()), (32, StatusCode::SERVICE_UNAVAILABLE));
    let mut others = stage.watch(&stage.signed_in("admin"), ROLES, None).await;
    others.next().await.expect("what is there");
    // Whoever leaves makes room.
    drop(held);
    while stage.send(asked(&ann, ROLES, None)).await.status() != StatusCode::OK {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn sessions_are_said_then_each_that_begins_and_ends() {
    let guard = "kind: role\nname: guard\nspec: {allow: {audit: [{sessions: [list]}]}}\n---\nkind: user\nname: gil\nspec: {roles: [guard]}\n---\nkind: user\nname: eve\n";
    let stage = stage_of(guard).await;
    let table = &stage.proxy.app.sessions.table;
    let row = |n: u8, started: access::time::Timestamp| -> wire::api::SessionRow {
        let row = json!({"id": format!("01933b6c-8b3e-7000-8000-00000000000{n}"), "user": "ann", "node": "demo", "login": "x", "kind": "shell",
            "started": started, "output_bytes": 0, "recording": "strict", "live": true});
        serde_json::from_value(row).expect("a row")
    };
    let enter = |row: &wire::api::SessionRow| table.enter(row.clone(), 1, table.reserve(&row.user, 10, None).expect("room"));
    let first = row(1, access::time::Timestamp::from_secs(0));
    let first_place = enter(&first);
    let mut all = stage.watch(&stage.signed_in("gil"), "/v1/sessions?watch=true", None).await;
    let mut own = stage.watch(&stage.signed_in("eve"), "/v1/sessions?watch=true", None).await;
    assert_eq!(all.is("present").await["id"], first.id.to_string());
    assert_eq!(all.is("ready").await["whole"], true);
    assert_eq!(own.is("ready").await["whole"], true, "another's session is not eve's to see");
    let second = row(2, crate::clock::now());
    let second_place = enter(&second);
    assert_eq!(all.is("started").await["id"], second.id.to_string());
    table.ended(&wire::api::SessionRow { live: false, reason: Some("exit".into()), ..first }).expect("listed");
    drop(first_place);
    assert_eq!(all.is("ended").await["reason"], "exit");
    // Of one that was never listed only that it is gone is known.
    drop(second_place);
    assert_eq!(all.is("deleted").await["name"], second.id.to_string());
}

#[tokio::test]
async fn every_list_comes_in_pages() {
    let stage = stage_of("kind: role\nname: chief\nspec: {allow: {administer: {role: write, join_token: write, link: write, node: write}}, may_request: [r0, r1, r2]}\n---\nkind: user\nname: ann\nspec: {roles: [chief]}\n").await;
    let ann = stage.signed_in("ann");
    let ask = async |method: &str, path: &str, body: Value| {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = stage.send(request(Some(ann.clone()), method, path, body)).await;
        let bytes = axum::body::to_bytes(answer.into_body(), 1 << 20).await.expect("a body");
        serde_json::from_slice::<Value>(&bytes).expect("json")
    };
    let roles: Vec<Value> = (0..3).map(|n| role(&format!("r{n}"), "x")).collect();
    ask("POST", "/v1/apply", json!({"resources": roles})).await;
    for n in 0..3 {
        let node = json!({"agent": format!("n{n}-1"), "labels": {}, "joined": crate::clock::now()}).to_string();
        stage.proxy.app.store.put(&format!("node/n{n}"), node.as_bytes(), store::kv::Expect::Absent).expect("stored");
        ask("POST", "/v1/tokens", json!({"kind": "node", "node": "x", "ttl_s": 60})).await;
        ask("POST", "/v1/links", json!({"user": "ann"})).await;
    }
    for (path, many) in
        [("/v1/nodes?all=true", 3), ("/v1/resources/role?watch=false", 4), ("/v1/tokens?limit=1", 3), ("/v1/links?limit=1", 4)]
    {
        let (mut rows, mut after, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let one = if path.contains("limit=") { "" } else { "&limit=1" };
            let page = ask("GET", &format!("{path}{one}{after}"), Value::Null).await;
            let items = page["items"].as_array().expect("rows").clone();
            assert_eq!(items.len(), 1, "{path} {page}");
            rows.extend(items.iter().map(ToString::to_string));
            pages += 1;
            let Some(next) = page["next"].as_str() else { break };
            after = format!("&after={next}");
        }
        rows.sort();
        rows.dedup();
        assert_eq!((rows.len(), pages), (many, many), "{path}");
    }
    assert_eq!(ask("GET", "/v1/tokens?after=nonsense", Value::Null).await["code"], "NARU-W422");
}
