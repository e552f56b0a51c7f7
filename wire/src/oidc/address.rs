//! URLs that a provider names, read as far as trust needs: scheme and host, and nothing in them that readers understand
//! differently. Nothing is resolved or reached here.

use std::net::IpAddr;

/// Longest URL, in bytes.
const MAX_URL: usize = 2048;

/// Why a text is no URL that is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum AddressFault {
    #[error("is longer than 2048 bytes")]
    TooLong,
    #[error("has a character that a URL cannot have as it is")]
    Character,
    #[error("begins with neither https:// nor http://")]
    Scheme,
    #[error("holds a user name or password")]
    UserInfo,
    #[error("has a fragment (`#`)")]
    Fragment,
    #[error("has a query (`?`)")]
    Query,
    #[error("has no plain host name or IP address")]
    Host,
    #[error("has a port that is no number from 1 to 65535")]
    Port,
}

/// A URL of a provider, in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address<'a> {
    pub(super) https: bool,
    /// In lower case; an IPv6 address without brackets.
    pub(super) host: String,
    /// What follows host and port.
    pub(super) path: &'a str,
}

impl<'a> Address<'a> {
    /// Reads `https://HOST[:PORT][/PATH][?QUERY]`, or the same with `http`.
    pub(super) fn read(url: &'a str) -> Result<Self, AddressFault> {
        if url.len() > MAX_URL {
            return Err(AddressFault::TooLong);
        }
        // What WHATWG and RFC 3986 readers take differently, a backslash above all, is in none of these.
        if !url.bytes().all(|byte| byte.is_ascii_graphic() && !br#""<>\^`{|}"#.contains(&byte)) {
            return Err(AddressFault::Character);
        }
        let (scheme, rest) = url.split_once("://").ok_or(AddressFault::Scheme)?;
        let https = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(AddressFault::Scheme),
        };
        if rest.contains('#') {
            return Err(AddressFault::Fragment);
        }
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(AddressFault::UserInfo);
        }
        Ok(Self { https, host: host(authority)?, path })
    }

    /// As [`Self::read`], without a query (OpenID Connect Discovery 1.0 section 3 has no query in an issuer).
    pub(super) fn issuer(url: &'a str) -> Result<Self, AddressFault> {
        let read = Self::read(url)?;
        if read.path.contains('?') { Err(AddressFault::Query) } else { Ok(read) }
    }

    /// Whether the host is this machine by its own word: no name service is asked.
    pub(super) fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

fn host(authority: &str) -> Result<String, AddressFault> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or(AddressFault::Host)?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| AddressFault::Host)?;
            (host, port)
        }
        None => {
            let (host, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
            if host.is_empty() || host.len() > 253 || host.starts_with(['.', '-']) || !host.bytes().all(plain) {
                return Err(AddressFault::Host);
            }
            (host, port)
        }
    };
    match port.strip_prefix(':') {
        None if port.is_empty() => {}
        Some(number) if number.bytes().all(|byte| byte.is_ascii_digit()) && number.parse::<u16>().is_ok_and(|port| port > 0) => {}
        _ => return Err(AddressFault::Port),
    }
    Ok(host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_in_one_way_or_refused() {
        let read = |url| Address::read(url).map(|address| (address.https, address.host, address.path));
        assert_eq!(read("https://SSO.example.com:8443/a/b?c=d"), Ok((true, "sso.example.com".into(), "/a/b?c=d")));
        assert_eq!(read("http://[::1]:80"), Ok((false, "::1".into(), "")));
        assert_eq!(read("https://a?b@c"), Ok((true, "a".into(), "?b@c")));
        let table = [
            ("https://good.example\\@evil.example/", AddressFault::Character),
            ("https://a b/", AddressFault::Character),
            ("https://\u{ff41}.example/", AddressFault::Character),
            ("HTTPS://a/", AddressFault::Scheme),
            ("ftp://a/", AddressFault::Scheme),
            ("//a/", AddressFault::Scheme),
            ("https:///a", AddressFault::Host),
            ("https://:443/", AddressFault::Host),
            ("https://.a/", AddressFault::Host),
            ("https://a%2eb/", AddressFault::Host),
            ("https://[fe80::1%25eth0]/", AddressFault::Host),
            ("https://[::1/", AddressFault::Host),
            ("https://u:p@a/", AddressFault::UserInfo),
            ("https://a/b#c", AddressFault::Fragment),
            ("https://a:0/", AddressFault::Port),
            ("https://a:65536/", AddressFault::Port),
            ("https://a:+1/", AddressFault::Port),
            ("https://a:/", AddressFault::Port),
            ("https://[::1]8/", AddressFault::Port),
        ];
        table.into_iter().for_each(|(url, fault)| assert_eq!(Address::read(url), Err(fault), "{url}"));
        assert_eq!(Address::read(&format!("https://a/{}", "x".repeat(MAX_URL))), Err(AddressFault::TooLong));
        assert_eq!(Address::issuer("https://a/?x"), Err(AddressFault::Query));
    }

    #[test]
    fn only_this_machine_is_loopback() {
        let loopback = |host: &str| Address::read(&format!("http://{host}/")).is_ok_and(|address| address.is_loopback());
        assert!(["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "[::1]"].into_iter().all(loopback));
        assert!(
            !["localhost.evil.example", "127.0.0.1.evil.example", "2130706433", "0x7f.1", "127.1", "[::2]", "10.0.0.1"]
                .into_iter()
                .any(loopback)
        );
    }
}
