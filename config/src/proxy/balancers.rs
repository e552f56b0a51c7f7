//! `balancers` in the proxy's file: which peers are load balancers, and how these say whose connection it is.

use std::net::IpAddr;

use access::network::Network;

use crate::faults::quoted;
use crate::read::{Fields, Reader};

/// Most networks of balancers: each is held against every connection.
const PEERS: usize = 64;

/// Peers that are believed when they say who their client is. All others speak for themselves only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balancers {
    /// Their networks; at least one.
    pub peers: Vec<Network>,
    /// How they say it.
    pub by: By,
}

/// How a balancer says who its client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// By a header of the PROXY protocol, version 1 or 2, before the first byte of each connection.
    ProxyProtocol,
    /// By `X-Forwarded-For` in each HTTPS request; the balancer ends TLS.
    XForwardedFor,
}

const WAYS: [(&str, By); 2] = [("proxy_protocol", By::ProxyProtocol), ("x_forwarded_for", By::XForwardedFor)];

impl Balancers {
    /// Whether the peer at this address is one of them.
    pub fn are_at(&self, ip: IpAddr) -> bool {
        self.peers.iter().any(|network| network.contains(ip))
    }
}

/// Reads the field; an absent or empty one means that everybody comes directly.
pub(super) fn balancers(read: &mut Reader<'_>, fields: &Fields<'_>) -> Option<Balancers> {
    let node = fields.get("balancers")?;
    if read.map(node, "balancers").is_empty() {
        return None;
    }
    let fields = read.fields(node, "balancers", &["peers", "by"]);
    let remedy = "write the addresses or networks of your balancers, such as [10.0.0.0/28]";
    let mut peers = Vec::new();
    let items = fields.get("peers").map(|node| read.list(node, "peers")).unwrap_or_default();
    for item in items.iter().take(PEERS) {
        let Some(network) = read.parse::<Network>(item, "a peer", remedy) else { continue };
        if network.is_everything() {
            let message = format!("with {} anybody could say to be at any address", quoted(&network.to_string()));
            read.fault(&item.at, message, remedy);
        }
        peers.push(network);
    }
    if items.is_empty() {
        read.fault(&node.at, "balancers has no peers", remedy);
    } else if let Some(item) = items.get(PEERS) {
        read.fault(&item.at, format!("these are more than {PEERS} peers"), "write a network that holds several of them");
    }
    let by = match fields.get("by") {
        Some(node) => read.word(node, "by", &WAYS),
        None => {
            read.fault(&node.at, "balancers does not say by what", "write by: proxy_protocol, or by: x_forwarded_for where it ends TLS");
            None
        }
    };
    Some(Balancers { peers, by: by? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::proxy;

    fn read(text: &str) -> Result<Option<Balancers>, String> {
        let meant = proxy("p.yaml", &format!("balancers: {text}\n")).map(|file| file.balancers);
        meant.map_err(|faults| crate::faults::text(&faults))
    }

    #[test]
    fn balancers_are_read() {
        let meant = read("{peers: [10.0.0.0/28, \"fd00::/8\", 192.0.2.1], by: proxy_protocol}").expect("no faults").expect("balancers");
        assert_eq!(meant.by, By::ProxyProtocol);
        for (ip, is) in [("10.0.0.3", true), ("::ffff:10.0.0.3", true), ("10.0.0.16", false), ("fd12::1", true), ("192.0.2.1", true)] {
            assert_eq!(meant.are_at(ip.parse().expect("an address")), is, "{ip}");
        }
        assert!(
            read("{peers: [10.0.0.1], by: x_forwarded_for}").is_ok_and(|meant| meant.is_some_and(|meant| meant.by == By::XForwardedFor))
        );
        assert_eq!((read("{}"), read("")), (Ok(None), Ok(None)));
    }

    #[test]
    fn what_the_page_shows_is_read() {
        let page = include_str!("../../../docs/operating-behind-a-balancer.md");
        let shown: Vec<&str> = page.split("```").filter_map(|block| block.strip_prefix("yaml\n")).collect();
        let meant = proxy("p.yaml", shown.first().expect("a file")).expect("no faults").balancers.expect("balancers");
        assert!(shown.len() == 1 && meant.by == By::ProxyProtocol && meant.are_at("10.0.0.17".parse().expect("an address")));
    }

    #[test]
    fn each_fault_is_told() {
        let many = format!("{{by: proxy_protocol, peers: [{}]}}", "10.0.0.1, ".repeat(PEERS + 1));
        for (text, word) in [
            ("{by: proxy_protocol}", "no peers"),
            ("{peers: [], by: proxy_protocol}", "no peers"),
            ("{peers: [10.0.0.1]}", "by what"),
            ("{peers: [10.0.0.1], by: forwarded}", "by cannot be"),
            ("{peers: [10.0.0.1/8], by: proxy_protocol}", "not a network"),
            ("{peers: [0.0.0.0/0], by: proxy_protocol}", "anybody"),
            ("{peers: [lb.example], by: proxy_protocol}", "not a network"),
            ("{peers: 10.0.0.1, by: proxy_protocol}", "list"),
            ("{peers: [10.0.0.1], by: proxy_protocol, trust: all}", "no field"),
            ("[10.0.0.1]", "a map"),
            (&many, "more than 64"),
        ] {
            let said = read(text).expect_err(text);
            assert!(said.contains(word), "{text}: {said}");
        }
    }
}
