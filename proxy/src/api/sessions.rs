//! Sessions for people: lists, one, its recording as text while it runs and after, whether it is whole, and ending it.

use std::io::Read as _;

use access::decide::{Audit, AuditAsk, Doing, Permit, audits_all};
use access::event::{SessionRef, Target, TargetKind, What};
use access::identity::Identity;
use access::policy::AuditAction;
use access::words::SessionId;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use tokio::sync::mpsc;
use wire::api::{CastQuery, Done, Extend, Extended, Kill, Purpose, SessionQuery, SessionRow, Verified, VerifyFault};

use super::App;
use super::lasting::{Piece, body, is_yes, while_allowed};
use super::person::{ExportSessions, KillSessions, May, Person, PlaySessions, Right as _, Told, WatchSessions};
use super::problem::{Asked, No};
use super::{page, watching_sessions};
use crate::live::View;
use crate::session::table::Stop;

/// Rows of one answer where nothing is said, and at most.
const USUAL_ROWS: usize = 100;
const MAX_ROWS: usize = 1000;
/// Pieces of text on their way out.
const PIECES: usize = 4;
type Pieces = mpsc::Receiver<Piece<Bytes>>;

fn id_of(text: &str) -> Result<SessionId, No> {
    text.parse().map_err(|_| No::bad("NARU-W422", format!("{text:?} is not a session id")))
}

/// Whose session it is and where, as far as rules speak of that.
fn doing(app: &App, view: &View, row: &SessionRow) -> Doing {
    let roles = view.identity(&row.user, crate::clock::now()).map(|identity| identity.roles).unwrap_or_default();
    let labels = app.sessions.nodes.facts(&row.node).ok().flatten().map(|(facts, _)| facts.labels);
    Doing { user: Some(row.user.clone()), roles, labels: Some(labels.unwrap_or_default()) }
}

/// Whether this person may do that with a session: their own may be listed by everybody.
fn may_see(app: &App, view: &View, identity: &Identity, action: AuditAction, row: &SessionRow) -> bool {
    let own = row.user == identity.name;
    is_yes(Audit { identity: identity.clone(), action: AuditAsk::Sessions(action), own, of: Some(doing(app, view, row)) }, view)
}

/// Decides about one session, and logs a no.
fn may_do(app: &App, person: &Person, action: AuditAction, row: &SessionRow, asked: &str) -> Result<Permit<Audit>, No> {
    let of = Some(doing(app, &app.sessions.live.now(), row));
    person.may(
        app,
        Audit { identity: person.identity.clone(), action: AuditAsk::Sessions(action), own: row.user == person.identity.name, of },
        asked,
    )
}

/// `GET /v1/sessions`: one's own for whoever is signed in, others' for who may list them. A page, or with `watch` those that go on as
/// messages and each that begins or ends.
pub(crate) async fn list(State(app): State<App>, person: Person, Asked(query): Asked<SessionQuery>) -> Result<Response, No> {
    let question = Audit { identity: person.identity.clone(), action: AuditAsk::Sessions(AuditAction::List), own: true, of: None };
    let _permit = person.may(&app, question, "to list the own sessions")?;
    let (limit, after, live, watch) = (page::within(query.limit, USUAL_ROWS, MAX_ROWS), query.after, query.live, query.watch);
    let fits = move |row: &SessionRow| {
        query.user.as_ref().is_none_or(|user| row.user == *user)
            && query.node.as_ref().is_none_or(|node| row.node == *node)
            && query.since.is_none_or(|since| row.started >= since)
            && (watch || query.live.is_none_or(|live| row.live == live))
    };
    let host = app.clone();
    if watch {
        let sees = move |person: &Person, row: &SessionRow| {
            fits(row) && may_see(&host, &host.sessions.live.now(), &person.identity, AuditAction::List, row)
        };
        return watching_sessions::sessions(&app, person, sees);
    }
    let (identity, view) = (person.identity, app.sessions.live.now());
    let all = audits_all(&identity, AuditAsk::Sessions(AuditAction::List), &view.policy, crate::clock::now());
    let wanted = move |row: &SessionRow| fits(row) && (all || may_see(&host, &view, &identity, AuditAction::List, row));
    let table = app.sessions.table.clone();
    // One more than the page has says whether there are more.
    let listing = tokio::task::spawn_blocking(move || table.list(live == Some(true), after, limit + 1, wanted));
    let rows = listing.await.map_err(No::ours)??;
    Ok(Json(page::of(rows, limit, |row| row.id.to_string())).into_response())
}

async fn row(app: &App, person: &Person, id: &str) -> Result<SessionRow, No> {
    let id = id_of(id)?;
    let view = app.sessions.live.now();
    let row = app.sessions.table.get(&id)?.filter(|row| may_see(app, &view, &person.identity, AuditAction::List, row));
    row.ok_or_else(|| No::not_found(format!("there is no session {id}")))
}

/// `GET /v1/sessions/{id}`: as the list.
pub(crate) async fn show(State(app): State<App>, person: Person, Path(id): Path<String>) -> Result<Json<SessionRow>, No> {
    row(&app, &person, &id).await.map(Json)
}

/// A session that this person may end.
pub(super) async fn may_kill(app: &App, person: &Person, id: &str) -> Result<(SessionRow, Permit<Audit>), No> {
    let row = row(app, person, id).await?;
    let permit = may_do(app, person, AuditAction::Kill, &row, KillSessions::ASKED)?;
    Ok((row, permit))
}

/// `POST /v1/sessions/{id}/kill`, for who may end sessions.
pub(crate) async fn kill(
    State(app): State<App>,
    Path(id): Path<String>,
    Told(may, asked): Told<May<KillSessions>, Kill>,
) -> Result<Json<Done>, No> {
    let (row, permit) = may_kill(&app, &may.person, &id).await?;
    let reason: String = asked.reason.chars().filter(|c| !c.is_control()).take(500).collect();
    let mut event = may.person.event(What::SessionTerminated { reason: reason.clone() });
    event.access = Some(permit.access());
    about(&mut event, &row);
    let sentence = format!("the session was ended by {}: {reason}", may.person.identity.name);
    let (table, log) = (&app.sessions.table, &app.sessions.log);
    // In the log before it happens, and only where it does.
    let told = || log.append(&event).map(drop);
    let killed = table.live(&row.id).map(|live| live.kill(told, Stop { reason: "killed", sentence })).transpose()?;
    if killed == Some(true) { Ok(Json(Done {})) } else { Err(No::not_found(format!("the session {} has ended", row.id))) }
}

/// `POST /v1/sessions/{id}/extend`, for whose session it is: as far as the role allows.
pub(crate) async fn extend(
    State(app): State<App>,
    Path(id): Path<String>,
    Told(person, asked): Told<Person, Extend>,
) -> Result<Json<Extended>, No> {
    let gone = || No::not_found(format!("you have no live session {}", id.chars().take(40).collect::<String>()));
    let live = app.sessions.table.live(&id_of(&id)?).ok_or_else(gone)?;
    let row = live.row();
    // A session is somebody's by their login: a name may have been another's.
    let whose = app.sessions.people.identity(&row.user, live.sign_in(), crate::clock::now()).map_err(|_| gone())?;
    if whose.user != person.identity.user {
        return Err(gone());
    }
    let mut event = person.event(What::SessionExtended { by_s: asked.by.duration().as_secs() });
    about(&mut event, &row);
    let told = || app.sessions.log.append(&event).map(drop);
    match live.extend(asked.by.duration(), told)? {
        Ok((left, more)) => {
            Ok(Json(Extended { ends: crate::clock::now().plus(left), left: access::amount::Period::from_secs(more.as_secs()) }))
        }
        Err(not) => {
            let no = No::new(axum::http::StatusCode::FORBIDDEN, "NARU-S106", wire::api::exit::DENIED, not.to_string());
            Err(no.hint("A role says by max_session and extend how long a session may last."))
        }
    }
}

fn about(event: &mut access::event::Event, row: &SessionRow) {
    event.session = Some(SessionRef { id: row.id, kind: row.kind, connection: None, offset_ms: None });
    event.target = Some(Target {
        kind: TargetKind::Ssh,
        name: row.node.to_string(),
        labels: Default::default(),
        agent_id: None,
        login: Some(row.login.clone()),
    });
}

/// `GET /v1/sessions/{id}/cast`, for who may play, watch or export. Reading it is an event.
pub(crate) async fn cast(
    State(app): State<App>,
    person: Person,
    Path(id): Path<String>,
    Asked(query): Asked<CastQuery>,
) -> Result<Response, No> {
    let exports = matches!(query.purpose, Purpose::ExportCast | Purpose::ExportTxt);
    let watches = !exports && (query.follow || query.purpose == Purpose::Watch);
    let (action, asked) = match (exports, watches) {
        (true, _) => (AuditAction::Export, ExportSessions::ASKED),
        (_, true) => (AuditAction::Watch, WatchSessions::ASKED),
        _ => (AuditAction::Play, PlaySessions::ASKED),
    };
    // Whoever may do it with nobody's sessions is told so before any is looked for.
    let anybodys = Audit { identity: person.identity.clone(), action: AuditAsk::Sessions(action), own: false, of: None };
    let _permit = person.may(&app, anybodys, asked)?;
    let row = row(&app, &person, &id).await?;
    // What has ended is played, whatever the caller calls it.
    let (action, asked) = if watches && !row.live { (AuditAction::Play, PlaySessions::ASKED) } else { (action, asked) };
    let permit = may_do(&app, &person, action, &row, asked)?;
    let what = match query.purpose {
        Purpose::ExportCast => What::RecordingExported { format: "cast".into() },
        Purpose::ExportTxt => What::RecordingExported { format: "txt".into() },
        Purpose::Watch => What::RecordingViewed { how: "watch".into() },
        Purpose::Text => What::RecordingViewed { how: "text".into() },
        Purpose::Play => What::RecordingViewed { how: "play".into() },
    };
    let mut event = person.event(what);
    event.access = Some(permit.access());
    about(&mut event, &row);
    let _logged = app.sessions.log.append(&event)?;
    let gone = |error: recorder::ReadError| match error {
        recorder::ReadError::Unknown(id) => No::not_found(format!("there is no recording of the session {id}")),
        other => No::ours(other),
    };
    let pieces = if query.follow {
        following(app.sessions.recordings.follow(&row.id).map_err(gone)?)
    } else {
        reading(app.sessions.recordings.read(&row.id).map_err(gone)?)
    };
    let host = app.clone();
    let allowed = move |view: &View, identity: Identity| {
        let may = may_see(&host, view, &identity, AuditAction::List, &row) && may_see(&host, view, &identity, action, &row);
        if may { Ok(()) } else { Err(No::not_found("there is no such session")) }
    };
    let body = body(while_allowed(&app, person, allowed, pieces));
    Ok(([(header::CONTENT_TYPE, "application/x-asciicast"), (header::CACHE_CONTROL, "no-store")], body).into_response())
}

/// Text as far as it goes now. A thread is borrowed for each piece and not for the whole: a reader who reads nothing holds none.
fn reading(mut text: recorder::CastText) -> Pieces {
    let (send, pieces) = mpsc::channel(PIECES);
    tokio::spawn(async move {
        loop {
            let Ok(room) = send.reserve().await else { return };
            let more = tokio::task::spawn_blocking(move || {
                let mut piece = vec![0; 64 * 1024];
                let read = text.read(&mut piece).map(|read| {
                    piece.truncate(read);
                    Bytes::from(piece)
                });
                (text, read)
            });
            let Ok((rest, read)) = more.await else { return };
            let (ended, failed) = (read.as_ref().is_ok_and(Bytes::is_empty), read.is_err());
            if ended {
                return;
            }
            room.send(read.map_err(No::ours));
            if failed {
                return;
            }
            text = rest;
        }
    });
    pieces
}

/// Text as it grows, until the session ends or the reader leaves.
fn following(mut follow: recorder::Follow) -> Pieces {
    let (send, pieces) = mpsc::channel(PIECES);
    tokio::spawn(async move {
        loop {
            let piece = tokio::select! {
                piece = follow.next() => piece,
                () = send.closed() => return,
            };
            let Some(piece) = piece.transpose() else { return };
            let failed = piece.is_err();
            if send.send(piece.map_err(No::ours)).await.is_err() || failed {
                return;
            }
        }
    });
    pieces
}

/// `GET /v1/sessions/{id}/verify`, for who may play.
pub(crate) async fn verify(State(app): State<App>, may: May<PlaySessions>, Path(id): Path<String>) -> Result<Json<Verified>, No> {
    let row = row(&app, &may.person, &id).await?;
    let _permit = may_do(&app, &may.person, AuditAction::Play, &row, PlaySessions::ASKED)?;
    let recordings = app.sessions.recordings.clone();
    let key = app.keys.checkpoint().public();
    let verifying = tokio::task::spawn_blocking(move || recordings.verify_recording(&row.id, Some(&key)));
    let verified = verifying.await.map_err(No::ours)?.map_err(|error| match error {
        recorder::ReadError::Unknown(id) => No::not_found(format!("there is no recording of the session {id}")),
        other => No::ours(other),
    })?;
    let fault = |fault: &wire::proof::recording::RecordingFault| {
        let (file, offset) = fault.place();
        VerifyFault { file, line: None, offset: Some(offset), kind: fault.to_string() }
    };
    Ok(Json(Verified {
        ok: verified.faults.is_empty(),
        trusted: false,
        head: None,
        unsigned_tail: 0,
        open: verified.open,
        lost: verified.lost.clone(),
        key: Some(key.fingerprint()),
        faults: verified.faults.iter().map(fault).collect(),
    }))
}
