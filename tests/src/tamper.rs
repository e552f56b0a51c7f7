//! One flipped byte or one missing line, anywhere in what was kept: the check fails and names the file. No product code here.

use crate::harness::{Demo, fast, signal};
use crate::recordings::{ended, newest, verify, wait};
use rustix::process::Signal;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

/// Places in the inner loop, and in the whole run.
const FEW: usize = 12;
const MANY: usize = 300;

fn files(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, into);
        } else {
            into.push(path);
        }
    }
}

/// What is proved: recordings with their manifests, the log with its HEAD. Reserves hold nothing.
fn proved(server: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for folder in ["recordings", "log"] {
        files(&server.join(folder), &mut all);
    }
    all.retain(|path| path.file_name().is_some_and(|name| name != "reserve") && std::fs::metadata(path).unwrap().len() > 0);
    all.sort();
    all
}

#[test]
fn a_flipped_byte_or_a_deleted_line_is_found_and_named() {
    let mut demo = Demo::start(&[]).unwrap();
    let (alice, olga) = (demo.sign_in("alice").unwrap(), demo.sign_in("olga").unwrap());
    for line in ["echo hi", "head -c 300000 /dev/urandom", "seq 1 20000", "cat"] {
        assert!(alice.command("ssh").args(["demo.naru", line]).stdin(Stdio::null()).output().unwrap().status.success());
        ended(&olga, &newest(&olga));
    }
    assert!(demo.end().unwrap().success());
    let server = demo.server();
    let (report, code) = verify(&olga, &server, &[]);
    assert!(code == 0 && report["trusted"] == false && report["recordings"] == 4, "{report}");
    wait("the end of the last holder", || demo.naru_processes().is_empty().then_some(()));
    // With a key from elsewhere it proves more than consistency; with another key nothing.
    let head = std::fs::read(server.join("log/proxy-1/HEAD")).unwrap();
    let head: serde_json::Value = serde_json::from_slice(&head).unwrap();
    let (report, code) = verify(&olga, &server, &["--key", head["key"].as_str().unwrap()]);
    assert!(code == 0 && report["trusted"] == true, "{report}");
    let (report, code) = verify(&olga, &server, &["--key", &"A".repeat(43)]);
    assert!(code == 10 && report["ok"] == false, "{report}");

    let all = proved(&server);
    assert!(all.len() >= 10, "{all:?}");
    let places = if fast() { FEW } else { MANY };
    for at in 0..places {
        let file = &all[at % all.len()];
        let whole = std::fs::read(file).unwrap();
        // Spread over the file, so that heads, middles and ends all have their turn.
        let round = at / all.len();
        let offset = if round == 0 { whole.len() / 2 } else { (round * 7919 + at * 31) % whole.len() };
        let mut bytes = whole.clone();
        bytes[offset] ^= 1 << (at % 8);
        found(&olga, &server, file, &bytes, &format!("a flip at {offset}"));
        std::fs::write(file, whole).unwrap();
    }
    let log = all.iter().find(|path| path.extension().is_some_and(|end| end == "jsonl")).unwrap();
    let whole = std::fs::read(log).unwrap();
    let lines: Vec<&[u8]> = whole.split_inclusive(|b| *b == b'\n').collect();
    let step = if fast() { lines.len() / 4 } else { 1 };
    for gone in (0..lines.len()).step_by(step.max(1)).chain([lines.len() - 1]) {
        let rest: Vec<u8> = lines.iter().enumerate().filter(|(at, _)| *at != gone).flat_map(|(_, line)| line.iter().copied()).collect();
        found(&olga, &server, log, &rest, &format!("without line {}", gone + 1));
    }
    std::fs::write(log, whole).unwrap();
    for file in &all {
        let aside = file.with_extension("aside");
        std::fs::rename(file, &aside).unwrap();
        // Sealed checkpoints are copies that left; without them the rest still stands.
        if !file.to_string_lossy().contains("checkpoints") {
            let (report, code) = verify(&olga, &server, &[]);
            assert_eq!(code, 10, "{} is missing: {report}", file.display());
        }
        std::fs::rename(&aside, file).unwrap();
    }
    assert_eq!(verify(&olga, &server, &[]).1, 0, "whole again");
}

fn found(olga: &crate::harness::Person, server: &Path, file: &Path, bytes: &[u8], what: &str) {
    std::fs::write(file, bytes).unwrap();
    let (report, code) = verify(olga, server, &[]);
    assert_eq!(code, 10, "{} {what}: {report}", file.display());
    let inside = file.strip_prefix(server).unwrap().to_string_lossy().into_owned();
    let named = report["faults"].as_array().unwrap().iter().any(|fault| inside.starts_with(fault["file"].as_str().unwrap_or("?")));
    assert!(named, "{inside} {what} is not named: {report}");
}

/// A live session whose recording is erased, or zeroed from one record on, while nothing runs: the next start hides nothing.
#[test]
fn what_is_erased_of_a_live_recording_is_found_before_and_after_the_next_start() {
    for erase in [true, false] {
        let mut demo = Demo::start(&[]).unwrap();
        let (alice, olga) = (demo.sign_in("alice").unwrap(), demo.sign_in("olga").unwrap());
        let out = alice.home().join("out");
        let mut command = alice.command("ssh");
        command.args(["demo.naru", "seq 1 2000; sleep 60"]).stdin(Stdio::null()).stdout(std::fs::File::create(&out).unwrap());
        let mut client = command.stderr(Stdio::null()).spawn().unwrap();
        wait("the output", || std::fs::read_to_string(&out).unwrap().ends_with("\n2000\n").then_some(()));
        let id = newest(&olga);
        // What is under HEAD: the next commit, and some.
        std::thread::sleep(std::time::Duration::from_secs(1));
        demo.kill_all();
        client.wait().unwrap();
        let server = demo.server();
        assert_eq!(verify(&olga, &server, &[]).1, 0, "a kill is no fault");
        let mut journal = Vec::new();
        files(&server.join("journal"), &mut journal);
        if erase {
            std::fs::remove_dir_all(server.join("recordings").join(&id)).ok();
            journal.iter().for_each(|file| std::fs::remove_file(file).unwrap());
        } else {
            let file =
                journal.iter().find(|file| file.extension().is_some() || std::fs::read(file).unwrap().windows(6).any(|w| w == b"\n1999\n"));
            let mut bytes = std::fs::read(file.unwrap()).unwrap();
            let at = bytes.windows(5).position(|w| w == b"1500\n").unwrap();
            bytes[at..].fill(0);
            std::fs::write(file.unwrap(), bytes).unwrap();
        }
        assert_eq!(verify(&olga, &server, &[]).1, 10, "before a start");
        demo.start_again().unwrap();
        for _ in 0..2 {
            let (report, code) = verify(&olga, &server, &[]);
            let has = |kind: &str| report["faults"].as_array().unwrap().iter().any(|fault| fault["kind"] == kind);
            assert!(code == 10 && has("damaged_while_live") && has("missing_manifest") == erase, "{report}");
            let log = olga.naru(&["events", "search", "--type", "audit.gap", "--json"]);
            let gap = String::from_utf8_lossy(&log.stdout).into_owned();
            assert!(gap.contains(&id) && gap.contains("\"damage\""), "{gap}");
            assert_eq!(ended(&olga, &id)["lost"]["gaps"], 1);
            demo.end().unwrap();
            demo.start_again().unwrap();
        }
    }
}

/// A server that was started by hand; it ends with this value.
struct Started(Child, serde_json::Value);

impl Started {
    fn ends(mut self) {
        signal(self.0.id(), Signal::TERM);
        assert!(self.0.wait().unwrap().success());
    }
}

fn up_accepting(demo: &Demo) -> Started {
    let mut command = demo.naru(&["--json", "up", "--config", "up.yaml", "--accept-restored-store", "--state"]);
    let mut child = command.arg(demo.state()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    Started(child, serde_json::from_str(&line).unwrap())
}

fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    assert!(std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

/// Sign-ins that were ended and links that were used do not come back with an old copy of the store, even of the same boot.
#[test]
fn an_old_store_is_refused_and_when_accepted_lets_nobody_in() {
    let mut demo = Demo::up().unwrap();
    let admin = demo.sign_in("admin").unwrap();
    let (store, old) = (demo.state().join("store"), demo.folder().join("old"));
    copy(&store, &old);
    let made = admin.naru(&["--json", "login-link", "create", "admin"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    // The next commit carries the store's revision.
    std::thread::sleep(std::time::Duration::from_secs(1));
    demo.kill_all();
    let good = demo.folder().join("good");
    copy(&store, &good);
    copy(&old, &store);
    for _ in 0..2 {
        let why = demo.start_again().unwrap_err();
        assert!(why.contains("NARU-C114") && why.contains("--accept-restored-store"), "{why}");
    }
    copy(&good, &store);
    demo.start_again().unwrap();
    assert!(admin.naru(&["ls"]).status.success(), "the store of the log starts as ever");
    assert!(demo.end().unwrap().success());
    copy(&old, &store);
    let accepted = up_accepting(&demo);
    assert!(!admin.naru(&["ls"]).status.success(), "the sign-in of the old store has ended");
    let link = accepted.1["sign_in"]["admin"].as_str().unwrap();
    let said = admin.naru(&["login", "--link", link]);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let log = std::fs::read_to_string(demo.state().join("log/proxy-1/00000001.jsonl")).unwrap();
    let log = log.lines().find(|line| line.contains("\"store.restored\"")).unwrap();
    assert!(log.contains("\"sign_ins\":1") && log.contains("\"secrets\":2"), "{log}");
    accepted.ends();
    demo.start_again().unwrap();
    assert!(admin.naru(&["ls"]).status.success(), "it was accepted once and for all");
    assert_eq!(verify(&admin, &demo.server(), &[]).1, 0);
}
