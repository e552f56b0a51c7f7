//! The offline proof against every edit that we can think of (promise P17), over a real log and recordings beside it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout, reason = "a test fails by them")]

mod parts;

use std::fs;
use std::path::{Path, PathBuf};

use access::event::{Actor, Damage, Event, Lost, What};
use access::time::Timestamp;
use client::verify::{Report, verify};
use parts::{Place, denied, end_of, id, start_of};
use recorder::commit::Commits;
use wire::proof::log::FaultKind;
use wire::proof::{Hash, Manifest, PublicKey, Segment, Sign, seal};

/// A closed recording as the recorder leaves one; answers the manifest's hash.
fn recording(place: &Place, number: u64) -> String {
    let folder = place.temp.path().join(format!("recordings/{}", id(number)));
    fs::create_dir_all(folder.join("cast")).unwrap();
    let segments = (1..=2u64).map(|n| {
        let bytes: Vec<u8> = (0..300 * n).map(|i| (i * 7 + number) as u8).collect();
        let file = format!("{n:04}.zst");
        fs::write(folder.join("cast").join(&file), &bytes).unwrap();
        Segment { file, bytes: bytes.len() as u64, blake3: Hash::of(&bytes), start_ms: n }
    });
    let manifest = Manifest {
        install: place.settings.install.clone(),
        session: id(number),
        user: "local|alice".into(),
        user_name: "alice".into(),
        node: "db-1".into(),
        login: "root".into(),
        kind: "shell".into(),
        started: Timestamp::from_secs(1),
        ended: Timestamp::from_secs(2),
        reason: "exit".into(),
        segments: segments.collect(),
        output_bytes: 9,
        gaps: 0,
        lost: Default::default(),
    };
    let bytes = seal(&manifest, place.key.as_ref());
    fs::write(folder.join("manifest.json"), &bytes).unwrap();
    Hash::of(&bytes).to_string()
}

/// Some boots with a checkpoint each, some closed files, three recordings.
fn filled(install: &str, seed: u8) -> Place {
    let mut place = Place::of(install, seed);
    place.settings.file_bytes = 3500;
    for boot in 0..3 {
        let (log, _) = place.start();
        let commits = Commits::start(log.clone(), Box::new(|| Ok(None))).unwrap();
        for i in 0..8 {
            let _logged = log.append(&denied(&format!("{install} {i}"))).unwrap();
        }
        let _logged = log.append(&start_of(boot, "alice", "db-1")).unwrap();
        let _logged = log.append(&end_of(boot, "alice", "db-1", Some(recording(&place, boot)))).unwrap();
        commits.stop().unwrap();
    }
    place
}

fn check(dir: &Path, key: &PublicKey) -> Report {
    verify(dir, Some(*key), None, &mut |_| {}).unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() { copy(&entry.path(), &to) } else { assert!(fs::copy(entry.path(), to).is_ok()) }
    }
}

/// All that is proved, below the state directory.
fn proved(dir: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    let mut todo = vec![dir.join("log"), dir.join("recordings")];
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                todo.push(entry.path());
            } else if entry.file_name() != "reserve" && entry.metadata().unwrap().len() > 0 {
                out.push(entry.path().strip_prefix(dir).unwrap().to_owned());
            }
        }
    }
    out.sort();
    out
}

struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }
}

#[test]
fn what_was_not_touched_verifies_with_and_without_a_key() {
    let place = filled("one", 7);
    let report = check(place.temp.path(), &place.key.public());
    assert!(report.ok && report.trusted, "{report:?}");
    assert_eq!((report.events, report.recordings, report.unsigned_tail), (30, 3, 0));
    assert_eq!(report.head["proxy-1"].count, 30);
    let report = verify(place.temp.path(), None, None, &mut |_| {}).unwrap();
    assert!(report.ok && !report.trusted);
    assert_eq!(report.key, Some(place.key.public().fingerprint()));
    let other = Place::of("one", 9).key.public();
    assert!(!check(place.temp.path(), &other).ok, "another key");
}

/// P17: flips, deletions, swaps, cuts, doublings, removals and lines of another install, each found and placed.
#[test]
fn every_edit_is_found_and_its_place_named() {
    let (place, other) = (filled("one", 7), filled("two", 8));
    let (dir, key) = (place.temp.path(), place.key.public());
    let files = proved(dir);
    assert!(files.len() > 12, "{files:?}");
    let work = tempfile::tempdir().unwrap();
    let copied = work.path().join("state");
    copy(dir, &copied);
    let runs = std::env::var("NARU_RUNS").ok().and_then(|n| n.parse().ok()).unwrap_or(2000);
    let mut dice = Dice(0x2545_F491_4F6C_DD1D);
    let mut run = 0;
    while run < runs {
        let file = &files[dice.roll(files.len())];
        let good = fs::read(dir.join(file)).unwrap();
        let lines: Vec<&[u8]> = good.split_inclusive(|byte| *byte == b'\n').collect();
        let is_lines = file.extension().is_some_and(|e| e == "jsonl") || file.ends_with("checkpoints");
        let (line, at) = (dice.roll(lines.len()), dice.roll(good.len()));
        let bad: Option<Vec<u8>> = match dice.roll(if is_lines { 8 } else { 4 }) {
            0 => {
                let mut bad = good.clone();
                bad[at] ^= 1 << dice.roll(8);
                Some(bad)
            }
            1 => Some(good[..at].to_vec()),
            2 => Some([&good[..at], &good[at + 1..]].concat()),
            3 => None,
            4 => Some([&lines[..line], &lines[line + 1..]].concat().concat()),
            5 if line + 1 < lines.len() => {
                let mut swapped = lines.clone();
                swapped.swap(line, line + 1);
                Some(swapped.concat())
            }
            6 => Some([&lines[..=line], &lines[line..]].concat().concat()),
            7 => {
                let theirs = fs::read(other.temp.path().join(file)).unwrap_or_else(|_| b"{}\n".to_vec());
                let theirs: Vec<&[u8]> = theirs.split_inclusive(|byte| *byte == b'\n').collect();
                let mut spliced = lines.clone();
                spliced[line] = theirs[line.min(theirs.len() - 1)];
                Some(spliced.concat())
            }
            _ => continue,
        };
        if bad.as_ref() == Some(&good) {
            continue;
        }
        run += 1;
        match &bad {
            Some(bad) => fs::write(copied.join(file), bad).unwrap(),
            None => fs::remove_file(copied.join(file)).unwrap(),
        }
        let report = check(&copied, &key);
        assert!(!report.ok, "run {run}: {file:?} {line} {at} was not found");
        let stem = file.with_extension("").to_string_lossy().into_owned();
        assert!(report.faults.iter().any(|fault| fault.file.starts_with(&stem)), "run {run}: {file:?} is not named in {:?}", report.faults);
        fs::write(copied.join(file), &good).unwrap();
    }
    assert!(check(&copied, &key).ok);
}

#[test]
fn a_changed_byte_of_a_line_names_the_line() {
    let place = filled("one", 7);
    let path = place.stream().join("00000002.jsonl");
    let good = fs::read(&path).unwrap();
    let starts: Vec<usize> =
        std::iter::once(0).chain(good.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at + 1)).collect();
    for (number, pair) in starts.windows(2).enumerate() {
        let mut bad = good.clone();
        bad[pair[0] + 20] ^= 1;
        fs::write(&path, &bad).unwrap();
        let report = check(place.temp.path(), &place.key.public());
        let fault = &report.faults[0];
        assert_eq!(
            (fault.file.as_str(), fault.line, fault.offset),
            ("log/proxy-1/00000002.jsonl", Some(number as u64 + 1), pair[0] as u64)
        );
    }
}

#[test]
fn a_whole_state_that_was_set_back_is_found_by_a_checkpoint_kept_elsewhere() {
    let place = filled("one", 7);
    let back = tempfile::tempdir().unwrap();
    copy(place.temp.path(), &back.path().join("state"));
    let (log, _) = place.start();
    let commits = Commits::start(log.clone(), Box::new(|| Ok(None))).unwrap();
    let _logged = log.append(&denied("later")).unwrap();
    commits.stop().unwrap();
    let kept = place.stream().join("checkpoints");
    let with = |dir: &Path| verify(dir, Some(place.key.public()), Some(&kept), &mut |_| {}).unwrap();
    assert!(with(place.temp.path()).ok);
    assert!(check(&back.path().join("state"), &place.key.public()).ok, "it is consistent in itself");
    assert!(with(&back.path().join("state")).faults.iter().any(|fault| fault.kind == FaultKind::RolledBack));
    // HEAD alone set back, with the lines still there.
    fs::copy(back.path().join("state/log/proxy-1/HEAD"), place.stream().join("HEAD")).unwrap();
    assert!(check(place.temp.path(), &place.key.public()).faults.iter().any(|fault| fault.kind == FaultKind::RolledBack));
}

#[test]
fn open_sessions_and_lines_after_head_are_told_and_are_no_faults() {
    let place = filled("one", 7);
    let (log, _) = place.start();
    let _logged = log.append(&start_of(9, "alice", "db-1")).unwrap();
    fs::create_dir_all(place.temp.path().join(format!("recordings/{}/cast", id(9)))).unwrap();
    let report = check(place.temp.path(), &place.key.public());
    assert!(report.ok, "{report:?}");
    assert_eq!((report.unsigned_tail, report.open), (1, vec![id(9)]));
    fs::create_dir_all(place.temp.path().join(format!("recordings/{}/cast", id(10)))).unwrap();
    let report = check(place.temp.path(), &place.key.public());
    assert_eq!(report.faults.iter().map(|fault| fault.kind).collect::<Vec<_>>(), [FaultKind::UnknownRecording]);
}

/// An end without a recording is a fault for good, but where the power failed before there was one, and where a later end names it.
#[test]
fn a_recorded_session_that_ended_without_its_recording_is_found() {
    let place = filled("one", 7);
    let (log, _) = place.start();
    let commits = Commits::start(log.clone(), Box::new(|| Ok(None))).unwrap();
    let end = |number, cause: Option<&str>, manifest| {
        let mut end = end_of(number, "alice", "db-1", manifest);
        if let What::SessionEnd { lost, .. } = &mut end.what {
            cause.into_iter().for_each(|cause| lost.begin(cause));
        }
        let _logged = log.append(&end).unwrap();
    };
    for number in [20, 21, 22] {
        let _logged = log.append(&start_of(number, "alice", "db-1")).unwrap();
    }
    end(20, None, None);
    end(21, Some(Lost::NOT_ON_DISK), None);
    end(22, Some("its recording is gone"), None);
    let damage = Damage { file: 1, offset: 2, sessions: vec![id(22)] };
    for damage in [None, Some(damage)] {
        let gap = What::AuditGap { cause: "x".into(), bytes: 1, damage };
        let _logged = log.append(&Event::new(Timestamp::from_secs(1), Actor::system(), gap)).unwrap();
    }
    end(20, None, Some(recording(&place, 20)));
    commits.stop().unwrap();
    let faults = check(place.temp.path(), &place.key.public()).faults;
    let found: Vec<_> = faults.iter().map(|fault| (fault.kind, fault.file.clone(), fault.line.is_some())).collect();
    let manifest = format!("recordings/{}/manifest.json", id(22));
    let log = found.iter().find(|fault| fault.2).unwrap().1.clone();
    assert!(log.ends_with(".jsonl"), "{faults:?}");
    assert_eq!(found, [(FaultKind::DamagedWhileLive, log, true), (FaultKind::MissingManifest, manifest, false)]);
    let gap = faults[0].line.unwrap();
    let text = fs::read_to_string(place.temp.path().join(&faults[0].file)).unwrap();
    assert!(text.lines().nth(gap as usize - 1).unwrap().contains("audit.gap"));
    assert!(text[faults[0].offset as usize..].starts_with(text.lines().nth(gap as usize - 1).unwrap()));
}

#[test]
fn a_file_that_no_manifest_names_is_found() {
    let place = filled("one", 7);
    for extra in ["cast/0003.zst", "notes"] {
        let path = place.temp.path().join(format!("recordings/{}/{extra}", id(1)));
        fs::write(&path, "x").unwrap();
        let report = check(place.temp.path(), &place.key.public());
        assert_eq!(report.faults.iter().map(|fault| fault.kind).collect::<Vec<_>>(), [FaultKind::ExtraFile], "{extra}");
        fs::remove_file(&path).unwrap();
    }
}
