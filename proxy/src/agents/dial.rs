//! A session at its agent: one stream, one request with its grant, one upgrade. Takes the proofs that it was allowed and logged.

use std::io;
use std::time::Duration;

use access::decide::{OpenSession, Permit};
use access::words::{AgentId, InstallId};
use bytes::{Bytes, BytesMut};
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use recorder::Logged;
use wire::tunnel::{self, How, Purpose, Refusal, SessionRequest};

use super::mux::Stream;
use super::{Agents, Tunnel};
use crate::authority::ask::Keys;
use crate::authority::grants::{Place, grant};

/// From the request to the upgrade: the agent may have to look an account up.
const TIMEOUT: Duration = Duration::from_secs(15);
const MAX_REFUSAL: usize = 16 * 1024;

/// The far end of a session: frames.
pub(crate) struct Far {
    pub(crate) stream: Stream,
    /// What came with the upgrade's answer.
    pub(crate) read: BytesMut,
}

/// A session could not be reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    /// No tunnel.
    #[error("{0} is known but not connected")]
    NotConnected(access::words::NodeName),
    /// The agent said no, in its words.
    #[error("{}", .0.message)]
    Refused(Refusal),
    /// The tunnel failed.
    #[error("the agent did not answer: {0}")]
    Io(#[from] io::Error),
}

/// What dialling needs of this proxy.
#[derive(Clone)]
pub(crate) struct Dialler {
    pub(crate) agents: Agents,
    pub(crate) keys: Keys,
    pub(crate) install: InstallId,
}

impl Dialler {
    /// Opens or resumes the session that was permitted, at the agent whose labels were decided about.
    pub(crate) async fn dial(
        &self,
        permit: &Permit<OpenSession>,
        agent: &AgentId,
        _logged: &Logged,
        request: &SessionRequest,
        fence: u64,
    ) -> Result<Far, DialError> {
        let node = &permit.question().node.name;
        let purpose = match &request.how {
            How::Open { terminal: None, .. } => Purpose::Bulk,
            _ => Purpose::Terminals,
        };
        let tunnel = self.agents.tunnel(node, agent, purpose).ok_or_else(|| DialError::NotConnected(node.clone()))?;
        let body = serde_json::to_vec(request).unwrap_or_default();
        let place = Place { install: &self.install, agent: &tunnel.agent, proxy: &tunnel.pin, epoch: &tunnel.hello.epoch };
        let ask = grant(permit, place, request, &body, fence, crate::clock::now());
        let token = self.keys.ask(ask).map_err(io::Error::other)?;
        let dialling = upgrade(&tunnel, token, body);
        tokio::time::timeout(TIMEOUT, dialling).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }
}

async fn upgrade(tunnel: &Tunnel, token: String, body: Vec<u8>) -> Result<Far, DialError> {
    let mut sender = http(tunnel).await?;
    let request = Request::post(tunnel::SESSION)
        .header(header::HOST, "agent")
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, tunnel::FRAMES)
        .header(tunnel::GRANT_HEADER, token)
        .body(Full::new(Bytes::from(body)))
        .map_err(io::Error::other)?;
    let answer = sender.send_request(request).await.map_err(io::Error::other)?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        let text = Limited::new(answer.into_body(), MAX_REFUSAL).collect().await.map_err(io::Error::other)?.to_bytes();
        let refusal = Refusal::parse(&text).ok_or_else(|| io::Error::other("its answer is not understood"))?;
        return Err(DialError::Refused(refusal));
    }
    let upgraded = hyper::upgrade::on(answer).await.map_err(io::Error::other)?;
    let parts = upgraded.downcast::<TokioIo<Stream>>().map_err(|_| io::Error::other("an upgrade of another stream"))?;
    Ok(Far { stream: parts.io.into_inner(), read: BytesMut::from(&parts.read_buf[..]) })
}

/// An HTTP/1.1 connection on a stream of its own; its task ends with the stream or the tunnel.
pub(super) async fn http(tunnel: &Tunnel) -> io::Result<hyper::client::conn::http1::SendRequest<Full<Bytes>>> {
    let stream = tunnel.mux.open().await?;
    let (sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(64 * 1024)
        .max_headers(32)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    tunnel.connections.spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a stream to an agent ended");
        }
    });
    Ok(sender)
}
