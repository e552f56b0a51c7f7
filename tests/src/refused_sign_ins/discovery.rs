//! What a provider says of itself when a connector to it is declared, and what a connector may not say: both are refused with a
//! sentence, and what was declared before stays.

use super::{apply, connector, events, says};
use crate::harness::{Demo, Person};
use crate::issuer::http::{Answer, Body};
use crate::issuer::script::{Change, Endpoint, Script, with, without};
use crate::issuer::{Issuer, Provider};
use crate::recordings::wait;
use crate::stranger::Door;
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::sync::Mutex;

/// A line: a name, a part of the sentence that refuses, and what is changed.
struct Case {
    name: &'static str,
    sentence: &'static str,
    script: Script,
    /// What the declaration is changed to; told the issuer.
    declared: fn(&str) -> String,
}

fn document(name: &'static str, sentence: &'static str, edit: fn(Value) -> Value) -> Case {
    let script = Script { discovery: Endpoint { edit, instead: None }, ..Script::default() };
    Case { name, sentence, script, declared: str::to_owned }
}

fn instead(name: &'static str, sentence: &'static str, instead: fn(&str) -> Answer) -> Case {
    let script = Script { discovery: Endpoint { instead: Some(instead), ..Endpoint::default() }, ..Script::default() };
    Case { name, sentence, script, declared: str::to_owned }
}

fn declared(name: &'static str, sentence: &'static str, declared: fn(&str) -> String) -> Case {
    Case { name, sentence, script: Script::default(), declared }
}

fn documents() -> Vec<Case> {
    let elsewhere = "is on another host";
    vec![
        document("issuer-other", "calls itself", |d| with(d, "issuer", json!("https://accounts.example.com"))),
        document("issuer-slash", "calls itself", |d| {
            let slash = json!(format!("{}/", d["issuer"].as_str().unwrap()));
            with(d, "issuer", slash)
        }),
        document("issuer-absent", "`issuer`", |d| without(d, "issuer")),
        document("issuer-number", "`issuer`", |d| with(d, "issuer", json!(1))),
        document("token-elsewhere", elsewhere, |d| with(d, "token_endpoint", json!("http://127.0.0.2:1/token"))),
        document("keys-elsewhere", elsewhere, |d| with(d, "jwks_uri", json!("http://127.0.0.2:1/keys"))),
        document("browser-elsewhere", elsewhere, |d| with(d, "authorization_endpoint", json!("https://evil.example/"))),
        document("device-elsewhere", elsewhere, |d| with(d, "device_authorization_endpoint", json!("https://evil.example/"))),
        document("userinfo-elsewhere", elsewhere, |d| with(d, "userinfo_endpoint", json!("https://evil.example/"))),
        document("logout-elsewhere", elsewhere, |d| with(d, "end_session_endpoint", json!("https://evil.example/"))),
        document("revoke-elsewhere", elsewhere, |d| with(d, "revocation_endpoint", json!("https://evil.example/"))),
        Case {
            declared: |issuer| {
                format!(
                    "{issuer}
  endpoint_hosts: [sso.example.com]"
                )
            },
            ..document("token-plain", "is http", |d| with(d, "token_endpoint", json!("http://sso.example.com/token")))
        },
        document("token-file", "begins with neither", |d| with(d, "token_endpoint", json!("file:///etc/passwd"))),
        document("token-user", "user name or password", |d| with(d, "token_endpoint", json!("http://127.0.0.1@evil.example/"))),
        document("token-absent", "`token_endpoint`", |d| without(d, "token_endpoint")),
        document("token-number", "`token_endpoint`", |d| with(d, "token_endpoint", json!(1))),
        document("keys-absent", "`jwks_uri`", |d| without(d, "jwks_uri")),
        document("secrets-only", "no algorithm that is accepted", |d| {
            with(d, "id_token_signing_alg_values_supported", json!(["HS256", "none"]))
        }),
        document("implicit-only", "authorization code flow", |d| with(d, "response_types_supported", json!(["id_token"]))),
        document("document-list", "discovery document", |d| json!([d])),
        instead("document-page", "discovery document", |_| Answer::page(200)),
        instead("document-empty", "discovery document", |_| Answer::odd(Body::Whole(Vec::new()))),
        instead("document-404", "404", |_| Answer::page(404)),
        instead("document-500", "500", |_| Answer::page(500)),
        instead("document-302", "302", |issuer| Answer::redirect(302, format!("{issuer}/elsewhere"))),
        instead("document-endless", "cannot be asked", |_| Answer::odd(Body::Spaces(1 << 30))),
        instead("document-silent", "cannot be asked", |_| Answer::odd(Body::Silence)),
    ]
}

fn declarations() -> Vec<Case> {
    vec![
        declared("plain", "https", |_| "http://sso.example.com/realms/acme".into()),
        declared("plain-lan", "https", |_| "http://10.0.0.1/realms/acme".into()),
        declared("query", "no ? and no #", |issuer| format!("{issuer}?x=y")),
        declared("fragment", "no ? and no #", |issuer| format!("'{issuer}#x'")),
        declared("no-url", "https", |_| "sso.example.com".into()),
        declared("metadata", "https", |_| "http://169.254.169.254/latest".into()),
        // Nobody listens at port 1.
        declared("nobody", "cannot be asked", |_| "http://127.0.0.1:1/realms/acme".into()),
    ]
}

fn declare(admin: &Person, case: &Case, issuer: &Issuer) -> Result<(), String> {
    let said = apply(admin, case.name, &connector(case.name, &(case.declared)(&issuer.url), ""));
    match said {
        Ok(()) => Err(format!("{}: was accepted", case.name)),
        Err(said) if !said.contains(case.sentence) => Err(format!("{}: not {:?} but {said}", case.name, case.sentence)),
        Err(_) if issuer.asked("other") + issuer.asked("token") > 0 => Err(format!("{}: asked elsewhere", case.name)),
        Err(_) if issuer.asked("discovery") > 1 => Err(format!("{}: asked {} times", case.name, issuer.asked("discovery"))),
        Err(_) if issuer.sent() > 16 << 20 => Err(format!("{}: took {} bytes", case.name, issuer.sent())),
        Err(_) => Ok(()),
    }
}

#[test]
fn a_provider_that_misdescribes_itself_is_not_declared() {
    let demo = Demo::start(&[]).unwrap();
    let (admin, provider) = (demo.sign_in("admin").unwrap(), Provider::start());
    let cases: Vec<Case> = documents().into_iter().chain(declarations()).collect();
    let wrong = Mutex::new(Vec::new());
    // Those that wait for a silent provider wait together.
    std::thread::scope(|scope| {
        for case in &cases {
            let issuer = provider.issuer_with(case.name, case.script);
            let (admin, wrong) = (&admin, &wrong);
            scope.spawn(move || wrong.lock().unwrap().extend(declare(admin, case, &issuer).err()));
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    let out = admin.naru(&["get", "oidc_connector", "--json"]);
    assert!(String::from_utf8_lossy(&out.stdout).contains("\"items\":[]"), "{}", String::from_utf8_lossy(&out.stdout));
    assert!(!demo.log().contains("panicked"));
}

#[test]
fn a_declaration_that_is_refused_changes_nothing() {
    let demo = Demo::start(&[]).unwrap();
    let (admin, door, provider) = (demo.sign_in("admin").unwrap(), Door::of(&demo), Provider::start());
    let (good, bad) = (provider.issuer("good"), provider.issuer("bad"));
    bad.set(Script { discovery: Endpoint { edit: |d| without(d, "jwks_uri"), instead: None }, ..Script::default() });
    apply(&admin, "one", &connector("one", &good.url, "")).unwrap();
    let said = apply(&admin, "two", &connector("one", &bad.url, "")).unwrap_err();
    assert!(said.contains("`jwks_uri`"), "{said}");
    let stranger = door.from(Ipv4Addr::LOCALHOST);
    let attempt = stranger.begin("one").unwrap();
    let said = stranger.finish(&attempt, &good.authorize(&attempt.browse).written());
    assert!(said.signed_in() && said.body["user"] == format!("{}|sub-good", good.url), "{}", said.text);
    assert_eq!(bad.asked("authorize") + bad.asked("token"), 0);
}

#[test]
fn a_provider_that_turned_is_not_used_after_a_start() {
    let mut demo = Demo::start(&[]).unwrap();
    let (admin, provider) = (demo.sign_in("admin").unwrap(), Provider::start());
    let turned: [(&str, Change<Value>); 4] = [
        ("turned-other", |d| with(d, "issuer", json!("https://accounts.example.com"))),
        ("turned-elsewhere", |d| with(d, "token_endpoint", json!("https://evil.example/token"))),
        ("turned-keys", |d| with(d, "jwks_uri", json!("http://127.0.0.2:1/keys"))),
        ("turned-secrets", |d| with(d, "id_token_signing_alg_values_supported", json!(["HS256"]))),
    ];
    let all: String = turned.iter().map(|(name, _)| connector(name, &provider.issuer(name).url, "")).collect();
    apply(&admin, "all", &all).unwrap();
    assert!(demo.end().is_some_and(|status| status.success()));
    for (name, edit) in turned {
        provider.known(name).set(Script { discovery: Endpoint { edit, instead: None }, ..Script::default() });
    }
    demo.start_again().unwrap();
    let (olga, door) = (demo.sign_in("olga").unwrap(), Door::of(&demo));
    for (name, _) in turned {
        let said = door.from(Ipv4Addr::LOCALHOST).begin(name).err().unwrap_or_else(|| panic!("{name} began"));
        assert!(said.refused(), "{name}: {}", said.text);
        // Set right, it is used again, without a word of the administrator; a moment after, since a failure is not asked about at once.
        provider.known(name).set(Script::default());
        wait(name, || door.from(Ipv4Addr::LOCALHOST).begin(name).ok());
    }
    let told = events(&olga, "auth.login.failed").iter().filter(|event| says(event, "discovery")).count();
    assert!(told >= turned.len(), "{told}");
}
