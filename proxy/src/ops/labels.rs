//! What may stand in a label: closed lists, and nothing that a person, a host or an address is called. A new label is a list here.

use std::any::TypeId;
use std::fmt;
use std::hash::Hash;
use std::sync::LazyLock;

use access::decide::{Administer, Audit, OpenSession};
use access::event::{SessionKind, What};
use prometheus_client::encoding::{EncodeLabel as _, EncodeLabelSet, LabelSetEncoder};

/// A word of a closed list. INVARIANT: it borrows from the program itself, so that nothing that somebody sent can be one.
pub(crate) trait Word: Copy + Eq + Hash + fmt::Debug + Send + Sync + 'static {
    /// The label's name.
    const KEY: &'static str;
    /// The word.
    fn word(self) -> &'static str;
    /// Every word there is.
    fn all() -> Vec<Self>;
}

/// One label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct One<A>(pub(super) A);

/// Two of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Two<A, B>(pub(super) A, pub(super) B);

impl<A: Word> EncodeLabelSet for One<A> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        (A::KEY, self.0.word()).encode(encoder.encode_label())
    }
}

impl<A: Word, B: Word> EncodeLabelSet for Two<A, B> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        (A::KEY, self.0.word()).encode(encoder.encode_label())?;
        (B::KEY, self.1.word()).encode(encoder.encode_label())
    }
}

/// For what is in no list: a reason of a later version, say.
const OTHER: &str = "other";

macro_rules! words {
    ($(#[doc = $doc:literal] $name:ident, $key:literal: $($word:literal)*;)*) => {$(
        #[doc = $doc]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) struct $name(&'static str);
        impl $name {
            const WORDS: &'static [&'static str] = &[$($word,)* OTHER];
            /// The word, or `other`.
            pub(crate) fn of(text: &str) -> Self {
                Self(Self::WORDS.iter().find(|word| **word == text).unwrap_or(&OTHER))
            }
        }
        impl Word for $name {
            const KEY: &'static str = $key;
            fn word(self) -> &'static str { self.0 }
            fn all() -> Vec<Self> { Self::WORDS.iter().map(|word| Self(word)).collect() }
        }
    )*};
}

words! {
    #[doc = "Why a session ended."]
    Reason, "reason": "exit" "signal" "failed" "client_left" "denied" "recording_failed" "target_lost" "target_unreachable" "limit" "idle"
        "signed_out" "killed" "proxy_stopped" "proxy_lost" "view_stale" "locked";
    #[doc = "How a sign-in was made."]
    Method, "method": "link" "oidc" "bot" "break_glass";
    #[doc = "Whose certificate."]
    Holder, "holder": "user" "agent";
    #[doc = "What a connection speaks."]
    Speaks, "protocol": "ssh" "https" "agent";
    #[doc = "What was decided about."]
    Asked, "question": "session" "audit" "administer";
    #[doc = "What was decided."]
    Decided, "result": "allowed" "denied";
}

impl Asked {
    /// By the type of the question.
    pub(super) fn of_type<Q: 'static>() -> Self {
        let asked = TypeId::of::<Q>();
        let known =
            [(TypeId::of::<OpenSession>(), "session"), (TypeId::of::<Audit>(), "audit"), (TypeId::of::<Administer>(), "administer")];
        Self::of(known.iter().find(|(id, _)| *id == asked).map_or(OTHER, |(_, word)| word))
    }
}

/// What kind of session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Kind(&'static str);

impl Kind {
    pub(crate) fn of(kind: SessionKind) -> Self {
        Self(kind.as_str())
    }
}

impl Word for Kind {
    const KEY: &'static str = "kind";
    fn word(self) -> &'static str {
        self.0
    }
    fn all() -> Vec<Self> {
        SessionKind::ALL.map(Self::of).to_vec()
    }
}

/// The type of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Type(&'static str);

impl Type {
    /// The type that this says.
    pub(crate) fn of(text: &str) -> Self {
        Self(What::TYPES.into_iter().find(|kind| *kind == text).unwrap_or(OTHER))
    }
}

impl Word for Type {
    const KEY: &'static str = "type";
    fn word(self) -> &'static str {
        self.0
    }
    fn all() -> Vec<Self> {
        What::TYPES.into_iter().map(Self).collect()
    }
}

/// The code of a refusal. The list is the page on which people look codes up, which a law keeps whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Code(&'static str);

static CODES: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let rows = include_str!("../../../docs/codes.md").lines().filter_map(|line| line.strip_prefix("| NARU-"));
    let code = |row: &'static str| row.split(" |").next().filter(|code| code.len() == 4);
    rows.filter_map(code).collect()
});

impl Code {
    /// The code that this says, or `other`.
    pub(crate) fn of(text: &str) -> Self {
        let short = text.strip_prefix("NARU-").unwrap_or_default();
        Self(CODES.iter().find(|code| **code == short).unwrap_or(&OTHER))
    }
}

impl Word for Code {
    const KEY: &'static str = "code";
    fn word(self) -> &'static str {
        self.0
    }
    // Most codes are of other programs: a series begins with its first refusal.
    fn all() -> Vec<Self> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_no_list_is_other() {
        for hostile in ["", "alice", "NARU-P201\n", "NARU-Z999", "10.0.0.1", "session.start\"} 1"] {
            let words = [Reason::of(hostile).word(), Method::of(hostile).word(), Type::of(hostile).word(), Code::of(hostile).word()];
            assert_eq!(words, [OTHER; 4], "{hostile:?}");
        }
        assert_eq!((Reason::of("killed").word(), Code::of("NARU-P201").word()), ("killed", "P201"));
        assert_eq!(Asked::of_type::<OpenSession>().word(), "session");
        assert_eq!(Asked::of_type::<u8>().word(), OTHER);
        assert!(CODES.len() > 60, "the page was read");
    }

    #[test]
    fn every_reason_that_ends_a_session_is_a_word() {
        let sources = [
            include_str!("../session/ended.rs"),
            include_str!("../session/run.rs"),
            include_str!("../build.rs"),
            include_str!("../api/nodes.rs"),
            include_str!("../api/sessions.rs"),
            include_str!("../api/sign_in.rs"),
            include_str!("../oidc/ends.rs"),
            include_str!("../freshness.rs"),
        ];
        let said = |text: &'static str, before: &str| -> Vec<&'static str> {
            text.split(before).skip(1).filter_map(|rest| rest.split('"').next()).collect()
        };
        let all: Vec<&str> = sources.iter().flat_map(|text| [said(text, "reason: \""), said(text, "because(\"")].concat()).collect();
        assert!(all.len() > 10, "they were found");
        for reason in all {
            assert_eq!(Reason::of(reason).word(), reason);
        }
    }
}
