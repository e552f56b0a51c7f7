//! Out again: by Keycloak's administrator, by the person, and by one login too many.

use super::*;
use crate::keycloak::Keycloak;
use serde_json::json;

const OUT: &str = "you were signed out at your identity provider";

#[test]
fn an_administrator_of_keycloak_logs_somebody_out() {
    if !Keycloak::wanted() {
        return;
    }
    let acme = Acme::new();
    let (minji, jun) = (acme.signed_in("minji"), acme.signed_in("jun"));
    let (mut shell, mut other) = (minji.shell(), jun.shell());
    let sid = acme.realm.sessions("minji").unwrap()[0]["id"].clone();
    acme.realm.logout("minji").unwrap();
    shell.wait_for(OUT, PATIENCE).unwrap();
    shell.wait().unwrap();
    let event = acme.event("auth.ended", |event| event["actor"]["name"] == "minji");
    assert_eq!((&event["data"]["cause"], &event["data"]["sid"]), (&json!("backchannel"), &sid));
    let out = minji.ssh("true");
    assert!(!out.status.success() && text(&out.stderr).contains(OUT), "{}", text(&out.stderr));
    assert_eq!(minji.here.naru(&["status"]).status.code(), Some(3));
    other.send(b"echo still $((60+6))\n").unwrap();
    other.wait_for("still 66", PATIENCE).unwrap();
    assert_eq!(acme.events("auth.ended").len(), 1);
    assert!(acme.events("auth.logout.refused").is_empty());
    // At once and with the same cookies: whoever is signed in anew stays so.
    for _ in 0..3 {
        minji.must_sign_in();
        minji.must_work();
        let mut shell = minji.shell();
        acme.realm.logout("minji").unwrap();
        shell.wait_for(OUT, PATIENCE).unwrap();
    }
    minji.must_sign_in();
    let mut shell = minji.shell();
    // One of two sessions, by its id; the other computer's goes on.
    let elsewhere = acme.somebody("elsewhere", "minji");
    let here = acme.realm.sessions("minji").unwrap();
    elsewhere.must_sign_in();
    let both = acme.realm.sessions("minji").unwrap();
    assert_eq!((here.len(), both.len()), (1, 2), "{both:?}");
    let login = elsewhere.shell();
    let mine = acme.event("auth.ended", |event| event["data"]["cause"] == "backchannel");
    assert!(mine["data"]["sid"].is_string());
    // By its id: Keycloak counts beginnings in whole seconds, and both may have begun in the same one.
    let theirs = both.iter().find(|session| session["id"] != here[0]["id"]).unwrap()["id"].as_str().unwrap().to_owned();
    acme.realm.end_session(&theirs).unwrap();
    wait("the end of the other computer's login", || (elsewhere.here.naru(&["status"]).status.code() == Some(3)).then_some(()));
    drop(login);
    shell.send(b"echo on $((70+7))\n").unwrap();
    shell.wait_for("on 77", PATIENCE).unwrap();
}

#[test]
fn somebody_logs_out() {
    if !Keycloak::wanted() {
        return;
    }
    let acme = Acme::new();
    let (minji, elsewhere) = (acme.signed_in("minji"), acme.somebody("elsewhere", "minji"));
    elsewhere.must_sign_in();
    let (mut here, mut there) = (minji.shell(), elsewhere.shell());
    assert_eq!(acme.realm.sessions("minji").unwrap().len(), 2);
    let out = minji.here.naru(&["logout", "--json"]);
    let said: Value = serde_json::from_slice(&out.stdout).unwrap_or_else(|_| panic!("{}", text(&out.stderr)));
    assert_eq!((&said["ended"], &said["providers"], &said["browse"]), (&json!(1), &json!([true]), &json!([])), "{said}");
    here.wait_for("you signed out", PATIENCE).unwrap();
    assert_eq!(acme.realm.sessions("minji").unwrap().len(), 1, "Keycloak's own session of this login");
    there.send(b"echo on $((70+7))\n").unwrap();
    there.wait_for("on 77", PATIENCE).unwrap();
    minji.must_sign_in();
    let out = minji.here.naru(&["logout", "--all"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    there.wait_for("you signed out", PATIENCE).unwrap();
    assert!(acme.realm.sessions("minji").unwrap().is_empty());
    assert_eq!(elsewhere.here.naru(&["status"]).status.code(), Some(3));
}

#[test]
fn a_login_anew_leaves_the_shells_of_the_one_before() {
    if !Keycloak::wanted() {
        return;
    }
    let acme = Acme::new();
    let minji = acme.signed_in("minji");
    let mut shell = minji.shell();
    minji.must_sign_in();
    shell.send(b"echo on $((70+7))\n").unwrap();
    shell.wait_for("on 77", PATIENCE).unwrap();
    assert!(acme.events("auth.logout").is_empty(), "what goes on is no logout");
    // The second one has no shell: it ends with the third.
    minji.must_sign_in();
    acme.event("auth.logout", |event| event["actor"]["name"] == "minji");
    assert_eq!(acme.events("auth.logout").len(), 1);
    shell.send(b"echo still $((60+6))\n").unwrap();
    shell.wait_for("still 66", PATIENCE).unwrap();
    minji.must_work();
}

#[test]
fn one_login_too_many() {
    if !Keycloak::wanted() {
        return;
    }
    let acme = Acme::new();
    acme.role("sre", "{max_logins: 2}");
    let computers: Vec<Somebody<'_>> = ["one", "two", "three"].map(|computer| acme.somebody(computer, "minji")).into();
    computers[0].must_sign_in();
    let mut shell = computers[0].shell();
    computers[1].must_sign_in();
    computers[2].must_sign_in();
    shell.wait_for("your role allows no more logins at once", PATIENCE).unwrap();
    let event = acme.event("auth.ended", |event| event["data"]["cause"] == "crowded");
    assert_eq!(event["actor"]["name"], "minji");
    computers[1].must_work();
    computers[2].must_work();
    acme.role("sre", "{max_logins: 2, when_full: newest_refused}");
    let left = computers[0].signs_in(&[]).unwrap();
    assert!(left.code == Some(3) && left.err.contains("allows 2 logins at once"), "{left:?}");
    computers[1].must_work();
    computers[2].must_work();
    // Room is made by signing out.
    assert!(computers[1].here.naru(&["logout"]).status.success());
    computers[0].must_sign_in();
    computers[0].must_work();
}

/// Lets Keycloak's own limiter allow one session of a person, as the last step of signing in with a password.
fn one_session_of_keycloak(acme: &Acme, behavior: &str) {
    let forms = "/authentication/flows/levels%20forms/executions";
    let limiter = || {
        let all = acme.realm.call("GET", forms, None).unwrap();
        all.as_array().unwrap().iter().find(|one| one["providerId"] == "user-session-limits").cloned()
    };
    if limiter().is_none() {
        acme.realm.call("POST", &format!("{forms}/execution"), Some(&json!({"provider": "user-session-limits"}))).unwrap();
    }
    let mut execution = limiter().unwrap();
    let config = json!({"userRealmLimit": "1", "userClientLimit": "0", "behavior": behavior});
    let config = json!({"alias": behavior, "config": config});
    let path = format!("/authentication/executions/{}/config", execution["id"].as_str().unwrap());
    acme.realm.call("POST", &path, Some(&config)).unwrap();
    execution = limiter().unwrap();
    execution["requirement"] = "REQUIRED".into();
    acme.realm.call("PUT", forms, Some(&execution)).unwrap();
}

#[test]
fn a_limit_of_keycloak_s_own() {
    if !Keycloak::wanted() {
        return;
    }
    let acme = Acme::new();
    acme.role("sre", "{max_logins: 2}");
    one_session_of_keycloak(&acme, "Terminate oldest session");
    let (one, two) = (acme.somebody("one", "minji"), acme.somebody("two", "minji"));
    one.must_sign_in();
    let mut shell = one.shell();
    two.must_sign_in();
    shell.wait_for(OUT, PATIENCE).unwrap();
    two.must_work();
    let causes: Vec<Value> = acme.events("auth.ended").into_iter().map(|event| event["data"]["cause"].clone()).collect();
    assert_eq!(causes, ["backchannel"], "Keycloak's word ended it, and Naru had room");
    one_session_of_keycloak(&acme, "Deny new session");
    let said = one.signs_in(&[]).unwrap_err();
    assert!(said.contains("too many sessions"), "{said}");
    two.must_work();
}
