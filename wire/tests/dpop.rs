//! DPoP proofs as honest clients and attackers make them, and the example of the RFC.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test that finds something missing is to stop")]

use access::time::Timestamp;
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::EncodingKey;
use serde_json::{Value, json};
use wire::dpop::{MAX_ID, MAX_PROOF, ProofFault, Request, proof};
use wire::oidc::JsonFault;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
/// The token of RFC 9449 section 7.1, and its hash there.
const TOKEN: &str = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
const HASH: &str = "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo";

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

enum Pair {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl Pair {
    fn ec() -> Self {
        Self::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key"))
    }
    fn ed() -> Self {
        Self::Ed(Ed25519KeyPair::generate().expect("a key"))
    }
    fn header(&self) -> Value {
        match self {
            Self::Ec(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": {"kty": "EC", "crv": "P-256", "x": b64(x), "y": b64(y)}})
            }
            Self::Ed(pair) => {
                json!({"typ": "dpop+jwt", "alg": "EdDSA", "jwk": {"kty": "OKP", "crv": "Ed25519", "x": b64(pair.public_key())}})
            }
        }
    }
    fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
        let signature = match self {
            Self::Ec(pair) => {
                let key = EncodingKey::from_ec_der(pair.to_pkcs8v1().expect("a key").as_ref());
                jsonwebtoken::crypto::sign(message.as_bytes(), &key, jsonwebtoken::Algorithm::ES256).expect("signed")
            }
            Self::Ed(pair) => b64(pair.sign(message.as_bytes())),
        };
        format!("{message}.{signature}")
    }
}

fn urls() -> [String; 2] {
    ["https://naru.example:8443/v1/status", "https://10.0.0.1:8443/v1/status"].map(str::to_owned)
}

fn claims() -> Value {
    json!({"jti": "one", "htm": "GET", "htu": urls()[0], "iat": NOW.as_secs(), "ath": HASH})
}

/// The claims with other members; a null takes one away.
fn with(mut value: Value, other: Value) -> Value {
    for (name, member) in other.as_object().expect("an object") {
        let members = value.as_object_mut().expect("an object");
        if member.is_null() {
            members.remove(name)
        } else {
            members.insert(name.clone(), member.clone())
        };
    }
    value
}

fn asked(text: &str, token: Option<&str>) -> Result<String, ProofFault> {
    let urls = urls();
    proof(text, &Request { method: "GET", urls: &urls, token, now: NOW }).map(|proof| proof.thumbprint().to_owned())
}

fn believed(text: &str) -> Result<String, ProofFault> {
    asked(text, Some(TOKEN))
}

#[test]
fn the_example_of_the_rfc_is_believed_in_its_minute_and_its_key_has_its_thumbprint() {
    // RFC 9449 sections 4.1 and 6.1.
    let text = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg";
    let urls = ["https://server.example.com/token".to_owned()];
    let at = |second| proof(text, &Request { method: "POST", urls: &urls, token: None, now: Timestamp::from_secs(second) });
    let made = 1_562_262_616;
    let told = at(made).expect("believed");
    assert_eq!((told.thumbprint(), told.id()), ("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I", "-BwC3ESc6acc2lTc"));
    for (second, good) in [(made - 61, false), (made - 60, true), (made + 60, true), (made + 61, false)] {
        assert_eq!(at(second).err(), (!good).then_some(ProofFault::Time), "{second}");
    }
}

#[test]
fn both_kinds_of_key_prove_and_each_has_a_thumbprint_of_its_own() {
    let (one, other) = (Pair::ec(), Pair::ed());
    let told = [&one, &other].map(|pair| believed(&pair.sign(&pair.header(), &claims())).expect("believed"));
    assert_ne!(told[0], told[1]);
    // RFC 8037 appendix A.3.
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    let forged = other.sign(&with(other.header(), json!({"jwk": jwk})), &claims());
    assert_eq!(believed(&forged), Err(ProofFault::Signature), "another's public key is no key of one's own");
}

#[test]
fn what_the_request_is_not_is_refused() {
    let pair = Pair::ec();
    let far = i64::MAX;
    for (other, fault) in [
        (json!({"htm": "POST"}), ProofFault::Method),
        (json!({"htm": "get"}), ProofFault::Method),
        (json!({"htm": null}), ProofFault::Claim("htm")),
        (json!({"htu": "https://naru.example:8443/v1/status?all=true"}), ProofFault::Url),
        (json!({"htu": "https://naru.example:8443/v1/status/"}), ProofFault::Url),
        (json!({"htu": "https://NARU.example:8443/v1/status"}), ProofFault::Url),
        (json!({"htu": "http://naru.example:8443/v1/status"}), ProofFault::Url),
        (json!({"htu": "https://evil.example/v1/status"}), ProofFault::Url),
        (json!({"htu": ["https://naru.example:8443/v1/status"]}), ProofFault::Claim("htu")),
        (json!({"iat": NOW.as_secs() - 61}), ProofFault::Time),
        (json!({"iat": NOW.as_secs() + 61}), ProofFault::Time),
        (json!({"iat": far}), ProofFault::Time),
        (json!({"iat": -far}), ProofFault::Time),
        (json!({"iat": "1800000000"}), ProofFault::Claim("iat")),
        (json!({"iat": null}), ProofFault::Claim("iat")),
        (json!({"ath": b64([0; 32])}), ProofFault::Token),
        (json!({"ath": [HASH]}), ProofFault::Token),
        (json!({"ath": null}), ProofFault::Claim("ath")),
        (json!({"jti": ""}), ProofFault::Claim("jti")),
        (json!({"jti": "x".repeat(MAX_ID + 1)}), ProofFault::Claim("jti")),
        (json!({"jti": 7}), ProofFault::Claim("jti")),
    ] {
        assert_eq!(believed(&pair.sign(&pair.header(), &with(claims(), other.clone()))), Err(fault), "{other}");
    }
    for other in [json!({"htu": urls()[1]}), json!({"iat": NOW.as_secs() - 60}), json!({"jti": "x".repeat(MAX_ID)}), json!({"more": 1})] {
        assert!(believed(&pair.sign(&pair.header(), &with(claims(), other.clone()))).is_ok(), "{other}");
    }
    let good = pair.sign(&pair.header(), &claims());
    assert_eq!(asked(&good, None), Err(ProofFault::Token), "made for a token, and shown where one is asked for");
    assert_eq!(asked(&good, Some("another")), Err(ProofFault::Token));
}

#[test]
fn a_header_chooses_neither_how_it_is_checked_nor_a_key_from_elsewhere() {
    let pair = Pair::ec();
    let jwk = pair.header()["jwk"].clone();
    for (other, fault) in [
        (json!({"alg": "none"}), ProofFault::Algorithm),
        (json!({"alg": "HS256"}), ProofFault::Algorithm),
        (json!({"alg": "ES384"}), ProofFault::Algorithm),
        (json!({"alg": "RS256"}), ProofFault::Algorithm),
        (json!({"alg": "es256"}), ProofFault::Algorithm),
        (json!({"alg": null}), ProofFault::Algorithm),
        (json!({"alg": "EdDSA"}), ProofFault::Key),
        (json!({"typ": "JWT"}), ProofFault::Kind),
        (json!({"typ": null}), ProofFault::Kind),
        (json!({"jwk": null}), ProofFault::Key),
        (json!({"jwk": "x"}), ProofFault::Key),
        (json!({"jwk": with(jwk.clone(), json!({"x": b64([0; 32])}))}), ProofFault::Key),
        (json!({"jwk": with(jwk.clone(), json!({"crv": "P-384"}))}), ProofFault::Key),
        (json!({"jwk": with(jwk.clone(), json!({"alg": "EdDSA"}))}), ProofFault::Key),
        (json!({"jwk": with(jwk.clone(), json!({"d": b64([1; 32])}))}), ProofFault::Private),
        (json!({"jwk": with(jwk, json!({"k": "x"}))}), ProofFault::Private),
        (json!({"jku": "https://evil.example"}), ProofFault::Header("jku")),
        (json!({"x5c": []}), ProofFault::Header("x5c")),
        (json!({"crit": ["exp"]}), ProofFault::Header("crit")),
    ] {
        assert_eq!(believed(&pair.sign(&with(pair.header(), other.clone()), &claims())), Err(fault), "{other}");
    }
}

#[test]
fn what_is_no_signature_of_the_key_proves_nothing() {
    let pair = Pair::ec();
    let good = pair.sign(&pair.header(), &claims());
    let (message, signature) = good.rsplit_once('.').expect("a signature");
    // The public key as the secret of an HMAC, under either name.
    let public = URL_SAFE_NO_PAD.decode(pair.header()["jwk"]["x"].as_str().expect("x")).expect("bytes");
    let hmac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &public), message.as_bytes());
    assert_eq!(believed(&format!("{message}.{}", b64(hmac))), Err(ProofFault::Signature));
    assert_eq!(believed(&format!("{message}.{}", b64([0; 64]))), Err(ProofFault::Signature));
    assert_eq!(believed(&format!("{message}.{}", &signature[..80])), Err(ProofFault::Signature));
    let other = Pair::ec().sign(&pair.header(), &claims());
    assert_eq!(believed(&other), Err(ProofFault::Signature), "a key of another");
    for (text, fault) in [
        (String::new(), ProofFault::Parts),
        ("a.b".to_owned(), ProofFault::Parts),
        ("a.b.c.d".to_owned(), ProofFault::Parts),
        (format!("{message}."), ProofFault::Parts),
        (format!("{good}="), ProofFault::Encoding),
        (format!(" {good}"), ProofFault::Encoding),
        (format!("{}.e30.AA", b64(r#"{"typ":"dpop+jwt","typ":"x"}"#)), ProofFault::Json { part: "header", fault: JsonFault::Duplicate }),
        (format!("{}.e30.AA", b64("[]")), ProofFault::Json { part: "header", fault: JsonFault::Malformed }),
        ("x".repeat(MAX_PROOF + 1), ProofFault::TooBig),
    ] {
        assert_eq!(believed(&text), Err(fault), "{text:.80}");
    }
}
