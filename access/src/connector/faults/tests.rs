//! Every fault of a connector and a bot by its place, and that good ones have none.

use super::*;

const PEM: &str = r#"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"#;

/// A sound connector with these fields instead; `path: message` of each fault.
fn connector(with: &str) -> Vec<String> {
    let sound = format!(
        r#"{{"issuer":"https://sso.example.com/realms/acme","ca":"{PEM}","proxy":"http://proxy.example.com:3128","endpoint_hosts":["api.example.com","10.0.0.1","[::1]"],
        "algorithms":["RS256","EdDSA"],"client_id":"naru","client_secret":"s","scopes":["groups"],"audiences":["account"],"username":"email",
        "claims":{{"realm_access.roles":{{"ops-*":["ops"]}}}},"traits":{{"logins":"logins"}},"max_login":"12h","refresh":"5s","outage":"0s"}}"#
    );
    told(read::<ConnectorSpec>(&sound, with).faults())
}

fn bot(with: &str) -> Vec<String> {
    let sound = r#"{"issuer":"http://127.0.0.1:8080","audience":"naru","claims":{"sub":["repo:acme/*"]},"traits":{"logins":["deploy"]},"max_login":"1h"}"#;
    told(read::<BotSpec>(sound, with).faults())
}

fn read<T: serde::de::DeserializeOwned>(sound: &str, with: &str) -> T {
    let mut json: serde_json::Value = serde_json::from_str(sound).expect("JSON");
    let with: serde_json::Value = serde_json::from_str(with).expect(with);
    for (key, value) in with.as_object().expect("a map") {
        json[key] = value.clone();
    }
    serde_json::from_value(json).expect("a spec")
}

fn told(faults: Vec<SpecFault>) -> Vec<String> {
    assert!(faults.iter().all(|fault| !fault.remedy.is_empty()));
    faults.into_iter().map(|fault| format!("{}: {}", fault.path, fault.message)).collect()
}

#[test]
fn sound_ones_have_no_fault() {
    assert_eq!(connector("{}"), Vec::<String>::new());
    assert_eq!(
        connector(r#"{"client_secret":null,"private_key_jwt":true,"issuer":"http://localhost:8080/realms/a","ca":null}"#),
        Vec::<String>::new()
    );
    assert_eq!(bot("{}"), Vec::<String>::new());
    assert_eq!(bot(r#"{"claims":{"sub":["*"],"repository":["acme/x"]}}"#), Vec::<String>::new());
}

#[test]
fn each_fault_of_a_connector_is_told_at_its_place() {
    let many = (0..65).map(|i| format!(r#""t{i}":"c{i}""#)).collect::<Vec<_>>().join(",");
    let table = [
        (r#"{"issuer":""}"#, "issuer: there is no issuer"),
        (r#"{"issuer":"https://sso.example.com "}"#, "issuer: there are spaces around this issuer"),
        (r#"{"issuer":"https://sso.example.com/a b"}"#, "issuer: an issuer is an address of at most 1,000 bytes without spaces"),
        (r#"{"issuer":"sso.example.com"}"#, "issuer: this issuer is no address such as https://sso.example.com/realms/acme"),
        (r#"{"issuer":"https://admin@sso.example.com"}"#, "issuer: this issuer is no address such as https://sso.example.com/realms/acme"),
        (r#"{"issuer":"https://sso.example.com?x"}"#, "issuer: an issuer has no ? and no #"),
        (r#"{"issuer":"https://sso.example.com/#x"}"#, "issuer: an issuer has no ? and no #"),
        (r#"{"issuer":"http://sso.example.com"}"#, "issuer: over http anybody on the way could sign in as anybody"),
        (r#"{"issuer":"http://localhost.example.com"}"#, "issuer: over http anybody on the way could sign in as anybody"),
        (r#"{"client_id":""}"#, "client_id: a connector needs a client"),
        (r#"{"client_id":"a b"}"#, "client_id: this is one word of at most 256 bytes, without spaces"),
        (r#"{"private_key_jwt":true}"#, "client_secret: with private_key_jwt no secret is used, and one stands here"),
        (r#"{"client_secret":" "}"#, "client_secret: this secret is empty"),
        (r#"{"algorithms":["rs256"]}"#, r#"algorithms[0]: "rs256" is no signature algorithm that is known here"#),
        (
            r#"{"algorithms":["ES256","HS512"]}"#,
            r#"algorithms[1]: "HS512" signs with a secret that both sides know, so whoever checks a token could write one"#,
        ),
        (r#"{"algorithms":["None"]}"#, "algorithms[0]: none is no signature: anybody could write such a token"),
        (r#"{"proxy":"https://proxy:3128"}"#, "proxy: this is no HTTP proxy"),
        (r#"{"proxy":"http://proxy"}"#, "proxy: this is no HTTP proxy"),
        (r#"{"proxy":"http://proxy:3128/x"}"#, "proxy: this is no HTTP proxy"),
        (r#"{"proxy":"http://a:b@proxy:3128"}"#, "proxy: a proxy with a name and password is not supported"),
        (r#"{"ca":"/etc/ca.pem"}"#, "ca: there is no certificate in this"),
        (r#"{"ca":"-----END CERTIFICATE----- -----BEGIN CERTIFICATE-----"}"#, "ca: there is no certificate in this"),
        (r#"{"ca":"-----BEGIN EC PRIVATE KEY-----"}"#, "ca: a private key stands among these certificates"),
        (r#"{"endpoint_hosts":["https://api"]}"#, r#"endpoint_hosts[0]: "https://api" is no host name"#),
        (r#"{"endpoint_hosts":["api","api:443"]}"#, r#"endpoint_hosts[1]: "api:443" is no host name"#),
        (r#"{"scopes":["a b"]}"#, "scopes[0]: this is one word of at most 256 bytes, without spaces"),
        (r#"{"audiences":[""]}"#, "audiences[0]: an empty word says nothing"),
        (r#"{"username":""}"#, "username: the path of a claim has 1 to 256 bytes, without spaces around it"),
        (r#"{"claims":{"":{"a":["ops"]}}}"#, "claims.: the path of a claim has 1 to 256 bytes, without spaces around it"),
        (r#"{"claims":{"groups":{}}}"#, "claims.groups: this claim names no value, so it gives no role"),
        (r#"{"claims":{"groups":{"/ops":[]}}}"#, "claims.groups./ops: this value gives no role"),
        (r#"{"traits":{"a b":"x"}}"#, r#"traits.a b: "a b" cannot name a trait"#),
        (r#"{"traits":{"a":" x"}}"#, "traits.a: the path of a claim has 1 to 256 bytes, without spaces around it"),
        (&format!(r#"{{"traits":{{{many}}}}}"#), "claims: there are 66 here, more than 64"),
        (r#"{"max_login":"0s"}"#, "max_login: max_login is at most 12h and more than 0s, and this is 0s"),
        (r#"{"max_login":"13h"}"#, "max_login: max_login is at most 12h and more than 0s, and this is 13h"),
        (r#"{"refresh":"4s"}"#, "refresh: refresh is from 5s to 1h, and this is 4s"),
        (r#"{"refresh":"61m"}"#, "refresh: refresh is from 5s to 1h, and this is 61m"),
        (r#"{"outage":"13h"}"#, "outage: outage is at most 12h, and this is 13h"),
    ];
    for (with, says) in table {
        assert_eq!(connector(with), [says], "{with}");
    }
    let every = read::<ConnectorSpec>("{}", "{}").faults();
    assert_eq!(every.iter().map(|fault| fault.path.as_str()).collect::<Vec<_>>(), ["issuer", "client_id"], "all at once");
}

#[test]
fn each_fault_of_a_bot_is_told_at_its_place() {
    for (with, says) in [
        (r#"{"issuer":""}"#, "issuer: there is no issuer"),
        (r#"{"issuer":"http://gitlab.example.com"}"#, "issuer: over http anybody on the way could sign in as anybody"),
        (r#"{"audience":""}"#, "audience: a bot needs an audience"),
        (r#"{"claims":{}}"#, "claims: without claims every token of that provider would fit"),
        (r#"{"claims":{"sub":["x","*"]}}"#, "claims: these claims let every token of that provider in"),
        (r#"{"claims":{"sub":["**"],"ref":["*"]}}"#, "claims: these claims let every token of that provider in"),
        (r#"{"claims":{"sub":["a"],"ref":[]}}"#, "claims.ref: nothing can fit an empty list"),
        (r#"{"claims":{" sub":["a"]}}"#, "claims. sub: the path of a claim has 1 to 256 bytes, without spaces around it"),
        (r#"{"traits":{"":["a"]}}"#, r#"traits.: "" cannot name a trait"#),
        (r#"{"max_login":"61m"}"#, "max_login: max_login is at most 1h and more than 0s, and this is 61m"),
    ] {
        assert_eq!(bot(with), [says], "{with}");
    }
}
