//! The ways to sign in, walked from end to end against a proxy of the tests.

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wire::api::exit;

use super::fake::Fake;
use super::keep::{Place, Room, Server};
use super::provider::{Asked, Way, with_provider};
use super::{as_bot, logout, trust};
use crate::failure::Failure;
use crate::http::Api;
use crate::profile::{Home, file};

struct Stage {
    dir: tempfile::TempDir,
    fake: Fake,
}

impl Stage {
    async fn set(says: impl Fn(&str, &serde_json::Value) -> Option<(u16, serde_json::Value)> + Send + Sync + 'static) -> Self {
        Self { dir: tempfile::tempdir().expect("dir"), fake: Fake::start(Box::new(says)).await }
    }

    async fn login(&self, way: Way, url: bool) -> Result<crate::out::Answer, Failure> {
        let home = Home::under(self.dir.path());
        let profile = home.profile(None).expect("profile");
        let pin = self.fake.pin.to_string();
        let (url, ca_pin) = if url { (Some(self.fake.url.as_str()), Some(pin.as_str())) } else { (None, None) };
        let place = Place { home: &home, profile: &profile, explicit: false };
        with_provider(place, Asked { url, ca_pin, connector: None, way, again: false }).await
    }
}

#[tokio::test]
async fn on_another_device_it_is_asked_until_somebody_has_signed_in() {
    let asked = AtomicU32::new(0);
    let stage = Stage::set(move |path, _| {
        let waits = path == "/v1/sign-in/finish" && asked.fetch_add(1, Ordering::SeqCst) == 0;
        waits.then(|| (200, json!({"state": "waiting", "interval_s": 1})))
    })
    .await;
    let answer = stage.login(Way::Device, true).await.expect("signed in");
    assert_eq!((&answer.json["name"], &answer.json["profile"]), (&"alice".into(), &"default".into()));
    let begin = &stage.fake.asked("/v1/sign-in/begin")[0];
    assert_eq!((&begin["flow"], &begin["connector"], begin.get("redirect")), (&"device".into(), &"corp".into(), None));
    let finish = stage.fake.asked("/v1/sign-in/finish");
    assert_eq!((finish.len(), finish[0].get("answer"), &finish[0]["id"]), (2, None, &"b-1".into()));
    assert!(stage.fake.asked("/v1/sign-out").is_empty(), "there was none before");

    // Again, without a word: the profile knows the server and its authority, and the old login ends there.
    stage.login(Way::NoBrowser, false).await.expect("signed in");
    assert_eq!(stage.fake.asked("/v1/sign-in/begin")[1]["flow"], "headless");
    assert_eq!(stage.fake.asked("/v1/sign-out"), [json!({"all": false, "replaced": true})]);

    let profile = Home::under(stage.dir.path()).profile(None).expect("profile");
    let gone = logout(std::slice::from_ref(&profile), true).await.expect("signed out");
    assert_eq!((&gone.json["ended"], &gone.json["providers"]), (&1.into(), &json!([true])));
    assert_eq!(stage.fake.asked("/v1/sign-out")[1], json!({"all": true, "replaced": false}));
    assert!(!profile.path(file::SSH_KEY).exists());
    stage.login(Way::Device, false).await.expect("the server is known still");
}

#[tokio::test]
async fn the_browser_brings_the_answer_and_is_told_how_it_went() {
    for refused in [false, true] {
        let stage = Stage::set(move |path, body| match path {
            "/v1/sign-in/finish" if refused => {
                let title = format!("<b>{}</b> is not one of ours", body["id"].as_str().unwrap_or_default());
                Some((403, json!({"code": "NARU-A120", "title": title, "exit": 4})))
            }
            _ => None,
        })
        .await;
        // A browser that does as it is told, with an answer of a provider.
        let browser = stage.dir.path().join("browser");
        std::fs::write(&browser, "#!/bin/sh\nexit 0\n").expect("written");
        std::fs::set_permissions(&browser, std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("mode");
        let home = Home::under(stage.dir.path());
        let profile = home.profile(None).expect("profile");
        let server = Server { address: stage.fake.url.parse().expect("address"), pin: stage.fake.pin };
        let room = Room::at(Place { home: &home, profile: &profile, explicit: false }, server).await.expect("room");
        let opener = super::browser::Opener::find(|name| (name == "BROWSER").then(|| browser.clone().into()), false).expect("opener");
        let visit = async {
            let redirect = loop {
                if let Some(begin) = stage.fake.asked("/v1/sign-in/begin").first() {
                    break begin["redirect"].as_str().expect("redirect").to_owned();
                }
                tokio::task::yield_now().await;
            };
            let at = redirect.strip_prefix("http://").and_then(|rest| rest.split_once("/callback/")).expect("loopback");
            let (at, connector) = (at.0.to_owned(), at.1);
            let mut stream = TcpStream::connect(&at).await.expect("there");
            let ask = format!("GET /callback/{connector}?state=s&code=c%2Fd&iss=x HTTP/1.1\r\nHost: {at}\r\n\r\n");
            stream.write_all(ask.as_bytes()).await.expect("sent");
            let mut page = String::new();
            stream.read_to_string(&mut page).await.expect("page");
            page
        };
        let (done, page) = tokio::join!(super::provider::tests::by_browser_of(room, &opener), visit);
        assert_eq!(stage.fake.asked("/v1/sign-in/finish")[0]["answer"], "state=s&code=c%2Fd&iss=x", "as it came");
        if refused {
            assert_eq!(done.map_err(|e| (e.code, e.exit)), Err(("NARU-A120".into(), exit::DENIED)));
            assert!(page.contains("&lt;b&gt;b-1&lt;/b&gt; is not one of ours [NARU-A120]"), "{page}");
            assert!(!profile.path(file::FACTS).exists());
        } else {
            assert_eq!(done.expect("signed in").json["name"], "alice");
            assert!(page.contains("You are signed in to https://127.0.0.1:") && page.contains(" as alice."), "{page}");
            assert!(profile.path(file::SSH_CERT).exists());
        }
    }
}

#[tokio::test]
async fn a_bot_signs_in_with_its_token_and_ends_nothing() {
    let stage = Stage::set(|_, _| None).await;
    let home = Home::under(stage.dir.path());
    let profile = home.profile(None).expect("profile");
    let place = Place { home: &home, profile: &profile, explicit: false };
    let bot = "alice".parse().expect("name");
    let url = format!("{}#{}", stage.fake.url, stage.fake.pin);
    for url in [Some(url.as_str()), None] {
        as_bot(place, url, None, &bot, "a.b.c".into()).await.expect("signed in");
    }
    let asked = stage.fake.asked("/v1/sign-in/bot");
    assert_eq!((asked.len(), &asked[0]["bot"], &asked[0]["token"]), (2, &"alice".into(), &"a.b.c".into()));
    assert!(stage.fake.asked("/v1/sign-out").is_empty());
}

#[tokio::test]
async fn nothing_is_opened_or_kept_of_a_server_that_is_not_as_it_should_be() {
    let odd = Stage::set(|path, _| {
        let page = "file:///etc/passwd";
        (path == "/v1/sign-in/begin")
            .then(|| (200, json!({"id": "b", "connector": "corp", "browse": page, "expires": "2030-01-01T00:00:00Z", "interval_s": 1})))
    })
    .await;
    assert_eq!(odd.login(Way::Device, true).await.map_err(|e| e.code), Err("NARU-A110".into()));
    // Another authority than the pinned one hears nothing.
    let mut swapped = Stage::set(|_, _| None).await;
    swapped.fake.pin = odd.fake.pin;
    assert_eq!(swapped.login(Way::Device, true).await.map_err(|e| e.code), Err("NARU-T102".into()));
    assert!(swapped.fake.asked("/v1/connectors").is_empty());
}

#[tokio::test]
async fn a_server_introduces_its_authority_before_it_is_asked_anything() {
    let stage = Stage::set(|_, _| None).await;
    let pin = Api::introduce(stage.fake.url.parse().expect("address")).await.expect("pin");
    assert_eq!(pin, stage.fake.pin);
    let by_name = stage.fake.url.replace("127.0.0.1", "localhost");
    assert_eq!(Api::introduce(by_name.parse().expect("address")).await.map_err(|e| e.code), Err("NARU-T102".into()), "another name");
    assert!(stage.fake.asked("/").is_empty());
    // Tests have no terminal to ask at.
    let home = Home::under(stage.dir.path());
    let profile = home.profile(None).expect("profile");
    let place = Place { home: &home, profile: &profile, explicit: false };
    let refused = trust::server(place, Some(&stage.fake.url), None).await.map_err(|e| (e.code, e.exit));
    assert_eq!(refused, Err(("NARU-A116".into(), exit::USAGE)));
}

#[tokio::test]
async fn of_several_providers_the_last_one_is_taken_again() {
    let row = |name: &str| json!({"name": name, "issuer": "https://id.example", "flows": ["device"]});
    let two = json!({"items": [row("lab"), row("corp")]});
    let stage = Stage::set(move |path, _| (path == "/v1/connectors").then(|| (200, two.clone()))).await;
    assert_eq!(stage.login(Way::Device, true).await.map_err(|e| e.code), Err("NARU-A112".into()));
    let home = Home::under(stage.dir.path());
    let profile = home.profile(None).expect("profile");
    let (corp, pin) = ("corp".parse().expect("name"), stage.fake.pin.to_string());
    let asked = Asked { url: Some(&stage.fake.url), ca_pin: Some(&pin), connector: Some(&corp), way: Way::Device, again: true };
    with_provider(Place { home: &home, profile: &profile, explicit: false }, asked).await.expect("signed in");
    stage.login(Way::Device, false).await.expect("signed in");
    let begun = stage.fake.asked("/v1/sign-in/begin");
    let what: Vec<_> = begun.iter().map(|begin| (&begin["connector"], &begin["again"])).collect();
    assert_eq!(what, [(&json!("corp"), &json!(true)), (&json!("corp"), &json!(false))]);
}
