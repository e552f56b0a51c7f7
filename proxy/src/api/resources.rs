//! What is declared as resources: list, read, write one or many all or none, delete. What is checked is the whole that would be in force
//! afterwards; that is in `whole.rs`, and how a change gets into log and store in `change.rs`.

use std::collections::BTreeMap;
use std::ops::Bound;

use access::decide::Administer;
use access::policy::{Level, ResourceKind, Stated};
use access::words::UserName;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use wire::api::{Applied, Apply, FieldFault, ResourceQuery, exit};

use super::App;
use super::change::{Changes, Wanted};
use super::forget;
use super::person::{Person, Told};
use super::problem::{Asked, No};
use super::{page, sse, watching};
use crate::declared::Id;
use crate::live::View;

pub(super) fn kind_of(text: &str) -> Result<ResourceKind, No> {
    let known = ResourceKind::DECLARED.into_iter().find(|kind| kind.as_str() == text);
    known.ok_or_else(|| {
        let kinds = ResourceKind::DECLARED.map(ResourceKind::as_str).join(", ");
        No::not_found(format!("there is no kind of resource {}", text.chars().take(40).collect::<String>()))
            .hint(format!("Kinds are {kinds}."))
    })
}

/// Decides, and logs a no.
pub(super) fn may(app: &App, person: &Person, kind: ResourceKind, level: Level) -> Result<(), No> {
    let question = Administer { identity: person.identity.clone(), kind, level };
    person.may(app, question, &format!("to {} {}s", level.as_str(), kind.as_str())).map(|_permit| ())
}

/// `GET /v1/resources/{kind}`, for who may read that kind: a page, or with `watch` all as messages and each change.
pub(crate) async fn list(
    State(app): State<App>,
    person: Person,
    Path(kind): Path<String>,
    Asked(query): Asked<ResourceQuery>,
    headers: HeaderMap,
) -> Result<Response, No> {
    let kind = kind_of(&kind)?;
    may(&app, &person, kind, Level::Read)?;
    if query.watch {
        return watching::resources(&app, person, kind, sse::last_id(&headers).transpose()?);
    }
    let (view, limit) = (app.sessions.live.now(), page::limit(query.limit));
    let from = (kind, query.after.unwrap_or_default());
    let rest = view.resources.range((Bound::Excluded(from), Bound::Unbounded)).take_while(|((of, _), _)| *of == kind);
    let stated = rest.map(|(_, declared)| &declared.stated);
    Ok(Json(page::of(stated, limit, |last| last.resource.name().to_owned())).into_response())
}

/// `GET /v1/resources/{kind}/{name}`, for who may read that kind. The `ETag` is the revision.
pub(crate) async fn show(State(app): State<App>, person: Person, Path((kind, name)): Path<(String, String)>) -> Result<Response, No> {
    let kind = kind_of(&kind)?;
    may(&app, &person, kind, Level::Read)?;
    let view = app.sessions.live.now();
    let found = view.resources.get(&(kind, name.clone())).ok_or_else(|| missing(kind, &name))?;
    Ok(tagged(&found.stated))
}

pub(super) fn missing(kind: ResourceKind, name: &str) -> No {
    No::not_found(format!("there is no {} {}", kind.as_str(), name.chars().take(80).collect::<String>()))
}

fn tagged(stated: &Stated) -> Response {
    let mut response = Json(stated).into_response();
    let tag = format!("\"{}\"", stated.revision.unwrap_or_default());
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// What `If-Match` and `If-None-Match` demand (RFC 9110 section 13.1): a revision, or that there is none yet.
fn demanded(headers: &HeaderMap) -> Result<Option<u64>, No> {
    let bad = || No::bad("NARU-W422", "If-Match takes one ETag of this resource, as \"12\", and If-None-Match only *");
    let text = |name| headers.get(name).map(|value| value.to_str().map_err(|_| bad())).transpose();
    if let Some(none) = text(header::IF_NONE_MATCH)? {
        return if none == "*" { Ok(Some(0)) } else { Err(bad()) };
    }
    let Some(tag) = text(header::IF_MATCH)? else { return Ok(None) };
    if tag == "*" {
        return Ok(None);
    }
    let digits = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).ok_or_else(bad)?;
    digits.parse().map(Some).map_err(|_| bad())
}

/// `PUT /v1/resources/{kind}/{name}`, for who may write that kind: the whole resource. Absent means the default.
pub(crate) async fn put(
    State(app): State<App>,
    Path((kind, name)): Path<(String, String)>,
    Asked(query): Asked<PutQuery>,
    headers: HeaderMap,
    Told(person, value): Told<Person, serde_json::Value>,
) -> Result<Response, No> {
    let kind = kind_of(&kind)?;
    let mut stated = read(value)?;
    if stated.resource.kind() != kind || stated.resource.name() != name {
        return Err(No::bad("NARU-W422", "the resource names another kind or name than the address that it is sent to"));
    }
    // What the request demands wins over what the resource carries along from when it was read.
    stated.revision = demanded(&headers)?.or(stated.revision);
    let mut wanted = Wanted { allow_self_lockout: query.allow_self_lockout, ..Wanted::default() };
    wanted.write(stated)?;
    Changes::make(&app, &person, wanted).await?;
    let view = app.sessions.live.now();
    let found = view.resources.get(&(kind, name.clone())).ok_or_else(|| missing(kind, &name))?;
    Ok(tagged(&found.stated))
}

/// What goes along with a write or a delete of one.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PutQuery {
    /// The change may take the caller's own right to undo it.
    #[serde(default)]
    allow_self_lockout: bool,
}

/// A resource as it was sent, or every place where it is none.
pub(super) fn read(value: serde_json::Value) -> Result<Stated, No> {
    let text = |field: &str| value.get(field).and_then(|value| value.as_str()).map(str::to_owned);
    let (kind, name, spec) = (text("kind"), text("name"), value.get("spec").cloned());
    serde_path_to_error::deserialize(value).map_err(|error: serde_path_to_error::Error<serde_json::Error>| {
        let of_kind = kind.as_ref().and_then(|kind| ResourceKind::DECLARED.into_iter().find(|known| known.as_str() == kind));
        let in_spec = of_kind.zip(spec.as_ref()).and_then(|(kind, spec)| kind.misread(spec));
        let (pointer, message) = match &in_spec {
            Some(fault) => (format!("/spec{}", pointer(fault.path())), fault.inner().to_string()),
            None => (pointer(error.path()), error.inner().to_string()),
        };
        let mut no = No::bad("NARU-C001", format!("a resource is not understood: {message}"));
        no.problem.fields = vec![FieldFault { kind, name, pointer, message, remedy: None }];
        no
    })
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(format!("/{index}")),
            Segment::Map { key } => Some(format!("/{}", key.replace('~', "~0").replace('/', "~1"))),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}

/// `POST /v1/apply`, for who may write each kind in it; to only look, for who may plan it.
pub(crate) async fn apply(State(app): State<App>, Told(person, asked): Told<Person, Apply>) -> Result<Json<Applied>, No> {
    Ok(Json(Changes::make(&app, &person, wanted(asked)?).await?))
}

fn wanted(asked: Apply) -> Result<Wanted, No> {
    let mut wanted = Wanted { dry_run: asked.dry_run, allow_self_lockout: asked.allow_self_lockout, ..Wanted::default() };
    for value in asked.resources {
        let mut stated = read(value)?;
        if asked.managed_by.is_some() {
            stated.managed_by.clone_from(&asked.managed_by);
        }
        wanted.write(stated)?;
    }
    Ok(wanted)
}

/// Whether this person may make that change, were it to be made now.
pub(super) fn may_apply(app: &App, person: &Person, asked: Apply) -> Result<(), No> {
    let wanted = wanted(asked)?;
    wanted.permitted(app, &app.sessions.live.now(), person, wanted.items.keys())
}

/// `DELETE /v1/resources/{kind}/{name}`, for who may write that kind.
pub(crate) async fn delete(
    State(app): State<App>,
    person: Person,
    Path((kind, name)): Path<(String, String)>,
    Asked(query): Asked<PutQuery>,
    headers: HeaderMap,
) -> Result<Json<Applied>, No> {
    let kind = kind_of(&kind)?;
    let known = |view: &View| name.parse().ok().filter(|name: &UserName| kind == ResourceKind::User && view.people.contains_key(name));
    if let Some(name) = known(&app.sessions.live.now()) {
        may(&app, &person, kind, Level::Write)?;
        let _one_at_a_time = app.writing.lock().await;
        app.sessions.live.refresh().map_err(No::ours)?;
        let person = person.again(&app)?;
        may(&app, &person, kind, Level::Write)?;
        let view = app.sessions.live.now();
        return forget::person(&app, &view, &person, &name).await.map(Json);
    }
    let mut wanted = Wanted { allow_self_lockout: query.allow_self_lockout, ..Wanted::default() };
    wanted.delete((kind, name), demanded(&headers)?);
    Ok(Json(Changes::make(&app, &person, wanted).await?))
}

/// The resources by kind and name.
pub(super) fn there(view: &View) -> BTreeMap<Id, Stated> {
    view.resources.iter().map(|(id, declared)| (id.clone(), declared.stated.clone())).collect()
}

/// Somebody else was there first.
pub(super) fn moved(kind: ResourceKind, name: &str) -> No {
    let title = format!("{} {name} is not as it was when it was read: somebody else changed it in between", kind.as_str());
    No::new(StatusCode::PRECONDITION_FAILED, "NARU-W412", exit::CONFLICT, title)
        .hint("Read it again, and repeat the change on what is there now.")
}
