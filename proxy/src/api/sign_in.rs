//! Signing in with a one-time link, out again, and what everybody may know. The link's secret is in a fragment: only this POST uses it up.

use access::event::{Actor, Client, Event, Outcome, What};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Html;
use russh::keys::{Algorithm, HashAlg, PublicKey};
use wire::api::{Ca, Done, SignIn, SignedIn, Status, exit};

use super::person::Person;
use super::problem::{Body, No};
use super::{App, Peer, pin_of};
use crate::authority::ask::{SignUser, USER_LIFE};
use crate::authority::one_time::{LOGIN_LINK, RedeemError};
use crate::authority::tls::csr_key_hash;
use crate::clock;
use crate::refusals::Told;
use crate::session::table::Stop;

/// What a browser sees until there are pages.
pub(crate) async fn landing() -> Html<&'static str> {
    Html(
        "<!doctype html><title>Naru</title><p>This is a Naru proxy. Sign in from a terminal: <code>naru login --link 'THE WHOLE LINK'</code>",
    )
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
    Body(asked): Body<SignIn>,
) -> Result<Json<SignedIn>, No> {
    let client = Client { ip: peer.from.ip(), port: peer.from.port(), user_agent: None };
    let key = parse_key(&asked.ssh_public_key)?;
    let now = clock::now();
    let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
    // Read before the link is used up. Both keys make the holder: whoever knows only the public one of SSH gets nothing again.
    let csr = csr_key_hash(&asked.csr_pem).ok_or_else(|| No::bad("NARU-A107", "the certificate request is not understood"))?;
    let by = holder(&fingerprint, &csr);
    let refused = |code: &str, why: String| refuse(&app, &client, code, why);
    let redeemed = app.once.redeem(LOGIN_LINK, &asked.secret, &by, now).map_err(|error| match error {
        RedeemError::Store(error) => error.into(),
        other => refused("NARU-A102", format!("this sign-in link is refused: {other}")),
    })?;
    let user = app.sessions.people.sign_in(&redeemed, now).map_err(|error| refused("NARU-A103", error.to_string()))?;
    let identity = user.identity();
    let about = |what| {
        let mut event = Event::new(now, Actor::user(identity), what);
        event.client = Some(client.clone());
        event
    };
    let log = &app.sessions.log;
    let _used = log.append(&about(What::TokenUsed { kind: LOGIN_LINK.to_owned(), id: redeemed.id().to_owned() }))?;
    let expires = identity.expires.min(now.plus(USER_LIFE));
    let _issued = log.append(&about(What::CertIssued {
        kind: "ssh_user".to_owned(),
        serial: format!("{:016x}", user.sign_in()),
        expires,
        key: fingerprint,
    }))?;
    let logged = log.append(&about(What::Login { method: "link".to_owned() }))?;
    let logged = log.durable(logged).await?;
    let ask = SignUser { user: &user, ssh_key: key, csr_pem: &asked.csr_pem, now, logged };
    let certificates = app.keys.ask(ask).map_err(|error| No::bad("NARU-A107", error.to_string()))?;
    let public = app.keys.public();
    Ok(Json(SignedIn {
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
    }))
}

fn holder(ssh_fingerprint: &str, csr: &str) -> String {
    let mut hash = blake3::Hasher::new_derive_key("naru holder of a sign-in link v1");
    hash.update(ssh_fingerprint.as_bytes());
    hash.update(&[0]);
    hash.update(csr.as_bytes());
    hash.finalize().to_hex().to_string()
}

/// Only keys that are worth a certificate.
fn parse_key(line: &str) -> Result<PublicKey, No> {
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
        Ok(Told::Counted) => No::too_many(),
        Ok(Told::Written) => No::new(StatusCode::UNAUTHORIZED, code, exit::NOT_SIGNED_IN, why).hint("Ask an administrator for a new link."),
        Err(error) => error.into(),
    }
}

/// `GET /v1/status`, for whoever is signed in.
pub(crate) async fn status(State(app): State<App>, person: Person) -> Json<Status> {
    Json(Status {
        user: person.identity.user.to_string(),
        name: person.identity.name.clone(),
        roles: person.identity.roles.clone(),
        expires: person.identity.expires,
        install: app.keys.public().install,
        server_name: app.server_name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        time: clock::now(),
        ssh: vec![app.ssh.clone()],
    })
}

/// `POST /v1/sign-out`, for whoever is signed in: ends this sign-in and its live sessions.
pub(crate) async fn out(State(app): State<App>, person: Person) -> Result<Json<Done>, No> {
    let logged = app.sessions.log.append(&person.event(What::Logout {}))?;
    let _durable = app.sessions.log.durable(logged).await?;
    app.sessions.people.sign_out(person.sign_in)?;
    let stop = Stop { reason: "signed_out", sentence: "you signed out".to_owned() };
    app.sessions.table.stop_sign_in(person.sign_in, &stop);
    Ok(Json(Done {}))
}
