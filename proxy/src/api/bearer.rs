//! Who shows an access token (RFC 6750, RFC 9449): put in the place of a client certificate's subject before any handler runs, so that
//! every route takes either. A token in a query is never looked at. Which routes take certificates only is said by their types.

use std::sync::Arc;

use access::event::{Actor, Client, Event, Outcome, What};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use store::kv::Kv;
use wire::api::exit;
use wire::dpop::{self, Proof, proof};

use super::person::client;
use super::problem::No;
use super::proofs::{Proofs, Used};
use super::{App, Peer};
use crate::authority::access_tokens::{AccessTokens, NoToken, Record};
use crate::authority::tls::Subject;
use crate::clock;
use crate::refusals::Told;

/// The token opens nothing.
const NO_TOKEN: &str = "NARU-A131";
/// The proof, or what stands in its place, is not believed.
const NO_PROOF: &str = "NARU-A132";
/// What was shown contradicts itself.
const CONTRADICTS: &str = "NARU-A133";

/// What says how to come back (RFC 9110 section 11.6.1); which word says what is wrong is RFC 6750's and RFC 9449's.
const CHALLENGES: [&str; 2] = ["Bearer", "DPoP algs=\"ES256 EdDSA\""];
const INVALID_TOKEN: [&str; 2] = ["Bearer error=\"invalid_token\"", "DPoP error=\"invalid_token\", algs=\"ES256 EdDSA\""];
const INVALID_PROOF: [&str; 1] = ["DPoP error=\"invalid_dpop_proof\", algs=\"ES256 EdDSA\""];

/// What is known of access tokens, and of what was shown with them.
pub(crate) struct Bearer {
    pub(super) tokens: AccessTokens,
    /// DPoP proofs that were used.
    proofs: Proofs,
    /// `https://HOST:PORT` by each name, in each spelling: what a proof may be for.
    origins: Vec<String>,
}

impl Bearer {
    pub(crate) fn new(store: &Arc<dyn Kv>, origins: Vec<String>) -> Self {
        Self { tokens: AccessTokens::new(store.clone()), proofs: Proofs::new(clock::now()), origins }
    }
}

/// How a token is shown.
#[derive(Debug, PartialEq, Eq)]
enum Shown<'h> {
    Nothing,
    Bearer(&'h str),
    /// With its proof.
    Bound(&'h str, &'h str),
}

/// Lets a request through as whoever shows the token, or with nothing shown as whoever it was.
pub(super) async fn known(State(app): State<App>, request: Request, next: Next) -> Response {
    let shows = request.headers().contains_key(header::AUTHORIZATION);
    let (mut parts, body) = request.into_parts();
    let (mut response, challenges) = match become_known(&app, &mut parts) {
        Ok(()) => (next.run(Request::from_parts(parts, body)).await, if shows { &INVALID_TOKEN } else { &CHALLENGES }.as_slice()),
        Err(no) if no.problem.code == NO_PROOF => (no.into_response(), INVALID_PROOF.as_slice()),
        Err(no) => (no.into_response(), INVALID_TOKEN.as_slice()),
    };
    if response.status() == StatusCode::UNAUTHORIZED {
        for challenge in challenges {
            response.headers_mut().append(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
    }
    response
}

fn become_known(app: &App, parts: &mut Parts) -> Result<(), No> {
    let (peer, client) = client(parts)?;
    let (token, proof) = match shown(&parts.headers)? {
        Shown::Nothing => return Ok(()),
        // Which of two the request is from would be a matter of taste.
        _ if peer.subject.is_some() => return Err(contradicts("a certificate and an access token were shown at once")),
        Shown::Bearer(token) => (token, None),
        Shown::Bound(token, proof) => (token, Some(proof)),
    };
    let (place, record) = app.bearer.tokens.find(token, clock::now()).map_err(|error| match error {
        NoToken::Store(error) => error.into(),
        expired @ NoToken::Expired(_) => no(NO_TOKEN, expired.to_string()),
        other => refused(app, &client, no(NO_TOKEN, other.to_string())),
    })?;
    bound(app, parts, &client, token, proof, &record)?;
    let Record { user: name, sign_in, serial, expires, .. } = record;
    if let Some(stay) = peer.stay.as_ref().filter(|_| app.sessions.people.identity(&name, sign_in, clock::now()).is_ok()) {
        stay.longer(&app.sessions.seats, &name, expires);
    }
    let subject = Some(Subject::User { name, sign_in, serial: serial.unwrap_or_default() });
    parts.extensions.insert(Peer { subject, token: Some(place), ..peer });
    Ok(())
}

/// A token that is bound to a key is shown with a proof of that key, and no other is.
fn bound(app: &App, parts: &Parts, client: &Client, token: &str, proof: Option<&str>, record: &Record) -> Result<(), No> {
    match (proof, &record.thumbprint) {
        (None, None) => Ok(()),
        (None, Some(_)) => {
            Err(refused(app, client, no(NO_PROOF, "the access token is bound to a key, and was shown without a proof of it")))
        }
        (Some(_), None) => Err(refused(app, client, no(NO_TOKEN, "the access token is bound to no key: it is shown as Bearer"))),
        (Some(text), Some(key)) => {
            let proof = believed(app, parts, client, text, Some(token))?;
            if proof.thumbprint() != key {
                return Err(refused(app, client, no(NO_PROOF, "the DPoP proof is of another key than the access token is bound to")));
            }
            use_up(app, client, &proof, record.sign_in)
        }
    }
}

fn believed(app: &App, parts: &Parts, client: &Client, text: &str, token: Option<&str>) -> Result<Proof, No> {
    let urls: Vec<String> = app.bearer.origins.iter().map(|origin| format!("{origin}{}", parts.uri.path())).collect();
    let asked = dpop::Request { method: parts.method.as_str(), urls: &urls, token, now: clock::now() };
    proof(text, &asked).map_err(|fault| {
        tracing::debug!(fault = fault.code(), "a DPoP proof is refused");
        refused(app, client, no(NO_PROOF, fault.to_string()))
    })
}

/// A proof counts once. Whose it is must be known before: strangers fill no memory.
pub(super) fn use_up(app: &App, client: &Client, proof: &Proof, sign_in: u64) -> Result<(), No> {
    match app.bearer.proofs.use_up(proof, sign_in) {
        Used::Now => Ok(()),
        Used::Before => Err(refused(app, client, no(NO_PROOF, "the DPoP proof was used before"))),
        Used::Unknown => Err(no(NO_PROOF, "the DPoP proof is older than this start of the server, which cannot tell whether it was used")),
        Used::Full => Err(No::busy("more DPoP proofs than can be remembered").hint("Wait a minute, then try again.")),
    }
}

/// What the headers show. What is not understood is refused and not passed over.
fn shown(headers: &HeaderMap) -> Result<Shown<'_>, No> {
    let one = |name: header::HeaderName| {
        let mut all = headers.get_all(name).iter();
        match (all.next(), all.next()) {
            (first, None) => Ok(first),
            _ => Err(contradicts("Authorization or DPoP stands in the request more than once")),
        }
    };
    let (authorization, proof) = (one(header::AUTHORIZATION)?, one(header::HeaderName::from_static(dpop::HEADER))?);
    let Some(authorization) = authorization else { return Ok(Shown::Nothing) };
    let unknown = || no(NO_TOKEN, "Authorization is not understood: it is `Bearer TOKEN`, or `DPoP TOKEN` with a proof");
    let (scheme, token) = authorization.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(unknown)?;
    let is = |name: &str| scheme.eq_ignore_ascii_case(name);
    match proof.map(HeaderValue::to_str) {
        None if is("bearer") => Ok(Shown::Bearer(token)),
        Some(_) if is("bearer") => Err(contradicts("a DPoP proof was shown for a token that was shown as Bearer")),
        Some(Ok(proof)) if is("dpop") => Ok(Shown::Bound(token, proof)),
        _ if is("dpop") => Err(no(NO_PROOF, "the access token was shown as DPoP without a proof")),
        _ => Err(unknown()),
    }
}

fn no(code: &str, why: impl Into<String>) -> No {
    No::new(StatusCode::UNAUTHORIZED, code, exit::NOT_SIGNED_IN, why).hint("Get another one with `naru token access`.")
}

fn contradicts(why: &str) -> No {
    No::new(StatusCode::BAD_REQUEST, CONTRADICTS, exit::USAGE, why).hint("Show one certificate, or one access token.")
}

/// Tells the log, where guesses are counted like all others.
fn refused(app: &App, client: &Client, no: No) -> No {
    let mut event = Event::new(clock::now(), Actor::anonymous(), What::LoginFailed { method: "access_token".to_owned() });
    event.outcome = Outcome::denied(&no.problem.code, no.problem.title.clone());
    event.client = Some(client.clone());
    match app.sessions.refusals.tell(event) {
        Ok(Told::Counted) => No::too_many(),
        Ok(Told::Written) => no,
        Err(error) => error.into(),
    }
}

/// The key that a token which is asked for is to be bound to: the request's proof, not used up yet.
pub(super) struct Bound(pub(super) Option<Proof>);

impl FromRequestParts<App> for Bound {
    type Rejection = No;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, No> {
        let (peer, client) = client(parts)?;
        // A proof that came with a token was for that.
        let Some(text) = parts.headers.get(dpop::HEADER).filter(|_| peer.token.is_none()) else { return Ok(Self(None)) };
        let text = text.to_str().map_err(|_| no(NO_PROOF, "the DPoP proof is not understood"))?;
        believed(app, parts, &client, text, None).map(|proof| Self(Some(proof)))
    }
}
