//! A machine with Keycloak's client credentials.

use super::*;
use crate::keycloak::{Curl, Keycloak};
use crate::refused_sign_ins::says;

fn token(acme: &Acme) -> String {
    let request = Curl::new(&acme.realm.endpoint("token")).basic("ci-bot", "ci-bot-secret");
    let answer = request.form(&[("grant_type", "client_credentials")]).send().unwrap().json();
    answer["access_token"].as_str().unwrap().to_owned()
}

#[test]
fn a_service_account_signs_in_and_a_person_does_not() {
    if !Keycloak::wanted() {
        return;
    }
    let acme = Acme::new();
    let bot = format!(
        "kind: bot\nname: ci\nspec:\n  issuer: {}\n  audience: naru-bots\n  claims: {{azp: [ci-bot]}}\n  roles: [developer]\n",
        acme.issuer
    );
    acme.apply(&bot).unwrap();
    let ci = acme.demo.person("ci").unwrap();
    let file = ci.home().join("token");
    let login = |token: &str| {
        std::fs::write(&file, token).unwrap();
        let words = ["login", acme.demo.ready("url"), "--ca-pin", acme.pin(), "--bot", "ci", "--token-file"];
        ci.naru(&[&words[..], &[&file.to_string_lossy()]].concat())
    };
    let out = login(&token(&acme));
    assert!(out.status.success(), "{}", text(&out.stderr));
    let out = ci.naru(&["ssh", "demo", "--", "echo a job"]);
    assert_eq!(text(&out.stdout), "a job\n", "{}", text(&out.stderr));
    let event = acme.event("auth.login", |event| event["data"]["method"] == "bot");
    assert_eq!(event["actor"]["name"], "ci", "{event}");
    let out = ci.naru(&["login", acme.demo.ready("url"), "--bot", "ci", "--token-file", "/dev/null"]);
    assert_eq!(out.status.code(), Some(2), "{}", text(&out.stderr));

    // A person's tokens: of this realm, but for another audience and of another client.
    acme.realm
        .set_client("naru", |client| {
            client["directAccessGrantsEnabled"] = true.into();
        })
        .unwrap();
    let fields = [("grant_type", "password"), ("scope", "openid"), ("username", "minji"), ("password", "minji-password")];
    let person = Curl::new(&acme.realm.endpoint("token")).basic("naru", "naru-secret").form(&fields).send().unwrap().json();
    for kind in ["access_token", "id_token"] {
        let out = login(person[kind].as_str().unwrap_or_else(|| panic!("{person}")));
        assert!(matches!(out.status.code(), Some(3 | 4)), "{kind}: {:?} {}", out.status, text(&out.stderr));
        assert!(text(&out.stderr).contains("NARU-A128"), "{kind}: {}", text(&out.stderr));
    }
    let refused = acme.events("auth.login.failed");
    let words: Vec<_> = refused.iter().zip(["audience", "typ"]).map(|(event, word)| says(event, word)).collect();
    assert_eq!(words, [true, true], "{refused:?}");
}
