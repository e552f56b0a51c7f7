//! The agent's life: keep two tunnels, reconnect with full jitter, renew the certificate at half its life.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use wire::tunnel::Purpose;

use crate::holder::spawn::StartError as ZygoteError;
use crate::holders::Holders;
use crate::identity::{self, Identity, IdentityError};
use crate::lock::{self, LockError};
use crate::serve::Tunnel;
use crate::tunnel::TunnelError;
use crate::{Agent, Settings, join, now, tunnel};

/// First and longest wait between tries; each wait is drawn from zero to the current bound (full jitter).
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));
/// How often the certificate's age is looked at.
const RENEW_CHECK: Duration = Duration::from_secs(60);

/// An agent cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Not joined, or its files are damaged.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Another agent has the state directory.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The zygote.
    #[error(transparent)]
    Holders(#[from] ZygoteError),
}

/// What becomes of the holders when the agent stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holding {
    /// They live on for their grace period: the agent comes back.
    On,
    /// They are ended: the agent was for this run only.
    End,
}

/// Runs until `stop`.
pub async fn run(settings: Settings, holding: Holding, stop: impl Future<Output = ()>) -> Result<(), StartError> {
    let identity = Arc::new(identity::load(&settings.state)?);
    let _lock = lock::take(&settings.state)?;
    let holders = Holders::start(&settings.holders, settings.program.clone(), settings.limits.file.allow_root)?;
    let (renewed, current) = watch::channel(identity);
    let agent = Arc::new(Agent { identity: current, limits: settings.limits.clone(), holders, sessions: Default::default() });
    if let Some(login) = agent.only_login() {
        tracing::info!(%login, "not running as root: sessions are for this login only");
    }
    let stop = async {
        stop.await;
        // While the tunnels are there, so that people see how their sessions end, and before this process may end.
        if holding == Holding::End {
            agent.holders().end_all().await;
        }
    };
    tokio::select! {
        () = keep(agent.clone(), Purpose::Terminals) => {}
        () = keep(agent.clone(), Purpose::Bulk) => {}
        () = keep_certificate(&settings.state, &renewed) => {}
        () = stop => {}
    }
    Ok(())
}

async fn keep(agent: Arc<Agent>, purpose: Purpose) {
    let mut bound = BACKOFF.0;
    loop {
        let id = agent.identity();
        match tunnel::connect(&id.address, id.tunnel_tls.clone()).await {
            Ok(connected) => {
                let state = Arc::new(Tunnel::new(agent.clone(), purpose, connected.proxy.clone()));
                let ended = tunnel::run(connected, state.clone()).await;
                tracing::info!(?purpose, reason = why(&ended), "the tunnel is gone");
                if state.is_greeted() {
                    bound = BACKOFF.0;
                }
            }
            Err(error) => tracing::warn!(?purpose, reason = why(&error), "no tunnel"),
        }
        tokio::time::sleep(jitter(bound)).await;
        bound = (bound * 2).min(BACKOFF.1);
    }
}

/// For people: what a library says goes no further.
fn why(error: &TunnelError) -> String {
    match error {
        TunnelError::Reach { address, source } => format!("cannot reach the proxy {address}: {}", wire::plain::words(source)),
        TunnelError::Ended(source) => wire::plain::words(source),
        other => other.to_string(),
    }
}

fn jitter(bound: Duration) -> Duration {
    let mut bytes = [0; 4];
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    bound.mul_f64(f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX))
}

async fn keep_certificate(state: &Path, renewed: &watch::Sender<Arc<Identity>>) {
    loop {
        tokio::time::sleep(RENEW_CHECK).await;
        let id = renewed.borrow().clone();
        let half = id.not_after.since(id.not_before) / 2;
        if now() < id.not_before.plus(half) {
            continue;
        }
        match join::renew(state, &id)
            .await
            .map_err(|error| error.to_string())
            .and_then(|()| identity::load(state).map_err(|e| e.to_string()))
        {
            Ok(fresh) => {
                tracing::info!(until = %fresh.not_after, "the certificate is renewed");
                renewed.send_replace(Arc::new(fresh));
            }
            Err(error) if now() >= id.not_after => {
                tracing::error!(%error, "the certificate has expired: join again with a new token");
            }
            Err(error) => tracing::warn!(%error, "the certificate could not be renewed yet"),
        }
    }
}
