//! `GET /v1/sessions?watch=true`: the sessions that go on and that the reader may list, then each that begins or ends. What is held for
//! one reader is the ids of those that they know to go on.

use std::collections::BTreeSet;

use access::words::SessionId;
use axum::response::Response;
use axum::response::sse::Event;
use tokio::sync::mpsc;
use wire::api::SessionRow;
use wire::api::watch::{DELETED, ENDED, Gone, PRESENT, READY, Ready, STARTED};

use super::App;
use super::lasting::{Piece, hand, while_allowed};
use super::person::Person;
use super::problem::No;
use super::sse::{QUEUE, answer, message};
use super::watchers::Place;
use crate::clock;

/// For as long as the person is signed in. `wanted` says of a session whether the person may see it now and wants to.
pub(super) fn sessions(app: &App, person: Person, wanted: impl Fn(&Person, &SessionRow) -> bool + Send + 'static) -> Result<Response, No> {
    let place = app.watchers.place(person.identity.user.principal())?;
    let (send, messages) = mpsc::channel(QUEUE);
    tokio::spawn(go_on(app.clone(), person.clone(), wanted, send, place));
    Ok(answer(while_allowed(app, person, |_, _| Ok(()), messages)))
}

/// Until nobody reads any more.
async fn go_on(app: App, person: Person, wanted: impl Fn(&Person, &SessionRow) -> bool, send: mpsc::Sender<Piece<Event>>, _place: Place) {
    let (mut table, mut view) = (app.sessions.table.watch(), app.sessions.live.watch());
    let (began, mut known) = (clock::now(), None::<BTreeSet<SessionId>>);
    loop {
        table.mark_unchanged();
        view.mark_unchanged();
        let said = person.again(&app).and_then(|person| {
            let rows = app.sessions.table.list(true, None, usize::MAX, |row| wanted(&person, row))?;
            messages(&app, &person, &rows, known.as_ref(), &wanted, began).map(|said| (said, rows))
        });
        let (said, rows) = match said {
            Ok(said) => said,
            Err(no) => {
                let _gone = hand(&send, Err(no)).await;
                return;
            }
        };
        for said in said {
            if !hand(&send, Ok(said)).await {
                return;
            }
        }
        known = Some(rows.iter().map(|row| row.id).collect());
        tokio::select! {
            changed = table.changed() => if changed.is_err() { return },
            changed = view.changed() => if changed.is_err() { return },
            () = send.closed() => return,
        }
    }
}

/// What is new to a reader who knows these to go on; of one who knows nothing yet, all of it.
fn messages(
    app: &App,
    person: &Person,
    rows: &[SessionRow],
    known: Option<&BTreeSet<SessionId>>,
    wanted: &impl Fn(&Person, &SessionRow) -> bool,
    began: access::time::Timestamp,
) -> Result<Vec<Event>, No> {
    let new = rows.iter().rev().filter(|row| known.is_none_or(|known| !known.contains(&row.id)));
    let kind = |row: &SessionRow| if row.started >= began { STARTED } else { PRESENT };
    let mut said = new.map(|row| message(kind(row), row)).collect::<Result<Vec<_>, No>>()?;
    let Some(known) = known else {
        said.push(message(READY, &Ready { whole: true, revision: None })?);
        return Ok(said);
    };
    for id in known.iter().filter(|id| !rows.iter().any(|row| row.id == **id)) {
        let row = app.sessions.table.get(id)?.filter(|row| !row.live && wanted(person, row));
        said.push(match row {
            Some(row) => message(ENDED, &row)?,
            None => message(DELETED, &Gone { name: id.to_string(), revision: None })?,
        });
    }
    Ok(said)
}
