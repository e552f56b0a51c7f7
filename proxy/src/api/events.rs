//! The audit log for people: search, and following it as it grows. Reading is bounded work on its own thread.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use recorder::log::{Entry, Filter, LogReader, ReadError};
use tokio::sync::mpsc;
use wire::api::EventQuery;

use super::App;
use super::lasting::{is_yes, while_allowed};
use super::person::{May, ReadEvents, Right as _};
use super::problem::{Asked, No};

type Line = std::io::Result<Bytes>;

/// Lines on their way out.
const LINES: usize = 64;
/// Most that a `limit` may ask for: they are held to find the last ones.
const MAX_LAST: u32 = 10_000;

/// `GET /v1/events`, for who may read the log.
pub(crate) async fn read(State(app): State<App>, may: May<ReadEvents>, Asked(query): Asked<EventQuery>) -> Result<Response, No> {
    if query.limit.is_some_and(|limit| limit > MAX_LAST) {
        return Err(No::bad("NARU-W422", format!("limit is at most {MAX_LAST}")));
    }
    let filter = Filter {
        types: query.kind.iter().map(|kind| kind.trim_end_matches('*').to_owned()).collect(),
        user: query.user,
        node: query.node,
        session: query.session,
        since: query.since,
        until: query.until,
        text: query.text,
    };
    let reader = app.sessions.log.reader(query.after.map_or(1, |after| after.saturating_add(1))).map_err(No::ours)?;
    let (send, lines) = mpsc::channel(LINES);
    let (limit, follow) = (query.limit.map(|limit| limit as usize), query.follow);
    tokio::spawn(async move {
        let past = tokio::task::spawn_blocking(move || {
            let (reader, filter) = past(reader, filter, limit, &send)?;
            Some((reader, filter, send))
        });
        let Ok(Some((reader, filter, send))) = past.await else { return };
        if follow {
            follow_on(reader, filter, send).await;
        }
    });
    let body = while_allowed(&app, may.person, |view, identity| is_yes(ReadEvents::question(identity), view), lines);
    let headers = [(header::CONTENT_TYPE, "application/jsonl"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, body).into_response())
}

/// Everything from here on, until the log is closed or nobody listens.
async fn follow_on(mut reader: LogReader, mut filter: Filter, mut send: mpsc::Sender<Line>) {
    loop {
        tokio::select! {
            ready = reader.ready() => if !ready { return },
            () = send.closed() => return,
        }
        let more = tokio::task::spawn_blocking(move || {
            let (reader, filter) = past(reader, filter, None, &send)?;
            Some((reader, filter, send))
        });
        match more.await {
            Ok(Some(next)) => (reader, filter, send) = next,
            _ => return,
        }
    }
}

/// Sends what is there; with a limit only the last so many. Nothing comes back when nobody listens or the log cannot be read.
fn past(mut reader: LogReader, filter: Filter, limit: Option<usize>, send: &mpsc::Sender<Line>) -> Option<(LogReader, Filter)> {
    let mut last = std::collections::VecDeque::new();
    let mut next = || -> Result<Option<Entry>, ReadError> {
        while let Some(entry) = reader.next()? {
            if filter.fits(&entry)? {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    };
    loop {
        let entry = match next() {
            Ok(Some(entry)) => entry,
            Ok(None) => break,
            Err(error) => {
                tracing::error!(%error, "the log could not be read");
                return None;
            }
        };
        let line = line(entry);
        match limit {
            None => send.blocking_send(Ok(line)).ok()?,
            Some(limit) => {
                last.push_back(line);
                if last.len() > limit {
                    last.pop_front();
                }
            }
        }
    }
    for line in last {
        send.blocking_send(Ok(line)).ok()?;
    }
    Some((reader, filter))
}

fn line(entry: Entry) -> Bytes {
    let mut line = entry.line;
    line.push(b'\n');
    line.into()
}
