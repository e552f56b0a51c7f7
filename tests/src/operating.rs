//! Operating an install as its administrator does: the doctor, the port for monitoring, and a log in which no secret stands.

use crate::harness::{Demo, Person};
use crate::issuer::Provider;
use crate::recordings::wait;
use crate::refused_sign_ins::{apply, connector};
use crate::stranger::Door;
use serde_json::Value;
use std::net::Ipv4Addr;
use std::path::Path;

/// What nobody may find in a log: typed in a session, and the secret of a link that is none.
const TYPED: &str = "canary-typed-91c2";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The lines of key material in a folder: long enough to stand nowhere by chance.
fn keys(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let public = name.ends_with(".pub") || name == "ca.pem" || name == "known_hosts" || name == "profile.json";
        let bytes = std::fs::read(entry.path()).unwrap_or_default();
        if !public && entry.path().is_file() {
            let text = text(&bytes);
            // A certificate is no secret, and stands in the same file behind its key.
            let private = text.split("-----BEGIN CERTIFICATE").next().unwrap_or_default();
            found.extend(private.lines().filter(|line| line.len() >= 40 && !line.starts_with("-----")).map(str::to_owned));
        }
    }
    found
}

fn token(admin: &Person) -> String {
    let out = admin.naru(&["--json", "token", "create", "--kind", "node", "--node", "log-1"]);
    let made: Value = serde_json::from_slice(&out.stdout).unwrap_or_else(|_| panic!("{}", text(&out.stderr)));
    made["token"].as_str().unwrap().to_owned()
}

#[test]
fn no_secret_stands_in_a_log_at_any_level() {
    let demo = Demo::start_with(&[("NARU_LOG", "trace"), ("NARU_LOG_FORMAT", "json")]).unwrap();
    let (admin, alice) = (demo.sign_in("admin").unwrap(), demo.sign_in("alice").unwrap());
    let (provider, door) = (Provider::start(), Door::of(&demo));
    let issuer = provider.issuer("idp");
    apply(&admin, "idp", &connector("idp", &issuer.url, "refresh: 5s")).unwrap();
    let me = door.from(Ipv4Addr::LOCALHOST);
    let attempt = me.begin("idp").unwrap_or_else(|said| panic!("{}", said.text));
    let login = me.finish(&attempt, &issuer.authorize(&attempt.browse).written());
    assert!(login.signed_in(), "{}", login.text);
    wait("a refresh", || (issuer.asked("refresh") >= 1).then_some(()));
    let token = token(&admin);
    let pin = demo.ready("join").split(' ').find(|word| word.starts_with("sha256:")).unwrap().to_owned();
    let join = ["agent", "join", demo.ready("url"), "--token", &token, "--ca-pin", &pin, "--state", "log-1", "--no-run"];
    let joined = demo.naru(&join).env("NARU_LOG", "trace").env("NARU_LOG_FORMAT", "json").output().unwrap();
    assert!(joined.status.success(), "{}", text(&joined.stderr));
    let echoed = alice.naru(&["ssh", "demo", "--", &format!("echo {TYPED}")]);
    assert!(text(&echoed.stdout).contains(TYPED), "{}", text(&echoed.stderr));
    assert!(alice.ssh(&["demo.naru", &format!("echo {TYPED}")]).status.success());
    let wrong = format!("https://{}/sign-in#{TYPED}", demo.ready("ssh"));
    assert!(!admin.naru(&["login", "--link", &wrong]).status.success());
    // Somebody who does not believe the certificate: told at a level that is not shown by itself.
    assert!(!std::process::Command::new("curl").args(["-sS", demo.ready("url")]).output().unwrap().status.success());

    let log = format!("{}{}", demo.log(), text(&joined.stderr));
    assert!(log.contains("\"level\":\"DEBUG\"") || log.contains("\"level\":\"TRACE\""), "more than is logged by itself: {log}");
    for line in log.lines() {
        let said: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
        assert!(said["level"].is_string() && said["timestamp"].is_string() && said["target"].is_string(), "{line}");
    }
    let mut secrets = vec![crate::issuer::SECRET.to_owned(), TYPED.to_owned(), token];
    secrets.extend(provider.given());
    for name in ["alice", "olga", "admin"] {
        secrets.extend(demo.ready(&format!("sign_in.{name}")).split('#').nth(1).map(str::to_owned));
    }
    let key_lines =
        [keys(&demo.state().join("keys")), keys(&demo.state().join("demo/agent")), keys(&alice.home().join("naru/profiles/default"))];
    assert!(key_lines.iter().all(|lines| !lines.is_empty()), "keys were found: {:?}", key_lines.map(|lines| lines.len()));
    secrets.extend(key_lines.into_iter().flatten());
    for secret in secrets {
        let line = log.lines().find(|line| line.contains(&secret));
        assert!(line.is_none(), "{}… stands in a log: {}", &secret[..12], line.unwrap_or_default());
    }
}

/// Exit code, and the states by name.
fn doctor(person: &Person, args: &[&str]) -> (Option<i32>, Value) {
    let out = person.naru(&[&["--json", "doctor"], args].concat());
    let said: Value = serde_json::from_slice(&out.stdout).unwrap_or_else(|_| panic!("{}", text(&out.stderr)));
    let pair = |check: &Value| (check["name"].as_str().unwrap().to_owned(), check["state"].clone());
    let states: serde_json::Map<String, Value> = said["checks"].as_array().unwrap().iter().map(pair).collect();
    (out.status.code(), states.into())
}

#[test]
fn the_doctor_finds_a_sound_install_sound_and_names_what_is_not() {
    let mut demo = Demo::start(&[]).unwrap();
    let alice = demo.sign_in("alice").unwrap();
    let (state, operations) = (demo.state().to_string_lossy().into_owned(), demo.ready("operations").to_owned());
    let config = alice.ssh_config().to_string_lossy().into_owned();
    let all = ["--state", &state, "--operations", &operations, "--ssh-config", &config];
    let (code, states) = doctor(&alice, &all);
    let wanted =
        ["profile", "files", "ssh_config", "dns", "tcp", "certificate", "ssh", "api", "clock", "agents", "state", "modes", "ready"];
    for name in wanted {
        assert_eq!(states[name], "ok", "{name}: {states}");
    }
    assert!(code == Some(0) || states["space"] == "fail", "{states}");
    let (code, states) = doctor(&alice, &["--ssh-config", "none"]);
    assert_eq!(
        (code, &states["state"], &states["ready"], &states["ssh_config"]),
        (Some(0), &"skip".into(), &"skip".into(), &"skip".into())
    );
    assert!(demo.end().unwrap().success());
    let (code, states) = doctor(&alice, &all);
    assert_eq!((code, &states["tcp"], &states["ready"], &states["state"]), (Some(1), &"fail".into(), &"fail".into(), &"ok".into()));
    let nobody = demo.person("nobody").unwrap();
    assert_eq!(doctor(&nobody, &[]).1["profile"], "fail");
}

#[test]
fn monitoring_sees_sessions_and_no_names() {
    let demo = Demo::start(&[]).unwrap();
    let alice = demo.sign_in("alice").unwrap();
    assert_eq!(alice.naru(&["ssh", "demo", "--", "exit 3"]).status.code(), Some(3));
    let get = |path: &str| {
        let out = std::process::Command::new("curl").args(["-sS", &format!("http://{}{path}", demo.ready("operations"))]).output().unwrap();
        assert!(out.status.success(), "{}", text(&out.stderr));
        text(&out.stdout)
    };
    let metrics = wait("the counters", || Some(get("/metrics")).filter(|text| text.contains("sessions_ended_total{reason=\"exit\"} 1")));
    for line in ["naru_sessions_begun_total{kind=\"exec\"} 1", "naru_nodes_connected 1", "naru_sign_ins_total{method=\"link\"} 1"] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    assert!(!metrics.contains("alice") && !metrics.contains("demo") && !metrics.contains("127.0.0.1"), "{metrics}");
    let ready: Value = serde_json::from_str(&get("/readyz")).unwrap();
    assert_eq!(ready["ready"], true, "{ready}");
    let public = std::process::Command::new("curl").args(["-sSk", &format!("{}/metrics", demo.ready("url"))]).output().unwrap();
    assert!(text(&public.stdout).contains("NARU-"), "not on the public port: {}", text(&public.stdout));
}
