//! A provider that changes its mind, or its identity, after the sign-in: the login ends with an event that says why, or lives on
//! where the provider only cannot be reached.

use super::{apply, connector, events, says};
use crate::harness::Demo;
use crate::issuer::Provider;
use crate::issuer::http::{Answer, Body};
use crate::issuer::keys::Signer;
use crate::issuer::script::{Endpoint, Script, with, without};
use crate::issuer::token::Token;
use crate::recordings::wait;
use crate::stranger::{Door, Said};
use serde_json::{Value, json};
use std::net::Ipv4Addr;

/// A line: a name, what becomes of the login, and how the provider answers a refresh from then on.
struct Case {
    name: &'static str,
    /// A part of the sentence with which the login ends; without one it lives on.
    ends: Option<&'static str>,
    script: Script,
}

fn ends(name: &'static str, reason: &'static str, refreshed: fn(Token) -> Token) -> Case {
    Case { name, ends: Some(reason), script: Script { refreshed, ..Script::default() } }
}

fn instead(name: &'static str, ends: Option<&'static str>, instead: fn(&str) -> Answer) -> Case {
    let refresh = Endpoint { instead: Some(instead), ..Endpoint::default() };
    Case { name, ends, script: Script { refresh, ..Script::default() } }
}

fn answer(name: &'static str, ends: Option<&'static str>, edit: fn(Value) -> Value) -> Case {
    Case { name, ends, script: Script { refresh: Endpoint { edit, instead: None }, ..Script::default() } }
}

fn cases() -> Vec<Case> {
    vec![
        ends("sub-other", "about somebody else", |t| t.claim("sub", json!("sub-of-another"))),
        ends("sub-absent", "has no `sub`", |t| t.without("sub")),
        ends("iss-other", "is of issuer", |t| t.claim("iss", json!("https://accounts.example.com"))),
        ends("aud-other", "not for this client", |t| t.claim("aud", json!("account"))),
        ends("azp-other", "another client", |t| t.claim("azp", json!("account"))),
        ends("exp-100-years", "would live longer", |t| t.claim("exp", json!(99_999_999_999_u64))),
        ends("hs256", "not among the algorithms", |t| t.signed(Signer::HmacOfPem)),
        ends("none", "three parts", |t| t.signed(Signer::Nobody)),
        ends("stranger", "signature does not fit", |t| t.secretly_signed(Signer::Stranger)),
        instead("says-no", Some("ended this login: the provider refused: invalid_grant"), |_| {
            Answer::json(400, &json!({"error": "invalid_grant"}))
        }),
        // It cannot be asked, which says nothing of the person: `outage` is how long that is put up with.
        instead("knows-no-client", None, |_| Answer::json(401, &json!({"error": "invalid_client"}))),
        instead("answers-500", None, |_| Answer::page(500)),
        instead("answers-page", None, |_| Answer::page(502)),
        instead("silent", None, |_| Answer::odd(Body::Silence)),
        instead("endless", None, |_| Answer::odd(Body::Spaces(1 << 30))),
        instead("leads-away", None, |issuer| Answer::redirect(302, format!("{issuer}/evil/token"))),
        // OpenID Connect Core 1.0 section 12.2: an answer to a refresh may have no id token, and the token may stay the same.
        answer("same-token", None, |a| without(a, "refresh_token")),
        answer("well", None, |a| with(a, "more", json!({"than": "is known"}))),
    ]
}

#[test]
fn a_provider_that_changes_its_mind_ends_the_login() {
    let demo = Demo::start(&[]).unwrap();
    let (admin, olga, door, provider) = (demo.sign_in("admin").unwrap(), demo.sign_in("olga").unwrap(), Door::of(&demo), Provider::start());
    let (me, cases) = (door.from(Ipv4Addr::LOCALHOST), cases());
    let issuer = |case: &Case| provider.known(case.name);
    let all: String = cases.iter().map(|case| connector(case.name, &provider.issuer(case.name).url, "refresh: 5s")).collect();
    apply(&admin, "all", &all).unwrap();
    let logins: Vec<Said> = cases
        .iter()
        .map(|case| {
            let attempt = me.begin(case.name).unwrap();
            let said = me.finish(&attempt, &issuer(case).authorize(&attempt.browse).written());
            assert!(said.signed_in(), "{}: {}", case.name, said.text);
            issuer(case).set(case.script);
            said
        })
        .collect();
    for (case, _) in cases.iter().zip(&logins) {
        wait(&format!("{}: a refresh", case.name), || (issuer(case).asked("refresh") > 0).then_some(()));
    }
    for (case, login) in cases.iter().zip(&logins).filter(|(case, _)| case.ends.is_some()) {
        wait(&format!("{}: the end of the login", case.name), || (me.status(login).status == 401).then_some(()));
    }
    let mut wrong = Vec::new();
    let log: Vec<Value> = events(&olga, "auth.*");
    for (case, login) in cases.iter().zip(&logins) {
        let of_login = |event: &&Value| event["actor"]["id"] == login.body["user"];
        let told = case.ends.is_none_or(|reason| log.iter().filter(of_login).any(|event| says(event, reason)));
        if !told {
            wrong.push(format!("{}: no event of {} says {:?}", case.name, login.body["user"], case.ends));
        }
        if case.ends.is_none() && me.status(login).status != 200 {
            wrong.push(format!("{}: the login ended", case.name));
        }
        if case.ends.is_some() && issuer(case).asked("refresh") > 1 {
            wrong.push(format!("{}: asked again after a no", case.name));
        }
        if !issuer(case).wrongs().is_empty() || issuer(case).asked("other") > 0 || issuer(case).sent() > 64 << 20 {
            wrong.push(format!("{}: {:?} {:?} {}", case.name, issuer(case).wrongs(), issuer(case).counts(), issuer(case).sent()));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(!demo.log().contains("panicked"));
}

#[test]
fn what_the_provider_says_anew_counts_at_the_next_refresh() {
    let demo = Demo::start(&[]).unwrap();
    let (admin, door, provider) = (demo.sign_in("admin").unwrap(), Door::of(&demo), Provider::start());
    let (me, issuer) = (door.from(Ipv4Addr::LOCALHOST), provider.issuer("idp"));
    apply(&admin, "idp", &connector("idp", &issuer.url, "refresh: 5s")).unwrap();
    let attempt = me.begin("idp").unwrap();
    let login = me.finish(&attempt, &issuer.authorize(&attempt.browse).written());
    assert!(login.signed_in() && login.body["roles"] == json!(["engineer"]), "{}", login.text);
    // Out of the group: the login goes on without the role.
    issuer.set(Script { person: |p| with(p, "groups", json!(["/other"])), ..Script::default() });
    wait("the roles to go", || (me.status(&login).body["roles"] == json!([])).then_some(()));
    issuer.set(Script::default());
    wait("the roles to come", || (me.status(&login).body["roles"] == json!(["engineer"])).then_some(()));
    // Each refresh token was used once, in order.
    assert!(issuer.wrongs().is_empty() && issuer.asked("refresh") >= 2, "{:?}", issuer.wrongs());
    issuer.end_sessions("sub-idp");
    wait("the end of the login", || (me.status(&login).status == 401).then_some(()));
}
