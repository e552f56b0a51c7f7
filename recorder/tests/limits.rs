//! What bounds a recording and what happens at each bound: room, a disk that refuses, a cap, a session that is dropped, watchers.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use bytes::Bytes;
use common::*;
use recorder::{RecordError, RecorderSettings, Recordings};
use serde_json::json;
use wire::asciicast::{self, Item};
use wire::frames::{Size, Stream};

fn facts(text: &[u8], key: &str) -> Vec<serde_json::Value> {
    let mut reader = asciicast::Reader::new();
    reader.push(text);
    std::iter::from_fn(|| reader.next_item())
        .filter_map(|item| match item.unwrap() {
            Item::Fact(fact) => fact.get(key).cloned(),
            _ => None,
        })
        .collect()
}

#[tokio::test]
async fn much_output_passes_through_a_small_journal_and_its_files_are_freed() {
    let dir = tempfile::tempdir().unwrap();
    let small = RecorderSettings { backlog: 1 << 20, ..settings(dir.path()) };
    let (recordings, _) = Recordings::start(small, key()).unwrap();
    // It is quiet from the first second on; its recording must not hold the journal back.
    let mut quiet = open(&recordings, 2, true).unwrap();
    let mut shown = Vec::new();
    show(&mut shown, quiet.output(Stream::Stdout, Bytes::from_static(b"quiet \xea\xb0")).unwrap());
    let mut recording = open(&recordings, 1, false).unwrap();
    let zeros = Bytes::from(vec![0; 40_000]);
    for _ in 0..500 {
        assert_eq!(recording.record(Stream::Stdout, zeros.clone()).await.unwrap().bytes().len(), zeros.len());
        recordings.journal().sync().unwrap();
    }
    show(&mut shown, quiet.record(Stream::Stdout, Bytes::from_static(b"\x80 done")).await.unwrap());
    let session = recording.session();
    let closed = recording.close(ending()).await;
    assert_eq!(closed.output_bytes, 20_000_000);
    let bytes = asciicast::bytes(&cast(&recordings, &session), 'O').unwrap();
    assert!(bytes.len() == 20_000_000 && bytes.iter().all(|byte| *byte == 0));
    let files = fs::read_dir(dir.path().join("journal")).unwrap().count();
    assert!(files < 12, "{files} journal files are left of 80");
    let session = quiet.session();
    assert_eq!(asciicast::bytes(&cast(&recordings, &session), 'o').unwrap(), b"quiet \xea\xb0\x80 done".as_slice());
    quiet.close(ending()).await;
    assert_eq!(asciicast::bytes(&cast(&recordings, &session), 'o').unwrap(), shown);
}

#[tokio::test]
async fn without_room_strict_waits_and_with_trouble_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let small = RecorderSettings { backlog: 256 << 10, ..settings(dir.path()) };
    let (recordings, _) = Recordings::start(small, key()).unwrap();
    // A file where the folder should be: nothing can be stored.
    let blocked = dir.path().join("recordings").join(session(1).to_string());
    fs::write(&blocked, b"").unwrap();
    let mut strict = open(&recordings, 1, true).unwrap();
    let mut lenient = open_with(&recordings, 2, true, &json!({"recording": "best_effort"})).unwrap();
    let chunk = Bytes::from(vec![b'x'; 8000]);
    let error = loop {
        match strict.record(Stream::Stdout, chunk.clone()).await {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(error, RecordError::Full(_)), "{error:?}");
    assert!(recordings.trouble().borrow().is_some());
    assert!(matches!(open(&recordings, 3, true), Err(RecordError::Full(_))), "no new strict sessions");
    let mut sent = 0;
    let cause = loop {
        sent += lenient.record(Stream::Stdout, chunk.clone()).await.unwrap().bytes().len();
        if let Some(cause) = lenient.degraded() {
            break cause;
        }
    };
    assert!(!cause.is_empty() && lenient.degraded().is_none(), "it is told once");
    sent += lenient.record(Stream::Stdout, chunk.clone()).await.unwrap().bytes().len();
    // The disk is well again: both end in order, and the gap is marked with what it holds.
    fs::remove_file(&blocked).unwrap();
    while recordings.trouble().borrow().is_some() || recordings.backlog() > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    sent += lenient.record(Stream::Stdout, chunk.clone()).await.unwrap().bytes().len();
    let (first, second) = (strict.session(), lenient.session());
    assert_eq!(lenient.position(), sent as u64);
    strict.close(ending()).await;
    let closed = lenient.close(ending()).await;
    assert_eq!((closed.lost.gaps, closed.output_bytes + 16_000), (1, sent as u64));
    let text = cast(&recordings, &second);
    let gaps = facts(&text, "gap");
    assert_eq!(gaps.len(), 1);
    assert_eq!(gaps[0]["bytes"], 16_000);
    assert_eq!(gaps[0]["blake3"], wire::proof::Hash::of(&[b'x'; 16_000]).to_string());
    for session in [first, second] {
        assert_eq!(recordings.verify_recording(&session, None).unwrap().faults, []);
    }
}

#[tokio::test]
async fn sizes_and_ends_without_end_leave_the_room_of_others_alone() {
    let dir = tempfile::tempdir().unwrap();
    let small = RecorderSettings { backlog: 256 << 10, ..settings(dir.path()) };
    let (recordings, _) = Recordings::start(small, key()).unwrap();
    let blocked = dir.path().join("recordings").join(session(1).to_string());
    fs::write(&blocked, b"").unwrap();
    let mut recording = open_with(&recordings, 1, true, &json!({"recording": "best_effort"})).unwrap();
    while recording.degraded().is_none() {
        let _shown = recording.record(Stream::Stdout, Bytes::from(vec![b'x'; 8000])).await.unwrap();
    }
    // There is no room: what is kept for endings is not for sizes, and one end of a stream is enough.
    recording.output_eof(Stream::Stderr).unwrap();
    let before = recordings.journal().head();
    let size = |cols| Size { cols, rows: 30, width: 0, height: 0 };
    for cols in 100..300 {
        recording.resize(size(cols)).unwrap();
        recording.output_eof(Stream::Stderr).unwrap();
    }
    assert_eq!(recordings.journal().head(), before);
    fs::remove_file(&blocked).unwrap();
    while recordings.trouble().borrow().is_some() || recordings.backlog() > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    // With room few of them are recorded, and always the last.
    let began = std::time::Instant::now();
    for cols in 300..=1300 {
        recording.resize(size(cols)).unwrap();
    }
    let most = began.elapsed().as_millis() / 50 + 2;
    let session = recording.session();
    recording.close(ending()).await;
    let text = String::from_utf8(cast(&recordings, &session)).unwrap();
    let sizes: Vec<&str> = text.lines().filter(|line| line.contains(r#""r""#)).collect();
    assert!(sizes.len() as u128 <= most, "{} sizes are recorded, {most} at most", sizes.len());
    assert!(sizes.last().is_some_and(|line| line.contains("1300x30")), "{sizes:?}");
}

#[tokio::test]
async fn a_cap_counts_what_it_cuts_and_off_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (recordings, _) = start(dir.path());
    let capped = json!({"max_output": "10B", "record_input": true});
    let mut recording = open_with(&recordings, 1, false, &capped).unwrap();
    let recorded = recording.output(Stream::Stdout, Bytes::from_static(b"12345678")).unwrap();
    assert_eq!((recorded.offset(), recorded.stream()), (0, Stream::Stdout));
    assert_eq!(recording.output(Stream::Stderr, Bytes::from_static(b"9abcd")).unwrap().into_bytes(), "9abcd");
    assert_eq!((recording.degraded().as_deref(), recording.degraded()), (Some("max_output"), None), "it is told once");
    assert_eq!(facts(&cast(&recordings, &recording.session()), "gap")[0], json!({"cause": "max_output", "at": 10}), "who watches sees it");
    assert_eq!(recordings.verify_recording(&recording.session(), None).unwrap().faults, []);
    let _shown = recording.output(Stream::Stdout, Bytes::from_static(b"efgh")).unwrap();
    recording.input(b"typed\xff").unwrap();
    recording.output_eof(Stream::Stdout).unwrap();
    let session = recording.session();
    let closed = recording.close(ending()).await;
    assert_eq!((closed.output_bytes, closed.input_bytes), (10, 6));
    let lost = access::event::Lost { gaps: 1, bytes: 7, cause: Some("max_output".into()) };
    assert_eq!(closed.lost, lost);
    assert_eq!(recordings.verify_recording(&session, None).unwrap().lost, lost);
    let text = cast(&recordings, &session);
    let read = |code| asciicast::bytes(&text, code).unwrap();
    assert_eq!((read('O'), read('E'), read('I')), (b"12345678".to_vec(), b"9a".to_vec(), b"typed\xff".to_vec()));
    assert_eq!(facts(&text, "gap")[1]["bytes"], 7);
    assert_eq!(facts(&text, "gap")[1]["blake3"], wire::proof::Hash::of(b"bcdefgh").to_string());
    assert_eq!(facts(&text, "eof")[0], "O");

    // Nobody works unseen: a terminal is kept whole.
    let mut seen = open_with(&recordings, 3, true, &capped).unwrap();
    let _shown = seen.output(Stream::Stdout, Bytes::from_static(b"more than ten bytes")).unwrap();
    let session_seen = seen.session();
    let closed = seen.close(ending()).await;
    assert_eq!((closed.output_bytes, closed.lost.gaps), (19, 0));

    let before = recordings.journal().head();
    let mut off = open_with(&recordings, 2, true, &json!({"recording": "off"})).unwrap();
    let _shown = off.output(Stream::Stdout, Bytes::from_static(b"free")).unwrap();
    assert_eq!(off.close(ending()).await.manifest, None);
    assert_eq!(recordings.journal().head(), before);
    assert_eq!(recordings.sessions().unwrap(), [session, session_seen]);
}

#[tokio::test]
async fn a_dropped_recording_is_closed_and_a_watcher_sees_it_all() {
    let dir = tempfile::tempdir().unwrap();
    let (recordings, _) = start(dir.path());
    let mut recording = open(&recordings, 1, true).unwrap();
    let session = recording.session();
    let mut watcher = recordings.follow(&session).unwrap();
    let watching = tokio::spawn(async move {
        let mut text = Vec::new();
        while let Some(piece) = watcher.next().await.unwrap() {
            text.extend_from_slice(&piece);
        }
        text
    });
    let mut shown = Vec::new();
    for n in 0..4000 {
        let data = Bytes::from(format!("{n} of many lines that are watched {n}\r\n").repeat(4));
        show(&mut shown, recording.record(Stream::Stdout, data).await.unwrap());
        if n % 50 == 0 {
            recordings.journal().sync().unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }
    drop(recording);
    let seen = watching.await.unwrap();
    assert_eq!(asciicast::bytes(&seen, 'o').unwrap(), shown);
    assert_eq!(seen, cast(&recordings, &session));
    let manifest = loop {
        if let Some(manifest) = recordings.verify_recording(&session, None).unwrap().manifest {
            break manifest;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    assert_eq!(manifest.reason, "abandoned");
}
