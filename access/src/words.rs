//! The names that everything else speaks in: newtypes that parse or refuse. No behaviour beyond parsing and printing.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Why a text is not a name of the kind that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {kind}: {rule}")]
pub struct BadName {
    /// What was wanted, in DESIGN's words.
    pub kind: &'static str,
    /// The grammar, in words.
    pub rule: &'static str,
    /// What was given, cut to 80 characters.
    pub text: String,
}

/// The start of a text that is to be shown in a refusal.
pub(crate) fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

/// What somebody else made up, for a sentence of ours: in quotes, cut to 80 characters, with what steers a terminal escaped.
pub(crate) fn shown(text: &str) -> String {
    format!("{:?}", cut(text))
}

/// Read from and written as its text wherever it is a string.
macro_rules! as_text {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = BadName;
            fn try_from(text: String) -> Result<Self, BadName> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    };
}
pub(crate) use as_text;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $rule:literal, $valid:path, $pattern:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(extend("pattern" = $pattern))]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = BadName;
            fn from_str(text: &str) -> Result<Self, BadName> {
                if $valid(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(BadName { kind: $kind, rule: $rule, text: cut(text) })
                }
            }
        }

        as_text!($name);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// The account on a target host. Grammar of Debian's adduser; no leading `-`, so that it is never an option.
    Login, "login", "1 to 32 of a-z 0-9 _ . -, beginning with a letter or _", is_login,
    "^[a-z_][a-z0-9_.-]{0,31}$"
);
name!(
    /// The name of an SSH target: one DNS label in lower case.
    NodeName, "node name", "1 to 63 of a-z 0-9 -, neither beginning nor ending with -", is_dns_label,
    "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
);
name!(
    /// The unique handle of a person. The identity itself is [`crate::identity::UserId`].
    UserName, "user name", "1 to 64 of a-z 0-9 . _ @ + -, beginning with a letter or digit", is_handle,
    "^[a-z0-9][a-z0-9._@+-]{0,63}$"
);
name!(
    /// The name of a role.
    RoleName, "role name", "1 to 64 of a-z 0-9 . _ -, beginning with a letter or digit", is_plain_handle,
    "^[a-z0-9][a-z0-9._-]{0,63}$"
);
name!(
    /// The name of an identity provider's connector.
    ConnectorName, "connector name", "1 to 64 of a-z 0-9 . _ -, beginning with a letter or digit", is_plain_handle,
    "^[a-z0-9][a-z0-9._-]{0,63}$"
);
name!(
    /// The name of a declared thing that has no kind of name of its own: a cluster, a guardrail, a lock …
    ResourceName, "name", "1 to 64 of a-z 0-9 . _ -, beginning with a letter or digit", is_plain_handle,
    "^[a-z0-9][a-z0-9._-]{0,63}$"
);
name!(
    /// An access request: short enough to be said and typed.
    RequestId, "request id", "8 of 2-9 a-z without i, l and o", is_request_id,
    "^[2-9a-hjkmnp-z]{8}$"
);
name!(
    /// The identity of an agent: fixed when it joins, in its certificate.
    AgentId, "agent id", "1 to 64 of a-z 0-9 . _ -, beginning with a letter or digit", is_plain_handle,
    "^[a-z0-9][a-z0-9._-]{0,63}$"
);
name!(
    /// The identity of an install, made with its state directory.
    InstallId, "install id", "1 to 64 of a-z 0-9 . _ -, beginning with a letter or digit", is_plain_handle,
    "^[a-z0-9][a-z0-9._-]{0,63}$"
);

fn is_login(text: &str) -> bool {
    let mut bytes = text.bytes();
    (1..=32).contains(&text.len())
        && bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_')
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'-'))
}

fn is_dns_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_handle(text: &str) -> bool {
    handle_of(text, |b| matches!(b, b'.' | b'_' | b'@' | b'+' | b'-'))
}

fn is_plain_handle(text: &str) -> bool {
    handle_of(text, |b| matches!(b, b'.' | b'_' | b'-'))
}

fn handle_of(text: &str, also: impl Fn(u8) -> bool) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let mut bytes = text.bytes();
    (1..=64).contains(&text.len()) && bytes.next().is_some_and(plain) && bytes.all(|b| plain(b) || also(b))
}

/// Letters and digits of a [`RequestId`]: none that is taken for another.
pub const REQUEST_ALPHABET: &[u8; 31] = b"23456789abcdefghjkmnpqrstuvwxyz";

fn is_request_id(text: &str) -> bool {
    text.len() == 8 && text.bytes().all(|b| REQUEST_ALPHABET.contains(&b))
}

// Made by the proxy; this crate has no clock and no randomness.
/// One session: a UUIDv7, so that ids sort by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(with = "String", extend("format" = "uuid", "pattern" = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"))]
pub struct SessionId(Uuid);

impl SessionId {
    /// Takes an id that was made elsewhere.
    pub fn new(id: Uuid) -> Self {
        Self(id)
    }
    /// The 16 bytes, big endian (RFC 9562).
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
    /// From the 16 bytes of [`Self::as_bytes`].
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for SessionId {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let bad = || BadName { kind: "session id", rule: "a UUID in lower case", text: text.chars().take(80).collect() };
        let id = Uuid::try_parse(text).map_err(|_| bad())?;
        // One spelling only: the id is also a folder's name.
        if id.hyphenated().to_string() == text { Ok(Self(id)) } else { Err(bad()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_or_refuse() {
        for good in ["root", "_apt", "a.b-c", &"a".repeat(32)] {
            assert!(good.parse::<Login>().is_ok(), "{good}");
        }
        for bad in ["", "-oProxyCommand=x", "root;id", "../x", "a\nb", "a\0", "$(id)", "%u", "Root", "한", &"a".repeat(33)] {
            assert!(bad.parse::<Login>().is_err(), "{bad:?}");
        }
        for bad in ["", "-a", "a-", "a.b", "A", "a_b", &"a".repeat(64)] {
            assert!(bad.parse::<NodeName>().is_err(), "{bad:?}");
        }
        assert!("kim@corp.example".parse::<UserName>().is_ok());
        assert!("kim corp".parse::<UserName>().is_err());
    }

    #[test]
    fn a_session_id_has_one_spelling() {
        let text = "01933b6c-8b3e-7000-8000-000000000001";
        assert_eq!(text.parse::<SessionId>().map(|id| id.to_string()), Ok(text.to_owned()));
        assert!(text.to_uppercase().parse::<SessionId>().is_err());
        assert!(text.replace('-', "").parse::<SessionId>().is_err());
    }
}
