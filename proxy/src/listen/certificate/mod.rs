//! Which certificate a connection is shown: Naru's own CA's, or the one that browsers believe. A change cuts nobody: it is for the
//! connections that come after it. Where certificates come from is in the files beside this one.

mod acme;
mod file;
mod keep;
mod pair;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use access::time::Timestamp;
use rustls::ServerConfig;
use rustls::server::ClientHello;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::tls::ALPN_SSH;
use acme::AcmeError;
use file::FileError;
pub(crate) use keep::{Keeping, Source};
pub(crate) use pair::Pair;

/// ALPN of an ACME server that asks back (RFC 8737).
pub(super) const ALPN_ACME: &[u8] = b"acme-tls/1";

/// The server's certificate cannot be used as it is set.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum CertificateError {
    #[error("the server's certificate cannot be used: {0}")]
    File(#[from] FileError),
    #[error("no certificate can be ordered: {0}")]
    Acme(#[from] AcmeError),
}

/// A certificate with the TLS settings that show it.
struct Shown {
    pair: Pair,
    config: Arc<ServerConfig>,
}

/// All certificates that may be shown now.
pub(crate) struct Certificates {
    /// Believes the client certificates of our own CA.
    clients: Arc<dyn ClientCertVerifier>,
    now: RwLock<Now>,
}

struct Now {
    /// By Naru's own CA: for its own programs, and for everybody while there is no other.
    own: Arc<Shown>,
    /// For browsers.
    public: Option<Arc<Shown>>,
    /// By the name that an ACME server is about to ask back for; at most as many as `public` has names.
    challenges: HashMap<String, Arc<ServerConfig>>,
}

/// What a connection is to be shown.
pub(super) struct Choice {
    pub(super) config: Arc<ServerConfig>,
    /// The pin of the certificate; grants for a tunnel are bound to it.
    pub(super) pin: String,
}

/// What a client asks for before it is shown anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asks {
    /// Naru's own programs, which know its CA and no other.
    OwnCa,
    /// An ACME server.
    Challenge,
    /// Anybody else.
    Any,
}

impl Certificates {
    /// With Naru's own certificate; `clients` believes those of its CA.
    pub(crate) fn new(own: Pair, clients: Arc<dyn ClientCertVerifier>) -> Self {
        let own = Arc::new(shown(own, &clients));
        Self { clients, now: RwLock::new(Now { own, public: None, challenges: HashMap::new() }) }
    }

    fn change<T>(&self, how: impl FnOnce(&mut Now) -> T) -> T {
        how(&mut self.now.write().unwrap_or_else(PoisonError::into_inner))
    }

    fn look<T>(&self, how: impl FnOnce(&Now) -> T) -> T {
        how(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on shows this one to Naru's own programs.
    fn set_own(&self, pair: Pair) {
        let new = Arc::new(shown(pair, &self.clients));
        self.change(|now| now.own = new);
    }

    /// From now on shows this one to browsers.
    fn set_public(&self, pair: Pair) {
        let new = Arc::new(shown(pair, &self.clients));
        self.change(|now| now.public = Some(new));
    }

    /// When the own certificate is to be signed anew.
    fn own_renews_at(&self) -> Timestamp {
        self.look(|now| now.own.pair.facts.renew_at())
    }

    /// Answers an ACME server that asks back for this name, until the guard is dropped.
    fn challenge(&self, name: &str, answer: CertifiedKey) -> Challenge<'_> {
        let mut config = ServerConfig::builder().with_no_client_auth().with_cert_resolver(Arc::new(SingleCertAndKey::from(answer)));
        config.alpn_protocols = vec![ALPN_ACME.to_vec()];
        self.change(|now| now.challenges.insert(name.to_owned(), Arc::new(config)));
        Challenge { of: self, name: name.to_owned() }
    }

    /// What this client is shown; none for an ACME server that nobody called.
    pub(super) fn choose(&self, hello: &ClientHello<'_>) -> Option<Choice> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        self.choose_for(asks(hello.alpn().into_iter().flatten()), name.as_deref())
    }

    fn choose_for(&self, asks: Asks, name: Option<&str>) -> Option<Choice> {
        let choice = |shown: &Shown| Choice { config: shown.config.clone(), pin: shown.pair.facts.pin.to_string() };
        self.look(|now| match asks {
            Asks::OwnCa => Some(choice(&now.own)),
            Asks::Challenge => now.challenges.get(name?).map(|config| Choice { config: config.clone(), pin: String::new() }),
            Asks::Any => Some(choice(now.public.as_ref().filter(|public| fits(public, name)).unwrap_or(&now.own))),
        })
    }
}

/// Whether a browser that dialled this name would take it. One that dialled an address says no name (RFC 6066 section 3).
fn fits(public: &Shown, name: Option<&str>) -> bool {
    match name {
        Some(name) => public.pair.covers(name),
        None => public.pair.facts.has_address,
    }
}

fn asks<'a>(offered: impl Iterator<Item = &'a [u8]>) -> Asks {
    // More than a few are nobody's.
    let offered: Vec<&[u8]> = offered.take(16).collect();
    if offered == [ALPN_ACME] {
        return Asks::Challenge;
    }
    let own = [wire::tunnel::ALPN, ALPN_SSH, wire::pinned::ALPN_OWN_CA];
    if offered.iter().any(|one| own.contains(one)) { Asks::OwnCa } else { Asks::Any }
}

fn shown(pair: Pair, clients: &Arc<dyn ClientCertVerifier>) -> Shown {
    let resolver = Arc::new(SingleCertAndKey::from(pair.certified.clone()));
    let mut config = ServerConfig::builder().with_client_cert_verifier(clients.clone()).with_cert_resolver(resolver);
    config.alpn_protocols = [wire::tunnel::ALPN, ALPN_SSH, b"h2", b"http/1.1"].map(<[u8]>::to_vec).to_vec();
    // A resumed TLS session would bring back a certificate that no longer counts; handshakes are cheap enough.
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Shown { pair, config: Arc::new(config) }
}

/// An answer that lies ready for an ACME server.
struct Challenge<'a> {
    of: &'a Certificates,
    name: String,
}

impl Drop for Challenge<'_> {
    fn drop(&mut self) {
        self.of.change(|now| now.challenges.remove(&self.name));
    }
}

#[cfg(test)]
mod tests;
