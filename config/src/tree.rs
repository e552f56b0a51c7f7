//! YAML as a tree in which everything knows its place, so that all faults of a file can be told at once.
//! Only the plain part of YAML is read: no anchors, aliases, tags or merge keys. No meaning is given to anything here.

use std::collections::BTreeSet;
use std::ops::Range;

use serde_saphyr::granit_parser::{Event, Options, Parser, ScalarStyle, Span};

use crate::faults::{Fault, MOST, Source, quoted};

/// Longest text that is read: 1 MiB.
const BYTES: usize = 1 << 20;
/// Deepest nesting.
const DEPTH: usize = 32;
/// Most values in one text.
const NODES: usize = 100_000;

/// A value and its place in bytes of the text.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) at: Range<usize>,
    pub(crate) value: Value,
}

/// What stands there.
#[derive(Debug)]
pub(crate) enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// A text; `plain` when without quotes, so that it may have been meant as something else.
    Scalar { text: String, plain: bool },
    /// A list.
    List(Vec<Node>),
    /// A map in the order written; every key once.
    Map(Vec<Entry>),
    /// Already told as a fault; says nothing more.
    Broken,
}

/// One line of a map.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) at: Range<usize>,
    pub(crate) value: Node,
}

/// The whole documents of a text; empty ones are left out. Adds to `faults`; a fault of the syntax ends the reading.
pub(crate) fn documents(source: &Source<'_>, faults: &mut Vec<Fault>) -> Vec<Node> {
    if source.text.len() > BYTES {
        let message = format!("this text has {} bytes, more than 1 MiB", source.text.len());
        faults.push(Source::new(source.file, "").fault(&(0..0), message, "split it into several files".into()));
        return Vec::new();
    }
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.flow_nesting_limit = DEPTH;
    options.block_nesting_limit = DEPTH;
    options.disallow_directives = true;
    options.emit_unresolved_aliases = true;
    let mut builder = Builder { source, faults, open: Vec::new(), done: Vec::new(), nodes: 0 };
    for event in Parser::new_from_str_with_options(source.text, options) {
        let kept = match event {
            Ok((event, span)) => builder.take(event, &span),
            Err(error) => {
                let at = error.marker().byte_offset().unwrap_or(source.text.len());
                let remedy = remedy_for(source.text, at);
                builder.fault(&(at..at), &format!("this is not YAML as Naru reads it: {}", error.info()), remedy);
                false
            }
        };
        if !kept {
            break;
        }
    }
    builder.done
}

/// A tab is the commonest reason and the least visible.
fn remedy_for(text: &str, at: usize) -> &'static str {
    let line = text.get(..at).unwrap_or(text).rsplit('\n').next().unwrap_or_default();
    let rest = text.get(at..).unwrap_or_default();
    if line.contains('\t') || rest.starts_with('\t') {
        "indent with spaces, YAML takes no tabs"
    } else {
        "check brackets, quotes and indentation before this place; nesting goes 32 deep at most"
    }
}

/// A list or map that is not closed yet.
struct Open {
    at: Range<usize>,
    kind: Kind,
}

enum Kind {
    List(Vec<Node>),
    /// The entries, the keys seen, and the key whose value comes next; the inner option is none for a key that was a fault.
    Map(Vec<Entry>, BTreeSet<String>, Option<Option<(String, Range<usize>)>>),
}

struct Builder<'s, 'f> {
    source: &'s Source<'s>,
    faults: &'f mut Vec<Fault>,
    open: Vec<Open>,
    done: Vec<Node>,
    nodes: usize,
}

impl Builder<'_, '_> {
    fn fault(&mut self, at: &Range<usize>, message: &str, remedy: &str) {
        if self.faults.len() < MOST {
            self.faults.push(self.source.fault(at, message.to_owned(), remedy.to_owned()));
        }
    }

    /// Takes one event; false when the text is to be left.
    fn take(&mut self, event: Event<'_>, span: &Span) -> bool {
        let at = span.byte_range().unwrap_or(0..0);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let value = if self.odd(&at, anchor, tag.is_some()) { Value::Broken } else { scalar(&text, style) };
                self.put(Node { at, value });
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.odd(&at, anchor, tag.is_some());
                self.open.push(Open { at, kind: Kind::List(Vec::new()) });
            }
            Event::MappingStart(_, anchor, tag) => {
                self.odd(&at, anchor, tag.is_some());
                self.open.push(Open { at, kind: Kind::Map(Vec::new(), BTreeSet::new(), None) });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(Open { at, kind }) = self.open.pop() else { return false };
                let value = match kind {
                    Kind::List(nodes) => Value::List(nodes),
                    Kind::Map(entries, ..) => Value::Map(entries),
                };
                self.put(Node { at, value });
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                self.fault(&at, "aliases are not read here", "write the value itself");
                self.put(Node { at, value: Value::Broken });
            }
            _ => {}
        }
        self.nodes += 1;
        if self.nodes > 2 * NODES {
            self.fault(&span.byte_range().unwrap_or(0..0), "this text has more than 100000 values", "split it into several files");
            self.done.clear();
        }
        self.nodes <= 2 * NODES
    }

    /// Tells of an anchor or a tag.
    fn odd(&mut self, at: &Range<usize>, anchor: usize, tag: bool) -> bool {
        if tag {
            self.fault(at, "tags are not read here", "remove the tag; a text that looks like something else goes in quotes");
        }
        if anchor != 0 {
            self.fault(at, "anchors are not read here", "remove the anchor, and write the value where it is used");
        }
        tag || anchor != 0
    }

    /// Puts a finished value where it belongs: into the list, as key or value into the map, or as a document.
    fn put(&mut self, node: Node) {
        let Some(Open { kind, .. }) = self.open.last_mut() else {
            if !matches!(node.value, Value::Null) {
                self.done.push(node);
            }
            return;
        };
        match kind {
            Kind::List(nodes) => nodes.push(node),
            Kind::Map(entries, seen, wanted) => match wanted.take() {
                Some(Some((key, at))) => entries.push(Entry { key, at, value: node }),
                Some(None) => {}
                None => match node.value {
                    Value::Scalar { text, .. } if seen.insert(text.clone()) => *wanted = Some(Some((text, node.at))),
                    value => {
                        *wanted = Some(None);
                        match value {
                            Value::Scalar { text, .. } => {
                                self.fault(&node.at, &format!("the key {} stands here twice", quoted(&text)), "keep one of the two");
                            }
                            Value::Broken => {}
                            _ => self.fault(&node.at, "a key must be a text", "write key: value"),
                        }
                    }
                },
            },
        }
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    let plain = style == ScalarStyle::Plain;
    if plain && matches!(text, "" | "~" | "null" | "Null" | "NULL") { Value::Null } else { Value::Scalar { text: text.to_owned(), plain } }
}
