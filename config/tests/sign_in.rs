//! Connectors, bots and what roles demand of a sign-in, as people write them; and that no secret is shown beside a fault.
#![allow(clippy::expect_used, reason = "a test may fail by panicking, in its helpers too")]

use access::connector::{BotSpec, ConnectorSpec, WriteOnly};
use access::policy::{Resource, Stated, WhenFull};
use config::faults::Fault;
use config::policy::resources;

const CONNECTOR: &str = r#"
kind: oidc_connector
name: keycloak
spec:
  issuer: https://sso.example.com/realms/acme
  client_id: naru
  client_secret: hunter2
  ca: |
    -----BEGIN CERTIFICATE-----
    MIIB
    -----END CERTIFICATE-----
  proxy: http://proxy.example.com:3128
  endpoint_hosts: [api.example.com]
  algorithms: [RS256]
  scopes: [groups]
  claims:
    groups: {/platform/sre: [sre, developer], "/product/*": developer}
    realm_access.roles:
      security-officer: auditor
  traits: {logins: posix_login}
  username: preferred_username
  audiences: [account]
  flows: [browser, device]
  max_login: 8h
  refresh: 30s
  outage: 0s
---
kind: bot
name: deploy-shop
spec:
  issuer: https://gitlab.example.com
  audience: https://naru.example.com
  claims:
    sub: "project_path:acme/shop:ref_type:branch:ref:*"
    ref_protected: ["true"]
  roles: deployer
  traits: {logins: [deploy]}
  max_login: 15m
---
kind: role
name: prod
spec:
  options:
    step_up: {acr: [gold, "2"], amr: [otp], max_age: 15m}
    max_logins: 3
    when_full: newest_refused
  allow: {administer: {oidc_connector: write, bot: write}}
"#;

fn faults(text: &str) -> Vec<Fault> {
    resources("f", text, None).expect_err("faults")
}

/// `line:column message | remedy`, one for each fault.
fn told(text: &str) -> Vec<String> {
    faults(text).iter().map(|f| format!("{}:{} {} | {}", f.line, f.column, f.message, f.remedy)).collect()
}

fn connector(all: &[Stated]) -> &ConnectorSpec {
    all.iter()
        .find_map(|one| if let Resource::OidcConnector { spec, .. } = &one.resource { Some(spec) } else { None })
        .expect("a connector")
}

fn bot(all: &[Stated]) -> &BotSpec {
    all.iter().find_map(|one| if let Resource::Bot { spec, .. } = &one.resource { Some(spec) } else { None }).expect("a bot")
}

#[test]
fn all_of_it_is_read_as_it_is_meant_and_read_again_as_it_is_printed() {
    let all = resources("f", CONNECTOR, None).map_err(|faults| config::faults::text(&faults)).expect("no faults");
    let json = serde_json::to_string(connector(&all)).expect("writes");
    assert_eq!(
        json,
        r#"{"issuer":"https://sso.example.com/realms/acme","ca":"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n","proxy":"http://proxy.example.com:3128","endpoint_hosts":["api.example.com"],"algorithms":["RS256"],"client_id":"naru","client_secret":"hunter2","scopes":["groups"],"claims":{"groups":{"/platform/sre":["sre","developer"],"/product/*":["developer"]},"realm_access.roles":{"security-officer":["auditor"]}},"traits":{"logins":"posix_login"},"username":"preferred_username","audiences":["account"],"flows":["browser","device"],"max_login":"8h","refresh":"30s","outage":"0s"}"#
    );
    assert_eq!(
        serde_json::to_string(bot(&all)).expect("writes"),
        r#"{"issuer":"https://gitlab.example.com","audience":"https://naru.example.com","claims":{"ref_protected":["true"],"sub":["project_path:acme/shop:ref_type:branch:ref:*"]},"roles":["deployer"],"traits":{"logins":["deploy"]},"max_login":"15m"}"#
    );
    let Some(Resource::Role { spec, .. }) = all.last().map(|one| &one.resource) else { panic!("a role") };
    let step_up = spec.options.step_up.clone().expect("a demand");
    assert_eq!((step_up.acr, step_up.amr, step_up.max_age), (vec!["gold".into(), "2".into()], vec!["otp".into()], "15m".parse().ok()));
    assert_eq!((spec.options.max_logins, spec.options.when_full), (Some(3), WhenFull::NewestRefused));
    let printed = serde_json::to_string_pretty(&serde_json::json!({ "items": all })).expect("writes");
    assert_eq!(resources("f", &printed, None), Ok(all));
}

#[test]
fn every_fault_has_its_place() {
    let text = "\
kind: oidc_connector
name: keycloak
spec:
  issuer: http://sso.example.com
  client_id: 7
  client_secret: hunter2
  private_key_jwt: true
  algorithms: [RS256, HS256]
  endpoint_hosts: https://api
  claims:
    groups: {/a: [], /b: Ops}
    roles: {}
  traits: {\"a b\": x, logins: [y]}
  flows: [browse]
  refresh: 1s
  outage: 15
  timeout: 3s
---
kind: bot
name: ci
spec:
  audience: naru
  claims: {sub: \"*\", ref: no}
  traits: {\"a b\": [x]}
  max_login: 2h
---
kind: role
name: a
spec:
  options: {step_up: {acr: gold, amr: [\"a b\"], max_age: 0s}, max_logins: 0, when_full: newest}
---
name: x
";
    let wanted = [
        "4:11 over http anybody on the way could sign in as anybody | write https; http is for a provider on 127.0.0.1 or localhost only",
        r#"5:14 client_id is a text, and 7 without quotes is a number | write "7" if the text is meant"#,
        "6:18 with private_key_jwt no secret is used, and one stands here | keep one of the two; private_key_jwt leaves no secret to lose",
        r#"8:23 "HS256" signs with a secret that both sides know, so whoever checks a token could write one | name some of RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 EdDSA, or leave it out"#,
        "9:19 endpoint_hosts is a list, and this is a single value | write [a, b], or one line with - for each item",
        "11:18 this value gives no role | name a role, or leave the value out",
        r#"11:26 "Ops" is not a role name: 1 to 64 of a-z 0-9 . _ -, beginning with a letter or digit | choose a name of these characters"#,
        "12:5 this claim names no value, so it gives no role | write value: [role], with * for any run of characters",
        r#"13:12 "a b" cannot name a trait | use 1 to 64 of A-Z a-z 0-9 . _ - : /"#,
        "13:30 the path of a claim is a text, and this is a list | write one text",
        r#"14:11 a way to sign in cannot be "browse" | did you mean browser?"#,
        "15:12 refresh is from 5s to 1h, and this is 1s | write another length of time, or leave it out",
        r#"16:11 "15" is not a length of time: a whole number and one of s, m, h, d, such as 30m, at most 366d | write for example 15m"#,
        r#"17:3 a connector has no field "timeout""#,
        "22:3 there is no issuer | write the provider's address as it stands in its tokens",
        r#"23:27 a claim's value is a text, and no without quotes is a truth value | write "no" if the text is meant"#,
        r#"24:12 "a b" cannot name a trait | use 1 to 64 of A-Z a-z 0-9 . _ - : /"#,
        "25:14 max_login is at most 1h and more than 0s, and this is 2h | write another length of time, or leave it out",
        "30:28 acr is a list, and this is a single value",
        "30:39 at most 16 words without spaces",
        "30:57 nobody can have signed in at most 0s ago",
        "30:74 max_logins is a whole number from 1",
        r#"30:88 when_full cannot be "newest""#,
        "32:1 this resource has no kind | write kind: and one of role, user, oidc_connector, bot, join_token, node, cluster, guardrail, access_rule, messenger, audit_sink, lock, settings",
    ];
    let told = told(text);
    let odd: Vec<_> = told.iter().zip(wanted).filter(|(told, wanted)| !told.starts_with(wanted)).collect();
    assert!(odd.is_empty() && told.len() == wanted.len(), "{odd:#?} {told:#?}");
}

#[test]
fn a_trait_that_a_connector_or_a_bot_gives_is_known() {
    let role = "---\nkind: role\nname: a\nspec: {allow: {ssh: [{labels: {\"*\": [\"*\"]}, logins: [\"{{posix}}\"]}]}}\n";
    let known = std::collections::BTreeSet::new();
    assert!(resources("f", role, Some(&known)).is_err());
    let connector = "kind: oidc_connector\nname: k\nspec: {issuer: https://a, client_id: naru, traits: {posix: x}}\n";
    let bot = "kind: bot\nname: k\nspec: {issuer: https://a, audience: naru, claims: {sub: x}, traits: {posix: [x]}}\n";
    for gives in [connector, bot] {
        assert!(resources("f", &format!("{gives}{role}"), Some(&known)).is_ok(), "{gives}");
    }
}

#[test]
fn no_fault_shows_a_secret() {
    let spec = |rest: &str| format!("kind: oidc_connector\nname: k\nspec:\n  {rest}\n");
    for text in [
        spec("client_secret: hunter2\n  private_key_jwt: true"),
        spec("{client_secret: \"hunter2\", issuer: x}"),
        spec("client_secert: hunter2"),
        spec("client_secret: [hunter2]"),
        spec("client_secret: {file: hunter2}"),
        spec("client_secret: !!str hunter2"),
        spec("client_secret: &a hunter2"),
        spec("client_secret: |\n    hunter2\n  private_key_jwt: true"),
        spec("client_secret: \"hunter2"),
        spec("client_secret: hunter2: x"),
        spec("\tclient_secret: hunter2"),
        spec("client_secret:\n  hunter2\n  issuer: x"),
        r#"{"kind":"oidc_connector","name":"k","spec":{"client_secret":"hunter2","issuer":"x"}}"#.to_owned(),
        r#"{"kind":"oidc_connector","name":"k","spec":{"client_secret":"hunter2","issuer":"x"}"#.to_owned(),
    ] {
        for fault in faults(&text) {
            let told = format!("{fault:?} {fault}");
            assert!(!told.contains("hunter2"), "{text}\n{fault}");
        }
    }
    let shown = config::faults::text(&faults(&spec("{client_secret: \"hunter2\", issuer: x}")));
    assert!(shown.contains("{client_secret: *********, issuer: x}"), "{shown}");
    let numeric =
        resources("f", &spec("issuer: https://a\n  client_id: naru\n  client_secret: 0123"), None).expect("a number is a secret too");
    assert_eq!(connector(&numeric).client_secret.as_ref().map(WriteOnly::reveal), Some("0123"));
}

/// Every resource that the pages on signing in show is one that can be applied.
#[test]
fn what_the_pages_show_is_read() {
    let pages = [
        include_str!("../../docs/sign-in.md"),
        include_str!("../../docs/sign-in.ko.md"),
        include_str!("../../README.md"),
        include_str!("../../README.ko.md"),
    ];
    let shown: Vec<Vec<&str>> =
        pages.iter().map(|page| page.split("```").filter_map(|block| block.strip_prefix("yaml\n")).collect()).collect();
    assert_eq!(shown.iter().map(Vec::len).collect::<Vec<_>>(), [9, 9, 2, 2]);
    for yaml in shown.concat() {
        let read = resources("page", yaml, None).map_err(|faults| config::faults::text(&faults)).expect(yaml);
        assert!(!read.is_empty());
    }
}
