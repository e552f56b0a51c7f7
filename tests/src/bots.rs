//! Machines that sign in with a token of their provider: issuers that stand in for GitLab CI, GitHub Actions, Jenkins and Kubernetes,
//! each with the claims that it publishes, and what is refused of each.

use crate::harness::Demo;
use crate::issuer::keys::Signer;
use crate::issuer::script::{Endpoint, Script};
use crate::issuer::token::{LOGOUT_EVENT, Token, now};
use crate::issuer::{Issuer, Provider};
use crate::refused_sign_ins::{apply, connector, events, says};
use crate::stranger::{Door, Said, Stranger};
use serde_json::{Value, json};
use std::net::Ipv4Addr;

/// What the tokens of our bots are made for.
const AUDIENCE: &str = "https://naru.example.com";

/// A token that is refused: a name, the word of the event, and what makes it one.
type Other = (&'static str, &'static str, fn(Token) -> Token);

/// A provider of tokens: its name, what a bot pins, and a token that fits.
struct Kind {
    name: &'static str,
    /// The claims of the bot, as YAML in one line.
    pins: &'static str,
    token: fn(&str) -> Token,
    /// What is not the bot's.
    others: &'static [Other],
}

/// docs.gitlab.com, "OpenID Connect (OIDC) Authentication Using ID Tokens".
fn gitlab(issuer: &str) -> Token {
    Token::of(issuer, AUDIENCE).claims(&json!({
        "namespace_id": "72", "namespace_path": "acme", "project_id": "20", "project_path": "acme/shop", "user_id": "1",
        "user_login": "minji", "user_email": "minji@example.com", "user_access_level": "developer", "pipeline_id": "574",
        "pipeline_source": "push", "job_id": "302", "ref": "main", "ref_type": "branch", "ref_path": "refs/heads/main",
        "ref_protected": "true", "environment": "production", "environment_protected": "true", "deployment_tier": "production",
        "environment_action": "start", "runner_id": 1, "runner_environment": "self-hosted",
        "sha": "714a629c0b401fdce83e847fc9589983fc6f46bc", "project_visibility": "private",
        "ci_config_ref_uri": "gitlab.example.com/acme/shop//.gitlab-ci.yml@refs/heads/main",
        "ci_config_sha": "714a629c0b401fdce83e847fc9589983fc6f46bc", "jti": crate::issuer::keys::random(), "nbf": now() - 5,
        "sub": "project_path:acme/shop:ref_type:branch:ref:main",
    }))
}

/// docs.github.com, "OpenID Connect reference".
fn github(issuer: &str) -> Token {
    let token = Token::of(issuer, AUDIENCE).header("x5t", json!("eBJvV2Q3QkFMb1VkbTJZV2hJd1E"));
    token.claims(&json!({
        "jti": crate::issuer::keys::random(), "sub": "repo:acme/shop:ref:refs/heads/main", "ref": "refs/heads/main", "sha": "e7d0",
        "repository": "acme/shop", "repository_owner": "acme", "actor_id": "12", "repository_visibility": "private",
        "repository_id": "74", "repository_owner_id": "65", "run_id": "9", "run_number": "10", "run_attempt": "2",
        "runner_environment": "github-hosted", "actor": "minji", "workflow": "deploy", "head_ref": "", "base_ref": "",
        "event_name": "push", "ref_type": "branch", "ref_protected": "true",
        "job_workflow_ref": "acme/pipelines/.github/workflows/deploy.yml@refs/heads/main", "nbf": now() - 60,
    }))
}

/// plugins.jenkins.io/oidc-provider.
fn jenkins(issuer: &str) -> Token {
    let job = json!({"sub": "https://jenkins.example.com/job/deploy/", "build_number": 42});
    Token::of(issuer, AUDIENCE).no_header("typ").claims(&job)
}

/// kubernetes.io, "Managing Service Accounts": a bound service account token.
fn kubernetes(issuer: &str) -> Token {
    Token::of(issuer, AUDIENCE).no_header("typ").claims(&json!({
        "aud": [AUDIENCE], "exp": now() + 3600, "nbf": now(), "jti": crate::issuer::keys::random(),
        "sub": "system:serviceaccount:deploy:shipper",
        "kubernetes.io": {
            "namespace": "deploy", "node": {"name": "n1", "uid": "b5ac"}, "pod": {"name": "shipper-x7", "uid": "9a3f"},
            "serviceaccount": {"name": "shipper", "uid": "14ee"}, "warnafter": now() + 3000,
        },
    }))
}

const KINDS: [Kind; 4] = [
    Kind {
        name: "gitlab",
        pins: "{project_path: [acme/shop], ref: [main], ref_type: [branch], ref_protected: ['true'], environment: [production]}",
        token: gitlab,
        others: &[
            ("project", "claims", |t| t.claim("project_path", json!("acme/shop-evil"))),
            ("project-absent", "claims", |t| t.without("project_path")),
            ("project-case", "claims", |t| t.claim("project_path", json!("Acme/Shop"))),
            ("branch", "claims", |t| t.claim("ref", json!("main2"))),
            ("tag-of-the-name", "claims", |t| t.claim("ref_type", json!("tag"))),
            ("unprotected", "claims", |t| t.claim("ref_protected", json!("false"))),
            ("protected-list", "claims", |t| t.claim("ref_protected", json!([["true"]]))),
            ("environment-absent", "claims", |t| t.without("environment")),
        ],
    },
    Kind {
        name: "github",
        pins: "{sub: ['repo:acme/shop:ref:refs/heads/main'], job_workflow_ref: ['acme/pipelines/.github/workflows/*@refs/heads/main']}",
        token: github,
        others: &[
            ("pull-request", "claims", |t| t.claim("sub", json!("repo:acme/shop:pull_request"))),
            ("fork", "claims", |t| t.claim("sub", json!("repo:evil/shop:ref:refs/heads/main"))),
            ("longer", "claims", |t| t.claim("sub", json!("repo:acme/shop:ref:refs/heads/main2"))),
            ("workflow", "claims", |t| t.claim("job_workflow_ref", json!("acme/shop/.github/workflows/x.yml@refs/heads/main"))),
            ("workflow-ref", "claims", |t| {
                t.claim("job_workflow_ref", json!("acme/pipelines/.github/workflows/deploy.yml@refs/heads/mine"))
            }),
        ],
    },
    Kind {
        name: "jenkins",
        pins: "{sub: ['https://jenkins.example.com/job/deploy/']}",
        token: jenkins,
        others: &[
            ("job", "claims", |t| t.claim("sub", json!("https://jenkins.example.com/job/deploy/job/x/"))),
            ("controller", "claims", |t| t.claim("sub", json!("https://jenkins.evil.example/job/deploy/"))),
        ],
    },
    Kind {
        name: "kubernetes",
        pins: "{kubernetes.io.namespace: [deploy], kubernetes.io.serviceaccount.name: [shipper]}",
        token: kubernetes,
        others: &[
            ("namespace", "claims", |t| t.claim("kubernetes.io", json!({"namespace": "other", "serviceaccount": {"name": "shipper"}}))),
            ("account", "claims", |t| t.claim("kubernetes.io", json!({"namespace": "deploy", "serviceaccount": {"name": "default"}}))),
            ("flat", "claims", |t| t.without("kubernetes.io").claim("namespace", json!("deploy"))),
        ],
    },
];

/// What is refused of every provider.
const ALWAYS: [Other; 12] = [
    ("audience", "audience", |t| t.claim("aud", json!("https://vault.example.com"))),
    ("audience-absent", "missing", |t| t.without("aud")),
    ("issuer", "issuer", |t| t.claim("iss", json!("https://gitlab.com"))),
    ("expired", "expired", |t| t.claim("iat", json!(now() - 900)).claim("exp", json!(now() - 600)).claim("nbf", json!(now() - 900))),
    ("for-ever", "too_long", |t| t.claim("exp", json!(now() + 366 * 86_400))),
    ("kid", "unknown_key", |t| t.header("kid", json!("next-year"))),
    ("stranger", "signature", |t| t.secretly_signed(Signer::Stranger)),
    ("hs256", "alg", |t| t.signed(Signer::HmacOfPem)),
    ("unsigned", "parts", |t| t.signed(Signer::Nobody)),
    ("jwk", "header", |t| t.header("jwk", crate::issuer::keys::stranger())),
    ("logout-token", "logout_token", |t| t.claim("events", json!({ LOGOUT_EVENT: {} }))),
    ("sub-absent", "missing", |t| t.without("sub")),
];

/// A provider of tokens only: it describes its keys and has nothing where people could sign in.
fn of_machines(provider: &Provider, name: &str) -> Issuer {
    let edit = |all: Value| {
        let kept = ["issuer", "jwks_uri", "id_token_signing_alg_values_supported", "subject_types_supported"];
        let mut kept: Value = kept.iter().map(|name| ((*name).to_owned(), all[*name].clone())).collect();
        kept["response_types_supported"] = json!(["id_token"]);
        kept
    };
    provider.issuer_with(name, Script { discovery: Endpoint { edit, instead: None }, ..Script::default() })
}

fn bot(name: &str, issuer: &str, pins: &str, more: &str) -> String {
    let login = String::from_utf8(std::process::Command::new("id").arg("-un").output().unwrap().stdout).unwrap();
    format!(
        "---\nkind: bot\nname: {name}\nspec:\n  issuer: {issuer}\n  audience: {AUDIENCE}\n  claims: {pins}\n  roles: [engineer]\n  traits: {{logins: [{}]}}\n{more}",
        login.trim()
    )
}

fn sign_in(stranger: Stranger<'_>, bot: &str, token: &str) -> Said {
    let mut body = stranger.door.keys();
    body["bot"] = json!(bot);
    body["token"] = json!(token);
    stranger.post("/v1/sign-in/bot", &body)
}

/// Seconds from now until a certificate ends.
fn lasts(said: &Said) -> i64 {
    let ends: access::time::Timestamp = serde_json::from_value(said.body["expires"].clone()).unwrap();
    ends.as_secs() - i64::try_from(now()).unwrap()
}

#[test]
fn each_provider_s_machines_sign_in_and_others_do_not() {
    let demo = Demo::start(&[]).unwrap();
    let (admin, olga, door, provider) = (demo.sign_in("admin").unwrap(), demo.sign_in("olga").unwrap(), Door::of(&demo), Provider::start());
    let issuers: Vec<Issuer> = KINDS.iter().map(|kind| of_machines(&provider, kind.name)).collect();
    let all: String = KINDS.iter().zip(&issuers).map(|(kind, issuer)| bot(kind.name, &issuer.url, kind.pins, "")).collect();
    apply(&admin, "bots", &all).unwrap();
    let mut wrong = Vec::new();
    let (mut tried, mut wanted) = (0_u8, Vec::new());
    for (kind, issuer) in KINDS.iter().zip(&issuers) {
        let good = || (kind.token)(&issuer.url);
        let said = sign_in(door.from(Ipv4Addr::LOCALHOST), kind.name, &good().written());
        if said.status != 200 || said.body["name"] != kind.name || said.body["roles"] != json!(["engineer"]) || lasts(&said) > 3600 {
            wrong.push(format!("{}: {} {}", kind.name, said.status, said.text));
        }
        for (name, reason, change) in ALWAYS.iter().chain(kind.others) {
            tried += 1;
            let from = Ipv4Addr::new(127, 6, 0, tried);
            let said = sign_in(door.from(from), kind.name, &change(good()).written());
            if !said.refused() {
                wrong.push(format!("{} {name}: answered {} {}", kind.name, said.status, said.text));
            }
            wanted.push((from.to_string(), format!("{} {name}", kind.name), *reason));
        }
        // One that is good, for a bot of another provider.
        let next = KINDS.iter().find(|other| other.name != kind.name).unwrap();
        if !sign_in(door.from(Ipv4Addr::LOCALHOST), next.name, &good().written()).refused() {
            wrong.push(format!("{}'s token was taken for {}", kind.name, next.name));
        }
        if issuer.asked("keys") > 1 || issuer.asked("discovery") > 1 || issuer.asked("other") > 0 {
            wrong.push(format!("{}: asked {:?}", kind.name, issuer.counts()));
        }
    }
    let failed = events(&olga, "auth.login.failed");
    for (from, name, reason) in wanted {
        match failed.iter().filter(|event| event["client"]["ip"] == from.as_str()).collect::<Vec<_>>().as_slice() {
            [one] if says(one, reason) => {}
            other => wrong.push(format!("{name}: not {reason} but {other:?}")),
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(!demo.log().contains("panicked"));
}

#[test]
fn a_bot_has_its_roles_for_a_short_time_and_no_others() {
    let demo = Demo::start(&[]).unwrap();
    let (admin, door, other_job, provider) =
        (demo.sign_in("admin").unwrap(), Door::of(&demo), Door::named(&demo, "job-2"), Provider::start());
    let issuer = of_machines(&provider, "gitlab");
    let people = provider.issuer("people");
    let pins = "{project_path: [acme/shop]}";
    let both =
        [bot("ci", &issuer.url, pins, ""), bot("brief", &issuer.url, pins, "  max_login: 5m\n"), connector("people", &people.url, "")];
    apply(&admin, "both", &both.concat()).unwrap();
    let (me, them) = (door.from(Ipv4Addr::LOCALHOST), other_job.from(Ipv4Addr::LOCALHOST));
    let token = gitlab(&issuer.url).written();
    // Jobs side by side share a token, each with keys of its own.
    let (one, two) = (sign_in(me, "ci", &token), sign_in(them, "ci", &token));
    assert!(one.status == 200 && two.status == 200, "{} {}", one.text, two.text);
    assert_ne!(one.body["ssh_certificate"], two.body["ssh_certificate"]);
    assert!(lasts(&sign_in(me, "brief", &token)) <= 300);
    // One and the same answer for a bot that is not there and a token that does not fit.
    let (absent, unfit) = (sign_in(me, "nobody", &token), sign_in(me, "ci", &jenkins(&issuer.url).written()));
    assert!(
        absent.refused() && (absent.status, &absent.body["code"]) == (unfit.status, &unfit.body["code"]),
        "{} {}",
        absent.text,
        unfit.text
    );
    // A person is no bot, and a bot no person.
    assert!(sign_in(me, "people", &token).refused() && sign_in(me, "alice", &token).refused());
    assert!(me.begin("ci").is_err());
    // What a bot is: its roles, and nothing that administers.
    let status = me.status(&one).body;
    assert!(status["roles"] == json!(["engineer"]) && status["login"]["method"] == "bot", "{status}");
    for (path, body) in [
        ("/v1/tokens", json!({"kind": "node", "node": "*"})),
        ("/v1/links", json!({"user": "ci"})),
        ("/v1/apply", json!({"resources": [{"kind": "role", "name": "mine", "spec": {"allow": {"administer": {"role": "write"}}}}]})),
    ] {
        let said = me.post_as(&one, path, &body);
        assert!(matches!(said.status, 400..=403), "{path}: {} {}", said.status, said.text);
    }
    // Where nothing can show a certificate, a token of ours does for all but what takes certificates alone.
    let made = me.post("/v1/sign-in/bot", &json!({"bot": "ci", "token": token, "want": "access_token", "ttl_s": 60}));
    assert!(made.status == 200 && made.body["token_type"] == "Bearer" && made.body.get("ssh_certificate").is_none(), "{}", made.text);
    let bearer = format!("Authorization: Bearer {}", made.body["token"].as_str().unwrap());
    let shown = |path: &str| me.ask(path, &["-H", &bearer], b"");
    let status = shown("/v1/status");
    assert!(status.status == 200 && status.body["name"] == "ci" && status.body["login"]["method"] == "bot", "{}", status.text);
    assert_eq!((shown("/v1/ssh").body["code"].as_str(), shown("/v1/events").status), (Some("NARU-A135"), 403));
    // Taken away, it is out at once.
    assert!(admin.naru(&["delete", "bot", "ci"]).status.success());
    crate::recordings::wait("the end of the bot's login", || (me.status(&one).status != 200).then_some(()));
    assert_eq!(shown("/v1/status").status, 401);
    assert!(sign_in(me, "ci", &token).refused());
}

#[test]
fn a_job_signs_in_by_the_command_line_and_works() {
    let demo = Demo::start(&[]).unwrap();
    let (admin, provider) = (demo.sign_in("admin").unwrap(), Provider::start());
    let issuer = of_machines(&provider, "gitlab");
    apply(&admin, "ci", &bot("ci", &issuer.url, "{project_path: [acme/shop]}", "")).unwrap();
    let pin = demo.ready("join").split(' ').find(|word| word.starts_with("sha256:")).unwrap();
    let (file, home) = (demo.folder().join("token"), demo.folder().join("home-of-ci"));
    let naru = |args: &[&str]| demo.naru(args).env("NARU_HOME", &home).env("HOME", &home).output().unwrap();
    std::fs::create_dir_all(&home).unwrap();
    std::fs::write(&file, format!("{}\n", gitlab(&issuer.url).written())).unwrap();
    let login = ["login", demo.ready("url"), "--ca-pin", pin, "--bot", "ci", "--token-file", &file.to_string_lossy()];
    let out = naru(&login);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let out = naru(&["ssh", "demo", "--", "echo $((40+2)) by a job"]);
    assert_eq!(String::from_utf8_lossy(&out.stdout), "42 by a job\n", "{}", String::from_utf8_lossy(&out.stderr));
    // Another project's token is told so, and the job's log does not get the token.
    let evil = gitlab(&issuer.url).claim("project_path", json!("acme/evil")).written();
    std::fs::write(&file, &evil).unwrap();
    let out = naru(&login);
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.code() == Some(3) && said.contains("NARU-") && !said.contains(&evil), "{:?} {said}", out.status);
}
