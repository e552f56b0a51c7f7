//! Events leave from here: one cursor over the audit log for each receiver, each a task of its own.
//!
//! The log is the only queue: nothing is held in memory for a receiver that is away, and none waits for another. What a receiver
//! answers changes nothing but its own position.

mod cursor;
mod declared;
mod pace;
mod post;
mod sign;
mod sink;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use config::proxy::Webhook;
pub(crate) use declared::{DeclaredSinks, fault};
use recorder::log::Log;
use store::kv::{Kv, KvError};
use store::state::{SecretError, read_secret};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::cursor::Cursor;
use self::pace::Pace;
use self::post::{BadReceiver, Receiver};
use self::sign::{BadSecret, Secrets};
use self::sink::Sink;

/// How long receivers get to take what is left when the proxy stops. The rest is sent after the next start.
const DRAIN: Duration = Duration::from_secs(5);

/// A receiver cannot be served as configured.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum NotifyError {
    #[error(transparent)]
    File(#[from] SecretError),
    #[error("the signing secret of webhook {name} is not used: {source}")]
    Secret { name: String, source: BadSecret },
    #[error("the receiver of webhook {name} is not used: {source}")]
    Receiver { name: String, source: BadReceiver },
    #[error("the position of webhook {name} cannot be read or kept: {source}")]
    Position { name: String, source: KvError },
}

/// Every receiver, ready to be served.
#[derive(Debug)]
pub(crate) struct Sinks(Vec<Sink>);

impl Sinks {
    /// Reads the secrets and positions. A receiver that is new begins with what is logged from now on.
    pub(crate) fn open(webhooks: &[Webhook], log: &Log, store: &Arc<dyn Kv>) -> Result<Self, NotifyError> {
        let open = |webhook| open(webhook, log, store, Pace::default());
        webhooks.iter().map(open).collect::<Result<_, _>>().map(Self)
    }

    /// How far each is.
    pub(crate) fn lags(&self) -> Vec<Lag> {
        self.0.iter().map(Sink::lag).collect()
    }

    /// Begins to deliver.
    pub(crate) fn start(self, declared: DeclaredSinks) -> Running {
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(declared.run(stop.clone()));
        for sink in self.0 {
            tasks.spawn(sink.run(stop.clone()));
        }
        Running { stop, tasks }
    }
}

/// How far one receiver is.
#[derive(Debug, Clone)]
pub(crate) struct Lag {
    name: String,
    /// The number of the event that comes next.
    at: Arc<AtomicU64>,
}

impl Lag {
    /// Its name, as the settings give it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// How many events it has not taken, when the last one has this number.
    pub(crate) fn behind(&self, last: u64) -> u64 {
        (last + 1).saturating_sub(self.at.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
impl Lag {
    pub(crate) fn of_test(name: &str, at: u64) -> Self {
        Self { name: name.to_owned(), at: Arc::new(AtomicU64::new(at)) }
    }
}

/// Receivers that are being served. Dropping it ends them at once.
#[derive(Debug)]
pub(crate) struct Running {
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Running {
    /// Lets those that accept take what is in the log now, then ends.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN, ended).await.is_err() {
            tracing::warn!("a receiver did not take everything in time; the rest is sent after the next start");
        }
    }
}

fn open(webhook: &Webhook, log: &Log, store: &Arc<dyn Kv>, pace: Pace) -> Result<Sink, NotifyError> {
    let name = || webhook.name.clone();
    let text = zeroize::Zeroizing::new(read_secret(Path::new(&webhook.secret_file))?);
    let secrets = Secrets::read(&text).map_err(|source| NotifyError::Secret { name: name(), source })?;
    let receiver = Receiver::new(webhook).map_err(|source| NotifyError::Receiver { name: name(), source })?;
    let cursor =
        Cursor::open(&webhook.name, log.clone(), store.clone()).map_err(|source| NotifyError::Position { name: name(), source })?;
    Ok(Sink::new(name(), receiver, secrets, cursor, pace))
}
