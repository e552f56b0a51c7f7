//! What claims give: roles with their reasons, traits, and whether a token is a bot's.

use super::*;

fn kept(json: &str) -> Kept {
    serde_json::from_str(json).expect("claims")
}

#[test]
fn claims_give_roles_each_with_its_reasons() {
    let connector: ConnectorSpec = serde_json::from_str(
        r#"{"claims":{"groups":{"/platform/sre":["sre"],"/product/*":["developer"],"/platform/*":["developer","sre"]},"realm_access.roles":{"ops":["sre"]}},
            "traits":{"logins":"posix","mail":"email"},"username":"email"}"#,
    )
    .expect("a connector");
    let given =
        connector.roles(&kept(r#"{"groups":["/platform/sre","/product/shop","/x"],"realm_access.roles":["ops","OPS"],"other":["ops"]}"#));
    let given: Vec<(&str, Vec<&str>)> = given.iter().map(|(role, why)| (role.as_str(), why.iter().map(String::as_str).collect())).collect();
    let developer = vec!["groups: /platform/sre", "groups: /product/shop"];
    assert_eq!(given, [("developer", developer), ("sre", vec!["groups: /platform/sre", "realm_access.roles: ops"])]);
    assert!(connector.roles(&kept(r#"{"groups":["/platform","platform/sre","/Platform/sre"]}"#)).is_empty());
    assert!(ConnectorSpec::default().roles(&kept(r#"{"groups":["a"]}"#)).is_empty());
    assert_eq!(connector.traits(&kept(r#"{"posix":["lee","deploy"],"other":["x"]}"#)), kept(r#"{"logins":["lee","deploy"]}"#));
    assert_eq!(connector.paths(), ["email", "groups", "posix", "realm_access.roles"]);
    assert_eq!((connector.username_claim(), ConnectorSpec::default().username_claim()), ("email", "preferred_username"));
}

#[test]
fn a_way_to_sign_in_is_allowed_where_all_are_or_it_is_named() {
    let only = ConnectorSpec { flows: vec![Flow::Device], ..ConnectorSpec::default() };
    assert_eq!(Flow::ALL.map(|flow| only.allows(flow)), [false, true, false]);
    assert!(Flow::ALL.into_iter().all(|flow| ConnectorSpec::default().allows(flow)));
    for flow in Flow::ALL {
        assert_eq!(serde_json::to_value(flow).expect("writes"), flow.as_str());
    }
}

#[test]
fn a_token_is_a_bots_where_every_claim_fits() {
    let bot: BotSpec =
        serde_json::from_str(r#"{"claims":{"sub":["repo:acme/shop:*","repo:acme/web:*"],"ref":["refs/heads/main"]}}"#).expect("a bot");
    let fits = |json: &str| {
        let token = kept(json);
        bot.fits(|path| token.get(path).cloned().unwrap_or_default())
    };
    assert_eq!(fits(r#"{"sub":["repo:acme/web:x"],"ref":["refs/heads/main"],"more":["y"]}"#), Ok(()));
    assert_eq!(fits(r#"{"sub":["other","repo:acme/web:x"],"ref":["refs/heads/main"]}"#), Ok(()));
    let no = |json: &str| fits(json).expect_err("a no");
    assert_eq!(no(r#"{"sub":["repo:acme/web:x"]}"#), "the token has no claim ref");
    assert_eq!(no(r#"{"sub":["repo:acme/web:x"],"ref":[]}"#), "the token has no claim ref");
    assert_eq!(
        no(r#"{"sub":["repo:evil/shop:x\u001b[2J"],"ref":["refs/heads/main"]}"#),
        r#"the claim sub is "repo:evil/shop:x\u{1b}[2J", which the bot's claims do not fit"#
    );
    let long = format!(r#"{{"sub":["{}"],"ref":["refs/heads/main"]}}"#, "x".repeat(5_000));
    assert!(no(&long).len() < 200);
    assert!(BotSpec::default().fits(|_| vec!["x".into()]).is_err(), "no claims fit nothing");
}

#[test]
fn a_secret_shows_nowhere_but_where_it_is_asked_for() {
    let connector = ConnectorSpec { client_secret: Some(WriteOnly::new("hunter2".into())), ..ConnectorSpec::default() };
    assert!(!format!("{connector:?}").contains("hunter2"));
    assert_eq!(connector.client_secret.as_ref().map(WriteOnly::reveal), Some("hunter2"));
}
