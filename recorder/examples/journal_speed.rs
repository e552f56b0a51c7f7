//! Measures what recording costs: one small append, big chunks of zeros and of text, the frame maker's pace, the size of terminal text.
//! `cargo run -p recorder --example journal_speed -- DIR`
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use access::decide::{OpenSession, Permit, decide};
use access::event::SessionKind;
use access::identity::{Identity, NodeFacts, UserId};
use access::policy::PolicySet;
use access::time::Timestamp;
use access::words::SessionId;
use bytes::Bytes;
use recorder::{Circumstances, Ending, RecorderSettings, Recordings};
use wire::frames::{Size, Stream};
use wire::proof::MemoryKey;

fn permit() -> Permit<OpenSession> {
    let role = r#"{"allow":{"ssh":[{"labels":{"*":["*"]},"logins":["root"]}]}}"#;
    let policy = PolicySet::build(vec![("any".parse().unwrap(), serde_json::from_str(role).unwrap())]).unwrap();
    let identity = Identity {
        user: UserId { issuer: "i".into(), subject: "alice".into() },
        name: "alice".parse().unwrap(),
        roles: vec!["any".parse().unwrap()],
        traits: Default::default(),
        expires: Timestamp::from_secs(1_900_000_000),
        auth: Default::default(),
        context: Default::default(),
        granted: Vec::new(),
    };
    let node = NodeFacts { name: "demo".parse().unwrap(), labels: Default::default(), agent: None };
    let question = OpenSession { identity, node, login: "root".parse().unwrap(), kind: SessionKind::Exec, begun: None, command: None };
    decide(question, &policy, Timestamp::from_secs(1_800_000_000)).unwrap()
}

/// A build log: words that repeat, numbers that do not.
fn text(bytes: usize) -> Bytes {
    let mut out = Vec::with_capacity(bytes + 200);
    for n in 0u64.. {
        if out.len() >= bytes {
            break;
        }
        let hash = blake3::hash(&n.to_be_bytes()).to_hex();
        let line = format!("\x1b[32m   Compiling\x1b[0m crate-{} v0.{}.{} ({})\r\n", n % 97, n % 13, n % 7, &hash[..(n % 9) as usize]);
        out.extend_from_slice(line.as_bytes());
    }
    out.truncate(bytes);
    Bytes::from(out)
}

async fn run(recordings: &Recordings, n: u8, name: &str, data: &Bytes, size: usize, total: usize) {
    let session = SessionId::from_bytes([n; 16]);
    let circumstances = Circumstances {
        session,
        connection: "c".into(),
        command: None,
        terminal: Some(Size { cols: 80, rows: 24, width: 0, height: 0 }),
        term: None,
        started: Timestamp::from_secs(1_800_000_000),
    };
    let mut recording = recordings.open(&permit(), circumstances).unwrap();
    let (began, mut sent, mut times) = (Instant::now(), 0, Vec::new());
    while sent < total {
        let from = sent % (data.len() - size + 1);
        let piece = data.slice(from..from + size);
        let at = Instant::now();
        let recorded = recording.record(Stream::Stdout, piece).await.unwrap();
        times.push(at.elapsed());
        sent += recorded.bytes().len();
    }
    let live = began.elapsed();
    let backlog = recordings.backlog();
    let closed = recording.close(Ending { reason: "exit".into(), exit: None }).await;
    let stored: u64 = match recordings.stored(&session).unwrap() {
        recorder::Stored::Closed(manifest) => manifest.segments.iter().map(|segment| segment.bytes).sum(),
        recorder::Stored::Live(_) => 0,
    };
    times.sort_unstable();
    let micros = |at: usize| times.get(at).map_or(0.0, |time| time.as_nanos() as f64 / 1000.0);
    let rate = |time: Duration| sent as f64 / 1048576.0 / time.as_secs_f64();
    println!(
        "{name}: {:.0} MiB/s live, {:.0} MiB/s until sealed, backlog {} MiB; append p50 {:.1} us, p99 {:.1} us; stored 1/{:.1}",
        rate(live),
        rate(began.elapsed()),
        backlog >> 20,
        micros(times.len() / 2),
        micros(times.len() * 99 / 100),
        closed.output_bytes as f64 / stored as f64
    );
}

#[tokio::main]
async fn main() {
    let dir = std::env::args().nth(1).unwrap_or_else(|| "speed-state".into());
    let settings = RecorderSettings::new(dir, "i-1".parse().unwrap());
    let key = Arc::new(MemoryKey::from_seed(&[7; 32]).unwrap());
    let (recordings, _) = Recordings::start(settings, key).unwrap();
    let commit = recordings.clone();
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_millis(200));
            commit.journal().sync().unwrap();
        }
    });
    let log = text(8 << 20);
    run(&recordings, 1, "100-byte appends", &log, 100, 10 << 20).await;
    run(&recordings, 2, "64 KiB of zeros", &Bytes::from(vec![0; 8 << 20]), 64 << 10, 512 << 20).await;
    run(&recordings, 3, "64 KiB of text", &log, 64 << 10, 512 << 20).await;
    run(&recordings, 4, "1 KiB of text", &log, 1 << 10, 64 << 20).await;
}
