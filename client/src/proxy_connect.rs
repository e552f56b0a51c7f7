//! `naru proxy-connect HOST`, run by OpenSSH as its ProxyCommand: dials the proxy, names the node, and hands the socket over.

use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Shutdown, TcpStream, ToSocketAddrs as _};
use std::os::fd::{AsFd as _, BorrowedFd};

use access::words::NodeName;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use wire::api::exit;
use wire::link::Address;

use crate::can::destination;
use crate::failure::Failure;
use crate::http::CONNECT;
use crate::profile::{Facts, Profile};
use crate::when;

/// Connects for this host name. With `fdpass`, when stdout is a socket, the connection itself goes over it (`ProxyUseFdpass`); else
/// bytes are copied both ways until the proxy closes.
pub fn run(profile: &Profile, host: &str, fdpass: bool) -> Result<(), Failure> {
    let (_, node) = destination(host)?;
    let facts = profile.signed_in(when::now())?;
    let mut socket = dial(&facts)?;
    let lost = |e: std::io::Error| Failure::new("NARU-N102", exit::CANNOT_REACH, "the connection to the proxy was lost").because(e);
    socket.write_all(preface(&node).as_bytes()).map_err(lost)?;
    let stdout = std::io::stdout();
    if fdpass && rustix::net::sockopt::socket_type(stdout.as_fd()).is_ok() {
        pass(stdout.as_fd(), &socket).map_err(lost)
    } else {
        copy(socket).map_err(lost)
    }
}

/// The line that names the node before the SSH banner.
pub fn preface(node: &NodeName) -> String {
    format!("NARU/1 {node}\r\n")
}

fn dial(facts: &Facts) -> Result<TcpStream, Failure> {
    let mut cause = None;
    let places: Vec<&str> = if facts.ssh.is_empty() { vec![&facts.address] } else { facts.ssh.iter().map(String::as_str).collect() };
    for place in &places {
        let Ok(address) = place.parse::<Address>() else { continue };
        match (address.host(), address.port()).to_socket_addrs() {
            Err(e) => cause = Some(e),
            Ok(found) => {
                for addr in found {
                    match TcpStream::connect_timeout(&addr, CONNECT) {
                        Err(e) => cause = Some(e),
                        Ok(socket) => {
                            // Without it a keystroke may wait for the acknowledgement of the one before; ssh sets it too late for us.
                            let _ = socket.set_nodelay(true);
                            return Ok(socket);
                        }
                    }
                }
            }
        }
    }
    let failure = Failure::new("NARU-N101", exit::CANNOT_REACH, format!("{} cannot be reached", places.join(", ")));
    Err(match cause {
        Some(cause) => failure.because(cause),
        None => failure,
    })
}

/// One byte with the socket beside it, as OpenSSH's mm_receive_fd expects.
fn pass(over: BorrowedFd<'_>, socket: &TcpStream) -> std::io::Result<()> {
    let sockets = [socket.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !beside.push(SendAncillaryMessage::ScmRights(&sockets)) {
        return Err(std::io::Error::other("no room for a descriptor"));
    }
    sendmsg(over, &[IoSlice::new(&[0])], &mut beside, SendFlags::empty())?;
    Ok(())
}

fn copy(socket: TcpStream) -> std::io::Result<()> {
    let mut up = socket.try_clone()?;
    // Nobody waits for this thread: when the proxy closes, the process ends.
    std::thread::spawn(move || {
        let _ = pump(&mut std::io::stdin().lock(), &mut up);
        let _ = up.shutdown(Shutdown::Write);
    });
    pump(&mut &socket, &mut std::io::stdout().lock())
}

fn pump(from: &mut dyn Read, to: &mut dyn Write) -> std::io::Result<()> {
    let mut buf = vec![0; 64 * 1024];
    loop {
        let n = match from.read(&mut buf) {
            Ok(0) => return Ok(()),
            Ok(n) => n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        to.write_all(buf.get(..n).unwrap_or_default())?;
        to.flush()?;
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, IoSliceMut};
    use std::net::TcpListener;
    use std::os::unix::net::UnixStream;

    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

    use super::*;

    #[test]
    fn the_socket_goes_over_and_still_speaks() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("port");
        let socket = TcpStream::connect(listener.local_addr().expect("addr")).expect("connected");
        let (ours, theirs) = UnixStream::pair().expect("pair");
        pass(ours.as_fd(), &socket).expect("passed");
        drop(socket);
        let (mut space, mut byte) = ([MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))], [9]);
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let got = recvmsg(&theirs, &mut [IoSliceMut::new(&mut byte)], &mut beside, RecvFlags::empty()).expect("received");
        assert_eq!((got.bytes, byte), (1, [0]));
        let fd = beside.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        let mut socket = TcpStream::from(fd.expect("a descriptor"));
        socket.write_all(preface(&"demo".parse().expect("node")).as_bytes()).expect("written");
        let mut line = String::new();
        BufReader::new(listener.accept().expect("accepted").0).read_line(&mut line).expect("read");
        assert_eq!(line, "NARU/1 demo\r\n");
    }
}
