//! Whose request it is behind a balancer that ends TLS: `X-Forwarded-For`, read from the right. Pure. Whether the peer may say it is
//! judged elsewhere.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Most places of the list that are looked at, from the right: longer chains of balancers are nobody's.
pub const MAX_PLACES: usize = 32;

/// The client's address cannot be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadForwarded {
    /// Where the client's address should be there is something else, such as `unknown`.
    #[error("X-Forwarded-For of the balancer holds something that is no IP address where the client's should be")]
    NoAddress,
    /// The last [`MAX_PLACES`] places are all balancers or empty.
    #[error("X-Forwarded-For of the balancer names nobody but balancers in its last {MAX_PLACES} places")]
    TooMany,
}

/// The client of a request: the rightmost address that is not `named` as a balancer. What stands left of it was written by the
/// client or by strangers, and is not even looked at. A port is 0 where none was said. None when the header is absent or empty: then
/// the balancer speaks for itself. Where every address is a balancer's, the leftmost is the client.
///
/// `values` are the header's lines in their order, which together are one list (RFC 9110, 5.3), of which empty places count nothing
/// (5.6.1.2). An address may have a port, and one of IPv6 brackets.
///
/// # Errors
/// [`BadForwarded`]: the request should be refused, since whoever is taken for its client would be a guess.
pub fn client<'a>(
    values: impl DoubleEndedIterator<Item = &'a [u8]>,
    named: impl Fn(IpAddr) -> bool,
) -> Result<Option<SocketAddr>, BadForwarded> {
    let places = values.rev().flat_map(|value| value.rsplit(|b| *b == b','));
    let mut leftmost = None;
    for (at, place) in places.enumerate() {
        if at == MAX_PLACES {
            return Err(BadForwarded::TooMany);
        }
        let place = place.trim_ascii();
        if place.is_empty() {
            continue;
        }
        let found = address(place).ok_or(BadForwarded::NoAddress)?;
        if !named(found.ip()) {
            return Ok(Some(found));
        }
        leftmost = Some(found);
    }
    Ok(leftmost)
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`. IPv4 inside IPv6 is IPv4.
fn address(place: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(place).ok()?;
    let (ip, port): (IpAddr, &str) = if let Some(rest) = text.strip_prefix('[') {
        let (ip, rest) = rest.split_once(']')?;
        (ip.parse::<Ipv6Addr>().ok()?.into(), if rest.is_empty() { "0" } else { rest.strip_prefix(':')? })
    } else if let Ok(ip) = text.parse() {
        (ip, "0")
    } else {
        let (ip, port) = text.split_once(':')?;
        (ip.parse::<Ipv4Addr>().ok()?.into(), port)
    };
    let port = if port.bytes().all(|b| b.is_ascii_digit()) { port.parse().ok()? } else { return None };
    Some(SocketAddr::new(ip.to_canonical(), port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use access::network::Network;
    use proptest::prelude::*;

    fn told(values: &[&str]) -> Result<Option<String>, BadForwarded> {
        let peers: [Network; 2] = ["10.0.0.0/8", "fd00::/8"].map(|text| text.parse().expect("a network"));
        let found = client(values.iter().map(|value| value.as_bytes()), |ip| peers.iter().any(|peer| peer.contains(ip)));
        Ok(found?.map(|found| found.to_string()))
    }

    #[test]
    fn the_rightmost_that_is_no_balancer_is_the_client() {
        for (values, wanted) in [
            (&["192.0.2.1"][..], "192.0.2.1:0"),
            (&["1.1.1.1, 192.0.2.1"], "192.0.2.1:0"),
            (&["192.0.2.1,10.0.0.3 ,\t10.0.0.4"], "192.0.2.1:0"),
            (&["1.1.1.1", "2.2.2.2, 192.0.2.1", "10.0.0.3"], "192.0.2.1:0"),
            (&["192.0.2.1", "", " , ,"], "192.0.2.1:0"),
            (&["192.0.2.1:4711"], "192.0.2.1:4711"),
            (&["2001:db8::1"], "[2001:db8::1]:0"),
            (&["[2001:db8::1]"], "[2001:db8::1]:0"),
            (&["[2001:db8::1]:80, fd00::7"], "[2001:db8::1]:80"),
            (&["::ffff:192.0.2.1"], "192.0.2.1:0"),
            (&["192.0.2.1, ::ffff:10.1.1.1"], "192.0.2.1:0"),
            (&["unknown, <script>, 192.0.2.1"], "192.0.2.1:0"),
            (&["10.0.0.9, 10.0.0.3"], "10.0.0.9:0"),
        ] {
            assert_eq!(told(values), Ok(Some(wanted.to_owned())), "{values:?}");
        }
        assert_eq!((told(&[]), told(&[""]), told(&[" ,", ","])), (Ok(None), Ok(None), Ok(None)));
    }

    #[test]
    fn what_is_no_address_is_refused_where_it_decides() {
        let bad = "unknown _hidden 192.0.2 192.0.2.1: 192.0.2.1:x 192.0.2.1:+1 192.0.2.1:65536 [192.0.2.1] [::1 ::1] [::1]80 [::1]: fe80::1%eth0 \
                   [fe80::1%1]:80 for=192.0.2.1 \"192.0.2.1\" 010.0.0.1 192.0.2.1;192.0.2.2 https://192.0.2.1";
        for bad in bad.split_ascii_whitespace() {
            assert_eq!(told(&[bad]), Err(BadForwarded::NoAddress), "{bad}");
            assert_eq!(told(&["192.0.2.1", &format!("{bad}, 10.0.0.3")]), Err(BadForwarded::NoAddress), "{bad}");
        }
    }

    #[test]
    fn ten_thousand_places_are_not_looked_at() {
        let many = "1.1.1.1,".repeat(10_000);
        assert_eq!(told(&[&many, "192.0.2.1"]), Ok(Some("192.0.2.1:0".to_owned())));
        for filler in ["10.0.0.3,", ","] {
            // What stands after the last comma is a place too.
            let with = |fillers: usize| told(&[&format!("192.0.2.1,{}10.0.0.4", filler.repeat(fillers))]);
            assert_eq!(with(MAX_PLACES - 2), Ok(Some("192.0.2.1:0".to_owned())));
            assert_eq!(with(MAX_PLACES - 1), Err(BadForwarded::TooMany));
        }
    }

    proptest! {
        #[test]
        fn nothing_that_a_client_writes_changes_what_the_balancer_says(spoof in "[ -~]{0,80}", ip in any::<IpAddr>(), own_line in any::<bool>()) {
            let ip = ip.to_canonical();
            prop_assume!(!ip.to_string().starts_with("10.") && !ip.to_string().starts_with("fd"));
            let wanted = Ok(Some(SocketAddr::new(ip, 0).to_string()));
            if own_line {
                prop_assert_eq!(told(&[&spoof, &ip.to_string()]), wanted);
            } else {
                prop_assert_eq!(told(&[&format!("{spoof}, {ip}")]), wanted);
            }
        }
    }
}
