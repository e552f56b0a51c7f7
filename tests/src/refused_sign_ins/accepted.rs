//! What is right is taken, in each of the ways in which providers are right: what a refusal refuses must be the fault and not the form.

use super::{apply, connector};
use crate::harness::Demo;
use crate::issuer::form::Form;
use crate::issuer::keys::Signer;
use crate::issuer::script::{Endpoint, Script, with, without};
use crate::issuer::token::{Token, now};
use crate::issuer::{Issuer, Provider};
use crate::recordings::wait;
use crate::stranger::{Door, Said, Stranger};
use serde_json::{Value, json};
use std::net::Ipv4Addr;

/// A line: a name, more lines of the connector, and what the provider does.
type Case = (&'static str, &'static str, Script);

fn token(id_token: fn(Token) -> Token) -> Script {
    Script { id_token, ..Script::default() }
}

fn document(edit: fn(Value) -> Value, redirect: fn(Form) -> Form) -> Script {
    Script { discovery: Endpoint { edit, instead: None }, redirect, ..Script::default() }
}

fn cases() -> Vec<Case> {
    vec![
        ("plain", "", Script::default()),
        ("ps256", "", token(|t| t.signed(Signer::Ps256))),
        ("es256", "", token(|t| t.signed(Signer::Es256))),
        ("eddsa", "", token(|t| t.signed(Signer::EdDsa))),
        ("only-es256", "algorithms: [ES256]", token(|t| t.signed(Signer::Es256))),
        ("no-kid", "", token(|t| t.signed(Signer::Es256).no_header("kid"))),
        ("no-typ", "", token(|t| t.no_header("typ"))),
        ("x5t", "", token(|t| t.header("x5t", json!("eBJvV2Q3QkFMb1VkbTJZV2hJd1E")))),
        ("aud-list", "", token(|t| t.claim("aud", json!(["naru"])))),
        ("aud-allowed", "audiences: [account]", token(|t| t.claim("aud", json!(["account", "naru"])))),
        ("no-azp", "", token(|t| t.without("azp"))),
        ("clocks-apart", "", token(|t| t.claim("iat", json!(now() + 30)).claim("nbf", json!(now() + 30)))),
        ("name-upper", "", Script { person: |p| with(p, "preferred_username", json!("Name-Upper")), ..Script::default() }),
        ("by-userinfo", "", token(|t| t.without("groups").without("preferred_username"))),
        ("no-userinfo", "", document(|d| without(d, "userinfo_endpoint"), |q| q)),
        ("no-iss", "", document(|d| without(d, "authorization_response_iss_parameter_supported"), |q| q.without("iss"))),
        ("more-in-answer", "", document(|d| d, |q| q.also("session_state", "x").also("scope", "openid profile"))),
        ("by-post", "", document(|d| with(d, "token_endpoint_auth_methods_supported", json!(["client_secret_post"])), |q| q)),
    ]
}

fn sign_in(stranger: Stranger<'_>, connector: &str, issuer: &Issuer) -> Said {
    let attempt = stranger.begin(connector).unwrap_or_else(|said| panic!("{connector}: {}", said.text));
    stranger.finish(&attempt, &issuer.authorize(&attempt.browse).written())
}

#[test]
fn what_is_right_is_taken() {
    let demo = Demo::start(&[]).unwrap();
    let (admin, door, provider) = (demo.sign_in("admin").unwrap(), Door::of(&demo), Provider::start());
    let one = |(name, more, script): &Case| connector(name, &provider.issuer_with(name, *script).url, more);
    apply(&admin, "all", &cases().iter().map(one).collect::<String>()).unwrap();
    let mut wrong = Vec::new();
    for (name, ..) in cases() {
        let issuer = provider.known(name);
        let said = sign_in(door.from(Ipv4Addr::LOCALHOST), name, &issuer);
        let is = said.signed_in() && said.body["name"] == name && said.body["roles"] == json!(["engineer"]);
        if !is || said.body["user"] != format!("{}|sub-{name}", issuer.url) || !issuer.wrongs().is_empty() {
            wrong.push(format!("{name}: {} {} {:?}", said.status, said.text, issuer.wrongs()));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_client_with_a_key_needs_no_secret() {
    let demo = Demo::start(&[]).unwrap();
    let (admin, door, provider) = (demo.sign_in("admin").unwrap(), Door::of(&demo), Provider::start());
    let (me, issuer) = (door.from(Ipv4Addr::LOCALHOST), provider.issuer("idp"));
    let secret = format!("client_secret: {}", crate::issuer::SECRET);
    let spec = connector("idp", &issuer.url, "refresh: 5s").replace(&secret, "private_key_jwt: true");
    apply(&admin, "idp", &spec).unwrap();
    let keys = me.get("/v1/oidc/idp/jwks.json").body;
    assert!(keys["keys"].as_array().is_some_and(|all| all.len() == 1) && keys["keys"][0].get("d").is_none(), "{keys}");
    issuer.set_client_keys(keys.clone());
    let login = sign_in(me, "idp", &issuer);
    assert!(login.signed_in(), "{}", login.text);
    // Each request has an assertion of its own, also those of refreshes.
    wait("two refreshes", || (issuer.asked("refresh") >= 2).then_some(()));
    assert!(me.status(&login).status == 200 && issuer.wrongs().is_empty(), "{:?}", issuer.wrongs());
    // The same connector written again keeps its key: the provider knows it by that.
    apply(&admin, "again", &spec.replace("refresh: 5s", "refresh: 6s")).unwrap();
    assert_eq!(me.get("/v1/oidc/idp/jwks.json").body, keys);
    assert!(me.get("/v1/oidc/none/jwks.json").body["keys"].as_array().is_none_or(Vec::is_empty));
}

#[test]
fn a_connector_s_secret_is_written_and_never_read() {
    let demo = Demo::start(&[]).unwrap();
    let (admin, door, provider) = (demo.sign_in("admin").unwrap(), Door::of(&demo), Provider::start());
    let (me, issuer) = (door.from(Ipv4Addr::LOCALHOST), provider.issuer("idp"));
    let spec = connector("idp", &issuer.url, "");
    apply(&admin, "idp", &spec).unwrap();
    for form in [&["get", "oidc_connector", "idp"][..], &["get", "oidc_connector", "idp", "--json"], &["get", "oidc_connector", "--json"]] {
        let out = admin.naru(form);
        let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success() && said.contains(&issuer.url) && !said.contains(crate::issuer::SECRET), "{said}");
    }
    // What is shown is applied again without it, and the one that is there stays.
    let shown = String::from_utf8(admin.naru(&["get", "oidc_connector", "idp"]).stdout).unwrap();
    apply(&admin, "shown", &shown).unwrap();
    let said = sign_in(me, "idp", &issuer);
    assert!(said.signed_in() && issuer.wrongs().is_empty(), "{} {:?}", said.text, issuer.wrongs());
    // By another way it does not stay: whoever declares that way would be shown it.
    apply(&admin, "other-way", &format!("{}\n", shown.replace("  client_id:", "  endpoint_hosts: [sso.example.com]\n  client_id:")))
        .unwrap();
    assert!(sign_in(me, "idp", &issuer).refused());
    assert_eq!(issuer.wrongs(), ["a token request without the client's secret"]);
    // For another issuer it does not stay: it would be shown to whoever that is.
    let thief = provider.issuer("thief");
    let moved = apply(&admin, "moved", &shown.replace(&issuer.url, &thief.url));
    if moved.is_ok() {
        let attempt = me.begin("idp").unwrap();
        me.finish(&attempt, &thief.authorize(&attempt.browse).written());
    }
    assert!(!thief.bodies().iter().any(|body| body.contains(crate::issuer::SECRET)), "the secret went to another issuer");
}
