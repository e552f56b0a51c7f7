//! A kill at any moment, a torn journal, a flipped byte: what was shown is in the recording, and what was changed is found.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::io::Write as _;
use std::path::Path;

use bytes::Bytes;
use common::*;
use recorder::Recordings;
use wire::asciicast;
use wire::frames::Stream;
use wire::journal::{HeadState, JournalCheck, JournalReport};
use wire::proof::recording::RecordingFault;
use wire::proof::{JournalHead, Sign as _};

/// Checks the journal files of a state folder as an auditor without a server would.
fn check_journal(dir: &Path, head: Option<JournalHead>) -> JournalReport {
    let mut check = JournalCheck::new(head);
    let mut files: Vec<_> = fs::read_dir(dir.join("journal")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for path in files {
        let Some(number) = wire::journal::file_number(path.file_name().unwrap().to_str().unwrap()) else { continue };
        check.file(number);
        fs::read(&path).unwrap().chunks(5000).for_each(|piece| check.feed(piece));
    }
    check.finish()
}

fn write(recordings: &Recordings, n: u8, chunks: u32) -> (Vec<u8>, recorder::OpenRecording) {
    let mut recording = open(recordings, n, true).unwrap();
    let mut shown = Vec::new();
    for chunk in 0..chunks {
        show(&mut shown, recording.output(Stream::Stdout, Bytes::from(format!("{n}: chunk {chunk}\r\n"))).unwrap());
    }
    (shown, recording)
}

/// Not a test by itself: what [`a_kill_at_any_moment_loses_nothing_that_was_shown`] kills. Each session writes what it may show to a file.
#[test]
#[ignore = "run by another test"]
fn writes_until_it_is_killed() {
    let (Ok(dir), Ok(round)) = (std::env::var("STATE"), std::env::var("ROUND")) else { return };
    let (dir, round) = (Path::new(&dir), round.parse::<u8>().unwrap());
    let (recordings, _) = start(dir);
    std::thread::scope(|scope| {
        for n in 0..3u8 {
            let recordings = &recordings;
            scope.spawn(move || {
                let mut recording = open(recordings, round * 3 + n, n != 1).unwrap();
                let mut shown = fs::File::create(dir.join(format!("shown-{}", recording.session()))).unwrap();
                for chunk in 0u32.. {
                    let noise = blake3::hash(&chunk.to_be_bytes());
                    let data = [format!("{n} {chunk} ").into_bytes(), noise.as_bytes().repeat(1 + chunk as usize % 40)].concat();
                    loop {
                        match recording.output(Stream::Stdout, Bytes::from(data.clone())) {
                            Ok(recorded) => break shown.write_all(recorded.bytes()).unwrap(),
                            Err(recorder::RecordError::Backlog) => {
                                recordings.journal().sync().unwrap();
                                std::thread::sleep(std::time::Duration::from_millis(1));
                            }
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
            });
        }
    });
}

#[test]
fn a_kill_at_any_moment_loses_nothing_that_was_shown() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..8u8 {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "writes_until_it_is_killed"])
            .env("STATE", dir.path())
            .env("ROUND", round.to_string())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // The moment is random enough: by what was written, which differs with every run.
        let begun = |n: u8| dir.path().join(format!("shown-{}", session(round * 3 + n)));
        let enough = 10_000 << round;
        while (0..3).any(|n| fs::metadata(begun(n)).map_or(0, |meta| meta.len()) < enough) {
            assert!(child.try_wait().unwrap().is_none(), "the writer ended by itself");
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let (again, recovered) = start(dir.path());
        assert_eq!(recovered.sessions.len(), 3);
        for lost in &recovered.sessions {
            let session = lost.about.session;
            let text = cast(&again, &session);
            let recorded = asciicast::bytes(&text, if lost.about.terminal.is_some() { 'o' } else { 'O' }).unwrap();
            let shown = fs::read(dir.path().join(format!("shown-{session}"))).unwrap();
            assert!(recorded.starts_with(&shown), "round {round}: {} of {}", recorded.len(), shown.len());
            assert_eq!((lost.closed.reason.as_str(), lost.closed.lost.gaps), ("proxy_lost", 0));
            assert_eq!(text, zstdcat(dir.path(), &session));
            assert_eq!(again.verify_recording(&session, Some(&key().public())).unwrap().faults, []);
        }
        drop(again);
        assert!(start(dir.path()).1.sessions.is_empty(), "a second start has nothing left to do");
    }
}

#[tokio::test]
async fn a_journal_cut_at_any_byte_gives_all_before_the_cut() {
    let dir = tempfile::tempdir().unwrap();
    let (recordings, _) = start(dir.path());
    let (shown, recording) = write(&recordings, 1, 8);
    let head = recordings.journal().head();
    let file = wire::journal::file_name(head.file);
    let bytes = fs::read(dir.path().join("journal").join(&file)).unwrap();
    let mut last = 0;
    for cut in 0..=head.offset {
        let torn = tempfile::tempdir().unwrap();
        fs::create_dir_all(torn.path().join("journal")).unwrap();
        fs::write(torn.path().join("journal").join(&file), &bytes[..usize::try_from(cut).unwrap()]).unwrap();
        let (again, recovered) = Recordings::start(recorder::RecorderSettings { reserve: 0, ..settings(torn.path()) }, key()).unwrap();
        let recorded =
            recovered.sessions.first().map_or(Vec::new(), |lost| asciicast::bytes(&cast(&again, &lost.about.session), 'o').unwrap());
        assert!(shown.starts_with(&recorded) && recorded.len() >= last, "cut {cut}");
        last = recorded.len();
    }
    assert_eq!(last, shown.len());
    drop(recording);
}

#[tokio::test]
async fn a_flipped_byte_of_a_recording_or_of_the_journal_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let (recordings, _) = start(dir.path());
    let (_, recording) = write(&recordings, 1, 200);
    let session = recording.session();
    recording.close(ending()).await;
    let head = recordings.journal().sync().unwrap();
    let report = check_journal(dir.path(), Some(head));
    assert_eq!((report.head, report.faults, report.live.len(), report.sealed.len()), (HeadState::Matches, vec![], 0, 1));

    let folder = dir.path().join("recordings").join(session.to_string());
    for name in ["manifest.json", "cast/0001.zst"] {
        let sound = fs::read(folder.join(name)).unwrap();
        for at in 0..sound.len() {
            let mut bad = sound.clone();
            bad[at] ^= 0x10;
            fs::write(folder.join(name), bad).unwrap();
            let faults = recordings.verify_recording(&session, Some(&key().public())).unwrap().faults;
            assert_eq!(faults.first().map(|fault| fault.place().0), Some(name.to_owned()), "byte {at}");
        }
        fs::write(folder.join(name), &sound[..sound.len() - 1]).unwrap();
        assert_eq!(recordings.verify_recording(&session, None).unwrap().faults.len(), 1);
        fs::write(folder.join(name), sound).unwrap();
    }
    fs::write(folder.join("cast/0002.zst"), b"more").unwrap();
    let faults = recordings.verify_recording(&session, None).unwrap().faults;
    assert_eq!(faults, [RecordingFault::Extra { file: "0002.zst".into() }]);

    let path = dir.path().join("journal").join(wire::journal::file_name(head.file));
    let sound = fs::read(&path).unwrap();
    for at in (0..usize::try_from(head.offset).unwrap()).step_by(3) {
        let mut bad = sound.clone();
        bad[at] ^= 1;
        fs::write(&path, bad).unwrap();
        assert_eq!(check_journal(dir.path(), Some(head)).head, HeadState::Fails, "byte {at}");
    }
    fs::write(&path, &sound[..usize::try_from(head.offset).unwrap() - 1]).unwrap();
    assert_eq!(check_journal(dir.path(), Some(head)).faults.len(), 1, "a cut tail below HEAD");
    fs::write(&path, sound).unwrap();
}

#[tokio::test]
async fn a_live_recording_is_checked_by_the_journals_word() {
    let dir = tempfile::tempdir().unwrap();
    let (recordings, _) = start(dir.path());
    let (_, recording) = write(&recordings, 1, 3000);
    let session = recording.session();
    let stored = dir.path().join("recordings").join(session.to_string()).join("cast/0001.zst");
    // The file is there a little before the journal is told of it.
    while check_journal(dir.path(), None).live.get(&session).is_none_or(|live| live.segments.is_empty()) {
        tokio::task::yield_now().await;
    }
    assert!(recordings.verify_recording(&session, None).is_ok_and(|verified| verified.open));
    let report = check_journal(dir.path(), Some(recordings.journal().sync().unwrap()));
    let live = report.live.get(&session).unwrap();
    assert_eq!(report.faults, []);
    let check = |bytes: &[u8]| {
        let mut check = wire::proof::recording::RecordingCheck::live(live);
        for segment in &live.segments {
            check.begin(&segment.file);
            match segment.file.as_str() {
                "0001.zst" => check.feed(bytes),
                other => check.feed(&fs::read(stored.with_file_name(other)).unwrap()),
            }
        }
        check.finish()
    };
    let mut bytes = fs::read(&stored).unwrap();
    assert_eq!(check(&bytes), []);
    bytes[9] ^= 1;
    assert_eq!(check(&bytes), [RecordingFault::Changed { file: "0001.zst".into() }]);
    recording.close(ending()).await;
}

/// What a start says of a copy of `from` whose journal file `change` has changed.
fn damage(from: &Path, head: JournalHead, change: impl FnOnce(&Path, Vec<u8>)) -> Option<Vec<u64>> {
    let copy = tempfile::tempdir().unwrap();
    assert!(std::process::Command::new("cp").arg("-r").arg(from).arg(copy.path()).status().unwrap().success());
    let dir = copy.path().join(from.file_name().unwrap());
    let path = dir.join("journal").join(wire::journal::file_name(head.file));
    change(&dir, fs::read(&path).unwrap());
    let settings = recorder::RecorderSettings { covered: Some(head), ..settings(&dir) };
    let (again, recovered) = Recordings::start(settings, key()).unwrap();
    for lost in &recovered.sessions {
        let hit = recovered.damage.as_ref().is_some_and(|damage| damage.sessions.contains(&lost.about.session));
        assert_eq!(lost.closed.lost.gaps > 0, hit, "the recording says it too: {lost:?}");
        assert_eq!(String::from_utf8_lossy(&cast(&again, &lost.about.session)).contains("damaged"), hit);
    }
    let damage = recovered.damage?;
    assert_eq!((damage.file, damage.offset), (head.file, head.offset));
    Some(damage.sessions.iter().map(|id| u64::from(id.as_bytes()[0])).collect())
}

#[tokio::test]
async fn what_head_covers_and_is_missing_or_changed_is_damage_and_what_it_does_not_cover_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let (recordings, _) = start(dir.path());
    let (_, ended) = write(&recordings, 1, 20);
    ended.close(ending()).await;
    let (_, mut recording) = write(&recordings, 2, 20);
    let before = recordings.journal().head();
    let stored = dir.path().join("recordings").join(session(2).to_string()).join("cast/0001.zst");
    let _shown = recording.output(Stream::Stdout, Bytes::from(vec![b'x'; 20000])).unwrap();
    while check_journal(dir.path(), None).live.get(&session(2)).is_none_or(|live| live.segments.is_empty()) {
        tokio::task::yield_now().await;
    }
    let head = recordings.journal().sync().unwrap();
    let _shown = recording.output(Stream::Stdout, Bytes::from_static(b"not covered")).unwrap();
    let path = |dir: &Path| dir.join("journal").join(wire::journal::file_name(head.file));
    let at = |place: JournalHead| usize::try_from(place.offset).unwrap();
    let zeros = |from: usize| {
        move |dir: &Path, mut bytes: Vec<u8>| {
            bytes[from..].fill(0);
            fs::write(path(dir), bytes).unwrap();
        }
    };
    assert_eq!(damage(dir.path(), head, |_, _| {}), None);
    assert_eq!(damage(dir.path(), head, zeros(at(head))), None, "a power cut takes what was not covered");
    assert_eq!(damage(dir.path(), head, zeros(at(before))), Some(vec![2]));
    assert_eq!(damage(dir.path(), head, |dir, bytes| fs::write(path(dir), &bytes[..at(before)]).unwrap()), Some(vec![2]));
    let flip = |dir: &Path, mut bytes: Vec<u8>| {
        bytes[at(before) + 60] ^= 1;
        fs::write(path(dir), bytes).unwrap();
    };
    assert_eq!(damage(dir.path(), head, flip), Some(vec![2]));
    let name = stored.strip_prefix(dir.path()).unwrap();
    assert_eq!(damage(dir.path(), head, |dir, _| fs::remove_file(dir.join(name)).unwrap()), Some(vec![2]), "what is stored is gone");
    let erase = |dir: &Path, _| {
        fs::remove_dir_all(dir.join("recordings").join(session(2).to_string())).unwrap();
        fs::remove_dir_all(dir.join("journal")).unwrap();
    };
    assert_eq!(damage(dir.path(), head, erase), Some(vec![]), "the log knows which session that was");
    drop(recording);
}
