//! Signing in with a one-time link, out again, and what everybody may know. The link's secret is in a fragment: only this POST uses it up.

use access::event::{Actor, Client, Event, Outcome, What};
use access::identity::Identity;
use access::time::Timestamp;
use access::words::{ConnectorName, RoleName};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use russh::keys::{Algorithm, HashAlg, PublicKey};
use wire::api::{Ca, Given, LoginFacts, SignOut, SignedIn, SignedOut, Status, exit};

use super::person::{Person, Present, Told};
use super::problem::{Body, No};
use super::{App, Peer, pages, pin_of};
use crate::authority::ask::{SignUser, USER_LIFE};
use crate::authority::logins::{Login, SignIn};
use crate::authority::one_time::{BREAK_GLASS, LOGIN_LINK, RedeemError};
use crate::authority::people::VerifiedUser;
use crate::authority::tls::csr_key_hash;
use crate::clock;
use crate::refusals;
use crate::session::table::Stop;

/// What a browser sees that came without a reason.
pub(crate) async fn landing() -> Response {
    pages::landing()
}

/// `GET /v1/ca`, for everybody: it is what a pin is checked against.
pub(crate) async fn ca(State(app): State<App>) -> Result<Json<Ca>, No> {
    let public = app.keys.public();
    let pin = pin_of(&app).map_err(No::ours)?.to_string();
    let line = |key: &PublicKey| key.to_openssh().map_err(No::ours);
    Ok(Json(Ca {
        pin,
        ssh_host_ca: line(&public.ssh_host_ca)?,
        ssh_user_ca: line(&public.ssh_user_ca)?,
        ca_pem: public.ca_pem,
        audit_key: app.keys.checkpoint().public().into(),
        server_names: app.names.clone(),
    }))
}

/// `POST /v1/sign-in/link`, for whoever has the secret.
pub(crate) async fn by_link(
    State(app): State<App>,
    axum::Extension(peer): axum::Extension<Peer>,
    Body(asked): Body<wire::api::SignIn>,
) -> Result<Json<SignedIn>, No> {
    let client = Client { ip: peer.from.ip(), port: peer.from.port(), user_agent: None, run: None };
    let key = parse_key(&asked.ssh_public_key)?;
    let now = clock::now();
    let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
    // Read before the link is used up. Both keys make the holder: whoever knows only the public one of SSH gets nothing again.
    let csr = csr_key_hash(&asked.csr_pem).ok_or_else(|| No::bad("NARU-A107", "the certificate request is not understood"))?;
    let by = holder(&fingerprint, &csr);
    let refused = |code: &str, why: String| refuse(&app, &client, code, why);
    let kind = app.once.kind(&[LOGIN_LINK, BREAK_GLASS], &asked.secret);
    let redeemed = app.once.redeem(kind, &asked.secret, &by, now).map_err(|error| match error {
        RedeemError::Store(error) => error.into(),
        other => refused("NARU-A102", format!("this sign-in link is refused: {other}")),
    })?;
    let user = app.sessions.people.sign_in(&redeemed, now).map_err(|error| refused("NARU-A103", error.to_string()))?;
    if let Err(denial) = app.oidc.make_room(&user, &client)? {
        app.sessions.people.sign_out(user.sign_in(), &denial.sentence)?;
        let hint = denial.hint.clone();
        return Err(refused(denial.code, denial.sentence).hint(hint));
    }
    let mut used = Event::new(now, Actor::user(user.identity()), What::TokenUsed { kind: kind.to_owned(), id: redeemed.id().to_owned() });
    used.client = Some(client.clone());
    let _used = app.sessions.log.append(&used)?;
    let method = Method { name: user.identity().auth.method.as_str(), connector: None, flow: None };
    issue(&app, &client, &user, method, &asked.ssh_public_key, &asked.csr_pem).await.map(Json)
}

/// How somebody signed in, for the log.
#[derive(Debug, Clone)]
pub(super) struct Method {
    pub(super) name: &'static str,
    pub(super) connector: Option<ConnectorName>,
    pub(super) flow: Option<&'static str>,
}

/// Certificates for somebody who has signed in, once that is durably in the log.
pub(super) async fn issue(
    app: &App,
    client: &Client,
    user: &VerifiedUser,
    method: Method,
    ssh_public_key: &str,
    csr_pem: &str,
) -> Result<SignedIn, No> {
    let (identity, now, log) = (user.identity(), clock::now(), &app.sessions.log);
    let key = parse_key(ssh_public_key)?;
    let event = |what| {
        let mut event = Event::new(now, Actor::user(identity), what);
        event.client = Some(client.clone());
        event
    };
    let expires = identity.expires.min(now.plus(USER_LIFE));
    let _issued = log.append(&event(What::CertIssued {
        kind: "ssh_user".to_owned(),
        serial: format!("{:016x}", user.sign_in()),
        expires,
        key: key.fingerprint(HashAlg::Sha256).to_string(),
    }))?;
    let logged = log.append(&login_of(identity, client, method, now))?;
    let logged = log.durable(logged).await?;
    let fresh = app.sessions.freshness.proof()?;
    let ask = SignUser { user, ssh_key: key, csr_pem, now, logged, fresh };
    let certificates = app.keys.ask(ask).map_err(|error| No::bad("NARU-A107", error.to_string()))?;
    let public = app.keys.public();
    Ok(SignedIn {
        user: identity.user.to_string(),
        name: identity.name.clone(),
        roles: identity.roles.clone(),
        expires,
        ssh_certificate: certificates.ssh.to_openssh().map_err(No::ours)?,
        x509_chain_pem: certificates.x509_pem,
        ca_pem: public.ca_pem,
        ssh_host_ca: public.ssh_host_ca.to_openssh().map_err(No::ours)?,
        install: public.install,
        ssh: vec![app.ssh.clone()],
        server_name: app.server_name.clone(),
    })
}

/// The event of a sign-in.
pub(super) fn login_of(identity: &Identity, client: &Client, method: Method, now: Timestamp) -> Event {
    let Method { name, connector, flow } = method;
    let connector = connector.map(|connector| connector.to_string());
    let what = What::Login { method: name.to_owned(), connector, flow: flow.map(str::to_owned) };
    let mut event = Event::new(now, Actor::user(identity), what);
    event.client = Some(client.clone());
    event
}

fn holder(ssh_fingerprint: &str, csr: &str) -> String {
    let mut hash = blake3::Hasher::new_derive_key("naru holder of a sign-in link v1");
    hash.update(ssh_fingerprint.as_bytes());
    hash.update(&[0]);
    hash.update(csr.as_bytes());
    hash.finalize().to_hex().to_string()
}

/// Only keys that are worth a certificate.
pub(super) fn parse_key(line: &str) -> Result<PublicKey, No> {
    let weak = || No::bad("NARU-A108", "the SSH key is not an Ed25519 or ECDSA key").hint("`naru login` makes one.");
    if line.len() > 4096 {
        return Err(weak());
    }
    let key = PublicKey::from_openssh(line).map_err(|_| weak())?;
    let strong = matches!(key.algorithm(), Algorithm::Ed25519 | Algorithm::Ecdsa { .. });
    if strong { Ok(key) } else { Err(weak()) }
}

fn refuse(app: &App, client: &Client, code: &str, why: String) -> No {
    let mut event = Event::new(clock::now(), Actor::anonymous(), What::LoginFailed { method: "link".to_owned() });
    event.outcome = Outcome::denied(code, why.clone());
    event.client = Some(client.clone());
    match app.sessions.refusals.tell(event) {
        Ok(refusals::Told::Counted) => No::too_many(),
        Ok(refusals::Told::Written) => {
            No::new(StatusCode::UNAUTHORIZED, code, exit::NOT_SIGNED_IN, why).hint("Ask an administrator for a new link.")
        }
        Err(error) => error.into(),
    }
}

/// `GET /v1/status`, for whoever is signed in.
pub(crate) async fn status(State(app): State<App>, Present(person): Present) -> Result<Json<Status>, No> {
    let people = &app.sessions.people;
    let login = people.login(person.sign_in)?;
    let facts = login.as_ref().map(|record| LoginFacts {
        method: record.auth.method,
        started: record.started,
        connector: record.provider.as_ref().and_then(|provided| provided.connector.clone()),
        auth_time: record.auth.time,
        refreshed: people.tokens(person.sign_in).ok().flatten().map(|tokens| tokens.confirmed),
        refresh_s: record.provider.as_ref().and_then(|provided| app.oidc.every(provided)).map(|every| every.as_secs()),
    });
    Ok(Json(Status {
        given: given(&app, &person, login.as_ref()),
        login: facts,
        user: person.identity.user.to_string(),
        name: person.identity.name.clone(),
        roles: person.identity.roles.clone(),
        expires: person.identity.expires,
        install: app.keys.public().install,
        server_name: app.server_name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        time: clock::now(),
        ssh: vec![app.ssh.clone()],
    }))
}

/// Why the person has each role.
fn given(app: &App, person: &Person, login: Option<&SignIn>) -> Vec<Given> {
    let view = app.sessions.live.now();
    let provided = login.and_then(|record| record.provider.as_ref());
    let stored = provided.and_then(|provided| view.connectors.get(provided.connector.as_ref()?));
    let by_claims = provided.zip(stored).map(|(provided, stored)| stored.spec.roles(&provided.kept)).unwrap_or_default();
    let why = |role: &RoleName| match by_claims.get(role) {
        Some(why) => why.clone(),
        None if person.identity.auth.method == access::identity::Method::Bot => vec![format!("bot {}", person.identity.name)],
        None if provided.is_some() => vec!["break-glass".to_owned()],
        None => vec![format!("user {}", person.identity.name)],
    };
    person.identity.roles.iter().map(|role| Given { role: role.clone(), why: why(role) }).collect()
}

/// The login of a request, or all of its person.
fn of_person(app: &App, person: &Person, all: bool) -> Result<Vec<Login>, No> {
    let principal = person.identity.user.principal();
    let logins = app.sessions.people.live_logins(clock::now(), |record| record.is_of(&principal))?;
    Ok(logins.into_iter().filter(|login| all || login.id == person.sign_in).collect())
}

/// `POST /v1/sign-out`, for whoever is signed in: ends this login, or all of the person, their live sessions, and the provider's
/// sessions behind them.
pub(crate) async fn out(State(app): State<App>, Told(Present(person), asked): Told<Present, SignOut>) -> Result<Json<SignedOut>, No> {
    let people = &app.sessions.people;
    let mut logins = of_person(&app, &person, asked.all)?;
    if asked.replaced {
        logins.retain(|login| !app.sessions.table.has(login.id));
    }
    if logins.is_empty() {
        // Nothing ends, and nothing is said to.
        return Ok(Json(SignedOut::default()));
    }
    let logged = app.sessions.log.append(&person.event(What::Logout {}))?;
    let _durable = app.sessions.log.durable(logged).await?;
    let mut answer = SignedOut::default();
    let mut hints = Vec::new();
    for login in logins {
        let id_token = if asked.replaced { None } else { app.oidc.id_token(login.id) };
        if people.sign_out(login.id, "you signed out")? {
            answer.ended += 1;
        }
        app.oidc.renewals.forget(login.id);
        let stop = Stop { reason: "signed_out", sentence: "you signed out".to_owned() };
        app.sessions.table.stop_sign_in(login.id, &stop);
        hints.extend(id_token.map(|token| (login, token)));
    }
    for (login, token) in hints {
        match app.oidc.end_at_provider(&login, &token).await {
            Ok(_) => answer.provider = Some(answer.provider.unwrap_or(true)),
            Err(browse) => {
                answer.provider = Some(false);
                answer.browse = answer.browse.or(browse);
            }
        }
    }
    Ok(Json(answer))
}
