//! What is wrong in a text, where, and what to write instead: shown with the line and a caret. No reading of anything.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// Faults kept of one text: more help nobody, and hostile text must not make a long answer.
pub(crate) const MOST: usize = 100;

/// Longest line, in bytes, that is shown whole; of a longer one only the place is told.
const LINE: usize = 1_000;

/// One thing wrong in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file as it was named.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong, in one sentence.
    pub message: String,
    /// What to write instead.
    pub remedy: String,
    /// All of it for a terminal without colour: sentence, place, line, caret, remedy.
    pub rendered: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rendered)
    }
}

/// A text with its file's name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    /// Its name, as the user gave it.
    pub(crate) file: &'a str,
    /// The text.
    pub(crate) text: &'a str,
    /// The same for people's eyes, of the same length and lines: secrets are written over.
    pub(crate) shown: &'a str,
}

impl<'a> Source<'a> {
    /// A text without secrets.
    pub(crate) fn new(file: &'a str, text: &'a str) -> Self {
        Self { file, text, shown: text }
    }

    /// A fault at these bytes of the text; a place outside of it counts as its end.
    pub(crate) fn fault(&self, at: &Range<usize>, message: String, remedy: String) -> Fault {
        let start = floor(self.text, at.start);
        let before = self.text.get(..start).unwrap_or_default();
        let begins = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = self.shown.get(begins..).unwrap_or_default().split(['\n', '\r']).next().unwrap_or_default();
        let number = before.bytes().filter(|b| *b == b'\n').count() + 1;
        let column = self.text.get(begins..start).unwrap_or_default().chars().count() + 1;
        let caret = caret(line, start - begins, floor(self.text, at.end.max(start)) - begins);
        let (message, remedy) = (harmless(&message), harmless(&remedy));
        let rendered = if line.len() > LINE {
            format!("error: {message}\n --> {}:{number}:{column}\n  = help: {remedy}", self.file)
        } else {
            let (line, caret) = shown(line, &caret);
            let snippet = Snippet::source(line).line_start(number).path(self.file).fold(false);
            let group = Level::ERROR
                .primary_title(message.as_str())
                .element(snippet.annotation(AnnotationKind::Primary.span(caret)))
                .element(Level::HELP.message(remedy.as_str()));
            Renderer::plain().decor_style(DecorStyle::Ascii).render(&[group])
        };
        Fault { file: self.file.to_owned(), line: number, column, message, remedy, rendered }
    }
}

/// What the caret points at, within one line and on whole characters.
fn caret(line: &str, start: usize, end: usize) -> Range<usize> {
    let (start, end) = (start.min(line.len()), end.min(line.len()));
    // A place without width (an empty value, a block) still gets one caret.
    let first = line.get(start..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
    start..end.max(start + first)
}

/// The line and its caret with what could steer a terminal replaced.
fn shown(line: &str, caret: &Range<usize>) -> (String, Range<usize>) {
    let part = |range: Range<usize>| harmless(line.get(range).unwrap_or_default());
    let (before, marked, after) = (part(0..caret.start), part(caret.clone()), part(caret.end..line.len()));
    let caret = before.len()..before.len() + marked.len();
    (before + &marked + &after, caret)
}

/// Without control characters (C1 too, which some terminals obey) and without marks that turn the direction of text.
fn harmless(text: &str) -> String {
    let hostile = |c: char| {
        c.is_control() && c != '\t' || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    text.chars().map(|c| if hostile(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// All faults for a terminal, each as a block of lines.
pub fn text(faults: &[Fault]) -> String {
    let all: Vec<&str> = faults.iter().map(|fault| fault.rendered.as_str()).collect();
    all.join("\n\n")
}

/// How many and where, as the beginning of a sentence: `2 faults in a.yaml`.
pub fn count(faults: &[Fault]) -> String {
    let files: BTreeSet<&str> = faults.iter().map(|fault| fault.file.as_str()).collect();
    let most = files.iter().any(|file| faults.iter().filter(|fault| fault.file == *file).count() >= MOST);
    let faults = match faults.len() {
        1 => "1 fault".to_owned(),
        n if most => format!("the first {n} faults"),
        n => format!("{n} faults"),
    };
    format!("{faults} in {}", harmless(&files.into_iter().collect::<Vec<_>>().join(" and ")))
}

/// A word of the text for a message: cut to 64 characters, in quotes, with what cannot be printed escaped.
pub(crate) fn quoted(word: &str) -> String {
    format!("{:?}", word.chars().take(64).collect::<String>())
}

/// `did you mean …?` for a word that is nearly one of these, else some of them. Looks at 200 words at most.
pub(crate) fn meant<'a>(word: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let short: String = word.chars().take(64).collect();
    let near = known.clone().take(200).map(|candidate| (strsim::damerau_levenshtein(&short, candidate), candidate)).min();
    match near {
        Some((distance, candidate)) if distance <= 2.max(candidate.len() / 3) && distance < candidate.len() => {
            format!("did you mean {candidate}?")
        }
        _ => format!("it is one of {}", known.take(20).collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_shows_line_caret_and_remedy() {
        let source = Source::new("roles.yaml", "kind: role\nnäme: x\n");
        let fault = source.fault(&(11..16), "there is no näme".into(), "did you mean name?".into());
        assert_eq!((fault.line, fault.column), (2, 1));
        assert_eq!(
            fault.rendered,
            "error: there is no näme\n --> roles.yaml:2:1\n  |\n2 | näme: x\n  | ^^^^\n  |\n  = help: did you mean name?"
        );
    }

    #[test]
    fn any_place_of_any_text_can_be_shown() {
        let long = "x".repeat(5_000);
        for text in ["", "\n", "한", "a\u{1b}[31m\u{202e}b", "a\r\nb", long.as_str()] {
            for start in 0..text.len().min(9) + 2 {
                for end in [0, start, start + 1, text.len(), usize::MAX] {
                    let fault = Source::new("f", text).fault(&(start..end), "m".into(), "r".into());
                    assert!(!fault.rendered.contains(['\u{1b}', '\u{202e}']) && fault.rendered.len() < 400, "{text:?} {start}..{end}");
                }
            }
        }
    }

    #[test]
    fn a_near_word_is_offered_and_otherwise_all() {
        let known = || ["allow", "deny", "options"].into_iter();
        assert_eq!(meant("alow", known()), "did you mean allow?");
        assert_eq!(meant("xyz", known()), "it is one of allow, deny, options");
    }
}
