//! The proxy's file. Every default stands in one table, which also prints the reference; what is absent is read from there.

mod balancers;

use std::fmt::Display;
use std::net::SocketAddr;
use std::str::FromStr;

use access::amount::Period;

use crate::faults::{Fault, Source, quoted};
use crate::read::{Fields, Reader};
use crate::tree::{Node, Value};

pub use balancers::{Balancers, By};

/// Longest life of a user's certificate.
const CERTIFICATE: u64 = 12 * 3_600;
/// Longest life of a sign-in link.
const LINK: u64 = 24 * 3_600;

/// A field with the value that an absent one has, as YAML, and what it is for.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The field.
    pub field: &'static str,
    /// Its value when absent; empty for an empty list.
    pub value: &'static str,
    /// One sentence for the reference.
    pub says: &'static str,
}

/// Every field of the file.
pub const DEFAULTS: [Setting; 8] = [
    Setting { field: "listen", value: "0.0.0.0:8443", says: "Address and port that everything comes in by." },
    Setting { field: "public", value: "", says: "Names under which people and agents reach this proxy." },
    Setting { field: "balancers", value: "{}", says: "Load balancers that say who their client is: peers, by." },
    Setting { field: "webhook", value: "", says: "Receivers of events: name, url, secret_file, allow_private." },
    Setting { field: "certificate_life", value: "12h", says: "How long a user's certificate lasts, at most 12h." },
    Setting { field: "link_life", value: "15m", says: "How long a sign-in link can be used, at most 24h." },
    Setting { field: "max_connections", value: "10000", says: "Connections at once." },
    Setting { field: "max_sessions", value: "5000", says: "Sessions at once." },
];

/// What the proxy goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyFile {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Names under which it is reached: DNS names or addresses, without a port.
    pub public: Vec<String>,
    /// Peers that say who their client is; none where everybody comes directly.
    pub balancers: Option<Balancers>,
    /// Receivers of events.
    pub webhook: Vec<Webhook>,
    /// Life of a user's certificate.
    pub certificate_life: Period,
    /// Life of a sign-in link.
    pub link_life: Period,
    /// Connections at once.
    pub max_connections: u32,
    /// Sessions at once.
    pub max_sessions: u32,
}

/// A receiver of events. `Debug` shows the name only: an address often carries a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its name, in events and commands.
    pub name: String,
    /// Where it is: http or https.
    pub url: String,
    /// The file with the signing secret.
    pub secret_file: String,
    /// Whether it may be at an address that is not public: this machine, or a private network.
    pub allow_private: bool,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Reads the proxy's file. An empty text is the default.
///
/// # Errors
/// Every fault in the order of the text.
pub fn proxy(file: &str, text: &str) -> Result<ProxyFile, Vec<Fault>> {
    let source = Source::new(file, text);
    let (mut read, tree) = Reader::one(&source);
    let fields = read.fields(&tree, "the proxy's file", &DEFAULTS.map(|default| default.field));
    let written = (
        listen(&mut read, &fields),
        life(&mut read, &fields, "certificate_life", CERTIFICATE),
        life(&mut read, &fields, "link_life", LINK),
        number(&mut read, &fields, "max_connections"),
        number(&mut read, &fields, "max_sessions"),
    );
    let public = fields.get("public").map(|node| read.list(node, "public")).unwrap_or_default();
    let public = public.iter().filter_map(|item| host(&mut read, item)).collect();
    let balancers = balancers::balancers(&mut read, &fields);
    let webhook = webhooks(&mut read, &fields);
    let (Some(listen), Some(certificate_life), Some(link_life), Some(max_connections), Some(max_sessions)) = written else {
        // A field without a value was a fault, since every default parses (tested), so this list is not empty.
        return Err(read.end(()).err().unwrap_or_default());
    };
    read.end(ProxyFile { listen, public, balancers, webhook, certificate_life, link_life, max_connections, max_sessions })
}

/// The reference of the file, one line for each field.
pub fn reference() -> String {
    let line = |default: &Setting| {
        let value = if default.value.is_empty() { "[]" } else { default.value };
        format!("{}: {value}  # {}\n", default.field, default.says)
    };
    DEFAULTS.iter().map(line).collect()
}

fn default_of<T: FromStr>(field: &str) -> Option<T> {
    DEFAULTS.iter().find(|default| default.field == field)?.value.parse().ok()
}

fn or_default<T: FromStr<Err: Display>>(read: &mut Reader<'_>, fields: &Fields<'_>, field: &str, remedy: &str) -> Option<T> {
    match fields.get(field) {
        Some(node) => read.parse(node, field, remedy),
        None => default_of(field),
    }
}

fn listen(read: &mut Reader<'_>, fields: &Fields<'_>) -> Option<SocketAddr> {
    let Some(node) = fields.get("listen") else { return default_of("listen") };
    let parsed = match &node.value {
        Value::Scalar { text, .. } => text.parse().ok(),
        _ => None,
    };
    if parsed.is_none() {
        let remedy = "write an address and a port, such as 0.0.0.0:8443 or \"[::]:8443\"";
        read.fault(&node.at, "listen is HOST:PORT, with the host as an IP address", remedy);
    }
    parsed
}

fn life(read: &mut Reader<'_>, fields: &Fields<'_>, field: &str, most: u64) -> Option<Period> {
    let period: Period = or_default(read, fields, field, "write for example 15m")?;
    let most = Period::from_secs(most);
    if period > most || period.duration().is_zero() {
        let node = fields.get(field)?;
        read.fault(&node.at, format!("{field} is more than nothing and at most {most}"), format!("write {most} or less"));
        return None;
    }
    Some(period)
}

fn number(read: &mut Reader<'_>, fields: &Fields<'_>, field: &str) -> Option<u32> {
    match fields.get(field) {
        Some(node) => read.count(node, field, 1_000_000),
        None => default_of(field),
    }
}

fn host(read: &mut Reader<'_>, item: &Node) -> Option<String> {
    let text = read.text(item, "a public name")?;
    if is_host(text) {
        return Some(text.to_owned());
    }
    read.fault(
        &item.at,
        format!("{} is no host name", quoted(text)),
        "write a DNS name in lower case or an address, without scheme and port",
    );
    None
}

/// A DNS name in lower case (RFC 1123) or an IP address without brackets.
fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    text.parse::<std::net::IpAddr>().is_ok() || (text.len() <= 253 && text.split('.').all(label))
}

fn webhooks(read: &mut Reader<'_>, fields: &Fields<'_>) -> Vec<Webhook> {
    let Some(node) = fields.get("webhook") else { return Vec::new() };
    let mut all: Vec<Webhook> = Vec::new();
    for item in read.list(node, "webhook") {
        let fields = read.fields(item, "a webhook", &["name", "url", "secret_file", "allow_private"]);
        let allow_private = fields.get("allow_private").and_then(|node| read.flag(node, "allow_private")).unwrap_or_default();
        let mut part = |field: &str, good: fn(&str) -> bool, remedy: &str| {
            let Some(node) = fields.get(field) else {
                read.fault(&item.at, format!("this webhook has no {field}"), remedy);
                return None;
            };
            let text = read.text(node, field)?;
            if !good(text) {
                read.fault(&node.at, format!("{} is no {field} of a webhook", quoted(text)), remedy);
            }
            Some((text.to_owned(), node))
        };
        let name = part("name", |text| text.parse::<access::words::RoleName>().is_ok(), "name it in 1 to 64 of a-z 0-9 . _ -");
        let url = part("url", is_url, "write https:// and a host, without user name and fragment");
        let secret = part("secret_file", |text| !text.is_empty() && !text.contains('\0'), "name a file that holds the signing secret");
        let (Some((name, at)), Some((url, url_at)), Some((secret_file, _))) = (name, url, secret) else { continue };
        if is_url(&url) && url.starts_with("http://") && !(allow_private && is_this_machine(&url)) {
            let remedy = "write https://, or for a receiver on this machine http://127.0.0.1 with allow_private: true";
            read.fault(&url_at.at, "plain http goes only to this machine, and only with allow_private", remedy);
        }
        if all.iter().any(|other| other.name == name) {
            read.fault(&at.at, format!("a webhook {} stands here twice", quoted(&name)), "rename one: cursors go by the name");
        }
        all.push(Webhook { name, url, secret_file, allow_private });
    }
    all
}

/// `http` or `https`, a host with an optional port, then anything printable; no user name, which would hide the host, and no fragment.
fn is_url(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else { return false };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let authority = rest.get(..end).unwrap_or_default();
    let port_good = |port: &str| port.parse::<u16>().is_ok_and(|port| port != 0);
    let host_good = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => {
            address.parse::<std::net::Ipv6Addr>().is_ok() && (port.is_empty() || port.strip_prefix(':').is_some_and(port_good))
        }
        None => match authority.split_once(':') {
            Some((host, port)) => is_host(host) && port_good(port),
            None => is_host(authority),
        },
    };
    host_good && text.len() <= 2_048 && text.bytes().all(|b| b.is_ascii_graphic() && b != b'#' && b != b'\\')
}

/// Whether the host is a name or address of loopback. The connection is checked again when it is made.
fn is_this_machine(url: &str) -> bool {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_defaults_is_what_an_empty_file_means() {
        let meant = proxy("p.yaml", "").expect("no faults");
        assert_eq!((meant.listen.to_string().as_str(), meant.public.len(), meant.max_sessions), ("0.0.0.0:8443", 0, 5_000));
        assert_eq!((meant.link_life.to_string().as_str(), meant.certificate_life.to_string().as_str()), ("15m", "12h"));
        assert_eq!(proxy("p.yaml", &reference()), Ok(meant));
    }

    #[test]
    fn a_whole_file_is_read() {
        let text = "listen: \"[::1]:443\"\npublic: [naru.example.org, 10.0.0.1]\nlink_life: 1h\nwebhook:\n  - {name: siem, url: \"https://siem.example.org:8443/in?x=1\", secret_file: /etc/naru/siem}\n";
        let meant = proxy("p.yaml", text).expect("no faults");
        assert_eq!(meant.public, ["naru.example.org", "10.0.0.1"]);
        assert_eq!((meant.webhook[0].name.as_str(), meant.listen.port()), ("siem", 443));
    }

    #[test]
    fn all_faults_come_at_once() {
        let text = "listen: 443\nlink_life: 25h\nmax_sessions: many\npublic: [https://x]\nwebhook:\n  - {name: a, url: gopher://x, secret_file: f}\n  - {name: a, url: \"https://x\"}\nlisten_on: x\n";
        let faults = proxy("p.yaml", text).expect_err("faults");
        let lines: Vec<usize> = faults.iter().map(|fault| fault.line).collect();
        assert_eq!(lines, [1, 2, 3, 4, 6, 7, 8], "{}", crate::faults::text(&faults));
        assert!(faults[0].message.contains("HOST:PORT") && faults[0].remedy.contains("0.0.0.0:8443"), "{}", faults[0]);
    }

    #[test]
    fn plain_http_reaches_this_machine_only() {
        let read = |url: &str, rest: &str| proxy("p.yaml", &format!("webhook: [{{name: a, url: \"{url}\", secret_file: f{rest}}}]\n"));
        for good in ["http://127.0.0.1:80/a", "http://localhost/a", "http://[::1]:8080/"] {
            assert!(read(good, ", allow_private: true").is_ok_and(|file| file.webhook[0].allow_private), "{good}");
            assert!(read(good, "").is_err(), "{good}");
        }
        assert!(read("http://10.0.0.1/a", ", allow_private: true").is_err());
        assert!(read("https://x.example", "").is_ok_and(|file| !file.webhook[0].allow_private));
        assert!(read("https://x.example", ", allow_private: \"yes\"").is_err());
        let shown = format!("{:?}", read("https://x.example/T0KEN", "").expect("no faults"));
        assert!(!shown.contains("T0KEN"), "{shown}");
    }

    #[test]
    fn urls_that_hide_their_host_are_refused() {
        for good in ["https://x", "http://127.0.0.1:80/a", "https://[::1]:443/x", "https://a.b/c?d=e"] {
            assert!(is_url(good), "{good}");
        }
        for bad in [
            "x",
            "ftp://x",
            "https://",
            "https://u@x",
            "https://u:p@x",
            "https://x:0",
            "https://x:99999",
            "https://x y",
            "https://x\\@y",
            "https://x#y",
            "https://X",
        ] {
            assert!(!is_url(bad), "{bad}");
        }
    }
}
