//! Many at once: begun sign-ins that nobody finishes, tokens whose key nobody has. Memory stays bounded, the provider is left in
//! peace, and everybody else signs in.

use super::{apply, connector, resident};
use crate::harness::Demo;
use crate::issuer::form::Form;
use crate::issuer::script::Script;
use crate::issuer::token::Token;
use crate::issuer::{CLIENT, Issuer, Provider};
use crate::stranger::{Door, Stranger};
use serde_json::json;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Begins so many sign-ins over one connection, and says how often each status was answered.
fn begin_many(stranger: Stranger<'_>, wish: &serde_json::Value, many: usize) -> BTreeMap<String, usize> {
    let file = std::env::temp_dir().join(format!("naru-wish-{}-{}", std::process::id(), stranger.address));
    std::fs::write(&file, wish.to_string()).unwrap();
    let data = format!("@{}", file.display());
    let words = ["-o", "/dev/null", "-w", "%{http_code}\n", "-H", "Content-Type: application/json", "--data-binary", &data];
    let out = stranger.curl(&format!("/v1/sign-in/begin?[1-{many}]"), &words).args(["--max-time", "600"]).output().unwrap();
    std::fs::remove_file(file).unwrap();
    let mut answers = BTreeMap::new();
    String::from_utf8_lossy(&out.stdout).lines().for_each(|status| *answers.entry(status.to_owned()).or_default() += 1);
    answers
}

fn signs_in(stranger: Stranger<'_>, issuer: &Issuer) {
    let attempt = stranger.begin("idp").unwrap_or_else(|said| panic!("{} {}", said.status, said.text));
    let said = stranger.finish(&attempt, &issuer.authorize(&attempt.browse).written());
    assert!(said.signed_in(), "{}", said.text);
}

#[test]
fn ten_thousand_begun_sign_ins_are_bounded() {
    let demo = Demo::start(&[]).unwrap();
    let (admin, door, provider) = (demo.sign_in("admin").unwrap(), Door::of(&demo), Provider::start());
    let issuer = provider.issuer("idp");
    apply(&admin, "idp", &connector("idp", &issuer.url, "")).unwrap();
    let someone = |host| door.from(Ipv4Addr::new(127, 3, 0, host));
    signs_in(someone(1), &issuer);
    let (before, asked) = (resident(demo.pid()), issuer.counts());
    // One address, and then forty: neither of them shuts others out.
    let wish = someone(2).wish("idp", "v");
    let answers = begin_many(someone(2), &wish, 10_000);
    assert_eq!(answers.values().sum::<usize>(), 10_000, "{answers:?}");
    let refused = answers.get("429").copied().unwrap_or(0);
    assert!(refused > 9000 && answers.get("200").is_some_and(|begun| *begun > 0), "{answers:?}");
    signs_in(someone(3), &issuer);
    for host in 10..50 {
        begin_many(someone(host), &wish, 250);
    }
    signs_in(someone(3), &issuer);
    let grown = resident(demo.pid()).saturating_sub(before);
    assert!(grown < 32 << 20, "the proxy grew by {grown} bytes");
    // To begin with a browser asks the provider nothing.
    assert_eq!((issuer.asked("keys"), issuer.asked("discovery")), (asked["keys"], asked["discovery"]));
    assert!(!demo.log().contains("panicked"));
}

#[test]
fn a_flood_of_device_sign_ins_does_not_reach_the_provider() {
    let demo = Demo::start(&[]).unwrap();
    let (admin, door, provider) = (demo.sign_in("admin").unwrap(), Door::of(&demo), Provider::start());
    let issuer = provider.issuer("idp");
    apply(&admin, "idp", &connector("idp", &issuer.url, "")).unwrap();
    let someone = |host| door.from(Ipv4Addr::new(127, 4, 0, host));
    let mut wish = someone(1).wish("idp", "v");
    wish["flow"] = json!("device");
    wish["redirect"] = json!(null);
    let answers = begin_many(someone(1), &wish, 2000);
    assert!(answers.get("429").copied().unwrap_or(0) >= 1800, "{answers:?}");
    assert!(issuer.asked("device") <= 200, "the provider was asked {} times", issuer.asked("device"));
    assert_eq!(issuer.asked("poll"), 0, "for clients that do not ask, nobody asks the provider");
    signs_in(someone(2), &issuer);
}

#[test]
fn unknown_keys_make_the_proxy_ask_once() {
    let demo = Demo::start(&[]).unwrap();
    let (admin, door, provider) = (demo.sign_in("admin").unwrap(), Door::of(&demo), Provider::start());
    let issuer = provider.issuer("idp");
    apply(&admin, "idp", &connector("idp", &issuer.url, "")).unwrap();
    let someone = |at: u16| door.from(Ipv4Addr::new(127, 5, (at >> 8) as u8, (at & 0xff) as u8));
    signs_in(someone(1), &issuer);
    let asked = issuer.asked("keys");
    issuer.set(Script { id_token: |t| t.header("kid", json!(crate::issuer::keys::random())), ..Script::default() });
    // All within the 30 s in which the keys may be asked for once.
    std::thread::scope(|scope| {
        for lane in 0..8 {
            let issuer = &issuer;
            scope.spawn(move || {
                for at in 0..25 {
                    let me = someone(2 + lane * 25 + at);
                    let attempt = me.begin("idp").unwrap();
                    assert!(me.finish(&attempt, &issuer.authorize(&attempt.browse).written()).refused());
                    let token = Token::logout(&issuer.url, CLIENT, "sub-idp", "x").header("kid", json!(format!("k{lane}-{at}")));
                    assert_eq!(me.logout("idp", Form::default().also("logout_token", &token.written()).written().as_bytes()).status, 400);
                }
            });
        }
    });
    assert!(issuer.asked("keys") <= asked + 1, "the keys were asked for {} times", issuer.asked("keys") - asked);
    issuer.set(Script::default());
    signs_in(someone(1), &issuer);
}
