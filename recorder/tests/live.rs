//! The offline proof over a state with sessions that have not ended: still, changed by a stranger, and while the recorder writes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;
#[allow(unused_imports, reason = "only its events are used here")]
mod parts;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use access::event::{Event, SessionRef};
use access::words::SessionId;
use bytes::Bytes;
use client::verify::{Report, verify};
use common::*;
use recorder::commit::Commits;
use recorder::log::{Log, LogSettings};
use recorder::{OpenRecording, RecorderSettings, Recordings};
use wire::frames::Stream;
use wire::journal::{JournalCheck, JournalReport, file_number};
use wire::proof::log::FaultKind;
use wire::proof::{Head, JournalHead, Sign as _, unseal};

fn begin(dir: &Path) -> (Log, Recordings, Commits) {
    fs::write(dir.join("VERSION"), "{\"format\":1,\"install\":\"i-1\"}\n").unwrap();
    let (log, _) =
        Log::start(LogSettings { file_bytes: 8000, ..LogSettings::new(dir.join("log"), "i-1".parse().unwrap(), "proxy-1") }, key())
            .unwrap();
    let small = RecorderSettings {
        journal_file: 64 << 10,
        frame_text: 4 << 10,
        frame_age: Duration::from_millis(50),
        segment: 8 << 10,
        ..settings(dir)
    };
    let (recordings, _) = Recordings::start(small, key()).unwrap();
    let journal = recordings.clone();
    let commits = Commits::start(log.clone(), Box::new(move || journal.journal().sync().map(Some))).unwrap();
    (log, recordings, commits)
}

fn of(id: SessionId, mut event: Event) -> Event {
    event.session = event.session.map(|session| SessionRef { id, ..session });
    event
}

fn started(log: &Log, recordings: &Recordings, n: u8) -> OpenRecording {
    let recording = open(recordings, n, true).unwrap();
    let _logged = log.append(&of(session(n), parts::start_of(0, "alice", "demo"))).unwrap();
    recording
}

/// About 70 bytes that do not compress well.
fn noise(chunk: u32) -> Bytes {
    Bytes::from(format!("{}\r\n", blake3::hash(&chunk.to_be_bytes())))
}

async fn write(recording: &mut OpenRecording, chunks: u32) {
    for chunk in 0..chunks {
        let _shown = recording.record(Stream::Stdout, noise(chunk)).await.unwrap();
    }
}

async fn ended(log: &Log, recording: OpenRecording) {
    let id = recording.session();
    let closed = recording.close(ending()).await;
    let manifest = closed.manifest.map(|hash| hash.to_string());
    let _logged = log.append(&of(id, parts::end_of(0, "alice", "demo", manifest))).unwrap();
}

fn check(dir: &Path) -> Report {
    verify(dir, Some(key().public()), None, &mut |_| {}).unwrap()
}

fn signed(dir: &Path) -> Head {
    unseal(&fs::read(dir.join("log/proxy-1/HEAD")).unwrap(), None).unwrap().0
}

fn head(dir: &Path) -> JournalHead {
    signed(dir).journal.unwrap()
}

fn journal_files(dir: &Path) -> Vec<u64> {
    let names = fs::read_dir(dir.join("journal")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut files: Vec<u64> = names.filter_map(|name| file_number(name.to_str().unwrap())).collect();
    files.sort_unstable();
    files
}

/// What the journal files from `from` on tell.
fn journal(dir: &Path, from: u64) -> JournalReport {
    let mut check = JournalCheck::new(None);
    for number in journal_files(dir).into_iter().filter(|number| *number >= from) {
        check.file(number);
        check.feed(&fs::read(dir.join("journal").join(wire::journal::file_name(number))).unwrap());
    }
    check.finish()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() { copy(&entry.path(), &to) } else { assert!(fs::copy(entry.path(), to).is_ok()) }
    }
}

/// What is stored of the live session; none while a frame is being written.
fn stored_text(dir: &Path) -> Option<Vec<u8>> {
    let folder = dir.join(format!("recordings/{}/cast", session(2)));
    let mut names: Vec<_> = fs::read_dir(folder).ok()?.map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names.iter().try_fold(Vec::new(), |text, name| Some([text, zstd::decode_all(fs::File::open(name).ok()?).ok()?].concat()))
}

/// A state as a kill leaves it, and a copy of it to change: one closed session, one live session that is stored in several segments and
/// told to a journal of several files, all under HEAD.
async fn killed() -> (tempfile::TempDir, tempfile::TempDir) {
    let (dir, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (log, recordings, commits) = begin(dir.path());
    for n in 0..20 {
        let _logged = log.append(&parts::denied(&n.to_string())).unwrap();
    }
    let mut first = started(&log, &recordings, 1);
    write(&mut first, 300).await;
    ended(&log, first).await;
    let mut second = started(&log, &recordings, 2);
    loop {
        write(&mut second, 40).await;
        let told =
            || journal(dir.path(), 0).live.get(&session(2)).map_or(0, |live| live.segments.iter().map(|segment| segment.bytes).sum());
        let stored = || -> u64 {
            let cast = dir.path().join(format!("recordings/{}/cast", session(2)));
            fs::read_dir(cast).map_or(0, |entries| entries.map(|entry| entry.unwrap().metadata().unwrap().len()).sum())
        };
        while stored() == 0 || told() != stored() || stored_text(dir.path()) != Some(cast(&recordings, &session(2))) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let logged = log.append(&parts::denied("the last")).unwrap();
        let _durable = log.durable(logged).await.unwrap();
        copy(dir.path(), work.path());
        let segments = journal(work.path(), 0).live[&session(2)].segments.len();
        if segments > 2 && journal_files(work.path()).len() > 1 && told() == stored() {
            break;
        }
        fs::remove_dir_all(work.path()).unwrap();
    }
    let still = tempfile::tempdir().unwrap();
    copy(work.path(), still.path());
    drop((commits, second));
    (still, work)
}

/// All that is proved, with how many bytes of each file are.
fn proved(dir: &Path) -> Vec<(PathBuf, usize)> {
    let head = head(dir);
    let (mut out, mut todo) = (Vec::new(), vec![dir.join("log"), dir.join("recordings"), dir.join("journal")]);
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let (name, path) = (entry.file_name(), entry.path());
            let length = match file_number(name.to_str().unwrap()) {
                _ if entry.file_type().unwrap().is_dir() => {
                    todo.push(path);
                    continue;
                }
                Some(number) if number > head.file => 0,
                Some(number) if number == head.file => head.offset,
                None if name == "reserve" || name == "spare" => 0,
                _ => entry.metadata().unwrap().len(),
            };
            if length > 0 {
                out.push((path.strip_prefix(dir).unwrap().to_owned(), usize::try_from(length).unwrap()));
            }
        }
    }
    out.sort();
    out
}

fn found(dir: &Path, file: &Path, how: &str) {
    let report = check(dir);
    let stem = file.with_extension("").to_string_lossy().into_owned();
    assert!(!report.ok, "{how}: {file:?} was not found");
    assert!(report.faults.iter().any(|fault| fault.file.starts_with(&stem)), "{how}: {file:?} is not named in {:?}", report.faults);
}

#[tokio::test]
async fn every_change_below_head_is_found_also_while_a_session_lives() {
    let (still, work) = killed().await;
    let dir = work.path();
    let report = check(dir);
    assert!(report.ok, "{report:?}");
    assert_eq!((report.open.as_slice(), report.recordings), ([session(2)].as_slice(), 1));
    let files = proved(dir);
    assert!(files.iter().filter(|(file, _)| file.starts_with("journal")).count() > 1, "{files:?}");
    let steps = std::env::var("NARU_RUNS").ok().and_then(|n| n.parse().ok()).unwrap_or(30);
    for (file, length) in &files {
        let good = fs::read(still.path().join(file)).unwrap();
        for at in (0..*length).step_by(length.div_ceil(steps).max(1)).chain([length - 1]) {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            fs::write(dir.join(file), bad).unwrap();
            found(dir, file, &format!("byte {at}"));
        }
        let is_lines = file.extension().is_some_and(|e| e == "jsonl") || file.ends_with("checkpoints");
        let lines: Vec<&[u8]> = good.split_inclusive(|byte| *byte == b'\n').collect();
        for line in (0..lines.len()).filter(|_| is_lines) {
            fs::write(dir.join(file), [&lines[..line], &lines[line + 1..]].concat().concat()).unwrap();
            found(dir, file, &format!("without line {line}"));
        }
        // Of the zeros after the last record of a journal file nothing is proved but that they are zeros.
        let used = good[..*length].iter().rposition(|byte| *byte != 0).unwrap() + 1;
        for cut in [used / 2, used - 1] {
            fs::write(dir.join(file), &good[..cut]).unwrap();
            found(dir, file, &format!("cut at {cut}"));
        }
        fs::remove_file(dir.join(file)).unwrap();
        // The oldest journal file looks like one that was freed, unless something leans on it: see below.
        if !file.ends_with(wire::journal::file_name(journal_files(still.path())[0])) {
            found(dir, file, "removed");
        }
        fs::write(dir.join(file), &good).unwrap();
    }
    assert!(check(dir).ok);
    for from in journal_files(still.path()) {
        let knows = journal(dir, from).live.contains_key(&session(2));
        assert_eq!(check(dir).ok, knows, "the journal from file {from} on");
        fs::remove_file(dir.join("journal").join(wire::journal::file_name(from))).unwrap();
    }
    assert!(!check(dir).ok, "no journal at all");
}

#[tokio::test]
async fn what_comes_after_head_is_a_tail_and_no_fault() {
    let (_, work) = killed().await;
    let head = head(work.path());
    let path = work.path().join("journal").join(wire::journal::file_name(head.file));
    let mut bytes = fs::read(&path).unwrap();
    let at = usize::try_from(head.offset).unwrap();
    bytes[at..at + 100].fill(b'x');
    fs::write(&path, bytes).unwrap();
    let report = check(work.path());
    assert!(report.ok, "{report:?}");
    let extra = work.path().join(format!("recordings/{}/notes", session(2)));
    fs::write(extra, "x").unwrap();
    assert_eq!(check(work.path()).faults.iter().map(|fault| fault.kind).collect::<Vec<_>>(), [FaultKind::ExtraFile]);
}

/// The server goes on under the reader: its log grows into a new file, a checkpoint leaves, journal files are freed.
#[tokio::test]
async fn what_the_server_does_meanwhile_is_no_fault_and_what_a_stranger_does_is() {
    let (dir, before, after) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (log, recordings, commits) = begin(dir.path());
    let mut lives = started(&log, &recordings, 255);
    // After so many events a checkpoint leaves. It is at the last line: the next one would be read after all lines were.
    for n in 0..1000 {
        let _logged = log.append(&parts::denied(&n.to_string())).unwrap();
    }
    write(&mut lives, 50).await;
    let logged = log.append(&parts::denied("durable")).unwrap();
    let _durable = log.durable(logged).await.unwrap();
    while signed(dir.path()).checkpoints == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    copy(dir.path(), before.path());
    let covered = head(before.path());
    while journal_files(dir.path())[0] <= covered.file {
        write(&mut lives, 50).await;
        let logged = log.append(&parts::denied("later")).unwrap();
        let _durable = log.durable(logged).await.unwrap();
    }
    commits.stop().unwrap();
    copy(dir.path(), after.path());

    let under_the_reader = |change: &dyn Fn(&Path)| {
        let work = tempfile::tempdir().unwrap();
        copy(before.path(), work.path());
        assert!(check(work.path()).ok);
        // Every line was read, and nothing after them.
        let (mut changed, all) = (false, signed(before.path()).count);
        verify(work.path(), Some(key().public()), None, &mut |at| {
            if !changed && at.events >= all {
                changed = true;
                change(work.path());
            }
        })
        .unwrap()
    };
    let report = under_the_reader(&|work| {
        fs::remove_dir_all(work.join("journal")).unwrap();
        copy(after.path(), work);
    });
    assert!(report.ok && report.open == [session(255)], "{report:?}");
    let report = under_the_reader(&|work| {
        copy(after.path(), work);
        fs::remove_dir_all(work.join("journal")).unwrap();
    });
    assert_eq!(report.faults.iter().map(|fault| fault.kind).collect::<Vec<_>>(), [FaultKind::MissingFile]);
    drop(lives);
}

/// Sessions come, write and go; journal files are freed and used again; the log grows through its files.
#[tokio::test(flavor = "multi_thread")]
async fn a_state_verifies_while_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (log, recordings, commits) = begin(dir.path());
    let mut lives = started(&log, &recordings, 255);
    let (stop, files) = (AtomicBool::new(false), AtomicU64::new(0));
    let runs = std::env::var("NARU_RUNS").ok().and_then(|n| n.parse().ok()).unwrap_or(40);
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                for n in (1..255).cycle().take_while(|_| !stop.load(Ordering::Relaxed)) {
                    if n == 1 && files.load(Ordering::Relaxed) > 0 {
                        break;
                    }
                    let mut recording = started(&log, &recordings, n);
                    write(&mut recording, 200).await;
                    write(&mut lives, 20).await;
                    ended(&log, recording).await;
                    files.store(recordings.journal().head().file, Ordering::Relaxed);
                }
            });
        });
        // At least until a journal file was freed.
        for run in 0.. {
            if run >= runs && (journal_files(dir.path())[0] > 1 || run > 50 * runs) {
                break;
            }
            let report = check(dir.path());
            assert!(report.ok, "run {run}: {:?}", report.faults);
            assert!(report.head["proxy-1"].count == 0 || report.unsigned_tail > 0 || report.open.contains(&session(255)), "{report:?}");
        }
        stop.store(true, Ordering::Relaxed);
        writing.join().unwrap();
    });
    assert!(journal_files(dir.path())[0] > 1, "no journal file was freed under the reader");
    ended(&log, lives).await;
    commits.stop().unwrap();
    let report = check(dir.path());
    assert!(report.ok && report.open.is_empty() && report.unsigned_tail == 0, "{report:?}");
}
