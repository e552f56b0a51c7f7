//! First words and heartbeats on a tunnel.

use std::io;
use std::time::Duration;

use access::time::Timestamp;
use access::words::AgentId;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use tokio_util::sync::CancellationToken;
use wire::tunnel::{self, Hello, HelloBack};

use super::Tunnel;
use super::dial::http;
use super::mux::Mux;
use crate::authority::ask::{Keys, StateGrantKeys};

const TIMEOUT: Duration = Duration::from_secs(10);
const MAX_ANSWER: usize = 64 * 1024;
/// Labels of the agent's own word: at most this many, each part at most this long.
const MAX_LABELS: (usize, usize) = (64, 256);

/// What TLS says of a tunnel: whose it is, and the pin of the certificate that we showed.
pub(super) struct Introduced {
    pub(super) agent: AgentId,
    pub(super) pin: String,
}

/// Says hello and gives the tunnel with what the agent answered.
pub(super) async fn hello(mux: Mux, from: Introduced, cut: CancellationToken, keys: &Keys, now: Timestamp) -> io::Result<Tunnel> {
    let Introduced { agent, pin } = from;
    let unnamed = HelloBack {
        agent: agent.clone(),
        purpose: tunnel::Purpose::Terminals,
        epoch: String::new(),
        version: String::new(),
        labels: Default::default(),
        only_login: None,
    };
    let mut tunnel = Tunnel { agent, hello: unnamed, pin, mux, connections: tokio_util::task::TaskTracker::new(), cut };
    let answer = greet(&tunnel, keys, now).await?;
    let hello: HelloBack = serde_json::from_slice(&answer).map_err(|_| io::Error::other("its hello is not understood"))?;
    if hello.agent != tunnel.agent {
        return Err(io::Error::other("it says another name than its certificate"));
    }
    let short = |text: &String| text.len() <= MAX_LABELS.1 && !text.chars().any(char::is_control);
    let tame = hello.labels.len() <= MAX_LABELS.0 && hello.labels.iter().all(|(key, value)| short(key) && short(value));
    if !tame || !short(&hello.version) || hello.epoch.len() != 32 {
        return Err(io::Error::other("its hello is over the limits"));
    }
    tunnel.hello = hello;
    Ok(tunnel)
}

/// Says with which keys grants are signed: first of all, and again before an agent would not believe it any more.
pub(super) async fn greet(tunnel: &Tunnel, keys: &Keys, now: Timestamp) -> io::Result<Bytes> {
    let grant_keys = keys.ask(StateGrantKeys { now }).map_err(io::Error::other)?;
    let body = serde_json::to_vec(&Hello { grant_keys }).unwrap_or_default();
    let request = Request::post(tunnel::HELLO).header(header::HOST, "agent").body(Full::new(Bytes::from(body)));
    ask(tunnel, request.map_err(io::Error::other)?).await
}

/// One heartbeat, after the pause before it.
pub(super) async fn beat(tunnel: &Tunnel) -> io::Result<()> {
    tokio::time::sleep(Duration::from_secs(tunnel::BEAT_EVERY_S)).await;
    let request = Request::get(tunnel::BEAT).header(header::HOST, "agent").body(Full::default());
    ask(tunnel, request.map_err(io::Error::other)?).await.map(|_| ())
}

async fn ask(tunnel: &Tunnel, request: Request<Full<Bytes>>) -> io::Result<Bytes> {
    let asking = async {
        let mut sender = http(tunnel).await?;
        let answer = sender.send_request(request).await.map_err(io::Error::other)?;
        let status = answer.status();
        let bytes = Limited::new(answer.into_body(), MAX_ANSWER).collect().await.map_err(io::Error::other)?.to_bytes();
        if status == StatusCode::OK { Ok(bytes) } else { Err(io::Error::other(format!("it answered {status}"))) }
    };
    tokio::time::timeout(TIMEOUT, asking).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}
