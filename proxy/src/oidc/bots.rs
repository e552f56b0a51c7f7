//! A machine shows a token of its provider: a CI job, a service account. What its declaration demands of the token must all be there.

use std::time::Duration;

use access::identity::{Auth, Method};
use serde_json::Value;
use wire::api::BotSignIn;
use wire::oidc::{Nonce, WorkloadToken, claim, strings, workload_token};

use super::provider::Check;
use super::{BOT, Believed, Oidc, Refusal, Unbelieved};
use crate::authority::logins::Provided;
use crate::authority::people::Vouched;
use crate::clock;

/// Longest login of a bot.
const LIFE: Duration = Duration::from_secs(3600);

impl Oidc {
    /// Believes a machine's token for the bot that it says it is.
    pub(crate) async fn bot(&self, asked: &BotSignIn) -> Result<Vouched, Refusal> {
        let view = self.live.now();
        // Whether there is such a bot does not show before a token of its provider does; without one nothing could be believed.
        let unknown = || {
            Refusal::new(BOT, "bot", format!("the bot {} and this token do not fit", asked.bot))
                .hint("Ask an administrator: the audit log says why.")
        };
        let spec = view.bots.get(&asked.bot).cloned().ok_or_else(unknown)?;
        let provider = self.providers.of_machines(spec.provider())?;
        let check: Check<WorkloadToken> = |token, keys, expected, _| workload_token(token, keys, expected);
        let believed = provider.believe(&spec.audience, &[], &asked.token, Nonce::None, check).await;
        let token = believed.map_err(|error| match error {
            Unbelieved::Token(fault) => Refusal { word: fault.code(), detail: Some(fault.to_string()), ..unknown() },
            Unbelieved::Provider(error) => error.into(),
        })?;
        spec.fits(|path| said(&token, path)).map_err(|why| Refusal {
            word: "claims",
            sentence: format!("{}: {why}", unknown().sentence),
            ..unknown()
        })?;
        let most = spec.max_login.map_or(LIFE, |most| most.duration().min(LIFE));
        Ok(Vouched {
            name: asked.bot.clone(),
            provided: Provided {
                issuer: spec.issuer.clone(),
                subject: token.subject().to_owned(),
                connector: None,
                kept: Default::default(),
                sid: None,
            },
            auth: Auth { method: Method::Bot, time: Some(token.issued()), ..Auth::default() },
            tokens: None,
            expires: clock::now().plus(most),
            proof: Believed::of_machine(&token),
        })
    }
}

/// What a token says at a path; numbers and truths as they are written.
fn said(token: &WorkloadToken, path: &str) -> Vec<String> {
    match claim(token.claims(), path) {
        Some(Value::Bool(truth)) => vec![truth.to_string()],
        Some(Value::Number(number)) => vec![number.to_string()],
        Some(other) => strings(other),
        None => Vec::new(),
    }
}
