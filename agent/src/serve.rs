//! What an agent does for a proxy on one tunnel: hello, heartbeat, sessions. A session request counts only with a grant, and the
//! local limits come on top: nothing that a proxy says widens them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use wire::frames;
use wire::grant::{Gate, GrantError, GrantKeys, VerifiedGrant, verify_keys};
use wire::tunnel::{self, Hello, HelloBack, How, Purpose, Refusal, SessionRequest};

use crate::Agent;
use crate::identity::Identity;
use crate::local::Admitted;
use crate::relay;

type Reply = Response<Full<Bytes>>;

/// State of one tunnel.
pub(crate) struct Tunnel {
    agent: Arc<Agent>,
    purpose: Purpose,
    proxy: String,
    epoch: String,
    gate: Mutex<Option<Gate>>,
    began: Instant,
    /// Milliseconds from `began` to the last heartbeat.
    beat: AtomicU64,
}

impl Tunnel {
    /// For a connection to the proxy with this certificate.
    pub(crate) fn new(agent: Arc<Agent>, purpose: Purpose, proxy: String) -> Self {
        let epoch = crate::random_hex();
        let began = Instant::now();
        Self { agent, purpose, proxy, epoch, gate: Mutex::new(None), began, beat: AtomicU64::new(0) }
    }

    /// Whether the proxy has missed its heartbeats.
    pub(crate) fn is_silent(&self) -> bool {
        let last = Duration::from_millis(self.beat.load(Ordering::Relaxed));
        self.began.elapsed().saturating_sub(last) > Duration::from_secs(tunnel::BEAT_LOST_S)
    }

    /// Whether the proxy has said hello.
    pub(crate) fn is_greeted(&self) -> bool {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Answers one request. Every refusal says why.
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Reply {
        self.beat.store(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        let answer = match (request.method(), request.uri().path()) {
            (&Method::GET, tunnel::BEAT) => Ok(Response::new(Full::default())),
            (&Method::POST, tunnel::HELLO) => self.hello(request).await,
            (&Method::POST, tunnel::SESSION) => self.session(request).await,
            _ => Err(Refused::new(StatusCode::NOT_FOUND, "NARU-G101", "this agent does not know that request")),
        };
        answer.unwrap_or_else(Refused::reply)
    }

    async fn hello(&self, request: Request<Incoming>) -> Result<Reply, Refused> {
        let body = body(request).await?;
        let hello: Hello = serde_json::from_slice(&body).map_err(|_| Refused::malformed())?;
        let id = self.agent.identity();
        let keys = verify_keys(&hello.grant_keys, &id.ca_point, &id.install, crate::now()).map_err(|error| {
            Refused::new(StatusCode::FORBIDDEN, "NARU-G102", format!("the grant keys are not the authority's: {error}"))
        })?;
        self.greet(&id, keys).map_err(|error| {
            Refused::new(StatusCode::FORBIDDEN, "NARU-G102", format!("the grant keys are older than those said before: {error}"))
        })?;
        tracing::info!(purpose = ?self.purpose, "connected");
        let back = HelloBack {
            agent: id.agent.clone(),
            purpose: self.purpose,
            epoch: self.epoch.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            labels: self.agent.limits().file.labels.clone(),
            only_login: self.agent.only_login().cloned(),
        };
        let json = serde_json::to_vec(&back).unwrap_or_default();
        Ok(Response::new(Full::new(json.into())))
    }

    /// A later hello brings new keys and nothing else: the gate remembers which grants were used for as long as the tunnel lives.
    fn greet(&self, id: &Identity, keys: GrantKeys) -> Result<(), GrantError> {
        let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        match gate.as_mut() {
            Some(gate) => gate.renew(keys),
            None => {
                *gate = Some(Gate::new(id.install.clone(), id.agent.clone(), self.proxy.clone(), self.epoch.clone(), keys));
                Ok(())
            }
        }
    }

    async fn session(&self, mut request: Request<Incoming>) -> Result<Reply, Refused> {
        let upgrades = request.headers().get(header::UPGRADE).is_some_and(|value| value == tunnel::FRAMES);
        if !upgrades {
            return Err(Refused::new(StatusCode::UPGRADE_REQUIRED, "NARU-G103", "a session is an upgrade"));
        }
        let token = request.headers().get(tunnel::GRANT_HEADER).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let token = token.ok_or_else(|| Refused::new(StatusCode::FORBIDDEN, "NARU-G104", "there is no grant"))?;
        let upgrade = hyper::upgrade::on(&mut request);
        let body = body(request).await?;
        let grant = self.admit(&token, &body)?;
        let wanted: SessionRequest = serde_json::from_slice(&body).map_err(|_| Refused::malformed())?;
        if self.agent.sessions().len() >= self.agent.limits().file.max_sessions as usize {
            return Err(Refused::new(StatusCode::SERVICE_UNAVAILABLE, "NARU-G108", "this host has as many sessions as its agent may open"));
        }
        let admitted = Admitted::check(&grant, wanted, self.agent.limits()).map_err(Refused::local)?;
        let socket = match &admitted.request().how {
            How::Open { .. } => self.agent.holders().open(&admitted).await.map_err(Refused::holder)?,
            How::Resume {} => self.agent.holders().attach(admitted.request().session).await.map_err(Refused::holder)?,
        };
        self.agent.sessions().spawn(async move {
            match upgrade.await {
                Ok(upgraded) => relay::run(TokioIo::new(upgraded), socket).await,
                Err(error) => tracing::debug!(%error, "a session's upgrade failed"),
            }
        });
        let mut reply = Response::new(Full::default());
        *reply.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        reply.headers_mut().insert(header::UPGRADE, HeaderValue::from_static(tunnel::FRAMES));
        Ok(reply)
    }

    fn admit(&self, token: &str, body: &[u8]) -> Result<VerifiedGrant, Refused> {
        let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        let gate = gate.as_mut().ok_or_else(|| Refused::new(StatusCode::FORBIDDEN, "NARU-G105", "the proxy has not said hello"))?;
        gate.admit(token, body, crate::now()).map_err(|error| {
            tracing::warn!(%error, "refused a grant");
            Refused::new(StatusCode::FORBIDDEN, "NARU-G106", format!("the agent refused the grant: {error}"))
        })
    }
}

async fn body(request: Request<Incoming>) -> Result<Bytes, Refused> {
    let body = Limited::new(request.into_body(), tunnel::MAX_BODY).collect();
    let body = tokio::time::timeout(Duration::from_secs(10), body).await.map_err(|_| Refused::malformed())?;
    Ok(body.map_err(|_| Refused::malformed())?.to_bytes())
}

/// A refusal on its way out.
struct Refused {
    status: StatusCode,
    refusal: Refusal,
}

impl Refused {
    fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self { status, refusal: Refusal { code: code.to_owned(), message: message.into() } }
    }
    fn malformed() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "NARU-G107", "the request is malformed, too long or too slow")
    }
    fn local(refusal: Refusal) -> Self {
        Self { status: StatusCode::FORBIDDEN, refusal }
    }
    fn holder(refusal: Refusal) -> Self {
        Self { status: StatusCode::CONFLICT, refusal }
    }
    fn reply(self) -> Reply {
        let json = serde_json::to_vec(&self.refusal).unwrap_or_default();
        let mut reply = Response::new(Full::new(Bytes::from(json)));
        *reply.status_mut() = self.status;
        // What follows a refused upgrade is never read as another request.
        reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        reply
    }
}

/// Frames are relayed whole; this agent never looks into them.
const _: () = assert!(frames::MAX_PAYLOAD <= relay::CHUNK);
