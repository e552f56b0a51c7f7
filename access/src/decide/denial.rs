//! A no: its code, its rule, its sentence and what would have to change. The sentences are written here, and decided elsewhere.

use serde::Serialize;

use crate::event::{AccessRef, Decision};
use crate::identity::Identity;
use crate::policy::{PolicySet, StepUp};

/// A no that a person can act on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{sentence}")]
pub struct Denial {
    /// A stable code: [`Self::ENDED`] and its neighbours.
    pub code: &'static str,
    /// The rule that decided: `role/deny[0]`, or `default` where nothing allowed it.
    pub rule: String,
    /// What is denied and why.
    pub sentence: String,
    /// What would have to change, or what is allowed instead.
    pub hint: String,
    /// Where showing anew who one is would lift it: what the provider would have to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_up: Option<Box<StepUp>>,
}

impl Denial {
    /// The person must show anew, or better, who they are.
    pub const STEP_UP: &'static str = "NARU-P208";
    /// The person has as many logins as a role allows.
    pub const LOGINS: &'static str = "NARU-P209";
    /// The sign-in has ended.
    pub const ENDED: &'static str = "NARU-A104";
    /// The node is allowed, this login is not.
    pub const LOGIN: &'static str = "NARU-P201";
    /// A deny rule.
    pub const DENIED: &'static str = "NARU-P202";
    /// No role reaches such a node, or there is none: the two look alike.
    pub const NODE: &'static str = "NARU-P203";
    /// The login is allowed, this kind of session is not.
    pub const KIND: &'static str = "NARU-P204";
    /// Not an auditor, or not for this.
    pub const AUDIT: &'static str = "NARU-P205";
    /// Not an administrator of this.
    pub const ADMINISTER: &'static str = "NARU-P206";

    /// As an event tells it.
    pub fn access(&self, policy: &PolicySet) -> AccessRef {
        AccessRef { decision: Decision::Deny, rule: self.rule.clone(), policy: policy.digest().to_owned() }
    }

    pub(super) fn signed_out(identity: &Identity) -> Self {
        Self {
            code: Self::ENDED,
            rule: "default".to_owned(),
            sentence: format!("the sign-in of {} has ended", identity.name),
            hint: "Sign in again with `naru login`.".to_owned(),
            step_up: None,
        }
    }

    pub(super) fn by_default(code: &'static str, sentence: String, hint: impl Into<String>) -> Self {
        Self { code, rule: "default".to_owned(), sentence, hint: hint.into(), step_up: None }
    }
}

/// `a`, `a and b`, `a, b and 3 more`: a list for a sentence, cut after five.
pub(super) fn listed(items: &[String]) -> String {
    joined(items, "and")
}

/// `a`, `a or b`, as [`listed`].
pub(super) fn any_of(items: &[String]) -> String {
    joined(items, "or")
}

fn joined(items: &[String], word: &str) -> String {
    let (shown, more) = (items.iter().take(5).cloned().collect::<Vec<_>>(), items.len().saturating_sub(5));
    match (shown.split_last(), more) {
        (None, _) => String::new(),
        (Some((only, [])), _) => only.clone(),
        (Some((last, rest)), 0) => format!("{} {word} {last}", rest.join(", ")),
        (Some(_), more) => format!("{} {word} {more} more", shown.join(", ")),
    }
}
