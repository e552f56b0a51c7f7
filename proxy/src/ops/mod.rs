//! Operating a proxy: `/metrics`, `/healthz` and `/readyz` on a port of their own, never on the public one. Served by a thread of its own,
//! so that they answer while the proxy itself stands still. Nothing can be changed by this way, and nobody signs in on it.

mod follow;
mod gauges;
mod health;
pub(crate) mod labels;
mod meters;
#[cfg(test)]
mod tests;
mod watched;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use store::kv::Kv;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use self::health::Parts;
pub(crate) use self::meters::Meters;
use self::watched::{Pulse, Surveyed, Watched};
use crate::clock;
use crate::notify::Lag;
use crate::session::open::Sessions;

/// Connections at once: a scraper or two, and somebody with curl.
const MOST: usize = 16;
/// Longest life of one.
const LIFETIME: Duration = Duration::from_secs(120);
/// From a request's first byte to the end of its head, and between two requests.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// Most bytes of a head.
const HEAD: usize = 16 * 1024;
/// How often the parts are looked at when nobody asks, so that `since` is right.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The port, taken and not yet served.
#[derive(Debug)]
pub(crate) struct Operations(std::net::TcpListener);

impl Operations {
    /// Takes the port.
    ///
    /// # Errors
    /// It cannot be had.
    pub(crate) fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(Self(listener))
    }

    /// Where it is.
    ///
    /// # Errors
    /// The system does not say.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Begins to serve, and to count from here on.
    ///
    /// # Errors
    /// There is no thread for it.
    pub(crate) fn start(self, watched: Watched) -> io::Result<Serving> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let stopping = CancellationToken::new();
        let ends = stopping.clone();
        let next = *watched.log.last().borrow() + 1;
        std::thread::Builder::new().name("operations".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = ends.cancelled() => {}
                    () = serve(self.0, Arc::new(watched), next) => {}
                }
            });
            // A look at a store that hangs is not waited for.
            runtime.shutdown_background();
        })?;
        Ok(Serving { _stop: stopping.drop_guard() })
    }
}

/// Serves until dropped.
#[derive(Debug)]
pub(crate) struct Serving {
    _stop: tokio_util::sync::DropGuard,
}

/// A proxy that is looked at while it runs.
#[derive(Debug)]
pub(crate) struct Operating {
    pulse: Pulse,
    beating: tokio::task::JoinHandle<std::convert::Infallible>,
    _serving: Option<Serving>,
}

impl Operating {
    /// The proxy serves from now on. Without a port nobody is told.
    pub(crate) fn begin(
        operations: Option<Operations>,
        sessions: &Sessions,
        store: Arc<dyn Kv>,
        lags: Vec<Lag>,
        state: &std::path::Path,
    ) -> Self {
        let pulse = Pulse::new();
        pulse.serves(true);
        let beating = tokio::spawn(pulse.clone().beat());
        let watched = watched(sessions, store, lags, state, pulse.clone());
        let serving = operations.map(|operations| operations.start(watched)).transpose();
        let serving = serving.unwrap_or_else(|error| {
            tracing::error!(%error, "metrics and health are not served");
            None
        });
        Self { pulse, beating, _serving: serving }
    }

    /// It takes nothing new any more.
    pub(crate) fn drains(&self) {
        self.pulse.serves(false);
    }
}

impl Drop for Operating {
    fn drop(&mut self) {
        self.beating.abort();
    }
}

/// Handles of everything that is looked at.
fn watched(sessions: &Sessions, store: Arc<dyn Kv>, lags: Vec<Lag>, state: &std::path::Path, pulse: Pulse) -> Watched {
    Watched {
        meters: sessions.meters.clone(),
        table: sessions.table.clone(),
        agents: sessions.nodes.agents.clone(),
        log: sessions.log.clone(),
        recordings: sessions.recordings.clone(),
        freshness: sessions.freshness.clone(),
        store,
        lags,
        pulse,
        state: state.to_owned(),
        started: clock::now(),
        surveyed: Surveyed::default(),
    }
}

/// What handlers share.
struct Asked {
    watched: Arc<Watched>,
    parts: Parts,
}

async fn serve(listener: std::net::TcpListener, watched: Arc<Watched>, next: u64) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "metrics and health cannot be served"),
    };
    let asked = Arc::new(Asked { watched: watched.clone(), parts: Parts::default() });
    let looking = async {
        loop {
            let _ready = asked.parts.look(&watched);
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::select! {
        () = accept(listener, router(asked.clone())) => {}
        never = watched.survey() => match never {},
        never = follow::follow(watched.log.clone(), watched.meters.clone(), next) => match never {},
        () = looking => {}
    }
}

async fn accept(listener: tokio::net::TcpListener, router: Router) {
    let places = Arc::new(Semaphore::new(MOST));
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        // One too many is closed at once; a scraper comes back.
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let service = TowerToHyperService::new(router.clone());
        let mut server = http1::Builder::new();
        server.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(HEAD);
        let served = tokio::time::timeout(LIFETIME, server.serve_connection(TokioIo::new(socket), service).into_future());
        tokio::spawn(async move {
            let _ended = served.await;
            drop(place);
        });
    }
}

fn router(asked: Arc<Asked>) -> Router {
    let no_route = async || (StatusCode::NOT_FOUND, "/metrics, /healthz and /readyz are here\n");
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .fallback(no_route)
        .with_state(asked)
}

async fn metrics(State(asked): State<Arc<Asked>>) -> Response {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match gauges::text(&asked.watched) {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn healthz(State(asked): State<Arc<Asked>>) -> Response {
    let lives = health::lives(&asked.watched);
    let body = axum::Json(serde_json::json!({ "ok": lives.is_ok(), "reason": lives.as_ref().err() }));
    (status(lives.is_ok()), [(header::CACHE_CONTROL, "no-store")], body).into_response()
}

async fn readyz(State(asked): State<Arc<Asked>>) -> Response {
    let ready = asked.parts.look(&asked.watched);
    (status(ready.ready), [(header::CACHE_CONTROL, "no-store")], axum::Json(ready)).into_response()
}

fn status(good: bool) -> StatusCode {
    if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}
