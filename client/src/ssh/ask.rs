//! A session was denied and an access request would open it: asking for it, waiting, and going on.

use access::amount::Period;
use wire::api::{NewRequest, RequestRow, exit};

use crate::failure::Failure;
use crate::http::Api;
use crate::out::say;
use crate::requests::wait;
use crate::{offer, prompt};

/// What to do where an access request would help.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asking {
    /// Make it and wait, without a question.
    pub wait: bool,
    /// For how long; as long as may be where absent.
    pub length: Option<Period>,
}

/// Makes the request that the denial offers and waits for its approval. The reason that was given in the end.
///
/// # Errors
/// The denial itself, with the command that asks, where nobody is here to be asked or they do not want to; a request that was not approved.
pub(super) async fn through(api: &Api, denied: Failure, asking: &Asking, reason: Option<String>) -> Result<Option<String>, Failure> {
    let Some(offer) = denied.offer().cloned() else { return Err(denied) };
    let command = offer::command(&offer, asking.length);
    let mut reason = reason;
    if !asking.wait {
        if !prompt::possible() {
            return Err(with_command(denied, &command));
        }
        say(&denied.title);
        let length = asking.length.map(|length| format!(" for {length}")).unwrap_or_default();
        let question = format!("ask for role {} on {}{length}? {}", offer.role, offer::target(&offer.only), offer::approvals(&offer));
        if !prompt::yes(&question).await? {
            return Err(with_command(denied, &command));
        }
        if reason.is_none() {
            let said = prompt::line(if offer.reason { "reason:" } else { "reason (may be empty):" }).await?;
            reason = (!said.is_empty()).then_some(said);
        }
    }
    if offer.reason && reason.is_none() {
        return Err(Failure { hint: Some("naru ssh --reason 'WHY' …".to_owned()), ..with_command(denied, &command) });
    }
    let new = NewRequest { role: offer.role, only: Some(offer.only), length: asking.length, reason: reason.clone(), uses: None };
    let row: RequestRow = api.make("/v1/requests", &new).await?;
    let row = wait::until_decided(api, row).await?;
    match wait::refused(&row) {
        Some(refused) => Err(refused),
        None => {
            say(&format!("request {} is approved{}", row.id, by(&row)));
            Ok(reason)
        }
    }
}

/// ` by olga`.
fn by(row: &RequestRow) -> String {
    let names: Vec<&str> = row.decisions.iter().filter(|decision| decision.approve).map(|decision| decision.by.as_str()).collect();
    if names.is_empty() { String::new() } else { format!(" by {}", names.join(" and ")) }
}

/// The denial with what to type.
fn with_command(denied: Failure, command: &str) -> Failure {
    Failure {
        hint: Some(format!("{command}\nor naru ssh --wait …, which asks and goes on when it is approved")),
        exit: exit::TRANSPORT,
        ..denied
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::login::fake::Fake;

    #[test]
    fn the_denial_names_the_command_and_whoever_said_yes_is_named() {
        let denied = Failure::new("NARU-P201", exit::NEEDS_APPROVAL, "root@db-1 is not allowed");
        let said = with_command(denied, "naru request create production --on root@db-1");
        assert_eq!((said.code.as_str(), said.exit), ("NARU-P201", exit::TRANSPORT));
        assert!(
            said.hint.is_some_and(|hint| hint.starts_with("naru request create production --on root@db-1\n") && hint.contains("--wait"))
        );
        assert_eq!(by(&crate::requests::tests::row("approved")), " by olga");
    }

    fn denied(reason: bool) -> Failure {
        let offer = Some(Box::new(offer::tests::production(reason)));
        let (code, title) = ("NARU-P201".to_owned(), "root@db-1 is not allowed".to_owned());
        let problem = wire::api::Problem { code, title, detail: None, hint: None, offer, fields: Vec::new(), exit: exit::NEEDS_APPROVAL };
        Failure::from_problem(problem, 403)
    }

    #[tokio::test]
    async fn with_wait_it_asks_waits_and_goes_on() {
        let fake = Fake::start(Box::new(|path, _| {
            let state = if path == "/v1/requests" { "pending" } else { "approved" };
            Some((200, serde_json::json!(crate::requests::tests::row(state))))
        }))
        .await;
        let asking = Asking { wait: true, length: "1h".parse().ok() };
        let missing = through(&fake.api(), denied(true), &asking, None).await.expect_err("a reason is missing");
        assert!(missing.hint.is_some_and(|hint| hint.contains("--reason")) && fake.asked("/v1/requests").is_empty());
        let went_on = through(&fake.api(), denied(true), &asking, Some("INC-1".into())).await;
        assert_eq!(went_on, Ok(Some("INC-1".into())));
        let asked = fake.asked("/v1/requests");
        assert_eq!((asked.len(), &asked[0]["role"], &asked[0]["for"]), (1, &"production".into(), &"1h".into()));
    }

    #[tokio::test]
    async fn a_no_is_the_end_of_it() {
        let fake = Fake::start(Box::new(|_, _| Some((200, serde_json::json!(crate::requests::tests::row("denied")))))).await;
        let asking = Asking { wait: true, length: None };
        let refused = through(&fake.api(), denied(false), &asking, None).await.expect_err("refused");
        assert_eq!((refused.code.as_str(), refused.exit), ("NARU-C032", exit::DENIED));
    }
}
