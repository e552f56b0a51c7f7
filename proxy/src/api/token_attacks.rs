//! Access tokens: what whoever stole, guessed or mixed up one would try, and how each ends with its login.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use axum::body::{Body, to_bytes};
use axum::http::{HeaderValue, Request, StatusCode};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::StreamExt as _;
use serde_json::{Value, json};

use super::refusals::{Stage, bearing, request, stage, stage_of};
use crate::authority::tls::Subject;
use crate::clock;

const PEOPLE: &str = "
kind: role
name: auditor
spec: {allow: {audit: [{events: true}]}}
---
kind: role
name: chief
spec: {allow: {administer: {role: write, user: write, link: write, lock: write}}}
---
kind: user
name: ann
spec: {roles: [auditor]}
---
kind: user
name: admin
spec: {roles: [chief]}
";

/// A key that proves.
struct Prover(Ed25519KeyPair);

static NEXT: AtomicU64 = AtomicU64::new(0);

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Prover {
    fn new() -> Self {
        Self(Ed25519KeyPair::generate().expect("a key"))
    }
    fn header(&self) -> Value {
        json!({"typ": "dpop+jwt", "alg": "EdDSA", "jwk": {"crv": "Ed25519", "kty": "OKP", "x": b64(self.0.public_key())}})
    }
    fn thumbprint(&self) -> String {
        b64(digest::digest(&digest::SHA256, self.header()["jwk"].to_string().as_bytes()))
    }
    fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
        format!("{message}.{}", b64(self.0.sign(message.as_bytes())))
    }
    fn proof(&self, method: &str, url: &str, token: Option<&str>) -> String {
        let id = NEXT.fetch_add(1, Ordering::Relaxed).to_string();
        let mut claims = json!({"jti": id, "htm": method, "htu": url, "iat": clock::now().as_secs()});
        if let Some(token) = token {
            claims["ath"] = b64(digest::digest(&digest::SHA256, token.as_bytes())).into();
        }
        self.sign(&self.header(), &claims)
    }
}

fn with(mut request: Request<Body>, headers: &[(&'static str, &str)]) -> Request<Body> {
    for (name, value) in headers {
        request.headers_mut().append(*name, HeaderValue::from_str(value).expect("a header"));
    }
    request
}

async fn told(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let body = to_bytes(answer.into_body(), 1 << 20).await.expect("a body");
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    (status, body["code"].as_str().unwrap_or_default().to_owned())
}

fn is(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

impl Stage {
    fn url_of(&self, path: &str) -> String {
        format!("{}{path}", self.proxy.app.url)
    }

    async fn status(&self, headers: &[(&'static str, &str)]) -> (u16, String) {
        told(self.send(with(request(None, "GET", "/v1/status", ""), headers)).await).await
    }
}

#[tokio::test]
async fn a_token_is_made_with_a_certificate_and_says_who_one_is() {
    let stage = stage_of(PEOPLE).await;
    let ann = stage.signed_in("ann");
    let before = stage.mark();
    let answer = stage.send(request(Some(ann.clone()), "POST", "/v1/sign-in/token", r#"{"ttl_s":60}"#)).await;
    assert_eq!((answer.status(), &answer.headers()["cache-control"]), (StatusCode::OK, &HeaderValue::from_static("no-store")));
    let made: Value = serde_json::from_slice(&to_bytes(answer.into_body(), 4096).await.expect("a body")).expect("json");
    let token = made["token"].as_str().expect("a token");
    assert_eq!(made["token_type"], "Bearer");
    let expires: access::time::Timestamp = serde_json::from_value(made["expires"].clone()).expect("a time");
    assert!(expires <= clock::now().plus(Duration::from_secs(60)));
    let status = stage.send(bearing(token, "GET", "/v1/status", "")).await;
    let status: Value = serde_json::from_slice(&to_bytes(status.into_body(), 4096).await.expect("a body")).expect("json");
    assert_eq!(status["name"], "ann");
    let events = stage.send(bearing(token, "GET", &format!("/v1/events?after={before}"), "")).await;
    let events = String::from_utf8(to_bytes(events.into_body(), 1 << 20).await.expect("a body").to_vec()).expect("text");
    assert!(events.contains("token.created") && events.contains(made["id"].as_str().expect("an id")) && !events.contains(&token[8..]));
    assert_eq!(told(stage.send(bearing(token, "POST", "/v1/sign-in/token", "{}")).await).await, is(403, "NARU-A135"), "makes no other");
    for ttl in [0, 3601] {
        let body = format!(r#"{{"ttl_s":{ttl}}}"#);
        assert_eq!(told(stage.send(request(Some(ann.clone()), "POST", "/v1/sign-in/token", body)).await).await, is(422, "NARU-A134"));
    }
    // It never outlives the login.
    let brief = super::refusals::CERTIFICATE_LIFE;
    let answer = stage.send(request(Some(ann), "POST", "/v1/sign-in/token", format!(r#"{{"ttl_s":{}}}"#, brief.as_secs()))).await;
    let made: wire::api::AccessToken = serde_json::from_slice(&to_bytes(answer.into_body(), 4096).await.expect("a body")).expect("a token");
    assert!(made.expires < clock::now().plus(brief));
}

#[tokio::test]
async fn a_token_ends_with_its_login_its_lock_its_roles_and_its_person() {
    let stage = stage_of(PEOPLE).await;
    let admin = stage.signed_in("admin");
    let apply = async |resource: &str| {
        let body = format!(r#"{{"resources":[{resource}]}}"#);
        assert_eq!(stage.send(request(Some(admin.clone()), "POST", "/v1/apply", body)).await.status(), StatusCode::OK);
    };
    let events = async |token: &str| told(stage.send(bearing(token, "GET", "/v1/events?limit=1", "")).await).await;
    let with_serial = |serial: &str| match stage.signed_in("ann") {
        Subject::User { name, sign_in, .. } => Subject::User { name, sign_in, serial: serial.to_owned() },
        agent => agent,
    };
    let (first, second, third) = (with_serial("0a0b"), with_serial("0c0d"), with_serial("0e0f"));
    let tokens = [&first, &second, &third].map(|subject| stage.access_token(subject, None));
    assert_eq!(events(&tokens[0]).await.0, 200);
    apply(r#"{"kind":"lock","name":"lost","spec":{"target":{"certificate":"0a0b"},"reason":"lost laptop"}}"#).await;
    assert_eq!((events(&tokens[0]).await.0, events(&tokens[1]).await.0), (403, 200), "a lock on the certificate that made it");
    assert_eq!(told(stage.send(bearing(&tokens[1], "POST", "/v1/sign-out", "{}")).await).await.0, 200);
    assert_eq!(events(&tokens[1]).await, is(401, "NARU-A104"), "signed out, with the token itself");
    apply(r#"{"kind":"user","name":"ann"}"#).await;
    assert_eq!(events(&tokens[2]).await.0, 403, "without the role");
    assert_eq!(stage.send(request(Some(admin.clone()), "DELETE", "/v1/resources/user/ann", "")).await.status(), StatusCode::OK);
    assert_eq!(events(&tokens[2]).await, is(401, "NARU-A104"), "a person who is no more");
}

#[tokio::test]
async fn what_goes_on_ends_with_the_token() {
    let stage = stage_of(PEOPLE).await;
    let ann = stage.signed_in("ann");
    let brief = stage.access_token_until(&ann, None, clock::now().plus(Duration::from_secs(1)));
    let answer = stage.send(bearing(&brief, "GET", "/v1/events?follow=true", "")).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let body = answer.into_body().into_data_stream();
    assert!(body.fold(false, async |_, piece| piece.is_err()).await, "breaks off");
}

#[tokio::test]
async fn a_token_in_a_query_is_not_looked_at() {
    let stage = stage_of(PEOPLE).await;
    let token = stage.access_token(&stage.signed_in("ann"), None);
    let answer = stage.send(request(None, "GET", &format!("/v1/status?access_token={token}"), "")).await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    let said: Vec<_> = answer.headers().get_all("www-authenticate").iter().map(|value| value.to_str().expect("text")).collect();
    assert_eq!(said, ["Bearer", "DPoP algs=\"ES256 EdDSA\""]);
    let answer = stage.send(bearing("x", "GET", "/v1/status", "")).await;
    let said = answer.headers()["www-authenticate"].to_str().expect("text");
    assert_eq!((answer.status(), said), (StatusCode::UNAUTHORIZED, "Bearer error=\"invalid_token\""));
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let preflight = stage.send(with(request(None, "OPTIONS", "/v1/status", ""), &[("origin", "https://evil.example")])).await;
    assert!(preflight.headers().keys().all(|name| !name.as_str().starts_with("access-control")), "no page of another origin reads it");
}

#[tokio::test]
async fn what_contradicts_itself_is_refused() {
    let stage = stage_of(PEOPLE).await;
    let (ann, prover) = (stage.signed_in("ann"), Prover::new());
    let (token, other) = (stage.access_token(&ann, None), stage.access_token(&ann, None));
    let bearer = format!("Bearer {token}");
    let proof = prover.proof("GET", &stage.url_of("/v1/status"), Some(&token));
    let certified = with(request(Some(ann.clone()), "GET", "/v1/status", ""), &[("authorization", &bearer)]);
    assert_eq!(told(stage.send(certified).await).await, is(400, "NARU-A133"), "a certificate and a token");
    let agent = Subject::Agent { id: "demo-1".parse().expect("an id") };
    let certified = with(request(Some(agent), "GET", "/v1/status", ""), &[("authorization", &bearer)]);
    assert_eq!(told(stage.send(certified).await).await, is(400, "NARU-A133"));
    let two = [("authorization", bearer.as_str()), ("authorization", &format!("Bearer {other}"))];
    assert_eq!(stage.status(&two).await, is(400, "NARU-A133"));
    assert_eq!(stage.status(&[("authorization", &bearer), ("dpop", &proof)]).await, is(400, "NARU-A133"));
    assert_eq!(stage.status(&[("dpop", &proof), ("dpop", &proof)]).await, is(400, "NARU-A133"));
    for (header, code) in [
        ("Basic YTpi", "NARU-A131"),
        ("Bearer", "NARU-A131"),
        ("Bearer ", "NARU-A131"),
        (token.as_str(), "NARU-A131"),
        (&format!("Bearer  {token}"), "NARU-A131"),
        (&format!("Bearer {token},{other}"), "NARU-A131"),
        (&format!("Bearer {}", "x".repeat(60_000)), "NARU-A131"),
        (&format!("DPoP {token}"), "NARU-A132"),
    ] {
        assert_eq!(stage.status(&[("authorization", header)]).await, is(401, code), "{header:.80}");
    }
    assert_eq!(stage.status(&[("authorization", &format!("bearer {token}"))]).await.0, 200, "a scheme has no case (RFC 9110 section 11.1)");
    assert_eq!(stage.status(&[("authorization", &format!("DPoP {token}")), ("dpop", &proof)]).await, is(401, "NARU-A131"), "bound to none");
}

#[tokio::test]
async fn a_bound_token_is_good_with_its_key_for_one_request_at_a_time() {
    let stage = stage_of(PEOPLE).await;
    let (ann, prover, thief) = (stage.signed_in("ann"), Prover::new(), Prover::new());
    let asked = prover.proof("POST", &stage.url_of("/v1/sign-in/token"), None);
    let make = || with(request(Some(ann.clone()), "POST", "/v1/sign-in/token", "{}"), &[("dpop", &asked)]);
    let answer = stage.send(make()).await;
    let made: wire::api::AccessToken = serde_json::from_slice(&to_bytes(answer.into_body(), 4096).await.expect("a body")).expect("a token");
    assert_eq!(made.token_type, wire::api::AccessTokenType::Dpop);
    assert_eq!(told(stage.send(make()).await).await, is(401, "NARU-A132"), "the proof that it was asked for with, again");
    let (url, token) = (stage.url_of("/v1/status"), made.token.as_str());
    let header = format!("DPoP {token}");
    let show = async |proof: &str| stage.status(&[("authorization", &header), ("dpop", proof)]).await;
    let good = prover.proof("GET", &url, Some(token));
    assert_eq!(show(&good).await.0, 200);
    assert_eq!(show(&good).await, is(401, "NARU-A132"), "the same proof again");
    assert_eq!(show(&prover.proof("GET", &url, Some(token))).await.0, 200);
    assert_eq!(stage.status(&[("authorization", &format!("Bearer {token}"))]).await, is(401, "NARU-A132"), "stolen, without the key");
    let claims = json!({"jti": "x", "htm": "GET", "htu": url, "iat": clock::now().as_secs(), "ath": b64(digest::digest(&digest::SHA256, token.as_bytes()))});
    let mut old = claims.clone();
    old["iat"] = (clock::now().as_secs() - 30).into();
    let mut private = prover.header();
    private["jwk"]["d"] = b64([1; 32]).into();
    let (mut none, mut hmac) = (prover.header(), prover.header());
    (none["alg"], hmac["alg"]) = ("none".into(), "HS256".into());
    let other_token = stage.access_token(&ann, Some(&prover.thumbprint()));
    for (what, proof) in [
        ("another key", thief.proof("GET", &url, Some(token))),
        ("another method", prover.proof("POST", &url, Some(token))),
        ("another route", prover.proof("GET", &stage.url_of("/v1/nodes"), Some(token))),
        ("another server", prover.proof("GET", "https://evil.example/v1/status", Some(token))),
        ("a query", prover.proof("GET", &format!("{url}?a=b"), Some(token))),
        ("another token", prover.proof("GET", &url, Some(&other_token))),
        ("no token", prover.proof("GET", &url, None)),
        ("before this start", prover.sign(&prover.header(), &old)),
        ("none", prover.sign(&none, &claims)),
        ("HS256", prover.sign(&hmac, &claims)),
        ("a private key", prover.sign(&private, &claims)),
        ("long", "x".repeat(10_000)),
        ("empty", String::new()),
    ] {
        assert_eq!(show(&proof).await, is(401, "NARU-A132"), "{what}");
    }
    let answer = stage.send(with(request(None, "GET", "/v1/status", ""), &[("authorization", &header), ("dpop", &good)])).await;
    assert_eq!(answer.headers()["www-authenticate"], "DPoP error=\"invalid_dpop_proof\", algs=\"ES256 EdDSA\"");
    assert_eq!(show(&prover.sign(&prover.header(), &claims)).await.0, 200, "and what was wrong with the others was only that");
}

#[tokio::test]
async fn guesses_at_tokens_are_told_to_wait_and_fill_no_log() {
    let stage = stage().await;
    let good = stage.access_token(&stage.signed_in("eve"), None);
    let (before, mut last) = (stage.mark(), None);
    for _ in 0..100 {
        last = Some(stage.send(bearing("naru_at_guess", "GET", "/v1/status", "")).await);
    }
    let last = last.expect("an answer");
    assert_eq!((last.status(), last.headers().contains_key("retry-after")), (StatusCode::TOO_MANY_REQUESTS, true));
    assert!(stage.mark() - before < 100);
    assert_eq!(stage.send(bearing(&good, "GET", "/v1/status", "")).await.status(), StatusCode::OK, "a good one works still");
}

#[tokio::test]
async fn a_machine_asks_for_certificates_or_for_a_token_and_for_nothing_in_between() {
    let stage = stage().await;
    let ask = async |more: Value| {
        let mut body = json!({"bot": "ci", "token": "a.b.c"});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        told(stage.send(request(None, "POST", "/v1/sign-in/bot", body.to_string())).await).await
    };
    for more in [
        json!({}),
        json!({"ssh_public_key": "k"}),
        json!({"csr_pem": "c"}),
        json!({"ssh_public_key": "k", "csr_pem": "c", "ttl_s": 60}),
        json!({"want": "access_token", "csr_pem": "c"}),
        json!({"want": "access_token", "ttl_s": 3601}),
    ] {
        assert_eq!(ask(more.clone()).await, is(422, "NARU-A134"), "{more}");
    }
    for more in [json!({"ssh_public_key": "k", "csr_pem": "c"}), json!({"want": "access_token"})] {
        assert_eq!(ask(more.clone()).await, is(401, "NARU-A128"), "{more}: there is no such bot");
    }
}
