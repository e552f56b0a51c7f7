//! The SSH front: russh's server for one connection. Turns certificates into people and channels into sessions; decides nothing.

mod channel;
mod handler;
mod near;

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use access::event::Client;
use access::words::NodeName;
use russh::keys::PrivateKey;
use russh::server::Config;
use russh::{MethodKind, MethodSet, Preferred, SshId, cipher, compression, kex, mac};

use crate::authority::ask::{Keys, SignError, SignHost, node_names};
use crate::authority::ssh::HOST_LIFE;
use crate::clock;
use crate::listen::{Duplex, Patience, SignedIn, Ticket};
use crate::session::open::Sessions;
pub(crate) use channel::{is_env_allowed, reason, tame};
use handler::Connection;

/// To the client's version line.
const FIRST_LINE_TIMEOUT: Duration = Duration::from_secs(10);
/// To a finished authentication.
const AUTH_TIMEOUT: Duration = Duration::from_secs(30);
/// Messages of one channel on their way to its task, so that many small ones do not hold the connection back.
const CHANNEL_BUFFER: usize = 4096;
/// Names whose certificates are kept; hostile names push out at most each other.
const MAX_CONFIGS: usize = 1024;

/// The front. Cheap to clone.
#[derive(Clone)]
pub(crate) struct SshFront {
    keys: Keys,
    host_key: PrivateKey,
    /// What a client may call the proxy itself.
    own_names: Vec<String>,
    pub(crate) sessions: Sessions,
    configs: Arc<Mutex<HashMap<Option<NodeName>, Kept>>>,
}

struct Kept {
    config: Arc<Config>,
    until: access::time::Timestamp,
}

impl SshFront {
    pub(crate) fn new(keys: Keys, own_names: Vec<String>, sessions: Sessions) -> Self {
        Self { host_key: keys.ssh_host_key(), keys, own_names, sessions, configs: Arc::default() }
    }

    /// Serves one connection to its end.
    pub(crate) async fn serve(&self, stream: Box<dyn Duplex>, node: Option<NodeName>, from: SocketAddr, ticket: Option<Ticket>) {
        let config = match self.config(node.as_ref()) {
            Ok(config) => config,
            Err(error) => return tracing::error!(%error, "no host certificate"),
        };
        // russh goes on in a task of its own, which looks at no handle while keys are exchanged: only its stream ends it surely.
        let signed_in = SignedIn::default();
        let stream = Patience::new(stream, AUTH_TIMEOUT, signed_in.clone());
        let client = Client { ip: from.ip(), port: from.port(), user_agent: None, run: None };
        let ca = self.keys.public().ssh_user_ca;
        let connection = Connection::new(self.sessions.clone(), ca, node, client, (ticket, signed_in));
        let running = tokio::time::timeout(FIRST_LINE_TIMEOUT, russh::server::run_stream(config, stream, connection)).await;
        let running = match running {
            Ok(Ok(running)) => running,
            Ok(Err(error)) => return tracing::debug!(%from, %error, "an SSH connection failed"),
            Err(_) => return tracing::debug!(%from, "an SSH connection was too slow"),
        };
        if let Err(error) = running.await {
            tracing::debug!(%from, %error, "an SSH connection ended");
        }
    }

    /// The configuration with the host certificate for this name; made anew at half its life.
    fn config(&self, node: Option<&NodeName>) -> Result<Arc<Config>, SignError> {
        let now = clock::now();
        let key = node.cloned();
        let mut configs = self.configs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = configs.get(&key).filter(|kept| now < kept.until) {
            return Ok(kept.config.clone());
        }
        if configs.len() >= MAX_CONFIGS {
            configs.clear();
        }
        let names = node.map_or_else(|| self.own_names.clone(), node_names);
        let certificate = self.keys.ask(SignHost { names: &names, now })?;
        let config = Arc::new(self.with_certificate(certificate));
        configs.insert(key, Kept { config: config.clone(), until: now.plus(HOST_LIFE / 2) });
        Ok(config)
    }

    fn with_certificate(&self, certificate: russh::keys::Certificate) -> Config {
        let mut methods = MethodSet::empty();
        methods.push(MethodKind::PublicKey);
        Config {
            server_id: SshId::Standard(Cow::Borrowed(concat!("SSH-2.0-Naru_", env!("CARGO_PKG_VERSION")))),
            methods,
            keys: vec![self.host_key.clone()],
            certificates: vec![certificate],
            // A refusal waits for nothing: the only method is a signature by a key with a certificate of ours, which nobody guesses and
            // whose check tells nothing by the time it takes. `ssh -i` shows the bare key before the certificate and would wait each
            // time. What is bounded is the tries of one connection here, and connections before sign-in by `listen/admission.rs`.
            auth_rejection_time: Duration::ZERO,
            auth_rejection_time_initial: None,
            max_auth_attempts: 6,
            // An idle shell is not a dead one; keepalives tell.
            inactivity_timeout: None,
            keepalive_interval: Some(Duration::from_secs(30)),
            keepalive_max: 4,
            nodelay: true,
            window_size: near::FIRST_WINDOW,
            manual_window: true,
            maximum_packet_size: 32 * 1024,
            channel_buffer_size: CHANNEL_BUFFER,
            event_buffer_size: 32,
            preferred: preferred(),
            ..Config::default()
        }
    }
}

/// The client's order wins, so only what is fast and sound is offered: AES-GCM, then CTR with encrypt-then-MAC, where the CPU has AES.
fn preferred() -> Preferred {
    const FAST: &[cipher::Name] = &[cipher::AES_128_GCM, cipher::AES_256_GCM, cipher::AES_128_CTR, cipher::AES_256_CTR];
    const PLAIN: &[cipher::Name] = &[cipher::CHACHA20_POLY1305, cipher::AES_256_GCM];
    Preferred {
        kex: Cow::Borrowed(&[
            kex::MLKEM768X25519_SHA256,
            kex::CURVE25519,
            kex::CURVE25519_PRE_RFC_8731,
            kex::EXTENSION_SUPPORT_AS_SERVER,
            kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
        ]),
        cipher: Cow::Borrowed(if has_aes() { FAST } else { PLAIN }),
        mac: Cow::Borrowed(&[mac::HMAC_SHA256_ETM, mac::HMAC_SHA512_ETM]),
        compression: Cow::Borrowed(&[compression::NONE]),
        ..Preferred::default()
    }
}

#[cfg(target_arch = "x86_64")]
fn has_aes() -> bool {
    std::arch::is_x86_feature_detected!("aes")
}

#[cfg(target_arch = "aarch64")]
fn has_aes() -> bool {
    std::arch::is_aarch64_feature_detected!("aes")
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn has_aes() -> bool {
    false
}
