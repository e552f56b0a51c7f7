//! How the spec of a resource is read: field by field, each with its path and place, so that what `access` finds in it gets a caret.
//! What fields there are is in one file for each kind.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::Range;
use std::str::FromStr;

use access::policy::{Pattern, SpecFault};
use access::words::RoleName;

use super::Template;
use super::places::Places;
use crate::read::{Fields, Reader};
use crate::tree::{Node, Value};

/// A pattern of a label, a name, a namespace.
const PATTERN: &str = "shorten it, with * for any run of characters";

/// The reading of one spec.
pub(super) struct Spec<'r, 's> {
    pub(super) read: &'r mut Reader<'s>,
    pub(super) templates: &'r mut Vec<Template>,
    pub(super) places: Places,
}

/// A map of a spec: its path there, and its fields.
pub(super) struct Part<'n> {
    path: String,
    pub(super) fields: Fields<'n>,
}

/// A word that was written in another way before, and what to write now.
pub(super) type Old = (&'static str, &'static str);

impl<'r, 's> Spec<'r, 's> {
    pub(super) fn new(read: &'r mut Reader<'s>, templates: &'r mut Vec<Template>) -> Self {
        Self { read, templates, places: Places::default() }
    }

    /// The spec itself.
    pub(super) fn whole<'n>(&mut self, node: &'n Node, what: &str, known: &[&str], old: &[Old]) -> Part<'n> {
        Part { path: String::new(), fields: self.read.fields_once(node, what, known, old) }
    }

    /// The same without telling of fields that are not known.
    pub(super) fn quiet<'n>(&mut self, node: &'n Node) -> Part<'n> {
        Part { path: String::new(), fields: self.read.entries(node) }
    }

    /// Reads what stands at this path, remembering where that is and whether it had faults.
    fn here<T>(&mut self, path: &str, at: &Range<usize>, with: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.read.faults.len();
        self.places.put(path, at);
        let value = with(self);
        if self.read.faults.len() > before {
            self.places.mark_broken(path);
        }
        value
    }

    /// Reads a field, if it is there.
    pub(super) fn field<T>(&mut self, part: &Part<'_>, name: &str, with: impl FnOnce(&mut Self, &Node, &str) -> T) -> Option<T> {
        let node = part.fields.get(name)?;
        let path = if part.path.is_empty() { name.to_owned() } else { format!("{}.{name}", part.path) };
        Some(self.here(&path, &node.at, |spec| with(spec, node, &path)))
    }

    /// A field that is a map.
    pub(super) fn part<T>(
        &mut self,
        part: &Part<'_>,
        name: &str,
        known: &[&str],
        with: impl FnOnce(&mut Self, &Part<'_>) -> T,
    ) -> Option<T> {
        self.field(part, name, |spec, node, path| {
            let part = Part { path: path.to_owned(), fields: spec.read.fields(node, name, known) };
            with(spec, &part)
        })
    }

    /// A field that is a list of maps, each called `what`.
    pub(super) fn parts<T>(
        &mut self,
        part: &Part<'_>,
        (name, what): (&str, &str),
        (known, old): (&[&str], &[Old]),
        with: impl Fn(&mut Self, &Part<'_>) -> T,
    ) -> Vec<T> {
        self.items(part, name, |spec, node, path| {
            let part = Part { path: path.to_owned(), fields: spec.read.fields_once(node, what, known, old) };
            Some(with(spec, &part))
        })
    }

    /// A field that is a list; an item that gives none is left out, and the paths are those of the items that are left.
    pub(super) fn items<T>(&mut self, part: &Part<'_>, name: &str, mut with: impl FnMut(&mut Self, &Node, &str) -> Option<T>) -> Vec<T> {
        let read = self.field(part, name, |spec, node, path| spec.list(node, (name, path), &mut with));
        read.unwrap_or_default()
    }

    fn list<T>(&mut self, node: &Node, (what, path): (&str, &str), with: &mut impl FnMut(&mut Self, &Node, &str) -> Option<T>) -> Vec<T> {
        let mut all = Vec::new();
        for node in self.read.list(node, what) {
            let path = format!("{path}[{}]", all.len());
            match self.here(&path, &node.at, |spec| with(spec, node, &path)) {
                Some(one) => all.push(one),
                None => self.places.forget(&path),
            }
        }
        all
    }

    /// A field that is one text.
    pub(super) fn text(&mut self, part: &Part<'_>, name: &str) -> Option<String> {
        self.field(part, name, |spec, node, _| spec.read.text(node, name).map(str::to_owned)).flatten()
    }

    /// A field that is one text of a certain form.
    pub(super) fn parse<T: FromStr<Err: Display>>(&mut self, part: &Part<'_>, name: &str, remedy: &str) -> Option<T> {
        self.field(part, name, |spec, node, _| spec.read.parse(node, name, remedy)).flatten()
    }

    /// A field that is a list of texts of a certain form.
    pub(super) fn parses<T: FromStr<Err: Display>>(&mut self, part: &Part<'_>, name: &str, remedy: &str) -> Vec<T> {
        self.items(part, name, |spec, node, _| spec.read.parse(node, "an item of it", remedy))
    }

    /// A field that is a list of patterns.
    pub(super) fn patterns(&mut self, part: &Part<'_>, name: &str) -> Vec<Pattern> {
        self.parses(part, name, PATTERN)
    }

    /// A field that is a list of roles.
    pub(super) fn roles(&mut self, part: &Part<'_>, name: &str) -> Vec<RoleName> {
        self.parses(part, name, "write the role's name, as in its own name field")
    }

    /// A field that is true or false; false where it is absent.
    pub(super) fn flag(&mut self, part: &Part<'_>, name: &str) -> bool {
        self.field(part, name, |spec, node, _| spec.read.flag(node, name)).flatten().unwrap_or_default()
    }

    /// A field that is a whole number from 1.
    pub(super) fn count(&mut self, part: &Part<'_>, name: &str) -> Option<u32> {
        self.field(part, name, |spec, node, _| spec.read.count(node, name, u32::MAX)).flatten()
    }

    /// A field that is one word of a closed list.
    pub(super) fn word<T: Copy>(&mut self, part: &Part<'_>, name: &str, words: &[(&str, T)]) -> Option<T> {
        self.field(part, name, |spec, node, _| spec.read.word(node, name, words)).flatten()
    }

    /// A field that is a list of words of a closed list.
    pub(super) fn words<T: Copy>(&mut self, part: &Part<'_>, (name, what): (&str, &str), words: &[(&str, T)]) -> Vec<T> {
        self.items(part, name, |spec, node, _| spec.read.word(node, what, words))
    }

    /// A field that is a map with free keys; a fault of one of them is shown at its key.
    pub(super) fn map<T>(
        &mut self,
        part: &Part<'_>,
        name: &str,
        mut with: impl FnMut(&mut Self, &Node, &str) -> Option<T>,
    ) -> BTreeMap<String, T> {
        let read = self.field(part, name, |spec, node, path| {
            let mut all = BTreeMap::new();
            for entry in spec.read.map(node, name) {
                let path = format!("{path}.{}", entry.key);
                let one = spec.here(&path, &entry.at, |spec| with(spec, &entry.value, &path));
                all.extend(one.map(|one| (entry.key.clone(), one)));
            }
            all
        });
        read.unwrap_or_default()
    }

    /// A field that is a map with lists of patterns: labels that a rule fits, traits that somebody has.
    pub(super) fn pattern_map(&mut self, part: &Part<'_>, name: &str, what: &str) -> BTreeMap<String, Vec<Pattern>> {
        self.map(part, name, |spec, node, path| {
            Some(spec.list(node, (what, path), &mut |spec, node, _| spec.read.parse(node, "a value of it", PATTERN)))
        })
    }

    /// A field that is a map of texts.
    pub(super) fn text_map(&mut self, part: &Part<'_>, name: &str) -> BTreeMap<String, String> {
        self.map(part, name, |spec, node, _| spec.read.text(node, "a label's value").map(str::to_owned))
    }

    /// Remembers that a template stands here.
    pub(super) fn template(&mut self, name: Option<&str>, node: &Node) {
        self.templates.extend(name.map(|name| (name.to_owned(), node.at.clone())));
    }

    /// Tells the faults that `access` found in what was read, each where it stands.
    pub(super) fn tell(self, node: &Node, faults: Vec<SpecFault>) {
        self.places.tell(self.read, &node.at, faults);
    }
}

/// Whether a list stands where a map is wanted now.
pub(super) fn is_list(part: &Part<'_>, name: &str) -> bool {
    part.fields.get(name).is_some_and(|node| matches!(node.value, Value::List(_)))
}
