//! Laws about the text of the tree: what a file says first, how long it is, which words it may not use.

use super::{Breach, breach, keep, root};
use std::process::Command;

/// Lines without tests: half of all files, nine tenths of them, and any file.
const MEDIAN: usize = 150;
const P90: usize = 400;
const HARD: usize = 700;

/// A file of the tree.
pub(super) struct Source {
    /// From the root.
    pub(super) path: String,
    pub(super) text: String,
}

impl Source {
    /// The part before the tests, which stand last in a file.
    fn product(&self) -> &str {
        self.text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default()
    }

    /// Lines of code before the tests, without those that are only a comment.
    pub(super) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let numbered = self.product().lines().enumerate().map(|(at, line)| (at + 1, line));
        numbered.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    pub(super) fn in_crate(&self, name: &str) -> bool {
        self.path.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'))
    }
}

/// What git keeps, as far as it is text, with what is new and not ignored.
fn tree() -> Vec<Source> {
    let args = ["ls-files", "--cached", "--others", "--exclude-standard"];
    let out = Command::new("git").args(args).current_dir(root()).output().expect("git");
    assert!(out.status.success(), "the laws read the list of files from git");
    let names = String::from_utf8(out.stdout).unwrap();
    let read = |name: &str| Some(Source { path: name.into(), text: std::fs::read_to_string(root().join(name)).ok()? });
    // A copy of somebody else's source keeps their habits.
    names.lines().filter(|name| !name.starts_with("vendor/")).filter_map(read).collect()
}

pub(super) fn rust() -> Vec<Source> {
    tree().into_iter().filter(|file| file.path.ends_with(".rs")).collect()
}

fn heads(files: &[Source]) -> Vec<Breach> {
    let bare = files.iter().filter(|file| !file.text.starts_with("//! "));
    bare.map(|file| breach("head", &file.path, "begins without `//!` saying what lives here and what must not")).collect()
}

fn lengths(files: &[Source]) -> Vec<Breach> {
    let mut sizes: Vec<(usize, &str)> = files.iter().map(|file| (file.product().lines().count(), file.path.as_str())).collect();
    sizes.sort_unstable();
    let at = |part: usize| sizes.get(sizes.len() * part / 100).map_or(0, |(lines, _)| *lines);
    let over = sizes.iter().filter(|(lines, _)| *lines > HARD);
    let mut out: Vec<Breach> = over.map(|(n, path)| breach("length", *path, format!("{n} lines, more than {HARD}"))).collect();
    for (name, got, most) in [("median", at(50), MEDIAN), ("p90", at(90), P90)] {
        if got > most {
            let longest: Vec<String> = sizes.iter().rev().take(5).map(|(n, path)| format!("{path} {n}")).collect();
            out.push(breach("length", name, format!("{got} lines, more than {most}; the longest: {}", longest.join(", "))));
        }
    }
    out
}

/// Words that a crate without I/O, clock and chance has no use for.
const IMPURE: [&str; 17] = [
    "tokio",
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "UnixListener",
    "std::io::std",
    "::now(",
    "now_v7(",
    "now_utc(",
    "rand::",
    "SystemRandom",
    "new_v4(",
];

fn pure(files: &[Source]) -> Vec<Breach> {
    // An example measures the crate from outside, as the bench does, and is built into nothing.
    let pure = files.iter().filter(|file| (file.in_crate("access") || file.in_crate("wire")) && !file.path.contains("/examples/"));
    words("pure", pure, &IMPURE)
}

fn words<'a>(law: &'static str, files: impl Iterator<Item = &'a Source>, forbidden: &[&str]) -> Vec<Breach> {
    let mut out = Vec::new();
    for file in files {
        for (line, text) in file.code() {
            for word in forbidden.iter().filter(|word| says(text, word)) {
                out.push(breach(law, &file.path, format!("line {line} says `{word}`")));
            }
        }
    }
    out
}

/// Whether a line has the word at the start of a name, so that `Operand::` is not taken for `rand::`.
fn says(line: &str, word: &str) -> bool {
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| !(word.starts_with(inside) && line[..at].ends_with(inside)))
}

/// Split so that this file does not say them.
const UNSAFE: &str = concat!("un", "safe ");
const FORBID: &str = concat!("#![forbid(un", "safe_code)]");

fn no_unsafe(files: &[Source]) -> Vec<Breach> {
    let mut out = words("unsafe", files.iter().filter(|file| !file.in_crate("sys")), &[UNSAFE]);
    let is_root = |path: &str| path.ends_with("src/lib.rs") || path.ends_with("src/main.rs") || path == "tests/bench/main.rs";
    let roots = files.iter().filter(|file| is_root(&file.path) && !file.in_crate("sys"));
    for file in roots.filter(|file| !file.text.contains(FORBID) && file.code().any(|(_, line)| !line.trim().is_empty())) {
        out.push(breach("unsafe", &file.path, format!("a crate's root without `{FORBID}`")));
    }
    out
}

fn bounded(files: &[Source]) -> Vec<Breach> {
    const WORDS: [&str; 3] = [concat!("un", "bounded"), concat!("Un", "boundedSender"), concat!("mpsc::chan", "nel()")];
    words("bounded", files.iter(), &WORDS)
}

/// Where somebody's machine keeps things.
const MACHINE: [&str; 6] = [
    concat!("/wo", "rk/shared"),
    concat!("/wo", "rk/main"),
    concat!("/tmp/", "prep"),
    concat!("/tmp/", "h/"),
    concat!("/tmp/", "target"),
    concat!("../sha", "red/"),
];

fn machine_paths(files: &[Source]) -> Vec<Breach> {
    let found = |file: &Source| MACHINE.iter().find(|path| file.text.contains(**path)).map(|path| (file.path.clone(), *path));
    files.iter().filter_map(found).map(|(file, path)| breach("paths", file, format!("names `{path}`, a place on one machine"))).collect()
}

#[test]
fn each_file_begins_with_what_lives_there() {
    keep("head", &heads(&rust()));
}

#[test]
fn files_stay_short() {
    keep("length", &lengths(&rust()));
}

#[test]
fn access_and_wire_touch_nothing() {
    keep("pure", &pure(&rust()));
}

#[test]
fn one_crate_alone_may_be_unsafe() {
    keep("unsafe", &no_unsafe(&rust()));
}

#[test]
fn every_queue_has_a_bound() {
    keep("bounded", &bounded(&rust()));
}

#[test]
fn no_file_names_a_place_on_one_machine() {
    keep("paths", &machine_paths(&tree()));
}

#[test]
fn the_laws_bite() {
    let file = |path: &str, text: &str| Source { path: path.into(), text: text.into() };
    let one = |path: &str, text: &str| vec![file(path, text)];
    let long = "x\n".repeat(HARD + 1);
    assert_eq!(heads(&one("a/src/b.rs", "fn main() {}\n")).len(), 1);
    assert_eq!(lengths(&one("a/src/b.rs", &long)).len(), 3);
    assert_eq!(lengths(&one("a/src/b.rs", &format!("//! x\n#[cfg(test)]\nmod tests {{\n{long}}}\n"))).len(), 0);
    assert_eq!(pure(&one("wire/src/b.rs", "let t = Instant::now();\n")).len(), 1);
    assert_eq!(pure(&one("wire/src/b.rs", "// not Instant::now()\n")).len(), 0);
    assert_eq!(pure(&one("wire/examples/b.rs", "let t = Instant::now();\n")).len(), 0);
    assert_eq!(pure(&one("wire/src/b.rs", "Operand::One => rand::random(),\n")).len(), 1);
    assert_eq!(pure(&one("wire/src/b.rs", "Operand::One => 1,\n")).len(), 0);
    assert_eq!(pure(&one("proxy/src/b.rs", "let t = Instant::now();\n")).len(), 0);
    assert_eq!(no_unsafe(&one("a/src/lib.rs", "pub mod b;\n")).len(), 1);
    assert_eq!(no_unsafe(&one("a/src/b.rs", &format!("{UNSAFE}{{ }}\n"))).len(), 1);
    assert_eq!(no_unsafe(&one("sys/src/lib.rs", &format!("{UNSAFE}{{ }}\n"))).len(), 0);
    assert_eq!(bounded(&one("a/src/b.rs", concat!("let q = un", "bounded_channel();\n"))).len(), 1);
    assert_eq!(machine_paths(&one("README.md", MACHINE[0])).len(), 1);
}
