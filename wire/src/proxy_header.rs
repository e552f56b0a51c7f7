//! What a load balancer says of a connection before its first byte: the header of the PROXY protocol, versions 1 and 2
//! (haproxy.org/download/3.0/doc/proxy-protocol.txt). Pure. Whether the peer may say it is judged elsewhere.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// Longest header of version 1, with its line end (section 2.1).
pub const MAX_V1: usize = 107;
/// Longest header of version 2 that is read. The protocol would allow 64 KiB; this is what fits one segment in every network
/// (section 2), and leaves 484 bytes for extensions beside two IPv6 addresses.
pub const MAX_V2: usize = 536;

const V1: &[u8] = b"PROXY ";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, command, family and length.
const V2_HEAD: usize = 16;
/// Two paths of 108 bytes.
const UNIX_ADDRESSES: usize = 216;

/// A whole header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Who connected to the balancer. None where the balancer speaks for itself (`LOCAL`) or knows no address (`UNKNOWN`, a Unix
    /// socket): then its own is the right one.
    pub client: Option<SocketAddr>,
    /// Bytes of the header; what follows is the client's.
    pub len: usize,
}

/// The bytes are no header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoHeader {
    /// They begin with something else.
    #[error("a balancer's connection begins without a PROXY header")]
    Missing,
    /// Longer than [`MAX_V1`] or [`MAX_V2`].
    #[error("the PROXY header is longer than {0} bytes")]
    TooLong(usize),
    /// It begins as one and goes on as none.
    #[error("the PROXY header cannot be understood: {0}")]
    Malformed(&'static str),
}

/// Reads the header at the beginning of `bytes`; `None` asks for more. Never needs more than [`MAX_V2`] bytes, and says the same of
/// the same bytes however they arrive.
///
/// # Errors
/// As soon as the bytes cannot become a header any more.
pub fn read(bytes: &[u8]) -> Result<Option<Header>, NoHeader> {
    let agrees = |word: &[u8]| bytes.iter().zip(word).all(|(a, b)| a == b);
    match bytes.first() {
        None => Ok(None),
        Some(b'P') if agrees(V1) => version_1(bytes),
        Some(b'\r') if agrees(V2) => version_2(bytes),
        Some(_) => Err(NoHeader::Missing),
    }
}

fn version_1(bytes: &[u8]) -> Result<Option<Header>, NoHeader> {
    let Some(end) = bytes.iter().take(MAX_V1).position(|b| *b == b'\n') else {
        return if bytes.len() < MAX_V1 { Ok(None) } else { Err(NoHeader::TooLong(MAX_V1)) };
    };
    let line = bytes.get(V1.len()..end).and_then(|line| line.strip_suffix(b"\r"));
    let line = line.and_then(|line| std::str::from_utf8(line).ok()).filter(|line| line.bytes().all(|b| b == b' ' || b.is_ascii_graphic()));
    let line = line.ok_or(NoHeader::Malformed("its line"))?;
    let client = match line.split_once(' ') {
        Some(("TCP4", rest)) => Some(source::<Ipv4Addr>(rest).ok_or(NoHeader::Malformed("addresses of TCP4"))?),
        Some(("TCP6", rest)) => Some(source::<Ipv6Addr>(rest).ok_or(NoHeader::Malformed("addresses of TCP6"))?),
        // Whatever follows is to be ignored.
        Some(("UNKNOWN", _)) => None,
        None if line == "UNKNOWN" => None,
        _ => return Err(NoHeader::Malformed("its family")),
    };
    Ok(Some(Header { client, len: end + 1 }))
}

/// Source address, destination address, source port, destination port: exactly one space between two.
fn source<T: FromStr + Into<IpAddr>>(text: &str) -> Option<SocketAddr> {
    let mut words = text.split(' ');
    let mut next = || words.next();
    let (from, to): (T, T) = (next()?.parse().ok()?, next()?.parse().ok()?);
    let (from_port, _) = (port(next()?)?, port(next()?)?);
    let _: IpAddr = to.into();
    if next().is_some() { None } else { Some(canonical(from.into(), from_port)) }
}

fn port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

fn version_2(bytes: &[u8]) -> Result<Option<Header>, NoHeader> {
    let Some((head, rest)) = bytes.split_at_checked(V2_HEAD) else { return Ok(None) };
    let [.., command, family, high, low] = *head else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let len = V2_HEAD + length;
    if len > MAX_V2 {
        return Err(NoHeader::TooLong(MAX_V2));
    }
    // Judged before the rest has come: a sender who is wrong already is not waited for.
    let short = |least: usize| if length < least { Err(NoHeader::Malformed("shorter than its addresses")) } else { Ok(()) };
    let wanted = match (command, family) {
        (0x20, _) | (0x21, 0x00) => Addresses::None,
        (0x21, 0x11) => short(12).map(|()| Addresses::V4)?,
        (0x21, 0x21) => short(36).map(|()| Addresses::V6)?,
        (0x21, 0x31) => short(UNIX_ADDRESSES).map(|()| Addresses::None)?,
        (0x21, _) => return Err(NoHeader::Malformed("its family")),
        _ => return Err(NoHeader::Malformed("its version or command")),
    };
    let Some(body) = rest.get(..length) else { return Ok(None) };
    // Extensions after the addresses are not read: nothing is decided by them.
    let client = match wanted {
        Addresses::None => None,
        Addresses::V4 => Some(binary::<4>(body).ok_or(NoHeader::Malformed("shorter than its addresses"))?),
        Addresses::V6 => Some(binary::<16>(body).ok_or(NoHeader::Malformed("shorter than its addresses"))?),
    };
    Ok(Some(Header { client, len }))
}

enum Addresses {
    None,
    V4,
    V6,
}

/// The source of two addresses of `N` bytes that two ports follow.
fn binary<const N: usize>(body: &[u8]) -> Option<SocketAddr>
where
    IpAddr: From<[u8; N]>,
{
    let (source, rest) = body.split_first_chunk::<N>()?;
    let (_destination, ports) = rest.split_first_chunk::<N>()?;
    Some(canonical(IpAddr::from(*source), u16::from_be_bytes(*ports.first_chunk()?)))
}

/// Whatever a balancer calls it, an IPv4 address is one.
fn canonical(ip: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(ip.to_canonical(), port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A writer of its own, from the text of the protocol.
    fn written_1(from: SocketAddr, to: SocketAddr) -> Vec<u8> {
        let family = if from.is_ipv4() { 4 } else { 6 };
        format!("PROXY TCP{family} {} {} {} {}\r\n", from.ip(), to.ip(), from.port(), to.port()).into_bytes()
    }

    fn written_2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut out = vec![0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a, command, family];
        out.push(u8::try_from(body.len() / 256).expect("a length"));
        out.push(u8::try_from(body.len() % 256).expect("a byte"));
        out.extend(body);
        out
    }

    fn body(from: SocketAddr, to: SocketAddr, more: &[u8]) -> (u8, Vec<u8>) {
        let octets = |ip: IpAddr| match ip {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        let ports = [from.port() / 256, from.port() % 256, to.port() / 256, to.port() % 256].map(|b| u8::try_from(b).expect("a byte"));
        (if from.is_ipv4() { 0x11 } else { 0x21 }, [&octets(from.ip())[..], &octets(to.ip()), &ports, more].concat())
    }

    /// What is told of bytes that come one at a time, and after how many.
    fn one_by_one(bytes: &[u8]) -> (usize, Result<Option<Header>, NoHeader>) {
        let told = (0..=bytes.len()).map(|end| (end, read(&bytes[..end])));
        told.into_iter().find(|(_, told)| *told != Ok(None)).unwrap_or((bytes.len(), Ok(None)))
    }

    fn two() -> impl Strategy<Value = (SocketAddr, SocketAddr)> {
        let v4 = any::<[(Ipv4Addr, u16); 2]>().prop_map(|[a, b]| (a.into(), b.into()));
        let v6 = any::<[(Ipv6Addr, u16); 2]>().prop_map(|[a, b]| (a.into(), b.into()));
        prop_oneof![v4, v6]
    }

    proptest! {
        #[test]
        fn what_a_balancer_writes_is_read(pair in two(), more in prop::collection::vec(any::<u8>(), 0..400), after in any::<[u8; 9]>()) {
            let (family, body) = body(pair.0, pair.1, &more);
            for header in [written_1(pair.0, pair.1), written_2(0x21, family, &body)] {
                let whole = Header { client: Some(SocketAddr::new(pair.0.ip().to_canonical(), pair.0.port())), len: header.len() };
                prop_assert_eq!(one_by_one(&header), (header.len(), Ok(Some(whole.clone()))));
                prop_assert_eq!(read(&[&header[..], &after].concat()), Ok(Some(whole)), "what follows is not looked at");
            }
        }

        #[test]
        fn hostile_bytes_are_told_within_the_bound(begin in 0..3_usize, bytes in prop::collection::vec(any::<u8>(), MAX_V2..MAX_V2 + 64)) {
            let begin: &[u8] = [&b""[..], V1, V2][begin];
            let bytes = [begin, &bytes].concat();
            let (after, told) = one_by_one(&bytes);
            prop_assert!(after <= MAX_V2 && told != Ok(None), "{after} {told:?}");
            prop_assert_eq!(read(&bytes), told, "the same in one piece");
        }
    }

    #[test]
    fn where_the_balancer_knows_nobody_there_is_no_client() {
        let unix = [0_u8; UNIX_ADDRESSES];
        for header in [
            b"PROXY UNKNOWN\r\n".to_vec(),
            b"PROXY UNKNOWN ffff::1 ffff::1 65535 65535\r\n".to_vec(),
            written_2(0x20, 0x00, &[]),
            written_2(0x20, 0x11, &[10, 0, 0, 1, 10, 0, 0, 2, 0, 1, 0, 2]),
            written_2(0x20, 0xff, &[1, 2, 3]),
            written_2(0x21, 0x00, &[1, 2, 3]),
            written_2(0x21, 0x31, &unix),
        ] {
            assert_eq!(one_by_one(&header), (header.len(), Ok(Some(Header { client: None, len: header.len() }))), "{header:?}");
        }
    }

    #[test]
    fn ipv4_inside_ipv6_is_ipv4() {
        let told = read(b"PROXY TCP6 ::ffff:10.1.1.1 ::ffff:10.0.0.1 7 8\r\n").expect("a header").expect("whole");
        assert_eq!(told.client, Some("10.1.1.1:7".parse().expect("an address")));
    }

    #[test]
    fn what_is_almost_a_header_is_refused() {
        let line = |rest: &str| format!("PROXY {rest}\r\n").into_bytes();
        let mut cases: Vec<Vec<u8>> = [
            "",
            "TCP4",
            "TCP4 1.2.3.4 1.2.3.4 1",
            "TCP4 1.2.3.4 1.2.3.4 1 2 3",
            "TCP4  1.2.3.4 1.2.3.4 1 2",
            "TCP4 1.2.3.4 1.2.3.4 1 2 ",
            "TCP4 1.2.3.4 1.2.3.4 01 2",
            "TCP4 1.2.3.4 1.2.3.4 +1 2",
            "TCP4 1.2.3.4 1.2.3.4 65536 2",
            "TCP4 1.2.3.4 1.2.3.4 1 ",
            "TCP4 1.2.3 1.2.3.4 1 2",
            "TCP4 01.2.3.4 1.2.3.4 1 2",
            "TCP4 ::1 ::1 1 2",
            "TCP6 1.2.3.4 1.2.3.4 1 2",
            "TCP6 fe80::1%eth0 ::1 1 2",
            "tcp4 1.2.3.4 1.2.3.4 1 2",
            "UDP4 1.2.3.4 1.2.3.4 1 2",
            "UNKNOWNS",
            "UNKNOWN \u{1b}[2J",
            "UNKNOWN \r",
            "UNKNOWN \u{e9}",
        ]
        .into_iter()
        .map(line)
        .collect();
        cases.push(b"PROXY UNKNOWN\n".to_vec());
        cases.push([&b"PROXY UNKNOWN "[..], &[b'x'; 200], b"\r\n"].concat());
        cases.push(b"proxy UNKNOWN\r\n".to_vec());
        cases.push(b"SSH-2.0-x\r\n".to_vec());
        cases.push(b"PROXYxUNKNOWN\r\n".to_vec());
        cases.push(b"PRIXY UNKNOWN\r\n".to_vec());
        cases.push([&b"\r\n\r\n\0\r\nQUIX\n"[..], &[0x20, 0, 0, 0]].concat());
        for (command, family, body) in [
            (0x11, 0x11, &[0; 12][..]),
            (0x22, 0x11, &[0; 12]),
            (0x21, 0x11, &[0; 11]),
            (0x21, 0x21, &[0; 35]),
            (0x21, 0x12, &[0; 12]),
            (0x21, 0x22, &[0; 36]),
            (0x21, 0x31, &[0; 215]),
            (0x21, 0x41, &[0; 12]),
            (0x21, 0x11, &[0; MAX_V2]),
            (0x20, 0x00, &[0; MAX_V2]),
        ] {
            cases.push(written_2(command, family, body));
        }
        for bytes in cases {
            let (after, told) = one_by_one(&bytes);
            assert!(told.is_err() && after <= bytes.len(), "{bytes:?}: {told:?}");
        }
    }

    #[test]
    fn what_cannot_become_a_header_is_not_waited_for() {
        for (bytes, after, why) in [
            (b"PRI * HTTP/2.0\r\n".to_vec(), 3, NoHeader::Missing),
            (b"\r\n\n".to_vec(), 3, NoHeader::Missing),
            ([&b"PROXY UNKNOWN "[..], &[b'x'; 200]].concat(), MAX_V1, NoHeader::TooLong(MAX_V1)),
            (written_2(0x20, 0x00, &[0; MAX_V2 - V2_HEAD + 1]), V2_HEAD, NoHeader::TooLong(MAX_V2)),
            (written_2(0x21, 0x11, &[0; 11]), V2_HEAD, NoHeader::Malformed("shorter than its addresses")),
        ] {
            assert_eq!(one_by_one(&bytes), (after, Err(why)), "{bytes:?}");
        }
    }

    #[test]
    fn the_longest_headers_are_read() {
        let (one, two) = ("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", "[::1]:1");
        let (one, two): (SocketAddr, SocketAddr) = (one.parse().expect("an address"), two.parse().expect("an address"));
        let longest = [&b"PROXY UNKNOWN "[..], &[b'x'; MAX_V1 - 16], b"\r\n"].concat();
        assert_eq!(longest.len(), MAX_V1);
        assert!(read(&longest).is_ok_and(|told| told.is_some()) && read(&written_1(one, one)).is_ok_and(|told| told.is_some()));
        let (family, body) = body(one, two, &[0; MAX_V2 - V2_HEAD - 36]);
        let told = read(&written_2(0x21, family, &body));
        assert_eq!(told, Ok(Some(Header { client: Some(one), len: MAX_V2 })));
    }
}
