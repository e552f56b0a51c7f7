//! Well signed tokens that say the wrong thing: each is refused with its own word (AU03 and what the specifications forbid). Form,
//! keys and signatures are tried elsewhere.

use std::time::Duration;

use crate::provider::{ED, ISSUER, LOGOUT, NOW, expected, header, id_claims, keys, logout_claims, merged, workload_claims};
use access::time::Timestamp;
use serde_json::{Value, json};
use wire::oidc::{Expected, Nonce, TokenFault, id_token, logout_token, workload_token};

fn signed(claims: &Value) -> String {
    ED.sign(&header("EdDSA", "ed"), claims)
}

fn as_id(token: &str, expected: &Expected<'_>) -> Result<(), TokenFault> {
    id_token(token, &keys(), expected, Nonce::Must("n-1")).map(drop)
}

fn as_logout(token: &str, expected: &Expected<'_>) -> Result<(), TokenFault> {
    logout_token(token, &keys(), expected).map(drop)
}

fn as_workload(token: &str, expected: &Expected<'_>) -> Result<(), TokenFault> {
    workload_token(token, &keys(), expected).map(drop)
}

type Believe = fn(&str, &Expected<'_>) -> Result<(), TokenFault>;

type Kind = (&'static str, Believe, fn() -> Value);

const EACH: [Kind; 3] = [("id", as_id, id_claims), ("logout", as_logout, logout_claims), ("workload", as_workload, workload_claims)];

#[track_caller]
fn all_refuse(code: &str, more: Value) {
    for (name, believe, base) in EACH {
        let fault = believe(&signed(&merged(base(), more.clone())), &expected()).expect_err(&format!("{name} token with {more}"));
        assert_eq!(fault.code(), code, "{name} token with {more}");
    }
}

/// `base` with one claim as it stands: text that `json!` could not write, or null.
fn with_text(base: &Value, name: &str, text: &str) -> String {
    let rest = merged(base.clone(), json!({name: null})).to_string();
    let claims = format!("{{\"{name}\":{text},{}", &rest[1..]);
    ED.sign_raw("EdDSA", header("EdDSA", "ed").to_string().as_bytes(), claims.as_bytes())
}

#[test]
fn a_time_is_an_integer_or_nothing_is_believed() {
    for name in ["exp", "iat", "nbf"] {
        for (_, believe, base) in EACH {
            let code = |text: &str| believe(&with_text(&base(), name, text), &expected()).expect_err(text).code();
            for text in [
                "\"1800000100\"",
                "null",
                "[1800000100]",
                "{}",
                "true",
                "\"\"",
                "-1",
                "1.5",
                "1800000100.0",
                "18e8",
                "-0",
                "18446744073709551616",
            ] {
                assert_eq!(code(text), "claim_type", "{name} {text}");
            }
            for text in ["253402300800", "9223372036854775808", "18446744073709551615"] {
                assert_eq!(code(text), "claim_range", "{name} {text}");
            }
            for text in ["1e400", "-1e400", "NaN", "Infinity", "0x6B49D200", "01800000100"] {
                assert_eq!(code(text), "json", "{name} {text}");
            }
        }
    }
    let auth = |text| as_id(&with_text(&id_claims(), "auth_time", text), &expected()).expect_err(text).code();
    assert_eq!((auth("\"1\""), auth("null"), auth("1.5"), auth("253402300800")), ("claim_type", "claim_type", "claim_type", "claim_range"));
}

#[test]
fn each_needed_claim_is_needed() {
    for name in ["iss", "aud", "exp", "iat"] {
        all_refuse("missing", json!({name: null}));
    }
    let without = |base: Value, name: &str| signed(&merged(base, json!({name: null})));
    assert_eq!(as_id(&without(id_claims(), "sub"), &expected()), Err(TokenFault::Missing("sub")));
    assert_eq!(as_id(&without(id_claims(), "nonce"), &expected()), Err(TokenFault::Missing("nonce")));
    assert_eq!(as_workload(&without(workload_claims(), "sub"), &expected()), Err(TokenFault::Missing("sub")));
    assert_eq!(as_logout(&without(logout_claims(), "jti"), &expected()), Err(TokenFault::Missing("jti")));
}

#[test]
fn a_token_is_of_its_time() {
    let now = NOW.as_secs();
    all_refuse("too_long", json!({"exp": now + 86_401}));
    all_refuse("too_long", json!({"exp": now + 100 * 31_557_600}));
    all_refuse("too_long", json!({"exp": 253_402_300_799_i64}));
    all_refuse("order", json!({"exp": now}));
    all_refuse("order", json!({"exp": now - 1}));
    all_refuse("expired", json!({"iat": now - 100, "exp": now - 60}));
    all_refuse("issued_ahead", json!({"iat": now + 61}));
    all_refuse("not_yet", json!({"nbf": now + 61}));
    all_refuse("not_yet", json!({"nbf": 253_402_300_799_i64}));
    let ahead = signed(&merged(id_claims(), json!({"auth_time": now + 61})));
    assert_eq!(as_id(&ahead, &expected()).map_err(|fault| fault.code()), Err("auth_ahead"));
    for (_, believe, base) in EACH {
        for within in [json!({"iat": now + 60, "nbf": now + 60}), json!({"iat": now - 100, "exp": now - 59})] {
            assert_eq!(believe(&signed(&merged(base(), within)), &expected()), Ok(()));
        }
    }
}

#[test]
fn the_leeway_has_an_end_whatever_is_asked() {
    let lax = Expected { leeway: Duration::from_secs(86_400), ..expected() };
    let old = signed(&merged(id_claims(), json!({"iat": NOW.as_secs() - 600, "exp": NOW.as_secs() - 300})));
    assert_eq!(as_id(&old, &lax).map_err(|fault| fault.code()), Err("expired"));
    let just = Expected { now: Timestamp::from_nanos(NOW.as_nanos() - 1), ..lax };
    assert_eq!(as_id(&old, &just), Ok(()));
}

#[test]
fn issuer_and_audience_are_ours_to_the_letter() {
    let slash = format!("{ISSUER}/");
    for issuer in [&slash, &ISSUER.to_uppercase(), &ISSUER.replace("https", "http"), "", "https://evil.example", &format!(" {ISSUER}")] {
        all_refuse("issuer", json!({"iss": issuer}));
    }
    for wrong in [json!(1), json!([ISSUER]), json!({"iss": ISSUER}), json!(true)] {
        all_refuse("claim_type", json!({"iss": wrong}));
    }
    for audience in [json!("other"), json!("naru "), json!("NARU"), json!(""), json!([]), json!(["account"])] {
        all_refuse("audience", json!({"aud": audience}));
    }
    for wrong in [json!({"naru": true}), json!(1), json!(true), json!(["naru", 1]), json!(["naru", null]), json!([["naru"]])] {
        all_refuse("claim_type", json!({"aud": wrong}));
    }
}

#[test]
fn nobody_stands_beside_us_unasked() {
    let id = |more: Value| as_id(&signed(&merged(id_claims(), more)), &expected()).map_err(|fault| fault.code());
    assert_eq!(id(json!({"aud": ["naru", "account"]})), Err("extra_audience"));
    assert_eq!(id(json!({"azp": "plain"})), Err("azp"));
    assert_eq!(id(json!({"azp": ""})), Err("azp"));
    assert_eq!(id(json!({"azp": 1})), Err("claim_type"));
    let also = ["account".to_owned()];
    let lax = Expected { also_audiences: &also, ..expected() };
    let lax_id = |more: Value| as_id(&signed(&merged(id_claims(), more)), &lax).map_err(|fault| fault.code());
    assert_eq!(lax_id(json!({"aud": ["naru", "account"], "azp": null})), Err("azp_missing"));
    assert_eq!(lax_id(json!({"aud": ["account"]})), Err("audience"));
    assert_eq!(lax_id(json!({"aud": ["naru", "account", "third"]})), Err("extra_audience"));
    assert_eq!(lax_id(json!({"aud": ["naru", "account"], "azp": "account"})), Err("azp"));
    let logout = signed(&merged(logout_claims(), json!({"aud": ["naru", "account"]})));
    assert_eq!(as_logout(&logout, &expected()).map_err(|fault| fault.code()), Err("extra_audience"));
}

#[test]
fn a_nonce_is_compared_whole() {
    for nonce in ["n-2", "n-", "n-11", "N-1", "", "n-1\0"] {
        assert_eq!(as_id(&signed(&merged(id_claims(), json!({"nonce": nonce}))), &expected()), Err(TokenFault::Nonce));
    }
    assert_eq!(as_id(&signed(&merged(id_claims(), json!({"nonce": ["n-1"]}))), &expected()), Err(TokenFault::ClaimType("nonce")));
    let none = id_token(&signed(&id_claims()), &keys(), &expected(), Nonce::None);
    assert!(none.is_ok(), "one of the first login may come back with a refresh");
}

#[test]
fn a_name_is_a_short_plain_text() {
    let id = |more: Value| as_id(&signed(&merged(id_claims(), more)), &expected()).map_err(|fault| fault.code());
    for name in ["sub", "sid"] {
        for text in ["", "a\0b", "a\nb", "\u{1b}[2J", "\u{85}", &"x".repeat(256)] {
            assert_eq!(id(json!({name: text})), Err("claim_text"), "{name} {text:?}");
        }
        for wrong in [json!(1), json!(true), json!(["a"]), json!({"a": 1})] {
            assert_eq!(id(json!({name: wrong})), Err("claim_type"), "{name} {wrong}");
        }
        assert_eq!(id(json!({name: "\u{e9}".repeat(255)})), Ok(()));
    }
    assert_eq!(id(json!({"acr": 2})), Err("claim_type"));
    let null = with_text(&id_claims(), "sub", "null");
    assert_eq!(as_id(&null, &expected()), Err(TokenFault::ClaimType("sub")));
}

/// A token of one kind is never taken for another.
#[test]
fn kinds_are_not_confused() {
    let code = |believe: Believe, token: &str| believe(token, &expected()).map_err(|fault| fault.code());
    let typed = |typ: &str, claims: &Value| ED.sign(&merged(header("EdDSA", "ed"), json!({"typ": typ})), claims);
    let both = merged(id_claims(), logout_claims());
    assert_eq!(code(as_id, &typed("logout+jwt", &id_claims())), Err("typ"));
    assert_eq!(code(as_id, &typed("application/Logout+JWT", &id_claims())), Err("typ"));
    assert_eq!(code(as_id, &typed("at+jwt", &id_claims())), Err("typ"));
    assert_eq!(code(as_id, &signed(&merged(both.clone(), json!({"typ": null})))), Err("logout_token"));
    for kind in ["Bearer", "Refresh", "Offline", "Logout", "DPoP"] {
        assert_eq!(code(as_id, &signed(&merged(id_claims(), json!({"typ": kind})))), Err("typ"));
    }
    assert_eq!(code(as_logout, &typed("logout+jwt", &id_claims())), Err("events"));
    assert_eq!(code(as_logout, &signed(&both)), Err("nonce_there"));
    assert_eq!(code(as_logout, &typed("at+jwt", &logout_claims())), Err("typ"));
    assert_eq!(code(as_workload, &typed("logout+jwt", &workload_claims())), Err("typ"));
    assert_eq!(code(as_workload, &signed(&merged(workload_claims(), json!({"events": {LOGOUT: {}}})))), Err("logout_token"));
    assert_eq!(code(as_workload, &signed(&id_claims())), Err("typ"), "a person's token is no workload's");
    assert_eq!(code(as_workload, &typed("at+jwt", &workload_claims())), Ok(()));
}

#[test]
fn a_logout_token_says_whole_what_it_must() {
    let code = |more: Value| as_logout(&signed(&merged(logout_claims(), more)), &expected()).map_err(|fault| fault.code());
    for events in [json!({}), json!([LOGOUT]), json!(LOGOUT), json!({LOGOUT: true}), json!({LOGOUT: []}), json!({"x": {LOGOUT: {}}})] {
        assert_eq!(code(json!({"events": events})), Err("events"), "{events}");
    }
    assert_eq!(code(json!({"events": null})), Err("events"));
    assert_eq!(as_logout(&with_text(&logout_claims(), "nonce", "null"), &expected()), Err(TokenFault::NonceThere));
    assert_eq!(code(json!({"sub": null, "sid": null})), Err("no_one"));
    assert_eq!(code(json!({"jti": "j".repeat(257)})), Err("claim_text"));
    assert_eq!(code(json!({"jti": "j".repeat(256)})), Ok(()));
    assert_eq!(code(json!({"jti": 7})), Err("claim_type"));
    assert_eq!(code(json!({"sid": 7})), Err("claim_type"));
    let (now, day) = (NOW.as_secs(), 86_400);
    assert_eq!(code(json!({"iat": now - 661, "exp": now - 661 + day})), Err("too_old"));
    assert_eq!(code(json!({"iat": now - 660, "exp": now - 660 + day})), Ok(()));
    let long = signed(&merged(logout_claims(), json!({"exp": now + day})));
    let long = logout_token(&long, &keys(), &expected()).expect("believed");
    assert_eq!(long.remember_until(), Timestamp::from_secs(now + 660), "no longer than it could be used again");
}
