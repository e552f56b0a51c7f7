//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a request that makes something, sent once more with the same key, is
//! answered as the first time and makes nothing. No handler knows of it. INVARIANT: whoever gets a kept answer may do now what it is the
//! answer to.
//!
//! Only answers of success are kept: a refusal can be tried again. Between what a request does and the keeping of its answer lies a
//! moment; when the proxy is killed there, the same request is done again. Of an apply, a decision and a kill nothing is done twice even
//! then (what is there already is unchanged, decided, ended); a token, a link, a request and an extension may be made once more.

mod rights;
mod running;

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http_body_util::BodyExt as _;
use store::kv::Kv;
use wire::api::{IDEMPOTENCY_KEY, IDEMPOTENT_KEPT, IDEMPOTENT_REPLAYED, exit};

use self::rights::Made;
use self::running::{Entered, Run, Running, ended};
use super::App;
use super::problem::{No, read_body};
use crate::answers::{Answer, Answers, Found, MOST_OF_ONE, Place};
use crate::authority::ask::Keys;
use crate::clock;

/// Most bytes of a key.
const MOST_KEY: usize = 128;
/// How long one waits for the same request that runs already. Below the time that clients wait for an answer.
const WAIT: Duration = Duration::from_secs(30);

/// Requests with a key: those that run, and the answers to those that did.
pub(crate) struct Repeats {
    running: Running,
    answers: Answers,
}

impl Repeats {
    pub(crate) fn new(store: &Arc<dyn Kv>, keys: &Keys) -> Self {
        Self { running: Running::default(), answers: Answers::new(store.clone(), keys.clone()) }
    }
}

/// Whether the answer to such a request is kept where it has a key.
pub(super) fn is_kept(method: &Method, route: &str) -> bool {
    method == Method::POST && Made::of(route).is_some()
}

/// Answers what was answered before; lets everything else through, and keeps what is answered.
pub(super) async fn answered(State(app): State<App>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str).unwrap_or_default();
    let made = Made::of(path).filter(|_| is_kept(request.method(), path));
    let key = key_of(request.headers());
    match (made, key) {
        (None, _) | (_, Ok(None)) => next.run(request).await,
        (_, Err(no)) => no.into_response(),
        (Some(made), Ok(Some(key))) => keyed(app, made, key, request, next).await.unwrap_or_else(|no| no.into_response()),
    }
}

fn key_of(headers: &HeaderMap) -> Result<Option<String>, No> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(key) = keys.next() else { return Ok(None) };
    let good = |key: &&HeaderValue| (1..=MOST_KEY).contains(&key.len()) && key.as_bytes().iter().all(u8::is_ascii_graphic);
    let text = Some(key).filter(good).filter(|_| keys.next().is_none()).and_then(|key| key.to_str().ok());
    let bad = || No::bad("NARU-W422", format!("Idempotency-Key is one word of 1 to {MOST_KEY} visible ASCII characters"));
    text.map(|text| Some(text.to_owned())).ok_or_else(bad)
}

async fn keyed(app: App, made: Made, key: String, request: Request, next: Next) -> Result<Response, No> {
    let (parts, body) = request.into_parts();
    // Of somebody who may not ask nothing more is read.
    let person = made.person(&mut parts.clone(), &app).await?;
    let place = Place::new(&person.identity.user.principal(), &key);
    let body = read_body(Request::from_parts(parts.clone(), body)).await?;
    let hash = hash_of(&parts.uri, &body);
    loop {
        let run = match app.repeats.running.enter(&place, &hash)? {
            Entered::First(run) => run,
            Entered::Other => return Err(other_request()),
            Entered::Second(first) => {
                if ended(first, WAIT).await {
                    continue;
                }
                return Err(still_running());
            }
        };
        let found = app.repeats.answers.find(&place, clock::now()).map_err(No::ours)?;
        if let Some(answer) = &found.answer {
            if answer.request != hash {
                return Err(other_request());
            }
            // As the person is now: the body, and a first request, may have taken their time.
            let person = made.person(&mut parts.clone(), &app).await?;
            made.may_have(&app, &person, parts.uri.path(), &body).await?;
            return replayed(answer);
        }
        let request = Request::from_parts(parts, Body::from(body));
        // Goes on when the connection breaks: who asks again gets what came of it.
        let running = tokio::spawn(run_and_keep(app.clone(), Keeping { run, place, found, hash }, request, next));
        return running.await.map_err(No::ours);
    }
}

/// Address and body; the method is always the same.
fn hash_of(uri: &axum::http::Uri, body: &Bytes) -> String {
    let mut hash = blake3::Hasher::new_derive_key("naru repeated request v1");
    let address = uri.path_and_query().map_or("", |whole| whole.as_str());
    hash.update(&(address.len() as u64).to_le_bytes()).update(address.as_bytes()).update(body);
    hash.finalize().to_hex().to_string()
}

fn other_request() -> No {
    let title = "this Idempotency-Key was used for another request";
    No::new(StatusCode::UNPROCESSABLE_ENTITY, "NARU-W430", exit::CONFLICT, title)
        .hint("Nothing was done. Make a new key for a new request.")
}

fn still_running() -> No {
    let title = "the first request with this Idempotency-Key has not been answered yet";
    No::new(StatusCode::CONFLICT, "NARU-W431", exit::CONFLICT, title).hint("Ask again with the same key in a while.")
}

fn replayed(answer: &Answer) -> Result<Response, No> {
    let mut response = Response::new(Body::from(answer.body.clone()));
    *response.status_mut() = StatusCode::from_u16(answer.status).map_err(No::ours)?;
    let headers = response.headers_mut();
    if let Some(kind) = &answer.kind {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(kind).map_err(No::ours)?);
    }
    headers.insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// What is needed to keep an answer.
struct Keeping {
    /// Others wait until it is dropped.
    run: Run,
    place: Place,
    found: Found,
    hash: String,
}

async fn run_and_keep(app: App, keeping: Keeping, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    if !response.status().is_success() {
        return response;
    }
    match keep(app, keeping, response).await {
        Ok(response) => response,
        // It was done; that it cannot be said again is for the log, and for whoever asked.
        Err((response, error)) => {
            tracing::error!(%error, "an answer could not be kept");
            unkept(response)
        }
    }
}

fn unkept(mut response: Response) -> Response {
    response.headers_mut().insert(IDEMPOTENT_KEPT, HeaderValue::from_static("false"));
    response
}

async fn keep(app: App, keeping: Keeping, response: Response) -> Result<Response, (Response, String)> {
    if response.body().size_hint().exact().is_none_or(|size| size > MOST_OF_ONE) {
        return Ok(unkept(response));
    }
    let (parts, body) = response.into_parts();
    // Of what is whole already nothing can be missing.
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let response = Response::from_parts(parts.clone(), Body::from(body.clone()));
    let Ok(text) = String::from_utf8(body.to_vec()) else { return Ok(unkept(response)) };
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).map(str::to_owned);
    let Keeping { run, place, found, hash } = keeping;
    let answer = Answer { request: hash, status: parts.status.as_u16(), kind, body: text };
    let kept = tokio::task::spawn_blocking(move || {
        let kept = app.repeats.answers.keep(&place, &found, &answer, clock::now());
        drop(run);
        kept
    });
    match kept.await {
        Ok(Ok(())) => Ok(response),
        Ok(Err(error)) => Err((response, error.to_string())),
        Err(error) => Err((response, error.to_string())),
    }
}

#[cfg(test)]
mod tests;
