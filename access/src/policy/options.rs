//! What a role demands of what it allows: recording, limits, when and from where, and how somebody has to have signed in. Shapes only.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::is_default;
use crate::amount::{Period, Size};
use crate::hours::Hours;
use crate::network::Network;

/// What a role demands. `networks` and `hours` say where and when this role gives anything at all; of the rest the strictest of several
/// allowing roles counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RoleOptions {
    /// How sessions are recorded; strictly where a role says nothing. In the settings, at least how.
    #[serde(skip_serializing_if = "is_default")]
    pub recording: Option<RecordingMode>,
    /// Whether what is typed is kept, not only its hash.
    #[serde(skip_serializing_if = "is_default")]
    pub record_input: bool,
    /// How long a session may last.
    #[serde(skip_serializing_if = "is_default")]
    pub max_session: Option<Period>,
    /// By how much altogether the person may extend that; not at all where absent.
    #[serde(skip_serializing_if = "is_default")]
    pub extend: Option<Period>,
    /// How long it may be idle.
    #[serde(skip_serializing_if = "is_default")]
    pub idle: Option<Period>,
    /// How many sessions a person may have at once.
    #[serde(skip_serializing_if = "is_default")]
    pub max_sessions: Option<u32>,
    /// What the person is shown first; at most 500 characters.
    #[serde(skip_serializing_if = "is_default")]
    pub notice: Option<String>,
    /// How much of one stream is kept; what is cut is marked.
    #[serde(skip_serializing_if = "is_default")]
    pub max_output: Option<Size>,
    /// How freshly and strongly the person must have shown who they are, before a session begins.
    #[serde(skip_serializing_if = "is_default")]
    pub step_up: Option<StepUp>,
    /// Whether a session needs a reason, in the person's own words.
    #[serde(skip_serializing_if = "is_default")]
    pub reason: bool,
    /// Networks from which this role gives anything; empty means from all.
    #[serde(skip_serializing_if = "is_default")]
    pub networks: Vec<Network>,
    /// Hours in which this role gives anything; empty means at all times.
    #[serde(skip_serializing_if = "is_default")]
    pub hours: Vec<Hours>,
    /// How many logins a person may have at once; no limit where absent.
    #[serde(skip_serializing_if = "is_default")]
    pub max_logins: Option<u32>,
    /// What happens to one login too many.
    #[serde(skip_serializing_if = "is_default")]
    pub when_full: WhenFull,
}

/// What the provider must have said of a login. All that is there must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StepUp {
    /// One of these context classes (`acr`).
    #[serde(skip_serializing_if = "is_default")]
    pub acr: Vec<String>,
    /// All of these methods (`amr`).
    #[serde(skip_serializing_if = "is_default")]
    pub amr: Vec<String>,
    /// The person showed who they are at most so long ago.
    #[serde(skip_serializing_if = "is_default")]
    pub max_age: Option<Period>,
}

/// What happens to one login too many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// The oldest one ends.
    #[default]
    OldestOut,
    /// The new one is refused.
    NewestRefused,
}

impl WhenFull {
    /// Both.
    pub const ALL: [Self; 2] = [Self::OldestOut, Self::NewestRefused];

    /// As written in policies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OldestOut => "oldest_out",
            Self::NewestRefused => "newest_refused",
        }
    }
}

/// How sessions are recorded; ordered from loose to strict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordingMode {
    /// Not at all.
    Off,
    /// As far as it goes: a gap is marked and announced.
    BestEffort,
    /// A session that cannot be recorded stops.
    #[default]
    Strict,
}

impl RecordingMode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Strict, Self::BestEffort, Self::Off];

    /// As written in policies and events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::BestEffort => "best_effort",
            Self::Off => "off",
        }
    }
}
