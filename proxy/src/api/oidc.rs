//! Signing in through identity providers over HTTP: what clients, browsers and providers ask. Nothing here needs a certificate but the
//! check of a connector; what is believed is decided in [`crate::oidc`].

use std::time::Duration;

use access::connector::Flow;
use access::event::Client;
use access::words::ConnectorName;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::{Extension, Form, Json};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use wire::api::{
    Begin, Begun, BotSignIn, BotSignedIn, BotWants, ConnectorReport, ConnectorRow, Finish, Finished, Page, PageQuery, SignedIn, exit,
};
use wire::dpop::Proof;

use super::bearer::Bound;
use super::person::{KeepConnectors, May};
use super::problem::{Asked, Body, No};
use super::sign_in::{Method, issue, login_of};
use super::tokens::{Of, Secret, issue as issue_token};
use super::{App, Peer, page, pages};
use crate::authority::people::{VerifiedUser, Vouched};
use crate::authority::tls::csr_key_hash;
use crate::oidc::attempts::{Attempt, For, Stage};
use crate::oidc::{AWAY, CROWDED, Came, NAME, OTHER_ATTEMPT, REFUSED_BY_HAND, Refusal};
use crate::refusals::Told;

/// The browser that opened a sign-in.
const COOKIE: &str = "__Host-naru-sign-in";

fn client_of(peer: &Peer) -> Client {
    Client { ip: peer.from.ip(), port: peer.from.port(), user_agent: None, run: None }
}

/// A refusal as a client reads it, once it is in the log.
fn no(app: &App, refusal: Refusal, method: &str, client: &Client) -> No {
    let (status, exit) = match refusal.code {
        AWAY => (StatusCode::BAD_GATEWAY, exit::CANNOT_REACH),
        CROWDED => (StatusCode::TOO_MANY_REQUESTS, exit::NOT_SIGNED_IN),
        NAME => (StatusCode::CONFLICT, exit::CONFLICT),
        _ => (StatusCode::UNAUTHORIZED, exit::NOT_SIGNED_IN),
    };
    match app.oidc.refuse(&refusal, method, Some(client)) {
        Ok(Told::Counted) if refusal.code != CROWDED => No::too_many(),
        Ok(_) => {
            let no = No::new(status, refusal.code, exit, refusal.sentence);
            if let Some(hint) = refusal.hint { no.hint(hint) } else { no }
        }
        Err(error) => error.into(),
    }
}

/// `GET /v1/connectors`, for everybody: what `naru login` can choose from.
pub(super) async fn connectors(State(app): State<App>, Asked(query): Asked<PageQuery>) -> Result<Json<Page<ConnectorRow>>, No> {
    let view = app.sessions.live.now();
    let row = |(name, stored): (&ConnectorName, &crate::declared::StoredConnector)| ConnectorRow {
        name: name.clone(),
        issuer: stored.spec.issuer.clone(),
        flows: Flow::ALL.into_iter().filter(|flow| stored.spec.allows(*flow)).collect(),
    };
    let rest = view.connectors.iter().filter(|(name, _)| query.after.as_ref().is_none_or(|after| name.as_str() > after.as_str()));
    Ok(Json(page::of(rest.map(row), page::limit(query.limit), |row| row.name.to_string())))
}

/// `POST /v1/sign-in/begin`, for everybody.
pub(super) async fn begin(State(app): State<App>, Extension(peer): Extension<Peer>, Body(asked): Body<Begin>) -> Result<Json<Begun>, No> {
    let client = client_of(&peer);
    // A key that could not be certified is refused before anybody goes to a browser.
    super::sign_in::parse_key(&asked.ssh_public_key)?;
    csr_key_hash(&asked.csr_pem).ok_or_else(|| No::bad("NARU-A107", "the certificate request is not understood"))?;
    app.oidc.begin(asked, client.clone()).await.map(Json).map_err(|refusal| no(&app, refusal, "oidc", &client))
}

/// `POST /v1/sign-in/finish`, for whoever began it.
pub(super) async fn finish(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    Body(asked): Body<Finish>,
) -> Result<Json<Finished>, No> {
    let client = client_of(&peer);
    let refused = |refusal| no(&app, refusal, "oidc", &client);
    match app.oidc.finish(&asked).await.map_err(refused)? {
        Came::Waiting => Ok(Json(Finished::Waiting { interval_s: 1 })),
        Came::Proven(proven, login) => {
            let refused = |refusal| no(&app, refusal, "oidc", &client);
            let vouched = app.oidc.vouch(*proven).map_err(refused)?;
            let provided = vouched.provided.clone();
            let method = Method { name: "oidc", connector: provided.connector.clone(), flow: Some(pages::way(login.flow)) };
            let (signed_in, id) = enter(&app, &client, vouched, method, &login.ssh_public_key, &login.csr_pem).await?;
            app.oidc.follow(id, &provided);
            Ok(Json(Finished::SignedIn(Box::new(signed_in))))
        }
    }
}

/// `POST /v1/sign-in/bot`, for a machine with a token of its provider.
pub(super) async fn bot(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    bound: Bound,
    Body(asked): Body<BotSignIn>,
) -> Result<Secret<BotSignedIn>, No> {
    let client = client_of(&peer);
    let wanted = BotWanted::of(&asked, bound.0)?;
    let vouched = app.oidc.bot(&asked).await.map_err(|refusal| no(&app, refusal, "bot", &client))?;
    let method = Method { name: "bot", connector: None, flow: None };
    match wanted {
        BotWanted::Certificates { ssh_key, csr } => {
            let (signed_in, _) = enter(&app, &client, vouched, method, ssh_key, csr).await?;
            Ok(Secret(BotSignedIn::Certificates(Box::new(signed_in))))
        }
        BotWanted::Token(life, key) => {
            let user = entered(&app, &client, vouched, method.name)?;
            let (identity, sign_in) = (user.identity(), user.sign_in());
            // What comes after it is in the log durably takes this with it.
            let _login = app.sessions.log.append(&login_of(identity, &client, method, crate::clock::now()))?;
            let issued = issue_token(&app, Of { identity, sign_in, serial: None, client: &client }, life, key.as_ref()).await;
            if issued.is_err() {
                app.sessions.people.sign_out(sign_in, "its access token could not be made")?;
            }
            issued.map(|token| Secret(BotSignedIn::AccessToken(token)))
        }
    }
}

/// What a machine gets.
enum BotWanted<'a> {
    Certificates { ssh_key: &'a str, csr: &'a str },
    Token(Duration, Option<Proof>),
}

impl<'a> BotWanted<'a> {
    fn of(asked: &'a BotSignIn, bound: Option<Proof>) -> Result<Self, No> {
        match (asked.want, &asked.ssh_public_key, &asked.csr_pem) {
            (BotWants::Certificates, Some(ssh_key), Some(csr)) if asked.ttl_s.is_none() && bound.is_none() => {
                Ok(Self::Certificates { ssh_key, csr })
            }
            (BotWants::AccessToken, None, None) => Ok(Self::Token(super::tokens::life(asked.ttl_s)?, bound)),
            (BotWants::Certificates, ..) => {
                Err(No::bad("NARU-A134", "certificates take ssh_public_key and csr_pem, and nothing of an access token"))
            }
            (BotWants::AccessToken, ..) => Err(No::bad("NARU-A134", "an access token takes neither ssh_public_key nor csr_pem")),
        }
    }
}

/// Whoever is vouched for signs in, if there is room for one more login of theirs.
fn entered(app: &App, client: &Client, vouched: Vouched, name: &str) -> Result<VerifiedUser, No> {
    let now = crate::clock::now();
    let user = app.sessions.people.vouched(vouched, now).map_err(|error| no(app, error.into(), name, client))?;
    if let Err(denial) = app.oidc.make_room(&user, client)? {
        app.sessions.people.sign_out(user.sign_in(), &denial.sentence)?;
        let refusal = Refusal::new(denial.code, "logins", denial.sentence);
        return Err(No {
            problem: Box::new(wire::api::Problem { hint: Some(denial.hint), ..*no(app, refusal, name, client).problem }),
            status: StatusCode::FORBIDDEN,
        });
    }
    Ok(user)
}

/// The same, with certificates.
async fn enter(app: &App, client: &Client, vouched: Vouched, method: Method, ssh_key: &str, csr: &str) -> Result<(SignedIn, u64), No> {
    let user = entered(app, client, vouched, method.name)?;
    let id = user.sign_in();
    match issue(app, client, &user, method, ssh_key, csr).await {
        Ok(signed_in) => Ok((signed_in, id)),
        Err(no) => {
            // A login that nobody has certificates of takes nobody's place.
            app.sessions.people.sign_out(id, "its certificates could not be signed")?;
            Err(no)
        }
    }
}

fn cookie(headers: &HeaderMap) -> Option<String> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(';'));
    let mut ours = all.filter_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='));
    // Two of one name: somebody put one there.
    match (ours.next(), ours.next()) {
        (Some(only), None) if only.len() == 43 => Some(only.to_owned()),
        _ => None,
    }
}

fn browser_of(cookie: &str) -> [u8; 32] {
    blake3::derive_key("naru browser of a sign-in v1", cookie.as_bytes())
}

/// `GET /sign-in/{id}`: sends the browser to the provider, and remembers which browser it was.
pub(super) async fn open(State(app): State<App>, Path(id): Path<String>, headers: HeaderMap) -> Result<Response, No> {
    let value = match cookie(&headers) {
        Some(value) => value,
        None => {
            let mut bytes = [0_u8; 32];
            aws_lc_rs::rand::fill(&mut bytes).map_err(|_| No::ours("no random numbers"))?;
            URL_SAFE_NO_PAD.encode(bytes)
        }
    };
    Ok(match app.oidc.attempts.bind(&id, browser_of(&value)) {
        Ok(Attempt { purpose: For::Login(login), .. }) if login.flow != Flow::Headless => {
            pages::refused(&Refusal::new(OTHER_ATTEMPT, "flow", "this sign-in goes on at the computer where it was begun"))
        }
        Ok(attempt) => {
            let mut answer = Redirect::to(&attempt.url).into_response();
            let cookie = format!("{COOKIE}={value}; Path=/; Max-Age=900; Secure; HttpOnly; SameSite=Lax");
            answer.headers_mut().insert(header::SET_COOKIE, HeaderValue::from_str(&cookie).map_err(No::ours)?);
            answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            answer.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
            answer
        }
        Err(refusal) => pages::refused(&refusal),
    })
}

/// `GET /v1/oidc/{connector}/callback`: a browser comes back from the provider.
pub(super) async fn callback(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    Path(connector): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let browser = cookie(&headers).map(|value| browser_of(&value));
    match app.oidc.came_back(&connector, query.as_deref().unwrap_or_default(), browser).await {
        Ok((attempt, proven)) if matches!(attempt.purpose, For::DryRun) => {
            drop(app.oidc.attempts.take(&attempt.id));
            let view = app.sessions.live.now();
            let given = view.connectors.get(&attempt.connector).map(|stored| stored.spec.roles(&proven.provided.kept)).unwrap_or_default();
            let roles: Vec<_> = given.into_iter().map(|(role, why)| (role.to_string(), why.join(", "))).collect();
            pages::dry_run(&attempt, &proven, &roles)
        }
        Ok((attempt, proven)) => pages::confirm(&attempt, &proven),
        Err(refusal) => {
            let client = client_of(&peer);
            match app.oidc.refuse(&refusal, "oidc", Some(&client)) {
                Ok(Told::Counted) => No::too_many().into_response(),
                Ok(Told::Written) => pages::refused(&refusal),
                Err(error) => No::from(error).into_response(),
            }
        }
    }
}

/// The code that the page showed comes back with the answer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Said {
    code: String,
}

/// `POST /sign-in/{id}/approve` and `…/deny`: the person says whether they meant it, in the browser that showed it.
pub(super) async fn say(
    State(app): State<App>,
    Path((id, word)): Path<(String, String)>,
    headers: HeaderMap,
    Form(said): Form<Said>,
) -> Response {
    match said_here(&app, &id, &word, &headers, &said) {
        Ok(answer) => answer,
        Err(refusal) => pages::refused(&refusal),
    }
}

fn said_here(app: &App, id: &str, word: &str, headers: &HeaderMap, said: &Said) -> Result<Response, Refusal> {
    let attempt = app.oidc.attempts.get(id)?;
    let browser = cookie(headers).map(|value| browser_of(&value));
    if attempt.browser.is_none() || attempt.browser != browser || !is_from_here(headers, &app.url) || said.code != attempt.code {
        return Err(Refusal::new(OTHER_ATTEMPT, "browser", "this sign-in was opened in another browser"));
    }
    let Stage::Proven(proven) = attempt.stage else {
        return Err(Refusal::new(OTHER_ATTEMPT, "stage", "this sign-in waits for no answer"));
    };
    match (word, &attempt.purpose) {
        ("approve", For::Login(_)) => app.oidc.attempts.set(id, Stage::Approved(proven)),
        ("approve", For::StepUp { sign_in, .. }) => {
            drop(app.oidc.attempts.take(id));
            let done = app.oidc.stepped_up(*sign_in, *proven);
            app.oidc.step_ups.answer(id, done.clone().map_err(|refusal| refusal.sentence));
            done?;
        }
        ("deny", purpose) => {
            let refusal = Refusal::new(REFUSED_BY_HAND, "by_hand", format!("{} refused it in the browser", proven.name));
            if let For::StepUp { .. } = purpose {
                drop(app.oidc.attempts.take(id));
                app.oidc.step_ups.answer(id, Err(refusal.sentence));
            } else {
                app.oidc.attempts.set(id, Stage::Refused(refusal));
            }
            return Ok(pages::denied());
        }
        _ => return Err(Refusal::new(OTHER_ATTEMPT, "stage", "this sign-in waits for no such answer")),
    }
    Ok(pages::approved())
}

/// Whether a page of ours sent this, where the browser says which did. An origin has no port where it is the usual one (RFC 6454 section 6.2).
fn is_from_here(headers: &HeaderMap, url: &str) -> bool {
    let ours = url.strip_suffix(":443").unwrap_or(url);
    headers.get(header::ORIGIN).is_none_or(|origin| origin.as_bytes() == ours.as_bytes())
}

/// What a provider posts.
#[derive(Deserialize, schemars::JsonSchema)]
pub(super) struct LogoutForm {
    logout_token: String,
}

/// `POST /v1/oidc/{connector}/backchannel-logout`, for the provider, whose token says that it is one (section 2.8 says how to answer).
pub(super) async fn back_channel(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    Path(connector): Path<String>,
    form: Result<Form<LogoutForm>, axum::extract::rejection::FormRejection>,
) -> Response {
    let client = client_of(&peer);
    let bad = |status: StatusCode, why: &str| {
        let body = serde_json::json!({ "error": "invalid_request", "error_description": why });
        (status, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
    };
    let Ok(Form(form)) = form else { return bad(StatusCode::BAD_REQUEST, "logout_token is missing") };
    let Ok(connector) = connector.parse::<ConnectorName>() else { return bad(StatusCode::NOT_FOUND, "there is no such connector") };
    match app.oidc.back_channel(&connector, &form.logout_token, &client).await {
        Ok(_) => (StatusCode::OK, [(header::CACHE_CONTROL, "no-store")]).into_response(),
        Err(refusal) if refusal.code == AWAY => bad(StatusCode::BAD_GATEWAY, &refusal.sentence),
        Err(refusal) => bad(StatusCode::BAD_REQUEST, &refusal.sentence),
    }
}

/// A set of public keys (RFC 7517 section 5).
#[derive(serde::Serialize, schemars::JsonSchema)]
pub(super) struct Jwks {
    keys: Vec<serde_json::Value>,
}

/// `GET /v1/oidc/{connector}/jwks.json`, for everybody: the public half of our key for `private_key_jwt`.
pub(super) async fn jwks(State(app): State<App>, Path(connector): Path<String>) -> Result<Json<Jwks>, No> {
    let view = app.sessions.live.now();
    let stored = connector.parse::<ConnectorName>().ok().and_then(|name| view.connectors.get(&name).cloned());
    let keys = stored.and_then(|stored| stored.key).map(|key| crate::oidc::public_jwk(&key.public)).into_iter().collect::<Vec<_>>();
    Ok(Json(Jwks { keys }))
}

/// `POST /v1/connectors/{name}/check`, for who administers connectors.
pub(super) async fn check(
    State(app): State<App>,
    may: May<KeepConnectors>,
    Path(name): Path<ConnectorName>,
) -> Result<Json<ConnectorReport>, No> {
    let checked = app.oidc.check(&name, may.person.client.clone()).await;
    checked.map(Json).map_err(|refusal| No::not_found(refusal.sentence))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_comes_from_a_page_of_ours() {
        let from = |origin: &'static str, url: &str| {
            let headers = HeaderMap::from_iter([(header::ORIGIN, HeaderValue::from_static(origin))]);
            is_from_here(&headers, url)
        };
        assert!(
            from("https://h:8443", "https://h:8443") && from("https://h", "https://h:443") && from("https://[::1]", "https://[::1]:443")
        );
        for other in ["null", "https://h", "https://h:443", "http://h:8443", "https://evil.example"] {
            assert!(!from(other, "https://h:8443"), "{other}");
        }
        assert!(is_from_here(&HeaderMap::new(), "https://h:8443"), "a program that is no browser says none");
    }
}
