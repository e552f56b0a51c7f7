//! `naru sessions ls|show|kill`: sessions as rows. Watching one is in [`crate::watch`].

use access::event::SessionKind;
use access::words::SessionId;
use wire::api::{Done, Items, Kill, SessionQuery, SessionRow};

use crate::failure::Failure;
use crate::http::{Api, with_query};
use crate::out::{Answer, Table};
use crate::when;

/// Sessions that fit the query, newest first.
pub async fn ls(api: &Api, query: &SessionQuery) -> Result<Answer, Failure> {
    let sessions: Items<SessionRow> = api.get(&with_query("/v1/sessions", query)).await?;
    let head = ["id", "user", "login", "node", "kind", "started", "length", "state", "command"];
    let rows = sessions.items.iter().map(|row| {
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
    });
    Ok(Answer::new(&sessions, Table::of(head, rows)))
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
    let Done {} = api.post(&format!("/v1/sessions/{id}/kill"), &Kill { reason: reason.to_owned() }).await?;
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
