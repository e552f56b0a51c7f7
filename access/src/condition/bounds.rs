//! How large and deep a condition may be, and the examples that it is tried on. Looks at the text alone.

use crate::identity::{Auth, Context, Identity, LabelValue, Labels, Method, Origin, UserId};
use crate::policy::pattern::is_trait_name;
use crate::time::Timestamp;

use super::MAX_SOURCE;

/// Deepest nesting of brackets.
const DEPTH: usize = 12;
/// Most operators and fields one after the other: each is a level of the expression's tree.
const CHAIN: usize = 120;
/// Macros that go through a list.
const LOOPS: [&str; 5] = ["all(", "exists(", "exists_one(", "map(", "filter("];

/// Refuses what could cost more than a glance.
pub(super) fn check(text: &str) -> Result<(), &'static str> {
    if text.is_empty() || text.len() > MAX_SOURCE || text.chars().any(|c| c.is_control() && c != '\n') {
        return Err("1 to 1024 bytes of CEL without control characters");
    }
    if text.chars().any(is_bidi) {
        return Err("CEL without marks that turn the direction of writing");
    }
    let code = without_strings(text);
    let (mut open, mut loops, mut chain) = (0_usize, Vec::new(), 0_usize);
    let bytes = code.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => {
                open += 1;
                let before = code.get(..=at).unwrap_or_default();
                if LOOPS.iter().any(|word| before.ends_with(word)) {
                    if !loops.is_empty() {
                        return Err("CEL in which no all, exists, map or filter stands inside another");
                    }
                    loops.push(open);
                }
            }
            b')' | b']' | b'}' => {
                if loops.last() == Some(&open) {
                    loops.pop();
                }
                open = open.saturating_sub(1);
            }
            b'.' | b'!' | b'-' | b'+' | b'*' | b'/' | b'%' | b'&' | b'|' | b'=' | b'<' | b'>' | b'?' | b':' | b',' => chain += 1,
            _ => {}
        }
        if open > DEPTH {
            return Err("CEL with brackets at most 12 deep");
        }
    }
    if chain > CHAIN { Err("CEL with at most 120 fields and operators") } else { Ok(()) }
}

/// The names that `all`, `exists`, `map` and `filter` give to what they go through.
pub(super) fn loop_names(text: &str) -> Vec<String> {
    let code = without_strings(text);
    let after = |word: &&str| code.match_indices(*word).map(|(at, word)| at + word.len()).collect::<Vec<_>>();
    let name = |at: usize| {
        let rest = code.get(at..).unwrap_or_default().trim_start();
        rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>()
    };
    LOOPS.iter().flat_map(after).map(name).filter(|name| !name.is_empty()).collect()
}

/// Marks of Unicode's bidirectional algorithm: they show a text as what it is not.
pub fn is_bidi(c: char) -> bool {
    matches!(c, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// The text with the insides of its strings blanked.
fn without_strings(text: &str) -> String {
    let (mut quote, mut escaped) = (None, false);
    let one = |c: char| match quote {
        Some(_) if escaped => {
            escaped = false;
            ' '
        }
        Some(_) if c == '\\' => {
            escaped = true;
            ' '
        }
        Some(end) if c == end => {
            quote = None;
            c
        }
        Some(_) => ' ',
        None => {
            if matches!(c, '\'' | '"') {
                quote = Some(c);
            }
            c
        }
    };
    text.chars().map(one).collect()
}

/// Names after `field.` or in `field["…"]`: what the examples must have, since only they know whether the rest works.
fn named(text: &str, field: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices(field) {
        let rest = text.get(at + field.len()..).unwrap_or_default();
        let name: String = if let Some(rest) = rest.strip_prefix('.') {
            rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
        } else if let Some(rest) = rest.strip_prefix("['").or(rest.strip_prefix("[\"")) {
            rest.chars().take_while(|c| !matches!(c, '\'' | '"')).collect()
        } else {
            continue;
        };
        if is_trait_name(&name) {
            found.push(name);
        }
    }
    found
}

/// Somebody and a node that have every trait and label that the text speaks of, at every hour of a week.
pub(super) fn examples(text: &str) -> Vec<(Identity, Labels, Timestamp)> {
    let traits = named(text, "traits").into_iter().map(|name| (name, vec!["example".to_owned()])).collect();
    let label = || LabelValue { value: "example".into(), origin: Origin::Token };
    let labels: Labels = named(text, "labels").into_iter().map(|name| (name, label())).collect();
    let (Ok(name), Ok(role)) = ("example".parse(), "example".parse()) else { return Vec::new() };
    // Monday, 2024-01-01.
    let monday = 1_704_067_200;
    let identity = Identity {
        user: UserId { issuer: "https://sso.example.com".into(), subject: "example".into() },
        name,
        roles: vec![role],
        traits,
        expires: Timestamp::from_secs(i64::MAX),
        auth: Auth { method: Method::Oidc, time: Some(Timestamp::from_secs(monday)), acr: Some("1".into()), amr: vec!["pwd".into()] },
        context: Context { from: Some(std::net::Ipv4Addr::new(192, 0, 2, 1).into()), reason: Some("OPS-1".into()), ..Context::default() },
        granted: Vec::new(),
    };
    let hours = if text.contains("time") { 7 * 24 } else { 1 };
    (0..hours).map(|hour| (identity.clone(), labels.clone(), Timestamp::from_secs(monday + hour * 3_600))).collect()
}
