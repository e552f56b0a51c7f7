//! Prints what the log costs here: one append, one durable wait, verifying and searching. Give a folder on the disk to be measured.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::indexing_slicing, reason = "a measuring program")]

use std::sync::Arc;
use std::time::Instant;

use access::event::{Actor, Event, What};
use access::time::Timestamp;
use recorder::commit::Commits;
use recorder::log::{Filter, Log, LogSettings};
use wire::proof::MemoryKey;

#[tokio::main]
async fn main() {
    let dir = std::env::args().nth(1).map_or_else(std::env::temp_dir, Into::into).join(format!("log-cost-{}", std::process::id()));
    let key = Arc::new(MemoryKey::from_seed(&[7; 32]).unwrap());
    let (log, _) = Log::start(LogSettings::new(dir.join("log"), "cost".parse().unwrap(), "proxy-1"), key).unwrap();
    let commits = Commits::start(log.clone(), Box::new(|| Ok(None))).unwrap();
    let event = |i: u64| {
        let asked = format!("ssh root@db-{i}, a request of ordinary length that was denied");
        Event::new(Timestamp::from_secs(1), Actor::system(), What::AccessDenied { asked })
    };
    let count = 100_000;
    let begun = Instant::now();
    for i in 0..count {
        let _logged = log.append(&event(i)).unwrap();
    }
    println!("append: {:.1} us", begun.elapsed().as_secs_f64() * 1e6 / count as f64);
    let mut waits = Vec::new();
    for i in 0..300 {
        let begun = Instant::now();
        let _durable = log.durable(log.append(&event(i)).unwrap()).await.unwrap();
        waits.push(begun.elapsed());
    }
    waits.sort();
    println!("durable, one waiter: p50 {:?}, p99 {:?}", waits[150], waits[297]);
    let begun = Instant::now();
    let waiting: Vec<_> = (0..2000)
        .map(|i| {
            let log = log.clone();
            tokio::spawn(async move { log.durable(log.append(&event(i)).unwrap()).await.is_ok() })
        })
        .collect();
    for waiter in waiting {
        assert!(waiter.await.unwrap());
    }
    println!("durable, 2000 waiters: {:?} for all", begun.elapsed());
    commits.stop().unwrap();
    let begun = Instant::now();
    let found = log.search(Filter { user: Some("nobody".into()), ..Filter::default() }, 1, 10).unwrap().count();
    println!("search of {count} events by user: {:?}, {found} found", begun.elapsed());
    let begun = Instant::now();
    let mut bytes = 0;
    let report = client::verify::verify(&dir, None, None, &mut |progress| bytes = progress.bytes).unwrap();
    let took = begun.elapsed().as_secs_f64();
    println!("verify: ok {}, {} events, {:.1} MB, {:.1} MB/s", report.ok, report.events, bytes as f64 / 1e6, bytes as f64 / 1e6 / took);
    std::fs::remove_dir_all(&dir).unwrap();
}
