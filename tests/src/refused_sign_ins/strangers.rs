//! Strangers at the proxy itself: answers of one sign-in shown to another, twice, or by somebody who did not begin it, and beginnings
//! that ask for what is not given.

use super::{Case, Try, driven};
use crate::issuer::CLIENT;
use crate::issuer::script::with;
use crate::stranger::{Attempt, CALLBACK, Said};
use serde_json::{Value, json};

pub(super) fn cases() -> Vec<Case> {
    [answers_of_others(), begins(), devices()].concat()
}

fn answers_of_others() -> Vec<Case> {
    vec![
        driven("state-of-another", "state", |at| {
            let (mine, theirs) = (at.begin(), at.begin());
            at.finish(&mine, &at.authorize(&theirs))
        }),
        driven("id-of-another", "verifier", |at| {
            let (mine, theirs) = (at.begin(), at.begin());
            let answer = at.authorize(&theirs);
            at.finish(&Attempt { id: theirs.id, ..mine }, &answer)
        }),
        driven("verifier-wrong", "verifier", |at| {
            let mine = at.begin();
            let answer = at.authorize(&mine);
            at.finish(&Attempt { verifier: "A".repeat(43), ..mine }, &answer)
        }),
        driven("verifier-empty", "verifier", |at| {
            let mine = at.begin();
            let answer = at.authorize(&mine);
            at.finish(&Attempt { verifier: String::new(), ..mine }, &answer)
        }),
        driven("id-unknown", "unknown", |at| {
            let mine = at.begin();
            let answer = at.authorize(&mine);
            at.finish(&Attempt { id: "A".repeat(22), ..mine }, &answer)
        }),
        driven("finish-twice", "unknown", |at| {
            let mine = at.begin();
            let answer = at.authorize(&mine);
            let first = at.finish(&mine, &answer);
            assert!(first.signed_in(), "{}", first.text);
            at.finish(&mine, &answer)
        }),
        // A code of one issuer brought to the connector of the other, with the right state: the other one is not asked about it.
        Case {
            budget: &[("token", 0)],
            ..driven("mix-up", "mix_up", |at| {
                let (mine, theirs) = (at.begin(), at.stranger.begin("other").unwrap());
                let foreign = at.other.authorize(&theirs.browse);
                let state = at.authorize(&mine).text("state").to_owned();
                at.finish(&mine, &foreign.with("state", &state))
            })
        },
        // The same where the attacker writes the issuer that is waited for: that one has never seen the code.
        driven("mix-up-iss", "refused", |at| {
            let (mine, theirs) = (at.begin(), at.stranger.begin("other").unwrap());
            let foreign = at.other.authorize(&theirs.browse);
            let right = at.authorize(&mine);
            at.finish(&mine, &right.with("code", foreign.text("code")))
        }),
        // Another sign-in of the same issuer: the code is good, the verifier and the nonce are of this one.
        Case {
            wrongs: &["a verifier that fits no challenge"],
            ..driven("code-of-another", "refused", |at| {
                let (mine, theirs) = (at.begin(), at.begin());
                let foreign = at.authorize(&theirs);
                let right = at.authorize(&mine);
                at.finish(&mine, &right.with("code", foreign.text("code")))
            })
        },
    ]
    .into_iter()
    .map(|case| Case { budget: if case.budget.is_empty() { &[("authorize", 2)] } else { case.budget }, ..case })
    .collect()
}

/// A beginning with something changed is refused; the issuer is not bothered.
fn begin(at: &Try<'_>, change: impl Fn(Value) -> Value) -> Said {
    match at.stranger.begin_with(at.case.name, change) {
        Err(said) => said,
        Ok(attempt) => Said { status: 200, text: format!("begun: {}", attempt.body), body: attempt.body },
    }
}

fn begins() -> Vec<Case> {
    let redirected = |name, drive| driven(name, "begin", drive);
    vec![
        redirected("redirect-elsewhere", |at| begin(at, |wish| with(wish, "redirect", json!("https://evil.example/callback")))),
        redirected("redirect-user", |at| begin(at, |wish| with(wish, "redirect", json!("http://127.0.0.1:1@evil.example/callback")))),
        redirected("redirect-name", |at| begin(at, |wish| with(wish, "redirect", json!("http://localhost:1/callback")))),
        redirected("redirect-lan", |at| begin(at, |wish| with(wish, "redirect", json!("http://10.0.0.1:1/callback")))),
        redirected("redirect-fragment", |at| begin(at, |wish| with(wish, "redirect", json!(format!("{CALLBACK}#x"))))),
        redirected("redirect-script", |at| begin(at, |wish| with(wish, "redirect", json!("javascript:alert(1)")))),
        redirected("redirect-absent", |at| begin(at, |wish| with(wish, "redirect", json!(null)))),
        driven("challenge-short", "begin", |at| begin(at, |wish| with(wish, "challenge", json!("AAAA")))),
        driven("challenge-empty", "begin", |at| begin(at, |wish| with(wish, "challenge", json!("")))),
        Case {
            budget: &[],
            ..driven("csr-none", "", |at| {
                let mine = at.stranger.begin_with(at.case.name, |wish| with(wish, "csr_pem", json!("no csr"))).unwrap();
                at.finish(&mine, &at.authorize(&mine))
            })
        },
        driven("ssh-key-none", "", |at| begin(at, |wish| with(wish, "ssh_public_key", json!("ssh-ed25519 AAAA")))),
        Case { spec: "flows: [device]", heals: false, ..driven("flow-off", "flow", |at| begin(at, |wish| wish)) },
    ]
}

/// Begins with a device and takes the word of its person.
fn device(at: &Try<'_>, word: bool) -> Said {
    let mine = at.stranger.begin_with(at.case.name, |wish| with(with(wish, "flow", json!("device")), "redirect", json!(null))).unwrap();
    let code = mine.body["code"].as_str().unwrap_or_default().to_owned();
    at.issuer.answer_device(&code, word);
    let mut said = at.stranger.poll(&mine);
    // The proxy asks at its own pace.
    for _ in 0..60 {
        if said.status != 200 || said.body["state"] != "waiting" {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(250));
        said = at.stranger.poll(&mine);
    }
    said
}

fn devices() -> Vec<Case> {
    let cases = vec![
        driven("device-denied", "refused", |at| device(at, false)),
        driven("device-verifier", "verifier", |at| {
            let mine =
                at.stranger.begin_with(at.case.name, |wish| with(with(wish, "flow", json!("device")), "redirect", json!(null))).unwrap();
            at.stranger.poll(&Attempt { verifier: "B".repeat(43), ..mine })
        }),
        {
            let mut case = driven("device-token", "audience", |at| device(at, true));
            case.script.id_token = |t| t.claim("aud", json!("account"));
            case
        },
        {
            let mut case = driven("device-azp", "azp", |at| device(at, true));
            case.script.id_token = |t| t.claim("azp", json!(format!("{CLIENT}-cli")));
            case
        },
    ];
    cases.into_iter().map(|case| Case { budget: &[("device", 1), ("poll", 20)], ..case }).collect()
}
