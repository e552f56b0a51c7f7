//! The architecture as tests: arrows between crates, pure crates, budgets for files, floors for libraries.
//!
//! Each law is a function from what it looks at to the sentences it complains with, so that it can be shown a breach and seen to
//! bite. Exceptions are lines in `tests/laws_allow.txt`: `LAW SUBJECT: reason`. One that is no longer needed is a breach too, so
//! the list can only shrink.

mod codes;
mod graph;
mod sources;

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// A breach of a law: which, by what, and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Breach {
    law: &'static str,
    subject: String,
    why: String,
}

fn breach(law: &'static str, subject: impl Into<String>, why: impl Into<String>) -> Breach {
    Breach { law, subject: subject.into(), why: why.into() }
}

/// One exception.
struct Allowed {
    law: String,
    subject: String,
}

fn allowed() -> Vec<Allowed> {
    let text = std::fs::read_to_string(root().join("tests/laws_allow.txt")).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let parse = |line: &str| {
        let (what, reason) = line.split_once(": ").unwrap_or_else(|| panic!("no reason in `{line}`"));
        assert!(reason.split_whitespace().count() >= 3, "a reason is a sentence: `{line}`");
        let (law, subject) = what.split_once(' ').unwrap_or_else(|| panic!("no subject in `{line}`"));
        Allowed { law: law.into(), subject: subject.into() }
    };
    lines.map(parse).collect()
}

/// Fails with every breach that no exception covers, and with every exception that covers none.
fn keep(law: &str, breaches: &[Breach]) {
    let exceptions: Vec<Allowed> = allowed().into_iter().filter(|one| one.law == law).collect();
    let covers = |one: &Allowed, breach: &Breach| one.subject == breach.subject;
    let mut words: Vec<String> = breaches
        .iter()
        .filter(|breach| !exceptions.iter().any(|one| covers(one, breach)))
        .map(|breach| format!("{} {}: {}", breach.law, breach.subject, breach.why))
        .collect();
    for one in exceptions.iter().filter(|one| !breaches.iter().any(|breach| covers(one, breach))) {
        words.push(format!("{} {}: this line of tests/laws_allow.txt is no longer needed", one.law, one.subject));
    }
    assert!(words.is_empty(), "\n{}", words.join("\n"));
}
