//! What comes back from a provider, by the client or by a browser: held against what was asked, then exchanged. Each answer counts once.

use access::connector::Flow;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use wire::api::Finish;
use wire::oidc::Nonce;

use super::attempts::{Attempt, For, ForLogin, Stage, unknown};
use super::client::plain;
use super::settle::Proven;
use super::{OTHER_ATTEMPT, Oidc, Refusal, SAID_NO};

/// Longest query that an answer may have.
const MAX_ANSWER: usize = 16 * 1024;

/// Where a client's login is.
pub(crate) enum Came {
    /// Nobody has approved yet.
    Waiting,
    /// Somebody is proven: certificates may follow.
    Proven(Box<Proven>, Box<ForLogin>),
}

/// A provider's answer in the query of an address (RFC 6749 section 4.1.2, RFC 9207).
struct Answer {
    state: String,
    code: Option<String>,
    iss: Option<String>,
    error: Option<String>,
    description: Option<String>,
}

impl Answer {
    /// Reads a query; a field that is there twice says nothing.
    fn read(query: &str) -> Result<Self, Refusal> {
        let bad = |why: &str| Refusal::new(OTHER_ATTEMPT, "answer", format!("the provider's answer is not understood: {why}"));
        if query.len() > MAX_ANSWER {
            return Err(bad("it is too long"));
        }
        let (mut state, mut code, mut iss, mut error, mut description) = (None, None, None, None, None);
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let field = match key.as_ref() {
                "state" => &mut state,
                "code" => &mut code,
                "iss" => &mut iss,
                "error" => &mut error,
                "error_description" => &mut description,
                _ => continue,
            };
            if field.replace(value.into_owned()).is_some() {
                return Err(bad("a field is there twice"));
            }
        }
        let state = state.ok_or_else(|| bad("it has no state"))?;
        Ok(Self { state, code, iss, error, description })
    }
}

impl Oidc {
    /// A client asks whether its login is done, or brings the provider's answer.
    pub(crate) async fn finish(&self, asked: &Finish) -> Result<Came, Refusal> {
        let attempt = self.attempts.get(&asked.id)?;
        let For::Login(login) = &attempt.purpose else { return Err(unknown()) };
        let shown = URL_SAFE_NO_PAD.encode(digest(&SHA256, asked.verifier.as_bytes()));
        if verify_slices_are_equal(shown.as_bytes(), login.challenge.as_bytes()).is_err() {
            return Err(Refusal::new(OTHER_ATTEMPT, "verifier", "this sign-in was begun by another client"));
        }
        let login = login.clone();
        match (login.flow, &asked.answer) {
            (Flow::Browser, Some(query)) => {
                // Used up before the provider is asked: there is no second try with the same state.
                let attempt = self.attempts.take(&attempt.id)?;
                let proven = self.answered(&attempt, query).await?;
                Ok(Came::Proven(Box::new(proven), login))
            }
            _ => match self.asked_again(attempt).await?.stage {
                Stage::Begun | Stage::Proven(_) => Ok(Came::Waiting),
                Stage::Approved(_) => match self.attempts.take(&asked.id)?.stage {
                    Stage::Approved(proven) => Ok(Came::Proven(proven, login)),
                    _ => Err(unknown()),
                },
                Stage::Refused(refusal) => {
                    drop(self.attempts.take(&asked.id));
                    Err(refusal)
                }
            },
        }
    }

    /// Of a device flow the provider knows more than we do.
    async fn asked_again(&self, attempt: Attempt) -> Result<Attempt, Refusal> {
        if attempt.device.is_none() || !matches!(attempt.stage, Stage::Begun) {
            return Ok(attempt);
        }
        self.ask_device(&attempt).await;
        self.attempts.get(&attempt.id)
    }

    /// A browser comes back to us with a provider's answer. The attempt moves on; what it is for decides the next page.
    pub(crate) async fn came_back(&self, connector: &str, query: &str, browser: Option<[u8; 32]>) -> Result<(Attempt, Proven), Refusal> {
        let answer = Answer::read(query)?;
        let attempt = self.attempts.of_state(&answer.state)?;
        if attempt.connector.as_str() != connector {
            return Err(Refusal::new(OTHER_ATTEMPT, "mix_up", "the answer came to another provider's address than the one that was asked"));
        }
        // Whoever was sent a link to the provider has not begun here.
        if attempt.browser.is_none() || attempt.browser != browser {
            return Err(Refusal::new(OTHER_ATTEMPT, "browser", "this sign-in was begun in another browser"));
        }
        if matches!(&attempt.purpose, For::Login(login) if login.flow == Flow::Browser) {
            return Err(unknown());
        }
        match self.answered(&attempt, query).await {
            Ok(proven) => {
                self.attempts.set(&attempt.id, Stage::Proven(Box::new(proven.clone())));
                Ok((attempt, proven))
            }
            Err(refusal) => {
                self.attempts.set(&attempt.id, Stage::Refused(refusal.clone()));
                // Sessions that wait for it hear it too; for others there is nobody of this id.
                self.step_ups.answer(&attempt.id, Err(refusal.sentence.clone()));
                Err(refusal)
            }
        }
    }

    /// Holds an answer against its attempt, and exchanges its code.
    async fn answered(&self, attempt: &Attempt, query: &str) -> Result<Proven, Refusal> {
        let answer = Answer::read(query)?;
        if verify_slices_are_equal(answer.state.as_bytes(), attempt.state.as_bytes()).is_err() {
            return Err(Refusal::new(OTHER_ATTEMPT, "state", "the provider's answer belongs to another sign-in"));
        }
        let stored = self.connector(&attempt.connector)?;
        let provider = self.providers.of_people(stored.spec.provider())?;
        let announced = provider.discovery().await?.authorization_response_iss;
        match &answer.iss {
            Some(iss) if *iss == stored.spec.issuer => {}
            None if !announced => {}
            _ => return Err(Refusal::new(OTHER_ATTEMPT, "mix_up", "the answer is not of the provider that was asked (iss)")),
        }
        if let Some(error) = answer.error {
            let more = answer.description.map(|text| format!(": {}", plain(&text))).unwrap_or_default();
            return Err(Refusal::new(SAID_NO, "refused", format!("the identity provider refused: {}{more}", plain(&error))));
        }
        let code = answer
            .code
            .filter(|code| !code.is_empty())
            .ok_or_else(|| Refusal::new(OTHER_ATTEMPT, "answer", "the provider's answer has no code"))?;
        let client = self.client(&attempt.connector, &stored).await?;
        let tokens = client.exchange(&code, &attempt.verifier, &attempt.redirect).await?;
        self.settle(&attempt.connector, &stored, &client, &tokens, Nonce::Must(&attempt.nonce)).await
    }
}
