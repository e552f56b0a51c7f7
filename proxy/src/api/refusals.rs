//! Every route, asked by those who may not: the table must name each route of the router, or the first test fails.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use tower::ServiceExt as _;

use super::{HttpFront, Peer};
use access::time::Timestamp;

use crate::authority::access_tokens::Whose;
use crate::authority::people::VerifiedUser;
use crate::authority::tls::Subject;
use crate::build::{Proxy, Settings};

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Who {
    Nobody,
    Agent,
    SignedOut,
    Engineer,
}

/// Method, path, body, and what an engineer without any right gets. Nobody, agents and ended sign-ins get 401 or 403 wherever it is not `open`.
pub(super) const ROUTES: &[(&str, &str, &str, u16)] = &[
    ("GET", "/v1/status", "", 200),
    ("POST", "/v1/sign-out", "{}", 200),
    ("POST", "/v1/sign-in/token", "{}", 200),
    ("GET", "/v1/nodes", "", 200),
    ("GET", "/v1/nodes?all=true", "", 403),
    ("GET", "/v1/nodes/{name}", "", 403),
    ("DELETE", "/v1/nodes/{name}", "", 403),
    ("POST", "/v1/can", r#"{"ssh":{"node":"demo","login":"root"}}"#, 200),
    ("POST", "/v1/can", r#"{"ssh":{"node":"demo","login":"root"},"as_user":"admin"}"#, 403),
    ("POST", "/v1/can", r#"{"ssh":{"node":"demo","login":"root"},"at":"2026-11-20T10:00:00Z"}"#, 403),
    // Oneself may be asked about.
    ("GET", "/v1/access", "", 200),
    ("GET", "/v1/access?user=admin", "", 403),
    ("GET", "/v1/access?target=node/demo", "", 403),
    ("POST", "/v1/access/diff", r#"{"changes":[{"kind":"role","name":"nothing"}]}"#, 403),
    // One's own, of which there are none; asking takes a role that may ask.
    ("GET", "/v1/requests", "", 200),
    ("POST", "/v1/requests", r#"{"role":"nothing"}"#, 403),
    // One that is not one's own looks like one that is not there.
    ("GET", "/v1/requests/{id}", "", 404),
    ("POST", "/v1/requests/{id}/{word}", "{}", 404),
    ("GET", "/v1/sessions", "", 200),
    ("GET", "/v1/sessions?watch=true", "", 200),
    ("GET", "/v1/requests?watch=true", "", 200),
    ("GET", "/v1/resources/{kind}?watch=true", "", 403),
    ("GET", "/v1/sessions/{id}", "", 404),
    ("POST", "/v1/sessions/{id}/kill", r#"{"reason":"x"}"#, 403),
    ("POST", "/v1/sessions/{id}/extend", r#"{"by":"1m"}"#, 404),
    ("GET", "/v1/sessions/{id}/cast", "", 403),
    ("GET", "/v1/sessions/{id}/verify", "", 403),
    ("GET", "/v1/events", "", 403),
    ("POST", "/v1/apply", r#"{"resources":[{"kind":"role","name":"x"}]}"#, 403),
    ("POST", "/v1/apply", r#"{"resources":[{"kind":"user","name":"x"}]}"#, 403),
    ("GET", "/v1/resources/{kind}", "", 403),
    ("GET", "/v1/resources/{kind}/{name}", "", 403),
    ("PUT", "/v1/resources/{kind}/{name}", r#"{"kind":"role","name":"nothing"}"#, 403),
    ("DELETE", "/v1/resources/{kind}/{name}", "", 403),
    ("GET", "/v1/tokens", "", 403),
    ("DELETE", "/v1/tokens/{id}", "", 403),
    ("GET", "/v1/links", "", 403),
    ("DELETE", "/v1/links/{id}", "", 403),
    ("POST", "/v1/tokens", r#"{"kind":"node","node":"x","ttl_s":60}"#, 403),
    ("POST", "/v1/links", r#"{"user":"admin"}"#, 403),
    // An upgrade that is none: refused before it is looked at, unless one is signed in.
    ("GET", "/v1/ssh", "", 400),
    ("POST", "/v1/connectors/{name}/check", "", 403),
    ("POST", "/v1/apply", r#"{"resources":[{"kind":"oidc_connector","name":"x"}]}"#, 403),
    ("POST", "/v1/apply", r#"{"resources":[{"kind":"bot","name":"x"}]}"#, 403),
    // Only agents renew.
    ("POST", "/v1/agent/renew", r#"{"csr_pem":"x"}"#, 401),
];

/// What only a certificate opens, and what somebody with an access token gets: the rest is the same for both.
pub(super) const CERTIFIED: &[(&str, u16)] = &[("/v1/sign-in/token", 403), ("/v1/ssh", 403), ("/v1/agent/renew", 401)];

/// For everybody: what is public, and what a secret in the body opens.
pub(super) const OPEN: &[&str] = &[
    "/",
    "/sign-in",
    "/v1/ca",
    "/v1/openapi.json",
    "/v1/sign-in/link",
    "/v1/join",
    // What a sign-in by a provider is made of: an attempt's id, its verifier, the browser's cookie, the provider's own signature.
    "/v1/connectors",
    "/v1/sign-in/begin",
    "/v1/sign-in/finish",
    "/v1/sign-in/bot",
    "/sign-in/{id}",
    "/sign-in/{id}/{word}",
    "/v1/oidc/{connector}/callback",
    "/v1/oidc/{connector}/backchannel-logout",
    "/v1/oidc/{connector}/jwks.json",
];

/// Of the stage's sign-ins; other than what is the default.
pub(super) const CERTIFICATE_LIFE: Duration = Duration::from_secs(3600);
/// Of its links.
pub(super) const LINK_LIFE: Duration = Duration::from_secs(60);

pub(super) struct Stage {
    pub(super) front: HttpFront,
    pub(super) proxy: Proxy,
    _dir: tempfile::TempDir,
}

pub(super) async fn stage() -> Stage {
    let people = "kind: role\nname: nothing\n---\nkind: user\nname: eve\nspec: {roles: [nothing]}\n---\nkind: user\nname: admin\n";
    stage_of(people).await
}

/// A proxy with these resources.
pub(super) async fn stage_of(people: &str) -> Stage {
    let dir = tempfile::tempdir().expect("a folder");
    let settings = Settings { certificate_life: CERTIFICATE_LIFE, link_life: LINK_LIFE, ..Settings::of_test(&dir.path().join("state")) };
    let proxy = Proxy::build(settings).await.expect("a proxy");
    let resources = config::policy::resources("people.yaml", people, None).expect("sound");
    proxy.seed(resources).await.expect("seeded");
    Stage { front: HttpFront::new(proxy.app.clone(), None), proxy, _dir: dir }
}

/// A request as a connection of this subject would bring it.
pub(super) fn request(subject: Option<Subject>, method: &str, path: &str, body: impl Into<Body>) -> Request<Body> {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    let mut request = request.body(body.into()).expect("a request");
    request.extensions_mut().insert(Peer::new((std::net::Ipv4Addr::LOCALHOST, 1).into(), subject));
    request
}

impl Stage {
    /// An access token of this login, for ten minutes, bound to the key of this thumbprint where there is one.
    pub(super) fn access_token(&self, subject: &Subject, key: Option<&str>) -> String {
        let expires = crate::clock::now().plus(Duration::from_secs(600));
        self.access_token_until(subject, key, expires)
    }

    pub(super) fn access_token_until(&self, subject: &Subject, key: Option<&str>, expires: Timestamp) -> String {
        let Subject::User { name, sign_in, serial } = subject.clone() else { panic!("a person") };
        let whose = Whose { name, sign_in, serial: Some(serial) };
        self.proxy.app.bearer.tokens.make(&whose, expires, key, Timestamp::from_secs(1)).expect("a token").token
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Response {
        self.front.0.clone().oneshot(request).await.expect("an answer")
    }

    /// The number of an event that is written now.
    pub(super) fn mark(&self) -> u64 {
        let what = access::event::What::Logout {};
        let event = access::event::Event::new(crate::clock::now(), access::event::Actor::system(), what);
        self.proxy.app.sessions.log.append(&event).expect("written").seq()
    }

    /// The certificate of somebody who signs in now.
    pub(super) fn signed_in(&self, name: &str) -> Subject {
        let name: access::words::UserName = name.parse().expect("name");
        let user = self.proxy.app.sessions.people.sign_in_for_test(&name, crate::clock::now());
        Subject::User { name, sign_in: user.sign_in(), serial: String::new() }
    }

    fn sign_in(&self) -> VerifiedUser {
        let name = "eve".parse().expect("name");
        self.proxy.app.sessions.people.sign_in_for_test(&name, crate::clock::now())
    }

    async fn ask(&self, who: Who, method: &str, path: &str, body: &str) -> StatusCode {
        let eve = self.sign_in();
        let user = Subject::User { name: "eve".parse().expect("name"), sign_in: eve.sign_in(), serial: String::new() };
        let subject = match who {
            Who::Nobody => None,
            Who::Agent => Some(Subject::Agent { id: "demo-1".parse().expect("id") }),
            Who::Engineer => Some(user),
            Who::SignedOut => {
                self.proxy.app.sessions.people.sign_out(eve.sign_in(), "a test").expect("signed out");
                Some(user)
            }
        };
        let path = path.replace("{id}", "01933b6c-8b3e-7000-8000-000000000001").replace("{kind}", "role").replace("{name}", "nothing");
        self.send(request(subject, method, &path, body.to_owned())).await.status()
    }
}

#[test]
fn the_table_names_every_route() {
    let table = super::routes::table();
    assert!(table.routes.len() > 40, "the routes were found");
    for route in &table.routes {
        let named = ROUTES.iter().any(|(method, path, _, _)| *path == route.path && *method == route.method.as_str());
        assert!(named || OPEN.contains(&route.path), "{} {} has no test of refusal", route.method, route.path);
    }
    assert!(table.pages.iter().all(|page| OPEN.contains(page)), "{:?}", table.pages);
}

/// The same request from whoever shows this token.
pub(super) fn bearing(token: &str, method: &str, path: &str, body: impl Into<Body>) -> Request<Body> {
    let mut request = request(None, method, path, body);
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().expect("a header"));
    request
}

#[tokio::test]
async fn an_access_token_opens_what_the_certificate_does_and_a_bad_one_nothing() {
    let (stage, other) = (stage().await, stage().await);
    for (method, path, body, engineer) in ROUTES {
        let path_of = path.replace("{id}", "01933b6c-8b3e-7000-8000-000000000001").replace("{kind}", "role").replace("{name}", "nothing");
        let ask = async |token: &str| stage.send(bearing(token, method, &path_of, body.to_owned())).await.status().as_u16();
        let eve = stage.signed_in("eve");
        let wanted = CERTIFIED.iter().find(|(only, _)| only == path).map_or(*engineer, |(_, status)| *status);
        assert_eq!(ask(&stage.access_token(&eve, None)).await, wanted, "{method} {path}");
        let ended = stage.signed_in("eve");
        let of_ended = stage.access_token(&ended, None);
        let Subject::User { sign_in, .. } = ended else { panic!("a person") };
        stage.proxy.app.sessions.people.sign_out(sign_in, "a test").expect("signed out");
        let old = stage.access_token_until(&stage.signed_in("eve"), None, crate::clock::now());
        let foreign = other.access_token(&other.signed_in("eve"), None);
        for (what, bad) in [("ended", of_ended.as_str()), ("expired", &old), ("foreign", &foreign), ("cut", &foreign[..50]), ("no", "x")] {
            let status = ask(bad).await;
            assert!(status == 401 || (status == 429 && what != "ended" && what != "expired"), "{what} {method} {path}: {status}");
        }
    }
}

/// What the document says of tokens is what the test above asks.
#[test]
fn only_what_takes_certificates_alone_is_told_so() {
    let document: serde_json::Value = serde_json::from_str(include_str!("../../../docs/openapi.json")).expect("json");
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let alone = operation["security"] == serde_json::json!([{ "certificate": [] }]);
            assert_eq!(alone, CERTIFIED.iter().any(|(only, _)| only == path), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn no_route_opens_without_its_right() {
    let stage = stage().await;
    for (method, path, body, engineer) in ROUTES {
        for who in [Who::Nobody, Who::Agent, Who::SignedOut] {
            let status = stage.ask(who, method, path, body).await.as_u16();
            let renews = *path == "/v1/agent/renew" && who == Who::Agent;
            assert!(matches!(status, 401 | 403) || renews, "{who:?} {method} {path}: {status}");
        }
        let status = stage.ask(Who::Engineer, method, path, body).await.as_u16();
        assert_eq!(status, *engineer, "an engineer: {method} {path}");
    }
}
