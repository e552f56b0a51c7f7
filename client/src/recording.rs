//! `naru recording export|verify`: taking a recording away, and asking the server whether it is whole.

use std::io::Write;

use access::words::SessionId;
use wire::api::{CastQuery, Purpose, Verified, VerifyFault, exit};
use wire::asciicast::{Item, Reader};

use crate::failure::Failure;
use crate::http::{Api, Streamed, with_query};
use crate::out::{Answer, Table};
use crate::play::{Event, item_of};
use crate::screen_filter::{Filter, Keep};
use crate::text::Lines;

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// asciicast v3.
    Cast,
    /// Plain text without any escape.
    Txt,
}

/// Opens the recording's text.
pub async fn open(api: &Api, id: SessionId, purpose: Purpose, follow: bool) -> Result<Streamed, Failure> {
    api.stream(&with_query(&format!("/v1/sessions/{id}/cast"), &CastQuery { follow, purpose })).await
}

/// What reading a recording failed of: where the server's check finds the stored recording changed, that, with exit 10. A body that breaks
/// off looks the same for a damaged recording and for a lost connection.
pub async fn explain(api: &Api, id: SessionId, failure: Failure) -> Failure {
    if !matches!(failure.code.as_str(), "NARU-N102" | "NARU-R120" | "NARU-W500") {
        return failure;
    }
    match api.get::<Verified>(&format!("/v1/sessions/{id}/verify")).await {
        Ok(found) => blamed(id, failure, &found),
        Err(again) if again.exit == exit::CANNOT_REACH => failure,
        // Who may take a recording away need not have the right to check it.
        Err(_) => cut_off(id, exit::FAILED),
    }
}

fn cut_off(id: SessionId, exit: u8) -> Failure {
    Failure::new("NARU-R120", exit, format!("the recording of {id} could not be read to its end"))
        .hint(format!("naru recording verify {id}"))
}

fn blamed(id: SessionId, failure: Failure, found: &Verified) -> Failure {
    match found.faults.first() {
        _ if found.ok => failure.hint("the recording itself is whole: try again"),
        Some(fault) => cut_off(id, exit::VERIFY_FAILED).because(format!("what is stored was changed: {}", place(fault))),
        None => cut_off(id, exit::VERIFY_FAILED),
    }
}

/// Writes the recording to `out`, with hostile escapes removed unless `raw`.
pub async fn export(api: &Api, id: SessionId, format: Format, raw: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let purpose = match format {
        Format::Cast => Purpose::ExportCast,
        Format::Txt => Purpose::ExportTxt,
    };
    let mut from = open(api, id, purpose, false).await?;
    let mut export = Export::new(format, raw);
    while let Some(line) = from.line().await? {
        export.line(&line, out)?;
    }
    export.end(out)
}

/// The conversion, line by line, without a network.
pub struct Export {
    format: Format,
    raw: bool,
    reader: Reader,
    filter: Filter,
    text: Lines,
    from: u64,
    /// Time of the last event written to a cast, in microseconds.
    written: u64,
    /// Of version 2: times are since the start.
    absolute: bool,
}

impl Export {
    /// Nothing converted yet.
    pub fn new(format: Format, raw: bool) -> Self {
        let (reader, filter) = (Reader::new(), Filter::new(Keep::OtherScreen));
        Self { format, raw, reader, filter, text: Lines::default(), from: 0, written: 0, absolute: false }
    }

    /// As text, leave out what was before this time, in microseconds.
    #[must_use]
    pub fn starting_at(mut self, time: u64) -> Self {
        self.from = time;
        self
    }

    /// Takes one line of the cast.
    pub fn line(&mut self, line: &[u8], out: &mut dyn Write) -> Result<(), Failure> {
        let item = item_of(&mut self.reader, line)
            .map_err(|e| Failure::new("NARU-R120", exit::FAILED, "the recording cannot be read").because(e))?;
        if self.format == Format::Cast && self.raw {
            return put(out, &[line, b"\n"]);
        }
        if let Some(Item::Header(header)) = &item {
            self.absolute = header.version == 2;
        }
        // What is in a comment is ours and derived from the session: facts pass, other players skip them.
        let passes = matches!(item, Some(Item::Header(_) | Item::Fact(_))) || line.starts_with(b"#");
        match (self.format, item.and_then(Event::of)) {
            // A gap is an event to those who look, and stays a fact in a cast.
            (Format::Cast, Some(event)) if event.code != crate::gap::CODE => self.event(&event, out),
            (Format::Cast, _) if passes => put(out, &[line, b"\n"]),
            (Format::Txt, Some(event)) if event.time >= self.from && event.is_output() => {
                if self.raw {
                    return put(out, &[&event.data]);
                }
                let mut shown = String::new();
                self.text.feed(&event.data, &mut shown);
                put(out, &[shown.as_bytes()])
            }
            (Format::Cast | Format::Txt, _) => Ok(()),
        }
    }

    /// An event as a line of its own; bytes that were no text become text.
    fn event(&mut self, event: &Event, out: &mut dyn Write) -> Result<(), Failure> {
        let mut shown = Vec::new();
        if event.is_output() || matches!(event.code, 'i' | 'I') {
            self.filter.feed(&event.data, &mut shown);
        } else {
            shown.extend_from_slice(&event.data);
        }
        let now = event.time.max(self.written);
        let time = if self.absolute { now } else { now - self.written };
        self.written = now;
        let (code, text) = (serde_json::Value::from(event.code.to_string()), serde_json::Value::from(String::from_utf8_lossy(&shown)));
        put(out, &[format!("[{}.{:06}, {code}, {text}]\n", time / 1_000_000, time % 1_000_000).as_bytes()])
    }

    /// Writes what is left.
    pub fn end(&mut self, out: &mut dyn Write) -> Result<(), Failure> {
        let mut shown = String::new();
        self.text.end(&mut shown);
        put(out, &[shown.as_bytes()])?;
        out.flush().map_err(|e| written(&e))
    }
}

fn put(out: &mut dyn Write, parts: &[&[u8]]) -> Result<(), Failure> {
    parts.iter().try_for_each(|part| out.write_all(part)).map_err(|e| written(&e))
}

fn written(e: &std::io::Error) -> Failure {
    Failure::new("NARU-C011", exit::FAILED, "the output cannot be written").because(e)
}

/// Asks the server to check a stored recording.
pub async fn verify(api: &Api, id: SessionId) -> Result<Answer, Failure> {
    let found: Verified = api.get(&format!("/v1/sessions/{id}/verify")).await?;
    Ok(verified(&found))
}

/// Any check's result, with exit 10 when something is missing or changed.
pub fn verified(found: &Verified) -> Answer {
    let key = match (&found.key, found.trusted) {
        (Some(key), true) => format!("{key} (given)"),
        (Some(key), false) => format!("{key} (found beside the data: proves only consistency)"),
        (None, _) => String::new(),
    };
    let lacks = crate::gap::sentence(&found.lost);
    let result = match (found.ok, lacks) {
        (true, Some(lacks)) => format!("verified: whole as recorded, but {lacks}"),
        (true, None) => "verified".to_owned(),
        (false, _) => "FAILED".to_owned(),
    };
    let mut rows = vec![vec!["result".to_owned(), result], vec!["key".to_owned(), key]];
    rows.extend(found.open.then(|| vec!["state".to_owned(), "the session still goes on".to_owned()]));
    rows.extend(found.head.map(|head| vec!["events".to_owned(), format!("{head} covered by HEAD, {} after it", found.unsigned_tail)]));
    rows.extend(found.faults.iter().map(|fault| vec!["fault".to_owned(), place(fault)]));
    let exit = if found.ok { exit::OK } else { exit::VERIFY_FAILED };
    Answer { exit, ..Answer::new(found, Table { head: Vec::new(), rows }) }
}

fn place(fault: &VerifyFault) -> String {
    let line = fault.line.map(|line| format!(" line {line}")).unwrap_or_default();
    let offset = fault.offset.map(|offset| format!(" byte {offset}")).unwrap_or_default();
    // Some say the file again.
    let kind = fault.kind.strip_prefix(fault.file.as_str()).map_or(fault.kind.as_str(), str::trim_start);
    format!("{}{line}{offset}: {kind}", fault.file)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAST: &str = concat!(
        "{\"version\":3,\"term\":{\"cols\":80,\"rows\":24}}\n",
        "# naru {\"session\":\"s\"}\n",
        "[0.1, \"o\", \"a\\u001b]52;c;eA==\\u0007b\\u001b[31m\\r\\n\"]\n",
        "# naru {\"o\":\"G10wO3gH/2M=\",\"at\":9,\"t\":250000}\n",
        "[0.2, \"x\", \"0\"]\n",
    );

    fn export(format: Format, raw: bool) -> String {
        let (mut export, mut out) = (Export::new(format, raw), Vec::new());
        for line in CAST.lines() {
            export.line(line.as_bytes(), &mut out).expect("converts");
        }
        export.end(&mut out).expect("ends");
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn an_export_is_filtered_unless_raw_is_said() {
        assert_eq!(export(Format::Cast, true), CAST);
        let cast = export(Format::Cast, false);
        assert!(cast.contains("[0.100000, \"o\", \"ab\\u001b[31m\\r\\n\"]"), "{cast}");
        assert!(!cast.contains("52;c") && !cast.contains("]0;x") && !cast.contains("G10wO3gH"), "{cast}");
        assert!(cast.contains("[0.150000, \"o\", \"\u{fffd}c\"]\n[0.050000, \"x\", \"0\"]"), "{cast}");
        assert_eq!(export(Format::Txt, false), "ab\n\u{fffd}c\n");
    }

    #[test]
    fn a_fault_is_exit_10_and_names_the_place() {
        let fault = VerifyFault { file: "log/p/000001.jsonl".into(), line: Some(3), offset: None, kind: "hash".into() };
        let found = Verified {
            ok: false,
            trusted: false,
            head: Some(9),
            unsigned_tail: 0,
            open: false,
            lost: Default::default(),
            key: None,
            faults: vec![fault],
        };
        let answer = verified(&found);
        assert_eq!(answer.exit, 10);
        assert!(crate::out::tsv(&answer.table, true).contains("log/p/000001.jsonl line 3: hash"));
        assert_eq!(verified(&Verified { ok: true, faults: vec![], ..found.clone() }).exit, 0);
        let id = "01933b6c-8b3e-7000-8000-000000000001".parse().expect("id");
        let broken = || Failure::new("NARU-N102", exit::CANNOT_REACH, "lost");
        let told = blamed(id, broken(), &found);
        assert_eq!((told.code.as_str(), told.exit), ("NARU-R120", 10));
        assert!(told.title.contains("to its end") && told.hint.is_some_and(|hint| hint == format!("naru recording verify {id}")));
        assert_eq!(blamed(id, broken(), &Verified { ok: true, faults: vec![], ..found }).exit, exit::CANNOT_REACH);
    }
}
