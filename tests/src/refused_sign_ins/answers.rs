//! What comes back from the provider in place of a right answer: by the browser, at the token endpoint, as a key set.

use super::{Case, redirect};
use crate::issuer::form::Form;
use crate::issuer::http::{Answer, Body};
use crate::issuer::script::{Endpoint, Script, with, without};
use serde_json::{Value, json};
use std::sync::LazyLock;

pub(super) fn cases() -> Vec<Case> {
    [redirects(), answers(), instead_of_tokens(), keys()].concat()
}

/// One GiB, if somebody would read it.
const ENDLESS: u64 = 1 << 30;

fn redirects() -> Vec<Case> {
    vec![
        redirect("state-absent", "state", |q| q.without("state")),
        redirect("state-empty", "state", |q| q.with("state", "")),
        redirect("state-other", "state", |q| q.with("state", &"A".repeat(22))),
        redirect("state-cut", "state", |q| {
            let cut = q.text("state")[..21].to_owned();
            q.with("state", &cut)
        }),
        redirect("state-twice", "answer", |q| q.also("state", "x")),
        redirect("iss-wrong", "iss", |q| q.with("iss", "https://accounts.example.com")),
        redirect("iss-unsaid", "iss", |q| q.without("iss")),
        redirect("iss-twice", "answer", |q| {
            let right = q.text("iss").to_owned();
            q.also("iss", &right)
        }),
        redirect("code-absent", "answer", |q| q.without("code")),
        redirect("code-empty", "answer", |q| q.with("code", "")),
        redirect("code-twice", "answer", |q| q.also("code", "x")),
        redirect("query-empty", "answer", |_| Form::default()),
        redirect("query-huge", "answer", |q| q.also("more", &"x".repeat(12 * 1024))),
        redirect("error", "access_denied", |q| q.without("code").also("error", "access_denied")),
        redirect("error-nasty", "provider_error", |q| {
            q.without("code").also("error", "\u{1b}]0;x\u{7}\r\nX: y").also("error_description", "<script>")
        }),
        // The code is the issuer's to refuse: it is asked once.
        Case { budget: &[], ..redirect("code-unknown", "invalid_grant", |q| q.with("code", "AAAA")) },
    ]
}

/// The token endpoint's JSON is another one.
fn answer(name: &'static str, reason: &'static str, edit: fn(Value) -> Value) -> Case {
    Case::new(name, reason, Script { token: Endpoint { edit, instead: None }, ..Script::default() })
}

fn answers() -> Vec<Case> {
    vec![
        answer("no-id-token", "no_id_token", |a| without(a, "id_token")),
        answer("id-token-object", "answer", |a| with(a, "id_token", json!({"sub": "admin"}))),
        answer("id-token-empty", "parts", |a| with(a, "id_token", json!(""))),
        answer("no-access-token", "answer", |a| without(a, "access_token")),
        answer("answer-list", "answer", |a| json!([a])),
    ]
}

/// The token endpoint answers something else.
fn instead(name: &'static str, reason: &'static str, instead: fn(&str) -> Answer) -> Case {
    let token = Endpoint { instead: Some(instead), ..Endpoint::default() };
    Case::new(name, reason, Script { token, ..Script::default() })
}

fn instead_of_tokens() -> Vec<Case> {
    vec![
        instead("token-500", "provider", |_| Answer::page(500)),
        instead("token-503-json", "provider", |_| Answer::json(503, &json!({"error": "temporarily_unavailable"}))),
        instead("token-page", "answer", |_| Answer::page(200)),
        instead("token-empty", "answer", |_| Answer::odd(Body::Whole(Vec::new()))),
        instead("token-refused", "invalid_grant", |_| {
            Answer::json(400, &json!({"error": "invalid_grant", "error_description": "\u{1b}[2Jno"}))
        }),
        instead("token-refused-long", "invalid_request", |_| {
            Answer::json(400, &json!({"error": "invalid_request", "error_description": "x".repeat(100_000)}))
        }),
        instead("token-302", "provider", |issuer| Answer::redirect(302, format!("{issuer}/evil/token"))),
        instead("token-307", "provider", |issuer| Answer::redirect(307, format!("{issuer}/evil/token"))),
        instead("token-gzip", "answer", |_| gzipped()),
        instead("token-endless", "provider", |_| Answer::odd(Body::Spaces(ENDLESS))),
        instead("token-drip", "provider", |_| Answer::odd(Body::Drip)),
        instead("token-silent", "provider", |_| Answer::odd(Body::Silence)),
    ]
}

/// A right answer behind 128 MiB of spaces, small as it travels.
fn gzipped() -> Answer {
    static BOMB: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let words = "(head -c 134217728 /dev/zero | tr '\\0' ' '; echo '{}') | gzip -1";
        std::process::Command::new("sh").args(["-c", words]).output().unwrap().stdout
    });
    let mut answer = Answer::odd(Body::Whole(BOMB.clone()));
    answer.headers.push(("Content-Encoding", "gzip".into()));
    answer
}

/// The key set is another one. It is kept for a while, so that nobody signs in soon after.
fn key_set(name: &'static str, reason: &'static str, edit: fn(Value) -> Value, instead: Option<fn(&str) -> Answer>) -> Case {
    Case { heals: false, ..Case::new(name, reason, Script { keys: Endpoint { edit, instead }, ..Script::default() }) }
}

fn keys() -> Vec<Case> {
    let same: fn(Value) -> Value = |keys| keys;
    vec![
        key_set("keys-empty", "no_usable_key", |_| json!({"keys": []}), None),
        key_set("keys-secret", "no_usable_key", |_| json!({"keys": [{"kty": "oct", "kid": "rsa-1", "k": "c2VjcmV0"}]}), None),
        key_set("keys-weak", "no_usable_key", |_| json!({"keys": [{"kty": "RSA", "kid": "rsa-1", "n": "AQAB", "e": "Aw"}]}), None),
        key_set("keys-no-list", "no_list", |_| json!({"keys": {}}), None),
        key_set("keys-many", "too_many_keys", |keys| json!({"keys": vec![keys["keys"][0].clone(); 65]}), None),
        key_set("keys-page", "json", same, Some(|_| Answer::page(200))),
        key_set("keys-500", "provider", same, Some(|_| Answer::page(500))),
        key_set("keys-302", "provider", same, Some(|issuer| Answer::redirect(302, format!("{issuer}/evil/keys")))),
        key_set("keys-endless", "provider", same, Some(|_| Answer::odd(Body::Spaces(ENDLESS)))),
        key_set("keys-silent", "provider", same, Some(|_| Answer::odd(Body::Silence))),
    ]
}
