//! Logout tokens (OpenID Connect Back-Channel Logout 1.0): whoever can make Naru believe one ends other people's sessions.

use super::{apply, connector, events, says};
use crate::harness::Demo;
use crate::issuer::form::{Form, escaped};
use crate::issuer::keys::Signer;
use crate::issuer::token::{LOGOUT_EVENT, Token, now};
use crate::issuer::{CLIENT, Issuer, Provider};
use crate::recordings::wait;
use crate::stranger::{Door, Said, Stranger};
use serde_json::json;
use std::net::Ipv4Addr;

/// A line: the word of the event and what is changed in a token that would be good.
type Case = (&'static str, &'static str, fn(Token) -> Token);

fn cases() -> Vec<Case> {
    vec![
        ("nonce", "nonce_there", |t| t.claim("nonce", json!("n"))),
        ("aud-other", "audience", |t| t.claim("aud", json!("account"))),
        ("aud-more", "extra_audience", |t| t.claim("aud", json!([CLIENT, "account"]))),
        ("aud-absent", "missing", |t| t.without("aud")),
        ("iss-other", "issuer", |t| t.claim("iss", json!("https://accounts.example.com"))),
        ("expired", "expired", |t| t.claim("iat", json!(now() - 400)).claim("exp", json!(now() - 280))),
        ("exp-absent", "missing", |t| t.without("exp")),
        ("exp-text", "claim_type", |t| t.claim("exp", json!("9999999999"))),
        ("iat-absent", "missing", |t| t.without("iat")),
        ("iat-ahead", "issued_ahead", |t| t.claim("iat", json!(now() + 1000)).claim("exp", json!(now() + 1100))),
        ("old", "too_old", |t| t.claim("iat", json!(now() - 3600)).claim("exp", json!(now() + 300))),
        ("unsigned", "parts", |t| t.secretly_signed(Signer::Nobody)),
        ("none", "alg", |t| t.signed(Signer::Nobody).afterwards(|text| format!("{text}AA"))),
        ("hs256-pem", "alg", |t| t.signed(Signer::HmacOfPem)),
        ("hs256-secret", "alg", |t| t.signed(Signer::HmacOfSecret)),
        ("stranger", "signature", |t| t.secretly_signed(Signer::Stranger)),
        ("jwk", "header", |t| t.header("jwk", crate::issuer::keys::stranger()).secretly_signed(Signer::Stranger)),
        ("kid-unknown", "unknown_key", |t| t.header("kid", json!("next-year"))),
        ("typ-access", "typ", |t| t.header("typ", json!("at+jwt"))),
        ("id-token", "events", |t| t.header("typ", json!("JWT")).without("events").without("jti").claim("nonce", json!("n"))),
        ("no-events", "events", |t| t.without("events")),
        ("events-other", "events", |t| t.claim("events", json!({"http://schemas.openid.net/event/other": {}}))),
        ("events-text", "events", |t| t.claim("events", json!({ LOGOUT_EVENT: "yes" }))),
        ("events-list", "events", |t| t.claim("events", json!([LOGOUT_EVENT]))),
        ("no-one", "no_one", |t| t.without("sub").without("sid")),
        ("sub-empty", "claim_text", |t| t.claim("sub", json!(""))),
        ("sid-number", "claim_type", |t| t.claim("sid", json!(7))),
        ("jti-absent", "missing", |t| t.without("jti")),
        ("jti-long", "claim_text", |t| t.claim("jti", json!("j".repeat(257)))),
        ("jti-number", "claim_type", |t| t.claim("jti", json!(1))),
    ]
}

fn form(token: &str) -> Vec<u8> {
    Form::default().also("logout_token", token).written().into_bytes()
}

/// Signs in, and says the session's `sid`.
fn sign_in(stranger: Stranger<'_>, issuer: &Issuer) -> (Said, String) {
    let attempt = stranger.begin("idp").unwrap();
    let answer = issuer.authorize(&attempt.browse);
    let sid = issuer.sid_of(answer.text("code"));
    let said = stranger.finish(&attempt, &answer.written());
    assert!(said.signed_in(), "{}", said.text);
    (said, sid)
}

fn gone(stranger: Stranger<'_>, login: &Said) {
    wait("the end of the login", || (stranger.status(login).status == 401).then_some(()));
}

#[test]
fn a_logout_token_that_is_not_believed_ends_nothing() {
    let demo = Demo::start(&[]).unwrap();
    let (admin, olga, door, provider) = (demo.sign_in("admin").unwrap(), demo.sign_in("olga").unwrap(), Door::of(&demo), Provider::start());
    let (issuer, other) = (provider.issuer("idp"), provider.issuer("other"));
    apply(&admin, "both", &(connector("idp", &issuer.url, "") + &connector("other", &other.url, ""))).unwrap();
    let me = door.from(Ipv4Addr::LOCALHOST);
    let (login, sid) = sign_in(me, &issuer);
    let good = || Token::logout(&issuer.url, CLIENT, "sub-idp", &sid);
    let asked = issuer.asked("keys");
    let mut wrong = Vec::new();
    for (at, (name, reason, change)) in cases().into_iter().enumerate() {
        let from = Ipv4Addr::new(127, 2, 0, u8::try_from(at + 1).unwrap());
        let said = door.from(from).logout("idp", &form(&change(good()).written()));
        if said.status != 400 || said.body["error"] != "invalid_request" {
            wrong.push(format!("{name}: answered {} {}", said.status, said.text));
        }
        let of = |event: &&serde_json::Value| event["client"]["ip"] == from.to_string().as_str();
        let events = events(&olga, "auth.logout.refused");
        match events.iter().filter(of).collect::<Vec<_>>().as_slice() {
            [one] if says(one, reason) => {}
            other => wrong.push(format!("{name}: not {reason} but {other:?}")),
        }
    }
    // A token of the other issuer, at its own address and at this one's.
    let foreign = |sub: &str| Token::logout(&other.url, CLIENT, sub, &sid).written();
    if me.logout("idp", &form(&foreign("sub-idp"))).status != 400 {
        wrong.push("a token of another issuer was taken".into());
    }
    if me.logout("other", &form(&foreign("sub-idp"))).status >= 500 {
        wrong.push("a token of nobody's session is a failure".into());
    }
    for (name, body) in
        [("nothing", Vec::new()), ("no token", b"x=y".to_vec()), ("twice", [form(&good().written()), b"&logout_token=x".to_vec()].concat())]
    {
        let said = me.logout("idp", &body);
        if said.status != 400 {
            wrong.push(format!("{name}: answered {}", said.status));
        }
    }
    let big = me.logout("idp", &form(&"x".repeat(200_000))).status;
    let (by_get, nowhere) = (
        me.get(&format!("/v1/oidc/idp/backchannel-logout?logout_token={}", escaped(&good().written()))).status,
        me.logout("none", &form(&good().written())).status,
    );
    assert!(matches!(big, 400 | 413) && matches!(by_get, 404 | 405) && matches!(nowhere, 400 | 404), "{big} {by_get} {nowhere}");
    assert!(issuer.asked("keys") <= asked + 1 && issuer.asked("other") == 0, "{:?}", issuer.counts());
    assert_eq!(me.status(&login).status, 200, "the login lives on");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(!demo.log().contains("panicked"));
}

#[test]
fn a_good_one_ends_what_it_names_and_is_good_once() {
    let demo = Demo::start(&[]).unwrap();
    let (admin, olga, door, provider) = (demo.sign_in("admin").unwrap(), demo.sign_in("olga").unwrap(), Door::of(&demo), Provider::start());
    let issuer = provider.issuer("idp");
    apply(&admin, "idp", &connector("idp", &issuer.url, "refresh: 1h")).unwrap();
    let me = door.from(Ipv4Addr::LOCALHOST);
    let ((one, first), (two, _), (three, _)) = (sign_in(me, &issuer), sign_in(me, &issuer), sign_in(me, &issuer));
    // By session: that one, and the others are looked at again, which the provider says are well.
    let by_session = form(&Token::logout(&issuer.url, CLIENT, "sub-idp", &first).without("sub").written());
    assert_eq!(me.logout("idp", &by_session).status, 200);
    gone(me, &one);
    assert_eq!((me.status(&two).status, me.status(&three).status), (200, 200));
    // The same token again ends nothing, also not a new session of the same id.
    let replayed = me.logout("idp", &by_session);
    assert!(
        replayed.status == 400 && events(&olga, "auth.logout.refused").iter().any(|event| says(event, "replayed")),
        "{}",
        replayed.text
    );
    // By person: all.
    let by_person = form(&Token::logout(&issuer.url, CLIENT, "sub-idp", "x").without("sid").written());
    assert_eq!(me.logout("idp", &by_person).status, 200);
    gone(me, &two);
    gone(me, &three);
    // Who was logged out may come again.
    assert_eq!(me.status(&sign_in(me, &issuer).0).status, 200);
    // Of somebody who is not here: nothing to end is no fault (section 2.7).
    let nobody = form(&Token::logout(&issuer.url, CLIENT, "sub-of-nobody", "x").without("sid").written());
    assert_eq!(me.logout("idp", &nobody).status, 200);
}
