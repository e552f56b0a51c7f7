//! A login ends without its person's doing, or by it: in the store, in the log, at the provider, and in every live session of it.

use access::decide::{Denial, LogIn, log_in};
use access::event::{Actor, Client, Event, What};
use access::words::ConnectorName;
use http::StatusCode;
use store::kv::KvError;

use super::{Oidc, Refusal};
use crate::authority::logins::{Login, SignIn, tokens_of};
use crate::authority::people::VerifiedUser;
use crate::authority::sealed::Unseal;
use crate::clock;
use crate::session::table::Stop;

/// Why a login ends that nobody here ended.
#[derive(Debug, Clone)]
pub(crate) struct Cause {
    /// In a word, for the log.
    pub(crate) word: &'static str,
    /// For the person, whose sessions end with it.
    pub(crate) sentence: String,
}

impl Cause {
    pub(crate) fn new(word: &'static str, sentence: impl Into<String>) -> Self {
        Self { word, sentence: sentence.into() }
    }
}

impl Oidc {
    /// Ends a login and its live sessions. The sessions go first: whoever is to be cut off does not wait for a disk.
    pub(crate) fn end(&self, login: &Login, cause: &Cause) {
        self.renewals.forget(login.id);
        self.table.stop_sign_in(login.id, &Stop { reason: "signed_out", sentence: cause.sentence.clone() });
        match self.people.sign_out(login.id, &cause.sentence) {
            Ok(false) => return,
            Ok(true) => {}
            // Its sessions are over; whether its certificates still count shows at the next try.
            Err(error) => tracing::error!(%error, "a login could not be ended in the store"),
        }
        // One that began a session between the two is met by its own look at the login.
        self.table.stop_sign_in(login.id, &Stop { reason: "signed_out", sentence: cause.sentence.clone() });
        let sid = login.record.provider.as_ref().and_then(|provided| provided.sid.clone());
        let mut event = Event::new(clock::now(), self.actor(&login.record), What::LoginEnded { cause: cause.word.to_owned(), sid });
        event.outcome.message = Some(cause.sentence.clone());
        if let Err(error) = self.log.append(&event) {
            tracing::error!(%error, "the end of a login could not be logged");
        }
    }

    /// The person of a login, also where they are nobody any more.
    pub(super) fn actor(&self, record: &SignIn) -> Actor {
        let id = record.provider.as_ref().map(|provided| format!("{}|{}", provided.issuer, provided.subject));
        let known = self.live.now().identity(&record.user, record.expires);
        known
            .as_ref()
            .map_or_else(|| Actor { name: record.user.to_string(), id: id.unwrap_or_default(), ..Actor::anonymous() }, Actor::user)
    }

    /// Makes room for one more login of this person, or says that there is none.
    pub(crate) fn make_room(&self, user: &VerifiedUser, client: &Client) -> Result<Result<(), Denial>, KvError> {
        let (identity, now) = (user.identity(), clock::now());
        let principal = identity.user.principal();
        let mut live = self.people.live_logins(now, |record| record.is_of(&principal))?;
        live.retain(|login| login.id != user.sign_in());
        let question = LogIn { identity: identity.clone(), live: live.iter().map(|login| (login.id, login.record.started)).collect() };
        let admit = match log_in(&question, &self.live.now().policy, now) {
            Ok(admit) => admit,
            Err(denial) => return Ok(Err(denial)),
        };
        let cause = Cause::new("crowded", format!("you signed in elsewhere ({}), and your role allows no more logins at once", client.ip));
        for login in live.iter().filter(|login| admit.ends.contains(&login.id)) {
            self.end(login, &cause);
        }
        Ok(Ok(()))
    }

    /// Ends the provider's session of a login, where it has one. True when the provider did; else what a browser opens to do it.
    pub(crate) async fn end_at_provider(&self, login: &Login, id_token: &str) -> Result<bool, Option<String>> {
        let record = &login.record;
        let Some(connector) = record.provider.as_ref().and_then(|provided| provided.connector.clone()) else { return Err(None) };
        match self.ask_to_end(&connector, id_token).await {
            Ok((true, _)) => Ok(true),
            Ok((false, browse)) => Err(browse),
            Err(refusal) => {
                tracing::warn!(%refusal, "the provider could not be told of a sign-out");
                Err(None)
            }
        }
    }

    async fn ask_to_end(&self, connector: &ConnectorName, id_token: &str) -> Result<(bool, Option<String>), Refusal> {
        let stored = self.connector(connector)?;
        let provider = self.providers.of_people(stored.spec.provider())?;
        let Some(endpoint) = provider.discovery().await?.end_session_endpoint.clone() else { return Ok((false, None)) };
        let client = self.client(connector, &stored).await?;
        // RP-Initiated Logout 1.0 section 2: by POST too; the hint names the session, so that no page has to ask.
        let status = client.post("end of session", &endpoint, &[("id_token_hint", id_token)]).await?;
        let done = StatusCode::from_u16(status).is_ok_and(|status| status.is_success() || status.is_redirection());
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("client_id", &stored.spec.client_id);
        let sign = if endpoint.contains('?') { '&' } else { '?' };
        Ok((done, Some(format!("{endpoint}{sign}{}", query.finish()))))
    }

    /// The last ID token of a login, for the provider.
    pub(crate) fn id_token(&self, sign_in: u64) -> Option<String> {
        let tokens = self.people.tokens(sign_in).ok().flatten()?;
        let sealed = tokens.id_token?;
        self.keys.ask(Unseal { place: &tokens_of(sign_in), sealed: &sealed }).ok().map(|text| text.to_string())
    }
}
