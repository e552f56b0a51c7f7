//! Tests of keys: the same answer to the same request, and to nobody who lost the right to it.

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request};
use axum::response::Response;
use serde_json::{Value, json};

use super::super::refusals::{Stage, request, stage_of};
use super::rights::Made;
use super::running::Entered;
use super::{Keeping, keep};
use crate::answers::{MOST_OF_ONE, Place};
use crate::authority::tls::Subject;
use crate::clock;

const PEOPLE: &str = "
kind: role
name: root
spec: {allow: {administer: {role: write, user: write}}}
---
kind: role
name: chief
spec: {allow: {administer: {link: write, join_token: write, cluster: write}, audit: [{sessions: [kill, list]}], review: {roles: [prod]}}, may_request: [prod]}
---
kind: role
name: prod
---
kind: access_rule
name: prod
spec: {roles: [prod], approvals: {from: [chief]}}
---
kind: role
name: engineer
spec: {may_request: [prod]}
---
kind: user
name: root
spec: {roles: [root]}
---
kind: user
name: ann
spec: {roles: [chief]}
---
kind: user
name: bob
spec: {roles: [chief]}
---
kind: user
name: eve
spec: {roles: [engineer]}
";

struct Said {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Said {
    fn replayed(&self) -> bool {
        self.headers.get("idempotent-replayed").is_some_and(|value| value == "true")
    }
    fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

fn keyed(who: &Subject, path: &str, body: &Value, key: &str) -> Request<Body> {
    let mut request = request(Some(who.clone()), "POST", path, body.to_string());
    request.headers_mut().insert("idempotency-key", key.parse().expect("a value"));
    request
}

impl Stage {
    async fn said(&self, request: Request<Body>) -> Said {
        let answer = self.send(request).await;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let bytes = to_bytes(answer.into_body(), 4 << 20).await.expect("a body");
        Said { status, headers, body: serde_json::from_slice(&bytes).expect("json") }
    }

    async fn post(&self, who: &Subject, path: &str, body: &Value, key: &str) -> Said {
        self.said(keyed(who, path, body, key)).await
    }

    async fn roles(&self, name: &str, roles: &[&str]) {
        let body = json!({"resources": [{"kind": "user", "name": name, "spec": {"roles": roles}}]});
        let said = self.said(request(Some(self.signed_in("root")), "POST", "/v1/apply", body.to_string())).await;
        assert_eq!(said.status, 200, "{}", said.body);
    }

    async fn tokens(&self, who: &Subject) -> usize {
        let said = self.said(request(Some(who.clone()), "GET", "/v1/tokens", "")).await;
        said.body["items"].as_array().expect("rows").len()
    }
}

fn token() -> Value {
    json!({"kind": "node", "node": "web-1", "ttl_s": 60})
}

#[tokio::test]
async fn the_same_request_makes_one_thing_and_another_request_nothing() {
    let stage = stage_of(PEOPLE).await;
    let (ann, bob) = (stage.signed_in("ann"), stage.signed_in("bob"));
    let first = stage.post(&ann, "/v1/tokens", &token(), "k1").await;
    assert_eq!((first.status, first.replayed()), (200, false), "{}", first.body);
    // From another sign-in of the same person too: who they are counts.
    for who in [&ann, &stage.signed_in("ann")] {
        let again = stage.post(who, "/v1/tokens", &token(), "k1").await;
        assert_eq!((again.status, again.replayed(), &again.body), (200, true, &first.body));
        assert_eq!(
            (&again.headers["content-type"], &again.headers["cache-control"]),
            (&"application/json".parse().expect("a value"), &"no-store".parse().expect("a value"))
        );
    }
    for (path, body) in [
        ("/v1/tokens", json!({"kind": "node", "node": "web-2", "ttl_s": 60})),
        ("/v1/tokens?x=y", token()),
        ("/v1/links", json!({"user": "bob"})),
    ] {
        let other = stage.post(&ann, path, &body, "k1").await;
        assert_eq!((other.status, other.code()), (422, "NARU-W430"), "{path} {}", other.body);
    }
    assert_eq!(stage.tokens(&ann).await, 1);
    let others = stage.post(&bob, "/v1/tokens", &token(), "k1").await;
    assert!(others.status == 200 && !others.replayed() && others.body["id"] != first.body["id"], "everybody has their own keys");
    assert!(!stage.post(&ann, "/v1/tokens", &token(), "k2").await.replayed());
    assert_eq!(stage.tokens(&ann).await, 3);
    // What takes no key takes no notice of one.
    let can = json!({"ssh": {"node": "demo", "login": "root"}});
    assert!(!stage.post(&ann, "/v1/can", &can, "k1").await.replayed());
}

#[tokio::test]
async fn a_refusal_can_be_tried_again_and_a_bad_key_is_none() {
    let stage = stage_of(PEOPLE).await;
    let ann = stage.signed_in("ann");
    let link = json!({"user": "new"});
    assert_eq!(stage.post(&ann, "/v1/links", &link, "k").await.status, 404);
    stage.roles("new", &[]).await;
    let made = stage.post(&ann, "/v1/links", &link, "k").await;
    assert_eq!((made.status, made.replayed()), (200, false), "{}", made.body);
    assert!(stage.post(&ann, "/v1/links", &link, "k").await.replayed());
    for bad in ["", "a b", "한", &"x".repeat(129)] {
        let said = stage.post(&ann, "/v1/links", &link, bad).await;
        assert_eq!((said.status, said.code()), (422, "NARU-W422"), "{bad:?}");
    }
    let mut twice = keyed(&ann, "/v1/links", &link, "k");
    twice.headers_mut().append("idempotency-key", "k".parse().expect("a value"));
    assert_eq!(stage.said(twice).await.status, 422);
    assert_eq!(stage.post(&ann, "/v1/links", &link, &"x".repeat(128)).await.status, 200);
}

#[tokio::test]
async fn whoever_lost_the_right_gets_the_refusal_and_not_the_answer() {
    let stage = stage_of(PEOPLE).await;
    let (ann, eve) = (stage.signed_in("ann"), stage.signed_in("eve"));
    let asked = stage.post(&eve, "/v1/requests", &json!({"role": "prod"}), "r").await;
    let approve = format!("/v1/requests/{}/approve", asked.body["id"].as_str().expect("an id"));
    let id = "01933b6c-8b3e-7000-8000-000000000001";
    let row = json!({"id": id, "user": "eve", "node": "demo", "login": "eve", "kind": "shell", "started": "2026-01-01T00:00:00Z",
        "output_bytes": 0, "recording": "strict", "live": true});
    let row: wire::api::SessionRow = serde_json::from_value(row).expect("a row");
    let table = &stage.proxy.app.sessions.table;
    let _place = table.enter(row.clone(), 1, table.reserve(&row.user, 10, None).expect("room"));
    let kill = format!("/v1/sessions/{id}/kill");
    let cases = [
        (&ann, "/v1/tokens", token()),
        (&ann, "/v1/links", json!({"user": "eve"})),
        (&ann, "/v1/requests", json!({"role": "prod"})),
        (&ann, approve.as_str(), json!({})),
        (&ann, kill.as_str(), json!({"reason": "x"})),
        (&ann, "/v1/apply", json!({"resources": [{"kind": "cluster", "name": "seoul"}]})),
    ];
    for (who, path, body) in &cases {
        let first = stage.post(who, path, body, "k-1").await;
        assert_eq!((first.status, first.replayed()), (200, false), "{path} {}", first.body);
        let again = stage.post(who, path, body, "k-1").await;
        assert_eq!((again.replayed(), &again.body), (true, &first.body), "{path}");
        stage.roles("ann", &["prod"]).await;
        let refused = stage.post(who, path, body, "k-1").await;
        assert!(refused.status == 403 || refused.status == 404, "{path} {} {}", refused.status, refused.body);
        assert!(refused.code().starts_with("NARU-") && !refused.replayed(), "{path}");
        // And has it again with the right.
        stage.roles("ann", &["chief"]).await;
        assert!(stage.post(who, path, body, "k-1").await.replayed(), "{path}");
        delete_keys(&stage);
    }
    // A link signs in as its user: who came to have more than its maker is out of reach.
    let link = json!({"user": "eve"});
    assert_eq!(stage.post(&ann, "/v1/links", &link, "l").await.status, 200);
    stage.roles("eve", &["root"]).await;
    let refused = stage.post(&ann, "/v1/links", &link, "l").await;
    assert_eq!((refused.status, refused.code()), (403, "NARU-P207"), "{}", refused.body);
    // Signed out.
    let Subject::User { sign_in, .. } = &ann else { panic!("a person") };
    stage.proxy.app.sessions.people.sign_out(*sign_in, "a test").expect("signed out");
    assert_eq!(stage.post(&ann, "/v1/links", &link, "l").await.status, 401);
}

/// Forgets what was kept: the next case uses the key anew.
fn delete_keys(stage: &Stage) {
    for entry in crate::live::scan(stage.proxy.app.store.as_ref(), "repeat").expect("a store") {
        stage.proxy.app.store.delete(&entry.key, store::kv::Expect::Any).expect("deleted");
    }
}

#[tokio::test]
async fn a_second_one_waits_for_the_first_and_a_broken_connection_ends_nothing() {
    let stage = stage_of(PEOPLE).await;
    let root = stage.signed_in("root");
    let body = json!({"resources": [{"kind": "role", "name": "new"}]});
    // The first cannot go on, and its caller leaves.
    let writing = stage.proxy.app.writing.lock().await;
    let first = stage.send(keyed(&root, "/v1/apply", &body, "k"));
    let left = tokio::time::timeout(std::time::Duration::from_millis(50), first).await;
    assert!(left.is_err(), "it waits");
    let other = stage.post(&root, "/v1/apply", &json!({"resources": []}), "k").await;
    assert_eq!(other.code(), "NARU-W430", "while the first runs");
    let second = stage.post(&root, "/v1/apply", &body, "k");
    let (second, ()) = tokio::join!(second, async {
        tokio::task::yield_now().await;
        drop(writing);
    });
    assert_eq!((second.status, second.replayed()), (200, true), "{}", second.body);
    assert_eq!(second.body["items"][0]["change"], "created", "it was done once, by the first");
}

#[tokio::test]
async fn what_is_kept_is_sealed_and_what_is_large_is_not_kept() {
    let stage = stage_of(PEOPLE).await;
    let ann = stage.signed_in("ann");
    let made = stage.post(&ann, "/v1/tokens", &token(), "very-own-key").await;
    let secret = made.body["token"].as_str().expect("a secret").to_owned();
    for entry in crate::live::scan(stage.proxy.app.store.as_ref(), "").expect("a store") {
        let text = String::from_utf8_lossy(&entry.at.value).into_owned() + &entry.key;
        assert!(!text.contains(&secret) && !text.contains("very-own-key"), "{}", entry.key);
    }
    let app = &stage.proxy.app;
    for (size, kept) in [(MOST_OF_ONE, true), (MOST_OF_ONE + 1, false)] {
        let place = Place::new("somebody", &size.to_string());
        let Ok(Entered::First(run)) = app.repeats.running.enter(&place, "h") else { panic!("the first") };
        let found = app.repeats.answers.find(&place, clock::now()).expect("read");
        let large = Response::new(Body::from("x".repeat(usize::try_from(size).expect("a size"))));
        let keeping = Keeping { run, place: place.clone(), found, hash: "h".to_owned() };
        let said = keep(app.clone(), keeping, large).await.expect("done");
        assert_eq!(said.headers().contains_key("idempotent-kept"), !kept, "{size}");
        assert_eq!(app.repeats.answers.find(&place, clock::now()).expect("read").answer.is_some(), kept, "{size}");
    }
}

/// The head of a request comes first, the body when its sender has lost the right.
#[tokio::test]
async fn a_body_that_comes_after_the_sign_out_gets_no_kept_answer() {
    let stage = stage_of(PEOPLE).await;
    let first = stage.post(&stage.signed_in("ann"), "/v1/tokens", &token(), "k").await;
    assert_eq!(first.status, 200);
    for key in ["k", "other"] {
        let ann = stage.signed_in("ann");
        let Subject::User { sign_in, .. } = ann.clone() else { panic!("a person") };
        let people = stage.proxy.app.sessions.people.clone();
        let late = futures::stream::once(async move {
            people.sign_out(sign_in, "a test").expect("signed out");
            Ok::<_, std::io::Error>(axum::body::Bytes::from(token().to_string()))
        });
        let mut late = request(Some(ann), "POST", "/v1/tokens", Body::from_stream(late));
        late.headers_mut().insert("idempotency-key", key.parse().expect("a value"));
        assert_eq!(stage.said(late).await.status, 401, "{key}");
    }
}

#[test]
fn every_post_is_kept_or_needs_no_key() {
    // What makes nothing, what is the same however often it is done, what is not of somebody who is signed in; and an access token, which
    // is kept nowhere as it is, and ends within the hour when its answer was lost.
    const NONE: [&str; 11] = [
        "/v1/can",
        "/v1/access/diff",
        "/v1/connectors/{name}/check",
        "/v1/sign-out",
        "/v1/sign-in/link",
        "/v1/sign-in/begin",
        "/v1/sign-in/finish",
        "/v1/sign-in/bot",
        "/v1/sign-in/token",
        "/v1/join",
        "/v1/agent/renew",
    ];
    let table = super::super::routes::table();
    let posts: Vec<&str> = table.routes.iter().filter(|route| route.method == axum::http::Method::POST).map(|route| route.path).collect();
    assert!(posts.len() > 15, "the routes were found");
    for route in posts {
        let none = NONE.contains(&route) || route.ends_with("/backchannel-logout");
        assert!(none != Made::of(route).is_some(), "{route} is to be named once");
    }
}
