//! One-time secrets for others: join tokens and sign-in links. Shown once, stored hashed.

use std::time::Duration;

use access::amount::Period;
use access::event::What;
use access::identity::Identity;
use access::policy::ResourceKind;
use access::words::{NodeName, ResourceName};
use axum::Json;
use axum::extract::State;
use wire::api::{Link, NewLink, NewToken, Token, TokenKind};
use wire::link::{Address, SignInLink};

use super::offer::Offer;
use super::person::{MakeLinks, MakeTokens, May, Person, Told};
use super::privilege::reaches;
use super::problem::No;
use super::{App, pin_of};
use crate::authority::one_time::{Allowed, Made, Origin, Purpose};
use crate::clock;

/// Longest life of a join token.
const MAX_TOKEN_LIFE: Duration = Duration::from_secs(7 * 86_400);
/// Longest life of a sign-in link: what the settings allow for `link_life`.
const MAX_LINK_LIFE: Duration = Duration::from_secs(24 * 3600);

/// `POST /v1/links`, for who may make links.
pub(crate) async fn link(State(app): State<App>, Told(may, asked): Told<May<MakeLinks>, NewLink>) -> Result<Json<Link>, No> {
    let of = may_make(&app, &may.person, &asked)?;
    let life = asked.ttl_s.map_or(app.link_life, Duration::from_secs);
    if life.is_zero() || life > MAX_LINK_LIFE {
        return Err(No::bad("NARU-A109", "a sign-in link lives from a second to 24 hours").hint("Give another --ttl, such as 1h."));
    }
    let made = make(&app, &may.person, Purpose::LoginLink { user: asked.user.clone(), of: Some(Box::new(of)) }, life).await?;
    let address: Address = app.url.parse().map_err(No::ours)?;
    let link = SignInLink { address, secret: made.secret, pin: pin_of(&app).map_err(No::ours)? };
    Ok(Json(Link { link: link.to_string(), id: made.id, user: asked.user, expires: made.expires }))
}

/// What this person, who may make links, may make one for that user for.
pub(super) fn may_make(app: &App, person: &Person, asked: &NewLink) -> Result<Allowed, No> {
    let view = app.sessions.live.now();
    let known = view.identity(&asked.user, clock::now()).filter(|_| view.users.contains_key(&asked.user));
    let Some(Identity { user, roles, .. }) = known else {
        return Err(No::not_found(format!("there is no user {}", asked.user)).hint("Declare the user with `naru apply` first."));
    };
    reaches(app, &view, person, &roles, &format!("make a sign-in link for {}", asked.user))?;
    Ok(Allowed { user, roles, by: (person.identity.name.clone(), person.identity.user.clone()) })
}

/// `POST /v1/tokens`, for who may make join tokens.
pub(crate) async fn token(State(app): State<App>, Told(may, asked): Told<May<MakeTokens>, NewToken>) -> Result<Json<Token>, No> {
    if let Some(from) = asked.from.clone() {
        return of_resource(&app, &may.person, from, asked).await;
    }
    let NewToken { kind: TokenKind::Node, node, labels, ttl_s, replace, from: _, uses } = asked;
    if uses.is_some() {
        return Err(No::bad("NARU-J110", "a token that several hosts may use is made of a join_token resource")
            .hint("Declare one, then `naru token create --from NAME --uses N`."));
    }
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
    let fixed = node.parse::<NodeName>().is_ok();
    let made = make(&app, &may.person, Purpose::Node { node, labels, replace }, life).await?;
    shown(&app, made, fixed)
}

/// A secret of a declared join token, which says now and at each use what may join.
async fn of_resource(app: &App, person: &Person, name: ResourceName, asked: NewToken) -> Result<Json<Token>, No> {
    let NewToken { kind: TokenKind::Node, node, labels, ttl_s, replace, from: _, uses } = asked;
    if !node.is_empty() || !labels.is_empty() || replace {
        let why = format!("a token of join_token/{name} takes names and labels from there, and replaces nothing");
        return Err(No::bad("NARU-J110", why).hint("Leave --node, --label and --replace out."));
    }
    let now = clock::now();
    let view = app.sessions.live.now();
    let declared = view.resources.get(&(ResourceKind::JoinToken, name.to_string()));
    let declared = declared.ok_or_else(|| {
        No::not_found(format!("there is no join_token {name}")).hint("Declare it with `naru apply`; `naru get join_token` lists them.")
    })?;
    let of = Origin { name: name.clone(), id: declared.stored.id.clone() };
    let most = Offer::of_resource(&of, u32::MAX, now, &view, now).map_err(|why| No::bad("NARU-J110", why))?;
    let fixed = most.name(None).is_ok();
    let (longest, most) = (most.longest, most.uses.unwrap_or(1));
    let uses = uses.unwrap_or(most);
    if uses == 0 || uses > most {
        return Err(No::bad("NARU-J111", format!("a token of join_token/{name} can be used by 1 to {most} machines")));
    }
    let life = if ttl_s == 0 { longest } else { Duration::from_secs(ttl_s) };
    if life > longest {
        return Err(No::bad("NARU-J112", format!("a token of join_token/{name} lives at most {}", Period::from_secs(longest.as_secs()))));
    }
    let made = make(app, person, Purpose::Nodes { of, uses, made: now }, life).await?;
    shown(app, made, fixed)
}

/// With the line to run on a host.
fn shown(app: &App, made: Made, fixed: bool) -> Result<Json<Token>, No> {
    // With a pattern the host says which name it takes.
    let name = if fixed { "" } else { " --node NAME" };
    let join = format!("naru agent join {} --token {} --ca-pin {}{name}", app.url, made.secret, pin_of(app).map_err(No::ours)?);
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
    let event = person.event(What::TokenCreated { kind, id: made.id.clone(), expires: made.expires, key: None });
    let logged = app.sessions.log.append(&event)?;
    // The secret leaves only when its making is durably known.
    let _durable = app.sessions.log.durable(logged).await?;
    Ok(made)
}
