//! The pin of a certificate authority, and the sign-in link that carries address, secret and pin. Pure text; nothing is fetched.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// SHA-256 of a CA certificate's DER. Prints as `sha256:` and base64url without padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pin([u8; 32]);

impl Pin {
    /// Of a certificate in DER.
    pub fn of_der(der: &[u8]) -> Self {
        let mut out = [0; 32];
        out.copy_from_slice(digest(&SHA256, der).as_ref());
        Self(out)
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", URL_SAFE_NO_PAD.encode(self.0))
    }
}

/// Why a text is no pin or no link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum BadLink {
    #[error("a CA pin is `sha256:` and 43 characters of base64url")]
    Pin,
    #[error("the address is not `https://HOST:PORT`")]
    Address,
    #[error("a sign-in link is `https://HOST:PORT/sign-in#SECRET.sha256:…`, whole and without a line break")]
    Link,
}

impl FromStr for Pin {
    type Err = BadLink;
    fn from_str(text: &str) -> Result<Self, BadLink> {
        let body = text.strip_prefix("sha256:").ok_or(BadLink::Pin)?;
        if body.len() != 43 {
            return Err(BadLink::Pin);
        }
        let bytes = URL_SAFE_NO_PAD.decode(body).map_err(|_| BadLink::Pin)?;
        Ok(Self(bytes.try_into().map_err(|_| BadLink::Pin)?))
    }
}

/// `https://HOST:PORT`: where a proxy listens. The host is a DNS name or an IP address; the port is 443 when absent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// The host without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }
    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
    /// `host:port` as a `Host` header and a socket address want it.
    pub fn authority(&self) -> String {
        if self.host.contains(':') { format!("[{}]:{}", self.host, self.port) } else { format!("{}:{}", self.host, self.port) }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.authority())
    }
}

impl FromStr for Address {
    type Err = BadLink;
    /// Takes `https://HOST[:PORT]` with at most a `/` behind it, or `HOST:PORT`.
    fn from_str(text: &str) -> Result<Self, BadLink> {
        let rest = text.strip_prefix("https://").unwrap_or(text);
        let (host, port) = host_port(rest.strip_suffix('/').unwrap_or(rest)).ok_or(BadLink::Address)?;
        Ok(Self { host, port })
    }
}

fn host_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, port)
        }
        None => {
            let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            (1..=253).contains(&host.len()).then_some(())?;
            let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
            (host.bytes().all(plain) && !host.starts_with(['-', '.'])).then_some(())?;
            (host, port)
        }
    };
    let port = match port.strip_prefix(':') {
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok().filter(|port| *port > 0)?,
        None if port.is_empty() => 443,
        _ => return None,
    };
    Some((host.to_ascii_lowercase(), port))
}

/// A one-time sign-in link: `https://HOST:PORT/sign-in#SECRET.PIN`. What is behind the `#` never leaves in a GET.
#[derive(Clone, PartialEq, Eq)]
pub struct SignInLink {
    /// Where to.
    pub address: Address,
    /// Letters, digits, `-` and `_`.
    pub secret: String,
    /// The CA in which the server's certificate must end.
    pub pin: Pin,
}

impl fmt::Display for SignInLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/sign-in#{}.{}", self.address, self.secret, self.pin)
    }
}

impl fmt::Debug for SignInLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignInLink").field("address", &self.address).field("pin", &self.pin).finish_non_exhaustive()
    }
}

impl FromStr for SignInLink {
    type Err = BadLink;
    fn from_str(text: &str) -> Result<Self, BadLink> {
        let (url, fragment) = text.trim().split_once('#').ok_or(BadLink::Link)?;
        let address = url.strip_suffix("/sign-in").filter(|url| url.starts_with("https://")).ok_or(BadLink::Link)?.parse()?;
        let (secret, pin) = fragment.rsplit_once('.').ok_or(BadLink::Link)?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if !(16..=200).contains(&secret.len()) || !secret.bytes().all(plain) {
            return Err(BadLink::Link);
        }
        Ok(Self { address, secret: secret.to_owned(), pin: pin.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_reads_back_as_it_was_printed() {
        let link = SignInLink {
            address: "https://127.0.0.1:7443".parse().expect("address"),
            secret: "abcdefghijklmnop_-".into(),
            pin: Pin::of_der(b"x"),
        };
        let text = link.to_string();
        assert!(text.starts_with("https://127.0.0.1:7443/sign-in#abcdefghijklmnop_-.sha256:"), "{text}");
        assert_eq!(text.parse(), Ok(link.clone()));
        assert_eq!(format!("  {text}\n").parse(), Ok(link.clone()), "as pasted");
        assert!(!format!("{link:?}").contains("abcdefgh"), "the secret does not print");
    }

    #[test]
    fn cut_or_hostile_links_are_refused() {
        let pin = Pin::of_der(b"x");
        let good = format!("https://h:1/sign-in#abcdefghijklmnop.{pin}");
        assert!(good.parse::<SignInLink>().is_ok());
        for cut in 0..good.len() {
            assert!(good[..cut].parse::<SignInLink>().is_err(), "{cut}");
        }
        for bad in
            ["http://h:1/sign-in#", "https://h:1/sign-in?x#", "https://u@h:1/sign-in#", "https://h:1/../sign-in#", "https://h h/sign-in#"]
        {
            assert!(format!("{bad}abcdefghijklmnop.{pin}").parse::<SignInLink>().is_err(), "{bad}");
        }
        assert!(format!("https://h:1/sign-in#abcd\nefghijklmnop.{pin}").parse::<SignInLink>().is_err());
    }

    #[test]
    fn addresses() {
        for (text, host, port) in
            [("https://naru.example", "naru.example", 443), ("LOCALHOST:22", "localhost", 22), ("https://[::1]:8443/", "::1", 8443)]
        {
            let address: Address = text.parse().expect("address");
            assert_eq!((address.host(), address.port()), (host, port));
            assert_eq!(address.to_string().parse(), Ok(address));
        }
        for bad in ["", "https://", "h:", "h:0", "h:65536", "h:+1", "-h:1", "a b:1", "h\n:1", "[::1", "::1", "h:1/x", "%h:1", "h\":1"] {
            assert!(bad.parse::<Address>().is_err(), "{bad:?}");
        }
    }
}
