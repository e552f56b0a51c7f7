//! `naru sessions ls|show|kill`: sessions as rows. Watching one is in [`crate::watch`].

use access::event::SessionKind;
use access::words::SessionId;
use wire::api::{Done, Items, Kill, SessionQuery, SessionRow, exit};

use crate::failure::Failure;
use crate::http::{Api, with_query};
use crate::out::{Answer, Table};
use crate::when;

/// Fewest characters of an id that stand for the whole: they say the time to some 65 seconds.
const PREFIX: usize = 8;
/// The characters of an id that a list on a terminal shows: they say the time to the millisecond.
const SHOWN: usize = 13;
/// Rows of a list where nothing is said.
const LISTED: u32 = 100;
/// Most candidates that are named where a prefix fits several.
const CANDIDATES: u32 = 8;

/// Sessions that fit the query, newest first. `width` is that of the terminal, where there is one: then the rows are made to fit.
pub async fn ls(api: &Api, query: &SessionQuery, width: Option<u16>) -> Result<Answer, Failure> {
    let path = with_query("/v1/sessions", &SessionQuery { limit: None, ..query.clone() });
    let sessions = Items { items: api.all::<SessionRow>(&path, Some(query.limit.unwrap_or(LISTED))).await? };
    let mut rows: Vec<_> = sessions.items.iter().map(columns).collect();
    if let Some(width) = width {
        fit(&mut rows, usize::from(width));
    }
    Ok(Answer::new(&sessions, Table::of(HEAD, rows)))
}

const HEAD: [&str; 9] = ["id", "user", "login", "node", "kind", "started", "length", "state", "command"];

fn columns(row: &SessionRow) -> [String; 9] {
    [
        row.id.to_string(),
        row.user.to_string(),
        row.login.to_string(),
        row.node.to_string(),
        kind(row.kind).to_owned(),
        row.started.to_string(),
        when::length(row.ended.unwrap_or_else(when::now).since(row.started)),
        state(row),
        row.command.as_deref().map(|command| command.chars().take(60).collect()).unwrap_or_default(),
    ]
}

/// Cuts the id to what a prefix needs and the time to the second; the command gets what is left of the width.
fn fit(rows: &mut [[String; 9]], width: usize) {
    const GAP: usize = 2;
    for [id, _, _, _, _, started, ..] in rows.iter_mut() {
        id.truncate(SHOWN);
        if let Some((second, _)) = started.split_once('.') {
            *started = format!("{second}Z");
        }
    }
    let mut used = HEAD.map(str::len);
    for row in rows.iter() {
        used.iter_mut().zip(row).for_each(|(most, cell)| *most = (*most).max(crate::out::plain(cell).chars().count()));
    }
    let before: usize = used.iter().take(HEAD.len() - 1).map(|most| most + GAP).sum();
    let left = width.saturating_sub(before + GAP).max(HEAD.last().map_or(0, |name| name.len()));
    for [.., command] in rows.iter_mut() {
        if crate::out::plain(command).chars().count() > left {
            *command = crate::out::plain(command).chars().take(left.saturating_sub(1)).chain(['…']).collect();
        }
    }
}

/// The session that a whole id or its beginning means; the list of those that one may see is asked for a beginning.
pub async fn find(api: &Api, word: &str) -> Result<SessionId, Failure> {
    if let Ok(id) = word.parse() {
        return Ok(id);
    }
    let after = last_of(word)?;
    let query = SessionQuery { after: Some(after), limit: Some(CANDIDATES + 1), ..SessionQuery::default() };
    let mut found: Vec<SessionId> =
        api.get::<Items<SessionRow>>(&with_query("/v1/sessions", &query)).await?.items.iter().map(|row| row.id).collect();
    found.retain(|id| id.to_string().starts_with(word));
    the_one(word, &found)
}

/// The greatest id that begins so: the list goes on below it.
fn last_of(word: &str) -> Result<SessionId, Failure> {
    const LAST: &str = "ffffffff-ffff-ffff-ffff-ffffffffffff";
    let bad = || {
        Failure::usage(format!("{word:?} is no session id: a whole id, or its first {PREFIX} characters or more")).hint("naru sessions ls")
    };
    let rest = LAST.get(word.len()..).filter(|_| word.len() >= PREFIX).ok_or_else(bad)?;
    format!("{word}{rest}").parse().map_err(|_| bad())
}

fn the_one(word: &str, found: &[SessionId]) -> Result<SessionId, Failure> {
    match found {
        [] => {
            Err(Failure::new("NARU-W404", exit::NOT_FOUND, format!("there is no session {word}… that you may see"))
                .hint("naru sessions ls"))
        }
        [one] => Ok(*one),
        several => {
            let most = CANDIDATES as usize;
            let mut names: Vec<String> = several.iter().take(most).map(ToString::to_string).collect();
            names.extend((several.len() > most).then(|| "…".to_owned()));
            Err(Failure::usage(format!("{word} begins the id of several sessions")).shown(names.join("\n")).hint("give more of the id"))
        }
    }
}

/// One session.
pub async fn get(api: &Api, id: SessionId) -> Result<SessionRow, Failure> {
    api.get(&format!("/v1/sessions/{id}")).await
}

/// One session as facts.
pub async fn show(api: &Api, id: SessionId) -> Result<Answer, Failure> {
    let row = get(api, id).await?;
    let table = Table::facts([
        ("id", row.id.to_string()),
        ("user", row.user.to_string()),
        ("login", row.login.to_string()),
        ("node", row.node.to_string()),
        ("kind", kind(row.kind).to_owned()),
        ("command", row.command.clone().unwrap_or_default()),
        ("started", row.started.to_string()),
        ("ended", row.ended.map(|at| at.to_string()).unwrap_or_default()),
        ("state", state(&row)),
        ("output", format!("{} bytes", row.output_bytes)),
        ("not kept", crate::gap::sentence(&row.lost).unwrap_or_else(|| "nothing: the recording is whole".to_owned())),
        ("recording", row.recording.clone()),
        ("connection", row.connection.clone().unwrap_or_default()),
    ]);
    Ok(Answer::new(&row, table))
}

/// Ends a live session.
pub async fn kill(api: &Api, id: SessionId, reason: &str) -> Result<Answer, Failure> {
    let Done {} = api.make(&format!("/v1/sessions/{id}/kill"), &Kill { reason: reason.to_owned() }).await?;
    Ok(Answer::new(&serde_json::json!({ "id": id, "killed": true }), Table::line(format!("killed {id}"))))
}

fn kind(kind: SessionKind) -> &'static str {
    match kind {
        SessionKind::Shell => "shell",
        SessionKind::Exec => "exec",
        SessionKind::Sftp => "sftp",
    }
}

/// `live`, `exit 7`, `signal TERM`, or the reason of an end.
fn state(row: &SessionRow) -> String {
    match (&row.reason, row.exit, &row.signal) {
        _ if row.live => "live".to_owned(),
        (_, _, Some(signal)) => format!("signal {signal}"),
        (_, Some(code), None) => format!("exit {code}"),
        (Some(reason), None, None) => reason.clone(),
        (None, None, None) => "ended".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str) -> SessionRow {
        serde_json::from_value(serde_json::json!({
            "id": id, "user": "alice", "node": "demo", "login": "root", "kind": "exec", "live": false, "exit": 130, "output_bytes": 0,
            "recording": "strict", "command": "rsync --server -logDtpre.iLsfxCIvu . /tmp/copied2 and much more of it",
            "started": "2026-11-21T09:49:58.651375440Z", "ended": "2026-11-21T09:59:59.651375440Z",
        }))
        .expect("a row")
    }

    const ID: &str = "01933b6c-8b3e-7000-8000-000000000001";

    #[test]
    fn a_list_fits_the_terminal_and_is_whole_elsewhere() {
        let mut rows = vec![columns(&row(ID))];
        assert_eq!((rows[0][0].as_str(), rows[0][5].as_str()), (ID, "2026-11-21T09:49:58.651375440Z"));
        fit(&mut rows, 100);
        assert_eq!((rows[0][0].as_str(), rows[0][5].as_str()), ("01933b6c-8b3e", "2026-11-21T09:49:58Z"));
        let out = crate::out::Out { terminal: true, ..crate::out::Out::PLAIN };
        let text = out.render(&Answer::new(&(), Table::of(HEAD, rows)));
        assert!(text.lines().all(|line| line.chars().count() <= 100) && text.contains('…'), "{text}");
    }

    #[test]
    fn the_beginning_of_an_id_is_enough_where_it_is_the_only_one() {
        assert_eq!(last_of("01933b6c-8b").expect("last").to_string(), "01933b6c-8bff-ffff-ffff-ffffffffffff");
        for bad in ["", "01933b6", "01933b6cx", "01933b6c8b3e", "../../xx", "01933B6C", &format!("{ID}0")] {
            assert_eq!(last_of(bad).map_err(|e| e.exit), Err(exit::USAGE), "{bad:?}");
        }
        let (one, two) = (ID.parse().expect("id"), "01933b6c-8b3e-7000-8000-000000000002".parse().expect("id"));
        assert_eq!(the_one("01933b6c", &[one]), Ok(one));
        assert_eq!(the_one("01933b6c", &[]).map_err(|e| e.exit), Err(exit::NOT_FOUND));
        let several = the_one("01933b6c", &[one, two]).expect_err("several");
        assert_eq!(several.exit, exit::USAGE);
        assert!(several.shown.is_some_and(|shown| shown.lines().count() == 2 && shown.contains(ID)));
    }
}
