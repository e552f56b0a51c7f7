//! The one port: accept, limits, whose connection it is, first bytes, TLS. Hands over a typed stream to a front; decides nothing else.
//! The accept loop awaits nobody: all of it happens in the connection's own task under one deadline.

pub(crate) mod admission;
mod balanced;
pub mod control;
mod patience;
mod rewind;
mod seats;
pub(crate) mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use access::words::NodeName;
use config::proxy::Balancers;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wire::preface::{First, MAX_PREFACE, first};

use crate::authority::tls::Subject;
use admission::Admission;
pub(crate) use admission::Ticket;
use balanced::{Caller, Door};
pub(crate) use patience::{Patience, SignedIn};
pub(crate) use rewind::Rewind;
pub(crate) use seats::{Seat, Seats};
use tls::{Tls, Told};

/// From accept to a told protocol with its TLS handshake done.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// An SSH client may wait for our banner: this much silence means SSH. Hardly any does, and a busy laptop may be this late with TLS.
const SILENCE_IS_SSH: Duration = Duration::from_millis(1000);

/// What lies under TLS. rustls by itself reads a record at a time, at most; a busy tunnel has many in one read.
pub(crate) type Incoming = BufReader<Rewind<TcpStream>>;

/// A connection whose protocol is known.
pub(crate) enum Arrived {
    /// SSH, raw or inside TLS; the node is what the preface named.
    Ssh {
        /// The bytes.
        stream: Box<dyn Duplex>,
        /// The dialled node.
        node: Option<NodeName>,
    },
    /// HTTPS; `subject` is the verified client certificate's, when one was shown.
    Http {
        /// The bytes.
        stream: TlsStream<Incoming>,
        /// Whose certificate.
        subject: Option<Subject>,
    },
    /// An agent's tunnel.
    Tunnel {
        /// The bytes.
        stream: TlsStream<Incoming>,
        /// The agent, by its certificate.
        agent: access::words::AgentId,
    },
}

/// Both directions of a connection.
pub(crate) trait Duplex: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Duplex for T {}

impl Arrived {
    /// Whose certificate was shown.
    fn subject(&self) -> Option<Subject> {
        match self {
            Self::Ssh { .. } => None,
            Self::Http { subject, .. } => subject.clone(),
            Self::Tunnel { agent, .. } => Some(Subject::Agent { id: agent.clone() }),
        }
    }

    /// Its place: one among the known for who is somebody now, else one among strangers, or it has to go.
    fn place(&self, fronts: &impl Fronts, ticket: Ticket) -> Option<(Option<Ticket>, Option<Seat>)> {
        match self.subject().and_then(|subject| fronts.seat(&subject)) {
            Some(seat) => Some((None, Some(seat))),
            None => ticket.stay().map(|ticket| (Some(ticket), None)),
        }
    }
}

/// The connections of a proxy: counted, and ended together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Connections {
    tasks: TaskTracker,
    ending: CancellationToken,
}

impl Connections {
    /// Ends all, and waits until what they still say is said.
    pub(crate) async fn end(&self) {
        self.ending.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Where arrived connections go. The ticket of a stranger counts against the limits before sign-in and is dropped by the front when it
/// knows who is there.
pub(crate) trait Fronts: Clone + Send + Sync + 'static {
    /// A place for somebody who is known now: a certificate of an ended sign-in or of an agent that was removed gets none.
    fn seat(&self, subject: &Subject) -> Option<Seat>;
    /// Serves one connection to its end.
    fn serve(&self, arrived: Arrived, from: SocketAddr, ticket: Option<Ticket>) -> impl Future<Output = ()> + Send;
}

/// Where to accept, and from whom.
pub(crate) struct Port {
    pub(crate) listener: TcpListener,
    pub(crate) tls: Arc<Tls>,
    /// Peers that say who their client is.
    pub(crate) balancers: Option<Arc<Balancers>>,
    /// Connections of those who have signed in, at once.
    pub(crate) most: usize,
}

/// Accepts until the future is dropped; the connections go on in `connections`.
pub(crate) async fn run<F: Fronts>(port: Port, fronts: F, connections: Connections) {
    let Port { listener, tls, balancers, most } = port;
    let admission = Admission::new();
    let door = Door { admission: admission.clone(), balancers };
    loop {
        let (socket, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, mostly: what is there goes on, and a moment later there may be room.
                tracing::warn!(%error, "cannot accept");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        // Those before sign-in have a table of their own: they take no place from those after it.
        if connections.tasks.len().saturating_sub(admission.count()) >= most {
            tracing::warn!(%peer, "as many connections as there may be");
            continue;
        }
        let Some(caller) = door.enter(peer) else {
            tracing::debug!(%peer, "too many connections before sign-in");
            continue;
        };
        let (tls, fronts) = (tls.clone(), fronts.clone());
        let ending = connections.ending.clone();
        let served = async move {
            let arrived = tokio::time::timeout(HANDSHAKE_TIMEOUT, arrive(socket, caller, &tls)).await;
            match arrived {
                Ok(Ok(Some((arrived, from, ticket)))) => {
                    let Some((ticket, _seat)) = arrived.place(&fronts, ticket) else {
                        return tracing::debug!(%from, "too many connections before sign-in");
                    };
                    fronts.serve(arrived, from, ticket).await;
                }
                Ok(Ok(None)) => {}
                Ok(Err(error)) => tracing::debug!(%peer, %error, "a connection ended before its protocol was known"),
                Err(_) => tracing::debug!(%peer, "a connection was too slow"),
            }
        };
        connections.tasks.spawn(ending.run_until_cancelled_owned(served));
    }
}

/// What came, from whom, and their place.
async fn arrive(mut socket: TcpStream, caller: Caller, tls: &Tls) -> io::Result<Option<(Arrived, SocketAddr, Ticket)>> {
    socket.set_nodelay(true)?;
    let (from, ticket, seen) = caller.known(&mut socket).await?;
    Ok(told(socket, seen, tls).await?.map(|arrived| (arrived, from, ticket)))
}

async fn told(mut socket: TcpStream, seen: Vec<u8>, tls: &Tls) -> io::Result<Option<Arrived>> {
    match look(&mut socket, seen).await? {
        Some((seen, First::Tls)) => match tls.accept(Rewind::new(seen, socket)).await? {
            Told::Ssh(mut stream) => {
                let looked = look(&mut stream, Vec::new()).await?;
                Ok(looked.and_then(|(seen, first)| ssh(stream, seen, first)))
            }
            Told::Other(arrived) => Ok(Some(arrived)),
        },
        Some((_, First::PlainHttp)) => {
            socket.write_all(PLAIN_HTTP).await?;
            Ok(None)
        }
        Some((seen, first)) => Ok(ssh(socket, seen, first)),
        None => Ok(None),
    }
}

/// Reads on from what was seen until the first bytes tell what it is. Silence means SSH.
async fn look<T: AsyncRead + Unpin>(socket: &mut T, mut seen: Vec<u8>) -> io::Result<Option<(Vec<u8>, First)>> {
    loop {
        if let Some(first) = first(&seen) {
            return Ok(Some((seen, first)));
        }
        let mut read = (&mut *socket).take(MAX_PREFACE.saturating_sub(seen.len()) as u64);
        let silence = if seen.is_empty() { SILENCE_IS_SSH } else { HANDSHAKE_TIMEOUT };
        match tokio::time::timeout(silence, read.read_buf(&mut seen)).await {
            Ok(Ok(0)) => return Ok(None),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(error),
            Err(_) => return Ok(Some((seen, First::Ssh))),
        }
    }
}

fn ssh<T: Duplex + 'static>(socket: T, mut seen: Vec<u8>, first: First) -> Option<Arrived> {
    let (rest, node) = match first {
        First::Ssh => (seen, None),
        First::Preface { node, len } => (seen.split_off(len), Some(node)),
        First::Tls | First::PlainHttp | First::Unknown => return None,
    };
    Some(Arrived::Ssh { stream: Box::new(Rewind::new(rest, socket)), node })
}

const PLAIN_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 52\r\nConnection: close\r\n\r\n\
This port speaks HTTPS. Use https:// in the address.";
