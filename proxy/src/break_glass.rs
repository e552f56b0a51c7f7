//! A way in that needs no provider: a single-use link, made by whoever has the server's machine, for a named person and a reason. Its
//! making and its use are critical events, and what is done with it is always recorded.

use std::time::Duration;

use access::event::{Actor, Event, What};
use access::time::Timestamp;
use access::words::{RoleName, UserName};
use wire::link::{Address, SignInLink};

use crate::api::{App, pin_of};
use crate::authority::one_time::Purpose;
use crate::clock;
use crate::listen::control::Answer;

/// Longest life of such a link.
const MAX_LIFE: Duration = Duration::from_secs(3600);
/// Longest reason, in characters.
const MAX_REASON: usize = 500;

/// A link, as it is asked for on the control socket.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) user: UserName,
    pub(crate) reason: String,
    pub(crate) roles: Vec<RoleName>,
    pub(crate) life: Duration,
}

/// Answers somebody who asks for a link on the control socket.
pub(crate) async fn answer(app: &App, asked: Asked, uid: u32) -> Answer {
    match make(app, asked, uid).await {
        Ok((link, expires)) => Answer::Link { link, expires },
        Err((code, title, hint)) => Answer::No { code: code.to_owned(), title, hint: hint.to_owned() },
    }
}

type Refused = (&'static str, String, &'static str);

async fn make(app: &App, asked: Asked, uid: u32) -> Result<(String, Timestamp), Refused> {
    let Asked { user, reason, roles, life } = asked;
    let reason = reason.trim().to_owned();
    if reason.is_empty() || reason.chars().count() > MAX_REASON || reason.chars().any(char::is_control) {
        return Err(("NARU-C018", "a reason is a line of 1 to 500 characters".to_owned(), "say why: --reason 'Keycloak is down, INC-123'"));
    }
    if life.is_zero() || life > MAX_LIFE {
        return Err(("NARU-C018", "a break-glass link can be used for a second to an hour".to_owned(), "give another --ttl, such as 15m"));
    }
    let view = app.sessions.live.now();
    if view.identity(&user, clock::now()).is_none() {
        let hint = "name a declared user, or somebody who has signed in before: naru events search --type auth.login";
        return Err(("NARU-C018", format!("there is no {user}"), hint));
    }
    if let Some(role) = roles.iter().find(|role| view.policy.role(role).is_none()) {
        return Err(("NARU-C018", format!("there is no role {role}"), "naru get role"));
    }
    let ours = |error: &dyn std::fmt::Display| {
        tracing::error!(%error, "a break-glass link could not be made");
        ("NARU-W500", "the proxy could not do that".to_owned(), "its log says why")
    };
    let log = &app.sessions.log;
    let purpose = Purpose::BreakGlass { user: user.clone(), reason: reason.clone(), roles };
    let made = app.once.make(purpose, life, None, clock::now()).map_err(|error| ours(&error))?;
    let what = What::BreakGlass { user: user.to_string(), reason, id: made.id, expires: made.expires };
    let mut event = Event::new(clock::now(), Actor::system(), what);
    event.outcome.message = Some(format!("made on the server by the account with uid {uid}"));
    let logged = log.append(&event).map_err(|error| ours(&error))?;
    // The link leaves only when its making is durably known.
    let _durable = log.durable(logged).await.map_err(|error| ours(&error))?;
    let address: Address = app.url.parse().map_err(|error| ours(&error))?;
    let pin = pin_of(app).map_err(|error| ours(&error))?;
    Ok((SignInLink { address, secret: made.secret, pin }.to_string(), made.expires))
}
