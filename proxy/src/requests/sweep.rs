//! What time does to requests: those that are over say so in the log, and are forgotten a while later. Nothing waits for it: whether one
//! is in force is always asked of the clock.

use std::time::Duration;

use access::event::What;
use store::kv::{Change, Expect};
use wire::api::RequestState;

use super::{By, RequestError, Requests, key_of};
use crate::clock;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(5);
/// How long a request that is over is shown.
const KEPT: Duration = Duration::from_secs(30 * 86_400);

impl Requests {
    /// Looks for as long as it is polled.
    pub(crate) async fn sweep(self) -> std::convert::Infallible {
        loop {
            tokio::time::sleep(EVERY).await;
            if let Err(error) = self.look().await {
                tracing::warn!(%error, "access requests that are over could not be looked after");
            }
        }
    }

    async fn look(&self) -> Result<(), RequestError> {
        let now = clock::now();
        let mut old = Vec::new();
        for (id, stored) in self.all()? {
            if stored.state != stored.state_at(now) {
                let by = By::system();
                let over = self.step(&id, |stored, rule, now| {
                    stored.state = stored.state_at(now);
                    if stored.state != RequestState::Expired {
                        return Err(RequestError::Over(id.clone(), stored.state.as_str()));
                    }
                    Ok(by.event(What::RequestExpired(stored.facts(&id, rule, None))))
                });
                over.await?;
            } else if !matches!(stored.state, RequestState::Pending | RequestState::Approved) && now.since(stored.until) > KEPT {
                old.push(Change::delete(key_of(&id), Expect::Any));
            }
        }
        let _one_at_a_time = self.writing.lock().await;
        for some in old.chunks(store::kv::MAX_BATCH) {
            self.store.batch(some)?;
        }
        Ok(())
    }
}
