//! A receiver on loopback that does as it is told, and checks signatures with code that is not ours.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::StreamExt as _;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

pub(super) const KEY: &[u8; 32] = b"an example key of thirty-two byt";

/// What it does with the next requests.
#[derive(Debug, Clone)]
pub(super) enum Mode {
    Accept,
    Status(u16),
    Redirect(String),
    /// Takes the request and never answers.
    Hang,
    /// 200 and a body without end.
    Endless,
    /// 200 and a head of half a megabyte.
    HugeHead,
}

/// One request.
#[derive(Debug, Clone)]
pub(super) struct Got {
    pub(super) id: String,
    pub(super) body: Bytes,
    /// The mode in which it came.
    pub(super) accepted: bool,
}

impl Got {
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

#[derive(Default)]
struct Told {
    mode: Mutex<Option<Mode>>,
    got: Mutex<Vec<Got>>,
    connections: AtomicU64,
    sent: Arc<AtomicU64>,
}

pub(super) struct Fake {
    pub(super) address: SocketAddr,
    told: Arc<Told>,
    serving: Option<AbortOnDropHandle<()>>,
}

impl Fake {
    pub(super) async fn start(mode: Mode) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let told = Arc::new(Told { mode: Mutex::new(Some(mode)), ..Told::default() });
        let address = listener.local_addr().unwrap();
        Self { address, serving: Some(serve(listener, told.clone())), told }
    }

    pub(super) fn set(&self, mode: Mode) {
        *self.told.mode.lock().unwrap() = Some(mode);
    }

    /// Closes the port and every connection.
    pub(super) fn leave(&mut self) {
        self.serving = None;
    }

    pub(super) async fn come_back(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.serving = Some(serve(listener, self.told.clone()));
    }

    pub(super) fn all(&self) -> Vec<Got> {
        self.told.got.lock().unwrap().clone()
    }

    /// The events that it took. Checkpoints come by the clock, so they are asked for where they matter.
    pub(super) fn accepted(&self) -> Vec<Got> {
        self.all().into_iter().filter(|got| got.accepted && !got.id.starts_with("checkpoint-")).collect()
    }

    pub(super) fn connections(&self) -> u64 {
        self.told.connections.load(Ordering::Relaxed)
    }

    /// Bytes of endless bodies that were asked of it.
    pub(super) fn sent(&self) -> u64 {
        self.told.sent.load(Ordering::Relaxed)
    }

    pub(super) async fn until(&self, what: &str, good: impl Fn(&Self) -> bool) {
        super::until(what, || good(self)).await;
    }
}

fn serve(listener: TcpListener, told: Arc<Told>) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((tcp, _)) = listener.accept().await {
            told.connections.fetch_add(1, Ordering::Relaxed);
            let told = told.clone();
            connections.spawn(async move {
                let service = hyper::service::service_fn(move |request| answer(told.clone(), request));
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(tcp), service).await;
            });
        }
    }))
}

async fn answer(told: Arc<Told>, request: Request<Incoming>) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
    let header = |name: &str| request.headers().get(name).unwrap_or_else(|| panic!("{name}")).to_str().unwrap().to_owned();
    let (id, timestamp, signature) = (header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"));
    let body = request.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(signature, signed(&id, &timestamp, &body), "the signature of {id}");
    let mode = told.mode.lock().unwrap().clone().unwrap();
    let accepted = matches!(mode, Mode::Accept | Mode::Endless);
    told.got.lock().unwrap().push(Got { id, body, accepted });
    let empty = || Full::new(Bytes::new()).boxed();
    let answer = match mode {
        Mode::Accept => Response::new(empty()),
        Mode::Status(status) => Response::builder().status(status).body(empty()).unwrap(),
        Mode::Redirect(to) => Response::builder().status(307).header("location", to).body(empty()).unwrap(),
        Mode::Hang => std::future::pending().await,
        Mode::HugeHead => Response::builder().header("x-long", "x".repeat(512 * 1024)).body(empty()).unwrap(),
        Mode::Endless => {
            let sent = told.sent.clone();
            let chunk = move |()| {
                sent.fetch_add(64 * 1024, Ordering::Relaxed);
                Ok(Frame::data(Bytes::from_static(&[b'x'; 64 * 1024])))
            };
            Response::new(BodyExt::boxed(StreamBody::new(futures::stream::repeat(()).map(chunk))))
        }
    };
    Ok(answer)
}

/// HMAC (RFC 2104) from SHA-256 alone.
fn signed(id: &str, timestamp: &str, body: &[u8]) -> String {
    let pad = |with: u8| -> Vec<u8> { (0..64).map(|i| KEY.get(i).copied().unwrap_or(0) ^ with).collect() };
    let inner = digest(&SHA256, &[pad(0x36).as_slice(), id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat());
    let outer = digest(&SHA256, &[pad(0x5c).as_slice(), inner.as_ref()].concat());
    let age = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH + Duration::from_secs(timestamp.parse().unwrap()));
    assert!(age.unwrap() < Duration::from_secs(60), "the time is that of the try");
    format!("v1,{}", STANDARD.encode(outer))
}
