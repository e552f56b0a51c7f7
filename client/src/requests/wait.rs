//! Waiting until somebody has decided a request: what is said meanwhile, and what its end means for a script.

use std::time::Duration;

use access::words::RequestId;
use wire::api::{RequestRow, RequestState, RequestWait, exit};

use crate::failure::Failure;
use crate::http::{Api, with_query};
use crate::out::say;
use crate::terminal::Ends;

/// How long one question waits, in seconds. Below the time that an answer may take.
const QUESTION: u32 = 30;
/// How often in a row the server may be out of reach: it may be restarting.
const LOST: u32 = 10;
/// Between two tries.
const PAUSE: Duration = Duration::from_secs(3);

/// Who may approve it and how many have, in words.
pub fn waits(row: &RequestRow) -> String {
    let roles: Vec<&str> = row.from.iter().map(|role| role.as_str()).collect();
    let who = match roles.as_slice() {
        [] => "somebody who may review it".to_owned(),
        [role] => format!("somebody with role {role}"),
        several => format!("somebody with one of the roles {}", several.join(", ")),
    };
    let given = row.decisions.iter().filter(|decision| decision.approve).count();
    let count = if row.required > 1 { format!(" ({given} of {} approvals)", row.required) } else { String::new() };
    format!("waits for {who}{count}: naru request approve {}", row.id)
}

/// Waits as long as the request is pending. The last look at it.
///
/// # Errors
/// Ctrl-C (exit 130): the request stays open. A server that stays out of reach.
pub async fn until_decided(api: &Api, row: RequestRow) -> Result<RequestRow, Failure> {
    let mut ends = Ends::listen()?;
    let (mut row, mut said, mut lost) = (row, String::new(), 0);
    while row.state == RequestState::Pending {
        let now = format!("request {} {}", row.id, waits(&row));
        if now != said {
            say(&now);
            said = now;
        }
        let asked = tokio::select! {
            asked = ask(api, &row.id) => asked,
            code = ends.next() => return Err(left(&row, code)),
        };
        match asked {
            Ok(there) => (row, lost) = (there, 0),
            Err(failure) if failure.exit == exit::CANNOT_REACH && lost < LOST => {
                lost += 1;
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => {}
                    code = ends.next() => return Err(left(&row, code)),
                }
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(row)
}

async fn ask(api: &Api, id: &RequestId) -> Result<RequestRow, Failure> {
    let wait = RequestWait { while_state: Some(RequestState::Pending), seconds: Some(QUESTION) };
    api.get(&with_query(&format!("/v1/requests/{id}"), &wait)).await
}

fn left(row: &RequestRow, code: u8) -> Failure {
    Failure::new("NARU-C031", code, format!("nobody waits any more, and request {} stays open", row.id))
        .hint(format!("naru request show {0} says what became of it; naru request revoke {0} takes it back", row.id))
}

/// 0 where it gave its role, 4 where somebody said no, 6 where nobody said anything in time.
pub fn exit_of(row: &RequestRow) -> u8 {
    match row.state {
        RequestState::Approved | RequestState::UsedUp => exit::OK,
        RequestState::Denied | RequestState::Revoked => exit::DENIED,
        RequestState::Pending | RequestState::Expired => exit::NEEDS_APPROVAL,
    }
}

/// The failure of what waited for the request, where it did not give its role.
pub fn refused(row: &RequestRow) -> Option<Failure> {
    let no = row.decisions.iter().find(|decision| !decision.approve);
    let title = match (row.state, no) {
        (RequestState::Approved | RequestState::UsedUp, _) => return None,
        (RequestState::Denied, Some(no)) => format!("request {} was denied by {}", row.id, no.by),
        (RequestState::Denied, None) => format!("request {} was denied", row.id),
        (RequestState::Revoked, _) => format!("request {} was taken back", row.id),
        (RequestState::Pending | RequestState::Expired, _) => format!("nobody decided request {} in time", row.id),
    };
    let failure = Failure::new("NARU-C032", exit_of(row), title);
    Some(match no.and_then(|no| no.comment.as_deref()) {
        Some(comment) => failure.because(comment),
        None => failure,
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::row;
    use super::*;
    use crate::login::fake::Fake;

    #[test]
    fn the_end_of_a_wait_has_an_exit_code_and_a_sentence() {
        for (state, exit) in [("approved", 0), ("used_up", 0), ("denied", 4), ("revoked", 4), ("expired", 6), ("pending", 6)] {
            assert_eq!(exit_of(&row(state)), exit, "{state}");
            assert_eq!(refused(&row(state)).map(|failure| failure.exit).unwrap_or(0), exit, "{state}");
        }
    }

    #[test]
    fn the_line_of_a_wait_says_who_may_end_it() {
        let mut row = row("pending");
        assert_eq!(waits(&row), "waits for somebody with role lead (1 of 2 approvals): naru request approve abcd2345");
        (row.from, row.required) = (Vec::new(), 1);
        assert_eq!(waits(&row), "waits for somebody who may review it: naru request approve abcd2345");
    }

    #[tokio::test]
    async fn it_asks_until_it_is_decided_and_not_once_more() {
        let count = std::sync::atomic::AtomicUsize::new(0);
        let fake = Fake::start(Box::new(move |path, _| {
            assert_eq!(path, "/v1/requests/abcd2345");
            let before = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            Some((200, serde_json::json!(row(if before < 2 { "pending" } else { "denied" }))))
        }))
        .await;
        let row = until_decided(&fake.api(), row("pending")).await.expect("decided");
        assert_eq!((row.state, fake.asked("/v1/requests/abcd2345").len()), (RequestState::Denied, 3));
    }
}
