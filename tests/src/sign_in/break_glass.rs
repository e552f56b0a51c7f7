//! The way in that needs no Keycloak.

use super::*;
use crate::keycloak::Keycloak;
use serde_json::json;

#[test]
fn a_link_made_on_the_server_while_keycloak_is_down() {
    if !Keycloak::wanted() {
        return;
    }
    let (acme, wire) = Acme::by_wire("");
    acme.role("sre", "{recording: off}");
    let minji = acme.signed_in("minji");
    minji.must_work();
    assert!(minji.here.naru(&["logout"]).status.success());
    wire.cut();
    let state = acme.demo.state();
    let break_glass = |words: &[&str]| acme.demo.naru(&["break-glass", "--state", &state.to_string_lossy()]).args(words).output().unwrap();
    let out = break_glass(&["minji"]);
    assert!(out.status.code() == Some(2) && text(&out.stderr).contains("--reason"), "{}", text(&out.stderr));
    let out = break_glass(&["nobody", "--reason", "x"]);
    assert!(out.status.code() == Some(1) && text(&out.stderr).contains("there is no nobody"), "{}", text(&out.stderr));
    let out = break_glass(&["minji", "--reason", "Keycloak is down, INC-123", "--json"]);
    let said: Value = serde_json::from_slice(&out.stdout).unwrap_or_else(|_| panic!("{}", text(&out.stderr)));
    let link = said["link"].as_str().unwrap();
    let made = acme.event("auth.break_glass", |_| true);
    assert_eq!((&made["data"]["user"], &made["data"]["reason"]), (&json!("minji"), &json!("Keycloak is down, INC-123")));
    assert_eq!(made["severity"], "critical", "{made}");

    let out = minji.here.naru(&["login", "--link", link]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let status = minji.status();
    assert_eq!((&status["name"], &status["roles"], &status["login"]["method"]), (&json!("minji"), &json!(["sre"]), &json!("break_glass")));
    minji.must_config();
    assert_eq!(text(&minji.ssh("echo seen by olga").stdout), "seen by olga\n");
    let id = crate::recordings::newest(&acme.olga);
    let row = crate::recordings::ended(&acme.olga, &id);
    assert_eq!(row["user"], "minji", "{row}");
    assert!(text(&crate::recordings::cast(&acme.olga, &id)).contains("seen by olga"));
    let used = acme.event("auth.login", |event| event["data"]["method"] == "break_glass");
    assert_eq!(used["severity"], "critical", "{used}");

    let out = acme.demo.person("thief").unwrap().naru(&["login", "--link", link]);
    assert!(out.status.code() == Some(3) && text(&out.stderr).contains("refused"), "{:?} {}", out.status, text(&out.stderr));
    minji.must_work();
    let log = text(&std::fs::read(acme.demo.folder().join("demo.log")).unwrap());
    assert!(!log.contains(link), "the link is in the log");
}
