//! Who asks, and the right that a route demands, as extractors: a handler that takes `May<R>` cannot run without the permit.

use std::marker::PhantomData;

use access::decide::{Administer, Audit, AuditAsk, Denial, Permit, Question, decide, locked};
use access::event::{Actor, Client, Event, Outcome, What};
use access::identity::{Context, Identity};
use access::policy::{AuditAction, Level, ResourceKind};
use axum::extract::{FromRequest, FromRequestParts};
use axum::http::request::Parts as Request;
use axum::http::{StatusCode, header};
use serde::de::DeserializeOwned;
use wire::api::exit;

use super::problem::{Body, No};
use super::{App, Peer};
use crate::authority::access_tokens::{NoToken, Place};
use crate::authority::tls::Subject;
use crate::clock;
use crate::session::open::Asker;

/// A person who is signed in now.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) identity: Identity,
    pub(crate) sign_in: u64,
    pub(crate) client: Client,
    /// The access token that says who it is; none where a certificate does.
    pub(crate) token: Option<Place>,
}

impl Person {
    pub(crate) fn actor(&self) -> Actor {
        Actor::user(&self.identity)
    }

    pub(crate) fn asker(&self, connection: String) -> Asker {
        Asker { identity: self.identity.clone(), sign_in: self.sign_in, client: self.client.clone(), connection }
    }

    /// The same person as of now.
    pub(crate) fn again(&self, app: &App) -> Result<Self, No> {
        let mut identity = app.sessions.people.identity(&self.identity.name, self.sign_in, clock::now()).map_err(No::not_signed_in)?;
        lives(app, self.token.as_ref())?;
        identity.context = self.identity.context.clone();
        Ok(Self { identity, ..self.clone() })
    }

    fn unlocked(&self, app: &App, path: &str) -> Result<(), No> {
        let locked = locked(&self.identity, &app.sessions.live.now().policy, clock::now());
        locked.map_err(|denial| self.denied(app, denial, &format!("to use {path}")))
    }

    /// An event of this person's doing.
    pub(crate) fn event(&self, what: What) -> Event {
        let mut event = Event::new(clock::now(), self.actor(), what);
        event.client = Some(self.client.clone());
        event
    }

    /// Decides, and logs a no.
    pub(crate) fn may<Q: Question + 'static>(&self, app: &App, question: Q, asked: &str) -> Result<Permit<Q>, No> {
        let view = app.sessions.live.now();
        let decided = decide(question, &view.policy, clock::now());
        app.sessions.meters.decided(&decided);
        decided.map_err(|denial| self.denied(app, denial, asked))
    }

    /// Logs a no.
    pub(crate) fn denied(&self, app: &App, denial: Denial, asked: &str) -> No {
        let mut event = self.event(What::AccessDenied { asked: asked.to_owned() });
        event.outcome = Outcome::denied(denial.code, denial.sentence.clone());
        event.access = Some(denial.access(&app.sessions.live.now().policy));
        match app.sessions.refusals.tell(event) {
            Ok(_) => denial.into(),
            Err(error) => error.into(),
        }
    }
}

/// The peer's address and program.
pub(crate) fn client(parts: &Request) -> Result<(Peer, Client), No> {
    let peer = parts.extensions.get::<Peer>().cloned().ok_or_else(|| No::ours("a request without a peer"))?;
    let agent = parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    let user_agent = agent.map(|text| text.chars().take(256).collect());
    let run = parts.headers.get("naru-run").and_then(|value| value.to_str().ok()).map(|text| text.chars().take(128).collect());
    let client = Client { ip: peer.from.ip(), port: peer.from.port(), user_agent, run };
    Ok((peer, client))
}

/// Whether the access token is still one, where it is one that says who somebody is.
fn lives(app: &App, token: Option<&Place>) -> Result<(), No> {
    match token.map(|place| app.bearer.tokens.at(place, clock::now())) {
        None | Some(Ok(_)) => Ok(()),
        Some(Err(NoToken::Store(error))) => Err(error.into()),
        Some(Err(other)) => Err(No::not_signed_in(other)),
    }
}

/// A person who is signed in now and may be locked: they may see that they are, and leave.
pub(crate) struct Present(pub(crate) Person);

impl FromRequestParts<App> for Person {
    type Rejection = No;
    async fn from_request_parts(parts: &mut Request, app: &App) -> Result<Self, No> {
        let Present(person) = Present::from_request_parts(parts, app).await?;
        person.unlocked(app, parts.uri.path())?;
        Ok(person)
    }
}

impl FromRequestParts<App> for Present {
    type Rejection = No;
    async fn from_request_parts(parts: &mut Request, app: &App) -> Result<Self, No> {
        let (peer, client) = client(parts)?;
        match peer.subject {
            Some(Subject::User { name, sign_in, serial }) => {
                let mut identity = app.sessions.people.identity(&name, sign_in, clock::now()).map_err(No::not_signed_in)?;
                lives(app, peer.token.as_ref())?;
                // A machine that never had a certificate has the number of none.
                let certificate = Some(serial).filter(|serial| !serial.is_empty());
                identity.context = Context { from: Some(client.ip), reason: None, certificate };
                Ok(Self(Person { identity, sign_in, client, token: peer.token }))
            }
            Some(Subject::Agent { .. }) => {
                Err(No::new(StatusCode::FORBIDDEN, "NARU-A106", exit::DENIED, "an agent's certificate opens nothing here"))
            }
            None => Err(No::not_signed_in("neither a client certificate nor an access token was shown")),
        }
    }
}

/// A person who shows their own certificate: what an access token cannot do.
pub(crate) struct Certified(pub(crate) Person);

impl FromRequestParts<App> for Certified {
    type Rejection = No;
    async fn from_request_parts(parts: &mut Request, app: &App) -> Result<Self, No> {
        let person = Person::from_request_parts(parts, app).await?;
        if person.token.is_some() {
            let why = "this takes your certificate, and not an access token";
            return Err(
                No::new(StatusCode::FORBIDDEN, "NARU-A135", exit::DENIED, why).hint("Use `naru`, or the certificate that it keeps.")
            );
        }
        Ok(Self(person))
    }
}

/// A body and who sent it, as they were when all of it had come: whoever lost their right meanwhile is refused.
pub(crate) struct Told<P, T>(pub(crate) P, pub(crate) T);

impl<P: FromRequestParts<App, Rejection = No> + Send, T: DeserializeOwned + Send> FromRequest<App> for Told<P, T> {
    type Rejection = No;
    async fn from_request(request: axum::extract::Request, app: &App) -> Result<Self, No> {
        let (mut parts, body) = request.into_parts();
        // Of somebody who may not ask nothing more is read.
        drop(P::from_request_parts(&mut parts, app).await?);
        let mut then = parts.clone();
        let Body(told) = Body::from_request(axum::extract::Request::from_parts(parts, body), app).await?;
        Ok(Self(P::from_request_parts(&mut then, app).await?, told))
    }
}

/// A right that a route demands.
pub(crate) trait Right: Send + Sync + 'static {
    /// The question that is decided.
    type Question: Question + Send + 'static;
    /// For the event of a no.
    const ASKED: &'static str;
    /// Asked by this person.
    fn question(identity: Identity) -> Self::Question;
}

/// A person with the permit that the route demands.
pub(crate) struct May<R: Right> {
    pub(crate) person: Person,
    pub(crate) permit: Permit<R::Question>,
    right: PhantomData<R>,
}

impl<R: Right> FromRequestParts<App> for May<R>
where
    Permit<R::Question>: Send,
{
    type Rejection = No;
    async fn from_request_parts(parts: &mut Request, app: &App) -> Result<Self, No> {
        let person = Person::from_request_parts(parts, app).await?;
        let permit = person.may(app, R::question(person.identity.clone()), R::ASKED)?;
        Ok(Self { person, permit, right: PhantomData })
    }
}

macro_rules! rights {
    ($($name:ident: $question:ty = $asked:literal, $make:expr;)*) => {$(
        #[doc = $asked]
        pub(crate) struct $name;
        impl Right for $name {
            type Question = $question;
            const ASKED: &'static str = $asked;
            fn question(identity: Identity) -> $question {
                let make: fn(Identity) -> $question = $make;
                make(identity)
            }
        }
    )*};
}

fn sessions(identity: Identity, action: AuditAction) -> Audit {
    Audit { identity, action: AuditAsk::Sessions(action), own: false, of: None }
}

fn administer(identity: Identity, kind: ResourceKind, level: Level) -> Administer {
    Administer { identity, kind, level }
}

rights! {
    PlaySessions: Audit = "to play a recording", |identity| sessions(identity, AuditAction::Play);
    WatchSessions: Audit = "to watch a session", |identity| sessions(identity, AuditAction::Watch);
    ExportSessions: Audit = "to export a recording", |identity| sessions(identity, AuditAction::Export);
    KillSessions: Audit = "to end a session", |identity| sessions(identity, AuditAction::Kill);
    ReadEvents: Audit = "to read the audit log", |identity| Audit { identity, action: AuditAsk::Events, own: false, of: None };
    MakeTokens: Administer = "to make a join token", |identity| administer(identity, ResourceKind::JoinToken, Level::Write);
    MakeLinks: Administer = "to make a sign-in link", |identity| administer(identity, ResourceKind::Link, Level::Write);
    AskForOthers: Administer = "to ask what another person may do", |identity| administer(identity, ResourceKind::User, Level::Read);
    KeepConnectors: Administer = "to check a connector", |identity| administer(identity, ResourceKind::OidcConnector, Level::Write);
    KeepNodes: Administer = "to administer nodes", |identity| administer(identity, ResourceKind::Node, Level::Write);
}
