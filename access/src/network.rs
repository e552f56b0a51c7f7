//! A network of IP addresses as people write it: `10.0.0.0/8`, `2001:db8::/32`, or one address. No lookup of names and no list of
//! networks with a meaning of their own.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::words::{BadName, as_text, cut};

/// Addresses that begin with the same bits (CIDR, RFC 4632). Bits after these are refused, since they would mean nothing: whoever
/// writes `10.1.2.3/8` thinks of something else. One address alone is a network of itself.
///
/// An IPv4 address that is written as IPv6 (`::ffff:10.0.0.1`, RFC 4291 2.5.5.2) is the IPv4 address, in a network as in what is asked
/// of it. So `0.0.0.0/0` is all of IPv4, and `::/0` all of IPv6 without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^[0-9a-f.:]+(/[0-9]{1,3})?$"))]
pub struct Network {
    address: IpAddr,
    /// Bits that count, from the left.
    bits: u8,
}

/// Bits of `::ffff:0:0/96`, below which the IPv4 addresses lie.
const MAPPED: u8 = 96;

impl Network {
    /// Whether an address is one of this network.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        ip.is_ipv4() == self.address.is_ipv4() && first_bits(ip, self.bits) == self.address
    }

    /// Whether every address of its kind is in it.
    pub fn is_everything(&self) -> bool {
        self.bits == 0
    }

    fn of(address: IpAddr, bits: u8) -> Option<Self> {
        let network = match (address, address.to_canonical()) {
            (IpAddr::V6(_), IpAddr::V4(inner)) => Self { address: inner.into(), bits: bits.checked_sub(MAPPED)? },
            _ => Self { address, bits },
        };
        (bits <= width(address) && first_bits(network.address, network.bits) == network.address).then_some(network)
    }
}

fn width(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

/// The address with nothing but its first bits.
fn first_bits(ip: IpAddr, bits: u8) -> IpAddr {
    let bits = u32::from(bits);
    match ip {
        // A shift by the whole width would be none at all.
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & u32::MAX.checked_shl(32_u32.saturating_sub(bits)).unwrap_or(0)).into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & u128::MAX.checked_shl(128_u32.saturating_sub(bits)).unwrap_or(0)).into(),
    }
}

/// A number of bits in one spelling: no sign and no zero before it.
fn number(text: &str) -> Option<u8> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

impl FromStr for Network {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let read = || match text.split_once('/') {
            Some((address, bits)) => Self::of(address.parse().ok()?, number(bits)?),
            None => text.parse().ok().and_then(|address| Self::of(address, width(address))),
        };
        read().ok_or_else(|| BadName {
            kind: "network",
            rule: "an address and how many of its first bits count, with all others 0, such as 10.0.0.0/8 or 2001:db8::/32",
            text: cut(text),
        })
    }
}

as_text!(Network);

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn one_network_has_one_spelling() {
        for (written, shown) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("::/0", "::/0"),
            ("192.0.2.7", "192.0.2.7/32"),
            ("2001:DB8:0:0::/32", "2001:db8::/32"),
            ("fd00::1", "fd00::1/128"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:10.0.0.1", "10.0.0.1/32"),
            ("::ffff:0.0.0.0/96", "0.0.0.0/0"),
        ] {
            assert_eq!(network(written).to_string(), shown, "{written}");
            assert_eq!(network(shown), network(written));
        }
        let bad = "10.1.2.3/8 10.0.0.0/33 10.0.0.0/ /8 10.0.0.0/08 10.0.0.0/+8 10.0.0/8 010.0.0.0/8 10.0.0.0/8/8 ::/129 fd00::1/64 \
                   ::ffff:10.0.0.0/95 ::ffff:10.1.0.0/104 fe80::1%eth0 [::1] localhost 10.0.0.0-10.0.0.9";
        for bad in bad.split_ascii_whitespace().chain([" ", " 10.0.0.0/8", "10.0.0.0/8\n"]) {
            assert!(bad.parse::<Network>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_mapped_address_is_the_address_inside() {
        let (inner, all6) = (network("10.0.0.0/8"), network("::/0"));
        for (ip, in_v4) in [("10.1.1.1", true), ("::ffff:10.1.1.1", true), ("11.1.1.1", false), ("::ffff:11.1.1.1", false)] {
            let ip = ip.parse().expect("an address");
            assert_eq!((inner.contains(ip), all6.contains(ip)), (in_v4, false), "{ip}");
        }
        assert!(all6.contains("fd00::1".parse().expect("an address")) && !inner.contains("a00::".parse().expect("an address")));
    }

    #[test]
    fn it_is_written_as_text() {
        let read: Vec<Network> = serde_json::from_str(r#"["10.0.0.0/8", "fd00::/8"]"#).expect("networks");
        assert_eq!(serde_json::to_string(&read).expect("text"), r#"["10.0.0.0/8","fd00::/8"]"#);
        assert!(serde_json::from_str::<Network>(r#""10.0.0.1/8""#).is_err());
    }

    fn binary(ip: IpAddr) -> String {
        match ip {
            IpAddr::V4(v4) => format!("{:032b}", v4.to_bits()),
            IpAddr::V6(v6) => format!("{:0128b}", v6.to_bits()),
        }
    }

    fn address() -> impl Strategy<Value = IpAddr> {
        // Few different addresses, so that many share their first bits.
        let v4 = (any::<bool>(), 0..4_u32).prop_map(|(high, low)| Ipv4Addr::from_bits((u32::from(high) << 31) | low).into());
        let v6 = (0..4_u128, 0..4_u128).prop_map(|(high, low)| Ipv6Addr::from_bits((high << 126) | (1 << 60) | low).into());
        prop_oneof![v4, v6, any::<Ipv4Addr>().prop_map(IpAddr::from), any::<Ipv6Addr>().prop_map(IpAddr::from)]
    }

    proptest! {
        #[test]
        fn what_it_holds_is_what_begins_with_the_same_digits(net in address(), bits in 0..=128_u8, ip in address()) {
            let bits = bits.min(width(net));
            let written = format!("{}/{bits}", first_bits(net, bits));
            prop_assume!(net == net.to_canonical() && first_bits(net, bits) == first_bits(net, bits).to_canonical());
            let network: Network = written.parse().expect("a network");
            prop_assert_eq!(network.to_string(), written);
            let (ip, kept) = (ip.to_canonical(), usize::from(bits));
            let same = ip.is_ipv4() == net.is_ipv4() && binary(ip)[..kept] == binary(net)[..kept];
            prop_assert_eq!(network.contains(ip), same);
        }

        #[test]
        fn no_text_is_a_fault_of_ours(text in ".{0,60}") {
            if let Ok(network) = text.parse::<Network>() {
                prop_assert_eq!(network.to_string().parse(), Ok(network));
            }
        }
    }
}
