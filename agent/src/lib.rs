//! The agent: dials out to a proxy, believes only verified grants, and opens sessions through holders.
//!
//! INVARIANT: nothing listens on a network here, and nothing that a proxy says widens this host's own limits.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use access::time::Timestamp;
use access::words::Login;
use tokio_util::task::TaskTracker;

pub mod holder;
mod holders;
mod https;
pub mod identity;
pub mod join;
mod local;
mod lock;
mod relay;
mod run;
mod serve;
mod tunnel;

pub use local::Limits;
pub use lock::LockError;
pub use run::{Holding, StartError, run};

use holders::Holders;
use identity::Identity;

/// What an agent is made of.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its state: key, certificate, CA, the proxy's address.
    pub state: PathBuf,
    /// Where holders have their sockets; made 0700.
    pub holders: PathBuf,
    /// The `naru` program, for the zygote.
    pub program: PathBuf,
    /// This host's own limits.
    pub limits: Limits,
}

/// One agent, as its tunnels share it.
#[derive(Debug)]
pub(crate) struct Agent {
    identity: tokio::sync::watch::Receiver<Arc<Identity>>,
    limits: Limits,
    holders: Holders,
    sessions: TaskTracker,
}

impl Agent {
    pub(crate) fn identity(&self) -> Arc<Identity> {
        self.identity.borrow().clone()
    }
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }
    pub(crate) fn only_login(&self) -> Option<&Login> {
        self.limits.only_login.as_ref()
    }
    /// Relays of sessions that are attached now, over all tunnels.
    pub(crate) fn sessions(&self) -> &TaskTracker {
        &self.sessions
    }
    pub(crate) fn holders(&self) -> &Holders {
        &self.holders
    }
}

/// The only look at the clock in this crate.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// 128 random bits as hex.
pub(crate) fn random_hex() -> String {
    let mut bytes = [0_u8; 16];
    // A system without random numbers is no place for an agent; the epoch would repeat and the proxy refuse nothing for it.
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        std::process::abort();
    }
    hex::encode(bytes)
}
