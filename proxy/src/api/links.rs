//! One-time secrets for others: join tokens and sign-in links. Shown once, stored hashed.

use std::time::Duration;

use access::event::What;
use access::words::NodeName;
use axum::Json;
use axum::extract::State;
use wire::api::{Link, NewLink, NewToken, Token, TokenKind};
use wire::link::{Address, SignInLink};

use super::person::{MakeLinks, MakeTokens, May, Person, Told};
use super::privilege::reaches;
use super::problem::No;
use super::{App, pin_of};
use crate::authority::one_time::{Made, Purpose};
use crate::clock;

/// Longest life of a join token.
const MAX_TOKEN_LIFE: Duration = Duration::from_secs(7 * 86_400);
/// Longest life of a sign-in link: what the settings allow for `link_life`.
const MAX_LINK_LIFE: Duration = Duration::from_secs(24 * 3600);

/// `POST /v1/links`, for who may make links.
pub(crate) async fn link(State(app): State<App>, Told(may, asked): Told<May<MakeLinks>, NewLink>) -> Result<Json<Link>, No> {
    let view = app.sessions.live.now();
    let Some(user) = view.users.get(&asked.user) else {
        return Err(No::not_found(format!("there is no user {}", asked.user)).hint("Declare the user with `naru apply` first."));
    };
    reaches(&app, &view, &may.person, &user.spec.roles, &format!("make a sign-in link for {}", asked.user))?;
    let life = asked.ttl_s.map_or(app.link_life, Duration::from_secs);
    if life.is_zero() || life > MAX_LINK_LIFE {
        return Err(No::bad("NARU-A109", "a sign-in link lives from a second to 24 hours").hint("Give another --ttl, such as 1h."));
    }
    let made = make(&app, &may.person, Purpose::LoginLink { user: asked.user.clone() }, life).await?;
    let address: Address = app.url.parse().map_err(No::ours)?;
    let link = SignInLink { address, secret: made.secret, pin: pin_of(&app).map_err(No::ours)? };
    Ok(Json(Link { link: link.to_string(), id: made.id, user: asked.user, expires: made.expires }))
}

/// `POST /v1/tokens`, for who may make join tokens.
pub(crate) async fn token(State(app): State<App>, Told(may, asked): Told<May<MakeTokens>, NewToken>) -> Result<Json<Token>, No> {
    let NewToken { kind: TokenKind::Node, node, labels, ttl_s, replace, from: _, uses: _ } = asked;
    let life = Duration::from_secs(ttl_s);
    if life.is_zero() || life > MAX_TOKEN_LIFE {
        return Err(No::bad("NARU-J101", "a join token lives from a second to seven days"));
    }
    if !is_name_pattern(&node) {
        return Err(No::bad("NARU-J102", format!("{node:?} is neither a node name nor a pattern of one"))
            .hint("Use a name such as db-1 (a-z, 0-9 and - in between), or a pattern such as web-*."));
    }
    let tame = |text: &String| (1..=256).contains(&text.len()) && !text.chars().any(char::is_control);
    if labels.len() > 64 || !labels.iter().all(|(key, value)| tame(key) && key != "*" && tame(value)) {
        return Err(No::bad("NARU-J103", "a token fixes at most 64 labels, each part 1 to 256 bytes without control characters"));
    }
    // With a pattern the host says which name it takes.
    let name = if node.parse::<NodeName>().is_ok() { "" } else { " --node NAME" };
    let made = make(&app, &may.person, Purpose::Node { node, labels, replace }, life).await?;
    let join = format!("naru agent join {} --token {} --ca-pin {}{name}", app.url, made.secret, pin_of(&app).map_err(No::ours)?);
    Ok(Json(Token { token: made.secret, id: made.id, expires: made.expires, join }))
}

/// A node's name with `*` in the place of any part.
fn is_name_pattern(text: &str) -> bool {
    let filled = text.replace('*', "x");
    text.len() <= 63 && filled.parse::<NodeName>().is_ok()
}

async fn make(app: &App, person: &Person, purpose: Purpose, life: Duration) -> Result<Made, No> {
    let now = clock::now();
    let kind = purpose.kind().to_owned();
    let made = app.once.make(purpose, life, Some(&person.identity.name), now)?;
    let event = person.event(What::TokenCreated { kind, id: made.id.clone(), expires: made.expires });
    let logged = app.sessions.log.append(&event)?;
    // The secret leaves only when its making is durably known.
    let _durable = app.sessions.log.durable(logged).await?;
    Ok(made)
}
