//! What honest providers send is believed, and what it says arrives. No refusal lives here.

use crate::provider::{
    ED, NOW, P256, P384, RSA, Signer, expected, header, id_claims, key_set, keys, logout_claims, merged, workload_claims,
};
use access::time::Timestamp;
use serde_json::json;
use wire::oidc::{Nonce, id_token, logout_token, workload_token};

/// Each algorithm with the key that is for it.
pub(crate) fn signers() -> [(&'static str, &'static str, &'static Signer); 9] {
    [
        ("RS256", "rsa", &RSA),
        ("RS384", "rsa", &RSA),
        ("RS512", "rsa", &RSA),
        ("PS256", "rsa", &RSA),
        ("PS384", "rsa", &RSA),
        ("PS512", "rsa", &RSA),
        ("ES256", "p256", &P256),
        ("ES384", "p384", &P384),
        ("EdDSA", "ed", &ED),
    ]
}

#[test]
fn each_algorithm_is_believed_with_its_key() {
    for (algorithm, kid, signer) in signers() {
        let token = signer.sign(&header(algorithm, kid), &id_claims());
        let believed = id_token(&token, &keys(), &expected(), Nonce::Must("n-1"));
        assert_eq!(believed.map(|token| token.subject().to_owned()), Ok("5e1c".to_owned()), "{algorithm}");
    }
}

#[test]
fn an_id_token_says_what_was_signed() {
    let token = ED.sign(&header("EdDSA", "ed"), &id_claims());
    let token = id_token(&token, &keys(), &expected(), Nonce::Must("n-1")).expect("believed");
    assert_eq!((token.subject(), token.sid(), token.acr()), ("5e1c", Some("zX-1"), Some("1")));
    assert_eq!(token.amr(), ["pwd", "otp"]);
    let at = |seconds| Timestamp::from_secs(NOW.as_secs() + seconds);
    assert_eq!((token.auth_time(), token.issued(), token.expires()), (Some(at(-5)), at(0), at(300)));
    assert_eq!(serde_json::Value::Object(token.claims().clone()), id_claims());
    assert!(!format!("{token:?}").contains("platform"), "what is logged does not say a person's groups");
}

#[test]
fn what_is_optional_may_be_absent() {
    let less = merged(id_claims(), json!({"azp": null, "sid": null, "nonce": null, "auth_time": null, "acr": null, "amr": null}));
    let token = P256.sign(&json!({"alg": "ES256"}), &less);
    let only = key_set(std::slice::from_ref(&P256.jwk));
    let token = id_token(&token, &only, &expected(), Nonce::None).expect("believed");
    assert_eq!((token.sid(), token.acr(), token.amr().len(), token.auth_time()), (None, None, 0, None));
}

#[test]
fn an_audience_that_the_connector_names_may_stand_beside_ours() {
    let also = ["account".to_owned()];
    let expected = wire::oidc::Expected { also_audiences: &also, ..expected() };
    let token = ED.sign(&header("EdDSA", "ed"), &merged(id_claims(), json!({"aud": ["account", "naru"]})));
    assert!(id_token(&token, &keys(), &expected, Nonce::Must("n-1")).is_ok());
}

#[test]
fn a_logout_token_of_old_and_new_kind_is_believed() {
    for typ in [json!("logout+jwt"), json!("JWT"), json!("application/logout+JWT"), json!(null)] {
        let token = RSA.sign(&merged(header("RS256", "rsa"), json!({"typ": typ, "x5t": "a"})), &logout_claims());
        let token = logout_token(&token, &keys(), &expected()).expect("believed");
        assert_eq!((token.subject(), token.sid(), token.jti()), (Some("5e1c"), Some("zX-1"), "j-1"));
        let after = |seconds| Timestamp::from_secs(NOW.as_secs() + seconds);
        assert_eq!((token.issued(), token.expires(), token.remember_until()), (NOW, after(120), after(180)));
    }
    for (one, other) in [("sub", "sid"), ("sid", "sub")] {
        let token = ED.sign(&header("EdDSA", "ed"), &merged(logout_claims(), json!({one: null})));
        let token = logout_token(&token, &keys(), &expected()).expect("believed");
        assert_eq!((token.subject().is_some(), token.sid().is_some()), (other == "sub", other == "sid"));
    }
}

#[test]
fn a_workload_may_have_other_audiences_and_a_client_of_its_own() {
    let token = RSA.sign(&header("RS256", "rsa"), &workload_claims());
    let token = workload_token(&token, &keys(), &expected()).expect("believed");
    assert_eq!(token.subject(), "repo:acme/app:ref:refs/heads/main");
    assert_eq!(token.claims()["ref"], "refs/heads/main");
    assert_eq!((token.issued(), token.expires()), (NOW, Timestamp::from_secs(NOW.as_secs() + 600)));
}
