//! Bytes through stock clients: scp, sftp, rsync, and commands with their three streams. Terminals are elsewhere.

use crate::harness::{Demo, Person};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

/// Bytes that look random and are the same in every run (xorshift64*).
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        out.extend_from_slice(&state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
    }
    out.truncate(len);
    out
}

/// What goes in and comes out twice at the same time stays within what the proxy buffers of a channel (8 MiB).
const LESS: usize = 4 * 1024 * 1024;

fn sh(person: &Person, line: &str) -> Output {
    let out = person.command("sh").args(["-c", line]).stdin(Stdio::null()).output().unwrap();
    assert!(out.status.success(), "{line}: {}\n{}", out.status, String::from_utf8_lossy(&out.stderr));
    out
}

fn same(one: &Path, two: &Path) {
    assert!(std::fs::read(one).unwrap() == std::fs::read(two).unwrap(), "{} differs from {}", two.display(), one.display());
}

#[test]
fn copies_are_exact_both_ways_by_every_program() {
    let demo = Demo::start(&[]).unwrap();
    let alice = demo.sign_in("alice").unwrap();
    let (here, there) = (alice.home().join("here"), demo.folder().join("there"));
    std::fs::create_dir(&there).unwrap();
    std::fs::write(&here, noise(3_000_001)).unwrap();
    let far = |name: &str| -> PathBuf { there.join(name) };
    let ways = ["scp", "scp -O", "rsync -e ssh", "rsync -z -e ssh"];
    for (at, way) in ways.iter().enumerate() {
        let (up, down) = (far(&at.to_string()), alice.home().join(format!("down{at}")));
        sh(&alice, &format!("{way} here demo.naru:{}", up.display()));
        same(&here, &up);
        sh(&alice, &format!("{way} demo.naru:{} {}", up.display(), down.display()));
        same(&here, &down);
    }
    let (up, down) = (far("by sftp"), alice.home().join("down-sftp"));
    std::fs::write(alice.home().join("batch"), format!("put here '{}'\nget '{}' down-sftp\n", up.display(), up.display())).unwrap();
    sh(&alice, "sftp -b batch demo.naru");
    same(&here, &up);
    same(&here, &down);
    // A folder, with what rsync finds unchanged the second time.
    sh(&alice, "mkdir -p tree/deep && for i in 1 2 3; do echo $i > tree/deep/$i; done");
    let tree = far("tree");
    sh(&alice, &format!("rsync -a -e ssh tree/ demo.naru:{}", tree.display()));
    let again = sh(&alice, &format!("rsync -a --itemize-changes -e ssh tree/ demo.naru:{}", tree.display()));
    assert!(again.stdout.is_empty(), "{}", String::from_utf8_lossy(&again.stdout));
    assert_eq!(std::fs::read(tree.join("deep/2")).unwrap(), b"2\n");
    // The log has each with its command and its bytes.
    let olga = demo.sign_in("olga").unwrap();
    let out = olga.naru(&["events", "search", "--type", "session.start", "--json"]);
    let events = String::from_utf8(out.stdout).unwrap();
    for part in ["scp -t", "scp -f", "rsync --server", "\"kind\":\"sftp\""] {
        assert!(events.contains(part), "no event says {part}");
    }
}

#[test]
fn a_command_has_three_streams_and_each_is_exact() {
    let demo = Demo::start(&[]).unwrap();
    let alice = demo.sign_in("alice").unwrap();
    let bytes = noise(16 * 1024 * 1024);
    std::fs::write(alice.home().join("in"), &bytes).unwrap();
    std::fs::write(alice.home().join("less"), &bytes[..LESS]).unwrap();
    for way in ["ssh demo.naru", "naru ssh demo --"] {
        // Out, then in; the far cat ends only when it hears the end of its input.
        sh(&alice, &format!("{way} cat \"$PWD/in\" > out 2> err"));
        assert!(std::fs::read(alice.home().join("out")).unwrap() == bytes, "{way}");
        sh(&alice, &format!("{way} \"cat > '$PWD/there'\" < in"));
        assert!(std::fs::read(alice.home().join("there")).unwrap() == bytes, "{way}");
        sh(&alice, &format!("{way} 'tee /dev/stderr' < less > out 2> err"));
        for file in ["out", "err"] {
            assert!(std::fs::read(alice.home().join(file)).unwrap() == bytes[..LESS], "{way} {file}");
        }
        sh(&alice, &format!("{way} cat < less > out 2> err"));
        assert!(std::fs::read(alice.home().join("out")).unwrap() == bytes[..LESS], "{way}");
        let sorted = sh(&alice, &format!("printf 'b\\na\\nc' | {way} sort"));
        assert_eq!(sorted.stdout, b"a\nb\nc\n", "{way}");
        // Output after the end of input, and a command that never reads it.
        let late = sh(&alice, &format!("printf x | {way} 'cat >/dev/null; echo late; echo later >&2' 2>&1 | sort"));
        assert_eq!(late.stdout, b"late\nlater\n", "{way}");
        if way.starts_with("ssh") {
            sh(&alice, &format!("head -c 3000000 /dev/zero | {way} true"));
        }
        let closed = sh(&alice, &format!("{way} 'seq 1 1000000' | head -1"));
        assert_eq!(closed.stdout, b"1\n", "{way}");
    }
}

/// More than is buffered goes in while as much comes out: neither way may wait for the other.
#[test]
fn a_large_stream_goes_both_ways_at_once() {
    let demo = Demo::start(&[]).unwrap();
    let alice = demo.sign_in("alice").unwrap();
    let bytes = noise(32 * 1024 * 1024);
    std::fs::write(alice.home().join("in"), &bytes).unwrap();
    for _ in 0..3 {
        sh(&alice, "timeout 60 ssh demo.naru 'tee /dev/stderr' < in > out 2> err");
        for file in ["out", "err"] {
            assert!(std::fs::read(alice.home().join(file)).unwrap() == bytes, "{file}");
        }
    }
}

#[test]
fn naru_ssh_gives_the_exit_code_of_a_command_that_reads_nothing() {
    let demo = Demo::start(&[]).unwrap();
    let alice = demo.sign_in("alice").unwrap();
    for _ in 0..30 {
        sh(&alice, "head -c 3000000 /dev/zero | naru ssh demo -- true");
    }
}

#[test]
fn what_was_recorded_is_what_came() {
    let demo = Demo::start(&[]).unwrap();
    let (alice, olga) = (demo.sign_in("alice").unwrap(), demo.sign_in("olga").unwrap());
    let bytes = noise(300_000);
    std::fs::write(alice.home().join("in"), &bytes).unwrap();
    sh(
        &alice,
        "ssh demo.naru 'head -c 200000 | tee /dev/stderr; echo 한글; printf \"\\355\\225\"; sleep 0.1; printf \"\\234\"' < in > out 2> err",
    );
    let id = crate::recordings::newest(&olga);
    crate::recordings::ended(&olga, &id);
    let cast = crate::recordings::cast(&olga, &id);
    for (code, file) in [('O', "out"), ('E', "err")] {
        let came = std::fs::read(alice.home().join(file)).unwrap();
        assert!(came.len() >= 200_000);
        assert!(wire::asciicast::bytes(&cast, code).unwrap() == came, "{file}");
    }
}
