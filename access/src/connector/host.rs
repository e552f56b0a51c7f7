//! Addresses of providers as text: taken apart as far as is needed to say what is wrong with them. Nothing is resolved or reached here.

use std::net::IpAddr;

/// The parts of `https://host:port/path`, as far as they are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Url<'a> {
    pub(super) https: bool,
    pub(super) host: &'a str,
    /// From the first `/` on.
    pub(super) path: &'a str,
}

impl<'a> Url<'a> {
    /// Takes one apart; none where scheme, host or port are not as they must be.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (https, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, rest) => (false, rest?),
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (host, port) = host_and_port(authority)?;
        (port.is_none_or(is_port) && is_host(host)).then_some(Self { https, host, path })
    }
    /// Whether it leads to the proxy's own machine.
    pub(super) fn is_loopback(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost") || bare(self.host).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

/// `host`, `host:port`, `[::1]:port`: the host with its brackets, and the port.
pub(super) fn host_and_port(authority: &str) -> Option<(&str, Option<&str>)> {
    let end = if authority.starts_with('[') { authority.find(']')? + 1 } else { authority.find(':').unwrap_or(authority.len()) };
    let (host, rest) = authority.split_at(end);
    match rest.strip_prefix(':') {
        Some(port) => Some((host, Some(port))),
        None => rest.is_empty().then_some((host, None)),
    }
}

/// Whether it is a port from 1 to 65535 in digits.
pub(super) fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

/// Whether it is a DNS name, an IPv4 address or an IPv6 address in brackets.
pub(super) fn is_host(text: &str) -> bool {
    if text.starts_with('[') {
        return bare(text).parse::<std::net::Ipv6Addr>().is_ok() && text.ends_with(']');
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_comes_apart_or_is_refused() {
        for (text, https, host, path, loopback) in [
            ("https://sso.example.com", true, "sso.example.com", "", false),
            ("https://sso.example.com:8443/realms/a", true, "sso.example.com", "/realms/a", false),
            ("http://127.0.0.1:8080/realms/a?x", false, "127.0.0.1", "/realms/a?x", true),
            ("http://127.9.9.9", false, "127.9.9.9", "", true),
            ("http://[::1]:80/", false, "[::1]", "/", true),
            ("https://LOCALHOST#x", true, "LOCALHOST", "#x", true),
            ("http://localhost.example.com", false, "localhost.example.com", "", false),
            ("http://127.0.0.1.example.com", false, "127.0.0.1.example.com", "", false),
        ] {
            let url = Url::parse(text).expect(text);
            assert_eq!((url.https, url.host, url.path, url.is_loopback()), (https, host, path, loopback), "{text}");
        }
        for bad in [
            "",
            "sso.example.com",
            "ftp://a",
            "HTTPS://a",
            "https://",
            "https:///x",
            "https://a@b",
            "https://a:b@c",
            "https://a:0",
            "https://a:65536",
            "https://a:",
            "https://a:+1",
            "https://[::1",
            "https://[a]",
            "https://[::1]x",
            "https://a b",
            "https://-a",
            "https://a..b",
            "https://한",
        ] {
            assert_eq!(Url::parse(bad), None, "{bad}");
        }
    }
}
