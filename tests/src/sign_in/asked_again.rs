//! What changes at Keycloak without a word of it to Naru counts at the next refresh; and a Keycloak that is down.

use super::*;
use crate::keycloak::Keycloak;
use serde_json::json;

fn no_back_channel(acme: &Acme) {
    acme.realm.set_client_attribute("naru", "backchannel.logout.url", "").unwrap();
}

#[test]
fn a_person_who_is_moved_or_disabled() {
    if !Keycloak::wanted() {
        return;
    }
    let acme = Acme::with("refresh: 5s");
    no_back_channel(&acme);
    let (minji, jun) = (acme.signed_in("minji"), acme.signed_in("jun"));
    let mut shell = minji.shell();
    acme.realm.leave("minji", "/platform/sre").unwrap();
    let said = shell.wait_for("NARU-P", PATIENCE).unwrap();
    assert!(said.contains("no role of minji"), "{said}");
    let event = acme.event("auth.changed", |event| event["actor"]["name"] == "minji");
    assert_eq!((&event["data"]["lost"], &event["data"]["gained"]), (&json!(["sre"]), &json!([])), "{event}");
    let out = minji.ssh("true");
    assert!(text(&out.stderr).contains("NARU-P203"), "{}", text(&out.stderr));
    assert!(minji.roles().is_empty());
    acme.realm.join("minji", "/product/shop").unwrap();
    wait("the other role", || (minji.roles() == ["developer because groups: /product/shop"]).then_some(()));
    acme.realm.join("minji", "/platform/sre").unwrap();
    wait("both roles", || (minji.roles().len() == 2).then_some(()));
    minji.must_work();

    let (mut shell, mut other) = (minji.shell(), jun.shell());
    acme.realm.disable("minji").unwrap();
    shell.wait_for("your identity provider ended this login", PATIENCE).unwrap();
    let event = acme.event("auth.ended", |event| event["actor"]["name"] == "minji");
    assert_eq!(event["data"]["cause"], "provider", "{event}");
    let out = minji.ssh("true");
    assert!(text(&out.stderr).contains("your identity provider ended this login"), "{}", text(&out.stderr));
    let said = minji.signs_in(&[]).unwrap_err();
    assert!(said.contains("disabled"), "{said}");
    // A session that Keycloak's administrator ends is found out too.
    acme.realm.logout("jun").unwrap();
    other.wait_for("your identity provider ended this login", PATIENCE).unwrap();
    acme.realm.enable("minji").unwrap();
    minji.must_sign_in();
    minji.must_work();
    assert!(acme.events("provider.failed").is_empty());
}

#[test]
fn a_keycloak_that_is_down() {
    if !Keycloak::wanted() {
        return;
    }
    let (acme, wire) = Acme::by_wire("refresh: 5s");
    let minji = acme.signed_in("minji");
    let mut shell = minji.shell();
    // It goes down between the page where somebody signs in and the exchange of the code.
    let jun = acme.somebody("jun", "jun");
    let login = jun.begins(&[]);
    let Seen::Left(back) = jun.browser.open(&jun.opener.address().unwrap(), &jun.at_keycloak).unwrap() else { panic!() };
    wire.cut();
    let page = jun.browser.visit(&back).unwrap().body;
    assert!(page.contains("Not signed in") && page.contains("NARU-A120"), "{page}");
    let left = login.end();
    assert!(left.code == Some(7) && left.err.contains("NARU-A120"), "{left:?}");
    let event = acme.event("provider.failed", |_| true);
    assert_eq!(event["data"]["connector"], "keycloak", "{event}");
    let asked = wire.asked();
    wait("more questions", || (wire.asked() > asked).then_some(()));
    shell.send(b"echo on $((70+7))\n").unwrap();
    shell.wait_for("on 77", PATIENCE).unwrap();
    minji.must_work();
    wire.mend();
    acme.event("provider.recovered", |event| event["data"]["connector"] == "keycloak");
    assert_eq!(acme.events("provider.failed").len(), 1);
    minji.must_work();

    acme.apply(&acme.connector("refresh: 5s\noutage: 6s")).unwrap();
    wire.cut();
    shell.wait_for("your identity provider could not be asked about you since", PATIENCE).unwrap();
    let event = acme.event("auth.ended", |_| true);
    assert_eq!(event["data"]["cause"], "outage", "{event}");
    assert_eq!(minji.here.naru(&["status"]).status.code(), Some(3));
    wire.mend();
    minji.must_sign_in();
    minji.must_work();
}
