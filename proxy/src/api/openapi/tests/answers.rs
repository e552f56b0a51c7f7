//! What a proxy really answers against what the document says that it does.

use axum::body::to_bytes;
use axum::response::Response;
use serde_json::{Value, json};

use super::super::super::refusals::{ROUTES, Stage, request, stage_of};
use super::{faults, told, validator};
use crate::authority::tls::Subject;

const PEOPLE: &str = "
kind: role
name: nothing
---
kind: role
name: chief
spec:
  allow:
    administer: {'*': write}
    audit: [{events: true, sessions: [list, play, watch, export, kill]}]
    ssh: [{labels: {'*': ['*']}, logins: [root]}]
  options: {hours: ['mon-sun 00:00-24:00 UTC'], networks: [0.0.0.0/0], max_session: 8h}
  may_request: [nothing]
---
kind: access_rule
name: rule
spec: {roles: [nothing], auto_review: {when: 'user.name == \"admin\"', approve: true}}
---
kind: user
name: admin
spec: {roles: [chief], traits: {team: [sre]}, notes: on call}
---
kind: node
name: demo
---
kind: join_token
name: web
spec: {kinds: [ssh], names: ['web-*'], ttl: 1h}
---
kind: lock
name: bob
spec: {target: {user: bob}, reason: lost laptop, for: 8h}
";

/// Holds one answer to the document.
async fn held(document: &Value, method: &str, template: &str, answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let kind = answer.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().to_owned();
    let tag = answer.headers().contains_key("etag");
    let body = to_bytes(answer.into_body(), 1 << 20).await.expect("a body");
    let body = String::from_utf8(body.to_vec()).expect("text");
    let operation = &document["paths"][template][method.to_ascii_lowercase()];
    assert!(operation.is_object(), "{method} {template} is in the document");
    let said = match operation["responses"].get(status.to_string()) {
        Some(said) => said,
        None if operation["responses"]["default"].get("content").is_some() => &operation["responses"]["default"],
        None => &document["components"]["responses"]["Problem"],
    };
    assert_eq!(said.get("headers").is_some_and(|headers| headers.get("ETag").is_some()), tag, "{method} {template} {status}");
    let schema = said["content"][&kind].get("schema").unwrap_or_else(|| panic!("{method} {template} {status} answers {kind}: {body}"));
    let (schema, values) = match schema.get("x-naru-line") {
        Some(line) => (line, body.lines().map(|line| serde_json::from_str(line).expect("json")).collect()),
        None if kind.ends_with("json") => (schema, vec![serde_json::from_str(&body).expect("json")]),
        None => (schema, vec![Value::from(body.clone())]),
    };
    let schema = validator(document, schema.clone());
    for value in &values {
        assert_eq!(faults(&schema, value), Vec::<String>::new(), "{method} {template} {status}: {value}");
    }
    (status, body)
}

struct Asking<'a> {
    document: &'a Value,
    stage: &'a Stage,
    who: Subject,
}

impl Asking<'_> {
    async fn ask(&self, method: &str, template: &str, path: &str, body: &str) -> (u16, String) {
        let answer = self.stage.send(request(Some(self.who.clone()), method, path, body.to_owned())).await;
        held(self.document, method, template, answer).await
    }
}

#[tokio::test]
async fn every_answer_is_as_the_document_says() {
    let document = told();
    let stage = stage_of(PEOPLE).await;
    let admin = Asking { document: &document, stage: &stage, who: stage.signed_in("admin") };
    let mut good = 0;
    for (method, template, body) in [
        ("POST", "/v1/tokens", r#"{"kind":"node","node":"x","ttl_s":60}"#),
        ("POST", "/v1/links", r#"{"user":"admin"}"#),
        ("POST", "/v1/requests", r#"{"role":"nothing","reason":"why"}"#),
        ("POST", "/v1/access/diff", r#"{"changes":[{"kind":"user","name":"admin"}]}"#),
        ("POST", "/v1/can", r#"{"ssh":{"node":"demo","login":"root"}}"#),
        ("POST", "/v1/apply", r#"{"resources":[{"kind":"role","name":"new"},{"kind":"role","name":"nothing"}]}"#),
    ] {
        let (status, body) = admin.ask(method, template, template, body).await;
        assert_eq!(status, 200, "{template} {body}");
    }
    for (method, template, body, _) in ROUTES.iter().filter(|(_, path, ..)| !matches!(*path, "/v1/sign-out" | "/v1/ssh")) {
        let template = template.split('?').next().expect("a path");
        let path = template.replace("{id}", "01933b6c-8b3e-7000-8000-000000000001").replace("{kind}", "role").replace("{name}", "nothing");
        good += usize::from(admin.ask(method, template, &path, body).await.0 == 200);
    }
    for path in ["/v1/ca", "/v1/connectors", "/v1/oidc/{connector}/jwks.json", "/v1/openapi.json"] {
        let answer = stage.send(request(None, "GET", &path.replace("{connector}", "none"), "")).await;
        good += usize::from(held(&document, "GET", path, answer).await.0 == 200);
    }
    for (method, path) in [("GET", "/v1/oidc/{connector}/callback"), ("POST", "/v1/oidc/{connector}/backchannel-logout")] {
        let answer = stage.send(request(None, method, &path.replace("{connector}", "none"), "")).await;
        assert_eq!(held(&document, method, path, answer).await.0, 400);
    }
    assert!(good > 20, "{good} went well");
    for kind in access::policy::ResourceKind::DECLARED.map(access::policy::ResourceKind::as_str) {
        let (status, list) = admin.ask("GET", "/v1/resources/{kind}", &format!("/v1/resources/{kind}"), "").await;
        assert_eq!(status, 200, "{kind}");
        let list: Value = serde_json::from_str(&list).expect("json");
        for item in list["items"].as_array().expect("items") {
            let path = format!("/v1/resources/{kind}/{}", item["name"].as_str().expect("a name"));
            let (status, read) = admin.ask("GET", "/v1/resources/{kind}/{name}", &path, "").await;
            assert_eq!((status, serde_json::from_str::<Value>(&read).expect("json")), (200, item.clone()));
            let (status, body) = admin.ask("PUT", "/v1/resources/{kind}/{name}", &path, &read).await;
            assert_eq!(status, 200, "what reading gives, writing takes: {body}");
        }
    }
}

#[tokio::test]
async fn a_wrong_answer_would_be_seen() {
    let document = told();
    let schema = validator(&document, json!({ "$ref": "#/components/schemas/PageOfResource" }));
    assert!(schema.is_valid(&json!({ "items": [{ "kind": "user", "name": "kim", "id": "x", "revision": 1, "spec": {} }] })));
    for wrong in [json!({}), json!({ "items": [{}] }), json!({ "items": [{ "kind": "user", "name": "A b", "spec": {} }] })] {
        assert!(!schema.is_valid(&wrong), "{wrong}");
    }
}
