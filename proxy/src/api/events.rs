//! The audit log for people: search, and following it as it grows, as lines or as messages. Reading is bounded work on its own thread,
//! and the same for both.

use std::collections::VecDeque;
use std::sync::Arc;

use access::decide::{Audit, AuditAsk, Doing, audits_all};
use access::event::ActorKind;
use access::identity::Identity;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::sse::Event;
use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;
use recorder::log::{Entry, Filter, LogReader, ReadError};
use serde::Deserialize;
use tokio::sync::mpsc;
use wire::api::EventQuery;

use super::App;
use super::lasting::{Piece, body, decided, hand, is_yes, while_allowed};
use super::person::{May, Person, ReadEvents, Right as _};
use super::problem::{Asked, No};
use super::sse;
use super::watchers::Place;
use crate::clock;
use crate::live::View;

/// Entries that are looked at before somebody else may have the thread.
const STRETCH: usize = 4096;
/// Lines on their way out.
const LINES: usize = 64;
/// Most that a `limit` may ask for: they are held to find the last ones.
const MAX_LAST: u32 = 10_000;

/// `GET /v1/events`, for who may read the log: JSON lines, or messages for who accepts these.
pub(crate) async fn read(
    State(app): State<App>,
    may: May<ReadEvents>,
    Asked(mut query): Asked<EventQuery>,
    headers: HeaderMap,
) -> Result<Response, No> {
    if query.limit.is_some_and(|limit| limit > MAX_LAST) {
        return Err(No::bad("NARU-W422", format!("limit is at most {MAX_LAST}")));
    }
    let messages = sse::is_asked(&headers);
    if let Some(last) = sse::last_id(&headers).filter(|_| messages) {
        // All that came since is wanted, however many were wanted to begin with.
        (query.after, query.limit) = (Some(last?), None);
    }
    // What is followed as messages ends for whoever does not read them: they go on by the id of the last one. Lines wait, as for a pager.
    let place = if messages && query.follow { Some(app.watchers.place(may.person.identity.user.principal())?) } else { None };
    let entries = entries(&app, &may.person, query, messages, place)?;
    let pieces = while_allowed(&app, may.person, |view, identity| decided(ReadEvents::question(identity), view), entries);
    if messages {
        return Ok(sse::answer(pieces.map(|piece| piece.and_then(message))));
    }
    let headers = [(header::CONTENT_TYPE, "application/jsonl"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, body(pieces.map(|piece| piece.map(line)))).into_response())
}

/// What is found, as it is found.
fn entries(app: &App, person: &Person, query: EventQuery, cuts: bool, place: Option<Place>) -> Result<mpsc::Receiver<Piece<Entry>>, No> {
    let (follow, limit) = (query.follow, query.limit.map(|limit| limit as usize));
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
    let (send, entries) = mpsc::channel(LINES);
    let mut search = Search { app: app.clone(), person: person.clone(), reader, filter, limit, last: VecDeque::new(), cuts };
    tokio::spawn(async move {
        let _place = place;
        while let Some(rest) = search.go_on(&send).await {
            search = rest;
            if !follow || !search.more(&send).await {
                return;
            }
        }
    });
    Ok(entries)
}

/// A search of the log. A thread is borrowed for a stretch of it at a time: a reader who reads nothing holds none.
struct Search {
    app: App,
    person: Person,
    reader: LogReader,
    filter: Filter,
    /// Only the last so many of what is there.
    limit: Option<usize>,
    last: VecDeque<Entry>,
    /// Whoever does not read is cut off.
    cuts: bool,
}

/// Whose doing is the reader's to read, as things stand.
struct Scope {
    view: Arc<View>,
    identity: Identity,
    /// Whoever may read of all is not asked about each.
    all: bool,
}

impl Scope {
    /// Whether this event is of somebody and on a target that the reader may read of.
    fn has(&self, entry: &Entry) -> Result<bool, ReadError> {
        if self.all {
            return Ok(true);
        }
        let event = entry.event()?.event;
        let user = event.actor.name.parse().ok().filter(|_| !matches!(event.actor.kind, ActorKind::System | ActorKind::Agent));
        let known = user.as_ref().and_then(|user| self.view.identity(user, clock::now()));
        let roles = known.map_or(event.actor.roles, |identity| identity.roles);
        let of = Doing { user, roles, labels: event.target.map(|target| target.labels) };
        Ok(is_yes(Audit { of: Some(of), ..ReadEvents::question(self.identity.clone()) }, &self.view))
    }
}

/// What one stretch brought.
struct Stretch {
    entries: VecDeque<Entry>,
    /// The end of what is there.
    ended: bool,
}

impl Search {
    /// Sends what is there. Nothing comes back when nobody listens or the log cannot be read.
    async fn go_on(mut self, send: &mpsc::Sender<Piece<Entry>>) -> Option<Self> {
        loop {
            let stretch = tokio::task::spawn_blocking(move || {
                let stretch = self.stretch();
                (self, stretch)
            });
            let (search, stretch) = stretch.await.ok()?;
            self = search;
            let Stretch { entries, ended } = match stretch {
                Ok(stretch) => stretch,
                Err(no) => {
                    let _gone = send.send(Err(no)).await;
                    return None;
                }
            };
            for entry in entries {
                let sent = if self.cuts { hand(send, Ok(entry)).await } else { send.send(Ok(entry)).await.is_ok() };
                if !sent {
                    return None;
                }
            }
            if ended {
                return Some(self);
            }
            if send.is_closed() {
                return None;
            }
        }
    }

    /// Asked anew for each stretch: who follows the log for long reads what they may read then. Not where they are signed out.
    fn scope(&self) -> Result<Scope, No> {
        let identity = self.person.again(&self.app)?.identity;
        let view = self.app.sessions.live.now();
        let all = audits_all(&identity, AuditAsk::Events, &view.policy, clock::now());
        Ok(Scope { view, identity, all })
    }

    fn stretch(&mut self) -> Result<Stretch, No> {
        let mut entries = VecDeque::new();
        let scope = self.scope()?;
        for _ in 0..STRETCH {
            let Some(entry) = self.reader.next().map_err(No::ours)? else {
                entries.append(&mut self.last);
                // What comes later is all of interest.
                self.limit = None;
                return Ok(Stretch { entries, ended: true });
            };
            if !self.filter.fits(&entry).map_err(No::ours)? || !scope.has(&entry).map_err(No::ours)? {
                continue;
            }
            match self.limit {
                None => entries.push_back(entry),
                Some(limit) => {
                    self.last.push_back(entry);
                    if self.last.len() > limit {
                        self.last.pop_front();
                    }
                }
            }
            if entries.len() >= LINES {
                break;
            }
        }
        Ok(Stretch { entries, ended: false })
    }

    /// Until there is more; not when the log is closed or nobody listens.
    async fn more(&mut self, send: &mpsc::Sender<Piece<Entry>>) -> bool {
        tokio::select! {
            ready = self.reader.ready() => ready,
            () = send.closed() => false,
        }
    }
}

fn line(entry: Entry) -> Bytes {
    let mut line = entry.line;
    line.push(b'\n');
    line.into()
}

/// Its number is the message's id, and its type the message's kind.
fn message(entry: Entry) -> Piece<Event> {
    #[derive(Deserialize)]
    struct Typed {
        #[serde(rename = "type")]
        kind: String,
    }
    let Typed { kind } = serde_json::from_slice(&entry.line).map_err(No::ours)?;
    let text = String::from_utf8(entry.line).map_err(No::ours)?;
    Ok(Event::default().id(entry.seq.to_string()).event(kind.replace(char::is_control, "")).data(text))
}
