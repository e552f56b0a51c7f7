//! Whose request it is where a balancer ends TLS: put in the place of the balancer's address before any handler runs.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use config::proxy::{Balancers, By};
use wire::api::exit;

use super::Peer;
use super::problem::No;

/// The balancers, where the connection of this peer is one whose requests say for whom they are. One that shows a client certificate
/// is none: who ends TLS cannot have it, so the peer passes the bytes of others through, and these could write any header.
pub(super) fn trusted<'a>(balancers: Option<&'a Arc<Balancers>>, peer: &Peer) -> Option<&'a Arc<Balancers>> {
    balancers.filter(|all| all.by == By::XForwardedFor && peer.subject.is_none() && all.are_at(peer.from.ip()))
}

/// Reads the header of each request that the router gets from a trusted peer. Must be wrapped by what says who the peer is.
pub(super) fn read(router: Router, balancers: &Arc<Balancers>) -> Router {
    router.layer(from_fn_with_state(balancers.clone(), whose))
}

async fn whose(State(balancers): State<Arc<Balancers>>, mut request: Request, next: Next) -> Response {
    let lines = request.headers().get_all("x-forwarded-for").iter().map(HeaderValue::as_bytes);
    let client = wire::forwarded::client(lines, |ip| balancers.are_at(ip));
    let peer = request.extensions_mut().get_mut::<Peer>();
    match (client, peer) {
        (Ok(Some(from)), Some(peer)) => became(peer, from),
        (Ok(_), _) => {}
        (Err(error), peer) => {
            tracing::warn!(%error, balancer = ?peer.map(|peer| peer.from), "a request came through a balancer from nobody knows where");
            let no = No::new(StatusCode::BAD_REQUEST, "NARU-W400", exit::USAGE, error.to_string());
            return no.hint("The balancer must append the address that connected to it.").into_response();
        }
    }
    next.run(request).await
}

fn became(peer: &mut Peer, from: SocketAddr) {
    tracing::debug!(%from, balancer = %peer.from, "a request came through a balancer");
    peer.from = from;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::tls::Subject;
    use axum::body::{Body, to_bytes};
    use axum::routing::get;
    use tower::ServiceExt as _;

    fn balancers(by: By) -> Arc<Balancers> {
        Arc::new(Balancers { peers: vec!["10.0.0.0/8".parse().expect("a network")], by })
    }

    fn peer(from: &str) -> Peer {
        Peer::new(from.parse().expect("an address"), None)
    }

    async fn seen(headers: &[&str]) -> (StatusCode, String) {
        let router = Router::new().route("/", get(|axum::Extension(peer): axum::Extension<Peer>| async move { peer.from.to_string() }));
        let router = read(router, &balancers(By::XForwardedFor)).layer(axum::Extension(peer("10.0.0.3:5")));
        let request = headers.iter().fold(Request::builder().uri("/"), |request, value| request.header("X-Forwarded-For", *value));
        let answer = router.oneshot(request.body(Body::empty()).expect("a request")).await.expect("an answer");
        let status = answer.status();
        let body = to_bytes(answer.into_body(), 4096).await.expect("a body");
        (status, String::from_utf8(body.to_vec()).expect("a text"))
    }

    #[tokio::test]
    async fn each_request_has_the_address_that_its_balancer_says() {
        for (headers, from) in [
            (&[][..], "10.0.0.3:5"),
            (&["192.0.2.1"], "192.0.2.1:0"),
            (&["1.1.1.1, 192.0.2.1, 10.0.0.4"], "192.0.2.1:0"),
            (&["1.1.1.1", "[2001:db8::1]:80"], "[2001:db8::1]:80"),
        ] {
            assert_eq!(seen(headers).await, (StatusCode::OK, from.to_owned()), "{headers:?}");
        }
        for headers in [&["unknown"][..], &["192.0.2.1", "x"], &["192.0.2.1, \u{e9}"]] {
            let (status, body) = seen(headers).await;
            assert!(status == StatusCode::BAD_REQUEST && body.contains("NARU-W400"), "{headers:?}: {status} {body}");
        }
    }

    #[test]
    fn nobody_else_is_asked() {
        let (forwarded, announced) = (balancers(By::XForwardedFor), balancers(By::ProxyProtocol));
        assert!(trusted(Some(&forwarded), &peer("10.0.0.3:5")).is_some());
        assert!(trusted(Some(&forwarded), &peer("192.0.2.1:5")).is_none());
        assert!(trusted(Some(&announced), &peer("10.0.0.3:5")).is_none());
        assert!(trusted(None, &peer("10.0.0.3:5")).is_none());
        let shown = Subject::User { name: "alice".parse().expect("a name"), sign_in: 1, serial: String::new() };
        assert!(trusted(Some(&forwarded), &Peer { subject: Some(shown), ..peer("10.0.0.3:5") }).is_none());
    }
}
