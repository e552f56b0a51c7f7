//! Sessions and recordings as the auditor gets them, for tests that compare. No test lives here.

use crate::harness::Person;
use serde_json::Value;
use std::time::{Duration, Instant};

/// How long something may take to become true; only a failing test waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// Asks until the answer is there.
pub(crate) fn wait<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "{what} did not come true");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// All sessions, newest first.
pub(crate) fn sessions(olga: &Person, args: &[&str]) -> Vec<Value> {
    let out = olga.naru(&[&["sessions", "ls", "--json"], args].concat());
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let answer: Value = serde_json::from_slice(&out.stdout).unwrap();
    answer["items"].as_array().unwrap().clone()
}

/// The id of the session that began last.
pub(crate) fn newest(olga: &Person) -> String {
    sessions(olga, &[])[0]["id"].as_str().unwrap().to_owned()
}

/// Waits until a session has ended and gives its row.
pub(crate) fn ended(olga: &Person, id: &str) -> Value {
    wait("the end of the session", || sessions(olga, &[]).into_iter().find(|row| row["id"] == id && row["live"] == false))
}

/// The whole recording as asciicast, with every byte as it was.
pub(crate) fn cast(olga: &Person, id: &str) -> Vec<u8> {
    let out = olga.naru(&["recording", "export", id, "--format", "cast", "--raw"]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    out.stdout
}

/// What the offline check says, and its exit code.
pub(crate) fn verify(olga: &Person, dir: &std::path::Path, more: &[&str]) -> (Value, i32) {
    let dir = dir.to_string_lossy();
    let out = olga.naru(&[&["--json", "audit", "verify", &dir], more].concat());
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let report = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{}", String::from_utf8_lossy(&out.stderr)));
    (report, out.status.code().unwrap())
}
