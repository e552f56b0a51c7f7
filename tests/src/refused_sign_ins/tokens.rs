//! Id tokens that must not be believed: signatures and keys that the token itself brings, claims of other types and other people.

use super::{Case, token};
use crate::issuer::keys::{Signer, stranger};
use crate::issuer::script::{Script, with};
use crate::issuer::token::{LOGOUT_EVENT, now};
use serde_json::json;

pub(super) fn cases() -> Vec<Case> {
    [signatures(), headers(), times(), parties(), other_claims(), forms()].concat()
}

fn signatures() -> Vec<Case> {
    vec![
        token("hs256-pem", "alg", |t| t.signed(Signer::HmacOfPem)),
        token("hs256-der", "alg", |t| t.signed(Signer::HmacOfDer)),
        token("hs256-secret", "alg", |t| t.signed(Signer::HmacOfSecret)),
        token("hs256-unsaid", "signature", |t| t.secretly_signed(Signer::HmacOfPem)),
        token("none", "alg", |t| t.signed(Signer::Nobody).afterwards(|text| format!("{text}AA"))),
        token("none-none", "alg", |t| t.header("alg", json!("None"))),
        token("none-mixed", "alg", |t| t.header("alg", json!("nOnE"))),
        token("unsigned", "parts", |t| t.secretly_signed(Signer::Nobody)),
        token("unsigned-none", "parts", |t| t.signed(Signer::Nobody)),
        token("flipped", "signature", |t| t.afterwards(flip)),
        token("stranger", "signature", |t| t.secretly_signed(Signer::Stranger)),
        token("rsa-key-as-ec", "key_alg", |t| t.header("alg", json!("ES256"))),
        token("ec-key-as-rsa", "key_alg", |t| t.header("kid", json!("ec-1"))),
        token("alg-absent", "missing", |t| t.no_header("alg")),
        token("alg-number", "claim_type", |t| t.header("alg", json!(256))),
        Case { spec: "algorithms: [ES256]", heals: false, ..token("rs256-not-ours", "alg", |t| t) },
        Case { heals: false, ..es256_only("rs256-not-theirs") },
    ]
}

/// The provider says ES256 and signs with RS256.
fn es256_only(name: &'static str) -> Case {
    let mut script = Script::default();
    script.discovery.edit = |document| with(document, "id_token_signing_alg_values_supported", json!(["ES256"]));
    Case { early: true, ..Case::new(name, "alg", script) }
}

/// One bit of the signature.
fn flip(text: String) -> String {
    let (message, signature) = text.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { "B" } else { "A" };
    format!("{message}.{first}{}", &signature[1..])
}

fn headers() -> Vec<Case> {
    let keys = [("keys", 1)].as_slice();
    let cases = vec![
        token("jwk", "header", |t| t.header("jwk", stranger()).secretly_signed(Signer::Stranger)),
        token("jku", "header", |t| {
            let url = json!(format!("{}/evil/keys", t.issuer));
            t.header("jku", url).secretly_signed(Signer::Stranger)
        }),
        token("x5u", "header", |t| {
            let url = json!(format!("{}/evil/cert", t.issuer));
            t.header("x5u", url).secretly_signed(Signer::Stranger)
        }),
        token("x5c", "header", |t| t.header("x5c", json!(["MIIB"])).secretly_signed(Signer::Stranger)),
        token("crit", "header", |t| t.header("crit", json!(["exp"]))),
        token("kid-path", "unknown_key", |t| t.header("kid", json!("../../../../dev/null")).secretly_signed(Signer::HmacOfPem)),
        token("kid-sql", "unknown_key", |t| t.header("kid", json!("' UNION SELECT 'key' --"))),
        token("kid-unknown", "unknown_key", |t| t.header("kid", json!("next-year"))),
        token("kid-nul", "unknown_key", |t| t.header("kid", json!("rsa-1\u{0}"))),
        token("kid-long", "kid", |t| t.header("kid", json!("k".repeat(257)))),
        token("kid-64k", "size", |t| t.header("kid", json!("k".repeat(64 * 1024)))),
        token("kid-list", "kid", |t| t.header("kid", json!(["rsa-1"]))),
        token("header-twice", "duplicate", |t| {
            t.afterwards(|_| {
                let header = crate::issuer::keys::encoded(br#"{"alg":"none","alg":"RS256","kid":"rsa-1"}"#);
                format!("{header}.e30.AAAA")
            })
        }),
        token("typ-logout", "typ", |t| t.header("typ", json!("logout+jwt"))),
        token("typ-access", "typ", |t| t.header("typ", json!("at+jwt"))),
    ];
    cases.into_iter().map(|case| Case { budget: keys, ..case }).collect()
}

fn times() -> Vec<Case> {
    vec![
        token("exp-text", "claim_type", |t| t.claim("exp", json!((now() + 300).to_string()))),
        token("exp-null", "claim_type", |t| t.claim("exp", json!(null))),
        token("exp-list", "claim_type", |t| t.claim("exp", json!([now() + 300]))),
        token("exp-infinite", "json", |t| t.raw("exp", "1e400")),
        token("exp-float", "claim_type", |t| t.raw("exp", "1e300")),
        token("exp-negative", "claim_type", |t| t.claim("exp", json!(-1))),
        token("exp-beyond", "claim_range", |t| t.claim("exp", json!(u64::MAX))),
        token("exp-absent", "missing", |t| t.without("exp")),
        token("exp-past", "expired", |t| t.claim("iat", json!(now() - 900)).claim("exp", json!(now() - 600))),
        token("exp-100-years", "too_long", |t| t.claim("exp", json!(now() + 100 * 365 * 86_400))),
        token("nbf-text", "claim_type", |t| t.claim("nbf", json!("0"))),
        token("nbf-null", "claim_type", |t| t.claim("nbf", json!(null))),
        token("nbf-list", "claim_type", |t| t.claim("nbf", json!([0]))),
        token("nbf-infinite", "json", |t| t.raw("nbf", "-1e400")),
        token("nbf-ahead", "not_yet", |t| t.claim("nbf", json!(now() + 3600))),
        token("iat-text", "claim_type", |t| t.claim("iat", json!(now().to_string()))),
        token("iat-null", "claim_type", |t| t.claim("iat", json!(null))),
        token("iat-negative", "claim_type", |t| t.claim("iat", json!(-5))),
        token("iat-absent", "missing", |t| t.without("iat")),
        token("iat-ahead", "issued_ahead", |t| t.claim("iat", json!(now() + 1800)).claim("exp", json!(now() + 3600))),
        token("iat-after-exp", "order", |t| t.claim("iat", json!(now() + 301))),
        token("auth-time-text", "claim_type", |t| t.claim("auth_time", json!("now"))),
        token("auth-time-ahead", "auth_ahead", |t| t.claim("auth_time", json!(now() + 3600))),
    ]
}

fn parties() -> Vec<Case> {
    vec![
        token("iss-other", "issuer", |t| t.claim("iss", json!("https://accounts.example.com"))),
        token("iss-slash", "issuer", |t| {
            let with_slash = json!(format!("{}/", t.issuer));
            t.claim("iss", with_slash)
        }),
        token("iss-absent", "missing", |t| t.without("iss")),
        token("iss-list", "claim_type", |t| {
            let list = json!([t.issuer]);
            t.claim("iss", list)
        }),
        token("aud-other", "audience", |t| t.claim("aud", json!("account"))),
        token("aud-object", "claim_type", |t| t.claim("aud", json!({"naru": true}))),
        token("aud-null", "claim_type", |t| t.claim("aud", json!(null))),
        token("aud-absent", "missing", |t| t.without("aud")),
        token("aud-empty", "audience", |t| t.claim("aud", json!([]))),
        token("aud-mixed", "claim_type", |t| t.claim("aud", json!(["naru", 7]))),
        token("aud-more", "extra_audience", |t| t.claim("aud", json!(["naru", "account"]))),
        token("azp-other", "azp", |t| t.claim("azp", json!("account"))),
        token("azp-number", "claim_type", |t| t.claim("azp", json!(1))),
        Case {
            spec: "audiences: [account]",
            ..token("azp-absent", "azp_missing", |t| t.claim("aud", json!(["naru", "account"])).without("azp"))
        },
        token("nonce-absent", "missing", |t| t.without("nonce")),
        token("nonce-other", "nonce", |t| t.claim("nonce", json!("AAAAAAAAAAAAAAAAAAAAAA"))),
        token("nonce-empty", "nonce", |t| t.claim("nonce", json!(""))),
        token("nonce-list", "claim_type", |t| t.claim("nonce", json!(["x"]))),
    ]
}

fn other_claims() -> Vec<Case> {
    vec![
        token("sub-absent", "missing", |t| t.without("sub")),
        token("sub-empty", "claim_text", |t| t.claim("sub", json!(""))),
        token("sub-long", "claim_text", |t| t.claim("sub", json!("s".repeat(256)))),
        token("sub-nul", "claim_text", |t| t.claim("sub", json!("sub\u{0}"))),
        token("sub-lines", "claim_text", |t| t.claim("sub", json!("sub\r\nX: y"))),
        token("sub-number", "claim_type", |t| t.claim("sub", json!(1))),
        token("sub-twice", "duplicate", |t| t.twice("sub", "\"admin\"")),
        token("claims-many", "too_many", |t| (0..1100).fold(t, |t, at| t.claim(&format!("c{at}"), json!(at)))),
        token("claims-deep", "depth", |t| t.raw("deep", &format!("{}{}", "[".repeat(400), "]".repeat(400)))),
        token("kind-refresh", "typ", |t| t.claim("typ", json!("Refresh"))),
        token("kind-access", "typ", |t| t.claim("typ", json!("Bearer"))),
        token("kind-logout", "logout_token", |t| t.claim("events", json!({ LOGOUT_EVENT: {} }))),
        token("acr-number", "claim_type", |t| t.claim("acr", json!(1))),
        token("sid-object", "claim_type", |t| t.claim("sid", json!({}))),
    ]
}

fn forms() -> Vec<Case> {
    vec![
        token("four-parts", "parts", |t| t.afterwards(|text| format!("{text}.AAAA"))),
        token("two-parts", "parts", |t| t.afterwards(|text| text.rsplit_once('.').unwrap().0.to_owned())),
        token("no-parts", "parts", |t| t.afterwards(|_| "opaque".to_owned())),
        token("padded", "encoding", |t| t.afterwards(|text| format!("{text}=="))),
        token("spaced", "encoding", |t| t.afterwards(|text| format!(" {text}"))),
        token("huge", "size", |t| t.claim("filler", json!("x".repeat(64 * 1024)))),
        token("claims-list", "json", |t| t.body("[]")),
        token("claims-torn", "json", |t| t.body("{\"iss\":")),
        token("claims-twice", "json", |t| t.body("{} {}")),
    ]
}
