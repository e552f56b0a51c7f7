//! What Keycloak refuses, so that a test of Naru knows who refused.

use super::*;

#[test]
fn redirects_outside_the_clients_are_refused() {
    if !Keycloak::wanted() {
        return;
    }
    let realm = keycloak().realm(NARU).unwrap();
    let ask = |redirect: &str| Curl::new(&authorization(&realm, redirect, &[])).send().unwrap().status;
    for good in [CALLBACK, "http://127.0.0.1/x", "http://127.0.0.1:65535/x?y=z", "https://127.0.0.1:9/v1/oidc/keycloak/callback"] {
        assert_eq!(ask(good), 200, "{good}");
    }
    let bad = [
        "http://localhost:8/callback",
        "http://[::1]:8/callback",
        "https://127.0.0.1:8/callback",
        "https://127.0.0.1:9/v1/oidc/keycloak/callback?x=1",
        "https://127.0.0.1:9/v1/oidc/other",
        "http://127.0.0.1.evil.example/callback",
        "http://127.0.0.1@evil.example/callback",
    ];
    for bad in bad {
        assert_eq!(ask(bad), 400, "{bad}");
    }
    let event = realm.events().unwrap().swap_remove(0);
    assert_eq!((&event["type"], &event["error"]), (&"LOGIN_ERROR".into(), &"invalid_redirect_uri".into()));
    realm.add_client_redirect("naru", "https://127.0.0.1:8/*").unwrap();
    assert_eq!(ask("https://127.0.0.1:8/callback"), 200);
}

#[test]
fn people_who_may_not() {
    if !Keycloak::wanted() {
        return;
    }
    let realm = keycloak().realm(NARU).unwrap();
    let url = authorization(&realm, CALLBACK, &[]);
    let seen = |person: &Person| Browser::new(keycloak()).unwrap().open(&url, person).unwrap();
    let wrong = Person { password: "wrong".into(), ..Person::of("minji") };
    assert!(matches!(seen(&wrong), Seen::Page(words) if words.contains("Invalid username or password")));
    assert!(matches!(seen(&Person::of("hana")), Seen::Page(words) if words.contains("disabled")));
    realm.delete("jun").unwrap();
    assert!(matches!(seen(&Person::of("jun")), Seen::Page(words) if words.contains("Invalid username or password")));
}

#[test]
fn what_was_used_is_dead() {
    if !Keycloak::wanted() {
        return;
    }
    let realm = keycloak().realm(NARU).unwrap();
    let browser = Browser::new(keycloak()).unwrap();
    let Seen::Left(url) = browser.open(&authorization(&realm, CALLBACK, &[]), &Person::of("minji")).unwrap() else { panic!() };
    let code = query_value(&url, "code").unwrap();
    let first = redeem(&realm, &code);
    let second = refresh(&realm, &first["refresh_token"]);
    assert!(second["refresh_token"].is_string(), "{second}");
    assert_eq!(refresh(&realm, &first["refresh_token"])["error"], "invalid_grant", "a rotated refresh token");
    assert_eq!(redeem(&realm, &code)["error"], "invalid_grant", "a code used twice");
    let without = authorization(&realm, CALLBACK, &[]).replace("code_challenge", "x");
    let answer = Curl::new(&without).send().unwrap();
    let back = answer.header("location").unwrap();
    assert_eq!(query_value(back, "error").as_deref(), Some("invalid_request"), "no PKCE: {back}");
}
