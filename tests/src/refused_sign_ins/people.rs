//! Who the provider says that somebody is: names that are taken or are none, addresses that prove nothing.

use super::{Case, apply, connector, person};
use crate::harness::Demo;
use crate::issuer::script::{Script, with, without};
use crate::issuer::{Issuer, Provider};
use crate::stranger::{Door, Said, Stranger};
use serde_json::{Value, json};
use std::net::Ipv4Addr;

pub(super) fn cases() -> Vec<Case> {
    vec![
        // People of the install itself are somebody else.
        person("name-admin", "taken", |p| with(p, "preferred_username", json!("admin"))),
        person("name-alice", "taken", |p| with(p, "preferred_username", json!("alice"))),
        person("name-look-alike", "name", |p| with(p, "preferred_username", json!("\u{430}dmin"))),
        person("name-wide", "name", |p| with(p, "preferred_username", json!("\u{ff41}dmin"))),
        person("name-nul", "name", |p| with(p, "preferred_username", json!("admin\u{0}"))),
        person("name-space", "name", |p| with(p, "preferred_username", json!("admin "))),
        person("name-hidden", "name", |p| with(p, "preferred_username", json!("admin\u{200b}"))),
        person("name-300", "name", |p| with(p, "preferred_username", json!("a".repeat(300)))),
        person("name-empty", "name", |p| with(p, "preferred_username", json!(""))),
        person("name-number", "name", |p| with(p, "preferred_username", json!(7))),
        person("name-list", "name", |p| with(p, "preferred_username", json!(["admin", "x"]))),
        person("name-absent", "name", |p| without(p, "preferred_username")),
        person("name-path", "name", |p| with(p, "preferred_username", json!("../admin"))),
        Case { spec: "username: email", ..person("name-mail", "name", |p| with(p, "email", json!("a b@example.com"))) },
    ]
}

/// Signs in at an issuer as it says.
fn sign_in(stranger: Stranger<'_>, connector: &str, issuer: &Issuer) -> Said {
    let attempt = stranger.begin(connector).unwrap();
    stranger.finish(&attempt, &issuer.authorize(&attempt.browse).written())
}

#[test]
fn an_address_joins_no_accounts_and_a_name_stays_whose_it_is() {
    let demo = Demo::start(&[]).unwrap();
    let (admin, door, provider) = (demo.sign_in("admin").unwrap(), Door::of(&demo), Provider::start());
    let (first, second) = (provider.issuer("first"), provider.issuer("second"));
    let both = connector("first", &first.url, "")
        + &connector("second", &second.url, "").replace("claims: {groups: {/sre: [engineer]}}", "claims: {}");
    apply(&admin, "both", &both).unwrap();
    let stranger = door.from(Ipv4Addr::LOCALHOST);
    let is = |issuer: &Issuer, person: fn(Value) -> Value| issuer.set(Script { person, ..Script::default() });

    is(&first, |p| with(with(p, "email", json!("kim@example.com")), "preferred_username", json!("kim")));
    let kim = sign_in(stranger, "first", &first);
    assert!(kim.signed_in() && kim.body["name"] == "kim" && kim.body["roles"] == json!(["engineer"]), "{}", kim.text);
    assert_eq!(kim.body["user"], format!("{}|sub-first", first.url));

    // The same address, whatever is said of it, and the same subject: another issuer's are another person's.
    for (at, verified) in [json!(true), json!("true"), json!(1), json!(null)].into_iter().enumerate() {
        is(&second, |p| {
            with(with(with(p, "email", json!("kim@example.com")), "sub", json!("sub-first")), "preferred_username", json!("kim2"))
        });
        let issuer = second.clone();
        let attempt = stranger.begin("second").unwrap();
        let person = with(issuer.person(), "email_verified", verified);
        let said = stranger.finish(&attempt, &issuer.authorize_as(&attempt.browse, person).written());
        assert!(said.signed_in() && said.body["name"] == "kim2", "{at}: {}", said.text);
        assert_eq!((&said.body["user"], &said.body["roles"]), (&json!(format!("{}|sub-first", second.url)), &json!([])), "{at}");
        assert_ne!(said.body["ssh_certificate"], kim.body["ssh_certificate"]);
    }
    // The first one's name is the first one's, also for a new subject of the same issuer.
    is(&second, |p| with(with(p, "sub", json!("sub-thief")), "preferred_username", json!("kim")));
    let said = sign_in(stranger, "second", &second);
    assert!(said.refused(), "{}", said.text);
    is(&first, |p| with(with(p, "sub", json!("sub-next")), "preferred_username", json!("kim")));
    let said = sign_in(stranger, "first", &first);
    assert!(said.refused(), "{}", said.text);

    // Who changes address and name stays who they are.
    is(&first, |p| with(with(p, "email", json!("kim@elsewhere.example")), "preferred_username", json!("kim")));
    let again = sign_in(stranger, "first", &first);
    assert!(again.signed_in() && again.body["user"] == kim.body["user"], "{}", again.text);
    assert!(stranger.status(&kim).body["roles"] == json!(["engineer"]), "the login before goes on");

    // Forgotten, they are signed out everywhere, and the name is free.
    let forgotten = admin.naru(&["delete", "user", "kim"]);
    assert!(forgotten.status.success(), "{}", String::from_utf8_lossy(&forgotten.stderr));
    assert_eq!(stranger.status(&kim).status, 401, "the login before is over");
    is(&first, |p| with(with(p, "sub", json!("sub-next")), "preferred_username", json!("kim")));
    let next = sign_in(stranger, "first", &first);
    assert!(next.signed_in() && next.body["name"] == "kim" && next.body["user"] != kim.body["user"], "{}", next.text);
    assert_eq!(stranger.status(&kim).status, 401, "and is not the new one's");
}
