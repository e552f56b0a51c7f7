//! That the harness and the realm file do what tests of Naru lean on: every flow once by hand against the real Keycloak.

use super::*;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use serde_json::Value;
use std::sync::OnceLock;

mod back_channel;
mod flows;
mod refusals;

type Ca = rcgen::CertifiedIssuer<'static, rcgen::KeyPair>;

/// The CA of everything that plays Naru here.
fn ca() -> &'static Ca {
    static CA: OnceLock<Ca> = OnceLock::new();
    CA.get_or_init(|| {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap()
    })
}

/// Its certificate, which Keycloak is told to trust.
pub(super) fn ca_pem() -> String {
    ca().pem()
}

fn keycloak() -> &'static Keycloak {
    company::keycloak().unwrap()
}

const NARU: &str = "https://127.0.0.1:9";
const CALLBACK: &str = "http://127.0.0.1:8/callback";
const VERIFIER: &str = "a-verifier-of-at-least-forty-three-characters-x";

fn challenge() -> String {
    BASE64.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, VERIFIER.as_bytes()))
}

/// An authorization request of client `naru`, with more parameters.
fn authorization(realm: &Realm<'_>, redirect: &str, more: &[(&str, &str)]) -> String {
    let challenge = challenge();
    let mut all = vec![
        ("client_id", "naru"),
        ("response_type", "code"),
        ("scope", "openid profile email"),
        ("redirect_uri", redirect),
        ("state", "a-state"),
        ("nonce", "a-nonce"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    all.extend(more);
    format!("{}?{}", realm.endpoint("auth"), http::query(&all))
}

/// The answer of the token endpoint to client `naru`.
fn tokens(realm: &Realm<'_>, fields: &[(&str, &str)]) -> Value {
    Curl::new(&realm.endpoint("token")).basic("naru", "naru-secret").form(fields).send().unwrap().json()
}

fn redeem(realm: &Realm<'_>, code: &str) -> Value {
    let fields = [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", CALLBACK), ("code_verifier", VERIFIER)];
    tokens(realm, &fields)
}

fn refresh(realm: &Realm<'_>, token: &Value) -> Value {
    tokens(realm, &[("grant_type", "refresh_token"), ("refresh_token", token.as_str().unwrap())])
}

/// What a token says; nothing is checked.
fn claims(token: &Value) -> Value {
    let middle = token.as_str().unwrap_or_else(|| panic!("no token but {token}")).split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64.decode(middle).unwrap()).unwrap()
}

/// Signs in with the code flow and gives the tokens.
fn sign_in(realm: &Realm<'_>, name: &str) -> Value {
    let browser = Browser::new(keycloak()).unwrap();
    let seen = browser.open(&authorization(realm, CALLBACK, &[]), &Person::of(name)).unwrap();
    let Seen::Left(url) = seen else { panic!("{seen:?}") };
    redeem(realm, &query_value(&url, "code").unwrap())
}
