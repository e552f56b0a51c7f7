//! A no: its code, its rule, its sentence and what would have to change. The sentences are written here, and decided elsewhere.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::who::Note;
use crate::event::{AccessRef, Decision};
use crate::identity::{Identity, OnlyTarget};
use crate::policy::{PolicySet, StepUp};
use crate::words::{ResourceName, RoleName};

/// A no that a person can act on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{sentence}")]
pub struct Denial {
    /// A stable code: [`Self::ENDED`] and its neighbours.
    pub code: &'static str,
    /// The rule that decided: `role/deny.ssh[0]`, or `default` where nothing allowed it.
    pub rule: String,
    /// What is denied and why.
    pub sentence: String,
    /// What would have to change, or what is allowed instead.
    pub hint: String,
    /// Where showing anew who one is would lift it: what the provider would have to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_up: Option<Box<StepUp>>,
    /// The access request that would lift it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offer: Option<Box<Offer>>,
    /// What is told beside it.
    #[serde(skip)]
    pub notes: Box<[Note]>,
}

/// An access request that would help.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Offer {
    /// For this role.
    pub role: RoleName,
    /// On this target.
    pub only: OnlyTarget,
    /// The rule that decides it.
    pub rule: ResourceName,
    /// Whether it wants a reason.
    pub reason: bool,
    /// How many have to say yes; none where nobody is asked.
    pub approvals: u32,
}

impl Denial {
    /// Not one who decides such requests.
    pub const REVIEW: &'static str = "NARU-P219";
    /// Somebody or something is locked.
    pub const LOCKED: &'static str = "NARU-P211";
    /// A guardrail.
    pub const GUARDRAIL: &'static str = "NARU-P212";
    /// Not from here, or not at this time.
    pub const CLOSED: &'static str = "NARU-P213";
    /// A condition does not hold.
    pub const CONDITION: &'static str = "NARU-P214";
    /// A reason is missing.
    pub const REASON: &'static str = "NARU-P215";
    /// The person has as many sessions as a role allows.
    pub const SESSIONS: &'static str = "NARU-P216";
    /// A cluster is reached, and not for this request.
    pub const KUBERNETES: &'static str = "NARU-P217";
    /// A node is reached, and a forward goes elsewhere than it may.
    pub const FORWARD: &'static str = "NARU-P218";
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
            ..Self::bare()
        }
    }

    /// A no without words, to be filled.
    pub(super) fn bare() -> Self {
        Self {
            code: "",
            rule: String::new(),
            sentence: String::new(),
            hint: String::new(),
            step_up: None,
            offer: None,
            notes: Box::default(),
        }
    }

    /// The same, with what is told beside it.
    pub(super) fn noting(self, notes: Vec<Note>) -> Self {
        Self { notes: notes.into_boxed_slice(), ..self }
    }

    /// Whether only something has to be shown or said for it to be a yes.
    pub(super) fn is_nearly_yes(&self) -> bool {
        matches!(self.code, Self::STEP_UP | Self::REASON)
    }

    pub(super) fn by_default(code: &'static str, sentence: String, hint: impl Into<String>) -> Self {
        Self { code, rule: "default".to_owned(), sentence, hint: hint.into(), ..Self::bare() }
    }

    /// A deny rule, `role/deny.ssh[0]`, hits what is asked for.
    pub(super) fn by_deny(what: &str, rule: String) -> Self {
        let role = rule.split('/').next().unwrap_or_default();
        let sentence = format!("{what} is denied: role {role} denies it by its rule {rule}");
        let hint = "A deny wins over every allow: an administrator would have to change that rule or take the role away.".to_owned();
        Self { code: Self::DENIED, sentence, hint, rule, ..Self::bare() }
    }

    /// A guardrail lets it be by an access request alone, and there is none.
    pub(super) fn by_request_only(what: &str) -> Self {
        let sentence = format!("{what} is reached by an approved access request only: a guardrail says so");
        Self { code: Self::GUARDRAIL, rule: "guardrail".to_owned(), sentence, hint: "Ask for access.".to_owned(), ..Self::bare() }
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
