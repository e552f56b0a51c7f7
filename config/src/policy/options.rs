//! What a role, or the settings, demand of sessions and logins, as people write it.

use access::policy::{RecordingMode, RoleOptions, StepUp, WhenFull};

use super::spec::{Part, Spec};

const FIELDS: [&str; 14] = [
    "recording",
    "record_input",
    "max_session",
    "extend",
    "idle",
    "max_sessions",
    "notice",
    "max_output",
    "step_up",
    "reason",
    "networks",
    "hours",
    "max_logins",
    "when_full",
];

/// The field `options`.
pub(super) fn read(spec: &mut Spec<'_, '_>, part: &Part<'_>) -> RoleOptions {
    let modes = RecordingMode::ALL.map(|mode| (mode.as_str(), mode));
    let when_full = WhenFull::ALL.map(|when| (when.as_str(), when));
    let read = spec.part(part, "options", &FIELDS, |spec, part| RoleOptions {
        recording: spec.word(part, "recording", &modes),
        record_input: spec.flag(part, "record_input"),
        max_session: spec.parse(part, "max_session", "write for example 8h"),
        extend: spec.parse(part, "extend", "write for example 2h"),
        idle: spec.parse(part, "idle", "write for example 30m"),
        max_sessions: spec.count(part, "max_sessions"),
        notice: spec.text(part, "notice"),
        max_output: spec.parse(part, "max_output", "write for example 1GiB"),
        step_up: spec.part(part, "step_up", &["acr", "amr", "max_age"], step_up),
        reason: spec.flag(part, "reason"),
        networks: spec.parses(part, "networks", "write for example 10.0.0.0/8"),
        hours: spec.parses(part, "hours", "write for example mon-fri 09:00-18:00 Asia/Seoul"),
        max_logins: spec.count(part, "max_logins"),
        when_full: spec.word(part, "when_full", &when_full).unwrap_or_default(),
    });
    read.unwrap_or_default()
}

fn step_up(spec: &mut Spec<'_, '_>, part: &Part<'_>) -> StepUp {
    let mut words = |name: &str, what: &str| spec.items(part, name, |spec, node, _| spec.read.text(node, what).map(str::to_owned));
    let (acr, amr) = (words("acr", "a level"), words("amr", "a method"));
    StepUp { acr, amr, max_age: spec.parse(part, "max_age", "write for example 15m") }
}
