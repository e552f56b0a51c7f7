//! A resource as YAML, as people write it and `naru apply` reads it. Only writing; reading is in `config`.

use serde_json::Value;

/// The text of a value, which ends in a line feed.
pub fn text(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => block(value, 0, &mut out),
        Value::Array(items) if items.iter().any(deep) => block(value, 0, &mut out),
        short => out.push_str(&format!("{}\n", flow(short))),
    }
    out
}

/// Whether it needs lines of its own: a map with something in it, or a list of such.
fn deep(value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => items.iter().any(deep),
        _ => false,
    }
}

fn block(value: &Value, indent: usize, out: &mut String) {
    let pad = " ".repeat(indent);
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                out.push_str(&format!("{pad}{}:", scalar(key)));
                rest(value, indent + 2, out);
            }
        }
        Value::Array(items) => {
            for item in items {
                if deep(item) {
                    let mut inner = String::new();
                    block(item, indent + 2, &mut inner);
                    out.push_str(&format!("{pad}- {}", inner.trim_start_matches(' ')));
                } else {
                    out.push_str(&format!("{pad}- {}\n", flow(item)));
                }
            }
        }
        other => out.push_str(&format!("{pad}{}\n", flow(other))),
    }
}

fn rest(value: &Value, indent: usize, out: &mut String) {
    if deep(value) {
        out.push('\n');
        block(value, indent, out);
    } else {
        out.push_str(&format!(" {}\n", flow(value)));
    }
}

/// On one line.
fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let entries: Vec<String> = map.iter().map(|(key, value)| format!("{}: {}", scalar(key), flow(value))).collect();
            format!("{{{}}}", entries.join(", "))
        }
        other => other.to_string(),
    }
}

/// A text without quotes where no reader can take it for something else, else as JSON writes it.
fn scalar(text: &str) -> String {
    let first = text.chars().next().is_some_and(|c| c.is_ascii_alphabetic());
    let plain = first && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '/'));
    let word = matches!(text.to_ascii_lowercase().as_str(), "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n" | "null");
    let amount = text.len() < 16
        && ["s", "m", "h", "d", "B", "KiB", "MiB", "GiB", "TiB"]
            .iter()
            .any(|unit| text.strip_suffix(unit).is_some_and(|count| !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit())));
    // `recording: off` is a word of ours, and is read with quotes as well.
    if (plain && !word) || amount { text.to_owned() } else { Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ROLE: &str = r#"kind: role
name: engineer
revision: 7
spec:
  allow:
    ssh:
      - labels:
          "*": ["*"]
        logins: ["{{logins}}", deploy]
      - labels:
          env: ["1.0", "no"]
        logins: [root]
        where: "'sre' in user.roles"
    audit: []
  options:
    max_session: 8h
    notice: "Be kind: it is\u001b recorded"
    recording: "off"
    record_input: true
"#;

    #[test]
    fn a_role_is_written_as_people_write_it_and_reads_back() {
        let role = json!({"kind": "role", "name": "engineer", "revision": 7, "spec": {
            "allow": {"audit": [], "ssh": [{"logins": ["{{logins}}", "deploy"], "labels": {"*": ["*"]}},
                {"logins": ["root"], "labels": {"env": ["1.0", "no"]}, "where": "'sre' in user.roles"}]},
            "options": {"max_session": "8h", "notice": "Be kind: it is\u{1b} recorded", "recording": "off", "record_input": true},
        }});
        let written = text(&role);
        let mut lines: Vec<&str> = written.lines().collect();
        let mut wanted: Vec<&str> = ROLE.lines().collect();
        lines.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(lines, wanted, "{written}");
        let read = config::policy::resources("f", &written.replace("\\u001b", ""), None).map_err(|faults| config::faults::text(&faults));
        assert_eq!(read.map(|all| all.len()), Ok(1), "{written}");
        assert_eq!(text(&json!([])), "[]\n");
    }
}
