//! How a no looks: problem+json with a stable code, and the exit code that the command line gives back.

use access::decide::Denial;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use recorder::LogError;
use store::kv::KvError;
use wire::api::{Problem, exit};

/// A no, as a handler returns it.
#[derive(Debug)]
pub(crate) struct No {
    pub(crate) status: StatusCode,
    pub(crate) problem: Box<Problem>,
}

impl No {
    pub(crate) fn new(status: StatusCode, code: &str, exit: u8, title: impl Into<String>) -> Self {
        let problem = Problem { code: code.to_owned(), title: title.into(), detail: None, hint: None, exit };
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

impl From<Denial> for No {
    fn from(denial: Denial) -> Self {
        let signed_out = denial.code == Denial::ENDED;
        let (status, exit) =
            if signed_out { (StatusCode::UNAUTHORIZED, exit::NOT_SIGNED_IN) } else { (StatusCode::FORBIDDEN, exit::DENIED) };
        Self::new(status, denial.code, exit, denial.sentence).hint(denial.hint)
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
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// What is not a route.
pub(crate) async fn no_route() -> No {
    No::not_found("there is no such route")
}

/// JSON in, with our own words when it is none.
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: serde::de::DeserializeOwned> axum::extract::FromRequest<S> for Body<T> {
    type Rejection = No;
    async fn from_request(request: axum::extract::Request, state: &S) -> Result<Self, No> {
        let bytes = axum::body::Bytes::from_request(request, state)
            .await
            .map_err(|error| No::new(StatusCode::PAYLOAD_TOO_LARGE, "NARU-W413", exit::USAGE, error.to_string()))?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| No::bad("NARU-W422", format!("the request is not understood: {error}")))
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
