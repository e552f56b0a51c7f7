//! The one door that a request passes before its handler: nothing new is admitted with rules of which nobody knows whether they still hold.

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::App;
use super::problem::No;

/// What admits nobody: pages and keys that everybody may see, and what only takes access away.
const ALWAYS: [&str; 8] = [
    "/",
    "/sign-in",
    "/v1/ca",
    "/v1/openapi.json",
    "/v1/sign-out",
    "/v1/sessions/{id}/kill",
    "/v1/oidc/{connector}/backchannel-logout",
    "/v1/oidc/{connector}/jwks.json",
];

/// Lets a request through while the rules are current.
pub(super) async fn admitted(State(app): State<App>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str).unwrap_or_default();
    if ALWAYS.contains(&path) {
        return next.run(request).await;
    }
    match app.sessions.freshness.proof() {
        Ok(_fresh) => next.run(request).await,
        Err(stale) => No::from(stale).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use access::event::{Client, SessionKind};

    use super::super::refusals::{request, stage};
    use crate::authority::tls::Subject;
    use crate::freshness::ADMITS_FOR;
    use crate::session::open::{Asker, Wanted};

    #[tokio::test]
    async fn with_an_old_view_nobody_signs_in_or_asks_and_whoever_is_there_may_be_ended() {
        let stage = stage().await;
        let eve = stage.signed_in("eve");
        let ask = async |method: &str, path: &str, body: &str| {
            let answer = stage.send(request(Some(eve.clone()), method, path, body.to_owned())).await;
            let status = answer.status().as_u16();
            let body = axum::body::to_bytes(answer.into_body(), 64 * 1024).await.expect("a body");
            (status, String::from_utf8_lossy(&body).contains("NARU-P210"))
        };
        assert_eq!(ask("GET", "/v1/status", "").await, (200, false));
        stage.proxy.app.sessions.freshness.grow_older(ADMITS_FOR + Duration::from_secs(1));
        for (method, path, body) in [
            ("GET", "/v1/status", ""),
            ("GET", "/v1/nodes", ""),
            ("GET", "/v1/ssh", ""),
            ("POST", "/v1/can", r#"{"node":"demo","login":"root"}"#),
            ("POST", "/v1/apply", r#"{"resources":[]}"#),
            ("POST", "/v1/sign-in/link", "{}"),
            ("POST", "/v1/sign-in/begin", "{}"),
            ("POST", "/v1/sign-in/finish", "{}"),
            ("POST", "/v1/sign-in/bot", "{}"),
            ("POST", "/v1/join", "{}"),
            ("POST", "/v1/agent/renew", "{}"),
        ] {
            assert_eq!(ask(method, path, body).await, (503, true), "{method} {path}");
        }
        // The door behind every front.
        let Subject::User { name, sign_in, .. } = &eve else { panic!("a person") };
        let sessions = &stage.proxy.app.sessions;
        let identity = sessions.people.identity(name, *sign_in, crate::clock::now()).expect("signed in");
        let client = Client { ip: std::net::Ipv4Addr::LOCALHOST.into(), port: 1, user_agent: None, run: None };
        let asker = Asker { identity, sign_in: *sign_in, client, connection: "c".into() };
        let (node, login) = ("demo".parse().expect("name"), "root".parse().expect("login"));
        let wanted = Wanted { node, login, kind: SessionKind::Exec, command: None, terminal: None, env: Vec::new(), reason: None };
        assert_eq!(sessions.open(asker, wanted).await.err().map(|no| no.code).as_deref(), Some("NARU-P210"));
        assert_eq!(ask("GET", "/v1/ca", "").await, (200, false));
        let kill = "/v1/sessions/01933b6c-8b3e-7000-8000-000000000001/kill";
        assert_eq!(ask("POST", kill, r#"{"reason":"x"}"#).await, (403, false), "decided as ever");
        assert_eq!(ask("POST", "/v1/sign-out", "{}").await, (200, false));
    }
}
