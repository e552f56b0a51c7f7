//! Tokens whose form, header, key or signature is not what a provider of ours writes: each is refused with its own word. What
//! claims say is tried elsewhere.

use crate::provider::{ED, ISSUER, NOW, P256, RSA, b64, ed, expected, header, id_claims, key_set, keys, merged, modulus, rsa_key};
use aws_lc_rs::rsa::KeySize;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use jsonwebtoken::EncodingKey;
use serde_json::{Value, json};
use wire::oidc::{Algorithm, Expected, KeySet, MAX_TOKEN, Nonce, TokenFault, id_token};

fn fault_of(token: &str, keys: &KeySet, expected: &Expected<'_>) -> TokenFault {
    id_token(token, keys, expected, Nonce::Must("n-1")).expect_err("refused")
}

#[track_caller]
fn refused(code: &str, token: &str) {
    assert_eq!(fault_of(token, &keys(), &expected()).code(), code);
}

/// AU01: a public key as the secret of a symmetric signature.
#[test]
fn a_public_key_is_no_secret() {
    let (_, public) = rsa_key(KeySize::Rsa2048);
    let jwk = json!({"kty": "RSA", "kid": "rsa", "n": b64(modulus(&public)), "e": "AQAB"});
    let spki =
        [b"\x30\x82\x01\x22\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00\x03\x82\x01\x0f\x00", public.as_slice()].concat();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(&spki));
    let secrets = [
        public.clone(),
        modulus(&public).to_vec(),
        spki,
        pem.clone().into_bytes(),
        pem.trim_end().as_bytes().to_vec(),
        jwk.to_string().into_bytes(),
    ];
    for secret in secrets {
        for (name, algorithm) in [("HS256", jsonwebtoken::Algorithm::HS256), ("HS512", jsonwebtoken::Algorithm::HS512)] {
            let message = format!("{}.{}", b64(header(name, "rsa").to_string()), b64(id_claims().to_string()));
            let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &EncodingKey::from_secret(&secret), algorithm).expect("signs");
            let fault = fault_of(&format!("{message}.{signature}"), &key_set(std::slice::from_ref(&jwk)), &expected());
            assert_eq!(fault.code(), "alg");
        }
    }
}

/// AU01: no signature, or an algorithm that is not the provider's.
#[test]
fn what_is_not_signed_as_agreed_is_refused() {
    let message = |algorithm: &str| format!("{}.{}", b64(header(algorithm, "rsa").to_string()), b64(id_claims().to_string()));
    for none in ["none", "None", "NONE", "nOnE", "", "HS256", "ES512", "ES256K", "rs256", "RS256 ", "RSA-OAEP"] {
        refused("alg", &format!("{}.{}", message(none), b64("x")));
    }
    refused("parts", &format!("{}.", message("none")));
    refused("parts", &format!("{}.", message("RS256")));
    refused("signature", &format!("{}.{}", message("RS256"), b64([0_u8; 256])));
    refused("signature", &format!("{}.AA", message("RS256")));
    let only_es = Expected { algorithms: &[Algorithm::Es256], ..expected() };
    let token = RSA.sign(&header("RS256", "rsa"), &id_claims());
    assert_eq!(fault_of(&token, &keys(), &only_es).code(), "alg");
    assert_eq!(fault_of(&token, &keys(), &Expected { algorithms: &[], ..expected() }).code(), "alg");
}

/// AU01: the key says what it is for, the header does not.
#[test]
fn a_key_is_for_its_own_algorithm_only() {
    let pinned = key_set(&[RSA.named("rsa", json!({"alg": "PS256"}))]);
    assert_eq!(fault_of(&RSA.sign(&header("RS256", "rsa"), &id_claims()), &pinned, &expected()).code(), "key_alg");
    assert!(id_token(&RSA.sign(&header("PS256", "rsa"), &id_claims()), &pinned, &expected(), Nonce::Must("n-1")).is_ok());
    for (said, kid) in [("RS256", "p256"), ("ES256", "rsa"), ("ES384", "p256"), ("ES256", "ed"), ("EdDSA", "p384"), ("PS512", "ed")] {
        refused("key_alg", &format!("{}.{}.{}", b64(header(said, kid).to_string()), b64(id_claims().to_string()), b64([1_u8; 64])));
    }
    let claims = id_claims().to_string();
    refused("signature", &RSA.sign_raw("RS256", header("PS256", "rsa").to_string().as_bytes(), claims.as_bytes()));
    refused("signature", &RSA.sign_raw("RS512", header("RS256", "rsa").to_string().as_bytes(), claims.as_bytes()));
    refused("signature", &ed().sign(&header("EdDSA", "ed"), &id_claims()));
}

/// AU02: a token that brings its own key, or demands what is not understood.
#[test]
fn a_token_brings_no_key_of_its_own() {
    let own = ed();
    let brought = [
        json!({"jwk": own.jwk}),
        json!({"jku": "https://evil.example/keys"}),
        json!({"x5u": "https://evil.example/cert"}),
        json!({"x5c": ["MIIB"]}),
        json!({"crit": ["exp"]}),
        json!({"crit": [], "jwk": {}}),
    ];
    for more in brought {
        refused("header", &own.sign(&merged(header("EdDSA", "ed"), more.clone()), &id_claims()));
        // Signed by the right key as well: what would be ignored here may be obeyed elsewhere.
        refused("header", &ED.sign(&merged(header("EdDSA", "ed"), more), &id_claims()));
    }
}

/// AU02: key ids that lead elsewhere, are unknown, or are no text.
#[test]
fn a_key_id_is_only_compared() {
    for kid in ["../../dev/null", "' OR 1=1 --", "", "RSA", "ed ", "http://evil.example/", "\u{202e}de"] {
        let fault = fault_of(&ED.sign(&header("EdDSA", kid), &id_claims()), &keys(), &expected());
        assert_eq!(fault, TokenFault::UnknownKey { kid: Some(kid.to_owned()) });
    }
    let with = |kid: Value| ED.sign(&json!({"alg": "EdDSA", "kid": kid}), &id_claims());
    refused("unknown_key", &with(json!("k".repeat(256))));
    [json!("k".repeat(257)), json!(1), json!(null), json!(["ed"]), json!({"kid": "ed"})]
        .into_iter()
        .for_each(|kid| refused("kid", &with(kid)));
    refused("size", &with(json!("k".repeat(65_536))));
}

#[test]
fn without_a_key_id_exactly_one_key_must_fit() {
    let (first, second) = (ed(), ed());
    let token = first.sign(&json!({"alg": "EdDSA"}), &id_claims());
    let code = |keys: &[Value]| fault_of(&token, &key_set(keys), &expected()).code();
    assert_eq!(code(&[first.named("a", json!({})), second.named("b", json!({}))]), "ambiguous_key");
    assert_eq!(code(&[RSA.named("a", json!({})), P256.named("b", json!({}))]), "key_alg");
    let one = key_set(&[first.named("a", json!({})), RSA.named("b", json!({}))]);
    assert!(id_token(&token, &one, &expected(), Nonce::Must("n-1")).is_ok());
    let same_name = [first.named("a", json!({})), second.named("a", json!({}))];
    let named = first.sign(&header("EdDSA", "a"), &id_claims());
    assert_eq!(fault_of(&named, &key_set(&same_name), &expected()).code(), "ambiguous_key");
}

#[test]
fn only_one_spelling_of_a_token_is_read() {
    let good = P256.sign(&header("ES256", "p256"), &id_claims());
    let parts: Vec<&str> = good.split('.').collect();
    let rebuilt = |head: &str, body: &str, signature: &str| format!("{head}.{body}.{signature}");
    let signature = URL_SAFE_NO_PAD.decode(parts[2]).expect("base64");
    refused("encoding", &rebuilt(parts[0], parts[1], &URL_SAFE.encode(&signature)));
    refused("encoding", &rebuilt(&format!("{}=", parts[0]), parts[1], parts[2]));
    refused("encoding", &rebuilt(parts[0], parts[1], &format!("{}\n", parts[2])));
    refused("encoding", &rebuilt(&format!(" {}", parts[0]), parts[1], parts[2]));
    // 64 bytes end in a character of which four bits count; the other spellings are refused.
    let last = parts[2].chars().last().expect("a character");
    let stray = if last == 'A' || last == 'Q' || last == 'g' || last == 'w' { char::from(last as u8 + 1) } else { last };
    refused("encoding", &rebuilt(parts[0], parts[1], &format!("{}{stray}", &parts[2][..parts[2].len() - 1])));
    refused("signature", &rebuilt(parts[0], parts[1], &b64([signature.as_slice(), &[0]].concat())));
    for form in ["", ".", "..", "...", "a.b", "a.b.c.d", "a.b.c.d.e", &parts[..2].join("."), &format!("{good}.x")] {
        refused("parts", form);
    }
    refused("size", &format!("{good}{}", "A".repeat(MAX_TOKEN)));
}

#[test]
fn a_part_is_one_plain_json_object() {
    let head = header("EdDSA", "ed").to_string();
    let claims = id_claims().to_string();
    let head_is = |code: &str, head: &str| refused(code, &ED.sign_raw("EdDSA", head.as_bytes(), claims.as_bytes()));
    let claims_are = |code: &str, claims: &str| refused(code, &ED.sign_raw("EdDSA", head.as_bytes(), claims.as_bytes()));
    head_is("json", "[]");
    head_is("json", "\"EdDSA\"");
    head_is("duplicate", r#"{"alg":"EdDSA","kid":"ed","alg":"EdDSA"}"#);
    head_is("duplicate", r#"{"alg":"EdDSA","kid":"ed","\u0061lg":"none"}"#);
    head_is("missing", r#"{"kid":"ed"}"#);
    head_is("claim_type", r#"{"alg":null,"kid":"ed"}"#);
    head_is("claim_type", r#"{"alg":["EdDSA"],"kid":"ed"}"#);
    head_is("claim_type", r#"{"alg":"EdDSA","kid":"ed","typ":1}"#);
    let inside = claims.trim_matches(['{', '}']);
    claims_are("duplicate", &format!("{{{inside},\"sub\":\"root\"}}"));
    claims_are("duplicate", &format!("{{{inside},\"a\":{{\"b\":1,\"b\":2}}}}"));
    claims_are("depth", &format!("{{{inside},\"a\":{}{}}}", "[".repeat(20), "]".repeat(20)));
    let many: Vec<String> = (0..1000).map(|n| format!("\"c{n}\":0")).collect();
    claims_are("too_many", &format!("{{{inside},{}}}", many.join(",")));
    ["null", "{}{}", "[]", &format!("\u{feff}{{{inside}}}"), &format!("{{{inside},}}")]
        .into_iter()
        .for_each(|other| claims_are("json", other));
}

#[test]
fn a_sentence_repeats_little_and_nothing_that_acts() {
    let hostile = format!("\u{1b}]0;x\u{7}\n\u{202e}{}", "k".repeat(200));
    let long = merged(id_claims(), json!({"iss": format!("{hostile}{}", "i".repeat(9000))}));
    let sentences = [
        fault_of(&ED.sign(&header("EdDSA", &hostile), &id_claims()), &keys(), &expected()).to_string(),
        fault_of(&ED.sign(&header("EdDSA", "ed"), &long), &keys(), &expected()).to_string(),
        fault_of(&ED.sign_raw("EdDSA", header(&hostile, "ed").to_string().as_bytes(), b"{}"), &keys(), &expected()).to_string(),
    ];
    for sentence in sentences {
        assert!(sentence.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && sentence.len() < 320, "{sentence}");
        assert!(!sentence.contains(ISSUER) && !sentence.contains(&NOW.as_secs().to_string()));
    }
}
