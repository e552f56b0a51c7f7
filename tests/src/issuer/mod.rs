//! A provider of OpenID Connect that does the right thing, and anything else that a case asks of it: several issuers on one loopback
//! port, each a path, each counting what it is asked. It plays the browser's part too. No test of Naru lives here.

pub mod form;
pub mod http;
pub mod keys;
pub mod script;
pub mod token;

mod client;
mod flow;

#[cfg(test)]
mod tests;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Answer, Request};
use keys::Signer;
use script::Script;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The client that every issuer knows.
pub const CLIENT: &str = "naru";
/// Its secret.
pub const SECRET: &str = "s3cret-of-the-tests";

/// A server with issuers. It ends with this value.
pub struct Provider {
    port: u16,
    issuers: Arc<Mutex<HashMap<String, Issuer>>>,
    over: Arc<AtomicBool>,
}

/// One issuer; clones are the same one.
#[derive(Clone)]
pub struct Issuer {
    /// As in its tokens: `http://127.0.0.1:PORT/NAME`.
    pub url: String,
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    script: Mutex<Script>,
    memory: Mutex<flow::Memory>,
    counts: Mutex<BTreeMap<&'static str, u64>>,
    /// Bytes of bodies without an end.
    sent: AtomicU64,
}

impl Provider {
    /// Listens on a free port of loopback.
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of loopback");
        let port = listener.local_addr().expect("an address").port();
        let (issuers, over) = (Arc::new(Mutex::new(HashMap::new())), Arc::new(AtomicBool::new(false)));
        let (shared, ends) = (issuers.clone(), over.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ends.load(Ordering::Relaxed) {
                    break;
                }
                let issuers = shared.clone();
                std::thread::spawn(move || serve(&stream, &issuers));
            }
        });
        Self { port, issuers, over }
    }

    /// An issuer of this name that does the right thing until its script says otherwise.
    pub fn issuer(&self, name: &str) -> Issuer {
        self.issuer_with(name, Script::default())
    }

    /// An issuer of this name and script.
    pub fn issuer_with(&self, name: &str, script: Script) -> Issuer {
        let inner = Inner {
            name: name.into(),
            script: Mutex::new(script),
            memory: Mutex::default(),
            counts: Mutex::default(),
            sent: AtomicU64::new(0),
        };
        let issuer = Issuer { url: format!("http://127.0.0.1:{}/{name}", self.port), inner: Arc::new(inner) };
        lock(&self.issuers).insert(name.to_owned(), issuer.clone());
        issuer
    }

    /// Every code and token that was given by any issuer.
    pub fn given(&self) -> Vec<String> {
        lock(&self.issuers).values().flat_map(|issuer| issuer.memory().given.clone()).collect()
    }

    /// The issuer of this name.
    pub fn known(&self, name: &str) -> Issuer {
        lock(&self.issuers).get(name).cloned().unwrap_or_else(|| panic!("there is no issuer {name}"))
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // Wakes the listener, which then sees that it is over.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

impl Issuer {
    /// What it does from now on.
    pub fn set(&self, script: Script) {
        *lock(&self.inner.script) = script;
    }

    /// What it does now.
    pub fn script(&self) -> Script {
        *lock(&self.inner.script)
    }

    /// How often something was asked: `discovery`, `keys`, `authorize`, `token`, `refresh`, `userinfo`, `device`, `poll`,
    /// `end_session`, `revoke`, `other` for an address that it never named.
    pub fn asked(&self, what: &str) -> u64 {
        lock(&self.inner.counts).get(what).copied().unwrap_or(0)
    }

    /// Everything that was asked.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.inner.counts).clone()
    }

    /// Counts from nothing again.
    pub fn forget_counts(&self) {
        lock(&self.inner.counts).clear();
    }

    /// What its client did wrong.
    pub fn wrongs(&self) -> Vec<String> {
        self.memory().wrongs.clone()
    }

    /// The authorization requests so far.
    pub fn requests(&self) -> Vec<form::Form> {
        self.memory().asked.clone()
    }

    /// Everything that was posted to it, with what stood in `Authorization` as `name:secret`.
    pub fn bodies(&self) -> Vec<String> {
        self.memory().bodies.clone()
    }

    /// Bytes of endless bodies that were taken from it.
    pub fn sent(&self) -> u64 {
        self.inner.sent.load(Ordering::Relaxed)
    }

    /// Who signs in, as the script has it.
    pub fn person(&self) -> Value {
        let name = &self.inner.name;
        let right = json!({"sub": format!("sub-{name}"), "preferred_username": name, "name": "Somebody", "email": format!("{name}@example.com"),
            "email_verified": true, "groups": ["/sre"], "logins": ["nobody"]});
        (self.script().person)(right)
    }

    fn memory(&self) -> MutexGuard<'_, flow::Memory> {
        lock(&self.inner.memory)
    }

    fn wrong(&self, what: &str) {
        self.memory().wrongs.push(what.to_owned());
    }

    fn count(&self, what: &'static str) {
        *lock(&self.inner.counts).entry(what).or_default() += 1;
    }

    /// OpenID Connect Discovery 1.0 section 3.
    fn discovery(&self) -> Value {
        let at = |path: &str| json!(format!("{}/{path}", self.url));
        let algorithms: Vec<&str> =
            [Signer::Rs256, Signer::Ps256, Signer::Es256, Signer::EdDsa].into_iter().map(Signer::algorithm).collect();
        json!({
            "issuer": self.url, "authorization_endpoint": at("authorize"), "token_endpoint": at("token"), "jwks_uri": at("keys"),
            "userinfo_endpoint": at("userinfo"), "device_authorization_endpoint": at("device"), "end_session_endpoint": at("logout"),
            "revocation_endpoint": at("revoke"), "response_types_supported": ["code"], "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": algorithms, "scopes_supported": ["openid", "profile", "email", "groups"],
            "grant_types_supported": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "code_challenge_methods_supported": ["S256"], "authorization_response_iss_parameter_supported": true,
            "backchannel_logout_supported": true, "backchannel_logout_session_supported": true,
        })
    }

    fn keep(&self, request: &Request) {
        let basic = request.authorization.as_deref().and_then(|text| text.strip_prefix("Basic "));
        let basic = basic.and_then(|text| STANDARD.decode(text).ok()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        if request.method == "POST" || basic.is_some() {
            self.memory().bodies.push(format!("{} {}", basic.unwrap_or_default(), request.body));
        }
    }

    fn route(&self, path: &str, request: &Request) -> Answer {
        let script = self.script();
        self.keep(request);
        match path {
            ".well-known/openid-configuration" => {
                self.count("discovery");
                script.discovery.answer(&self.url, self.discovery())
            }
            "keys" => {
                self.count("keys");
                script.keys.answer(&self.url, keys::key_set())
            }
            "token" => self.token_endpoint(request),
            "device" => self.device_endpoint(request),
            "userinfo" => {
                self.count("userinfo");
                script.userinfo.answer(&self.url, self.person())
            }
            "logout" => {
                self.count("end_session");
                Answer::page(200)
            }
            "revoke" => {
                self.count("revoke");
                Answer::json(200, &json!({}))
            }
            _ => {
                self.count("other");
                Answer::page(404)
            }
        }
    }
}

fn serve(stream: &TcpStream, issuers: &Mutex<HashMap<String, Issuer>>) {
    // Somebody who hangs up early has nothing to be told.
    let Ok(request) = http::read(stream) else { return };
    let (name, path) = request.path.trim_start_matches('/').split_once('/').unwrap_or_default();
    let Some(issuer) = lock(issuers).get(name).cloned() else {
        let _ = http::write(stream, &Answer::page(404), &AtomicU64::new(0));
        return;
    };
    let answer = issuer.route(path, &request);
    let _ = http::write(stream, &answer, &issuer.inner.sent);
}

/// A thread that failed has said so itself; what it held is read on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
