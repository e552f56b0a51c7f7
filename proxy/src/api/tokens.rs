//! Making access tokens: for whoever shows a certificate, and for machines that signed in. What one is good for is decided at each use.

use std::time::Duration;

use access::event::{Client, Event, What};
use access::identity::Identity;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use wire::api::{AccessToken, AccessTokenType, NewAccessToken};
use wire::dpop::Proof;

use super::App;
use super::bearer::{Bound, use_up};
use super::person::{Certified, Told};
use super::problem::No;
use crate::authority::access_tokens::Whose;
use crate::clock;

/// Life of a token where nothing is said.
const LIFE: Duration = Duration::from_secs(600);
/// Longest life.
const MAX_LIFE: Duration = Duration::from_secs(3600);

/// JSON that nobody on the way keeps.
pub(super) struct Secret<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Secret<T> {
    fn into_response(self) -> Response {
        let mut response = Json(self.0).into_response();
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// `POST /v1/sign-in/token`, for whoever shows their certificate: a token makes no tokens.
pub(super) async fn make(
    State(app): State<App>,
    bound: Bound,
    Told(Certified(person), asked): Told<Certified, NewAccessToken>,
) -> Result<Secret<AccessToken>, No> {
    let life = life(asked.ttl_s)?;
    let of = Of {
        identity: &person.identity,
        sign_in: person.sign_in,
        serial: person.identity.context.certificate.clone(),
        client: &person.client,
    };
    issue(&app, of, life, bound.0.as_ref()).await.map(Secret)
}

/// How long a token is to live.
pub(super) fn life(ttl_s: Option<u64>) -> Result<Duration, No> {
    let life = ttl_s.map_or(LIFE, Duration::from_secs);
    if life.is_zero() || life > MAX_LIFE {
        return Err(No::bad("NARU-A134", "an access token lives from a second to an hour").hint("Ask for another one when it has ended."));
    }
    Ok(life)
}

/// Whose token it is to be.
pub(super) struct Of<'a> {
    pub(super) identity: &'a Identity,
    pub(super) sign_in: u64,
    /// Of the certificate that was shown.
    pub(super) serial: Option<String>,
    pub(super) client: &'a Client,
}

/// Makes a token, which leaves only when its making is durably known.
pub(super) async fn issue(app: &App, of: Of<'_>, life: Duration, bound: Option<&Proof>) -> Result<AccessToken, No> {
    let Of { identity, sign_in, serial, client } = of;
    if let Some(proof) = bound {
        use_up(app, client, proof, sign_in)?;
    }
    let now = clock::now();
    let key = bound.map(|proof| proof.thumbprint().to_owned());
    let whose = Whose { name: identity.name.clone(), sign_in, serial };
    let made = app.bearer.tokens.make(&whose, identity.expires.min(now.plus(life)), key.as_deref(), now)?;
    let token_type = if key.is_some() { AccessTokenType::Dpop } else { AccessTokenType::Bearer };
    let what = What::TokenCreated { kind: "access".to_owned(), id: made.id.clone(), expires: made.expires, key };
    let mut event = Event::new(now, access::event::Actor::user(identity), what);
    event.client = Some(client.clone());
    let logged = app.sessions.log.append(&event)?;
    let _durable = app.sessions.log.durable(logged).await?;
    Ok(AccessToken { token: made.token, token_type, id: made.id, expires: made.expires })
}
