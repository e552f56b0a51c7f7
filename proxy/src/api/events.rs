//! The audit log for people: search, and following it as it grows. Reading is bounded work on its own thread.

use std::collections::VecDeque;
use std::sync::Arc;

use access::decide::{Audit, AuditAsk, Doing, audits_all};
use access::event::ActorKind;
use access::identity::Identity;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use recorder::log::{Entry, Filter, LogReader, ReadError};
use tokio::sync::mpsc;
use wire::api::EventQuery;

use super::App;
use super::lasting::{is_yes, while_allowed};
use super::person::{May, Person, ReadEvents, Right as _};
use super::problem::{Asked, No};
use crate::clock;
use crate::live::View;

type Line = std::io::Result<Bytes>;

/// Entries that are looked at before somebody else may have the thread.
const STRETCH: usize = 4096;
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
    let (app_of_search, person) = (app.clone(), may.person.clone());
    let (limit, follow) = (query.limit.map(|limit| limit as usize), query.follow);
    tokio::spawn(async move {
        let mut search = Search { app: app_of_search, person, reader, filter, limit, last: VecDeque::new() };
        while let Some(rest) = search.go_on(&send).await {
            search = rest;
            if !follow || !search.more(&send).await {
                return;
            }
        }
    });
    let body = while_allowed(&app, may.person, |view, identity| is_yes(ReadEvents::question(identity), view), lines);
    let headers = [(header::CONTENT_TYPE, "application/jsonl"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, body).into_response())
}

/// A search of the log. A thread is borrowed for a stretch of it at a time: a reader who reads nothing holds none.
struct Search {
    app: App,
    person: Person,
    reader: LogReader,
    filter: Filter,
    /// Only the last so many of what is there.
    limit: Option<usize>,
    last: VecDeque<Bytes>,
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
    lines: VecDeque<Bytes>,
    /// The end of what is there.
    ended: bool,
}

impl Search {
    /// Sends what is there. Nothing comes back when nobody listens or the log cannot be read.
    async fn go_on(mut self, send: &mpsc::Sender<Line>) -> Option<Self> {
        loop {
            let stretch = tokio::task::spawn_blocking(move || {
                let stretch = self.stretch();
                (self, stretch)
            });
            let (search, stretch) = stretch.await.ok()?;
            self = search;
            let Stretch { lines, ended } = match stretch {
                Ok(Some(stretch)) => stretch,
                Ok(None) => {
                    // Breaks off, so that nobody takes it for the whole.
                    let _gone = send.send(Err(std::io::ErrorKind::PermissionDenied.into())).await;
                    return None;
                }
                Err(error) => {
                    tracing::error!(%error, "the log could not be read");
                    return None;
                }
            };
            for line in lines {
                send.send(Ok(line)).await.ok()?;
            }
            if ended {
                return Some(self);
            }
            if send.is_closed() {
                return None;
            }
        }
    }

    /// Asked anew for each stretch: who follows the log for long reads what they may read then. None where they are signed out.
    fn scope(&self) -> Option<Scope> {
        let identity = self.person.again(&self.app).ok()?.identity;
        let view = self.app.sessions.live.now();
        let all = audits_all(&identity, AuditAsk::Events, &view.policy, clock::now());
        Some(Scope { view, identity, all })
    }

    fn stretch(&mut self) -> Result<Option<Stretch>, ReadError> {
        let mut lines = VecDeque::new();
        let Some(scope) = self.scope() else { return Ok(None) };
        for _ in 0..STRETCH {
            let Some(entry) = self.reader.next()? else {
                lines.append(&mut self.last);
                // What comes later is all of interest.
                self.limit = None;
                return Ok(Some(Stretch { lines, ended: true }));
            };
            if !self.filter.fits(&entry)? || !scope.has(&entry)? {
                continue;
            }
            match self.limit {
                None => lines.push_back(line(entry)),
                Some(limit) => {
                    self.last.push_back(line(entry));
                    if self.last.len() > limit {
                        self.last.pop_front();
                    }
                }
            }
            if lines.len() >= LINES {
                break;
            }
        }
        Ok(Some(Stretch { lines, ended: false }))
    }

    /// Until there is more; not when the log is closed or nobody listens.
    async fn more(&mut self, send: &mpsc::Sender<Line>) -> bool {
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
