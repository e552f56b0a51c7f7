//! The faults of what is declared beside roles and providers.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Found, ITEMS, SpecFault, is_key, options, trait_name, tried};
use crate::amount::Period;
use crate::policy::{AccessRuleSpec, GuardrailSpec, JoinTokenSpec, LockSpec, MessengerSpec, Resource, SETTINGS, Stated, UserSpec};

/// Most machines that one secret lets join.
const USES: u32 = 100_000;
/// Most approvals.
const APPROVALS: u32 = 16;
/// Longest time that can be asked for, and that a request may wait.
const LONGEST: Duration = Duration::from_secs(30 * 86_400);
/// Most bytes of an address.
const URL: usize = 2048;

/// Of a resource that is no role, connector or bot.
pub(super) fn faults(resource: &Resource) -> Vec<SpecFault> {
    let mut found = Found::default();
    match resource {
        Resource::User { spec, .. } => user(&mut found, spec),
        Resource::JoinToken { spec, .. } => join_token(&mut found, spec),
        Resource::Node { spec, .. } => found.prose("description", &spec.description),
        Resource::Cluster { spec, .. } => found.prose("description", &spec.description),
        Resource::Guardrail { spec, .. } => guardrail(&mut found, spec),
        Resource::AccessRule { spec, .. } => access_rule(&mut found, spec),
        Resource::Messenger { spec, .. } | Resource::AuditSink { spec, .. } => messenger(&mut found, spec),
        Resource::Lock { spec, .. } => lock(&mut found, spec),
        Resource::Settings { name, spec } => {
            if name.as_str() != SETTINGS {
                found.add("", format!("there is one settings, and it is called {SETTINGS}"), "write name: settings");
            }
            options(&mut found, "options", &spec.options);
            if spec.options.when_full != Default::default() || spec.options.max_logins.is_some() {
                found.add("options.max_logins", "logins are limited by roles", "write max_logins in a role");
            }
        }
        Resource::Role { .. } | Resource::OidcConnector { .. } | Resource::Bot { .. } => {}
    }
    found.0
}

fn user(found: &mut Found, spec: &UserSpec) {
    found.prose("notes", &spec.notes);
    found.few("roles", spec.roles.len());
    for (name, values) in &spec.traits {
        found.few(&format!("traits.{name}"), values.len());
    }
}

fn period(found: &mut Found, path: &str, period: Option<Period>, most: Duration) {
    if period.is_some_and(|period| period.duration().is_zero() || period.duration() > most) {
        found.add(path, format!("this is more than nothing and at most {}", Period::from_secs(most.as_secs())), "write for example 1h");
    }
}

fn join_token(found: &mut Found, spec: &JoinTokenSpec) {
    if spec.kinds.is_empty() {
        found.add("kinds", "this token lets nothing join", "write kinds: [ssh] or [kubernetes]");
    }
    if spec.names.is_empty() {
        found.add("names", "this token gives no name", "write names: [web-*] for all that begin so, or the one name");
    }
    found.few("names", spec.names.len());
    labels(found, &spec.labels);
    if spec.uses.is_some_and(|uses| uses == 0 || uses > USES) {
        found.add("uses", format!("a secret can be used 1 to {USES} times"), "write a whole number");
    }
    period(found, "ttl", spec.ttl, Period::MAX.duration());
    period(found, "gone_after", spec.gone_after, Period::MAX.duration());
}

/// Labels that something has.
fn labels(found: &mut Found, labels: &BTreeMap<String, String>) {
    found.few("labels", labels.len());
    for (key, value) in labels.iter().take(ITEMS) {
        if !is_key(key) || value.len() > 256 || value.chars().any(|c| c.is_control() || crate::condition::is_bidi(c)) {
            found.add(format!("labels.{key}"), "keys have 1 to 128 bytes and values at most 256, without control characters", "shorten it");
        }
    }
}

impl Stated {
    /// What is wrong in what stands beside the spec; [`Resource::faults`] has the rest. The paths are those of the whole resource.
    pub fn faults_beside(&self) -> Vec<SpecFault> {
        let mut found = Found::default();
        labels(&mut found, &self.labels);
        let words = [("id", self.id.as_deref()), ("managed_by", self.managed_by.as_deref())];
        for (path, word) in words.into_iter().filter_map(|(path, word)| Some((path, word?))) {
            if word.is_empty() || word.len() > 256 || word.chars().any(|c| c.is_control() || crate::condition::is_bidi(c)) {
                found.add(path, format!("{path} has 1 to 256 bytes without control characters and marks of direction"), "leave it out");
            }
        }
        found.0
    }
}

fn guardrail(found: &mut Found, spec: &GuardrailSpec) {
    found.prose("description", &spec.description);
    let reach = &spec.never.reach;
    found.selector("never.reach.labels", &reach.labels, Some("this guardrail holds nowhere, because its labels are empty"));
    for (name, values) in &spec.never.who.traits {
        trait_name(found, format!("never.who.traits.{name}"), name);
        found.few(&format!("never.who.traits.{name}"), values.len());
    }
    let logins = reach.ssh.iter().flat_map(|ssh| &ssh.logins).enumerate();
    for (i, _) in logins.filter(|(_, login)| login.trait_name().is_some()) {
        let message = "a guardrail names logins as they are, since it holds for everybody alike";
        found.add(format!("never.reach.ssh.logins[{i}]"), message, "write the login, or leave logins out for every one");
    }
}

fn access_rule(found: &mut Found, spec: &AccessRuleSpec) {
    found.prose("description", &spec.description);
    if spec.roles.is_empty() {
        found.add("roles", "this rule is for no role", "name the roles that are asked for");
    }
    found.few("roles", spec.roles.len());
    found.few("notify", spec.notify.len());
    if spec.approvals.required.is_some_and(|count| count == 0 || count > APPROVALS) {
        let remedy = "write auto_review for what needs nobody";
        found.add("approvals.required", format!("1 to {APPROVALS} different people can be asked for a yes"), remedy);
    }
    if spec.max_uses == Some(0) {
        found.add("max_uses", "a request that opens no session is of no use", "leave it out for no limit");
    }
    period(found, "max_ttl", spec.max_ttl, LONGEST);
    period(found, "pending", spec.pending, LONGEST);
    if spec.reason.pattern.is_some() && !spec.reason.required {
        found.add("reason.pattern", "a pattern says nothing of a reason that may be left out", "write required: true beside it");
    }
    if let Some(auto) = &spec.auto_review {
        tried(found, "auto_review.when", &auto.when);
    }
}

fn messenger(found: &mut Found, spec: &MessengerSpec) {
    found.few("events", spec.events.len());
    let Some(webhook) = &spec.webhook else {
        return found.add("webhook", "this says not how to reach it", "write webhook: {url: https://…}");
    };
    let http = webhook.url.starts_with("https://") || webhook.url.starts_with("http://");
    let plain = webhook.url.bytes().all(|b| b.is_ascii_graphic());
    if !http || !plain || webhook.url.len() > URL {
        found.add("webhook.url", "this is no http or https address", "write https://host/path");
    }
    if webhook.secret.as_ref().is_some_and(|secret| !secret.reveal().starts_with("whsec_") || secret.reveal().len() > 256) {
        let remedy = "make one with `printf 'whsec_%s' \"$(openssl rand -base64 32)\"`";
        found.add("webhook.secret", "a secret of Standard Webhooks is whsec_ and base64", remedy);
    }
}

fn lock(found: &mut Found, spec: &LockSpec) {
    if spec.target.word().is_none() {
        let remedy = "write target: {user: NAME}, or bot, role, node, cluster, agent, login, certificate, or all: true";
        found.add("target", "a lock has exactly one target", remedy);
    }
    if spec.reason.trim().is_empty() {
        found.add("reason", "a lock needs a reason: who is kept out reads it", "write it in a sentence");
    }
    found.prose("reason", &spec.reason);
    period(found, "for", spec.length, Period::MAX.duration());
    let serial = spec.target.certificate.as_deref();
    if serial.is_some_and(|serial| {
        serial.is_empty() || serial.len() > 40 || !serial.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase())
    }) {
        found.add("target.certificate", "a serial is hex in lower case", "write it as `naru status` or cert.issued has it");
    }
}
