//! Key sets: what is usable, what is skipped, and what makes a whole set useless. No token lives here.

use crate::provider::{ED, P256, P384, RSA, b64, expected, header, id_claims, key_set, modulus, rsa_key};
use aws_lc_rs::rsa::KeySize;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use wire::oidc::{JsonFault, KeySet, KeySetFault, Nonce, id_token};

#[test]
fn usable_keys_are_known_by_their_ids() {
    let keys = key_set(&[RSA.named("a", json!({"alg": "RS256", "use": "sig", "x5c": ["MIIB"], "x5t": "z"})), P384.jwk.clone()]);
    assert!(keys.knows(Some("a")) && keys.knows(None) && !keys.knows(Some("b")) && !keys.knows(Some("")));
    assert_eq!((keys.kids().collect::<Vec<_>>(), keys.skipped()), (vec!["a"], 0));
}

/// Each alone makes a set without use; beside a good key it is left out.
#[test]
fn a_key_that_cannot_check_a_signature_is_skipped() {
    let (_, big) = rsa_key(KeySize::Rsa3072);
    let off_curve = b64([7_u8; 32]);
    let coordinate = |name: &str| URL_SAFE_NO_PAD.decode(P256.jwk[name].as_str().expect("text")).expect("base64");
    let (x, y) = (coordinate("x"), coordinate("y"));
    let table: Vec<(&str, Value)> = vec![
        ("symmetric", json!({"kty": "oct", "k": b64([1; 64]), "alg": "HS256"})),
        ("for encryption", RSA.named("k", json!({"use": "enc"}))),
        ("of an encryption algorithm", RSA.named("k", json!({"alg": "RSA-OAEP"}))),
        ("for a symmetric algorithm", RSA.named("k", json!({"alg": "HS256"}))),
        ("for none", RSA.named("k", json!({"alg": "none"}))),
        ("for another type's algorithm", RSA.named("k", json!({"alg": "ES256"}))),
        ("for another curve's algorithm", P256.named("k", json!({"alg": "ES384"}))),
        ("not for verifying", ED.named("k", json!({"key_ops": ["encrypt"]}))),
        ("with operations that are no list", ED.named("k", json!({"key_ops": "verify"}))),
        ("with its private half", ED.named("k", json!({"d": b64([1; 32])}))),
        ("with a number as id", ED.named("k", json!({"kid": 1}))),
        ("with a long id", ED.named("k", json!({"kid": "k".repeat(257)}))),
        ("1024 bits", RSA.named("k", json!({"n": b64(&modulus(&big)[..128])}))),
        ("2047 bits", RSA.named("k", json!({"n": b64([&[0x7f][..], &[0xff; 255]].concat())}))),
        ("8200 bits", RSA.named("k", json!({"n": b64([0xff; 1025])}))),
        ("an even modulus", RSA.named("k", json!({"n": b64([0xfe; 256])}))),
        ("exponent 1", RSA.named("k", json!({"e": b64([1])}))),
        ("exponent 0", RSA.named("k", json!({"e": b64([0])}))),
        ("an even exponent", RSA.named("k", json!({"e": b64([1, 0, 0])}))),
        ("a long exponent", RSA.named("k", json!({"e": b64([1; 5])}))),
        ("padding", RSA.named("k", json!({"e": "AQAB=="}))),
        ("without a modulus", RSA.named("k", json!({"n": null}))),
        ("a point off its curve", P256.named("k", json!({"x": off_curve, "y": off_curve}))),
        ("a short coordinate", P256.named("k", json!({"x": b64([1; 31])}))),
        ("coordinates cut elsewhere", P256.named("k", json!({"x": b64(&x[..31]), "y": b64([&x[31..], y.as_slice()].concat())}))),
        ("the wrong curve", P256.named("k", json!({"crv": "P-384"}))),
        ("an unknown curve", P256.named("k", json!({"crv": "secp256k1"}))),
        ("another Edwards curve", ED.named("k", json!({"crv": "Ed448"}))),
        ("a short Ed25519 key", ED.named("k", json!({"x": b64([1; 31])}))),
        ("without a type", ED.named("k", json!({"kty": null}))),
        ("an unknown type", ED.named("k", json!({"kty": "AKP"}))),
    ];
    for (name, key) in &table {
        let alone = json!({"keys": [key]}).to_string();
        assert_eq!(KeySet::parse(alone.as_bytes()).err(), Some(KeySetFault::NoneUsable { skipped: 1 }), "{name}");
    }
    let mut all: Vec<Value> = table.into_iter().map(|(_, key)| key).chain([json!("text"), json!(null)]).collect();
    let bad = all.len();
    all.push(ED.named("good", json!({"key_ops": ["verify"]})));
    let keys = key_set(&all);
    assert_eq!((keys.kids().collect::<Vec<_>>(), keys.skipped()), (vec!["good"], bad));
}

#[test]
fn zeros_before_a_modulus_do_no_harm() {
    let modulus = URL_SAFE_NO_PAD.decode(RSA.jwk["n"].as_str().expect("text")).expect("base64");
    let keys = key_set(&[RSA.named("a", json!({"n": b64([&[0, 0], modulus.as_slice()].concat()), "e": "AAEAAQ"}))]);
    let token = RSA.sign(&header("RS256", "a"), &id_claims());
    assert!(id_token(&token, &keys, &expected(), Nonce::None).is_ok());
}

#[test]
fn a_set_without_keys_or_bounds_is_refused() {
    let fault = |text: &str| KeySet::parse(text.as_bytes()).expect_err("refused");
    let good = ED.named("k", json!({})).to_string();
    assert_eq!(fault(r#"{"keys":[]}"#), KeySetFault::NoneUsable { skipped: 0 });
    for other in ["{}", r#"{"keys":{}}"#, r#"{"keys":null}"#, r#"{"key":[]}"#, &good] {
        assert_eq!(fault(other), KeySetFault::NoList);
    }
    assert_eq!(fault("<html>"), KeySetFault::Json(JsonFault::Malformed));
    assert_eq!(fault(&format!("[{good}]")), KeySetFault::Json(JsonFault::Malformed));
    assert_eq!(fault(&format!(r#"{{"keys":[{good}],"keys":[]}}"#)), KeySetFault::Json(JsonFault::Duplicate));
    let several = |n: usize| format!(r#"{{"keys":[{}]}}"#, vec![good.as_str(); n].join(","));
    assert!(KeySet::parse(several(KeySet::MAX_KEYS).as_bytes()).is_ok());
    assert_eq!(fault(&several(KeySet::MAX_KEYS + 1)), KeySetFault::TooMany);
    let spaces = |n: usize| format!("{}{}", several(1), " ".repeat(n - several(1).len()));
    assert!(KeySet::parse(spaces(KeySet::MAX_BYTES).as_bytes()).is_ok());
    assert_eq!(fault(&spaces(KeySet::MAX_BYTES + 1)), KeySetFault::TooBig);
}
