//! A provider says that somebody signed out (OpenID Connect Back-Channel Logout 1.0): their logins end at once, and what the token does
//! not name is asked about. A token counts once.

use std::time::Instant;

use access::event::{Actor, Client, Event, Outcome, What};
use access::time::Timestamp;
use access::words::ConnectorName;
use store::kv::{Expect, KvError};
use wire::oidc::{LogoutToken, Nonce, logout_token};

use super::ends::Cause;
use super::{Oidc, Refusal, UNBELIEVED};
use crate::clock;

/// Where used tokens are remembered, by their hash, until they would be refused for their age.
pub(crate) const USED: &str = "logout-used/";

impl Oidc {
    /// Believes a logout token and does what it says; answers how many logins ended.
    pub(crate) async fn back_channel(&self, connector: &ConnectorName, token: &str, client: &Client) -> Result<usize, Refusal> {
        let done = self.believe_logout(connector, token).await;
        if let Err(refusal) = &done {
            let what = What::LogoutRefused { connector: connector.to_string() };
            let mut event = Event::new(clock::now(), Actor::anonymous(), what);
            event.outcome = Outcome::denied(refusal.code, refusal.told());
            event.client = Some(client.clone());
            if let Err(error) = self.refusals.tell(event) {
                tracing::error!(%error, "a refused logout could not be logged");
            }
        }
        done
    }

    async fn believe_logout(&self, connector: &ConnectorName, token: &str) -> Result<usize, Refusal> {
        let stored = self.connector(connector)?;
        let spec = &stored.spec;
        let provider = self.providers.of_people(spec.provider())?;
        let token = provider
            .believe(&spec.client_id, &spec.audiences, token, Nonce::None, |token, keys, expected, _| logout_token(token, keys, expected))
            .await?;
        // Sessions end before the token is noted: were the proxy to die in between, the provider's second try ends what is left.
        let ended = self.end_named(connector, &spec.issuer, &token)?;
        self.note_used(connector, &token)?;
        Ok(ended)
    }

    /// Ends the logins of the session that the token names, or all of the person; the person's others are asked about now, since some
    /// providers name one session and mean all.
    fn end_named(&self, connector: &ConnectorName, issuer: &str, token: &LogoutToken) -> Result<usize, Refusal> {
        self.fresh(connector, token)?;
        let store = |error: KvError| Refusal::from(crate::authority::people::NobodyError::Store(error));
        let of_provider = |record: &crate::authority::logins::SignIn| record.provider.as_ref().is_some_and(|said| said.issuer == issuer);
        let logins = self.people.live_logins(clock::now(), of_provider).map_err(store)?;
        let mut ended = 0;
        for login in logins {
            let Some(said) = &login.record.provider else { continue };
            // A way in that needs no provider is not closed by one.
            if login.record.auth.method == access::identity::Method::BreakGlass {
                continue;
            }
            let same_person = token.subject().is_none_or(|subject| subject == said.subject);
            let named = match token.sid() {
                // The same session may sign in again after a forced logout: one that began later is not meant.
                Some(sid) => said.sid.as_deref() == Some(sid) && same_person,
                None => same_person,
            };
            if named && began_before(login.record.started, token.issued()) {
                self.end(&login, &Cause::new("backchannel", "you were signed out at your identity provider"));
                ended += 1;
            } else if token.subject() == Some(said.subject.as_str()) {
                self.renewals.plan(login.id, Instant::now());
            }
        }
        Ok(ended)
    }

    fn fresh(&self, connector: &ConnectorName, token: &LogoutToken) -> Result<(), Refusal> {
        match self.people.store().get(&used_key(connector, token)) {
            Ok(None) => Ok(()),
            Ok(Some(_)) => Err(replayed()),
            Err(error) => Err(crate::authority::people::NobodyError::Store(error).into()),
        }
    }

    fn note_used(&self, connector: &ConnectorName, token: &LogoutToken) -> Result<(), Refusal> {
        let until = serde_json::to_vec(&token.remember_until()).unwrap_or_default();
        match self.people.store().put(&used_key(connector, token), &until, Expect::Absent) {
            Ok(_) => Ok(()),
            Err(KvError::Conflict { .. }) => Err(replayed()),
            Err(error) => Err(crate::authority::people::NobodyError::Store(error).into()),
        }
    }
}

fn replayed() -> Refusal {
    Refusal::new(UNBELIEVED, "replayed", "this logout token was used before")
}

/// Clocks may differ by some seconds, and tokens count whole ones.
fn began_before(started: Timestamp, issued: Timestamp) -> bool {
    started <= issued.plus(std::time::Duration::from_secs(5))
}

fn used_key(connector: &ConnectorName, token: &LogoutToken) -> String {
    let mut hash = blake3::Hasher::new_derive_key("naru used logout token v1");
    hash.update(connector.as_str().as_bytes());
    hash.update(&[0]);
    hash.update(token.jti().as_bytes());
    format!("{USED}{}", hash.finalize().to_hex())
}
