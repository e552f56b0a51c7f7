//! The port as a scraper and a load balancer see it.

use access::event::{Actor, Client, Event, Outcome, What};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use super::health::Ready;
use super::*;
use crate::freshness::ADMITS_FOR;
use crate::notify::Lag;

struct Stage {
    asked: Arc<Asked>,
    proxy: crate::build::Proxy,
    _dir: tempfile::TempDir,
}

async fn stage() -> Stage {
    let dir = tempfile::tempdir().expect("a folder");
    let settings = crate::build::Settings::of_test(&dir.path().join("state"));
    let proxy = crate::build::Proxy::build(settings).await.expect("a proxy");
    let sessions = &proxy.app.sessions;
    let watched = watched(sessions, proxy.app.store.clone(), vec![Lag::of_test("siem", 1)], dir.path(), Pulse::new());
    watched.pulse.serves(true);
    Stage { asked: Arc::new(Asked { watched: Arc::new(watched), parts: Parts::default() }), proxy, _dir: dir }
}

impl Stage {
    async fn get(&self, path: &str) -> (u16, String) {
        let request = axum::http::Request::get(path).body(axum::body::Body::empty()).expect("a request");
        let answer = router(self.asked.clone()).oneshot(request).await.expect("an answer");
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        (status, String::from_utf8(body.to_vec()).expect("text"))
    }

    async fn part(&self, name: &str) -> (u16, serde_json::Value) {
        let (status, body) = self.get("/readyz").await;
        let said: serde_json::Value = serde_json::from_str(&body).expect("json");
        assert_eq!(said["ready"].as_bool(), Some(status == 200), "{body}");
        (status, said["parts"][name].clone())
    }

    /// Counts what is in the log from the event `from` on.
    fn count(&self, from: u64) {
        let sessions = &self.proxy.app.sessions;
        let _reader = follow::read(&sessions.log, None, from, &sessions.meters).expect("read");
    }
}

fn series(text: &str) -> usize {
    text.lines().filter(|line| !line.starts_with('#')).count()
}

#[tokio::test]
async fn whatever_people_and_hosts_are_called_there_are_as_many_series_as_before() {
    let stage = stage().await;
    let sessions = &stage.proxy.app.sessions;
    let hostile = |n: u32| {
        let name = format!("mallory{n}\"}} 1\nnaru_evil 1");
        let actor = Actor { kind: access::event::ActorKind::User, id: name.clone(), name: name.clone(), roles: Vec::new() };
        let mut event = Event::new(clock::now(), actor, What::LoginFailed { method: name.clone() });
        event.outcome = Outcome::denied(&format!("NARU-{n}"), name.clone());
        event.client = Some(Client { ip: std::net::Ipv4Addr::from(n).into(), port: 1, user_agent: Some(name.clone()), run: None });
        (name, event)
    };
    // One of each, so that the series that begin with their first count are there.
    let flood = |from: u32, many: u32| {
        let first = *sessions.log.last().borrow() + 1;
        for n in from..from + many {
            let (name, event) = hostile(n);
            let _told = sessions.refusals.tell(event.clone()).expect("told");
            let end = What::SessionEnd {
                reason: name.clone(),
                output_bytes: 0,
                input_bytes: 0,
                duration_ms: 0,
                manifest: None,
                closing: None,
                lost: Default::default(),
            };
            for what in
                [end, What::Login { method: name.clone(), connector: None, flow: None }, What::AgentConnected { version: name.clone() }]
            {
                let _logged = sessions.log.append(&Event { what, ..event.clone() }).expect("logged");
            }
        }
        stage.count(first);
    };
    flood(0, 1);
    let (status, before) = stage.get("/metrics").await;
    flood(1, 500);
    let (_, after) = stage.get("/metrics").await;
    assert_eq!((status, series(&after)), (200, series(&before)));
    assert!(!after.contains("mallory") && !after.contains("evil"), "{after}");
    assert!(after.contains("naru_refusals_total{code=\"other\"} 501"), "{after}");
}

#[tokio::test]
async fn what_the_docs_name_is_there() {
    let stage = stage().await;
    let sessions = &stage.proxy.app.sessions;
    sessions.meters.connected("https");
    let mut refused = Event::new(clock::now(), Actor::anonymous(), What::LoginFailed { method: "link".into() });
    refused.outcome = Outcome::denied("NARU-A102", "no");
    sessions.meters.refused(&refused);
    let (_, text) = stage.get("/metrics").await;
    let docs = include_str!("../../../docs/operating.md");
    let named: Vec<&str> = docs.lines().filter_map(|line| line.strip_prefix("| `naru_")?.split('`').next()).collect();
    let shown: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE naru_")?.split(' ').next()).collect();
    let base = |name: &str| name.split('{').next().unwrap_or_default().trim_end_matches("_total").to_owned();
    // The disk and the logins are there after the first survey.
    let later = ["disk_free_bytes", "logins_live"];
    for name in &named {
        assert!(shown.contains(&base(name).trim_end_matches("_info")) || later.contains(name), "{name} is not shown\n{text}");
    }
    for name in &shown {
        assert!(named.iter().any(|said| base(said).trim_end_matches("_info") == *name), "{name} has no row");
    }
    for line in [
        "naru_connections_total{protocol=\"https\"} 1",
        "naru_decisions_total{question=\"session\",result=\"denied\"} 0",
        "naru_sink_lag{sink=\"siem\"}",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
}

#[tokio::test]
async fn readiness_names_the_part_the_reason_and_since_when() {
    let stage = stage().await;
    let (status, view) = stage.part("view").await;
    assert_eq!((status, view["ok"].as_bool()), (200, Some(true)));
    stage.proxy.app.sessions.freshness.grow_older(ADMITS_FOR + Duration::from_secs(1));
    let (status, view) = stage.part("view").await;
    assert_eq!((status, view["ok"].as_bool()), (503, Some(false)));
    assert!(view["reason"].as_str().is_some_and(|why| why.contains("nothing new is admitted")), "{view}");
    assert_eq!(stage.part("view").await.1["since"], view["since"], "as long as it stays so");
    assert_eq!(stage.part("store").await.1["ok"], false);
    assert_eq!(stage.part("log").await.1["ok"], true);
}

#[tokio::test]
async fn a_provider_that_is_away_shows_and_is_not_needed() {
    let stage = stage().await;
    let sessions = &stage.proxy.app.sessions;
    let tell = |what| sessions.log.append(&Event::new(clock::now(), Actor::system(), what)).expect("logged").seq();
    let connector: access::words::ConnectorName = "corp".parse().expect("name");
    stage.count(tell(What::ProviderFailed { connector: connector.to_string(), cause: "no route".into() }));
    let (status, part) = stage.part("providers").await;
    assert_eq!((status, part["ok"].as_bool(), part["reason"].as_str()), (200, Some(false), Some("corp: no route")));
    stage.count(tell(What::ProviderRecovered { connector: connector.to_string() }));
    assert_eq!(stage.part("providers").await.1["ok"], true);
}

#[tokio::test]
async fn a_proxy_that_stops_is_alive_and_not_ready() {
    let stage = stage().await;
    stage.asked.watched.pulse.serves(false);
    assert_eq!(stage.part("port").await.0, 503);
    assert_eq!(stage.get("/healthz").await.0, 200);
    assert_eq!(stage.get("/v1/status").await.0, 404);
    let ready: Ready = stage.asked.parts.look(&stage.asked.watched);
    assert!(!ready.ready);
}

#[tokio::test]
async fn loops_that_stand_still_are_neither_alive_nor_ready() {
    let mut stage = stage().await;
    let watched = &stage.asked.watched;
    let still = watched.pulse.still_for(Duration::from_secs(11));
    let sessions = &stage.proxy.app.sessions;
    let watched = super::watched(sessions, stage.proxy.app.store.clone(), Vec::new(), &watched.state, still);
    stage.asked = Arc::new(Asked { watched: Arc::new(watched), parts: Parts::default() });
    let (status, body) = stage.get("/healthz").await;
    assert!(status == 503 && body.contains("stood still"), "{status} {body}");
    let (status, port) = stage.part("port").await;
    assert_eq!((status, port["ok"].as_bool()), (503, Some(false)));
}

#[tokio::test]
async fn it_is_served_on_a_port_of_its_own_until_the_proxy_ends() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let dir = tempfile::tempdir().expect("a folder");
    let mut settings = crate::build::Settings::of_test(&dir.path().join("state"));
    settings.operations = Some((std::net::Ipv4Addr::LOCALHOST, 0).into());
    let proxy = crate::build::Proxy::build(settings).await.expect("a proxy");
    let address = proxy.operations().expect("an address");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(proxy.run(async { drop(stopped.await) }));
    let get = async |path: &str| {
        let mut socket = tokio::net::TcpStream::connect(address).await?;
        socket.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).await?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.map(|_| answer)
    };
    assert!(get("/readyz").await.expect("served").starts_with("HTTP/1.1 200"));
    assert!(get("/metrics").await.expect("served").contains("naru_sessions_live 0"));
    assert!(get("/v1/ca").await.expect("served").starts_with("HTTP/1.1 404"));
    stop.send(()).expect("running");
    running.await.expect("ended");
    // The thread ends on its own; from then on nobody is there.
    while get("/healthz").await.is_ok_and(|answer| !answer.is_empty()) {
        tokio::task::yield_now().await;
    }
}
