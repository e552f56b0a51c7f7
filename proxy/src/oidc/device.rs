//! A device flow that waits for its person (RFC 8628): the provider is asked when the client asks us, never by ourselves, and never more
//! often than the provider wants. A client that went away costs nothing.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use wire::oidc::Nonce;

use super::attempts::{Attempt, Stage};
use super::client::{Client, Device};
use super::{Oidc, Refusal};
use crate::declared::StoredConnector;

/// What is asked, of whom.
pub(super) struct Waiting {
    pub(super) library: Client,
    pub(super) device: Device,
    pub(super) stored: StoredConnector,
}

/// The same, with the moment of the next question; none while one is under way.
pub(crate) struct Asking {
    waiting: Waiting,
    next: Mutex<Option<Instant>>,
}

impl std::fmt::Debug for Asking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asking").finish_non_exhaustive()
    }
}

impl Asking {
    pub(super) fn new(waiting: Waiting) -> Self {
        let first = Instant::now() + waiting.device.interval();
        Self { waiting, next: Mutex::new(Some(first)) }
    }

    fn next<T>(&self, look: impl FnOnce(&mut Option<Instant>) -> T) -> T {
        look(&mut self.next.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether it is time; then nobody else asks until it is set again.
    fn begins(&self, now: Instant) -> bool {
        self.next(|next| next.take_if(|at| *at <= now).is_some())
    }
}

/// A question under way; also where it is broken off, there is a next one.
struct Question<'a>(&'a Asking, Duration);

impl Drop for Question<'_> {
    fn drop(&mut self) {
        let at = Instant::now() + self.1;
        self.0.next(|next| *next = Some(at));
    }
}

impl Oidc {
    /// Asks the provider about an attempt, if it is time.
    pub(super) async fn ask_device(&self, attempt: &Attempt) {
        let Some(asking) = attempt.device.as_ref().filter(|asking| asking.begins(Instant::now())) else { return };
        let Waiting { library, device, stored } = &asking.waiting;
        let mut question = Question(asking, device.interval());
        let stage = match library.device_tokens(device).await {
            Ok(Err(pause)) => {
                // A provider may say to ask without a pause.
                question.1 = pause.max(Duration::from_secs(1));
                return;
            }
            Ok(Ok(tokens)) => match self.settle(&attempt.connector, stored, library, &tokens, Nonce::None).await {
                Ok(proven) => Stage::Approved(Box::new(proven)),
                Err(refusal) => Stage::Refused(refusal),
            },
            Err(error) => Stage::Refused(Refusal::from(error)),
        };
        self.attempts.set(&attempt.id, stage);
    }
}
