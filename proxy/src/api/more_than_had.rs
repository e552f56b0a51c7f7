//! What somebody would try who has some rights and wants more: each gives away, keeps or waits for what they do not have themselves.

use serde_json::{Value, json};

use super::refusals::{Stage, request, stage_of};
use crate::authority::one_time::LOGIN_LINK;
use crate::authority::tls::Subject;
use crate::clock;

async fn ask(stage: &Stage, who: &Subject, method: &str, path: &str, body: Value) -> (u16, Value) {
    let answer = stage.send(request(Some(who.clone()), method, path, body.to_string())).await;
    let status = answer.status().as_u16();
    let bytes = axum::body::to_bytes(answer.into_body(), 1 << 20).await.expect("a body");
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

async fn put(stage: &Stage, who: &Subject, kind: &str, name: &str, spec: Value) -> (u16, String) {
    let path = format!("/v1/resources/{kind}/{name}");
    let (status, said) = ask(stage, who, "PUT", &path, json!({"kind": kind, "name": name, "spec": spec})).await;
    (status, said["code"].as_str().unwrap_or_default().to_owned())
}

fn refused() -> (u16, String) {
    (403, "NARU-P207".to_owned())
}

const PEOPLE: &str = "
kind: role
name: root
spec: {allow: {administer: {'*': write}}}
---
kind: role
name: denied
spec: {allow: {administer: {'*': write}}, deny: {administer: {role: read}}}
---
kind: role
name: inside
spec: {allow: {administer: {'*': write}}, options: {networks: [10.0.0.0/8]}}
---
kind: role
name: helpdesk
spec: {allow: {administer: {user: write, link: write}}}
---
kind: role
name: hears
spec: {allow: {administer: {messenger: write}, audit: [{events: true}]}, deny: {audit: [{events: true, users: [admin]}]}}
---
kind: role
name: dev
spec: {allow: {ssh: [{labels: {env: [dev]}, logins: ['{{logins}}']}], administer: {user: write}}}
---
kind: user
name: admin
spec: {roles: [root]}
---
kind: user
name: eve
spec: {roles: [denied]}
---
kind: user
name: ann
spec: {roles: [inside, helpdesk]}
---
kind: user
name: nora
spec: {roles: [hears]}
---
kind: user
name: kim
spec: {roles: [dev], traits: {logins: [kim], kind: [contractor]}}
---
kind: user
name: bob
";

#[tokio::test]
async fn rights_that_are_denied_or_had_elsewhere_only_are_not_given() {
    let stage = stage_of(PEOPLE).await;
    for name in ["eve", "ann"] {
        let who = stage.signed_in(name);
        assert_eq!(put(&stage, &who, "user", name, json!({"roles": ["root"]})).await, refused(), "{name}");
        let (status, said) = ask(&stage, &who, "POST", "/v1/links", json!({"user": "admin"})).await;
        assert_eq!((status, &said["code"]), (403, &json!("NARU-P207")), "{name}");
    }
    let webhook = json!({"webhook": {"url": "https://hook.example/x", "secret": "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}});
    assert_eq!(put(&stage, &stage.signed_in("nora"), "messenger", "m", webhook).await, refused());
}

#[tokio::test]
async fn traits_are_given_by_who_has_them_and_taken_by_who_administers_roles() {
    let stage = stage_of(PEOPLE).await;
    let kim = stage.signed_in("kim");
    let traits =
        async |name: &str, roles: Value, traits: Value| put(&stage, &kim, "user", name, json!({"roles": roles, "traits": traits})).await;
    let own = json!(["dev"]);
    assert_eq!(traits("kim", own.clone(), json!({"logins": ["root"], "kind": ["contractor"]})).await, refused(), "a login of another");
    assert_eq!(traits("kim", own.clone(), json!({"logins": ["kim"]})).await, refused(), "what a guardrail may ask for");
    assert_eq!(traits("bob", json!([]), json!({"groups": ["system:masters"]})).await, refused());
    assert_eq!(traits("bob", own.clone(), json!({"logins": ["kim"]})).await.0, 200, "one's own");
    let admin = stage.signed_in("admin");
    assert_eq!(put(&stage, &admin, "user", "kim", json!({"roles": ["dev"], "traits": {"logins": ["root"]}})).await.0, 200);
}

#[tokio::test]
async fn a_link_is_for_what_it_was_allowed_for() {
    let stage = stage_of(PEOPLE).await;
    let (ann, admin) = (stage.signed_in("ann"), stage.signed_in("admin"));
    let made = async || {
        let (_, said) = ask(&stage, &ann, "POST", "/v1/links", json!({"user": "bob"})).await;
        said["link"]
            .as_str()
            .and_then(|link| link.split_once('#'))
            .and_then(|(_, rest)| rest.split('.').next())
            .expect("a secret")
            .to_owned()
    };
    let (first, second, third, last) = (made().await, made().await, made().await, made().await);
    let app = &stage.proxy.app;
    let works = |secret: &str| {
        let redeemed = app.once.redeem(LOGIN_LINK, secret, secret, clock::now()).expect("there");
        app.sessions.people.sign_in(&redeemed, clock::now()).is_ok()
    };
    assert!(works(&first));
    assert_eq!(put(&stage, &admin, "user", "bob", json!({"roles": ["root"]})).await.0, 200);
    assert!(!works(&second), "somebody who may more by now");
    assert_eq!(ask(&stage, &admin, "DELETE", "/v1/resources/user/bob", Value::Null).await.0, 200);
    assert_eq!(put(&stage, &admin, "user", "bob", json!({})).await.0, 200);
    assert!(!works(&third), "another of the same name");
    let fresh = made().await;
    assert_eq!(put(&stage, &admin, "lock", "l", json!({"target": {"user": "ann"}, "reason": "stolen"})).await.0, 200);
    assert!(!works(&fresh) && !works(&last), "by somebody who is locked");
}

const REVIEW: &str = "
kind: role
name: root
spec: {allow: {administer: {'*': write}}}
---
kind: role
name: asker
spec: {may_request: [prod]}
---
kind: role
name: reviewer
spec: {allow: {review: {roles: [prod]}}}
---
kind: role
name: prod
---
kind: access_rule
name: prod
spec: {roles: [prod], approvals: {required: 2}}
---
kind: user
name: admin
spec: {roles: [root]}
---
kind: user
name: eve
spec: {roles: [asker]}
---
kind: user
name: rob
spec: {roles: [reviewer]}
---
kind: user
name: roy
spec: {roles: [reviewer]}
";

#[tokio::test]
async fn a_yes_counts_while_it_could_be_said_and_by_the_rule_in_force() {
    let stage = stage_of(REVIEW).await;
    let [admin, eve, rob, roy] = ["admin", "eve", "rob", "roy"].map(|name| stage.signed_in(name));
    let asked =
        async || ask(&stage, &eve, "POST", "/v1/requests", json!({"role": "prod"})).await.1["id"].as_str().expect("an id").to_owned();
    let yes = async |who: &Subject, id: &str| ask(&stage, who, "POST", &format!("/v1/requests/{id}/approve"), json!({})).await.1;
    let rule = |required: u32| json!({"roles": ["prod"], "approvals": {"required": required}});

    let whole = asked().await;
    assert_eq!(yes(&rob, &whole).await["state"], "pending");
    assert_eq!(yes(&roy, &whole).await["state"], "approved");

    let (first, second) = (asked().await, asked().await);
    assert_eq!(ask(&stage, &admin, "DELETE", "/v1/resources/access_rule/prod", Value::Null).await.0, 200);
    assert_eq!(yes(&rob, &first).await["code"], "NARU-P221", "no rule says whose yes is enough");
    assert_eq!(put(&stage, &admin, "access_rule", "strict", rule(3)).await.0, 200);
    assert_eq!(yes(&rob, &first).await["state"], "pending");
    assert_eq!(yes(&roy, &first).await["state"], "pending", "three are wanted now");
    assert_eq!(put(&stage, &admin, "access_rule", "strict", rule(2)).await.0, 200);

    assert_eq!(yes(&rob, &second).await["state"], "pending");
    assert_eq!(put(&stage, &admin, "lock", "l", json!({"target": {"user": "rob"}, "reason": "stolen"})).await.0, 200);
    assert_eq!(yes(&roy, &second).await["state"], "pending", "whoever is locked has not said yes");
    assert_eq!(ask(&stage, &admin, "DELETE", "/v1/resources/lock/l", Value::Null).await.0, 200);
    assert_eq!(put(&stage, &admin, "user", "eve", json!({})).await.0, 200);
    assert_eq!(yes(&roy, &second).await["code"], "NARU-P220", "whoever may not ask any more is given nothing");
}
