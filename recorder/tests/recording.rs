//! A recording from its first byte to its manifest, as a session, a watcher and an auditor see it.

mod common;

use bytes::Bytes;
use common::*;
use recorder::Stored;
use serde_json::json;
use wire::asciicast;
use wire::frames::{Size, Stream};
use wire::proof::Sign as _;

#[tokio::test]
async fn what_is_shown_is_recorded_and_can_be_proved() {
    let dir = tempfile::tempdir().unwrap();
    let (recordings, recovered) = start(dir.path());
    assert!(recovered.sessions.is_empty());
    let mut recording = open(&recordings, 1, true).unwrap();
    let session = recording.session();
    let mut shown = Vec::new();
    for n in 0..20_000 {
        let mut text = format!("line {n} \u{ac00}").into_bytes();
        text.extend_from_slice(b"\xff\r\n");
        show(&mut shown, recording.record(Stream::Stdout, Bytes::from(text)).await.unwrap());
        if n % 1000 == 0 {
            show(&mut shown, recording.record(Stream::Stdout, Bytes::from_static(b"\xea\xb0")).await.unwrap());
            recording.resize(Size { cols: 100, rows: 30, width: 0, height: 0 }).unwrap();
            recording.input(b"secret").unwrap();
        }
    }
    let live = cast(&recordings, &session);
    assert_eq!(asciicast::bytes(&live, 'o').unwrap(), shown, "a live recording reads whole");
    assert!(recordings.verify_recording(&session, None).unwrap().open);
    assert_eq!(recording.position(), shown.len() as u64);
    let closed = recording.close(ending()).await;
    assert_eq!((closed.output_bytes, closed.input_bytes, closed.lost.gaps), (shown.len() as u64, 120, 0));
    let text = cast(&recordings, &session);
    assert_eq!(text, zstdcat(dir.path(), &session));
    assert_eq!(asciicast::bytes(&text, 'o').unwrap(), shown);
    assert!(!String::from_utf8(text).unwrap().contains("secret"), "input is kept as a hash unless the role says otherwise");
    let verified = recordings.verify_recording(&session, Some(&key().public())).unwrap();
    assert_eq!((verified.faults, verified.open), (vec![], false));
    assert!(verified.manifest.unwrap().segments.len() > 1);
    assert!(matches!(recordings.stored(&session).unwrap(), Stored::Closed(manifest) if manifest.reason == "exit"));
}

/// Whoever opens a recording cannot say whose it is, nor record less than the role demands: the permit does.
#[tokio::test]
async fn a_recording_is_of_the_permits_person_and_in_the_permits_mode() {
    let dir = tempfile::tempdir().unwrap();
    let (recordings, _) = start(dir.path());
    let mut recording = open_with(&recordings, 1, false, &json!({"recording": "best_effort", "record_input": true})).unwrap();
    recording.input(b"typed").unwrap();
    let session = recording.session();
    recording.close(ending()).await;
    let Stored::Closed(manifest) = recordings.stored(&session).unwrap() else { panic!("it is closed") };
    assert_eq!((manifest.user.as_str(), manifest.user_name.as_str()), ("i-1|alice", "alice"));
    assert_eq!((manifest.node.as_str(), manifest.login.as_str(), manifest.kind.as_str()), ("demo", "root", "exec"));
    let text = cast(&recordings, &session);
    assert_eq!(asciicast::bytes(&text, 'I').unwrap(), b"typed");
    assert!(String::from_utf8(text).unwrap().contains("\"recording\":\"best_effort\""));
}
