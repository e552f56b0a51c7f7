//! From the tree to values: asks a node for a text, a list, a word of a closed list; what does not fit becomes a fault and reading goes on.

use std::fmt::Display;
use std::ops::Range;
use std::str::FromStr;

use crate::faults::{Fault, MOST, Source, meant, quoted};
use crate::tree::{Entry, Node, Value, documents};

/// Collects faults while nodes are read.
pub(crate) struct Reader<'s> {
    pub(crate) source: &'s Source<'s>,
    pub(crate) faults: Vec<Fault>,
}

impl<'s> Reader<'s> {
    pub(crate) fn new(source: &'s Source<'s>, faults: Vec<Fault>) -> Self {
        Self { source, faults }
    }

    /// The one document of a text; a text without any is an empty one.
    pub(crate) fn one(source: &'s Source<'s>) -> (Self, Node) {
        let mut faults = Vec::new();
        let mut trees = documents(source, &mut faults).into_iter();
        let first = trees.next().unwrap_or(Node { at: 0..0, value: Value::Null });
        let mut read = Self::new(source, faults);
        if let Some(second) = trees.next() {
            read.fault(&second.at, "this file has a second document", "keep one, without --- between its parts");
        }
        (read, first)
    }

    /// Ends the reading: the value when nothing was wrong, else every fault in the order of the text.
    pub(crate) fn end<T>(mut self, value: T) -> Result<T, Vec<Fault>> {
        self.faults.sort_by_key(|fault| (fault.line, fault.column));
        if self.faults.is_empty() { Ok(value) } else { Err(self.faults) }
    }

    pub(crate) fn fault(&mut self, at: &Range<usize>, message: impl Into<String>, remedy: impl Into<String>) {
        if self.faults.len() < MOST {
            self.faults.push(self.source.fault(at, message.into(), remedy.into()));
        }
    }

    /// The entries of a map; nothing written is an empty map.
    pub(crate) fn map<'n>(&mut self, node: &'n Node, what: &str) -> &'n [Entry] {
        match &node.value {
            Value::Map(entries) => entries,
            Value::Null | Value::Broken => &[],
            other => {
                self.fault(&node.at, format!("{what} is a map, and this is {}", called(other)), "write it as key: value lines");
                &[]
            }
        }
    }

    /// The entries of a map with a closed list of keys; others are faults.
    pub(crate) fn fields<'n>(&mut self, node: &'n Node, what: &str, known: &[&str]) -> Fields<'n> {
        self.fields_once(node, what, known, &[])
    }

    /// The same, where some fields had another name once: those are told what to write now.
    pub(crate) fn fields_once<'n>(&mut self, node: &'n Node, what: &str, known: &[&str], old: &[(&str, &str)]) -> Fields<'n> {
        let entries = self.map(node, what);
        for entry in entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let now = old.iter().find(|(name, _)| *name == entry.key).map(|(_, remedy)| (*remedy).to_owned());
            let remedy = now.unwrap_or_else(|| meant(&entry.key, known.iter().copied()));
            self.fault(&entry.at, format!("{what} has no field {}", quoted(&entry.key)), remedy);
        }
        Fields(entries)
    }

    /// The entries of a map whose fields were told of already.
    pub(crate) fn entries<'n>(&self, node: &'n Node) -> Fields<'n> {
        if let Value::Map(entries) = &node.value { Fields(entries) } else { Fields(&[]) }
    }

    /// The items of a list.
    pub(crate) fn list<'n>(&mut self, node: &'n Node, what: &str) -> &'n [Node] {
        match &node.value {
            Value::List(nodes) => nodes,
            Value::Null | Value::Broken => &[],
            other => {
                let message = format!("{what} is a list, and this is {}", called(other));
                self.fault(&node.at, message, "write [a, b], or one line with - for each item");
                &[]
            }
        }
    }

    /// A text. What other readers of YAML take for a truth value or number must stand in quotes.
    pub(crate) fn text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        match &node.value {
            Value::Scalar { text, plain: true } if is_word_of_yaml(text) || is_number(text) => {
                let message = format!(
                    "{what} is a text, and {text:.40} without quotes is {}",
                    if is_number(text) { "a number" } else { "a truth value" }
                );
                self.fault(&node.at, message, format!("write \"{text:.40}\" if the text is meant"));
                None
            }
            Value::Scalar { text, .. } => Some(text),
            Value::Broken => None,
            other => {
                self.fault(&node.at, format!("{what} is a text, and this is {}", called(other)), "write one text");
                None
            }
        }
    }

    /// A text that parses.
    pub(crate) fn parse<T: FromStr<Err: Display>>(&mut self, node: &Node, what: &str, remedy: &str) -> Option<T> {
        // What cannot be meant whatever quotes it gets is told as that, so that `idle: 30` is not answered with `"30"`.
        let text = match &node.value {
            Value::Scalar { text, .. } if text.parse::<T>().is_err() => text,
            _ => self.text(node, what)?,
        };
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.fault(&node.at, error.to_string(), remedy);
                None
            }
        }
    }

    /// `true` or `false`.
    pub(crate) fn flag(&mut self, node: &Node, what: &str) -> Option<bool> {
        match &node.value {
            Value::Scalar { text, plain: true } if text == "true" => Some(true),
            Value::Scalar { text, plain: true } if text == "false" => Some(false),
            Value::Broken => None,
            _ => {
                self.fault(&node.at, format!("{what} is true or false"), "write true or false, without quotes");
                None
            }
        }
    }

    /// A whole number from 1 to `most`.
    pub(crate) fn count(&mut self, node: &Node, what: &str, most: u32) -> Option<u32> {
        let read = match &node.value {
            Value::Scalar { text, plain: true } if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
            Value::Broken => return None,
            _ => None,
        };
        let good = read.filter(|count| (1..=most).contains(count));
        if good.is_none() {
            let to = if most == u32::MAX { String::new() } else { format!(" to {most}") };
            self.fault(&node.at, format!("{what} is a whole number from 1{to}"), "write it in digits, without quotes");
        }
        good
    }

    /// One word of a closed list.
    pub(crate) fn word<T: Copy>(&mut self, node: &Node, what: &str, words: &[(&str, T)]) -> Option<T> {
        let wanted = |text: &str| words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        // `off` is a word here, although some readers of YAML take it for a truth value.
        if let Value::Scalar { text, .. } = &node.value
            && let Some(value) = wanted(text)
        {
            return Some(value);
        }
        let text = self.text(node, what)?;
        self.fault(&node.at, format!("{what} cannot be {}", quoted(text)), meant(text, words.iter().map(|(word, _)| *word)));
        None
    }
}

/// The fields of one map.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'n>(&'n [Entry]);

impl<'n> Fields<'n> {
    /// The value of a field; none when it is absent or nothing is written.
    pub(crate) fn get(&self, key: &str) -> Option<&'n Node> {
        self.0.iter().find(|entry| entry.key == key).map(|entry| &entry.value).filter(|node| !matches!(node.value, Value::Null))
    }
}

fn called(value: &Value) -> &'static str {
    match value {
        Value::Null | Value::Broken => "nothing",
        Value::Scalar { .. } => "a single value",
        Value::List(_) => "a list",
        Value::Map(_) => "a map",
    }
}

/// Truth values of YAML 1.1, which many tools still read so.
fn is_word_of_yaml(text: &str) -> bool {
    text.len() <= 5 && matches!(text.to_ascii_lowercase().as_str(), "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n")
}

/// Whether some reader of YAML takes it for a number. `1e3` is one, `8h` is none.
fn is_number(text: &str) -> bool {
    let digits = text.trim_start_matches(['+', '-']).replace('_', "");
    digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && (digits.parse::<f64>().is_ok()
            || ["0x", "0o", "0b"].iter().any(|start| {
                digits.strip_prefix(start).is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_hexdigit()))
            }))
}
