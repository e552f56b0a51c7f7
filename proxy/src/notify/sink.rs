//! One receiver: takes what comes next, sends it until it is accepted, moves. One message at a time, so that the order stays.

use std::time::Duration;

use access::event::{Actor, Event, What};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio_util::sync::CancellationToken;

use super::cursor::{Cursor, Message};
use super::pace::{Pace, part};
use super::post::Receiver;
use super::sign::Secrets;
use crate::clock;

/// After this many failed tries of one message the receiver counts as failing, and the log says so.
const TRIES: u32 = 3;

/// A receiver, its secrets and its cursor.
#[derive(Debug)]
pub(super) struct Sink {
    name: String,
    receiver: Receiver,
    secrets: Secrets,
    cursor: Cursor,
    pace: Pace,
    failing: bool,
}

/// A try that was not accepted.
struct Refused {
    cause: String,
    asked: Option<Duration>,
    /// Trying again helps nothing until somebody changes something.
    stays: bool,
}

impl Sink {
    pub(super) fn new(name: String, receiver: Receiver, secrets: Secrets, cursor: Cursor, pace: Pace) -> Self {
        Self { name, receiver, secrets, cursor, pace, failing: false }
    }

    /// How far it is, for whoever looks on.
    pub(super) fn lag(&self) -> super::Lag {
        super::Lag { name: self.name.clone(), at: self.cursor.at.clone() }
    }

    /// Delivers until `stop`, then what is left for as long as it is accepted at once.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut checkpoints = self.cursor.log.checkpoints();
        loop {
            // Before looking, so that one that comes after the look is not slept over.
            checkpoints.mark_unchanged();
            let batch = match self.cursor.batch().await {
                Ok(batch) => batch,
                Err(error) => {
                    tracing::error!(sink = self.name, %error, "events cannot be read for a receiver");
                    self.fails(error.to_string());
                    if !self.wait(self.pace.long(part()), &stop).await {
                        return;
                    }
                    continue;
                }
            };
            let (idle, end) = (batch.seen == 0 && batch.messages.is_empty(), batch.end);
            for message in &batch.messages {
                if !self.deliver(message, &stop).await || !self.keep(message.after, &stop).await {
                    return;
                }
            }
            if !idle {
                if self.cursor.is_far(end) && !self.keep(end, &stop).await {
                    return;
                }
                self.cursor.skip(end);
                continue;
            }
            if stop.is_cancelled() {
                return;
            }
            tokio::select! {
                () = self.cursor.ready() => {}
                moved = checkpoints.changed() => if moved.is_err() { return },
                () = stop.cancelled() => {}
            }
        }
    }

    /// Tries until it is accepted; false when the proxy stops before.
    async fn deliver(&mut self, message: &Message, stop: &CancellationToken) -> bool {
        let mut tries: u32 = 0;
        loop {
            let refused = match self.attempt(message).await {
                Ok(()) => {
                    self.works();
                    return true;
                }
                Err(refused) => refused,
            };
            tries = tries.saturating_add(1);
            tracing::debug!(sink = self.name, tries, cause = refused.cause, "a receiver did not accept");
            let wait = if refused.stays {
                refused.asked.unwrap_or_default().max(self.pace.long(part()))
            } else {
                self.pace.wait(tries, refused.asked, part())
            };
            if tries >= TRIES || refused.stays {
                self.fails(refused.cause);
            }
            if !self.wait(wait, stop).await {
                return false;
            }
        }
    }

    async fn attempt(&mut self, message: &Message) -> Result<(), Refused> {
        let timestamp = clock::now().as_nanos().div_euclid(1_000_000_000);
        let signature = self.secrets.header(&message.id, timestamp, &message.body);
        let bad = |_| Refused { cause: "the id of the event cannot be sent".to_owned(), asked: None, stays: true };
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("naru/", env!("CARGO_PKG_VERSION"))));
        headers.insert("webhook-id", HeaderValue::from_str(&message.id).map_err(bad)?);
        headers.insert("webhook-timestamp", HeaderValue::from(timestamp));
        headers.insert("webhook-signature", HeaderValue::from_str(&signature).map_err(bad)?);
        let posted = self.receiver.post(headers, message.body.clone(), self.pace.timeout).await;
        let answer = posted.map_err(|error| Refused { cause: error.to_string(), asked: None, stays: error.stays() })?;
        if answer.status.is_success() {
            return Ok(());
        }
        let stays = answer.status.is_redirection() || answer.status == StatusCode::GONE;
        let cause = match answer.status {
            StatusCode::GONE => "it answered 410: it takes no more events".to_owned(),
            status if status.is_redirection() => format!("it answered {}, and redirects are not followed", status.as_u16()),
            status => format!("it answered {}", status.as_u16()),
        };
        Err(Refused { cause, asked: answer.retry_after, stays })
    }

    /// Keeps the position. While the store cannot, nothing more is sent: it would be sent again after a restart.
    async fn keep(&mut self, to: super::cursor::Position, stop: &CancellationToken) -> bool {
        let mut tries: u32 = 0;
        while let Err(error) = self.cursor.keep(to).await {
            tries = tries.saturating_add(1);
            tracing::error!(sink = self.name, %error, "the position of a receiver could not be kept");
            if !self.wait(self.pace.wait(tries, None, part()), stop).await {
                return false;
            }
        }
        true
    }

    /// False when the proxy stops: who is away now gets the rest after the next start.
    async fn wait(&self, time: Duration, stop: &CancellationToken) -> bool {
        tokio::select! {
            () = tokio::time::sleep(time) => true,
            () = stop.cancelled() => false,
        }
    }

    fn fails(&mut self, cause: String) {
        if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!(sink = self.name, cause, "a receiver fails; its events wait in the log");
            self.tell(What::SinkFailed { sink: self.name.clone(), cause });
        }
    }

    fn works(&mut self) {
        if std::mem::replace(&mut self.failing, false) {
            let behind = self.cursor.behind();
            tracing::info!(sink = self.name, behind, "a receiver accepts again");
            self.tell(What::SinkRecovered { sink: self.name.clone(), behind });
        }
    }

    fn tell(&self, what: What) {
        if let Err(error) = self.cursor.log.append(&Event::new(clock::now(), Actor::system(), what)) {
            tracing::error!(sink = self.name, %error, "the state of a receiver could not be logged");
        }
    }
}
