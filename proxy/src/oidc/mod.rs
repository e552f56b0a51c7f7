//! Signing in through identity providers: the proxy alone talks to them. What they send is believed in [`settle`] only, and leaves a
//! [`Believed`] behind, without which nobody signs in. What people may do is not decided here.

mod ask;
pub(crate) mod attempts;
mod backchannel;
mod bots;
mod check;
mod client;
mod device;
mod ends;
mod finish;
mod http;
mod provider;
mod refresh;
mod settle;
pub(crate) mod step_up;
#[cfg(test)]
pub(crate) mod stub;

use std::sync::Arc;

use access::event::{Actor, Client, Event, Outcome, What};
use access::words::ConnectorName;
use recorder::Log;

use crate::authority::ask::Keys;
use crate::authority::people::{NobodyError, People};
use crate::clock;
use crate::declared::StoredConnector;
use crate::live::Live;
use crate::refusals::{Refusals, Told};
use crate::session::table::Table;

pub(crate) use ask::Wanted;
pub(crate) use backchannel::USED;
pub(crate) use client::ClientError;
pub(crate) use ends::Cause;
pub(crate) use finish::Came;
pub(crate) use provider::{ProviderError, Providers, Unbelieved};
pub(crate) use refresh::Renewals;
pub(crate) use settle::{Believed, Proven, public_jwk};

/// What a sign-in through a provider needs of this proxy. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Oidc(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) live: Live,
    pub(crate) people: People,
    pub(crate) keys: Keys,
    pub(crate) log: Log,
    pub(crate) refusals: Refusals,
    pub(crate) table: Table,
    /// `https://HOST:PORT` as browsers reach us.
    pub(crate) url: String,
    pub(crate) providers: Providers,
    pub(crate) attempts: attempts::Attempts,
    pub(crate) renewals: Renewals,
    pub(crate) step_ups: step_up::StepUps,
}

impl std::ops::Deref for Oidc {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Oidc {
    pub(crate) fn new(live: &Live, people: &People, keys: &Keys, log: &Log, refusals: &Refusals, table: &Table, url: &str) -> Self {
        Self(Arc::new(Inner {
            live: live.clone(),
            people: people.clone(),
            keys: keys.clone(),
            log: log.clone(),
            refusals: refusals.clone(),
            table: table.clone(),
            url: url.to_owned(),
            providers: Default::default(),
            attempts: Default::default(),
            renewals: Default::default(),
            step_ups: Default::default(),
        }))
    }

    /// A connector as declared now.
    pub(crate) fn connector(&self, name: &ConnectorName) -> Result<StoredConnector, Refusal> {
        self.live
            .now()
            .connectors
            .get(name)
            .cloned()
            .ok_or_else(|| Refusal::new(CONNECTOR, "connector", format!("there is no connector {name}")))
    }

    /// Where a provider sends browsers back to.
    pub(crate) fn callback(&self, connector: &ConnectorName) -> String {
        format!("{}/v1/oidc/{connector}/callback", self.url)
    }

    /// Tells the log of a refused sign-in. What strangers cause is bounded.
    pub(crate) fn refuse(&self, refusal: &Refusal, method: &str, client: Option<&Client>) -> Result<Told, recorder::LogError> {
        let mut event = Event::new(clock::now(), Actor::anonymous(), What::LoginFailed { method: method.to_owned() });
        event.outcome = Outcome::denied(refusal.code, refusal.told());
        event.client = client.cloned();
        self.refusals.tell(event)
    }
}

/// The provider cannot be asked.
pub(crate) const AWAY: &str = "NARU-A120";
/// The provider said no.
pub(crate) const SAID_NO: &str = "NARU-A121";
/// What the provider said is not believed.
pub(crate) const UNBELIEVED: &str = "NARU-A122";
/// There is no such sign-in to finish.
pub(crate) const NO_ATTEMPT: &str = "NARU-A123";
/// The answer belongs to another sign-in.
pub(crate) const OTHER_ATTEMPT: &str = "NARU-A124";
/// The person cannot have the name that the provider gives.
pub(crate) const NAME: &str = "NARU-A125";
/// There is no such connector, or it does not do that.
pub(crate) const CONNECTOR: &str = "NARU-A126";
/// Too many sign-ins are open.
pub(crate) const CROWDED: &str = "NARU-A127";
/// The bot's declaration does not fit its token.
pub(crate) const BOT: &str = "NARU-A128";
/// Whoever looked at it in the browser refused.
pub(crate) const REFUSED_BY_HAND: &str = "NARU-A129";
/// The request is not one that a sign-in begins with.
pub(crate) const BAD_BEGIN: &str = "NARU-A130";

/// Why a sign-in comes to nothing.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{sentence}")]
pub(crate) struct Refusal {
    pub(crate) code: &'static str,
    /// The reason in a word, for the log.
    pub(crate) word: &'static str,
    /// For the person.
    pub(crate) sentence: String,
    pub(crate) hint: Option<&'static str>,
    /// More, for the log alone.
    pub(crate) detail: Option<String>,
}

impl Refusal {
    pub(crate) fn new(code: &'static str, word: &'static str, sentence: impl Into<String>) -> Self {
        Self { code, word, sentence: sentence.into(), hint: None, detail: None }
    }

    pub(crate) fn hint(self, hint: &'static str) -> Self {
        Self { hint: Some(hint), ..self }
    }

    /// As the log has it.
    pub(crate) fn told(&self) -> String {
        let detail = self.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
        format!("{}: {}{detail}", self.word, self.sentence)
    }
}

impl From<ProviderError> for Refusal {
    fn from(error: ProviderError) -> Self {
        let word = match &error {
            ProviderError::Away(_) => "away",
            ProviderError::Status { .. } => "status",
            ProviderError::Discovery(_) => "discovery",
            ProviderError::Keys(_) => "keys",
            ProviderError::Bad(_) => "declaration",
        };
        Self::new(AWAY, word, error.to_string()).hint("Try again in a moment; `naru doctor oidc` says more to an administrator.")
    }
}

impl From<ClientError> for Refusal {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Provider(error) => error.into(),
            ClientError::Refused { .. } => Self::new(SAID_NO, "refused", error.to_string()),
            ClientError::Answer(_) => Self::new(UNBELIEVED, "answer", error.to_string()),
            ClientError::NotTaken => Self::new(SAID_NO, settle::NOT_TAKEN, error.to_string()),
            ClientError::NoDevice => Self::new(CONNECTOR, "flow", error.to_string()).hint("Use `naru login --no-browser`."),
            ClientError::Url(_) => Self::new(AWAY, "declaration", error.to_string()),
        }
    }
}

impl From<Unbelieved> for Refusal {
    fn from(error: Unbelieved) -> Self {
        match error {
            Unbelieved::Token(fault) => Self::new(UNBELIEVED, fault.code(), format!("the identity provider's token is refused: {fault}")),
            Unbelieved::Provider(error) => error.into(),
        }
    }
}

impl From<NobodyError> for Refusal {
    fn from(error: NobodyError) -> Self {
        match error {
            NobodyError::Taken(_) => Self::new(NAME, "taken", error.to_string())
                .hint("An administrator can give the person another name at the provider, or rename the other one."),
            NobodyError::Store(error) => {
                tracing::error!(%error, "a sign-in could not be stored");
                Self::new(AWAY, "store", "the proxy could not store the sign-in")
            }
            other => Self::new(SAID_NO, "nobody", other.to_string()),
        }
    }
}
