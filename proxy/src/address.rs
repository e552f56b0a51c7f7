//! Which addresses may be connected to. Asked of the address that is dialled and of the socket that came of it, never of a name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What kind of place an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Anybody's: the internet.
    Public,
    /// This machine.
    Loopback,
    /// A private network (RFC 1918, 4193, 6598).
    Private,
    /// Nothing that a receiver can be: link-local, the clouds' metadata services, multicast, reserved, documentation, tunnels.
    Never,
}

/// The clouds' metadata services that are not link-local: Azure, Alibaba, Oracle, AWS over IPv6.
const METADATA: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// The class by the special-purpose registries of IANA (RFC 6890 and what came after).
pub(crate) fn class(ip: IpAddr) -> Class {
    if METADATA.contains(&ip) {
        return Class::Never;
    }
    match ip {
        IpAddr::V4(ip) => class_4(ip),
        IpAddr::V6(ip) => class_6(ip),
    }
}

fn class_4(ip: Ipv4Addr) -> Class {
    let [a, b, c, _] = ip.octets();
    match (a, b, c) {
        (127, ..) => Class::Loopback,
        (10, ..) | (192, 168, _) => Class::Private,
        (172, 16..=31, _) | (100, 64..=127, _) => Class::Private,
        (0 | 224..=255, ..) | (169, 254, _) | (192, 0, 0 | 2) | (192, 88, 99) | (198, 18 | 19, _) => Class::Never,
        (198, 51, 100) | (203, 0, 113) => Class::Never,
        _ => Class::Public,
    }
}

fn class_6(ip: Ipv6Addr) -> Class {
    if let Some(inner) = ip.to_ipv4_mapped() {
        return class(IpAddr::V4(inner));
    }
    if ip.is_loopback() {
        return Class::Loopback;
    }
    let [a, b, c, d, e, f, g, h] = ip.segments();
    match (a, b) {
        // NAT64 (RFC 6052): what counts is where it leads.
        (0x64, 0xff9b) if (c, d, e, f) == (0, 0, 0, 0) => {
            let ([g1, g2], [h1, h2]) = (g.to_be_bytes(), h.to_be_bytes());
            match class(IpAddr::V4(Ipv4Addr::new(g1, g2, h1, h2))) {
                Class::Public => Class::Public,
                _ => Class::Never,
            }
        }
        (0xfc00..=0xfdff, _) => Class::Private,
        // Protocol assignments with Teredo, 6to4, documentation.
        (0x2001, 0..=0x1ff | 0xdb8) | (0x2002, _) | (0x3fff, 0..=0xfff) => Class::Never,
        (0x2000..=0x3fff, _) => Class::Public,
        _ => Class::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_inside_is_known() {
        let of = |text: &str| class(text.parse().expect("an address"));
        for text in ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"] {
            assert_eq!(of(text), Class::Public, "{text}");
        }
        for text in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(of(text), Class::Loopback, "{text}");
        }
        for text in ["10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "fd12::1", "::ffff:10.0.0.1"] {
            assert_eq!(of(text), Class::Private, "{text}");
        }
        for text in [
            "0.0.0.0",
            "169.254.169.254",
            "168.63.129.16",
            "100.100.100.200",
            "fd00:ec2::254",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2002:7f00:1::",
            "2001:0:7f00:1::",
            "64:ff9b::7f00:1",
            "64:ff9b:1::a00:1",
        ] {
            assert_eq!(of(text), Class::Never, "{text}");
        }
    }
}
