//! `naru request create|ls|show|approve|deny|revoke`: access requests as rows, and what people say of them. Waiting is in [`wait`].

use access::amount::Period;
use access::identity::{OnlyTarget, Reach};
use access::words::RequestId;
use serde_json::json;
use wire::api::watch::{CHANGED, PRESENT};
use wire::api::{Can, CanAnswer, Decide, NewRequest, RequestQuery, RequestRow, RequestState};

use crate::failure::Failure;
use crate::http::{Api, with_query};
use crate::live::Live;
use crate::out::{Answer, Out, Table, print, say, tsv_row};
use crate::{can, offer, prompt, when};

pub mod wait;

/// What is wanted: a role, or what a denial offers for a place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    /// A role, or `LOGIN@NODE`.
    pub what: String,
    /// `[LOGIN@]NODE` or `cluster/NAME`.
    pub on: Option<String>,
    /// How long.
    pub length: Option<Period>,
    /// Why.
    pub reason: Option<String>,
    /// How many sessions.
    pub uses: Option<u32>,
}

/// `[LOGIN@]NODE` or `cluster/NAME`.
///
/// # Errors
/// What is neither.
pub fn target(text: &str) -> Result<OnlyTarget, Failure> {
    if let Some(name) = text.strip_prefix("cluster/") {
        let name: access::words::ResourceName = name.parse().map_err(|e| Failure::usage(format!("{e}")))?;
        return Ok(OnlyTarget { kind: Reach::Cluster, name: name.to_string(), login: None });
    }
    let (login, node) = can::destination(text.strip_prefix("node/").unwrap_or(text))?;
    Ok(OnlyTarget { kind: Reach::Node, name: node.to_string(), login })
}

/// Makes the request; with `wait` goes on until it is decided.
pub async fn create(api: &Api, wish: Wish, wait: bool) -> Result<Answer, Failure> {
    let Wish { what, on, length, reason, uses } = wish;
    let new = if what.contains('@') {
        if on.is_some() {
            return Err(Failure::usage("either a role --on a target, or LOGIN@NODE alone"));
        }
        match offered(api, &what, reason.clone()).await? {
            Ok(offer) => NewRequest { role: offer.role, only: Some(offer.only), length, reason, uses },
            Err(allowed) => return Ok(allowed),
        }
    } else {
        let role = what.parse().map_err(|e| Failure::usage(format!("{e}")))?;
        NewRequest { role, only: on.as_deref().map(target).transpose()?, length, reason, uses }
    };
    let row: RequestRow = api.make("/v1/requests", &new).await?;
    if wait {
        let row = wait::until_decided(api, row).await?;
        return Ok(Answer { exit: wait::exit_of(&row), ..facts(&row) });
    }
    if row.state == RequestState::Pending {
        say(&format!("request {} {}", row.id, wait::waits(&row)));
    }
    let exit = if row.state == RequestState::Denied { wire::api::exit::DENIED } else { wire::api::exit::OK };
    Ok(Answer { exit, ..facts(&row) })
}

/// The request that would open this place, or the answer that none is needed.
async fn offered(api: &Api, place: &str, reason: Option<String>) -> Result<Result<access::decide::Offer, Answer>, Failure> {
    let answer: CanAnswer = api.post("/v1/can", &Can { reason, ..can::ssh(place, None, false)? }).await?;
    if answer.allowed {
        let words = format!("{place} is allowed already: {}", answer.rule);
        return Ok(Err(Answer::new(&answer, Table::line(words))));
    }
    let exit = can::exit_of(&answer);
    let no = || Failure::new(answer.code.as_deref().unwrap_or("NARU-P201"), exit, answer.sentence.clone());
    let hint = answer.hint.clone().unwrap_or_else(|| format!("naru can ssh {place}"));
    answer.offer.clone().map(Ok).ok_or_else(|| no().hint(hint))
}

const HEAD: [&str; 8] = ["id", "user", "role", "on", "state", "for", "until", "reason"];

fn columns(row: &RequestRow) -> [String; 8] {
    [
        row.id.to_string(),
        row.user.to_string(),
        row.role.to_string(),
        row.only.as_ref().map(offer::target).unwrap_or_else(|| "everything".to_owned()),
        state(row),
        row.length.to_string(),
        when::shown(row.until),
        row.reason.clone().unwrap_or_default(),
    ]
}

/// `pending 1/2`, `approved`, `used up`.
fn state(row: &RequestRow) -> String {
    let word = row.state.as_str().replace('_', " ");
    let given = row.decisions.iter().filter(|decision| decision.approve).count();
    if row.state == RequestState::Pending && row.required > 1 { format!("{word} {given}/{}", row.required) } else { word }
}

/// Those of the caller and those that the caller may decide: all, or the first `most`.
pub async fn ls(api: &Api, query: &RequestQuery, most: Option<u32>) -> Result<Answer, Failure> {
    let items: Vec<RequestRow> = api.all(&with_query("/v1/requests", query), most).await?;
    let table = Table::of(HEAD, items.iter().map(columns));
    Ok(Answer::new(&json!({ "items": items }), table))
}

/// What there is, then each change as it happens, one line each.
pub async fn watch(api: &Api, query: &RequestQuery, out: Out) -> Result<u8, Failure> {
    let mut live = Live::follow(api, &with_query("/v1/requests", &RequestQuery { watch: true, ..query.clone() })).await?;
    while let Some(message) = live.next().await? {
        if !matches!(message.event.as_str(), PRESENT | CHANGED) {
            continue;
        }
        let Ok(row) = serde_json::from_str::<RequestRow>(&message.data) else { continue };
        let shown = if out.json { format!("{}\n", json!(row)) } else { tsv_row(&columns(&row)) };
        print(shown.as_bytes())?;
    }
    Ok(wire::api::exit::OK)
}

/// What requests give the caller now; nothing where the server does not know such a thing.
pub async fn given(api: &Api) -> Vec<RequestRow> {
    let query = RequestQuery { state: Some(RequestState::Approved), mine: true, ..RequestQuery::default() };
    api.all(&with_query("/v1/requests", &query), None).await.unwrap_or_default()
}

/// `role production on root@db-1, until …`.
pub fn gives_until(row: &RequestRow) -> String {
    let on = row.only.as_ref().map(|only| format!(" on {}", offer::target(only))).unwrap_or_default();
    format!("role {}{on} until {} ({})", row.role, when::shown(row.until), row.id)
}

/// The same in a document: absent where there is nothing.
pub fn beside(map: &mut serde_json::Map<String, serde_json::Value>, given: &[RequestRow]) {
    if !given.is_empty() {
        map.insert("requests".to_owned(), json!(given));
    }
}

/// One.
pub async fn get(api: &Api, id: &RequestId) -> Result<RequestRow, Failure> {
    api.get(&format!("/v1/requests/{id}")).await
}

/// One as facts.
pub async fn show(api: &Api, id: &RequestId) -> Result<Answer, Failure> {
    Ok(facts(&get(api, id).await?))
}

fn facts(row: &RequestRow) -> Answer {
    let mut facts = vec![
        ("id", row.id.to_string()),
        ("user", row.user.to_string()),
        ("role", row.role.to_string()),
        ("on", row.only.as_ref().map(offer::target).unwrap_or_else(|| "everything that the role reaches".to_owned())),
        ("reason", row.reason.clone().unwrap_or_default()),
        ("state", state(row)),
        ("made", when::shown(row.created)),
        ("for", row.length.to_string()),
        (if row.state == RequestState::Pending { "waits until" } else { "until" }, when::shown(row.until)),
        ("rule", row.rule.to_string()),
    ];
    facts.extend(row.uses.map(|uses| ("sessions", format!("{} of {uses}", row.used))));
    if row.state == RequestState::Pending {
        facts.push(("approval", wait::waits(row)));
    }
    for decision in &row.decisions {
        let comment = decision.comment.as_deref().map(|comment| format!(": {comment}")).unwrap_or_default();
        let word = if decision.approve { "approved" } else { "denied" };
        facts.push((word, format!("by {}, {}{comment}", decision.by, when::shown(decision.time))));
    }
    let rows = facts.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    Answer::new(row, Table { head: Vec::new(), rows })
}

/// What somebody says of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// Yes.
    Approve,
    /// No.
    Deny,
    /// Not any more.
    Revoke,
}

/// Says it. A yes shows first what it gives, and asks whoever sits at a terminal, unless `sure`.
pub async fn decide(api: &Api, id: &RequestId, word: Word, said: Decide, sure: bool) -> Result<Answer, Failure> {
    if word == Word::Approve && !sure && prompt::possible() {
        let row = get(api, id).await?;
        say(&gives(&row, said.length));
        if !prompt::yes("approve?").await? {
            return Err(Failure::new("NARU-C030", wire::api::exit::FAILED, "nothing was approved: the request stays as it is"));
        }
    }
    let verb = match word {
        Word::Approve => "approve",
        Word::Deny => "deny",
        Word::Revoke => "revoke",
    };
    let row: RequestRow = api.make(&format!("/v1/requests/{id}/{verb}"), &said).await?;
    if (word, row.state) == (Word::Approve, RequestState::Pending) {
        say(&format!("counted; request {} still {}", row.id, wait::waits(&row)));
    }
    Ok(facts(&row))
}

/// What a yes would give, in a sentence.
fn gives(row: &RequestRow, shorter: Option<Period>) -> String {
    let on = row.only.as_ref().map(|only| format!(" on {} only", offer::target(only)));
    let uses = row.uses.map(|uses| format!(", for {uses} session{}", if uses == 1 { "" } else { "s" })).unwrap_or_default();
    let reason = row.reason.as_deref().map_or("gives no reason".to_owned(), |reason| format!("says: {reason}"));
    let on = on.unwrap_or_else(|| " on everything that the role reaches".to_owned());
    format!("{} would have role {}{on} for {}{uses}; {} {reason}", row.user, row.role, shorter.unwrap_or(row.length), row.user)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::login::fake::Fake;

    pub(crate) fn row(state: &str) -> RequestRow {
        serde_json::from_value(json!({
            "id": "abcd2345", "user": "alice", "role": "production", "only": {"kind": "node", "name": "db-1", "login": "root"},
            "reason": "INC-1", "state": state, "created": "2026-11-21T09:00:00Z", "for": "1h", "until": "2026-11-22T09:00:00Z",
            "rule": "prod", "required": 2, "decisions": [{"by": "olga", "approve": true, "time": "2026-11-21T09:01:00Z", "comment": "ok"}],
            "uses": 1, "from": ["lead"],
        }))
        .expect("a row")
    }

    #[test]
    fn targets_are_nodes_accounts_and_clusters() {
        let of = |text| target(text).map(|only| offer::target(&only));
        assert_eq!(of("root@db-1"), Ok("root@db-1".into()));
        assert_eq!(of("node/db-1"), Ok("db-1".into()));
        assert_eq!(of("cluster/seoul"), Ok("cluster/seoul".into()));
        for bad in ["", "cluster/", "user/kim", "root@", "cluster/../x"] {
            assert_eq!(of(bad).map_err(|e| e.exit), Err(wire::api::exit::USAGE), "{bad:?}");
        }
    }

    #[test]
    fn a_request_says_what_it_gives_and_who_said_what() {
        let text = gives(&row("pending"), "30m".parse().ok());
        assert_eq!(text, "alice would have role production on root@db-1 only for 30m, for 1 session; alice says: INC-1");
        assert_eq!(columns(&row("pending"))[4], "pending 1/2");
        assert_eq!(columns(&row("used_up"))[4], "used up");
        let rows = facts(&row("pending")).table.rows;
        assert!(rows.iter().any(|row| row[0] == "approved" && row[1].starts_with("by olga, ") && row[1].ends_with(": ok")), "{rows:?}");
    }

    #[tokio::test]
    async fn a_place_is_asked_for_by_what_its_denial_offers() {
        let fake = Fake::start(Box::new(|path, asked| match path {
            "/v1/can" => {
                assert_eq!(asked["ssh"], json!({"node": "db-1", "login": "root"}));
                let offer = json!(offer::tests::production(true));
                Some((200, json!({"allowed": false, "rule": "default", "sentence": "no", "offer": offer, "exit": 6})))
            }
            _ => Some((200, json!(row("pending")))),
        }))
        .await;
        let wish = Wish { what: "root@db-1".into(), length: "1h".parse().ok(), reason: Some("INC-1".into()), ..Wish::default() };
        let answer = create(&fake.api(), wish, false).await.expect("made");
        assert_eq!((answer.exit, &answer.json["id"]), (0, &"abcd2345".into()));
        let only = json!({"kind": "node", "name": "db-1", "login": "root"});
        assert_eq!(fake.asked("/v1/requests"), [json!({"role": "production", "only": only, "for": "1h", "reason": "INC-1"})]);
    }

    #[tokio::test]
    async fn what_cannot_be_asked_for_is_a_denial_and_what_is_allowed_needs_no_request() {
        let fake = Fake::start(Box::new(|_, asked| {
            let allowed = asked["ssh"]["login"] == "lee";
            Some((200, json!({"allowed": allowed, "code": "NARU-P202", "rule": "dev/deny.ssh[0]", "sentence": "no", "exit": 4})))
        }))
        .await;
        let ask = |what: &str| Wish { what: what.into(), ..Wish::default() };
        let denied = create(&fake.api(), ask("root@db-1"), true).await.expect_err("denied");
        assert_eq!((denied.code.as_str(), denied.exit), ("NARU-P202", 4));
        assert_eq!(create(&fake.api(), ask("lee@db-1"), true).await.map(|answer| answer.exit), Ok(0));
        assert!(fake.asked("/v1/requests").is_empty());
    }

    #[tokio::test]
    async fn every_page_is_read_and_a_page_that_repeats_itself_ends() {
        let fake = Fake::start(Box::new(|_, _| Some((200, json!({"items": [row("approved")], "next": "x"}))))).await;
        let all = ls(&fake.api(), &RequestQuery::default(), None).await.expect("rows");
        assert_eq!(all.table.rows.len(), 2);
        assert_eq!(ls(&fake.api(), &RequestQuery::default(), Some(1)).await.expect("rows").table.rows.len(), 1);
    }
}
