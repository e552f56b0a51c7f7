//! What a rule compares with: patterns over label values and over logins. Linear time, no regular expressions.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod more;

pub use more::{CommandPattern, ForwardPattern, ReasonPattern, Template};

use crate::identity::Traits;
use crate::words::{BadName, Login, as_text, cut};

/// A text to compare a label's value with: exact, or with `*` for any run of characters. Case counts; nothing else is special.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("maxLength" = 256))]
pub struct Pattern(String);

impl Pattern {
    /// Whether this is `*` alone.
    pub fn is_any(&self) -> bool {
        self.0 == "*"
    }

    /// Whether nothing can fail to fit: stars alone.
    pub fn fits_all(&self) -> bool {
        !self.0.is_empty() && self.0.bytes().all(|b| b == b'*')
    }

    /// Whether the whole of `value` fits. Each piece between stars takes its leftmost place, so that the time is linear.
    pub fn matches(&self, value: &str) -> bool {
        let mut pieces = self.0.split('*');
        let Some(mut rest) = pieces.next().and_then(|head| value.strip_prefix(head)) else { return false };
        let Some(tail) = pieces.next_back() else { return rest.is_empty() };
        for piece in pieces {
            let Some((_, after)) = rest.split_once(piece) else { return false };
            rest = after;
        }
        rest.ends_with(tail)
    }
}

impl FromStr for Pattern {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        if text.len() <= 256 && !text.chars().any(|c| c.is_control() || crate::condition::is_bidi(c)) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadName {
                kind: "label pattern",
                rule: "at most 256 bytes without control characters and marks of direction",
                text: cut(text),
            })
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a [`LoginPattern`] is written, as a regular expression.
const LOGIN_PATTERN: &str = r"^(\*|[a-z_][a-z0-9_.-]{0,31}|[a-z0-9_.-]{0,31}\{\{[A-Za-z0-9._:/-]{1,64}\}\}[a-z0-9_.-]{0,31})$";

/// The logins that a rule speaks of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = LOGIN_PATTERN))]
pub enum LoginPattern {
    /// This login.
    Literal(Login),
    /// One login for each value of a trait: `{{logins}}`, `adm-{{email.local}}`. What is no login after expansion matches nothing.
    Template {
        /// Text before the trait's value.
        prefix: String,
        /// The trait.
        name: String,
        /// Text after it.
        suffix: String,
    },
    /// `*`: every login. Only a deny may say so.
    Any,
}

impl LoginPattern {
    /// Whether `login` is meant, for a person with these traits. A trait that the person lacks matches nothing.
    pub fn matches(&self, login: &Login, traits: &Traits) -> bool {
        match self {
            Self::Any => true,
            Self::Literal(literal) => literal == login,
            Self::Template { prefix, name, suffix } => {
                // `login` keeps the grammar already, so a value that equals its middle needs no second check.
                let middle = login.as_str().strip_prefix(prefix.as_str()).and_then(|rest| rest.strip_suffix(suffix.as_str()));
                middle.is_some_and(|middle| traits.get(name).is_some_and(|values| values.iter().any(|value| value == middle)))
            }
        }
    }

    /// The logins meant, for a person with these traits: those that keep the grammar. Empty for [`Self::Any`].
    pub fn expand(&self, traits: &Traits) -> Vec<Login> {
        match self {
            Self::Any => Vec::new(),
            Self::Literal(login) => vec![login.clone()],
            Self::Template { prefix, name, suffix } => {
                let values = traits.get(name).into_iter().flatten().filter(|value| value.len() <= 32);
                values.filter_map(|value| format!("{prefix}{value}{suffix}").parse().ok()).collect()
            }
        }
    }

    /// The trait that this takes its logins from.
    pub fn trait_name(&self) -> Option<&str> {
        match self {
            Self::Template { name, .. } => Some(name),
            Self::Literal(_) | Self::Any => None,
        }
    }
}

impl FromStr for LoginPattern {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let Some((prefix, rest)) = text.split_once("{{") else { return text.parse().map(Self::Literal) };
        let bad = BadName {
            kind: "login template",
            rule: "one {{trait}}, with letters of a login before or after it, the trait 1 to 64 of A-Z a-z 0-9 . _ - : /",
            text: cut(text),
        };
        let Some((name, suffix)) = rest.split_once("}}") else { return Err(bad) };
        let around = |part: &str| part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'-'));
        if is_trait_name(name) && around(prefix) && around(suffix) && prefix.len() + suffix.len() < 32 {
            Ok(Self::Template { prefix: prefix.to_owned(), name: name.to_owned(), suffix: suffix.to_owned() })
        } else {
            Err(bad)
        }
    }
}

impl fmt::Display for LoginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(login) => login.fmt(f),
            Self::Template { prefix, name, suffix } => write!(f, "{prefix}{{{{{name}}}}}{suffix}"),
            Self::Any => f.write_str("*"),
        }
    }
}

/// Whether a trait can have this name in a template: 1 to 64 of `A-Z a-z 0-9 . _ - : /`.
pub fn is_trait_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b':' | b'/'))
}

as_text!(Pattern);
as_text!(LoginPattern);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_fits_the_whole_value() {
        let table: [(&str, &[&str], &[&str]); 6] = [
            ("prod", &["prod"], &["", "Prod", "prod\n", "xprod"]),
            ("*", &["", "x", "a\nb"], &[]),
            ("eu-*", &["eu-", "eu-1"], &["eu", "xeu-1"]),
            ("*-db", &["-db", "a-db"], &["a-dbx"]),
            ("a*b*a", &["aba", "axxbyya", "abba"], &["aa", "ab", "a"]),
            ("ab*ba", &["abba", "abxba"], &["aba", "ab"]),
        ];
        for (pattern, fits, fails) in table {
            let parsed: Pattern = pattern.parse().expect("a pattern");
            assert!(fits.iter().all(|value| parsed.matches(value)), "{pattern} fits {fits:?}");
            assert!(!fails.iter().any(|value| parsed.matches(value)), "{pattern} fails {fails:?}");
        }
    }

    #[test]
    fn a_template_is_one_trait_with_text_around_it() {
        for good in ["{{logins}}", "adm-{{email.local}}", "{{team}}-ro", "root", "*"] {
            assert_eq!(good.parse::<LoginPattern>().map(|p| p.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "{{}}", "{{a}}{{b}}", "{{a b}}", "{{a", "a}}", "X{{a}}", "ubuntu*", "{{a}};id", "-x", "{{{a}}}"] {
            assert!(bad.parse::<LoginPattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn expansion_keeps_the_grammar_of_a_login() {
        let traits: Traits =
            [("l".to_owned(), vec!["kim".into(), "*".into(), "a\nb".into(), "x\") or true".into(), "y".repeat(40)])].into();
        let pattern: LoginPattern = "{{l}}".parse().expect("a template");
        assert_eq!(pattern.expand(&traits), ["kim".parse().expect("a login")]);
        assert_eq!("{{none}}".parse::<LoginPattern>().expect("a template").expand(&traits), []);
    }
}
