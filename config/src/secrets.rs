//! Secrets in a text that is to be shown beside a fault: written over with stars, byte for byte, so that every place stays where it is.
//! Works on text that may be broken, so it looks at words and not at meaning, and rather hides too much.

/// Longest word that is looked at as a key.
const KEY: usize = 32;

/// The text with the values of all keys that look like one of a secret written over; of the same length and lines.
pub(crate) fn hidden(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut from = 0;
    while let Some(colon) = text.get(from..).and_then(|rest| rest.find(':')).map(|at| from + at) {
        let end = if is_secret(text.get(..colon).unwrap_or_default()) { value_end(text, colon + 1) } else { colon + 1 };
        let (kept, value) = (text.get(from..=colon).unwrap_or_default(), text.get(colon + 1..end).unwrap_or_default());
        shown.push_str(kept);
        value.chars().for_each(|c| match c {
            '\n' | '\r' | ' ' => shown.push(c),
            // One star for each byte: what follows keeps its place.
            c => shown.extend(std::iter::repeat_n('*', c.len_utf8())),
        });
        from = end;
    }
    shown.push_str(text.get(from..).unwrap_or_default());
    shown
}

/// Whether the text ends in a key that is for a secret, misspelt ones included: those are told as faults, with their line.
fn is_secret(before: &str) -> bool {
    let before = before.trim_end_matches([' ', '\t']).trim_end_matches(['"', '\'']);
    let word_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let start = before.char_indices().rev().take(KEY).take_while(|(_, c)| word_char(*c)).last().map_or(before.len(), |(at, _)| at);
    let key = before.get(start..).unwrap_or_default().to_ascii_lowercase().replace('-', "_");
    // A number that is raised with the secret says nothing of it.
    key != "secret_version" && key.contains("secret")
        || key.contains("password")
        || (key.len() > 8 && strsim::damerau_levenshtein(&key, "client_secret") <= 3)
}

/// Where the value that begins here ends, at the latest.
fn value_end(text: &str, from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    let value = rest.trim_start();
    let begin = from + rest.len() - value.len();
    let quoted = match value.chars().next() {
        Some(quote @ ('"' | '\'')) => closing(value.as_bytes(), quote as u8).map(|at| begin + at + 1),
        _ => None,
    };
    quoted.unwrap_or_else(|| lines_end(text, from, begin))
}

/// Where the quote closes that a value begins with: `\"` and `''` within do not.
fn closing(value: &[u8], quote: u8) -> Option<usize> {
    let mut at = 1;
    loop {
        match (*value.get(at)?, value.get(at + 1)) {
            (b'\\', _) if quote == b'"' => at += 2,
            (b'\'', Some(b'\'')) if quote == b'\'' => at += 2,
            (byte, _) if byte == quote => return Some(at),
            _ => at += 1,
        }
    }
}

/// The end of the line of a value without quotes, and of the lines below that are deeper than its key.
fn lines_end(text: &str, from: usize, begin: usize) -> usize {
    let line_start = text.get(..from).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
    let line = text.get(line_start..from).unwrap_or_default();
    let key = line.len() - line.trim_start_matches([' ', '-', '{', '\t', '?']).len();
    let end_of_line = |at: usize| text.get(at..).and_then(|rest| rest.find('\n')).map_or(text.len(), |len| at + len + 1);
    // A value that stands alone on a later line is hidden however it is indented.
    let mut end = end_of_line(begin.min(text.len()));
    while end < text.len() {
        let line = text.get(end..end_of_line(end)).unwrap_or_default();
        let indent = line.len() - line.trim_start().len();
        if !line.trim().is_empty() && indent <= key {
            break;
        }
        end = end_of_line(end);
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_secrets_are_hidden_and_the_rest_stays() {
        for (text, shown) in [
            ("client_id: naru\nclient_secret: hunter2 # x\nca: y\n", "client_id: naru\nclient_secret: ******* * *\nca: y\n"),
            ("{client_secret: \"hun\\\"ter2\", ca: y}", "{client_secret: ***********, ca: y}"),
            ("{'client_secret': 'hun''ter2', ca: y}", "{'client_secret': ***********, ca: y}"),
            ("{\"client_secret\":\"한\",\"ca\":\"y\"}", "{\"client_secret\":*****,\"ca\":\"y\"}"),
            ("  client_secret: |\n    hun\n\n    ter2\n  ca: y\n", "  client_secret: *\n    ***\n\n    ****\n  ca: y\n"),
            ("- client_secret: a\n    b\n  ca: y\n", "- client_secret: *\n    *\n  ca: y\n"),
            (
                "client_secert : a\nClient-Secret: b\nclientsecret: c\nmy_password: d\n",
                "client_secert : *\nClient-Secret: *\nclientsecret: *\nmy_password: *\n",
            ),
            ("client_secret:\nhunter2\nca: y\n", "client_secret:\n*******\nca: y\n"),
            ("client_secret: \"hun\nca: y", "client_secret: ****\nca: y"),
            ("client_secret: hunter2", "client_secret: *******"),
            ("client_id: naru\nsub: repo:a/b\n", "client_id: naru\nsub: repo:a/b\n"),
            ("client_secret:", "client_secret:"),
        ] {
            assert_eq!(hidden(text), shown);
        }
    }

    #[test]
    fn any_text_keeps_its_length_and_its_lines() {
        let hostile = "client_secret:".repeat(20_000) + "\n한\r\n\u{1b}'\"client_secret: \"";
        for text in ["", ":", "::\n:", "secret:\"\\", "secret: '''", &hostile] {
            let shown = hidden(text);
            assert_eq!((shown.len(), shown.matches('\n').count()), (text.len(), text.matches('\n').count()));
        }
    }
}
