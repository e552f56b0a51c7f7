//! What an attacker would try at the API, each with what must come of it.

use axum::body::to_bytes;
use axum::http::StatusCode;
use axum::response::Response;
use russh::keys::PrivateKey;
use wire::api::SignedIn;

use super::refusals::{CERTIFICATE_LIFE, LINK_LIFE, Stage, request, stage, stage_of};
use crate::authority::one_time::{BREAK_GLASS, Purpose};
use crate::authority::tls::Subject;
use crate::clock;
use futures::StreamExt as _;

fn ssh_key() -> String {
    let key = PrivateKey::random(&mut rand::rng(), russh::keys::Algorithm::Ed25519).expect("a key");
    key.public_key().to_openssh().expect("a line")
}

fn csr() -> String {
    let key = rcgen::KeyPair::generate().expect("a key");
    rcgen::CertificateParams::default().serialize_request(&key).and_then(|csr| csr.pem()).expect("a request")
}

fn link(stage: &Stage) -> String {
    let purpose = Purpose::login_link("eve".parse().expect("name"));
    stage.proxy.app.once.make(purpose, LINK_LIFE, None, clock::now()).expect("a link").secret
}

async fn by_link(stage: &Stage, secret: &str, ssh: &str, csr: &str) -> Response {
    let body = serde_json::json!({"secret": secret, "ssh_public_key": ssh, "csr_pem": csr}).to_string();
    stage.send(request(None, "POST", "/v1/sign-in/link", body)).await
}

async fn text(response: Response) -> String {
    String::from_utf8(to_bytes(response.into_body(), 1 << 20).await.expect("a body").to_vec()).expect("text")
}

/// The sign-in that a certificate names.
fn sign_in_of(chain: &str, stage: &Stage) -> u64 {
    let der = crate::authority::tls::ca_der(chain).expect("a certificate");
    match crate::authority::tls::peer(&der, &stage.proxy.app.keys.public().install) {
        Some(Subject::User { sign_in, .. }) => sign_in,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_used_link_gives_its_holder_the_same_sign_in_and_nobody_else_anything() {
    let stage = stage().await;
    let (secret, ssh, key) = (link(&stage), ssh_key(), csr());
    let first = by_link(&stage, &secret, &ssh, &key).await;
    assert_eq!(first.status(), StatusCode::OK);
    let first: SignedIn = serde_json::from_str(&text(first).await).expect("signed in");
    assert!(first.expires <= clock::now().plus(CERTIFICATE_LIFE), "as long as the settings say");

    let stolen = by_link(&stage, &secret, &ssh, &csr()).await;
    assert_eq!(stolen.status(), StatusCode::UNAUTHORIZED, "with the public SSH key and a TLS key of one's own");
    assert_eq!(by_link(&stage, &secret, &ssh_key(), &key).await.status(), StatusCode::UNAUTHORIZED);

    let again: SignedIn = serde_json::from_str(&text(by_link(&stage, &secret, &ssh, &key).await).await).expect("again");
    let sign_in = sign_in_of(&first.x509_chain_pem, &stage);
    assert_eq!((sign_in_of(&again.x509_chain_pem, &stage), again.expires), (sign_in, first.expires));

    stage.proxy.app.sessions.people.sign_out(sign_in, "a test").expect("signed out");
    assert_eq!(by_link(&stage, &secret, &ssh, &key).await.status(), StatusCode::UNAUTHORIZED, "after signing out");
}

#[tokio::test]
async fn a_request_that_cannot_be_signed_leaves_the_link_unused() {
    let stage = stage().await;
    let (secret, ssh) = (link(&stage), ssh_key());
    assert_eq!(by_link(&stage, &secret, &ssh, "no request").await.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(by_link(&stage, &secret, &ssh, &csr()).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn strangers_send_small_bodies_only() {
    let stage = stage().await;
    for path in ["/v1/sign-in/link", "/v1/join"] {
        let body = format!("{{\"secret\":\"{}\"}}", "x".repeat(super::STRANGER_BODY));
        assert_eq!(stage.send(request(None, "POST", path, body)).await.status(), StatusCode::PAYLOAD_TOO_LARGE, "{path}");
    }
}

const PEOPLE: &str = "
kind: role
name: auditor
spec: {allow: {audit: [{events: true}]}}
---
kind: role
name: helpdesk
spec: {allow: {administer: {link: write, user: write}}}
---
kind: role
name: chief
spec: {allow: {administer: {role: write, user: write, link: write}}}
---
kind: user
name: ann
spec: {roles: [auditor]}
---
kind: user
name: henry
spec: {roles: [helpdesk]}
---
kind: user
name: eve
---
kind: user
name: admin
spec: {roles: [chief]}
";

fn resource(text: &str) -> String {
    format!("{{\"resources\":[{text}]}}")
}

#[tokio::test]
async fn nobody_gives_more_than_they_have() {
    let stage = stage_of(PEOPLE).await;
    let (henry, admin) = (stage.signed_in("henry"), stage.signed_in("admin"));
    let user = |name: &str, roles: &str| resource(&format!(r#"{{"kind":"user","name":"{name}","spec":{{"roles":[{roles}]}}}}"#));
    for (who, path, body, code) in [
        (&henry, "/v1/links", r#"{"user":"eve"}"#.to_owned(), None),
        (&henry, "/v1/links", r#"{"user":"admin"}"#.to_owned(), Some("NARU-P207")),
        (&henry, "/v1/links", r#"{"user":"ann"}"#.to_owned(), Some("NARU-P207")),
        (&admin, "/v1/links", r#"{"user":"ann"}"#.to_owned(), None),
        (&henry, "/v1/apply", user("henry", r#""helpdesk","chief""#), Some("NARU-P207")),
        (&henry, "/v1/apply", user("eve", r#""auditor""#), Some("NARU-P207")),
        (&henry, "/v1/apply", user("admin", ""), Some("NARU-P207")),
        (&admin, "/v1/apply", user("eve", r#""auditor""#), None),
    ] {
        let answer = text(stage.send(request(Some(who.clone()), "POST", path, body.clone())).await).await;
        let answer: serde_json::Value = serde_json::from_str(&answer).expect("json");
        assert_eq!(answer["code"].as_str(), code, "{path} {body} {answer}");
    }
    let answer = stage.send(request(Some(henry), "DELETE", "/v1/resources/user/admin", "")).await;
    assert!(text(answer).await.contains("NARU-P207"));
}

#[tokio::test]
async fn following_the_log_ends_with_the_sign_in_and_with_the_right() {
    let stage = stage_of(PEOPLE).await;
    let follow = async |subject: &Subject| {
        let answer = stage.send(request(Some(subject.clone()), "GET", "/v1/events?follow=true", "")).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let mut body = answer.into_body().into_data_stream();
        assert!(body.next().await.is_some_and(|line| line.is_ok()), "what was there");
        body
    };
    let ann = stage.signed_in("ann");
    let Subject::User { sign_in, .. } = ann else { panic!("a user") };
    let body = follow(&ann).await;
    stage.proxy.app.sessions.people.sign_out(sign_in, "a test").expect("signed out");
    assert!(body.fold(false, async |_, piece| piece.is_err()).await, "breaks off after signing out");

    let body = follow(&stage.signed_in("ann")).await;
    let change = resource(r#"{"kind":"user","name":"ann","spec":{"roles":[]}}"#);
    assert_eq!(stage.send(request(Some(stage.signed_in("admin")), "POST", "/v1/apply", change)).await.status(), StatusCode::OK);
    assert!(body.fold(false, async |_, piece| piece.is_err()).await, "breaks off without the role");
}

#[tokio::test]
async fn too_large_an_apply_is_refused_before_it_is_in_the_log() {
    let stage = stage_of(PEOPLE).await;
    let admin = stage.signed_in("admin");
    let roles: Vec<String> = (0..=store::kv::MAX_BATCH).map(|i| format!(r#"{{"kind":"role","name":"r{i}"}}"#)).collect();
    let before = stage.mark();
    let answer = stage.send(request(Some(admin.clone()), "POST", "/v1/apply", resource(&roles.join(",")))).await;
    assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(stage.mark(), before + 1);
    let answer = stage.send(request(Some(admin), "POST", "/v1/apply", resource(&roles[1..].join(",")))).await;
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn guesses_are_told_to_wait_and_fill_no_log() {
    let stage = stage_of(PEOPLE).await;
    let (ssh, key) = (ssh_key(), csr());
    let before = stage.mark();
    let mut last = None;
    for _ in 0..100 {
        last = Some(by_link(&stage, "guess", &ssh, &key).await);
    }
    let last = last.expect("an answer");
    assert_eq!((last.status(), last.headers().contains_key("retry-after")), (StatusCode::TOO_MANY_REQUESTS, true));
    assert!(stage.mark() - before < 100);
    let secret = link(&stage);
    assert_eq!(by_link(&stage, &secret, &ssh, &key).await.status(), StatusCode::OK, "a good link works still");
}

#[tokio::test]
async fn a_session_that_has_ended_is_not_ended_again_in_the_log() {
    let stage = stage_of(
        "kind: role\nname: guard\nspec: {allow: {audit: [{sessions: [list, kill]}]}}\n---\nkind: user\nname: gil\nspec: {roles: [guard]}\n",
    )
    .await;
    let (gil, table) = (stage.signed_in("gil"), &stage.proxy.app.sessions.table);
    let id = "01933b6c-8b3e-7000-8000-000000000001";
    let row = serde_json::json!({"id": id, "user": "eve", "node": "demo", "login": "eve", "kind": "shell", "started": "2026-01-01T00:00:00Z",
        "output_bytes": 0, "recording": "strict", "live": true});
    let row: wire::api::SessionRow = serde_json::from_value(row).expect("a row");
    let reserved = table.reserve(&row.user, 10, None).expect("room");
    let place = table.enter(row.clone(), 1, reserved);
    let kill = || request(Some(gil.clone()), "POST", &format!("/v1/sessions/{id}/kill"), r#"{"reason":"x"}"#);
    let before = stage.mark();
    assert_eq!(stage.send(kill()).await.status(), StatusCode::OK);
    assert_eq!((stage.mark(), place.stop.borrow().is_some()), (before + 2, true), "told once");
    place.entry.ends();
    assert_eq!(stage.send(kill()).await.status(), StatusCode::NOT_FOUND, "its end is being written down");
    table.ended(&row).expect("listed");
    drop(place);
    assert_eq!(stage.send(kill()).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(stage.mark(), before + 3, "and nothing more is told");
}

/// The head of a request comes first, the body when its sender has lost the right.
#[tokio::test]
async fn a_body_that_comes_after_the_sign_out_does_nothing() {
    let stage = stage_of(PEOPLE).await;
    for (path, body) in [("/v1/links", r#"{"user":"eve"}"#), ("/v1/apply", r#"{"resources":[{"kind":"user","name":"new"}]}"#)] {
        let admin = stage.signed_in("admin");
        let Subject::User { sign_in, .. } = admin.clone() else { panic!("a person") };
        let people = stage.proxy.app.sessions.people.clone();
        let late = futures::stream::once(async move {
            people.sign_out(sign_in, "a test").expect("signed out");
            Ok::<_, std::io::Error>(axum::body::Bytes::from_static(body.as_bytes()))
        });
        let answer = stage.send(request(Some(admin.clone()), "POST", path, axum::body::Body::from_stream(late))).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
}

#[tokio::test]
async fn a_session_is_decided_with_who_one_is_now() {
    let stage = stage_of(PEOPLE).await;
    let sessions = &stage.proxy.app.sessions;
    let Subject::User { name, sign_in, .. } = stage.signed_in("eve") else { panic!("a person") };
    let identity = sessions.people.identity(&name, sign_in, clock::now()).expect("signed in");
    let client = access::event::Client { ip: [127, 0, 0, 1].into(), port: 1, user_agent: None, run: None };
    let asker = crate::session::open::Asker { identity, sign_in, client, connection: "c".into() };
    sessions.people.sign_out(sign_in, "a test").expect("signed out");
    let wanted = crate::session::open::Wanted {
        node: "demo".parse().expect("a name"),
        login: "eve".parse().expect("a login"),
        kind: access::event::SessionKind::Shell,
        command: None,
        terminal: None,
        env: Vec::new(),
        reason: None,
    };
    let refused = sessions.open(asker, wanted).await.err().expect("refused");
    assert_eq!(refused.code, "NARU-A104");
}

#[tokio::test]
async fn what_has_ended_is_played_and_not_watched() {
    let people = "kind: role\nname: guard\nspec: {allow: {audit: [{sessions: [list, watch]}]}}\n---\nkind: user\nname: gil\nspec: {roles: [guard]}\n";
    let stage = stage_of(people).await;
    let gil = stage.signed_in("gil");
    let id = "01933b6c-8b3e-7000-8000-000000000001";
    let row = serde_json::json!({"id": id, "user": "eve", "node": "demo", "login": "eve", "kind": "shell", "started": "2026-01-01T00:00:00Z",
        "output_bytes": 0, "recording": "strict", "live": false});
    stage.proxy.app.sessions.table.ended(&serde_json::from_value(row).expect("a row")).expect("listed");
    for query in ["purpose=watch", "purpose=watch&follow=true", "purpose=play&follow=true", "purpose=play"] {
        let answer = stage.send(request(Some(gil.clone()), "GET", &format!("/v1/sessions/{id}/cast?{query}"), "")).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{query}");
    }
}

#[tokio::test]
async fn anybody_may_take_the_key_that_the_log_is_checked_with() {
    let stage = stage().await;
    let facts: wire::api::Ca = serde_json::from_str(&text(stage.send(request(None, "GET", "/v1/ca", "")).await).await).expect("facts");
    let key = wire::proof::PublicKey::try_from(facts.audit_key).expect("a key");
    assert_eq!(key, stage.proxy.checkpoint_key());
}

#[tokio::test]
async fn who_may_not_ask_for_others_is_told_what_it_needs() {
    let stage = stage_of("kind: role\nname: helpdesk\nspec: {allow: {administer: {link: write}}}\n---\nkind: user\nname: henry\nspec: {roles: [helpdesk]}\n---\nkind: user\nname: eve\n").await;
    let asked = r#"{"ssh":{"node":"demo","login":"root"},"as_user":"eve"}"#;
    let answer = stage.send(request(Some(stage.signed_in("henry")), "POST", "/v1/can", asked)).await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    let answer = text(answer).await;
    assert!(answer.contains("may not ask what others may do: that needs a role with user: read in administer"), "{answer}");
}

#[tokio::test]
async fn a_trait_that_gives_logins_is_given_like_a_role() {
    let people = "
kind: role
name: dev
spec: {allow: {ssh: [{labels: {env: ['*']}, logins: ['{{logins}}']}]}}
---
kind: role
name: keeper
spec: {allow: {administer: {bot: write, oidc_connector: write}}}
---
kind: role
name: chief
spec: {allow: {administer: {role: write, user: write, bot: write, oidc_connector: write}}}
---
kind: user
name: kim
spec: {roles: [dev, keeper], traits: {logins: [kim]}}
---
kind: user
name: admin
spec: {roles: [chief]}
";
    let stage = stage_of(people).await;
    let (kim, admin) = (stage.signed_in("kim"), stage.signed_in("admin"));
    let bot = |login: &str| {
        let spec = r#""issuer":"https://ci.example","audience":"naru","claims":{"sub":["a"]},"roles":["dev"]"#;
        resource(&format!(r#"{{"kind":"bot","name":"ci","spec":{{{spec},"traits":{{"logins":["{login}"]}}}}}}"#))
    };
    let connector = |traits: &str| {
        let spec = r#""issuer":"https://sso.example","client_id":"naru","claims":{"groups":{"/a":["dev"]}}"#;
        resource(&format!(r#"{{"kind":"oidc_connector","name":"sso","spec":{{{spec},"traits":{{{traits}}}}}}}"#))
    };
    for (who, body, given_away) in [
        (&kim, bot("root"), true),
        (&kim, bot("kim"), false),
        (&kim, connector(r#""logins":"posix""#), true),
        (&kim, connector(r#""mail":"email""#), false),
        (&admin, bot("root"), false),
    ] {
        let answer = text(stage.send(request(Some(who.clone()), "POST", "/v1/apply", body.clone())).await).await;
        assert_eq!(answer.contains("NARU-P207"), given_away, "{body} {answer}");
    }
}

/// The provider of a connector answers as late as it likes.
#[tokio::test]
async fn a_login_that_ends_while_a_provider_is_tried_changes_nothing() {
    let stage = stage_of(
        "kind: role\nname: chief\nspec: {allow: {administer: {role: write, user: write, oidc_connector: write}}}\n---\nkind: user\nname: admin\nspec: {roles: [chief]}\n",
    )
    .await;
    let admin = stage.signed_in("admin");
    let Subject::User { sign_in, .. } = admin.clone() else { panic!("a person") };
    let people = stage.proxy.app.sessions.people.clone();
    let stub = crate::oidc::stub::Stub::start(move |_| drop(people.sign_out(sign_in, "a test"))).await;
    let spec = format!(r#"{{"issuer":"{}","client_id":"naru"}}"#, stub.issuer);
    let body = resource(&format!(r#"{{"kind":"user","name":"new"}},{{"kind":"oidc_connector","name":"sso","spec":{spec}}}"#));
    let answer = stage.send(request(Some(admin), "POST", "/v1/apply", body.clone())).await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert!(stage.proxy.app.sessions.live.now().users.keys().all(|name| name.as_str() != "new"));
    let answer = stage.send(request(Some(stage.signed_in("admin")), "POST", "/v1/apply", body)).await;
    assert_eq!(answer.status(), StatusCode::OK, "another login of theirs");
}

#[tokio::test]
async fn whoever_came_in_by_break_glass_repairs_what_broke() {
    let stage = stage_of(PEOPLE).await;
    let (app, now) = (&stage.proxy.app, clock::now());
    let (name, role): (access::words::UserName, access::words::RoleName) = ("eve".parse().expect("name"), "chief".parse().expect("name"));
    let purpose = Purpose::BreakGlass { user: name.clone(), reason: "INC-1".into(), roles: vec![role] };
    let made = app.once.make(purpose, LINK_LIFE, None, now).expect("a link");
    let redeemed = app.once.redeem(BREAK_GLASS, &made.secret, "k", now).expect("redeemed");
    let user = app.sessions.people.sign_in(&redeemed, now).expect("signed in");
    let eve = Subject::User { name, sign_in: user.sign_in(), serial: String::new() };
    let answer = stage.send(request(Some(eve), "POST", "/v1/apply", resource(r#"{"kind":"role","name":"new"}"#))).await;
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn what_others_name_does_not_go_and_the_answer_says_who() {
    let stage = stage_of(PEOPLE).await;
    let admin = stage.signed_in("admin");
    let answer = stage.send(request(Some(admin.clone()), "DELETE", "/v1/resources/role/auditor", "")).await;
    assert_eq!(answer.status(), StatusCode::CONFLICT);
    let answer: serde_json::Value = serde_json::from_str(&text(answer).await).expect("json");
    assert_eq!(
        (answer["code"].as_str(), answer["title"].as_str()),
        (Some("NARU-C036"), Some("the role auditor is named by others, and cannot go"))
    );
    assert_eq!((answer["fields"][0]["name"].as_str(), answer["fields"][0]["pointer"].as_str()), (Some("ann"), Some("/spec/roles/0")));
    let unknown = resource(r#"{"kind":"user","name":"bob","spec":{"roles":["none"]}}"#);
    let answer = text(stage.send(request(Some(admin), "POST", "/v1/apply", unknown)).await).await;
    assert!(answer.contains("NARU-C004") && answer.contains("a role is named that does not exist"), "{answer}");
}

#[tokio::test]
async fn what_is_not_understood_is_told_with_its_place() {
    let stage = stage_of(PEOPLE).await;
    let admin = stage.signed_in("admin");
    for (sent, pointer) in [
        (r#"{"kind":"role","name":"x","spec":{"allow":{"ssh":[{"labels":{"env":["a"]},"loginz":["b"]}]}}}"#, "/spec/allow/ssh/0/loginz"),
        (r#"{"kind":"role","name":"x","spec":{"options":{"idle":7}}}"#, "/spec/options/idle"),
        (r#"{"kind":"user","name":"x","spec":{"roles":["A B"]}}"#, "/spec/roles/0"),
        (r#"{"kind":"user","name":"x","sepc":{}}"#, "/sepc"),
    ] {
        let answer = text(stage.send(request(Some(admin.clone()), "POST", "/v1/apply", resource(sent))).await).await;
        let answer: serde_json::Value = serde_json::from_str(&answer).expect("json");
        assert_eq!((answer["code"].as_str(), answer["fields"][0]["pointer"].as_str()), (Some("NARU-C001"), Some(pointer)), "{answer}");
    }
}
