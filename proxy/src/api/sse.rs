//! Server-sent events (WHATWG HTML, section 9.2): what goes on, as messages. Who may read is not decided here, and no meaning lives here.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures::{Stream, StreamExt as _};
use serde::Serialize;
use wire::api::watch::{EVENTS, PROBLEM};

use super::lasting::Piece;
use super::problem::No;

/// Messages on their way to one reader.
pub(super) const QUEUE: usize = 64;

/// Whether the caller wants messages.
pub(super) fn is_asked(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let kinds = accepted.flat_map(|all| all.split(',')).filter_map(|one| one.split(';').next());
    kinds.into_iter().any(|kind| kind.trim().eq_ignore_ascii_case(EVENTS))
}

/// The id of the last message that the caller has had, where it is a number as ours are.
pub(super) fn last_id(headers: &HeaderMap) -> Option<Result<u64, No>> {
    let id = headers.get("last-event-id").filter(|id| !id.is_empty())?;
    let number = id.to_str().ok().and_then(|id| id.parse().ok());
    Some(number.ok_or_else(|| No::bad("NARU-W422", "Last-Event-ID is the id of a message of this stream")))
}

/// A message of this kind with a value as its data.
pub(super) fn message(kind: &str, value: &impl Serialize) -> Result<Event, No> {
    let text = serde_json::to_string(value).map_err(No::ours)?;
    Ok(Event::default().event(kind).data(text))
}

/// The messages as an answer. A no becomes the last message; silence is filled with comments, so that nobody on the way takes it for an
/// end.
pub(super) fn answer(pieces: impl Stream<Item = Piece<Event>> + Send + 'static) -> Response {
    let said = |no: No| Event::default().event(PROBLEM).data(serde_json::to_string(&*no.problem).unwrap_or_default());
    let messages = pieces.map(move |piece| Ok::<_, std::convert::Infallible>(piece.unwrap_or_else(said)));
    let mut response = Sse::new(messages).keep_alive(KeepAlive::new()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // What nginx needs to be told before it passes on what has come.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        [(HeaderName::from_static(name), HeaderValue::from_static(value))].into_iter().collect()
    }

    #[test]
    fn messages_are_for_who_accepts_them_by_name() {
        for (accept, asked) in [
            ("text/event-stream", true),
            ("application/json, Text/Event-Stream;q=0.9", true),
            ("*/*", false),
            ("text/event-streams", false),
            ("", false),
        ] {
            assert_eq!(is_asked(&headers("accept", accept)), asked, "{accept}");
        }
        assert!(!is_asked(&HeaderMap::new()));
    }

    #[test]
    fn only_an_id_of_ours_goes_on() {
        let id = |value| last_id(&headers("last-event-id", value)).map(|id| id.ok());
        assert_eq!((id("12"), id("")), (Some(Some(12)), None));
        assert_eq!((id("-1"), id("a"), id("99999999999999999999")), (Some(None), Some(None), Some(None)));
    }
}
