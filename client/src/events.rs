//! `naru events tail|search`: the audit log as lines, as they happen or as they were.

use access::event::What;
use serde_json::Value;
use wire::api::EventQuery;

use crate::failure::Failure;
use crate::http::{Api, with_query};
use crate::out::{Out, print, tsv_row};

/// Refuses a type, or the beginning of some (`session.*`), that no event has: nothing would ever fit.
pub fn check_type(asked: &str) -> Result<(), Failure> {
    let fits = |name: &&str| asked.strip_suffix('*').map_or(*name == asked, |start| name.starts_with(start));
    if What::TYPES.iter().any(fits) {
        return Ok(());
    }
    let hint = format!("one of {}, or for example session.*", What::TYPES.join(", "));
    Err(Failure::usage(format!("no event has the type {asked:?}")).hint(hint))
}

/// Prints every event that fits: JSON lines with `--json`, else one row each.
pub async fn run(api: &Api, query: &EventQuery, out: Out) -> Result<u8, Failure> {
    let mut lines = api.stream(&with_query("/v1/events", query)).await?;
    while let Some(line) = lines.line().await? {
        if !line.is_empty() {
            print(shown(&line, out).as_bytes())?;
        }
    }
    Ok(0)
}

fn shown(line: &[u8], out: Out) -> String {
    let Ok(event) = serde_json::from_slice::<Value>(line) else {
        return format!("{}\n", crate::out::plain(&String::from_utf8_lossy(line)));
    };
    if out.json {
        return format!("{event}\n");
    }
    let row = columns(&event);
    if !out.terminal {
        return tsv_row(&row);
    }
    let cells: Vec<String> = row.iter().map(|cell| crate::out::plain(cell)).collect();
    let width = [23, 18, 12, 16, 8];
    let text: String = cells.iter().enumerate().map(|(i, cell)| format!("{cell:<0$}  ", width.get(i).copied().unwrap_or(0))).collect();
    format!("{}\n", text.trim_end())
}

/// Time, type, who, target, result, message, session, seq.
fn columns(event: &Value) -> Vec<String> {
    let text = |path: &str| match event.pointer(path) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    };
    let login = text("/target/login");
    let target = if login.is_empty() { text("/target/name") } else { format!("{login}@{}", text("/target/name")) };
    // Milliseconds are enough for the eye; the whole is in the JSON.
    let time: String = text("/time").chars().take(23).collect();
    let message = match text("/outcome/message") {
        empty if empty.is_empty() => {
            event.get("data").filter(|data| data.as_object().is_none_or(|map| !map.is_empty())).map(Value::to_string).unwrap_or_default()
        }
        message => message,
    };
    vec![time, text("/type"), text("/actor/name"), target, text("/outcome/result"), message, text("/session/id"), text("/seq")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_that_no_event_has_are_refused_with_those_that_there_are() {
        for good in ["session.start", "session.*", "auth.login", "*"] {
            assert_eq!(check_type(good), Ok(()), "{good}");
        }
        let refused = check_type("session.begin").expect_err("no such type");
        assert!(refused.exit == 2 && refused.hint.is_some_and(|hint| hint.contains("session.start, session.end")));
        let guide = include_str!("../../docs/guide.md");
        for name in What::TYPES {
            assert!(guide.contains(&format!("`{name}`")), "docs/guide.md does not explain {name}");
        }
    }

    #[test]
    fn an_event_is_one_line_in_every_form_and_steers_nothing() {
        let event = br#"{"time":"2026-01-31T09:00:00.123456789Z","type":"session.start","actor":{"name":"al\u001b]0;x\u0007ice"},
            "target":{"name":"demo","login":"root"},"outcome":{"result":"success"},"data":{"command":{"text":"echo\nhi"}},"seq":4}"#;
        for (json, terminal) in [(false, false), (false, true), (true, false)] {
            let text = shown(event, Out { json, terminal, ..Out::PLAIN });
            assert_eq!(text.matches('\n').count(), 1, "{text:?}");
            assert!(text.contains("demo") && !text.contains('\x1b'), "{text:?}");
        }
        let text = shown(event, Out::PLAIN);
        assert_eq!(text.split('\t').nth(3), Some("root@demo"));
    }
}
