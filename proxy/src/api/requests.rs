//! Access requests over the API: who may see one, who may decide it, and waiting for it. What a request is, is in `crate::requests`.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::time::Duration;

use access::decide::{Administer, Review, decide};
use access::identity::{Labels, Reach};
use access::policy::{Level, ResourceKind};
use access::words::RequestId;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::sse::Event;
use axum::response::{IntoResponse as _, Response};
use tokio::sync::mpsc;
use wire::api::watch::{CHANGED, DELETED, Gone, PRESENT, READY, Ready};
use wire::api::{Decide, NewRequest, RequestQuery, RequestRow, RequestWait, exit};

use super::lasting::{Piece, hand, while_allowed};
use super::person::{Person, Told};
use super::problem::{Asked, No};
use super::watchers::Place;
use super::{App, page, sse};
use crate::clock;
use crate::requests::{By, MayReview, RequestError, StoredRequest, rule_for};

/// Rows on a page where nothing is said, and at most.
const PAGE: usize = 100;
const MOST: usize = 1000;
/// Longest wait for one request.
const WAIT: Duration = Duration::from_secs(60);
/// How often whoever watches is looked at anew: the login may have ended.
const LOOK: Duration = Duration::from_secs(5);

impl From<RequestError> for No {
    fn from(error: RequestError) -> Self {
        let title = error.to_string();
        let denied = |code| Self::new(StatusCode::FORBIDDEN, code, exit::DENIED, title.clone());
        let conflict = |code| Self::new(StatusCode::CONFLICT, code, exit::CONFLICT, title.clone());
        match error {
            RequestError::Unknown(_) => Self::not_found(title).hint("`naru request ls` lists those that you may see."),
            RequestError::MayNot(..) => denied("NARU-P220").hint("Ask an administrator for a role that may ask for it."),
            RequestError::NoRule(_) => denied("NARU-P221").hint("An administrator declares one as kind access_rule."),
            RequestError::HasIt(..) => conflict("NARU-P222").hint("Nothing is to be asked for: `naru ls` shows what it reaches."),
            RequestError::TooLong { .. } | RequestError::TooMany { .. } => Self::bad("NARU-P223", title),
            RequestError::NoReason(_) | RequestError::BadReason { .. } | RequestError::Words => {
                Self::bad("NARU-P224", title).hint("Say it with --reason 'why'.")
            }
            RequestError::Target => Self::bad("NARU-W422", title).hint("Name one as `naru ls` does."),
            RequestError::Full(_) => Self::new(StatusCode::TOO_MANY_REQUESTS, "NARU-P225", exit::FAILED, title),
            RequestError::Over(..) | RequestError::UsedUp(_) => conflict("NARU-P226").hint("Ask anew with `naru request create`."),
            RequestError::Store(error) => error.into(),
            RequestError::Log(error) => error.into(),
            RequestError::Live(error) => Self::ours(error),
        }
    }
}

/// Whether somebody may decide it; nothing is told of a no.
fn review(app: &App, person: &Person, stored: &StoredRequest) -> Option<MayReview> {
    let question = Review { identity: person.identity.clone(), requester: stored.user.clone(), role: stored.role.clone() };
    decide(question, &app.sessions.live.now().policy, clock::now()).ok()
}

fn keeps(app: &App, person: &Person, level: Level) -> bool {
    let question = Administer { identity: person.identity.clone(), kind: ResourceKind::Request, level };
    decide(question, &app.sessions.live.now().policy, clock::now()).is_ok()
}

fn is_own(person: &Person, stored: &StoredRequest) -> bool {
    stored.asker == person.identity.user
}

/// As this person may see it; none where they may not.
fn row(app: &App, person: &Person, id: &RequestId, stored: &StoredRequest) -> Option<RequestRow> {
    let may_decide = review(app, person, stored).is_some();
    let sees = may_decide || is_own(person, stored) || keeps(app, person, Level::Read);
    sees.then(|| stored.row(id, &app.sessions.live.now().policy, clock::now(), may_decide))
}

fn id_of(text: &str) -> Result<RequestId, No> {
    text.parse().map_err(|_| RequestError::Unknown(text.chars().take(40).collect()).into())
}

fn by(person: &Person) -> By<'_> {
    By { actor: person.actor(), client: Some(&person.client) }
}

/// The labels of a target, where it is there.
fn labels(app: &App, asked: &NewRequest) -> Option<Labels> {
    let only = asked.only.as_ref()?;
    match only.kind {
        Reach::Node => app.sessions.nodes.facts(&only.name.parse().ok()?).ok().flatten().map(|(facts, _)| facts.labels),
        Reach::Cluster => app.sessions.nodes.cluster(&only.name.parse().ok()?).map(|facts| facts.labels),
    }
}

/// `POST /v1/requests`, for whoever is signed in: what may be asked for is said by their roles.
pub(crate) async fn create(State(app): State<App>, Told(person, asked): Told<Person, NewRequest>) -> Result<Json<RequestRow>, No> {
    let labels = labels(&app, &asked);
    let made = app.sessions.requests.make(asked, &person.identity, labels.as_ref(), by(&person)).await;
    let (id, stored) = made.map_err(|error| refused(&app, &person, error))?;
    row(&app, &person, &id, &stored).map(Json).ok_or_else(|| No::ours("a request of one's own that one may not see"))
}

/// Whether this person may ask for that role.
pub(super) fn may_make(app: &App, person: &Person, asked: &NewRequest) -> Result<(), No> {
    let view = app.sessions.live.now();
    rule_for(&asked.role, &person.identity, &view.policy).map(drop).map_err(|error| refused(app, person, error))
}

/// A no to somebody who may not ask is in the log.
fn refused(app: &App, person: &Person, error: RequestError) -> No {
    if matches!(error, RequestError::MayNot(..) | RequestError::NoRule(_)) {
        let mut event = person.event(access::event::What::AccessDenied { asked: "to request a role".to_owned() });
        event.outcome = access::event::Outcome::denied("NARU-P220", error.to_string());
        if let Err(error) = app.sessions.refusals.tell(event) {
            return error.into();
        }
    }
    error.into()
}

/// Too many wait already.
fn crowded() -> No {
    No::busy("too many wait for access requests at the moment").hint("Ask for the list without waiting, or try again in a minute.")
}

fn rows(app: &App, person: &Person, query: &RequestQuery) -> Result<Vec<RequestRow>, No> {
    let wanted = |row: &RequestRow| query.state.is_none_or(|state| row.state == state);
    let all = app.sessions.requests.all()?;
    let seen = all.iter().filter(|(_, stored)| !query.mine || is_own(person, stored));
    Ok(seen.filter_map(|(id, stored)| row(app, person, id, stored)).filter(wanted).collect())
}

/// `GET /v1/requests`, for whoever is signed in: one's own, and those that one may decide. A page, or with `watch` all as messages and
/// each change.
pub(crate) async fn list(State(app): State<App>, person: Person, Asked(query): Asked<RequestQuery>) -> Result<Response, No> {
    if query.watch {
        let place = app.watchers.place(person.identity.user.principal())?;
        let (send, messages) = mpsc::channel(sse::QUEUE);
        tokio::spawn(watch(app.clone(), person.clone(), query, send, place));
        return Ok(sse::answer(while_allowed(&app, person, |_, _| Ok(()), messages)));
    }
    // Newest first.
    let place = |row: &RequestRow| (Reverse(row.created.as_nanos()), row.id.to_string());
    let after = query.after.as_deref().map(page::placed).transpose()?.map(|(made, id)| (Reverse(made), id.to_owned()));
    let rows = rows(&app, &person, &query)?.into_iter().filter(|row| after.as_ref().is_none_or(|after| place(row) > *after));
    let page = page::of(rows, page::within(query.limit, PAGE, MOST), |row| page::place(row.created.as_nanos(), row.id.as_str()));
    Ok(Json(page).into_response())
}

/// Until nobody reads any more. Each row that the reader has seen is remembered by its hash.
async fn watch(app: App, person: Person, query: RequestQuery, send: mpsc::Sender<Piece<Event>>, _place: Place) {
    let (mut changed, mut view) = (app.sessions.requests.watch(), app.sessions.live.watch());
    let mut seen = None::<BTreeMap<RequestId, u64>>;
    loop {
        changed.mark_unchanged();
        view.mark_unchanged();
        let news = person.again(&app).and_then(|person| news(seen.as_ref(), &rows(&app, &person, &query)?));
        let (messages, now) = match news {
            Ok(news) => news,
            Err(no) => {
                let _gone = hand(&send, Err(no)).await;
                return;
            }
        };
        for message in messages {
            if !hand(&send, Ok(message)).await {
                return;
            }
        }
        seen = Some(now);
        // Time alone changes them too.
        tokio::select! {
            _ = tokio::time::timeout(LOOK, changed.changed()) => {}
            changed = view.changed() => if changed.is_err() { return },
            () = send.closed() => return,
        }
    }
}

/// What somebody who has seen these does not know yet; what they have seen then.
fn news(seen: Option<&BTreeMap<RequestId, u64>>, rows: &[RequestRow]) -> Result<(Vec<Event>, BTreeMap<RequestId, u64>), No> {
    let (mut messages, mut now) = (Vec::new(), BTreeMap::new());
    for row in rows.iter().rev() {
        let text = serde_json::to_string(row).map_err(No::ours)?;
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(&text);
        if seen.and_then(|seen| seen.get(&row.id)) != Some(&hash) {
            messages.push(Event::default().event(if seen.is_some() { CHANGED } else { PRESENT }).data(text));
        }
        now.insert(row.id.clone(), hash);
    }
    for id in seen.into_iter().flat_map(BTreeMap::keys).filter(|id| !now.contains_key(*id)) {
        messages.push(sse::message(DELETED, &Gone { name: id.to_string(), revision: None })?);
    }
    if seen.is_none() {
        messages.push(sse::message(READY, &Ready { whole: true, revision: None })?);
    }
    Ok((messages, now))
}

/// `GET /v1/requests/{id}`, for who made it, who may decide it, and who may read requests.
pub(crate) async fn show(
    State(app): State<App>,
    person: Person,
    Path(id): Path<String>,
    Asked(query): Asked<RequestWait>,
) -> Result<Json<RequestRow>, No> {
    let id = id_of(&id)?;
    let wait = query.seconds.map_or(Duration::ZERO, |seconds| Duration::from_secs(seconds.into())).min(WAIT);
    let until = tokio::time::Instant::now() + wait;
    let _place = if wait.is_zero() { None } else { Some(app.sessions.requests.place().ok_or_else(crowded)?) };
    let mut changed = app.sessions.requests.watch();
    loop {
        changed.mark_unchanged();
        let person = person.again(&app)?;
        let (stored, _) = app.sessions.requests.get(&id)?;
        let row = row(&app, &person, &id, &stored).ok_or_else(|| RequestError::Unknown(id.to_string()))?;
        if query.while_state != Some(row.state) || tokio::time::Instant::now() >= until {
            return Ok(Json(row));
        }
        let step = until.min(tokio::time::Instant::now() + LOOK);
        let _ = tokio::time::timeout_at(step, changed.changed()).await;
    }
}

/// `POST /v1/requests/{id}/{word}` with `approve`, `deny` or `revoke`: for who may decide it; to take it back, also for who made it.
pub(crate) async fn say(
    State(app): State<App>,
    Path((id, word)): Path<(String, String)>,
    Told(person, said): Told<Person, Decide>,
) -> Result<Json<RequestRow>, No> {
    let (id, permit) = may_say(&app, &person, &id, &word)?;
    let stored = match permit.filter(|_| word != "revoke") {
        Some(permit) => app.sessions.requests.decide(&id, &permit, word == "approve", said, by(&person)).await?,
        None => app.sessions.requests.revoke(&id, said.comment, by(&person)).await?,
    };
    row(&app, &person, &id, &stored).map(Json).ok_or_else(|| No::ours("a request that was seen a moment ago"))
}

/// The request of which this person may say that word. Without a permit to decide it they may only take it back.
pub(super) fn may_say(app: &App, person: &Person, id: &str, word: &str) -> Result<(RequestId, Option<MayReview>), No> {
    let id = id_of(id)?;
    let (stored, _) = app.sessions.requests.get(&id)?;
    // Nobody learns of a request that they may not see.
    row(app, person, &id, &stored).ok_or_else(|| RequestError::Unknown(id.to_string()))?;
    let question = Review { identity: person.identity.clone(), requester: stored.user.clone(), role: stored.role.clone() };
    let permit = match word {
        "approve" | "deny" => Some(person.may(app, question, &format!("to {word} the request {id}"))?),
        "revoke" if is_own(person, &stored) || keeps(app, person, Level::Write) => None,
        "revoke" => Some(person.may(app, question, &format!("to revoke the request {id}"))?),
        _ => return Err(No::not_found("there is no such route")),
    };
    Ok((id, permit))
}
