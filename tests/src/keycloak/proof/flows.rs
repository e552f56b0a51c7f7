//! Flows that end well.

use super::*;
use serde_json::json;

#[test]
fn code_with_pkce() {
    if !Keycloak::wanted() {
        return;
    }
    let realm = keycloak().realm(NARU).unwrap();
    let browser = Browser::new(keycloak()).unwrap();
    let seen = browser.open(&authorization(&realm, CALLBACK, &[]), &Person::of("minji")).unwrap();
    let Seen::Left(url) = seen else { panic!("{seen:?}") };
    assert!(url.starts_with(CALLBACK), "{url}");
    assert_eq!(query_value(&url, "state").as_deref(), Some("a-state"));
    assert_eq!(query_value(&url, "iss"), Some(realm.issuer()));
    let tokens = redeem(&realm, &query_value(&url, "code").unwrap());
    let id = claims(&tokens["id_token"]);
    assert_eq!(id["iss"], realm.issuer());
    assert_eq!((&id["aud"], &id["azp"], &id["nonce"]), (&json!("naru"), &json!("naru"), &json!("a-nonce")));
    assert_eq!((&id["groups"], &id["preferred_username"]), (&json!(["/platform/sre"]), &json!("minji")));
    assert_eq!(id["sub"], realm.user("minji").unwrap());
    assert_eq!(id["sid"], realm.sessions("minji").unwrap()[0]["id"]);
    assert!(id["auth_time"].is_u64() && id["realm_access"]["roles"].is_array(), "{id}");
    // Signed in already: the second time nothing is asked.
    let nobody = Person { name: "nobody".into(), password: String::new(), totp: None };
    assert!(matches!(browser.open(&authorization(&realm, CALLBACK, &[]), &nobody).unwrap(), Seen::Left(_)));
}

#[test]
fn levels_and_roles() {
    if !Keycloak::wanted() {
        return;
    }
    let realm = keycloak().realm(NARU).unwrap();
    let id = claims(&sign_in(&realm, "sora")["id_token"]);
    let roles = &id["realm_access"]["roles"];
    assert!(roles.as_array().unwrap().contains(&json!("security-officer")), "{roles}");
    assert_eq!(id["acr"], "1");
    // The password first; then, for level 2, only the one-time code is asked for.
    let browser = Browser::new(keycloak()).unwrap();
    let signed_in = |more: &[(&str, &str)], person: &Person| {
        let seen = browser.open(&authorization(&realm, CALLBACK, more), person).unwrap();
        let Seen::Left(url) = seen else { panic!("{seen:?}") };
        claims(&redeem(&realm, &query_value(&url, "code").unwrap())["id_token"])
    };
    let taeho = Person::of("taeho");
    let first = signed_in(&[], &taeho);
    assert_eq!((&first["acr"], &first["groups"]), (&json!("1"), &json!(["/platform/sre"])));
    let wrong_code = Person { totp: Some(b"another secret".to_vec()), ..taeho.clone() };
    let url = authorization(&realm, CALLBACK, &[("acr_values", "2")]);
    let seen = browser.open(&url, &wrong_code).unwrap();
    assert!(matches!(&seen, Seen::Page(words) if words.contains("Invalid authenticator code")), "{seen:?}");
    let code_only = Person { password: String::new(), ..taeho.clone() };
    let second = signed_in(&[("acr_values", "2")], &code_only);
    assert_eq!((&second["acr"], &second["sid"]), (&json!("2"), &first["sid"]));
    // A person without a one-time code cannot get there.
    let seen = Browser::new(keycloak()).unwrap().open(&url, &Person::of("minji")).unwrap();
    assert!(matches!(&seen, Seen::Page(words) if words.contains("Mobile Authenticator Setup")), "{seen:?}");
    // A sign-in that is too old is asked for again, and `auth_time` tells.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let third = signed_in(&[("max_age", "0")], &taeho);
    assert!(third["auth_time"].as_u64() > first["auth_time"].as_u64(), "{first} {third}");
}

#[test]
fn device() {
    if !Keycloak::wanted() {
        return;
    }
    let realm = keycloak().realm(NARU).unwrap();
    let begin = |more: &[(&str, &str)]| {
        let fields: Vec<_> = [("scope", "openid")].iter().chain(more).copied().collect();
        Curl::new(&realm.endpoint("auth/device")).basic("naru", "naru-secret").form(&fields).send().unwrap().json()
    };
    let poll = |begun: &Value| {
        let grant = "urn:ietf:params:oauth:grant-type:device_code";
        tokens(&realm, &[("grant_type", grant), ("device_code", begun["device_code"].as_str().unwrap()), ("code_verifier", VERIFIER)])
    };
    // A client that demands PKCE demands it here as well.
    assert_eq!(begin(&[])["error"], "invalid_request");
    let challenge = challenge();
    let pkce = [("code_challenge", challenge.as_str()), ("code_challenge_method", "S256")];
    let begun = begin(&pkce);
    assert_eq!(poll(&begun)["error"], "authorization_pending");
    let browser = Browser::new(keycloak()).unwrap();
    let code = begun["user_code"].as_str().unwrap();
    let seen = browser.enter_code(begun["verification_uri"].as_str().unwrap(), code, &Person::of("jun")).unwrap();
    assert!(matches!(&seen, Seen::Page(words) if words.contains("Successful")), "{seen:?}");
    let mut answer = poll(&begun);
    while answer["error"] == "slow_down" {
        std::thread::sleep(std::time::Duration::from_millis(1100));
        answer = poll(&begun);
    }
    assert_eq!(claims(&answer["id_token"])["preferred_username"], "jun");

    let begun = begin(&pkce);
    let url = begun["verification_uri_complete"].as_str().unwrap();
    let refusing = Browser::new(keycloak()).unwrap().refusing();
    let seen = refusing.open(url, &Person::of("jun")).unwrap();
    assert!(matches!(&seen, Seen::Page(words) if words.contains("denied") || words.contains("Failed")), "{seen:?}");
    assert_eq!(poll(&begun)["error"], "access_denied");
}

#[test]
fn refresh_tells_of_changes() {
    if !Keycloak::wanted() {
        return;
    }
    let realm = keycloak().realm(NARU).unwrap();
    let first = sign_in(&realm, "minji");
    realm.leave("minji", "/platform/sre").unwrap();
    realm.join("minji", "/product/shop").unwrap();
    realm.realm_role("POST", "minji", "developer").unwrap();
    let second = refresh(&realm, &first["refresh_token"]);
    let id = claims(&second["id_token"]);
    assert_eq!(id["groups"], json!(["/product/shop"]));
    assert!(id["realm_access"]["roles"].as_array().unwrap().contains(&json!("developer")), "{id}");
    realm.disable("minji").unwrap();
    assert_eq!(refresh(&realm, &second["refresh_token"])["error"], "invalid_grant");
    realm.enable("minji").unwrap();
    // A new key signs, and the old one stays known.
    let old = sign_in(&realm, "minji");
    realm.rotate_keys().unwrap();
    let new = sign_in(&realm, "minji");
    let kid = |token: &Value| {
        let head = token.as_str().unwrap().split('.').next().unwrap().to_owned();
        serde_json::from_slice::<Value>(&BASE64.decode(head).unwrap()).unwrap()["kid"].clone()
    };
    assert_ne!(kid(&old["id_token"]), kid(&new["id_token"]));
    let keys = Curl::new(&realm.endpoint("certs")).send().unwrap().json();
    let known: Vec<&Value> = keys["keys"].as_array().unwrap().iter().map(|key| &key["kid"]).collect();
    assert!(known.contains(&&kid(&old["id_token"])) && known.contains(&&kid(&new["id_token"])));
}

#[test]
fn a_machine() {
    if !Keycloak::wanted() {
        return;
    }
    let realm = keycloak().realm(NARU).unwrap();
    let request = Curl::new(&realm.endpoint("token")).basic("ci-bot", "ci-bot-secret");
    let token = claims(&request.form(&[("grant_type", "client_credentials")]).send().unwrap().json()["access_token"]);
    assert!(token["aud"].as_array().unwrap().contains(&json!("naru-bots")), "{token}");
    assert_eq!((&token["azp"], &token["preferred_username"]), (&json!("ci-bot"), &json!("service-account-ci-bot")));
}
