//! Networks of addresses as people write them: `10.0.0.0/8`, `fd00::/8`, `192.0.2.7`. No resolving and no sockets.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::words::{BadName, as_text, cut};

/// One network in CIDR notation (RFC 4632, RFC 4291); an address alone is the network of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network(IpNet);

impl Network {
    /// Whether the address is in it. An IPv4 address that is written as IPv6 counts as the IPv4 address that it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for Network {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let bad = || BadName {
            kind: "network",
            rule: "an address or a network such as 10.0.0.0/8 or fd00::/8, without bits beyond its length, and no ::ffff: addresses",
            text: cut(text),
        };
        let net = match text.parse::<IpNet>() {
            Ok(net) => net,
            Err(_) => IpNet::from(text.parse::<IpAddr>().map_err(|_| bad())?),
        };
        // A mapped network would fit nothing, since addresses are compared in their own family.
        let mapped = matches!(net.network(), IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
        if net.trunc() == net && !mapped { Ok(Self(net)) } else { Err(bad()) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.0.prefix_len() == self.0.max_prefix_len();
        if whole { self.0.addr().fmt(f) } else { self.0.fmt(f) }
    }
}

as_text!(Network);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_reads_back_and_holds_its_addresses() {
        for (text, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("10.0.0.0/8", "::ffff:10.1.1.1", "::ffff:11.1.1.1"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("fd00::/8", "fd12::1", "fe80::1"),
            ("0.0.0.0/0", "203.0.113.9", "::1"),
        ] {
            let network: Network = text.parse().expect(text);
            assert_eq!(network.to_string(), text);
            assert!(network.contains(inside.parse().expect("an address")), "{text} holds {inside}");
            assert!(!network.contains(outside.parse().expect("an address")), "{text} holds not {outside}");
        }
        for bad in ["", "10.0.0.1/8", "10.0.0.0/33", "10.0.0", "example.com", "::ffff:10.0.0.0/104", "10.0.0.0/-1", " 10.0.0.0/8"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
