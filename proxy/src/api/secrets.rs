//! Join tokens and sign-in links that were made: a list of them without their secrets, and taking one back.

use access::event::{Outcome, What};
use access::words::NodeName;
use axum::Json;
use axum::extract::{Path, State};
use wire::api::{Done, Page, PageQuery, SecretRow};

use super::offer::Offer;
use super::person::{MakeLinks, MakeTokens, May, Person};
use super::problem::{Asked, No};
use super::{App, page};
use crate::authority::one_time::{LOGIN_LINK, Listed, NODE, Purpose};
use crate::clock;
use crate::live::View;

/// `GET /v1/tokens`, for who may make join tokens.
pub(crate) async fn tokens(
    State(app): State<App>,
    _may: May<MakeTokens>,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<Page<SecretRow>>, No> {
    list(&app, NODE, &query)
}

/// `GET /v1/links`, for who may make sign-in links.
pub(crate) async fn links(
    State(app): State<App>,
    _may: May<MakeLinks>,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<Page<SecretRow>>, No> {
    list(&app, LOGIN_LINK, &query)
}

/// `DELETE /v1/tokens/{id}`, for who may make join tokens.
pub(crate) async fn remove_token(State(app): State<App>, may: May<MakeTokens>, Path(id): Path<String>) -> Result<Json<Done>, No> {
    remove(&app, &may.person, NODE, &id).await
}

/// `DELETE /v1/links/{id}`, for who may make sign-in links. A sign-in that began with it goes on.
pub(crate) async fn remove_link(State(app): State<App>, may: May<MakeLinks>, Path(id): Path<String>) -> Result<Json<Done>, No> {
    remove(&app, &may.person, LOGIN_LINK, &id).await
}

fn list(app: &App, kind: &str, query: &PageQuery) -> Result<Json<Page<SecretRow>>, No> {
    let view = app.sessions.live.now();
    let after = query.after.as_deref().map(page::placed).transpose()?;
    // Those that end first stand first.
    let mut all = app.once.list(kind, clock::now())?;
    all.sort_by(|one, other| (one.expires, &one.id).cmp(&(other.expires, &other.id)));
    let rest = all.into_iter().filter(|one| after.is_none_or(|after| (one.expires.as_nanos(), one.id.as_str()) > after));
    let rows = rest.map(|listed| row(listed, &view));
    Ok(Json(page::of(rows, page::limit(query.limit), |row| page::place(row.expires.as_nanos(), &row.id))))
}

fn row(listed: Listed, view: &View) -> SecretRow {
    let Listed { id, purpose, made_by, expires, used, count, chosen, .. } = listed;
    let mut several = (None, None);
    let (user, node, labels, replace) = match purpose {
        Purpose::LoginLink { user, .. } | Purpose::BreakGlass { user, .. } => (Some(user), None, Default::default(), false),
        Purpose::Node { node, labels, replace } => (None, Some(node), labels, replace),
        Purpose::Nodes { of, uses, made } => {
            let now =
                Offer::of_resource(&of, uses, made, view, clock::now()).ok().map(|offer| (offer.patterns(), offer.labels, offer.uses));
            // Of what was deleted nothing can be used any more.
            let (names, labels, most) = now.unwrap_or_default();
            several = (Some(of.name), Some(most.map_or(0, |most| if used { 0 } else { most.saturating_sub(count) })));
            (None, Some(names), labels, false)
        }
    };
    let ((from, uses_left), used) = (several.clone(), used || several.1 == Some(0));
    let uses = uses_left.map(|_| count);
    let used_for = chosen.and_then(|name| name.parse::<NodeName>().ok());
    SecretRow { id, user, node, labels, replace, made_by, expires, used, used_for, from, uses, uses_left }
}

async fn remove(app: &App, person: &Person, kind: &str, id: &str) -> Result<Json<Done>, No> {
    let listed = app.once.list(kind, clock::now())?.into_iter().find(|listed| listed.id == id);
    let what = if kind == NODE { "join token" } else { "sign-in link" };
    let listed = listed.ok_or_else(|| No::not_found(format!("there is no {what} with the id {id}: it may have expired")))?;
    let mut event = person.event(What::TokenRemoved { kind: kind.to_owned(), id: id.to_owned() });
    let logged = app.sessions.log.append(&event)?;
    let _durable = app.sessions.log.durable(logged).await?;
    if let Err(error) = app.store.batch(&[listed.remove]) {
        event.outcome = Outcome::failed("NARU-W409", format!("it was not removed: {error}"));
        let _logged = app.sessions.log.append(&event)?;
        return Err(error.into());
    }
    Ok(Json(Done {}))
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use axum::http::StatusCode;

    use crate::api::refusals::{Stage, request, stage_of};
    use crate::authority::tls::Subject;

    const CHIEF: &str = "kind: role\nname: chief\nspec: {allow: {administer: {role: write, user: write, link: write, join_token: write}}}\n---\nkind: user\nname: admin\nspec: {roles: [chief]}\n---\nkind: user\nname: eve\n";

    async fn ask(stage: &Stage, who: &Subject, method: &str, path: &str, body: &str) -> (StatusCode, serde_json::Value) {
        let answer = stage.send(request(Some(who.clone()), method, path, body.to_owned())).await;
        let status = answer.status();
        let bytes = to_bytes(answer.into_body(), 1 << 20).await.expect("a body");
        (status, serde_json::from_slice(&bytes).expect("json"))
    }

    #[tokio::test]
    async fn what_was_made_is_listed_without_its_secret_and_can_be_taken_back() {
        let stage = stage_of(CHIEF).await;
        let admin = stage.signed_in("admin");
        for (path, body) in [
            ("/v1/tokens", r#"{"kind":"node","node":"web-*","labels":{"env":"prod"},"ttl_s":60}"#),
            ("/v1/links", r#"{"user":"eve","ttl_s":30}"#),
        ] {
            let (status, made) = ask(&stage, &admin, "POST", path, body).await;
            assert_eq!(status, StatusCode::OK, "{made}");
            let id = made["id"].as_str().expect("an id");
            let (_, all) = ask(&stage, &admin, "GET", path, "").await;
            let row = all["items"].as_array().expect("rows").iter().find(|row| row["id"] == id).expect("listed");
            assert_eq!((&row["made_by"], &row["used"]), (&"admin".into(), &false.into()), "{row}");
            assert!(row["user"] == "eve" || row["node"] == "web-*", "{row}");
            let secret = made["token"].as_str().or(made["link"].as_str()).expect("a secret");
            let secret = secret.rsplit_once('#').map_or(secret, |(_, rest)| rest.split(['.', '&']).next().expect("a part"));
            assert!(secret.len() > 20 && !all.to_string().contains(secret));
            let gone = format!("{path}/{id}");
            assert_eq!(ask(&stage, &admin, "DELETE", &gone, "").await.0, StatusCode::OK);
            assert_eq!(ask(&stage, &admin, "DELETE", &gone, "").await.0, StatusCode::NOT_FOUND);
            let (_, all) = ask(&stage, &admin, "GET", path, "").await;
            assert!(!all.to_string().contains(id), "{all}");
        }
        for ttl in [0, 24 * 3600 + 1] {
            let (status, no) = ask(&stage, &admin, "POST", "/v1/links", &format!(r#"{{"user":"eve","ttl_s":{ttl}}}"#)).await;
            assert_eq!((status, &no["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &"NARU-A109".into()));
        }
    }
}
