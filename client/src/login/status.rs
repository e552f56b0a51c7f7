//! `naru status`: who is signed in, where, as what and why.

use std::time::Duration;

use access::identity::Method;
use wire::api::Status;

use crate::failure::Failure;
use crate::http::Api;
use crate::out::{Answer, Table};
use crate::profile::{Home, Profile};
use crate::{requests, when};

/// `naru status`: asks the server who it thinks we are.
pub async fn status(profile: &Profile, api: &Api) -> Result<Answer, Failure> {
    let (status, requests) = tokio::join!(api.get::<Status>("/v1/status"), requests::given(api));
    let status = status?;
    let roles: Vec<&str> = status.roles.iter().map(|role| role.as_str()).collect();
    let left = when::length(status.expires.since(when::now()));
    let mut table = Table::facts([
        ("profile", profile.name.clone()),
        ("server", api.address().to_string()),
        ("user", status.name.to_string()),
        ("roles", roles.join(" ")),
        ("expires", format!("{} (in {left})", when::shown(status.expires))),
        ("install", status.install.to_string()),
        ("version", status.version.clone()),
    ]);
    table.rows.extend(more(&status));
    table.rows.extend(requests.iter().map(|request| vec!["by request".to_owned(), requests::gives_until(request)]));
    let mut answer = Answer::new(&status, table);
    if let serde_json::Value::Object(map) = &mut answer.json {
        map.insert("profile".into(), profile.name.clone().into());
        map.insert("server".into(), api.address().to_string().into());
        requests::beside(map, &requests);
    }
    Ok(answer)
}

/// How the person signed in, and a row for each role with the reasons why they have it.
fn more(status: &Status) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut row = |name: &str, value: String| rows.push(vec![name.to_owned(), value]);
    if let Some(login) = &status.login {
        let method = match (login.method, &login.connector) {
            (Method::Link, _) => "a sign-in link".to_owned(),
            (Method::Oidc, Some(connector)) => format!("connector {connector}"),
            (Method::Oidc, None) => "an identity provider".to_owned(),
            (Method::Bot, _) => "a bot's token".to_owned(),
            (Method::BreakGlass, _) => "a break-glass link".to_owned(),
        };
        row("signed in by", format!("{method}, {}", when::shown(login.started)));
        if let Some(at) = login.auth_time {
            row("authenticated", when::shown(at));
        }
        if let Some(at) = login.refreshed {
            let every = login.refresh_s.map(|s| format!(" (every {})", when::length(Duration::from_secs(s)))).unwrap_or_default();
            row("refreshed", format!("{}{every}", when::shown(at)));
        }
    }
    // In one cell: a column of its own would stand far away, behind the widest of the others.
    let given = status.given.iter();
    rows.extend(given.map(|given| vec!["role".to_owned(), format!("{}  because {}", given.role, given.why.join("; "))]));
    rows
}

/// `naru status --all`: every sign-in of this computer, as its files say. No server is asked.
pub fn all(home: &Home, current: &str) -> Answer {
    let (mut rows, mut items) = (Vec::new(), Vec::new());
    for profile in home.profiles() {
        let Ok(facts) = profile.facts() else { continue };
        let (is_current, lives) = (profile.name == current, facts.expires > when::now());
        items.push(serde_json::json!({
            "profile": profile.name, "current": is_current, "server": facts.address, "user": facts.user, "name": facts.name,
            "roles": facts.roles, "expires": facts.expires, "signed_in": lives,
        }));
        rows.push([
            profile.name,
            if is_current { "*" } else { "" }.to_owned(),
            facts.name.to_string(),
            facts.address,
            if lives { when::shown(facts.expires) } else { "ended".to_owned() },
        ]);
    }
    Answer::new(&serde_json::json!({ "items": items }), Table::of(["profile", "current", "user", "server", "expires"], rows))
}

#[cfg(test)]
mod tests {
    use access::time::Timestamp;

    use wire::api::{Given, LoginFacts};

    use super::super::keep::tests::sign_in;
    use super::*;

    #[test]
    fn each_role_has_a_row_that_says_why() {
        let status = Status {
            user: "i|s".into(),
            name: "kim".parse().expect("name"),
            roles: vec!["sre".parse().expect("role")],
            expires: Timestamp::from_secs(9),
            install: "i-1".parse().expect("id"),
            server_name: "h".into(),
            version: "1".into(),
            time: Timestamp::from_secs(1),
            ssh: vec![],
            given: vec![Given { role: "sre".parse().expect("role"), why: vec!["groups: /platform/sre".into(), "user kim".into()] }],
            login: Some(LoginFacts {
                method: Method::Oidc,
                started: Timestamp::from_secs(1),
                connector: Some("corp".parse().expect("name")),
                auth_time: Some(Timestamp::from_secs(1)),
                refreshed: Some(Timestamp::from_secs(1)),
                refresh_s: Some(90),
            }),
        };
        let rows = more(&status);
        let names: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
        assert_eq!(names, ["signed in by", "authenticated", "refreshed", "role"]);
        assert!(rows[0][1].starts_with("connector corp, ") && rows[2][1].ends_with("(every 1m 30s)"), "{rows:?}");
        assert_eq!(rows[3], ["role", "sre  because groups: /platform/sre; user kim"]);
        assert!(more(&Status { given: vec![], login: None, ..status }).is_empty(), "an older server");
    }

    #[test]
    fn every_sign_in_of_this_computer_is_listed() {
        let dir = tempfile::tempdir().expect("dir");
        let home = Home::under(dir.path());
        sign_in(&home.profile(Some("kim-x@corp.example")).expect("profile"), "https://a:1", "kim", Timestamp::from_secs(1));
        sign_in(&home.profile(Some("lee")).expect("profile"), "https://a:1", "lee", Timestamp::from_secs(1));
        let all = all(&home, "kim-x@corp.example");
        assert_eq!(all.table.rows.len(), 2);
        assert_eq!((&all.json["items"][0]["current"], &all.json["items"][0]["signed_in"]), (&true.into(), &false.into()));
    }
}
