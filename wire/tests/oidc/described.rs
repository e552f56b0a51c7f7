//! Discovery documents (AU17): honest ones are read whole, and each way to lead elsewhere is refused with its own word.

use crate::provider::{ISSUER, merged};
use serde_json::{Value, json};
use wire::oidc::{Algorithm, Discovery, DiscoveryFault, TokenIssuer};

/// As Keycloak 26 describes a realm, shortened.
fn document() -> Value {
    let at = |path: &str| format!("{ISSUER}/protocol/openid-connect/{path}");
    json!({
        "issuer": ISSUER, "authorization_endpoint": at("auth"), "token_endpoint": at("token"), "jwks_uri": at("certs"),
        "device_authorization_endpoint": at("auth/device"), "end_session_endpoint": at("logout"), "userinfo_endpoint": at("userinfo"),
        "revocation_endpoint": at("revoke"), "introspection_endpoint": at("token/introspect"),
        "pushed_authorization_request_endpoint": at("ext/par/request"),
        "id_token_signing_alg_values_supported": ["PS384", "RS256", "HS256", "ES512", "EdDSA", "none"],
        "response_types_supported": ["code", "none", "id_token"], "scopes_supported": ["openid", "groups"],
        "grant_types_supported": ["authorization_code", "refresh_token"], "acr_values_supported": ["0", "1"],
        "code_challenge_methods_supported": ["plain", "S256"], "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "backchannel_logout_supported": true, "backchannel_logout_session_supported": true,
        "authorization_response_iss_parameter_supported": true, "mtls_endpoint_aliases": {"token_endpoint": "https://mtls.example.com/"}
    })
}

fn read(document: &Value, issuer: &str, hosts: &[&str]) -> Result<Discovery, DiscoveryFault> {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    Discovery::parse(document.to_string().as_bytes(), issuer, &hosts)
}

#[track_caller]
fn refused(code: &str, more: Value) -> DiscoveryFault {
    let fault = read(&merged(document(), more), ISSUER, &[]).expect_err("refused");
    assert_eq!(fault.code(), code, "{fault}");
    fault
}

#[test]
fn a_document_is_read_whole() {
    let read = read(&document(), ISSUER, &[]).expect("believed");
    assert_eq!(read.issuer, ISSUER);
    assert_eq!(read.jwks_uri, document()["jwks_uri"]);
    assert_eq!(read.device_authorization_endpoint.as_deref(), document()["device_authorization_endpoint"].as_str());
    assert_eq!(read.algorithms, [Algorithm::Rs256, Algorithm::Ps384, Algorithm::EdDsa]);
    assert_eq!((read.scopes.len(), read.code_challenge_methods.len(), read.grant_types.len()), (2, 2, 2));
    assert!(read.backchannel_logout && read.backchannel_logout_session && read.authorization_response_iss);
}

#[test]
fn what_is_optional_may_be_absent() {
    let mut least = document();
    let needed = ["issuer", "authorization_endpoint", "token_endpoint", "jwks_uri", "id_token_signing_alg_values_supported"];
    least.as_object_mut().expect("an object").retain(|name, _| needed.contains(&name.as_str()));
    let read_least = read(&least, ISSUER, &[]).expect("believed");
    assert!(!read_least.backchannel_logout && read_least.end_session_endpoint.is_none() && read_least.scopes.is_empty());
    for name in needed {
        let code = if name.starts_with("id_token") { "no_algorithm" } else { "missing" };
        refused(code, json!({name: null}));
    }
}

#[test]
fn another_issuer_is_told_with_the_usual_mistake() {
    let table = [
        (format!("{ISSUER}/"), "slash"),
        (ISSUER.replace("https", "http"), "https"),
        (ISSUER.replace("sso", "keycloak"), "host differs"),
        (ISSUER.replace("/realms", "/auth/realms"), "path differs"),
        (ISSUER.replace(".com", ".com:8443"), "port"),
        (ISSUER.replace("sso", "SSO"), "spelling"),
        ("urn:naru".to_owned(), "letter"),
    ];
    for (said, hint) in table {
        let sentence = refused("issuer", json!({"issuer": said})).to_string();
        assert!(sentence.contains(&said) && sentence.contains(ISSUER) && sentence.contains(hint), "{sentence}");
    }
    refused("type", json!({"issuer": [ISSUER]}));
}

#[test]
fn an_endpoint_leads_nowhere_else() {
    let each = document();
    for name in each.as_object().expect("an object").keys().filter(|name| name.ends_with("_endpoint") || *name == "jwks_uri") {
        refused("other_host", json!({name: "https://evil.example/x"}));
        refused("other_host", json!({name: "https://sso.example.com.evil.example/x"}));
        refused("other_host", json!({name: "https://evil.example/?x=https://sso.example.com/"}));
        refused("other_host", json!({name: "http://127.0.0.1/x"}));
        refused("other_host", json!({name: "https://169.254.169.254/latest"}));
        refused("plain_endpoint", json!({name: "http://sso.example.com/x"}));
        refused("endpoint", json!({name: "https://sso.example.com@evil.example/"}));
        refused("endpoint", json!({name: "https://sso.example.com/#x"}));
        refused("endpoint", json!({name: "file:///etc/passwd"}));
        refused("endpoint", json!({name: "javascript://sso.example.com/%0aalert(1)"}));
        refused("endpoint", json!({name: "/token"}));
        refused("endpoint", json!({name: ""}));
        refused("type", json!({name: 1}));
    }
    assert!(read(&merged(document(), json!({"token_endpoint": "https://SSO.example.com:8443/x"})), ISSUER, &[]).is_ok());
    let google = merged(document(), json!({"token_endpoint": "https://oauth2.example.net/token"}));
    assert!(read(&google, ISSUER, &["OAuth2.example.net"]).is_ok());
    assert_eq!(read(&google, ISSUER, &["example.net"]).map_err(|fault| fault.code()), Err("other_host"));
    let plain = merged(document(), json!({"token_endpoint": "http://oauth2.example.net/token"}));
    assert_eq!(read(&plain, ISSUER, &["oauth2.example.net"]).map_err(|fault| fault.code()), Err("plain_endpoint"));
}

#[test]
fn http_is_for_a_provider_on_this_machine() {
    let at = |origin: &str| {
        let text = document().to_string().replace("https://sso.example.com", origin);
        let document: Value = serde_json::from_str(&text).expect("json");
        let issuer = document["issuer"].as_str().expect("text").to_owned();
        (document, issuer)
    };
    for origin in ["http://127.0.0.1:8080", "http://localhost:8080", "http://[::1]:8080"] {
        let (document, issuer) = at(origin);
        assert!(read(&document, &issuer, &[]).is_ok(), "{origin}");
        let away = merged(document, json!({"token_endpoint": "http://sso.example.com/token"}));
        assert_eq!(read(&away, &issuer, &["sso.example.com"]).map_err(|fault| fault.code()), Err("plain_endpoint"));
    }
    for origin in ["http://sso.example.com", "http://127.0.0.1.evil.example", "http://10.0.0.1"] {
        let (document, issuer) = at(origin);
        assert_eq!(read(&document, &issuer, &[]).map_err(|fault| fault.code()), Err("plain_issuer"), "{origin}");
    }
    // https of the issuer is not given up for an endpoint on this machine.
    let (document, issuer) = at("https://localhost");
    let down = merged(document, json!({"token_endpoint": "http://localhost/token"}));
    assert_eq!(read(&down, &issuer, &[]).map_err(|fault| fault.code()), Err("plain_endpoint"));
    for issuer in ["https://sso.example.com/?x", "https://sso.example.com/#x", "https://u@sso.example.com", "sso.example.com", ""] {
        assert_eq!(read(&document_of(issuer), issuer, &[]).map_err(|fault| fault.code()), Err("connector_issuer"), "{issuer}");
    }
}

fn document_of(issuer: &str) -> Value {
    merged(document(), json!({"issuer": issuer}))
}

#[test]
fn what_a_login_needs_is_there_and_of_its_type() {
    refused("no_algorithm", json!({"id_token_signing_alg_values_supported": ["HS256", "none", "ES512", "rs256"]}));
    refused("no_algorithm", json!({"id_token_signing_alg_values_supported": []}));
    refused("no_code", json!({"response_types_supported": ["token", "code id_token"]}));
    refused("type", json!({"id_token_signing_alg_values_supported": "RS256"}));
    refused("type", json!({"scopes_supported": ["openid", 1]}));
    refused("type", json!({"backchannel_logout_supported": "true"}));
    let fault = |bytes: &[u8]| Discovery::parse(bytes, ISSUER, &[]).expect_err("refused").code();
    assert_eq!((fault(b"<html>"), fault(b"[]"), fault(b"{\"issuer\":1,\"issuer\":2}")), ("json", "json", "duplicate"));
    assert_eq!(fault(format!("{}{}", document(), " ".repeat(256 * 1024)).as_bytes()), "size");
}

/// Such issuers describe themselves without endpoints for people.
#[test]
fn an_issuer_of_workload_tokens_needs_only_keys() {
    let ci = json!({
        "issuer": "https://token.actions.example.com", "jwks_uri": "https://token.actions.example.com/.well-known/jwks",
        "response_types_supported": ["id_token"], "id_token_signing_alg_values_supported": ["RS256"]
    });
    let read_as = |document: &Value, hosts: &[String]| {
        TokenIssuer::parse(document.to_string().as_bytes(), "https://token.actions.example.com", hosts).map_err(|fault| fault.code())
    };
    let read_ci = read_as(&ci, &[]).expect("believed");
    assert_eq!(
        (read_ci.jwks_uri.as_str(), read_ci.algorithms),
        ("https://token.actions.example.com/.well-known/jwks", vec![Algorithm::Rs256])
    );
    assert!(read(&ci, "https://token.actions.example.com", &[]).is_err());
    let cluster = merged(ci, json!({"jwks_uri": "https://10.0.0.1:6443/openid/v1/jwks"}));
    assert_eq!(read_as(&cluster, &[]).map(drop), Err("other_host"));
    assert!(read_as(&cluster, &["10.0.0.1".to_owned()]).is_ok());
}
