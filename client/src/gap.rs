//! Output that a recording does not have, in words: for the facts of a session, a check, and the place in the recording itself.

use access::event::Lost;
use serde_json::Value;
use wire::asciicast::Item;

use crate::play::Event;

/// The code of an event that stands where output is missing. It is ours and in no cast.
pub const CODE: char = 'G';

/// Most characters of a cause that are shown.
const CAUSE: usize = 200;

/// What a recording lacks; nothing where it has everything.
pub fn sentence(lost: &Lost) -> Option<String> {
    if lost.is_nothing() {
        return None;
    }
    let much = if lost.bytes == 0 { "some output was".to_owned() } else { format!("{} bytes were", lost.bytes) };
    let why = lost.cause.as_deref().map(|cause| format!(" ({})", plain(cause))).unwrap_or_default();
    Some(format!("{much} not kept{why}"))
}

/// The gap that a fact of a recording tells, as a line of its own at that time.
pub fn event(item: &Item) -> Option<Event> {
    let Item::Fact(fact) = item else { return None };
    let gap = fact.get("gap")?;
    let cause = plain(gap.get("cause").and_then(Value::as_str).unwrap_or("unknown"));
    let line = match gap.get("bytes").and_then(Value::as_u64) {
        Some(bytes) => format!("\r\n[naru: {bytes} bytes of output were not kept ({cause})]\r\n"),
        None => format!("\r\n[naru: from here on output was not kept ({cause})]\r\n"),
    };
    Some(Event { time: fact.get("t").and_then(Value::as_u64).unwrap_or(0), code: CODE, data: line.into_bytes() })
}

fn plain(cause: &str) -> String {
    cause.chars().filter(|c| !c.is_control()).take(CAUSE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::{Export, Format};

    #[test]
    fn a_gap_shows_where_it_is() {
        let cast = [
            r#"{"version":3,"term":{"cols":80,"rows":24}}"#,
            r#"[0.1, "O", "before"]"#,
            r#"# naru {"gap":{"cause":"max_output","at":6},"t":100000}"#,
            r#"# naru {"gap":{"bytes":7,"blake3":"00","cause":"max_\u001boutput","at":6},"t":100000}"#,
        ];
        let export = |format| {
            let (mut export, mut out) = (Export::new(format, false), Vec::new());
            cast.iter().for_each(|line| export.line(line.as_bytes(), &mut out).expect("converts"));
            export.end(&mut out).expect("ends");
            String::from_utf8(out).expect("text")
        };
        let text =
            "before\n[naru: from here on output was not kept (max_output)]\n\n[naru: 7 bytes of output were not kept (max_output)]\n";
        assert_eq!(export(Format::Txt), text);
        assert!(export(Format::Cast).contains(r#"# naru {"gap":{"bytes":7"#), "a cast keeps it as a fact");
        let lost = Lost { gaps: 1, bytes: 7, cause: Some("max_output".into()) };
        assert_eq!(sentence(&lost).as_deref(), Some("7 bytes were not kept (max_output)"));
        assert_eq!(sentence(&Lost::default()), None);
    }
}
