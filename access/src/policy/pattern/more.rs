//! What rules compare with beside labels and logins: commands, targets of forwards, names at a cluster, reasons. Linear time.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Pattern, is_trait_name};
use crate::identity::Traits;
use crate::words::{BadName, as_text, cut};

/// A command that may run: word for word, where `*` stands for a run of characters that no shell gives a meaning to, within one word.
/// A command with anything that a shell gives a meaning to fits only where it is written here to the letter.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("minLength" = 1, "maxLength" = 1024))]
pub struct CommandPattern(String);

impl CommandPattern {
    /// Whether this very command is meant.
    pub fn matches(&self, command: &str) -> bool {
        if command == self.0 {
            return true;
        }
        let plain = |word: &str| !word.is_empty() && word.bytes().all(plain_in_shells);
        let (mut wanted, mut given) = (self.0.split(' '), command.split(' '));
        loop {
            match (wanted.next(), given.next()) {
                (None, None) => return true,
                (Some(wanted), Some(given)) if plain(given) && fits(wanted, given) => {}
                _ => return false,
            }
        }
    }
}

/// A word of a pattern and a word: no word that `*` alone stands for begins with `-`, so that it adds no option.
fn fits(wanted: &str, given: &str) -> bool {
    let option = wanted.starts_with('*') && given.starts_with('-');
    !option && wanted.parse::<Pattern>().is_ok_and(|pattern| pattern.matches(given))
}

/// Bytes that stand for themselves in every shell, anywhere in a word.
const fn plain_in_shells(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'/' | b':' | b'@' | b',' | b'+' | b'-' | b'%')
}

impl FromStr for CommandPattern {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let good = (1..=1024).contains(&text.len())
            && !text.chars().any(|c| c.is_control() || crate::condition::is_bidi(c))
            && text.split(' ').all(|word| !word.is_empty());
        let rule = "1 to 1024 bytes: words with one space between them, * for a run of plain characters within a word";
        if good { Ok(Self(text.to_owned())) } else { Err(BadName { kind: "command", rule, text: cut(text) }) }
    }
}

impl fmt::Display for CommandPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a forward may go: `localhost:5432`, `*.db.internal:5432`, `10.0.0.7:*`, `[::1]:8000-8999`. The host is compared as it was asked
/// for, in lower case; it is not resolved.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = r"^(\[[0-9A-Fa-f:.]+\]|[a-z0-9._*-]+):(\*|[1-9][0-9]{0,4}(-[1-9][0-9]{0,4})?)$"))]
pub struct ForwardPattern {
    text: String,
    host: Pattern,
    ports: (u16, u16),
}

impl ForwardPattern {
    /// Whether this target is meant.
    pub fn matches(&self, host: &str, port: u16) -> bool {
        (self.ports.0..=self.ports.1).contains(&port) && self.host.matches(&host.trim_end_matches('.').to_ascii_lowercase())
    }
}

impl FromStr for ForwardPattern {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        read_forward(text).ok_or_else(|| BadName {
            kind: "target of a forward",
            rule: "host:port in lower case, such as localhost:5432, *.internal:443, [::1]:8000-8999 or 10.0.0.7:*",
            text: cut(text),
        })
    }
}

fn read_forward(text: &str) -> Option<ForwardPattern> {
    let (host, ports) = text.rsplit_once(':')?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = match bare {
        Some(address) => address.parse::<std::net::Ipv6Addr>().ok()?.to_string(),
        None => host.to_owned(),
    };
    let of_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_' | b'*');
    let good = !host.is_empty() && host.len() <= 253 && (bare.is_some() || host.bytes().all(of_name));
    let ports = match ports.split_once('-') {
        _ if ports == "*" => (1, u16::MAX),
        Some((from, to)) => (port(from)?, port(to)?),
        None => (port(ports)?, port(ports)?),
    };
    let sound = good && ports.0 <= ports.1;
    sound.then(|| Some(ForwardPattern { text: text.to_owned(), host: host.parse().ok()?, ports }))?
}

fn port(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    digits.then(|| text.parse().ok())?
}

impl fmt::Display for ForwardPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A name at a cluster: a text, or one for each value of a trait: `developers`, `team:{{team}}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("minLength" = 1))]
pub enum Template {
    /// This text.
    Literal(String),
    /// One text for each value.
    Of {
        /// Text before the value.
        prefix: String,
        /// The trait.
        name: String,
        /// Text after it.
        suffix: String,
    },
}

/// Longest name at a cluster.
const NAME: usize = 253;

impl Template {
    /// The texts meant, for a person with these traits; a value that is no name there gives none. What looks like a template in a value
    /// stays what it is: a value is never read again.
    pub fn expand(&self, traits: &Traits) -> Vec<String> {
        match self {
            Self::Literal(text) => vec![text.clone()],
            Self::Of { prefix, name, suffix } => {
                let values = traits.get(name).into_iter().flatten();
                values.filter(|value| is_name(value)).map(|value| format!("{prefix}{value}{suffix}")).filter(|text| is_name(text)).collect()
            }
        }
    }

    /// The trait that this takes its values from.
    pub fn trait_name(&self) -> Option<&str> {
        match self {
            Self::Of { name, .. } => Some(name),
            Self::Literal(_) => None,
        }
    }
}

fn is_name(text: &str) -> bool {
    let good = |c: char| !c.is_control() && !crate::condition::is_bidi(c) && !matches!(c, '{' | '}' | ' ');
    (1..=NAME).contains(&text.len()) && text.chars().all(good)
}

impl FromStr for Template {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let read = || {
            let Some((prefix, rest)) = text.split_once("{{") else { return is_name(text).then(|| Self::Literal(text.to_owned())) };
            let (name, suffix) = rest.split_once("}}")?;
            let around = |part: &str| part.is_empty() || is_name(part);
            let sound = is_trait_name(name) && around(prefix) && around(suffix);
            sound.then(|| Self::Of { prefix: prefix.to_owned(), name: name.to_owned(), suffix: suffix.to_owned() })
        };
        read().ok_or_else(|| BadName {
            kind: "name at a cluster",
            rule: "1 to 253 bytes without spaces, with at most one {{trait}}",
            text: cut(text),
        })
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(text) => f.write_str(text),
            Self::Of { prefix, name, suffix } => write!(f, "{prefix}{{{{{name}}}}}{suffix}"),
        }
    }
}

/// A regular expression that a reason must contain. The engine is linear in the reason's length.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("format" = "regex", "minLength" = 1, "maxLength" = 256))]
pub struct ReasonPattern(regex::Regex);

impl ReasonPattern {
    /// Whether it is found there.
    pub fn is_in(&self, reason: &str) -> bool {
        self.0.is_match(reason)
    }
}

impl FromStr for ReasonPattern {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let built = regex::RegexBuilder::new(text).size_limit(64 * 1024).dfa_size_limit(64 * 1024).nest_limit(20).build();
        let good = (1..=256).contains(&text.len()) && !text.chars().any(char::is_control);
        let bad = BadName { kind: "regular expression", rule: "at most 256 bytes, such as [A-Z]+-[0-9]+", text: cut(text) };
        built.ok().filter(|_| good).map(Self).ok_or(bad)
    }
}

impl fmt::Display for ReasonPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl PartialEq for ReasonPattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}
impl Eq for ReasonPattern {}

as_text!(CommandPattern);
as_text!(ForwardPattern);
as_text!(Template);
as_text!(ReasonPattern);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_fits_word_for_word_and_no_shell_gets_a_say() {
        let table: [(&str, &[&str], &[&str]); 5] = [
            ("uptime", &["uptime"], &["uptime -p", "uptime;id", " uptime", "uptime\nid"]),
            (
                "systemctl status *",
                &["systemctl status nginx"],
                &["systemctl status", "systemctl status a b", "systemctl status -H=x", "systemctl status $(id)", "systemctl  status a"],
            ),
            ("cat /var/log/*.log", &["cat /var/log/a.log"], &["cat /var/log/*.log2", "cat /var/log/a.log|sh", "cat /var/log/a b.log"]),
            ("sh -c 'a && b'", &["sh -c 'a && b'"], &["sh -c 'a && c'"]),
            ("*", &["id"], &["-id", "a b", "`id`", ""]),
        ];
        for (pattern, fits, fails) in table {
            let parsed: CommandPattern = pattern.parse().expect(pattern);
            assert!(fits.iter().all(|command| parsed.matches(command)), "{pattern} fits {fits:?}");
            assert!(!fails.iter().any(|command| parsed.matches(command)), "{pattern} fails {fails:?}");
        }
        for bad in ["", " uptime", "a  b", "a\nb", "a\u{202e}b"] {
            assert!(bad.parse::<CommandPattern>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_forward_goes_where_it_says() {
        let fits = |pattern: &str, host: &str, port: u16| pattern.parse::<ForwardPattern>().expect(pattern).matches(host, port);
        assert!(fits("localhost:5432", "LOCALHOST.", 5432));
        assert!(!fits("localhost:5432", "localhost", 5433));
        assert!(fits("*.db.internal:*", "a.db.internal", 1) && !fits("*.db.internal:*", "db.internal", 1));
        assert!(fits("[::1]:8000-8999", "::1", 8500) && !fits("[::1]:8000-8999", "::1", 9000));
        for bad in ["", "localhost", "localhost:", "localhost:0", "localhost:70000", "a b:1", "Host:1", "[x]:1", "h:9-8", ":1", "h:01"] {
            assert!(bad.parse::<ForwardPattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_value_that_looks_like_a_template_stays_a_value_or_is_none() {
        let traits: Traits = [("team".to_owned(), vec!["shop".into(), "{{admin}}".into(), "a b".into(), String::new()])].into();
        let template: Template = "team:{{team}}".parse().expect("a template");
        assert_eq!(template.expand(&traits), ["team:shop"]);
        for bad in ["", "{{}}", "{{a}}{{b}}", "a}}", "{{a b}}", "a b"] {
            assert!(bad.parse::<Template>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_reason_is_matched_in_linear_time_by_a_small_program() {
        let ticket: ReasonPattern = "[A-Z]+-[0-9]+".parse().expect("a pattern");
        assert!(ticket.is_in("see OPS-12") && !ticket.is_in("no ticket"));
        for bad in ["", "(", "(a{1000}){1000}", &"a".repeat(300)] {
            assert!(bad.parse::<ReasonPattern>().is_err(), "{bad:.20}");
        }
    }
}
