//! Whose connection it is. A peer that is named as a balancer says so before the first byte, in a PROXY header; everybody else is at
//! the address that they come from. The only place that takes an address from the network.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use config::proxy::{Balancers, By};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use wire::proxy_header::{MAX_V2, read};

use super::admission::{Admission, Ticket};

/// Gives places to those who come in.
pub(super) struct Door {
    pub(super) admission: Admission,
    pub(super) balancers: Option<Arc<Balancers>>,
}

/// Somebody who came in.
pub(super) struct Caller {
    peer: SocketAddr,
    ticket: Ticket,
    /// A header comes that says for whom.
    announces: bool,
}

impl Door {
    /// A place for whoever connected, when there is one. Of a balancer the places are counted for those behind it.
    pub(super) fn enter(&self, peer: SocketAddr) -> Option<Caller> {
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        match self.balancers.as_deref().filter(|balancers| balancers.are_at(peer.ip())) {
            None => Some(Caller { peer, ticket: self.admission.enter(peer.ip())?, announces: false }),
            Some(balancers) => Some(Caller { peer, ticket: self.admission.enter_unnamed()?, announces: balancers.by == By::ProxyProtocol }),
        }
    }
}

impl Caller {
    /// Who it is, with a place of theirs, and the first bytes that are theirs. Waits for the header of a balancer that announces its
    /// clients, and takes no connection of it without one: a client could write its own. What bounds the waiting is the caller's.
    ///
    /// # Errors
    /// The connection ended, its first bytes are no header, or the client has as many connections as there may be.
    pub(super) async fn known<T: AsyncRead + Unpin>(self, socket: &mut T) -> io::Result<(SocketAddr, Ticket, Vec<u8>)> {
        let Self { peer, ticket, announces } = self;
        if !announces {
            return Ok((peer, ticket, Vec::new()));
        }
        let (client, rest) = announced(socket).await?;
        let from = client.unwrap_or(peer);
        tracing::debug!(%from, balancer = %peer, "a connection came through a balancer");
        let ticket = ticket.of(from.ip()).ok_or_else(|| io::Error::other(format!("too many connections before sign-in from {from}")))?;
        Ok((from, ticket, rest))
    }
}

/// The client that the header names, and what came after it.
async fn announced<T: AsyncRead + Unpin>(socket: &mut T) -> io::Result<(Option<SocketAddr>, Vec<u8>)> {
    let mut seen = Vec::with_capacity(MAX_V2);
    loop {
        if let Some(header) = read(&seen).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))? {
            return Ok((header.client, seen.split_off(header.len)));
        }
        let mut more = (&mut *socket).take(MAX_V2.saturating_sub(seen.len()) as u64);
        if more.read_buf(&mut seen).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;

    fn door(by: By) -> Door {
        let peers = ["10.0.0.0/8", "fd00::/8"].map(|text| text.parse().expect("a network")).to_vec();
        Door { admission: Admission::new(), balancers: Some(Arc::new(Balancers { peers, by })) }
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    /// Who it is when these bytes come from `peer`, in pieces of this length, and then the end.
    async fn known(door: &Door, peer: &str, bytes: &[u8], piece: usize) -> io::Result<(SocketAddr, Vec<u8>)> {
        let (mut near, mut far) = tokio::io::duplex(piece);
        let bytes = bytes.to_vec();
        let writing = tokio::spawn(async move { far.write_all(&bytes).await });
        let (from, _ticket, mut rest) = door.enter(at(peer)).expect("a place").known(&mut near).await?;
        near.read_to_end(&mut rest).await?;
        writing.await.expect("a task")?;
        Ok((from, rest))
    }

    #[tokio::test]
    async fn a_named_peer_says_who_its_client_is_however_the_bytes_arrive() {
        let door = door(By::ProxyProtocol);
        let v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\x0a\0\0\x01\x12\x34\x01\xbbSSH-2.0-x";
        for piece in [1, 7, 1024] {
            for (peer, bytes, from) in [
                ("10.1.1.1:5", &b"PROXY TCP4 192.0.2.1 10.0.0.1 7 443\r\nSSH-2.0-x"[..], "192.0.2.1:7"),
                ("[::ffff:10.1.1.1]:5", b"PROXY TCP6 2001:db8::1 ::1 7 443\r\nSSH-2.0-x", "[2001:db8::1]:7"),
                ("[fd00::1]:5", v2, "192.0.2.1:4660"),
                ("10.1.1.1:5", b"PROXY UNKNOWN\r\nSSH-2.0-x", "10.1.1.1:5"),
                ("[::ffff:10.1.1.1]:5", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0SSH-2.0-x", "10.1.1.1:5"),
            ] {
                let told = known(&door, peer, bytes, piece).await.unwrap_or_else(|error| panic!("{peer} {bytes:?}: {error}"));
                assert_eq!(told, (at(from), b"SSH-2.0-x".to_vec()), "{peer} {bytes:?}");
            }
        }
    }

    #[tokio::test]
    async fn of_anybody_else_the_header_is_not_read() {
        let header = b"PROXY TCP4 10.1.1.1 10.0.0.1 7 443\r\nSSH-2.0-x";
        for (by, peer) in
            [(By::ProxyProtocol, "192.0.2.9:5"), (By::ProxyProtocol, "[::ffff:192.0.2.9]:5"), (By::XForwardedFor, "10.1.1.1:5")]
        {
            let (from, rest) = known(&door(by), peer, header, 1024).await.expect("no fault");
            assert_eq!((from.ip(), from.port(), rest), (at(peer).ip().to_canonical(), 5, header.to_vec()), "{peer}");
        }
        let none = Door { admission: Admission::new(), balancers: None };
        assert_eq!(known(&none, "10.1.1.1:5", header, 1024).await.expect("no fault"), (at("10.1.1.1:5"), header.to_vec()));
    }

    #[tokio::test]
    async fn a_named_peer_without_a_whole_header_gets_nowhere() {
        let door = door(By::ProxyProtocol);
        for bytes in [&b"SSH-2.0-x"[..], b"\x16\x03\x01", b"GET / HTTP/1.1", b"PROXY TCP4 192.0.2.1 10.0.0.1 7", b"", b"PROXY LOCAL\r\n"] {
            assert!(known(&door, "10.1.1.1:5", bytes, 1024).await.is_err(), "{bytes:?}");
        }
        assert_eq!(door.admission.count(), 0, "their places are given back");
    }

    #[tokio::test]
    async fn places_are_counted_for_the_client_that_is_behind() {
        let door = door(By::ProxyProtocol);
        let mut held = Vec::new();
        let mut come = async |header: &[u8]| {
            let known = door.enter(at("10.1.1.1:5")).expect("a place").known(&mut &*header).await;
            known.map(|(_, ticket, _)| held.push(ticket))
        };
        let header = b"PROXY TCP4 192.0.2.1 10.0.0.1 7 443\r\n";
        let mut fitted = 0;
        while come(header).await.is_ok() {
            fitted += 1;
        }
        assert!(fitted > 1 && come(b"PROXY TCP4 192.0.2.2 10.0.0.1 7 443\r\n").await.is_ok(), "after {fitted}");
        assert!(door.admission.enter(at("192.0.2.1:1").ip()).is_none(), "directly, it is the same address");
    }
}
