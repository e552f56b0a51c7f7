//! Which requests make something, and who may have the answer to one again: whoever may make it now. Each question is the one that the
//! handler asks.

use axum::extract::FromRequestParts as _;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::super::person::{KillSessions, MakeLinks, MakeTokens, May, Person};
use super::super::problem::No;
use super::super::{App, links, requests, resources, sessions};

/// What a request makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Made {
    Token,
    Link,
    Request,
    Decision,
    Change,
    Kill,
    Extension,
}

impl Made {
    /// By the route. What is not here makes nothing, or is not somebody's who is signed in.
    pub(super) fn of(route: &str) -> Option<Self> {
        Some(match route {
            "/v1/tokens" => Self::Token,
            "/v1/links" => Self::Link,
            "/v1/requests" => Self::Request,
            "/v1/requests/{id}/{word}" => Self::Decision,
            "/v1/apply" => Self::Change,
            "/v1/sessions/{id}/kill" => Self::Kill,
            "/v1/sessions/{id}/extend" => Self::Extension,
            _ => return None,
        })
    }

    /// Who asks, with the right that the route's type demands.
    pub(super) async fn person(self, parts: &mut Parts, app: &App) -> Result<Person, No> {
        match self {
            Self::Token => May::<MakeTokens>::from_request_parts(parts, app).await.map(|may| may.person),
            Self::Link => May::<MakeLinks>::from_request_parts(parts, app).await.map(|may| may.person),
            Self::Kill => May::<KillSessions>::from_request_parts(parts, app).await.map(|may| may.person),
            Self::Request | Self::Decision | Self::Change | Self::Extension => Person::from_request_parts(parts, app).await,
        }
    }

    /// Whether they may do this very thing now.
    pub(super) async fn may_have(self, app: &App, person: &Person, path: &str, body: &[u8]) -> Result<(), No> {
        let mut words = path.rsplit('/');
        let (last, before) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        match self {
            // A token is made by whoever may make tokens; and who may extend a session is whose it is, which nothing changes.
            Self::Token | Self::Extension => Ok(()),
            Self::Link => links::may_make(app, person, &told(body)?).map(drop),
            Self::Request => requests::may_make(app, person, &told(body)?),
            Self::Decision => requests::may_say(app, person, before, last).map(drop),
            Self::Change => resources::may_apply(app, person, told(body)?),
            Self::Kill => sessions::may_kill(app, person, before).await.map(drop),
        }
    }
}

fn told<T: DeserializeOwned>(body: &[u8]) -> Result<T, No> {
    serde_json::from_slice(body).map_err(No::ours)
}
