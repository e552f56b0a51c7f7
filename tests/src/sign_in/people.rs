//! Who people are by what Keycloak says of them, and what they reach with it.

use super::*;
use crate::keycloak::Keycloak;
use serde_json::json;

#[test]
fn a_group_gives_a_role_and_the_role_a_login() {
    if !Keycloak::wanted() {
        return;
    }
    let acme = Acme::new();
    let minji = acme.signed_in("minji");
    let status = minji.status();
    assert_eq!((&status["name"], &status["roles"]), (&json!("minji"), &json!(["sre"])));
    assert_eq!(status["given"], json!([{"role": "sre", "why": ["groups: /platform/sre"]}]));
    assert_eq!((&status["login"]["method"], &status["login"]["connector"]), (&json!("oidc"), &json!("keycloak")));
    assert_eq!(text(&minji.ssh("id -un").stdout).trim(), account());
    let out = minji.here.naru(&["ssh", "demo", "--", "id -un"]);
    assert_eq!(text(&out.stdout).trim(), account(), "{}", text(&out.stderr));
    let event = acme.event("auth.login", |event| event["actor"]["name"] == "minji");
    assert_eq!((&event["data"]["method"], &event["data"]["flow"]), (&json!("oidc"), &json!("browser")), "{event}");
    // A second look at the same provider: no password is asked, and nothing of the first login is left.
    minji.must_sign_in();
    minji.must_work();

    assert_eq!(acme.signed_in("taeho").roles(), ["sre because groups: /platform/sre"]);
    assert_eq!(acme.signed_in("jun").roles(), ["developer because groups: /product/shop"]);
    let sora = acme.signed_in("sora");
    assert_eq!(sora.roles(), ["auditor because realm_access.roles: security-officer"]);
    let refused = sora.ssh("true");
    assert!(refused.status.code() == Some(255) && text(&refused.stderr).contains("NARU-P"), "{}", text(&refused.stderr));
    assert!(sora.here.naru(&["sessions", "ls"]).status.success());
    let said = acme.somebody("hana", "hana").signs_in(&[]).unwrap_err();
    assert!(said.contains("disabled"), "{said}");
}

#[test]
fn a_claim_gives_a_trait_and_the_trait_a_login() {
    if !Keycloak::wanted() {
        return;
    }
    let acme = Acme::with("traits: {logins: unix_login}");
    let config = json!({"claim.name": "unix_login", "claim.value": account(), "id.token.claim": "true", "userinfo.token.claim": "true"});
    let mapper =
        json!({"name": "unix login", "protocol": "openid-connect", "protocolMapper": "oidc-hardcoded-claim-mapper", "config": config});
    let client = acme.realm.call("GET", "/clients?clientId=naru", None).unwrap();
    let path = format!("/clients/{}/protocol-mappers/models", client[0]["id"].as_str().unwrap());
    acme.realm.call("POST", &path, Some(&mapper)).unwrap();
    let role = "kind: role\nname: sre\nspec:\n  allow:\n    ssh:\n      - {labels: {'*': ['*']}, logins: ['{{logins}}']}\n";
    acme.apply(role).unwrap();
    acme.signed_in("minji").must_work();
}

#[test]
fn keycloak_signs_with_another_key() {
    if !Keycloak::wanted() {
        return;
    }
    let acme = Acme::with("refresh: 5s");
    let minji = acme.signed_in("minji");
    let mut shell = minji.shell();
    // Its keys were asked for a moment ago, and are not again so soon for a key that nobody knows.
    std::thread::sleep(std::time::Duration::from_secs(31));
    acme.realm.rotate_keys().unwrap();
    acme.signed_in("jun").must_work();
    let before = minji.status()["login"]["refreshed"].clone();
    wait("a refresh", || (minji.status()["login"]["refreshed"] != before).then_some(()));
    acme.realm.logout("minji").unwrap();
    shell.wait_for("you were signed out at your identity provider", PATIENCE).unwrap();
}
