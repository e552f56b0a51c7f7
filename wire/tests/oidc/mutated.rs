//! Properties: whatever is changed in a good token, no other token is believed; whatever claims a provider signs, what is believed
//! keeps what its type promises.

use crate::provider::{CLIENT, ED, ISSUER, NOW, P256, RSA, expected, header, id_claims, keys, logout_claims, merged, workload_claims};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::LazyLock;
use wire::oidc::{Nonce, id_token, logout_token, workload_token};

static TOKENS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let of = |claims: &Value| {
        let signed = [RSA.sign(&header("RS256", "rsa"), claims), RSA.sign(&header("PS256", "rsa"), claims)];
        let points = [P256.sign(&header("ES256", "p256"), claims), ED.sign(&header("EdDSA", "ed"), claims)];
        signed.into_iter().chain(points)
    };
    [id_claims(), logout_claims(), workload_claims()].iter().flat_map(of).collect()
});

fn believed(token: &str) -> [bool; 3] {
    let (keys, expected) = (keys(), expected());
    [
        id_token(token, &keys, &expected, Nonce::None).is_ok(),
        logout_token(token, &keys, &expected).is_ok(),
        workload_token(token, &keys, &expected).is_ok(),
    ]
}

#[test]
fn each_token_is_believed_as_what_it_is_only() {
    for (at, token) in TOKENS.iter().enumerate() {
        let mut wanted = [false; 3];
        wanted[at / 4] = true;
        // A workload's token has an audience that no id token may have.
        assert_eq!(believed(token), wanted);
    }
}

fn any_time() -> impl Strategy<Value = Value> {
    let near = (-100_000_i64..100_000).prop_map(|by| json!(NOW.as_secs() + by));
    prop_oneof![6 => near, 1 => any::<i64>().prop_map(|n| json!(n)), 1 => any::<f64>().prop_map(|n| json!(n)), 1 => any_value()]
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|v| json!(v)),
        any::<u64>().prop_map(|v| json!(v)),
        ".{0,20}".prop_map(|v| json!(v)),
        Just(json!(CLIENT)),
        Just(json!([CLIENT])),
        Just(json!([CLIENT, "account"])),
        Just(json!({"a": []})),
    ]
}

proptest! {
    #[test]
    fn a_changed_token_is_not_believed(which in 0_usize..12, at in any::<prop::sample::Index>(), to in any::<u8>(), how in 0_u8..4) {
        let good = &TOKENS[which];
        let mut bytes = good.clone().into_bytes();
        let at = at.index(bytes.len());
        match how {
            0 => bytes[at] = to,
            1 => bytes.insert(at, to),
            2 => drop(bytes.remove(at)),
            _ => bytes.truncate(at),
        }
        let changed = String::from_utf8_lossy(&bytes);
        prop_assume!(changed != good.as_str());
        prop_assert_eq!(believed(&changed), [false; 3], "{}", changed);
    }

    #[test]
    fn parts_of_two_tokens_make_no_third(one in 0_usize..12, other in 0_usize..12, part in 0_usize..3) {
        prop_assume!(one != other);
        let mut parts: Vec<&str> = TOKENS[one].split('.').collect();
        parts[part] = TOKENS[other].split('.').nth(part).expect("three parts");
        let mixed = parts.join(".");
        prop_assume!(!TOKENS.contains(&mixed));
        prop_assert_eq!(believed(&mixed), [false; 3]);
    }

    #[test]
    fn what_is_believed_keeps_its_promises(
        iat in any_time(), exp in any_time(), nbf in any_time(), auth in any_time(),
        sub in any_value(), aud in any_value(), sid in any_value(), name in "[a-z]{1,6}", more in any_value(),
    ) {
        let base = [id_claims(), logout_claims(), workload_claims()];
        for base in base {
            let times = json!({"iat": iat, "exp": exp, "nbf": nbf, "auth_time": auth});
            let wild = merged(merged(base.clone(), times.clone()), json!({"sub": sub, "aud": aud, "sid": sid, name.clone(): more}));
            for claims in [merged(base, times), wild] {
                let token = ED.sign(&header("EdDSA", "ed"), &claims);
                if let Ok(id) = id_token(&token, &keys(), &expected(), Nonce::None) {
                    let names = 1..=255;
                    prop_assert!(names.contains(&id.subject().chars().count()) && !id.subject().chars().any(char::is_control));
                    prop_assert!(id.claims()["iss"] == ISSUER && (id.claims()["aud"] == CLIENT || id.claims()["aud"] == json!([CLIENT])));
                    prop_assert!(id.expires() > id.issued() && id.expires().since(id.issued()).as_secs() <= 86_400);
                    prop_assert!(id.expires().as_secs() > NOW.as_secs() - 60 && id.issued().as_secs() <= NOW.as_secs() + 60);
                }
                if let Ok(logout) = logout_token(&token, &keys(), &expected()) {
                    prop_assert!(logout.subject().or(logout.sid()).is_some() && !logout.jti().is_empty());
                    prop_assert!(logout.remember_until() > NOW && logout.remember_until().since(NOW).as_secs() <= 720);
                }
                if let Ok(workload) = workload_token(&token, &keys(), &expected()) {
                    prop_assert!(!workload.subject().is_empty() && workload.expires().since(workload.issued()).as_secs() <= 86_400);
                }
            }
        }
    }
}
