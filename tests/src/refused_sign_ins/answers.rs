//! What comes back from the provider in place of a right answer: by the browser, at the token endpoint, as a key set.

use super::{Case, redirect};
use crate::issuer::form::Form;
use crate::issuer::http::{Answer, Body};
use crate::issuer::script::{Endpoint, Script, with, without};
use serde_json::{Value, json};
use std::sync::LazyLock;

pub(super) fn cases() -> Vec<Case> {
    [redirects(), answers(), instead_of_tokens(), userinfo(), keys()].concat()
}

/// One GiB, if somebody would read it.
const ENDLESS: u64 = 1 << 30;

fn redirects() -> Vec<Case> {
    vec![
        redirect("state-absent", "answer", |q| q.without("state")),
        redirect("state-empty", "state", |q| q.with("state", "")),
        redirect("state-other", "state", |q| q.with("state", &"A".repeat(22))),
        redirect("state-cut", "state", |q| {
            let cut = q.text("state")[..21].to_owned();
            q.with("state", &cut)
        }),
        redirect("state-twice", "answer", |q| q.also("state", "x")),
        redirect("iss-wrong", "mix_up", |q| q.with("iss", "https://accounts.example.com")),
        redirect("iss-unsaid", "mix_up", |q| q.without("iss")),
        redirect("iss-twice", "answer", |q| {
            let right = q.text("iss").to_owned();
            q.also("iss", &right)
        }),
        redirect("code-absent", "answer", |q| q.without("code")),
        redirect("code-empty", "answer", |q| q.with("code", "")),
        redirect("code-twice", "answer", |q| q.also("code", "x")),
        redirect("query-empty", "answer", |_| Form::default()),
        redirect("query-huge", "answer", |q| q.also("more", &"x".repeat(20 * 1024))),
        redirect("error", "refused", |q| q.without("code").also("error", "access_denied")),
        redirect("error-nasty", "refused", |q| {
            q.without("code").also("error", "\u{1b}]0;x\u{7}\r\nX: y").also("error_description", "<script>")
        }),
        // The code is the issuer's to refuse: it is asked once.
        Case { budget: &[], ..redirect("code-unknown", "refused", |q| q.with("code", "AAAA")) },
    ]
}

/// The token endpoint's JSON is another one.
fn answer(name: &'static str, reason: &'static str, edit: fn(Value) -> Value) -> Case {
    Case::new(name, reason, Script { token: Endpoint { edit, instead: None }, ..Script::default() })
}

fn answers() -> Vec<Case> {
    vec![
        answer("no-id-token", "missing", |a| without(a, "id_token")),
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
        instead("token-500", "away", |_| Answer::page(500)),
        instead("token-503-json", "away", |_| Answer::json(503, &json!({"error": "temporarily_unavailable"}))),
        instead("token-page", "answer", |_| Answer::page(200)),
        instead("token-empty", "answer", |_| Answer::odd(Body::Whole(Vec::new()))),
        instead("token-refused", "refused", |_| Answer::json(400, &json!({"error": "invalid_grant", "error_description": "\u{1b}[2Jno"}))),
        instead("token-refused-long", "refused", |_| {
            Answer::json(400, &json!({"error": "invalid_request", "error_description": "x".repeat(100_000)}))
        }),
        instead("token-302", "away", |issuer| Answer::redirect(302, format!("{issuer}/evil/token"))),
        instead("token-307", "away", |issuer| Answer::redirect(307, format!("{issuer}/evil/token"))),
        instead("token-gzip", "away", |_| gzipped()),
        instead("token-endless", "away", |_| Answer::odd(Body::Spaces(ENDLESS))),
        instead("token-drip", "away", |_| Answer::odd(Body::Drip)),
        instead("token-silent", "away", |_| Answer::odd(Body::Silence)),
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

/// What the ID token lacks is asked for at the userinfo endpoint, which says something else.
fn info(name: &'static str, reason: &'static str, edit: fn(Value) -> Value, instead: Option<fn(&str) -> Answer>) -> Case {
    let script = Script { userinfo: Endpoint { edit, instead }, id_token: |t| t.without("groups"), ..Script::default() };
    Case::new(name, reason, script)
}

fn userinfo() -> Vec<Case> {
    let same: fn(Value) -> Value = |claims| claims;
    vec![
        // OpenID Connect Core 1.0 section 5.3.2.
        info("userinfo-other", "userinfo", |claims| with(claims, "sub", json!("sub-of-another")), None),
        info("userinfo-nobody", "userinfo", |claims| without(claims, "sub"), None),
        info("userinfo-list", "userinfo", |claims| json!([claims]), None),
        info("userinfo-page", "userinfo", same, Some(|_| Answer::page(200))),
        info("userinfo-500", "away", same, Some(|_| Answer::page(500))),
        info("userinfo-302", "away", same, Some(|issuer| Answer::redirect(302, format!("{issuer}/evil/userinfo")))),
        info("userinfo-endless", "away", same, Some(|_| Answer::odd(Body::Spaces(ENDLESS)))),
    ]
}

/// The key set is another one. It is kept for a while, so that nobody signs in soon after.
fn key_set(name: &'static str, reason: &'static str, edit: fn(Value) -> Value, instead: Option<fn(&str) -> Answer>) -> Case {
    Case { heals: false, ..Case::new(name, reason, Script { keys: Endpoint { edit, instead }, ..Script::default() }) }
}

fn keys() -> Vec<Case> {
    let same: fn(Value) -> Value = |keys| keys;
    vec![
        key_set("keys-empty", "keys", |_| json!({"keys": []}), None),
        key_set("keys-secret", "keys", |_| json!({"keys": [{"kty": "oct", "kid": "rsa-1", "k": "c2VjcmV0"}]}), None),
        key_set("keys-weak", "keys", |_| json!({"keys": [{"kty": "RSA", "kid": "rsa-1", "n": "AQAB", "e": "Aw"}]}), None),
        key_set("keys-no-list", "keys", |_| json!({"keys": {}}), None),
        key_set("keys-many", "keys", |keys| json!({"keys": vec![keys["keys"][0].clone(); 65]}), None),
        key_set("keys-page", "keys", same, Some(|_| Answer::page(200))),
        key_set("keys-500", "status", same, Some(|_| Answer::page(500))),
        key_set("keys-302", "status", same, Some(|issuer| Answer::redirect(302, format!("{issuer}/evil/keys")))),
        key_set("keys-endless", "away", same, Some(|_| Answer::odd(Body::Spaces(ENDLESS)))),
        key_set("keys-silent", "away", same, Some(|_| Answer::odd(Body::Silence))),
    ]
}
