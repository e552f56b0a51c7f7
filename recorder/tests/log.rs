//! The log as a whole: append, kill, start again, close files, read, search, durable waiters.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout, reason = "a test fails by them")]

mod parts;

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use access::event::What;
use parts::{Place, denied, start_of};
use recorder::commit::Commits;
use recorder::log::{Filter, Log, LogError, StartError};
use wire::proof::log::LoggedEvent;
use wire::proof::{Head, unseal};

fn events(log: &Log) -> Vec<LoggedEvent> {
    let mut reader = log.reader(1).unwrap();
    std::iter::from_fn(|| reader.next().unwrap()).map(|entry| entry.event().unwrap()).collect()
}

#[tokio::test]
async fn what_is_appended_is_read_in_order_and_goes_on_after_a_restart() {
    let place = Place::new();
    for boot in 0..3u64 {
        let (log, repaired) = place.start();
        assert_eq!(repaired.torn_bytes, 0);
        let mut reader = log.reader(boot * 101 + 1).unwrap();
        assert_eq!(reader.next().unwrap(), None);
        let commits = Commits::start(log.clone(), Box::new(|| Ok(None))).unwrap();
        for i in 0..100 {
            assert_eq!(log.append(&denied(&format!("ssh \"{i}\"\n"))).unwrap().seq(), boot * 101 + i + 1);
        }
        assert!(reader.ready().await);
        assert_eq!(std::iter::from_fn(|| reader.next().unwrap()).count(), 100);
        let durable = log.durable(log.append(&denied("one more")).unwrap()).await;
        assert_eq!(durable.unwrap().logged().seq(), boot * 101 + 101);
        commits.stop().unwrap();
    }
    let all = events(&place.start().0);
    assert!(all.iter().map(|event| event.seq).eq(1..=303) && all.windows(2).all(|pair| pair[0].hash == pair[1].prev));
}

#[tokio::test]
async fn nothing_is_durable_after_the_end_and_a_tail_below_head_stops_the_start() {
    let place = Place::new();
    let (log, _) = place.start();
    let commits = Commits::start(log.clone(), Box::new(|| Ok(None))).unwrap();
    let _logged = log.append(&denied("x")).unwrap();
    commits.stop().unwrap();
    assert!(matches!(log.durable(log.append(&denied("late")).unwrap()).await, Err(LogError::Stopped(_))));
    let head: Head = unseal(&fs::read(place.stream().join("HEAD")).unwrap(), None).unwrap().0;
    assert_eq!(head.count, 1);
    drop(log);
    place.cut_last_lines(1);
    assert_eq!(events(&place.start().0).len(), 1, "what HEAD does not cover may go");
    place.cut_last_lines(1);
    assert!(matches!(place.try_start(), Err(StartError::Missing { found: 0, wanted: 1, .. })));
}

#[test]
fn files_are_closed_with_seals_and_a_cursor_walks_over_them() {
    let mut place = Place::new();
    place.settings.file_bytes = 2000;
    let (log, _) = place.start();
    for i in 0..50 {
        let _logged = log.append(&denied(&format!("{i}"))).unwrap();
    }
    assert!(place.stream().join("00000005.seal").exists());
    drop(log);
    let (log, _) = place.start();
    for i in 50..100 {
        let _logged = log.append(&denied(&format!("{i}"))).unwrap();
    }
    let all = events(&log);
    assert_eq!(all.iter().map(|event| event.seq).collect::<Vec<_>>(), (1..=100).collect::<Vec<_>>());
    assert!(all.windows(2).all(|pair| pair[0].hash == pair[1].prev));
    for from in 1..=101 {
        let mut reader = log.reader(from).unwrap();
        assert_eq!(reader.next().unwrap().map_or(101, |entry| entry.seq), from);
    }
    drop(log);
    fs::remove_file(place.stream().join("00000003.jsonl")).unwrap();
    assert!(place.try_start().is_err());
}

#[test]
fn a_cut_line_is_set_aside_and_told_of() {
    let place = Place::new();
    let (log, _) = place.start();
    for i in 0..3 {
        let _logged = log.append(&denied(&format!("{i}"))).unwrap();
    }
    drop(log);
    let path = place.stream().join("00000001.jsonl");
    let whole = fs::read(&path).unwrap();
    let third = whole[..whole.len() - 1].iter().rposition(|b| *b == b'\n').unwrap() + 1;
    for cut in [third + 1, third + 40, whole.len() - 1] {
        fs::write(&path, &whole[..cut]).unwrap();
        let (log, repaired) = place.start();
        assert_eq!(repaired.torn_bytes, (cut - third) as u64);
        let all = events(&log);
        assert_eq!(all.len(), 3);
        assert!(matches!(&all[2].event.what, What::AuditGap { bytes, .. } if *bytes == repaired.torn_bytes));
    }
    let aside = fs::read_dir(place.stream()).unwrap().filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().starts_with("torn-"));
    assert_eq!(aside.count(), 3);
    // A page of zeros, as a power cut leaves where bytes were not synced.
    fs::write(&path, [&whole[..third + 10], &[0; 500][..]].concat()).unwrap();
    assert_eq!(place.start().1.torn_bytes, 510);
    // A whole line that was changed is no accident.
    let mut bad = whole.clone();
    bad[third + 30] ^= 1;
    fs::write(&path, &bad).unwrap();
    assert!(matches!(place.try_start(), Err(StartError::Line { line: 3, .. })));
    bad = whole.clone();
    bad[10] ^= 1;
    fs::write(&path, &bad).unwrap();
    assert!(matches!(place.try_start(), Err(StartError::Line { line: 1, offset: 0, .. })));
}

#[test]
fn an_event_that_is_too_large_is_refused_before_anything_is_written() {
    let place = Place::new();
    let (log, _) = place.start();
    assert!(matches!(log.append(&denied(&"x".repeat(70_000))), Err(LogError::TooLarge(_))));
    assert_eq!(fs::metadata(place.stream().join("00000001.jsonl")).unwrap().len(), 0);
    assert_eq!(log.append(&denied("next")).unwrap().seq(), 1);
}

#[test]
fn many_threads_make_one_chain() {
    let place = Place::new();
    let (log, _) = place.start();
    let threads: Vec<_> = (0..8)
        .map(|t| {
            let log = log.clone();
            std::thread::spawn(move || (0..200).map(|i| log.append(&denied(&format!("{t} {i}"))).unwrap().seq()).collect::<Vec<_>>())
        })
        .collect();
    let mut all: Vec<u64> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    all.sort_unstable();
    assert_eq!(all, (1..=1600).collect::<Vec<_>>());
    drop(log);
    assert_eq!(events(&place.start().0).len(), 1600);
}

#[test]
fn search_finds_by_every_part() {
    let place = Place::new();
    let (log, _) = place.start();
    let session = start_of(7, "alice", "db-1");
    for event in [denied("x"), session.clone(), denied("say \"Hi\"")] {
        let _logged = log.append(&event).unwrap();
    }
    let found = |filter: Filter| log.search(filter, 1, 10).unwrap().map(|entry| entry.unwrap().seq).collect::<Vec<_>>();
    let none = Filter::default;
    assert_eq!(found(none()), [1, 2, 3]);
    assert_eq!(log.search(none(), 2, 1).unwrap().count(), 1);
    assert_eq!(found(Filter { types: vec!["session".into()], ..none() }), [2]);
    assert_eq!(found(Filter { types: vec!["session.start".into(), "access.*".into()], ..none() }), [1, 2, 3]);
    assert_eq!(found(Filter { types: vec!["sess".into()], ..none() }), [] as [u64; 0]);
    assert_eq!(found(Filter { user: Some("alice".into()), ..none() }), [2]);
    assert_eq!(found(Filter { node: Some("db-1".into()), ..none() }), [2]);
    assert_eq!(found(Filter { session: session.session.as_ref().map(|s| s.id), ..none() }), [2]);
    assert_eq!(found(Filter { until: Some(session.time), ..none() }), [] as [u64; 0]);
    assert_eq!(found(Filter { since: Some(session.time), ..none() }), [1, 2, 3]);
    assert_eq!(found(Filter { text: Some("say \"hi\"".into()), ..none() }), [3]);
}

/// P2 and group commit: forty waiters, and HEAD covers each when it is told so.
#[tokio::test]
async fn whoever_is_told_durable_is_under_head() {
    let place = Arc::new(Place::new());
    let (log, _) = place.start();
    let commits = Commits::start(log.clone(), Box::new(|| Ok(None))).unwrap();
    let waiters: Vec<_> = (0..40)
        .map(|i| {
            let (log, place) = (log.clone(), place.clone());
            tokio::spawn(async move {
                let durable = log.durable(log.append(&denied(&format!("{i}"))).unwrap()).await.unwrap();
                let head: Head = unseal(&fs::read(place.stream().join("HEAD")).unwrap(), None).unwrap().0;
                assert!(head.count >= durable.logged().seq());
            })
        })
        .collect();
    for waiter in waiters {
        waiter.await.unwrap();
    }
    let checkpoints = log.checkpoints();
    tokio::task::spawn_blocking(|| commits.stop()).await.unwrap().unwrap();
    assert_eq!(checkpoints.borrow().as_ref().map(|one| one.count), Some(40), "a last checkpoint leaves at the end");
}

#[tokio::test]
async fn a_disk_that_does_not_sync_makes_nothing_durable() {
    let place = Place::new();
    let (log, _) = place.start();
    let commits = Commits::start(log.clone(), Box::new(|| Err(std::io::ErrorKind::Other.into()))).unwrap();
    let waited = tokio::time::timeout(Duration::from_secs(60), log.durable(log.append(&denied("x")).unwrap())).await.unwrap();
    assert!(matches!(waited, Err(LogError::Io(_))));
    assert!(commits.stop().is_err());
}

/// A small disk of its own, unmounted at the end.
struct SmallDisk(std::path::PathBuf);

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ended = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// P13: on a full disk only the events that say how things ended get in, and with room again all do. Needs the right to mount.
#[tokio::test]
async fn on_a_full_disk_end_events_get_in_and_nothing_else() {
    let mut place = Place::new();
    let disk = SmallDisk(place.temp.path().join("disk"));
    fs::create_dir(&disk.0).unwrap();
    let mounted = std::process::Command::new("mount").args(["-t", "tmpfs", "-o", "size=3m", "tmpfs"]).arg(&disk.0).status();
    if !mounted.is_ok_and(|status| status.success()) {
        println!("not run: a small disk cannot be mounted here");
        return;
    }
    place.settings.dir = disk.0.join("log");
    let (log, _) = place.start();
    let commits = Commits::start(log.clone(), Box::new(|| Ok(None))).unwrap();
    fs::write(disk.0.join("ballast"), vec![1; 1024 * 1024]).unwrap();
    let mut written = 0;
    let refused = loop {
        match log.append(&denied(&"x".repeat(5000))) {
            Ok(_logged) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 1000);
    };
    assert!(matches!(refused, LogError::Full), "{refused}");
    let end = parts::end_of(1, "alice", "db-1", None);
    for i in 1..=20 {
        let logged = log.append(&end).unwrap();
        assert_eq!(logged.seq(), written + i);
        assert!(log.durable(logged).await.is_ok(), "HEAD can still be written");
    }
    fs::remove_file(disk.0.join("ballast")).unwrap();
    // The commit thread takes the reserve again as soon as there is room.
    while log.append(&denied("goes on")).is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    commits.stop().unwrap();
    drop(log);
    assert_eq!(events(&place.start().0).len() as u64, written + 21);
}
