//! `GET /v1/resources/{kind}?watch=true`: the resources of a kind, then each change of one. A reader who comes back is told what changed
//! meanwhile, or starts over. What is held for one reader is the view that they were last told of, which most of them share.

use std::sync::Arc;

use access::decide::Administer;
use access::policy::{Level, ResourceKind, Stated};
use axum::response::Response;
use axum::response::sse::Event;
use tokio::sync::mpsc;
use wire::api::watch::{CHANGED, DELETED, Gone, PRESENT, READY, Ready};

use super::App;
use super::lasting::{Piece, decided, hand, while_allowed};
use super::person::Person;
use super::problem::No;
use super::sse::{QUEUE, answer, message};
use super::watchers::Place;
use crate::declared::{Declared, Id};
use crate::live::View;

/// For as long as the person may read the kind. `last` is the revision up to which they know everything.
pub(super) fn resources(app: &App, person: Person, kind: ResourceKind, last: Option<u64>) -> Result<Response, No> {
    let place = app.watchers.place(person.identity.user.principal())?;
    let (send, messages) = mpsc::channel(QUEUE);
    tokio::spawn(go_on(app.clone(), kind, last, send, place));
    let allowed = move |view: &View, identity| decided(Administer { identity, kind, level: Level::Read }, view);
    Ok(answer(while_allowed(app, person, allowed, messages)))
}

/// Until nobody reads any more.
async fn go_on(app: App, kind: ResourceKind, last: Option<u64>, send: mpsc::Sender<Piece<Event>>, _place: Place) {
    let mut changes = app.sessions.live.watch();
    let mut known = changes.borrow_and_update().clone();
    if !begin(&known, kind, last, &send).await {
        return;
    }
    loop {
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = send.closed() => return,
        }
        let now = changes.borrow_and_update().clone();
        let differences = between(&known, &now, kind);
        if !told(&now, differences, &send).await {
            return;
        }
        known = now;
    }
}

fn all(view: &View, kind: ResourceKind) -> impl Iterator<Item = (&Id, &Declared)> {
    view.resources.range((kind, String::new())..).take_while(move |((of, _), _)| *of == kind)
}

/// All that is there, or what a reader who knows everything up to `last` does not know.
async fn begin(view: &Arc<View>, kind: ResourceKind, last: Option<u64>, send: &mpsc::Sender<Piece<Event>>) -> bool {
    let gone = last.and_then(|last| Some((last, view.gone_since(last)?)));
    let whole = gone.is_none();
    let done = match gone {
        None => {
            for (_, declared) in all(view, kind) {
                if !hand(send, message(PRESENT, &declared.stated)).await {
                    return false;
                }
            }
            true
        }
        Some((last, gone)) => {
            let deleted = gone.filter(|id| id.0 == kind && !view.resources.contains_key(*id)).cloned();
            let newer = |declared: &Declared| declared.stated.revision.is_some_and(|revision| revision > last);
            let changed = all(view, kind).filter(|(_, declared)| newer(declared)).map(|(id, _)| id.clone());
            told(view, deleted.chain(changed).collect(), send).await
        }
    };
    let ready = message(READY, &Ready { whole, revision: Some(view.at) });
    done && hand(send, ready.map(|ready| ready.id(view.at.to_string()))).await
}

/// Those that are in one view and not in the other, or not the same.
fn between(before: &View, now: &View, kind: ResourceKind) -> Vec<Id> {
    let deleted = all(before, kind).map(|(id, _)| id).filter(|id| !now.resources.contains_key(*id));
    let revision = |declared: &Declared| declared.stated.revision;
    let new = all(now, kind).filter(|(id, declared)| before.resources.get(*id).map(revision) != Some(revision(declared)));
    deleted.chain(new.map(|(id, _)| id)).cloned().collect()
}

/// Tells how these are now. Only the last of them has an id: whoever loses the connection in the middle is told all of it again.
async fn told(now: &View, which: Vec<Id>, send: &mpsc::Sender<Piece<Event>>) -> bool {
    let last = which.len().saturating_sub(1);
    for (at, id) in which.into_iter().enumerate() {
        let stated: Option<&Stated> = now.resources.get(&id).map(|declared| &declared.stated);
        let said = match stated {
            Some(stated) => message(CHANGED, stated),
            None => message(DELETED, &Gone { name: id.1, revision: Some(now.at) }),
        };
        let said = if at == last { said.map(|said| said.id(now.at.to_string())) } else { said };
        if !hand(send, said).await {
            return false;
        }
    }
    true
}
