//! How a no looks: problem+json with a stable code, and the exit code that the command line gives back.

use std::time::Duration;

use access::decide::Denial;
use axum::Json;
use axum::body::HttpBody as _;
use axum::extract::FromRequest;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use recorder::LogError;
use store::kv::KvError;
use wire::api::{Problem, exit};

use crate::freshness::Stale;

/// A no, as a handler returns it.
#[derive(Debug)]
pub(crate) struct No {
    pub(crate) status: StatusCode,
    pub(crate) problem: Box<Problem>,
}

impl No {
    pub(crate) fn new(status: StatusCode, code: &str, exit: u8, title: impl Into<String>) -> Self {
        let problem =
            Problem { code: code.to_owned(), title: title.into(), detail: None, hint: None, offer: None, fields: Vec::new(), exit };
        Self { status, problem: Box::new(problem) }
    }
    pub(crate) fn bad(code: &str, title: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, exit::USAGE, title)
    }
    pub(crate) fn not_found(what: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NARU-W404", exit::NOT_FOUND, what)
    }
    pub(crate) fn not_signed_in(why: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "NARU-A104", exit::NOT_SIGNED_IN, format!("you are not signed in: {why}"))
            .hint("Sign in again with `naru login`.")
    }
    /// Refused too often.
    pub(crate) fn too_many() -> Self {
        let title = "too many tries were refused from this address";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "NARU-W429", exit::NOT_SIGNED_IN, title).hint("Wait a minute, then try again.")
    }
    /// More at once than there is room for.
    pub(crate) fn busy(title: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "NARU-W503", exit::FAILED, title)
    }
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.problem.hint = Some(hint.into());
        self
    }
    /// Something of ours failed; the log has the cause, the peer has a sentence.
    pub(crate) fn ours(error: impl std::fmt::Display) -> Self {
        tracing::error!(%error, "a request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "NARU-W500", exit::FAILED, "the proxy could not do that; its log says why")
    }
}

impl From<Stale> for No {
    fn from(stale: Stale) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Stale::CODE, exit::FAILED, stale.to_string()).hint(Stale::HINT)
    }
}

impl From<Denial> for No {
    fn from(denial: Denial) -> Self {
        let (status, exit) = match denial.code {
            Denial::ENDED => (StatusCode::UNAUTHORIZED, exit::NOT_SIGNED_IN),
            Denial::LOCKED => (StatusCode::FORBIDDEN, exit::LOCKED),
            _ if denial.offer.is_some() => (StatusCode::FORBIDDEN, exit::NEEDS_APPROVAL),
            _ => (StatusCode::FORBIDDEN, exit::DENIED),
        };
        let mut no = Self::new(status, denial.code, exit, denial.sentence).hint(denial.hint);
        no.problem.offer = denial.offer;
        no
    }
}

impl From<KvError> for No {
    fn from(error: KvError) -> Self {
        match error {
            KvError::Conflict { .. } => Self::new(StatusCode::CONFLICT, "NARU-W409", exit::CONFLICT, "somebody else changed it in between")
                .hint("Look again and repeat the change."),
            other => Self::ours(other),
        }
    }
}

impl From<LogError> for No {
    fn from(error: LogError) -> Self {
        tracing::error!(%error, "the audit log cannot be written");
        let title = "refused, because the audit log cannot be written";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "NARU-R102", exit::FAILED, title)
    }
}

impl IntoResponse for No {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(&*self.problem)).into_response();
        let headers = response.headers_mut();
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// What is not a route.
pub(crate) async fn no_route() -> No {
    No::not_found("there is no such route")
}

/// From a request's head to the end of its body: a body that stops coming holds nothing for longer.
const BODY_TIMEOUT: Duration = Duration::from_secs(15);

/// JSON in, with our own words when it is none. A form of another site cannot have this content type.
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: serde::de::DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = No;
    async fn from_request(request: axum::extract::Request, state: &S) -> Result<Self, No> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
        if !kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json")) {
            let why = "the body must be application/json";
            return Err(No::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "NARU-W415", exit::USAGE, why));
        }
        let bytes = whole(request, state, BODY_TIMEOUT).await?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| No::bad("NARU-W422", format!("the request is not understood: {error}")))
    }
}

/// The body of a request, within the limits of its route.
pub(crate) async fn read_body(request: axum::extract::Request) -> Result<axum::body::Bytes, No> {
    whole(request, &(), BODY_TIMEOUT).await
}

async fn whole<S: Send + Sync>(request: axum::extract::Request, state: &S, within: Duration) -> Result<axum::body::Bytes, No> {
    // What says itself that it is too long is not begun with: who waits to be told to go on hears the no instead.
    if request.body().size_hint().lower() > super::MAX_BODY as u64 {
        return Err(No::new(StatusCode::PAYLOAD_TOO_LARGE, "NARU-W413", exit::USAGE, "length limit exceeded"));
    }
    let reading = axum::body::Bytes::from_request(request, state);
    match tokio::time::timeout(within, reading).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => Err(No::new(StatusCode::PAYLOAD_TOO_LARGE, "NARU-W413", exit::USAGE, error.to_string())),
        Err(_) => Err(No::new(StatusCode::REQUEST_TIMEOUT, "NARU-W408", exit::TRANSPORT, "the body did not arrive in time")),
    }
}

/// A query string, with our own words when it is not understood.
pub(crate) struct Asked<T>(pub(crate) T);

impl<S: Send + Sync, T: serde::de::DeserializeOwned> axum::extract::FromRequestParts<S> for Asked<T> {
    type Rejection = No;
    async fn from_request_parts(parts: &mut axum::http::request::Parts, _state: &S) -> Result<Self, No> {
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|query| Self(query.0))
            .map_err(|error| No::bad("NARU-W422", format!("the query is not understood: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Bytes;
    use futures::StreamExt as _;

    fn request(kind: &str, body: axum::body::Body) -> axum::extract::Request {
        axum::extract::Request::builder().header(header::CONTENT_TYPE, kind).body(body).expect("a request")
    }

    #[tokio::test]
    async fn a_body_that_stops_half_way_is_given_up() {
        let half = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"{\"a\":"))]);
        let body = axum::body::Body::from_stream(half.chain(futures::stream::pending()));
        let no = whole(request("application/json", body), &(), Duration::from_millis(20)).await.expect_err("given up");
        assert_eq!(no.status, StatusCode::REQUEST_TIMEOUT);
    }

    #[tokio::test]
    async fn what_a_web_page_can_send_across_sites_is_no_json() {
        for (kind, status) in [
            ("application/json", None),
            ("Application/JSON; charset=utf-8", None),
            ("text/plain", Some(StatusCode::UNSUPPORTED_MEDIA_TYPE)),
            ("application/x-www-form-urlencoded", Some(StatusCode::UNSUPPORTED_MEDIA_TYPE)),
            ("", Some(StatusCode::UNSUPPORTED_MEDIA_TYPE)),
        ] {
            let read = Body::<u8>::from_request(request(kind, "7".into()), &()).await;
            assert_eq!(read.err().map(|no| no.status), status, "{kind:?}");
        }
    }
}
