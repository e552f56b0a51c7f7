//! The provider does the right thing when nothing is changed, and refuses a client that does not. With curl, which is no client of ours.

use super::form::Form;
use super::keys::{Signer, challenge, random};
use super::script::{Script, with};
use super::token::Token;
use super::{CLIENT, Issuer, Provider, SECRET, http};
use serde_json::{Value, json};
use std::process::Command;

fn curl(args: &[&str]) -> (u16, Value) {
    let out = Command::new("curl").args(["-sS", "--max-time", "20", "-w", "\n%{http_code}"]).args(args).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), serde_json::from_str(body).unwrap_or(Value::Null))
}

fn browse(issuer: &Issuer, verifier: &str) -> String {
    let form = Form::default().also("response_type", "code").also("client_id", CLIENT).also("redirect_uri", "http://127.0.0.1:1/callback");
    let form = form.also("state", &random()).also("nonce", "n".repeat(22).as_str()).also("scope", "openid profile");
    let form = form.also("code_challenge", &challenge(verifier)).also("code_challenge_method", "S256");
    format!("{}/authorize?{}", issuer.url, form.written())
}

fn token(issuer: &Issuer, form: &Form) -> (u16, Value) {
    curl(&["-u", &format!("{CLIENT}:{SECRET}"), "-d", &form.written(), &format!("{}/token", issuer.url)])
}

fn exchange(code: &str, verifier: &str) -> Form {
    let form = Form::default().also("grant_type", "authorization_code").also("redirect_uri", "http://127.0.0.1:1/callback");
    form.also("code", code).also("code_verifier", verifier)
}

fn claims(answer: &Value, part: usize) -> Value {
    use base64::Engine;
    let text = answer["id_token"].as_str().unwrap().split('.').nth(part).unwrap();
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
}

#[test]
fn a_code_is_worth_tokens_once_and_only_to_who_began() {
    let provider = Provider::start();
    let issuer = provider.issuer("good");
    let (_, document) = curl(&[&format!("{}/.well-known/openid-configuration", issuer.url)]);
    assert_eq!(document["issuer"], issuer.url.as_str());
    let query = issuer.authorize(&browse(&issuer, "right"));
    assert_eq!(query.text("iss"), issuer.url);
    let (status, answer) = token(&issuer, &exchange(query.text("code"), "right"));
    assert_eq!((status, &claims(&answer, 1)["nonce"], &claims(&answer, 0)["alg"]), (200, &json!("n".repeat(22)), &json!("RS256")));
    assert!(issuer.wrongs().is_empty(), "{:?}", issuer.wrongs());
    assert_eq!(token(&issuer, &exchange(query.text("code"), "right")).0, 400);
    let other = issuer.authorize(&browse(&issuer, "right"));
    assert_eq!(token(&issuer, &exchange(other.text("code"), "wrong")).0, 400);
    let form = exchange(other.text("code"), "right").written();
    assert_eq!(curl(&["-d", &form, &format!("{}/token", issuer.url)]).0, 401);
    assert_eq!(issuer.wrongs(), ["a code twice", "a verifier that fits no challenge", "a token request without the client's secret"]);
    assert_eq!((issuer.asked("token"), issuer.asked("authorize"), issuer.asked("other")), (4, 2, 0));
    issuer.authorize(&format!("{}/authorize?response_type=code&client_id=other", issuer.url));
    assert!(issuer.wrongs().len() > 8);

    let refresh = |text: &Value| Form::default().also("grant_type", "refresh_token").also("refresh_token", text.as_str().unwrap());
    let (status, next) = token(&issuer, &refresh(&answer["refresh_token"]));
    assert!(status == 200 && claims(&next, 1)["nonce"].is_null() && next["refresh_token"] != answer["refresh_token"]);
    assert_eq!(token(&issuer, &refresh(&answer["refresh_token"])).0, 400);
    issuer.end_sessions("sub-good");
    assert_eq!(token(&issuer, &refresh(&next["refresh_token"])).0, 400);
}

#[test]
fn a_device_waits_for_its_person() {
    let issuer_of = Provider::start();
    let issuer = issuer_of.issuer("device");
    let (_, begun) = curl(&["-u", &format!("{CLIENT}:{SECRET}"), "-d", "scope=openid", &format!("{}/device", issuer.url)]);
    let form = Form::default().also("grant_type", "urn:ietf:params:oauth:grant-type:device_code");
    let form = form.also("device_code", begun["device_code"].as_str().unwrap());
    assert_eq!(token(&issuer, &form).1["error"], "authorization_pending");
    issuer.answer_device(begun["user_code"].as_str().unwrap(), true);
    assert_eq!(claims(&token(&issuer, &form).1, 1)["sub"], "sub-device");
    assert_eq!(token(&issuer, &form).1["error"], "expired_token");
}

#[test]
fn a_script_changes_one_thing() {
    let provider = Provider::start();
    let issuer = provider.issuer("odd");
    let mut script = Script::default();
    script.discovery.edit = |right| with(right, "issuer", json!("https://elsewhere.example"));
    script.keys.instead = Some(|_| http::Answer::redirect(302, "http://127.0.0.1:1/".into()));
    script.userinfo.instead = Some(|_| http::Answer::odd(http::Body::Spaces(300_000)));
    script.id_token = |token| token.claim("aud", json!({"naru": true})).raw("exp", "1e400").twice("iss", "\"x\"").signed(Signer::Nobody);
    issuer.set(script);
    assert_eq!(curl(&[&format!("{}/.well-known/openid-configuration", issuer.url)]).1["issuer"], "https://elsewhere.example");
    assert_eq!(curl(&[&format!("{}/keys", issuer.url)]).0, 302);
    assert_eq!(curl(&[&format!("{}/userinfo", issuer.url)]), (200, json!({})));
    assert_eq!(issuer.sent(), 300_000);
    let text = (script.id_token)(Token::of(&issuer.url, CLIENT)).written();
    assert!(text.ends_with('.') && text.split('.').count() == 3);
}
