//! What parses in a connector or a bot and still must not be declared, each with what to write instead. Nothing is asked of the provider here.

use std::time::Duration;

use super::host::{Url, host_and_port, is_host, is_port};
use super::{BotSpec, ConnectorSpec, ProviderSpec};
use crate::amount::Period;
use crate::policy::SpecFault;
use crate::policy::pattern::is_trait_name;
use crate::words::shown;

/// Signatures that a provider may make: all asymmetric (RFC 7518 section 3.1, RFC 8037).
const ALGORITHMS: [&str; 9] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];
/// Most paths of claims that are kept of a token.
const PATHS: usize = 64;
/// Most items of a list.
const ITEMS: usize = 64;
/// Longest login.
const LOGIN: Duration = Duration::from_secs(12 * 3_600);
/// Longest login of a bot.
const BOT_LOGIN: Duration = Duration::from_secs(3_600);

impl ConnectorSpec {
    /// Everything that parses and still must not be declared. Empty means good.
    pub fn faults(&self) -> Vec<SpecFault> {
        let mut found = Found::default();
        found.provider(&self.provider());
        found.word("client_id", &self.client_id, "a connector needs a client", "write the id of Naru's client at the provider");
        if self.client_secret.is_some() && self.private_key_jwt {
            let message = "with private_key_jwt no secret is used, and one stands here";
            found.add("client_secret", message, "keep one of the two; private_key_jwt leaves no secret to lose");
        }
        if self.client_secret.as_ref().is_some_and(|secret| secret.reveal().trim().is_empty()) {
            found.add("client_secret", "this secret is empty", "leave it out to keep the one that is there, or for a public client");
        }
        for (name, words) in [("scopes", &self.scopes), ("audiences", &self.audiences)] {
            found.few(name, words.len(), ITEMS);
            for (i, word) in words.iter().enumerate() {
                found.word(&format!("{name}[{i}]"), word, "an empty word says nothing", "leave it out");
            }
        }
        if let Some(path) = &self.username {
            found.path("username", path);
        }
        for (path, by_value) in &self.claims {
            let place = format!("claims.{path}");
            found.path(&place, path);
            if by_value.is_empty() {
                found.add(
                    &place,
                    "this claim names no value, so it gives no role",
                    "write value: [role], with * for any run of characters",
                );
            }
            for (value, _) in by_value.iter().filter(|(_, roles)| roles.is_empty()) {
                found.add(&format!("{place}.{value}"), "this value gives no role", "name a role, or leave the value out");
            }
        }
        for (name, path) in &self.traits {
            found.trait_name(name);
            found.path(&format!("traits.{name}"), path);
        }
        found.few("claims", self.paths().len(), PATHS);
        found.limits("max_login", self.max_login, Duration::from_secs(1), LOGIN, "at most 12h and more than 0s");
        found.limits("refresh", self.refresh, Duration::from_secs(5), Duration::from_secs(3_600), "from 5s to 1h");
        found.limits("outage", self.outage, Duration::ZERO, LOGIN, "at most 12h");
        found.0
    }
}

impl BotSpec {
    /// Everything that parses and still must not be declared. Empty means good.
    pub fn faults(&self) -> Vec<SpecFault> {
        let mut found = Found::default();
        found.provider(&self.provider());
        found.word(
            "audience",
            &self.audience,
            "a bot needs an audience",
            "write what its tokens are made for, such as this server's address",
        );
        if self.claims.is_empty() {
            found.add("claims", "without claims every token of that provider would fit", "pin at least sub");
        } else if self.claims.values().all(|patterns| patterns.iter().any(|pattern| pattern.fits_all())) {
            found.add("claims", "these claims let every token of that provider in", "pin one of them without *, or with more around it");
        }
        for (path, patterns) in &self.claims {
            let place = format!("claims.{path}");
            found.path(&place, path);
            if patterns.is_empty() {
                found.add(&place, "nothing can fit an empty list", "write the values that may stand there");
            }
        }
        found.few("claims", self.claims.len(), PATHS);
        self.traits.keys().for_each(|name| found.trait_name(name));
        found.limits("max_login", self.max_login, Duration::from_secs(1), BOT_LOGIN, "at most 1h and more than 0s");
        found.0
    }
}

/// What was found so far.
#[derive(Default)]
struct Found(Vec<SpecFault>);

impl Found {
    fn add(&mut self, path: &str, message: impl Into<String>, remedy: &str) {
        self.0.push(SpecFault { path: path.to_owned(), message: message.into(), remedy: remedy.to_owned() });
    }

    fn provider(&mut self, provider: &ProviderSpec) {
        if let Some((message, remedy)) = issuer(&provider.issuer) {
            self.add("issuer", message, remedy);
        }
        if let Some((message, remedy)) = provider.ca.as_deref().and_then(authority) {
            self.add("ca", message, remedy);
        }
        if let Some((message, remedy)) = provider.proxy.as_deref().and_then(way) {
            self.add("proxy", message, remedy);
        }
        self.few("endpoint_hosts", provider.endpoint_hosts.len(), ITEMS);
        for (i, host) in provider.endpoint_hosts.iter().enumerate().filter(|(_, host)| !is_host(host)) {
            self.add(
                &format!("endpoint_hosts[{i}]"),
                format!("{} is no host name", shown(host)),
                "write the name alone, without scheme, port and path",
            );
        }
        self.few("algorithms", provider.algorithms.len(), ITEMS);
        for (i, name) in provider.algorithms.iter().enumerate() {
            if let Some(message) = algorithm(name) {
                self.add(
                    &format!("algorithms[{i}]"),
                    message,
                    "name some of RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 EdDSA, or leave it out",
                );
            }
        }
    }

    /// One word: there, at most 256 bytes, without spaces.
    fn word(&mut self, path: &str, word: &str, missing: &str, remedy: &str) {
        if word.is_empty() {
            self.add(path, missing, remedy);
        } else if word.len() > 256 || word.contains(|c: char| c.is_control() || c.is_whitespace()) {
            self.add(path, "this is one word of at most 256 bytes, without spaces", "write it as the provider has it");
        }
    }

    /// Where a claim stands.
    fn path(&mut self, place: &str, path: &str) {
        if path.is_empty() || path.len() > 256 || path.trim() != path || path.contains(char::is_control) {
            let message = "the path of a claim has 1 to 256 bytes, without spaces around it";
            self.add(place, message, "write it as in the token, with . between keys: groups, realm_access.roles");
        }
    }

    fn trait_name(&mut self, name: &str) {
        if !is_trait_name(name) {
            self.add(&format!("traits.{name}"), format!("{} cannot name a trait", shown(name)), "use 1 to 64 of A-Z a-z 0-9 . _ - : /");
        }
    }

    fn few(&mut self, path: &str, count: usize, most: usize) {
        if count > most {
            self.add(path, format!("there are {count} here, more than {most}"), "keep those that are needed");
        }
    }

    fn limits(&mut self, name: &str, wanted: Option<Period>, least: Duration, most: Duration, says: &str) {
        if let Some(wanted) = wanted.filter(|wanted| !(least..=most).contains(&wanted.duration())) {
            self.add(name, format!("{name} is {says}, and this is {wanted}"), "write another length of time, or leave it out");
        }
    }
}

/// What is wrong, and what to write instead.
type Wrong = (&'static str, &'static str);

fn issuer(issuer: &str) -> Option<Wrong> {
    const COPY: &str = "copy it from the provider's /.well-known/openid-configuration";
    if issuer.is_empty() {
        return Some(("there is no issuer", "write the provider's address as it stands in its tokens"));
    }
    if issuer.trim() != issuer {
        return Some(("there are spaces around this issuer", "take them away: it is compared to the letter"));
    }
    if issuer.len() > 1_000 || issuer.contains(|c: char| c.is_control() || c.is_whitespace()) {
        return Some(("an issuer is an address of at most 1,000 bytes without spaces", COPY));
    }
    let Some(url) = Url::parse(issuer) else {
        return Some(("this issuer is no address such as https://sso.example.com/realms/acme", COPY));
    };
    if url.path.contains(['?', '#']) {
        return Some(("an issuer has no ? and no #", COPY));
    }
    (!url.https && !url.is_loopback()).then_some((
        "over http anybody on the way could sign in as anybody",
        "write https; http is for a provider on 127.0.0.1 or localhost only",
    ))
}

/// The certificates of an authority: at least one whole block, and no key among them.
fn authority(pem: &str) -> Option<Wrong> {
    const PASTE: &str = "paste the authority's certificate in PEM, from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----";
    let begin = pem.find("-----BEGIN CERTIFICATE-----");
    let end = pem.rfind("-----END CERTIFICATE-----");
    if pem.contains("PRIVATE KEY-----") {
        Some(("a private key stands among these certificates", "take it out, and count it as known to others"))
    } else if pem.len() > 64 << 10 {
        Some(("these certificates are longer than 64 KiB", PASTE))
    } else if begin.is_none() || end <= begin {
        Some(("there is no certificate in this", PASTE))
    } else {
        None
    }
}

fn way(proxy: &str) -> Option<Wrong> {
    let authority = proxy.strip_prefix("http://").map(|rest| rest.strip_suffix('/').unwrap_or(rest));
    if authority.is_some_and(|rest| rest.contains('@')) {
        return Some(("a proxy with a name and password is not supported", "let the proxy know this machine by its address"));
    }
    let good = authority.and_then(host_and_port).is_some_and(|(host, port)| is_host(host) && port.is_some_and(is_port));
    (!good).then_some(("this is no HTTP proxy", "write http://host:port"))
}

fn algorithm(name: &str) -> Option<String> {
    if ALGORITHMS.contains(&name) {
        None
    } else if name.eq_ignore_ascii_case("none") {
        Some("none is no signature: anybody could write such a token".to_owned())
    } else if name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("HS")) {
        Some(format!("{} signs with a secret that both sides know, so whoever checks a token could write one", shown(name)))
    } else {
        Some(format!("{} is no signature algorithm that is known here", shown(name)))
    }
}

#[cfg(test)]
mod tests;
