//! How answers and errors are printed: a table on a terminal, TSV without, one JSON document with `--json`. Nothing here asks or fetches.
//!
//! INVARIANT: no text that came from elsewhere reaches a terminal with a control character in it; [`plain`] is the one door.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use serde_json::Value;

use crate::failure::Failure;

/// What one command has to say on stdout, made once and printed in any of three forms.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// For `--json`.
    pub json: Value,
    /// For people and for TSV.
    pub table: Table,
    /// Lines for people below the table.
    pub below: Vec<String>,
    /// The exit code, where an answer is not success: `can`, `verify`.
    pub exit: u8,
}

impl Answer {
    /// A successful one.
    pub fn new<T: serde::Serialize>(value: &T, table: Table) -> Self {
        Self { json: serde_json::to_value(value).unwrap_or(Value::Null), table, below: Vec::new(), exit: 0 }
    }

    /// With lines below the table.
    #[must_use]
    pub fn below(mut self, lines: Vec<String>) -> Self {
        self.below = lines;
        self
    }
}

/// Rows of text. Columns are only ever appended: scripts cut by number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// Names of the columns; empty for facts about one thing.
    pub head: Vec<&'static str>,
    /// The rows.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// With these columns.
    pub fn of<const N: usize>(head: [&'static str; N], rows: impl IntoIterator<Item = [String; N]>) -> Self {
        Self { head: head.to_vec(), rows: rows.into_iter().map(Vec::from).collect() }
    }
    /// Facts about one thing: a name and a value each.
    pub fn facts<const N: usize>(facts: [(&str, String); N]) -> Self {
        Self { head: Vec::new(), rows: facts.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect() }
    }
    /// Lines of a text, the same in both forms.
    pub fn text(text: &str) -> Self {
        Self { head: Vec::new(), rows: text.lines().map(|line| vec![line.to_owned()]).collect() }
    }
    /// One line of text, the same in both forms.
    pub fn line(text: impl Into<String>) -> Self {
        Self { head: Vec::new(), rows: vec![vec![text.into()]] }
    }
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Out {
    /// `--json`.
    pub json: bool,
    /// stdout is a terminal.
    pub terminal: bool,
    /// stderr may be coloured.
    pub colour: bool,
    /// Lists begin with the names of their columns.
    pub headers: bool,
}

impl Out {
    /// Into a file or a pipe, in words.
    pub const PLAIN: Self = Self { json: false, terminal: false, colour: false, headers: true };

    /// As the surroundings want it; `NO_COLOR` (no-color.org) switches colour off.
    pub fn detect(json: bool, headers: bool) -> Self {
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { json, terminal: io::stdout().is_terminal(), colour: io::stderr().is_terminal() && !no_colour, headers }
    }

    /// The whole answer as text.
    pub fn render(self, answer: &Answer) -> String {
        if self.json {
            return format!("{}\n", answer.json);
        }
        let mut text = if self.terminal { human(&answer.table, self.headers) } else { tsv(&answer.table, self.headers) };
        if !answer.below.is_empty() {
            text.push('\n');
        }
        for line in &answer.below {
            let _ = writeln!(text, "{}", plain(line));
        }
        text
    }

    /// Prints an answer. A reader that went away is no failure.
    pub fn answer(self, answer: &Answer) -> Result<u8, Failure> {
        print(self.render(answer).as_bytes())?;
        Ok(answer.exit)
    }

    /// An error as text for stderr.
    pub fn error(self, failure: &Failure) -> String {
        if self.json {
            return format!("{}\n", serde_json::to_string(&failure.to_problem()).unwrap_or_default());
        }
        let (red, off) = if self.colour { ("\x1b[31m", "\x1b[0m") } else { ("", "") };
        let mut text = format!("{red}error[{}]{off}: {}\n", plain(&failure.code), plain(&failure.title));
        for (word, part) in [("cause: ", failure.cause.as_deref()), ("hint:  ", failure.hint.as_deref())] {
            // A hint may have lines; each is made plain by itself.
            for (number, line) in part.into_iter().flat_map(str::lines).enumerate() {
                let _ = writeln!(text, "{}{}", if number == 0 { word } else { "       " }, plain(line));
            }
        }
        for (number, line) in failure.shown.iter().flat_map(|shown| shown.lines()).enumerate() {
            let _ = writeln!(text, "{}{}", if number == 0 { "\n" } else { "" }, plain(line));
        }
        // Where they have been found in a file, they are shown there; and nothing is said twice.
        let said = |message: &str| failure.shown.is_some() || failure.cause.as_deref().is_some_and(|cause| cause.contains(message));
        for field in failure.fields().iter().filter(|field| !said(&field.message)) {
            let whose = [field.kind.as_deref(), field.name.as_deref()].into_iter().flatten().collect::<Vec<_>>().join("/");
            let remedy = field.remedy.as_deref().map(|remedy| format!(" ({remedy})")).unwrap_or_default();
            let _ = writeln!(text, "  {}", plain(format!("{whose} {}: {}{remedy}", field.pointer, field.message).trim_start()));
        }
        text
    }
}

/// Writes to stdout at once. A reader that went away is no failure.
pub fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new("NARU-C011", wire::api::exit::FAILED, "the output cannot be written").because(e))
        }
        _ => Ok(()),
    }
}

/// Writes a sentence to stderr; there is nowhere to complain if that fails.
pub fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", plain(line));
}

/// The text with everything that could steer a terminal, a table or the reader's eye made visible: C0, C1, line and paragraph
/// separators, bidirectional controls (UAX #9) and the byte order mark.
pub fn plain(text: &str) -> String {
    let steers = |c: char| {
        c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{feff}')
    };
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// Tab-separated, one row a line, below the names of the columns where there are rows.
pub fn tsv(table: &Table, headers: bool) -> String {
    let mut out = String::new();
    if headers && !table.head.is_empty() && !table.rows.is_empty() {
        let names: Vec<String> = table.head.iter().map(|name| name.to_uppercase()).collect();
        out.push_str(&tsv_row(&names));
    }
    for row in &table.rows {
        out.push_str(&tsv_row(row));
    }
    out
}

/// One line of TSV.
pub fn tsv_row(row: &[String]) -> String {
    let cells: Vec<_> = row.iter().map(|cell| plain(cell)).collect();
    format!("{}\n", cells.join("\t"))
}

fn human(table: &Table, headers: bool) -> String {
    if table.head.is_empty() && table.rows.iter().all(|row| row.len() == 1) {
        return tsv(table, false);
    }
    if table.rows.is_empty() && !table.head.is_empty() {
        return "(none)\n".to_owned();
    }
    let mut view = comfy_table::Table::new();
    view.load_style(comfy_table::presets::NOTHING);
    if headers && !table.head.is_empty() {
        view.set_header(table.head.iter().map(|name| name.to_uppercase()));
    }
    for row in &table.rows {
        view.add_row(row.iter().map(|cell| plain(cell)));
    }
    view.column_iter_mut().for_each(|column| {
        column.set_padding((0, 2));
    });
    view.lines().fold(String::new(), |mut text, line| {
        text.push_str(line.trim_end());
        text.push('\n');
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUT: Out = Out::PLAIN;

    #[test]
    fn nothing_that_steers_a_terminal_is_printed() {
        let hostile = "a\x1b]52;c;eA==\x07\u{9b}31m\tb\nc\u{202e}d\u{2028}";
        let answer = Answer::new(&(), Table::of(["x"], [[hostile.to_owned()], ["b".to_owned()]]));
        for terminal in [false, true] {
            let text = Out { terminal, ..OUT }.render(&answer);
            assert!(!text.chars().any(|c| c != '\n' && (c.is_control() || c == '\u{202e}' || c == '\u{2028}')), "{text:?}");
        }
        let text = OUT.error(&Failure::new("NARU-X\x1b1", 1, hostile).because(hostile).hint(hostile));
        assert!(!text.chars().any(|c| c != '\n' && c.is_control()), "{text:?}");
    }

    #[test]
    fn an_error_is_a_sentence_its_cause_and_a_remedy_or_one_json_object() {
        let failure = Failure::new("NARU-N101", 7, "naru.example:443 cannot be reached").because("connection refused").hint("naru doctor");
        assert_eq!(
            OUT.error(&failure),
            "error[NARU-N101]: naru.example:443 cannot be reached\ncause: connection refused\nhint:  naru doctor\n"
        );
        let json: Value = serde_json::from_str(&Out { json: true, ..OUT }.error(&failure)).expect("one object");
        assert_eq!((&json["code"], &json["exit"]), (&"NARU-N101".into(), &7.into()));
    }

    #[test]
    fn tsv_is_one_line_a_row_below_a_header_that_can_be_left_out() {
        let table = Table::of(["a", "b"], [["1".to_owned(), "x\ty".to_owned()]]);
        assert_eq!(tsv(&table, true), "A\tB\n1\tx\\ty\n");
        assert_eq!(tsv(&table, false), "1\tx\\ty\n");
        assert!(human(&table, true).starts_with("A") && human(&table, false).starts_with("1"), "{}", human(&table, true));
        assert_eq!(tsv(&Table { rows: Vec::new(), ..table }, true), "", "nothing there is nothing");
    }
}
