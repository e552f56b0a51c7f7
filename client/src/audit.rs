//! `naru audit verify`: the offline proof of [`crate::verify`], with its options read and its report shown. `naru audit key`: the public
//! key that it needs, from the server.

use std::path::Path;

use serde_json::Value;
use wire::api::exit;
use wire::link::Address;
use wire::proof::PublicKey;
use wire::proof::log::FaultKind;

use crate::failure::Failure;
use crate::http::Api;
use crate::out::{Answer, Table};
use crate::profile::read_if_there;
use crate::verify::{Report, VerifyError, verify};

/// Checks a state directory, or a copy of one. `key` is the public key as text or the path of a file that holds it.
pub fn run(dir: &Path, key: Option<&str>, checkpoint: Option<&Path>) -> Result<Answer, Failure> {
    let key = key.map(public_key).transpose()?;
    let progress = indicatif::ProgressBar::new_spinner();
    let report = verify(dir, key, checkpoint, &mut |at| {
        progress.set_message(format!("{} events, {} recordings, {} MiB", at.events, at.recordings, at.bytes >> 20));
        progress.tick();
    });
    progress.finish_and_clear();
    match report {
        Ok(report) => Ok(said(&report)),
        Err(e @ VerifyError::NotState(_)) => Err(Failure::new("NARU-R130", exit::NOT_FOUND, e.to_string())
            .hint("name the state directory or a copy of it: naru audit verify DIR")),
        Err(VerifyError::Io { file, source }) => {
            Err(Failure::new("NARU-R131", exit::FAILED, format!("{file} cannot be read")).because(source))
        }
    }
}

/// The public key of the audit log, to be kept elsewhere from the first day on.
pub async fn key(api: &Api) -> Result<Answer, Failure> {
    // A server of before this was known has no such field.
    key_in(&api.get("/v1/ca").await?, api.address())
}

fn key_in(facts: &Value, server: &Address) -> Result<Answer, Failure> {
    let key = facts.get("audit_key").and_then(Value::as_str).filter(|key| !key.is_empty()).ok_or_else(|| {
        Failure::new("NARU-N105", exit::FAILED, format!("{server} does not tell the key of its audit log"))
            .hint("update the server, or take it there: it is the `key` in STATE/log/proxy-1/HEAD")
    })?;
    let key: String = PublicKey::try_from(key.to_owned())
        .map(String::from)
        .map_err(|e| Failure::new("NARU-N105", exit::FAILED, format!("{server} gave a key that is none")).because(e))?;
    Ok(Answer::new(&serde_json::json!({ "audit_key": key, "server": server.to_string() }), Table::line(key)))
}

fn public_key(text: &str) -> Result<PublicKey, Failure> {
    let found = PublicKey::try_from(text.to_owned());
    found.or_else(|e| match read_if_there(Path::new(text))? {
        Some(line) => {
            PublicKey::try_from(line.trim().to_owned()).map_err(|e| Failure::usage(format!("{text} holds no public key")).because(e))
        }
        None => Err(Failure::usage(format!("{text:?} is neither a public key nor a file")).because(e)),
    })
}

fn said(report: &Report) -> Answer {
    let key = match (&report.key, report.trusted) {
        (Some(key), true) => format!("{key} (given)"),
        (Some(key), false) => format!("{key} (found beside the data: proves only consistency)"),
        (None, _) => "none".to_owned(),
    };
    let mut facts = vec![
        ("result", if report.ok { "verified" } else { "FAILED" }.to_owned()),
        ("key", key),
        ("read", format!("{} events, {} closed recordings", report.events, report.recordings)),
    ];
    facts.extend(report.head.iter().map(|(log, head)| ("head", format!("{log}: {} events, signed {}", head.count, head.time))));
    if report.unsigned_tail > 0 {
        facts.push(("unsigned", format!("{} well-chained events after HEAD", report.unsigned_tail)));
    }
    facts.extend(report.open.iter().map(|session| ("open", format!("{session} has not ended"))));
    for fault in &report.faults {
        let line = fault.line.map(|line| format!(" line {line}")).unwrap_or_default();
        let kind =
            serde_json::to_value(fault.kind).ok().and_then(|kind| kind.as_str().map(|kind| kind.replace('_', " "))).unwrap_or_default();
        facts.push(("fault", format!("{}{line} byte {}: {kind}", fault.file, fault.offset)));
    }
    if report.more_faults > 0 {
        facts.push(("fault", format!("and {} more", report.more_faults)));
    }
    if report.trusted && report.head.is_empty() && report.faults.iter().any(|fault| fault.kind == FaultKind::BadHead) {
        facts.push(("note", "nothing is signed by the key that was given: is it the key of this install? (naru audit key)".to_owned()));
    }
    let rows = facts.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    let exit = if report.ok { exit::OK } else { exit::VERIFY_FAILED };
    Answer { exit, ..Answer::new(report, Table { head: Vec::new(), rows }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_server_is_a_key_or_an_error() {
        let server: Address = "https://h:1".parse().expect("address");
        let text = "A".repeat(43);
        let answer = key_in(&serde_json::json!({ "audit_key": text }), &server).expect("a key");
        assert_eq!((crate::out::tsv(&answer.table, true), &answer.json["audit_key"]), (format!("{text}\n"), &text.as_str().into()));
        for bad in [serde_json::json!({}), serde_json::json!({ "audit_key": "x" }), serde_json::json!({ "audit_key": 1 })] {
            assert_eq!(key_in(&bad, &server).map_err(|e| e.code), Err("NARU-N105".to_owned()), "{bad}");
        }
    }

    #[test]
    fn a_folder_that_is_no_state_and_a_key_that_is_none() {
        let dir = tempfile::tempdir().expect("dir");
        assert_eq!(run(dir.path(), None, None).expect_err("no state").exit, exit::NOT_FOUND);
        assert_eq!(run(dir.path(), Some("no key"), None).expect_err("no key").exit, exit::USAGE);
    }
}
