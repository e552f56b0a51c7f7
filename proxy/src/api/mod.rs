//! The HTTP API: routes, who asks, and how a no looks. One file per subject; a handler parses, holds its right as a value, makes one
//! call, answers. INVARIANT: the right that a route demands is a type in its handler's arguments.

mod access;
#[cfg(test)]
mod attacks;
pub(crate) mod bearer;
mod change;
mod connectors;
mod events;
mod forget;
mod forwarded;
mod fresh;
mod guarded;
mod joins;
mod lasting;
mod links;
#[cfg(test)]
mod more_than_had;
mod native;
mod nodes;
mod offer;
mod oidc;
mod openapi;
mod page;
mod pages;
mod person;
mod privilege;
mod problem;
mod proofs;
#[cfg(test)]
mod refusals;
pub(crate) mod repeat;
mod requests;
mod resources;
mod routes;
#[cfg(test)]
mod scale;
mod secrets;
mod sessions;
mod sign_in;
mod sse;
mod stay;
#[cfg(test)]
mod token_attacks;
mod tokens;
#[cfg(test)]
mod watched;
mod watchers;
mod watching;
mod watching_sessions;
mod whole;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use config::proxy::Balancers;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use store::kv::Kv;
use tokio_rustls::server::TlsStream;

use crate::authority::access_tokens::Place;
use crate::authority::ask::Keys;
use crate::authority::one_time::OneTime;
use crate::authority::tls::Subject;
use crate::listen::{Incoming, Ticket};
use crate::oidc::Oidc;
use crate::session::open::Sessions;
use stay::Stay;

/// Most bytes of a request's body.
const MAX_BODY: usize = 2 * 1024 * 1024;
/// From a request's first byte to the end of its head.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest life of a connection without a client certificate: enough to sign in or join.
const STRANGER_LIFETIME: Duration = Duration::from_secs(60);

/// Requests at once on one connection.
const STREAMS: u32 = 64;
/// The same without a client certificate: signing in and joining take one each.
const STRANGER_STREAMS: u32 = 8;
/// Most bytes of a body that somebody without a client certificate sends.
const STRANGER_BODY: usize = 32 * 1024;

/// The same where a machine sends its token, which some providers fill with much.
const BOT_BODY: usize = 96 * 1024;

/// What handlers need, by name.
pub(crate) struct Parts {
    pub(crate) sessions: Sessions,
    pub(crate) keys: Keys,
    pub(crate) once: OneTime,
    pub(crate) oidc: Oidc,
    pub(crate) bearer: bearer::Bearer,
    pub(crate) store: Arc<dyn Kv>,
    /// `https://HOST:PORT` as people reach it.
    pub(crate) url: String,
    /// Host and port for SSH.
    pub(crate) ssh: String,
    /// The host in `url`.
    pub(crate) server_name: String,
    /// All names of the proxy's certificate.
    pub(crate) names: Vec<String>,
    /// How long a sign-in link can be used.
    pub(crate) link_life: Duration,
    /// Writes of resources, one after the other: faults are checked against what the write will stand beside.
    pub(crate) writing: tokio::sync::Mutex<()>,
    /// What looks at everybody and every target at once takes its turn: a processor's work for up to a second each.
    pub(crate) looking: tokio::sync::Semaphore,
    /// Those who watch something.
    pub(crate) watchers: watchers::Watchers,
    /// Requests with a key.
    pub(crate) repeats: repeat::Repeats,
}

/// Shared by all handlers.
pub(crate) type App = Arc<Parts>;

/// Who is on the other end of a connection: in each request's extensions.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) from: SocketAddr,
    /// Of a client certificate or of an access token.
    pub(crate) subject: Option<Subject>,
    /// The access token that says so, where one does.
    pub(crate) token: Option<Place>,
    /// Where the connection would not stay for long by itself.
    stay: Option<Stay>,
}

impl Peer {
    /// Somebody at the other end, with what their certificate says.
    pub(crate) fn new(from: SocketAddr, subject: Option<Subject>) -> Self {
        Self { from, subject, token: None, stay: None }
    }
}

/// The pin of our CA.
pub(crate) fn pin_of(app: &App) -> Result<wire::link::Pin, String> {
    let der = crate::authority::tls::ca_der(&app.keys.public().ca_pem).map_err(|error| error.to_string())?;
    Ok(wire::link::Pin::of_der(&der))
}

/// The HTTP front.
#[derive(Clone)]
pub(crate) struct HttpFront(Router, Option<Arc<Balancers>>);

impl HttpFront {
    pub(crate) fn new(app: App, balancers: Option<Arc<Balancers>>) -> Self {
        let router = routes::table()
            .router
            .fallback(problem::no_route)
            .layer(axum::middleware::from_fn_with_state(app.clone(), repeat::answered))
            .layer(axum::middleware::from_fn_with_state(app.clone(), bearer::known))
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .layer(axum::middleware::from_fn_with_state(app.clone(), fresh::admitted))
            .with_state(app);
        Self(router, balancers)
    }

    /// Serves one connection to its end. Its place among those before sign-in is kept for as long as nobody has signed in or shown an access token.
    pub(crate) async fn serve(&self, stream: TlsStream<Incoming>, subject: Option<Subject>, from: SocketAddr, ticket: Option<Ticket>) {
        let mut peer = Peer::new(from, subject);
        let balancers = forwarded::trusted(self.1.as_ref(), &peer);
        // A balancer keeps its connections for whoever comes next.
        let stranger = ticket.is_some() && balancers.is_none();
        let router = balancers.map_or_else(|| self.0.clone(), |balancers| forwarded::read(self.0.clone(), balancers));
        let stay = Stay::new();
        peer.stay = stranger.then(|| stay.clone());
        let router = router.layer(axum::Extension(peer));
        let mut server = Builder::new(TokioExecutor::new());
        server.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(64 * 1024);
        server
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(if stranger { STRANGER_STREAMS } else { STREAMS })
            .max_header_list_size(16 * 1024)
            .max_pending_accept_reset_streams(Some(16))
            .keep_alive_interval(Some(Duration::from_secs(30)))
            .keep_alive_timeout(Duration::from_secs(20));
        let served = server.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(router));
        let lifetime = async move {
            if stranger {
                stay.over(STRANGER_LIFETIME, ticket).await;
            } else {
                let _ticket = ticket;
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            ended = served => if let Err(error) = ended {
                tracing::debug!(%from, %error, "an HTTPS connection ended");
            },
            () = lifetime => tracing::debug!(%from, "a connection without a certificate was open for too long"),
        }
    }
}
