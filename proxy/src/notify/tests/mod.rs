//! Receivers as they are: away, slow, broken, hostile. Every test has a real log and a real socket.

mod declared;
mod fake;

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use access::event::{Actor, Event, What};
use base64::Engine as _;
use config::proxy::Webhook;
use recorder::commit::Commits;
use recorder::log::{Log, LogSettings};
use store::kv::Kv;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use wire::proof::{Checkpoint, MemoryKey, unseal};

use self::fake::{Fake, KEY, Mode};
use super::pace::Pace;

const QUICK: Pace = Pace { first: Duration::from_millis(2), most: Duration::from_millis(20), timeout: Duration::from_millis(300) };

async fn until(what: &str, good: impl Fn() -> bool) {
    let reached = async {
        while !good() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(60), reached).await.is_ok(), "{what} did not come");
}

struct Place {
    dir: tempfile::TempDir,
    log: Log,
    store: Arc<dyn Kv>,
    commits: Commits,
}

/// A receiver that is being served. Dropping it is a crash: nothing is drained.
struct Serving {
    stop: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl Serving {
    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let settings = LogSettings::new(dir.path().join("log"), "i.1".parse().unwrap(), "proxy-1");
        let (log, _) = Log::start(settings, Arc::new(MemoryKey::from_seed(&[7; 32]).unwrap())).unwrap();
        let commits = Commits::start(log.clone(), Box::new(|| Ok(None))).unwrap();
        let secret = dir.path().join("secret");
        std::fs::write(&secret, format!("whsec_{}\n", base64::engine::general_purpose::STANDARD.encode(KEY))).unwrap();
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
        let store = Arc::new(store::kv::memory());
        Self { log, store, commits, dir }
    }

    fn webhook(&self, name: &str, url: String) -> Webhook {
        let secret_file = self.dir.path().join("secret").display().to_string();
        Webhook { name: name.to_owned(), url, secret_file, allow_private: true }
    }

    fn serve_with(&self, webhook: &Webhook, pace: Pace) -> Serving {
        let sink = super::open(webhook, &self.log, &self.store, pace).unwrap();
        let stop = CancellationToken::new();
        Serving { stop: stop.clone(), task: AbortOnDropHandle::new(tokio::spawn(sink.run(stop))) }
    }

    fn serve(&self, name: &str, to: &Fake) -> Serving {
        self.serve_with(&self.webhook(name, format!("http://{}/in?token=T0KEN", to.address)), QUICK)
    }

    /// Appends events that are sent, with others between; answers the ids of the first.
    fn append(&self, count: usize) -> Vec<String> {
        let now = crate::clock::now();
        let event = |what| self.log.append(&Event::new(now, Actor::anonymous(), what)).unwrap().id().to_owned();
        (0..count)
            .map(|number| {
                let _unsent = event(What::Logout {});
                event(What::AccessDenied { asked: format!("ssh \"{number}\"\n") })
            })
            .collect()
    }

    /// The log's events about receivers, as `type sink`.
    fn told(&self) -> Vec<What> {
        let mut reader = self.log.reader(1).unwrap();
        let all = std::iter::from_fn(|| reader.next().unwrap()).map(|entry| entry.event().unwrap().event.what);
        all.filter(|what| matches!(what, What::SinkFailed { .. } | What::SinkRecovered { .. })).collect()
    }
}

fn ids(got: &[fake::Got]) -> Vec<String> {
    got.iter().map(|got| got.id.clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_was_away_gets_everything_in_order_and_once() {
    let (place, mut fake) = (Place::new(), Fake::start(Mode::Status(503)).await);
    let serving = place.serve("siem", &fake);
    let mut sent = place.append(100);
    fake.until("a refused try", |fake| fake.all().len() > 5).await;
    fake.set(Mode::Hang);
    let before = fake.all().len();
    fake.until("a try that hangs", |fake| fake.all().len() > before + 1).await;
    fake.leave();
    sent.extend(place.append(100));
    tokio::time::sleep(Duration::from_millis(100)).await;
    fake.set(Mode::Accept);
    fake.come_back().await;
    fake.until("every event", |fake| fake.accepted().len() >= 200).await;
    assert_eq!(ids(&fake.accepted()), sent);
    assert!(
        fake.all().iter().filter(|got| !got.accepted && !got.id.starts_with("checkpoint-")).all(|got| got.id == sent[0]),
        "one at a time"
    );
    until("the word that it accepts", || place.told().len() == 2).await;
    let told = place.told();
    assert!(matches!(&told[0], What::SinkFailed { sink, cause } if sink == "siem" && cause == "it answered 503"), "{told:?}");
    assert!(matches!(&told[1], What::SinkRecovered { sink, behind } if sink == "siem" && *behind >= 400), "{told:?}");
    serving.stop().await;
    assert_eq!((place.told().len(), fake.accepted().len()), (2, 200), "its own troubles are not sent to it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_body_is_the_line_of_the_log_and_checkpoints_leave() {
    let (place, fake) = (Place::new(), Fake::start(Mode::Accept).await);
    let serving = place.serve("siem", &fake);
    place.append(1);
    fake.until("the event", |fake| fake.accepted().len() == 1).await;
    let mut reader = place.log.reader(2).unwrap();
    let line = reader.next().unwrap().unwrap().line;
    let body = fake.accepted()[0].body.clone();
    let start = body.len() - 1 - line.len();
    assert_eq!(&body[start..body.len() - 1], line, "byte for byte");
    let said = fake.accepted()[0].json();
    assert_eq!((&said["type"], &said["timestamp"]), (&"access.denied".into(), &said["data"]["time"]));

    tokio::task::spawn_blocking(move || place.commits.stop()).await.unwrap().unwrap();
    serving.stop().await;
    let last = fake.all().pop().unwrap();
    assert_eq!((last.json()["type"].as_str(), last.id.as_str()), (Some("audit.checkpoint"), "checkpoint-i_1-proxy-1-2"));
    let signed = last.body[..last.body.len() - 1].split(|b| *b == b'{').skip(2).collect::<Vec<_>>().join(&b'{');
    let key = wire::proof::Sign::public(&MemoryKey::from_seed(&[7; 32]).unwrap());
    let (checkpoint, _) = unseal::<Checkpoint>(&[b"{", signed.as_slice()].concat(), Some(&key)).unwrap();
    assert_eq!(checkpoint.count, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_goes_on_where_it_was_and_a_crash_repeats_at_most_one() {
    let (place, fake) = (Place::new(), Fake::start(Mode::Accept).await);
    place.append(3);
    let serving = place.serve("siem", &fake);
    let mut sent = place.append(50);
    fake.until("the first events", |fake| fake.accepted().len() == 50).await;
    serving.stop().await;
    sent.extend(place.append(50));
    let serving = place.serve("siem", &fake);
    fake.until("the next events", |fake| fake.accepted().len() == 100).await;
    assert_eq!(ids(&fake.accepted()), sent, "a new receiver begins with what comes, and a restart with what it has not had");
    // Crashes in the middle of deliveries, many times over.
    drop(serving);
    sent.extend(place.append(300));
    let mut crashes = 0;
    while fake.accepted().len() < 400 + crashes {
        let before = fake.accepted().len();
        let serving = place.serve("siem", &fake);
        // Not by a count alone: with repeats among them it is reached before the last one has come.
        let more = |fake: &Fake| fake.accepted().len() >= before + 17 || fake.accepted().last().map(|got| &got.id) == sent.last();
        fake.until("some events", more).await;
        drop(serving);
        // What was on its way ends before the next begins, as with a real crash.
        tokio::time::sleep(Duration::from_millis(20)).await;
        crashes += 1;
        if fake.accepted().last().map(|got| &got.id) == sent.last() {
            break;
        }
    }
    let mut once = ids(&fake.accepted());
    let all = once.len();
    once.dedup();
    assert_eq!(once, sent, "in order, nothing lost");
    assert!(all - once.len() <= crashes, "{} repeated by {crashes} crashes", all - once.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_hangs_holds_no_other() {
    let (place, slow, quick) = (Place::new(), Fake::start(Mode::Hang).await, Fake::start(Mode::Accept).await);
    let slowly = Pace { timeout: Duration::from_secs(600), ..QUICK };
    let _hanging = place.serve_with(&place.webhook("slow", format!("http://{}/", slow.address)), slowly);
    let _serving = place.serve("quick", &quick);
    let sent = place.append(100);
    quick.until("every event", |fake| fake.accepted().len() == 100).await;
    assert_eq!(ids(&quick.accepted()), sent);
    slow.until("the first try", |fake| fake.all().len() == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_is_not_followed_and_says_so_at_once() {
    let (place, inside) = (Place::new(), Fake::start(Mode::Accept).await);
    let fake = Fake::start(Mode::Redirect(format!("http://{}/", inside.address))).await;
    let _serving =
        place.serve_with(&place.webhook("siem", format!("http://{}/", fake.address)), Pace { most: Duration::from_secs(600), ..QUICK });
    place.append(1);
    until("the word that it fails", || place.told().len() == 1).await;
    assert!(format!("{:?}", place.told()).contains("redirects are not followed"));
    assert_eq!((fake.all().len(), inside.connections()), (1, 0));
    fake.set(Mode::Status(410));
    let _gone =
        place.serve_with(&place.webhook("gone", format!("http://{}/", fake.address)), Pace { most: Duration::from_secs(600), ..QUICK });
    place.append(1);
    until("the word that the other fails", || place.told().len() == 2).await;
    assert_eq!(fake.all().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_inside_are_not_even_connected_to() {
    let (place, fake) = (Place::new(), Fake::start(Mode::Accept).await);
    let port = fake.address.port();
    let mut serving = Vec::new();
    let hosts = ["127.0.0.1", "localhost", "0x7f.1", "2130706433", "[::ffff:127.0.0.1]", "[::1]"];
    for (number, host) in hosts.iter().enumerate() {
        for scheme in ["https", "http"] {
            let name = format!("{scheme}-{number}");
            if scheme == "https" && number > 1 && !host.starts_with('[') {
                continue; // No certificate can have such a name: refused when it is opened.
            }
            let webhook = Webhook { allow_private: false, ..place.webhook(&name, format!("{scheme}://{host}:{port}/T0KEN")) };
            serving.push(place.serve_with(&webhook, QUICK));
        }
    }
    // Allowed to be private, and still nothing that a receiver can be; or private, and not to be told anything unencrypted.
    for url in ["http://169.254.169.254/", "https://0.0.0.0/", "http://10.255.255.1/"] {
        serving.push(place.serve_with(&place.webhook(&format!("never-{}", serving.len()), url.to_owned()), QUICK));
    }
    place.append(1);
    until("the word of every receiver", || place.told().len() == serving.len()).await;
    assert_eq!(fake.connections(), 0);
    for what in place.told() {
        let What::SinkFailed { cause, .. } = &what else { panic!("{what:?}") };
        let known = ["is not public", "is none that", "plain http", "looked up"].iter().any(|known| cause.contains(known));
        assert!(known && !cause.contains("T0KEN"), "{cause}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_without_end_is_cut_off() {
    let (place, fake) = (Place::new(), Fake::start(Mode::HugeHead).await);
    let _serving = place.serve("siem", &fake);
    let sent = place.append(3);
    until("the word that it fails", || place.told().len() == 1).await;
    fake.set(Mode::Endless);
    fake.until("every event", |fake| fake.accepted().len() == 3).await;
    fake.set(Mode::Accept);
    assert_eq!(ids(&fake.accepted()), sent, "what it said counts, and the next is sent");
    assert!(fake.sent() < 64 << 20, "{} bytes were taken", fake.sent());
}

#[tokio::test]
async fn secrets_are_read_from_private_files_only_and_shown_nowhere() {
    let place = Place::new();
    let webhook = place.webhook("siem", "https://siem.example/T0KEN".to_owned());
    let sink = super::open(&webhook, &place.log, &place.store, QUICK).unwrap();
    assert!(!format!("{sink:?} {webhook:?}").contains("T0KEN"));
    std::fs::set_permissions(&webhook.secret_file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let refused = super::open(&webhook, &place.log, &place.store, QUICK).unwrap_err();
    assert!(refused.to_string().contains("others may read"), "{refused}");
    std::fs::write(&webhook.secret_file, "whsec_T0KEN").unwrap();
    std::fs::set_permissions(&webhook.secret_file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let refused = super::open(&webhook, &place.log, &place.store, QUICK).unwrap_err();
    assert!(refused.to_string().contains("siem") && !refused.to_string().contains("T0KEN"), "{refused}");
}

/// Prints how fast a backlog leaves; run with `--ignored --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measure, not a test"]
#[allow(clippy::print_stdout, reason = "that is what it is for")]
async fn how_fast_a_backlog_leaves() {
    let (mut place, mut fake) = (Place::new(), Fake::start(Mode::Accept).await);
    place.store = Arc::new(store::kv::open(&place.dir.path().join("store")).unwrap());
    fake.leave();
    let serving = place.serve("siem", &fake);
    place.append(10_000);
    fake.come_back().await;
    let began = std::time::Instant::now();
    fake.until("every event", |fake| fake.accepted().len() >= 10_000).await;
    println!("{:.0} events/s", 10_000.0 / began.elapsed().as_secs_f64());
    serving.stop().await;
}

/// A new kind of event is either sent or said here to stay.
#[test]
fn every_kind_of_event_is_sent_or_stays_on_purpose() {
    const STAY: [&str; 5] = ["auth.logout", "cert.issued", "cert.renewed", "sink.failed", "sink.recovered"];
    let mut all = [&super::cursor::SENT[..], &STAY].concat();
    let mut kinds = What::TYPES.to_vec();
    all.sort_unstable();
    kinds.sort_unstable();
    assert_eq!(all, kinds);
}
