//! What keeps people from signing in, named; a connector that cannot work is not taken; and the other way to be known to Keycloak.

use super::*;
use crate::keycloak::{Curl, Keycloak};

impl Acme {
    /// Exit code and the checks that are not good: name, state and what was found.
    fn doctor(&self) -> (Option<i32>, Vec<String>) {
        let out = self.admin.naru(&["doctor", "oidc", "keycloak", "--json"]);
        let said: Value = serde_json::from_slice(&out.stdout).unwrap_or_else(|_| panic!("{}", text(&out.stderr)));
        let all = said["items"][0]["checks"].as_array().unwrap().clone();
        let word = |check: &Value, name: &str| check[name].as_str().unwrap_or_default().to_owned();
        let not_good = all.iter().filter(|check| check["state"] != "good");
        (
            out.status.code(),
            not_good.map(|check| format!("{} {}: {}", word(check, "name"), word(check, "state"), word(check, "found"))).collect(),
        )
    }
}

#[test]
fn each_usual_mistake_is_named() {
    if !Keycloak::wanted() {
        return;
    }
    let acme = Acme::new();
    assert_eq!(acme.doctor(), (Some(0), Vec::new()));
    let is = |name: &str, contains: &str| {
        let (code, found) = acme.doctor();
        assert_eq!(code, Some(1), "{name}: {found:?}");
        assert!(found.iter().any(|one| one.starts_with(&format!("{name} bad")) && one.contains(contains)), "{name}: {found:?}");
    };
    acme.apply(&acme.connector("").replace("naru-secret", "another-secret")).unwrap();
    is("client", "unauthorized_client");
    acme.apply(&acme.connector("").replace("client_id: naru", "client_id: nara")).unwrap();
    is("client", "nara");
    acme.apply(&acme.connector("").replace("profile, email", "profile, teams")).unwrap();
    is("scopes", "teams");
    acme.apply(&acme.connector("")).unwrap();
    let all = acme.realm.call("GET", "/clients?clientId=naru", None).unwrap()[0]["redirectUris"].clone();
    for missing in ["http://127.0.0.1/", "/v1/oidc/keycloak/callback"] {
        let kept: Vec<&Value> = all.as_array().unwrap().iter().filter(|uri| !uri.as_str().unwrap().contains(missing)).collect();
        acme.realm.set_client("naru", |client| client["redirectUris"] = serde_json::json!(kept)).unwrap();
        is("redirect", missing.trim_end_matches('/'));
    }
    acme.realm.set_client("naru", |client| client["redirectUris"] = all.clone()).unwrap();
    assert_eq!(acme.doctor(), (Some(0), Vec::new()));
    // Its host name was changed after the connector was declared: it says another issuer now.
    acme.realm.set(&serde_json::json!({"attributes": {"frontendUrl": "http://127.0.0.1:9"}})).unwrap();
    is("issuer", "http://127.0.0.1:9");
}

#[test]
fn a_connector_with_another_issuer_than_the_provider_s_changes_nothing() {
    if !Keycloak::wanted() {
        return;
    }
    let acme = Acme::new();
    let before = acme.admin.naru(&["get", "oidc_connector", "keycloak"]).stdout;
    let changes = acme.events("policy.changed").len();
    let issuer = acme.issuer.clone();
    let wrong = [
        (format!("{issuer}/"), "slash at the end"),
        (issuer.replace("127.0.0.1", "localhost"), "the host differs"),
        (format!("{issuer}-other"), "404"),
        ("http://127.0.0.1:9/realms/acme".to_owned(), "cannot be asked"),
    ];
    for (wrong, word) in wrong {
        let said = acme.apply(&acme.connector("refresh: 7s").replace(&issuer, &wrong)).unwrap_err();
        assert!(said.contains(word) && said.contains("Nothing was changed"), "{wrong}: {said}");
    }
    assert_eq!(acme.admin.naru(&["get", "oidc_connector", "keycloak"]).stdout, before);
    assert_eq!(acme.events("policy.changed").len(), changes);
    acme.signed_in("minji").must_work();
}

#[test]
fn a_signed_jwt_instead_of_a_secret() {
    if !Keycloak::wanted() {
        return;
    }
    let acme = Acme::new();
    acme.apply(&acme.connector("private_key_jwt: true").replace("  client_secret: naru-secret\n", "")).unwrap();
    let url = format!("{}/v1/oidc/keycloak/jwks.json", acme.demo.ready("url"));
    let keys = Curl::new(&url).ca(acme.demo.ready("ca").as_ref()).send().unwrap().good().unwrap();
    assert_eq!(keys.json()["keys"].as_array().unwrap().len(), 1, "{}", keys.body);
    acme.realm
        .set_client("naru", |client| {
            client["clientAuthenticatorType"] = "client-jwt".into();
            for (name, value) in [("use.jwks.string", "true"), ("jwks.string", keys.body.as_str()), ("use.jwks.url", "false")] {
                client["attributes"][name] = value.into();
            }
            client["attributes"]["token.endpoint.auth.signing.alg"] = "ES256".into();
        })
        .unwrap();
    assert_eq!(acme.doctor(), (Some(0), Vec::new()));
    let minji = acme.signed_in("minji");
    minji.must_work();
    let out = minji.here.naru(&["logout"]);
    assert!(text(&out.stdout).contains("has ended too"), "{}{}", text(&out.stdout), text(&out.stderr));
    assert!(acme.realm.sessions("minji").unwrap().is_empty());
    // Each question of the device flow has an assertion of its own: Keycloak takes none twice.
    minji.signs_in_by_device();
    minji.must_work();
}
