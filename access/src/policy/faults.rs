//! Everything that parses in a resource and still must not be declared, each with its place and what to write instead. What only shows
//! beside other resources is in `whole`; connectors and bots have a file of their own.

use crate::policy::pattern::is_trait_name;
use crate::policy::{KubeRule, LoginPattern, Pattern, Resource, Rights, RoleOptions, RoleSpec, Selector, SshRule, WhenFull};

mod declared;

/// Longest notice and description, in characters.
const TEXT: usize = 500;
/// Most rules, patterns or words in one list.
pub(super) const ITEMS: usize = 256;

/// Something wrong in a resource, by its place in its spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecFault {
    /// Where: `allow.ssh[0].logins[1]`; the empty path is the resource itself.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub remedy: String,
}

impl Resource {
    /// Everything that is wrong in it alone. Empty means good.
    pub fn faults(&self) -> Vec<SpecFault> {
        match self {
            Self::Role { spec, .. } => spec.faults(),
            Self::OidcConnector { spec, .. } => spec.faults(),
            Self::Bot { spec, .. } => spec.faults(),
            other => declared::faults(other),
        }
    }
}

/// Collects faults.
#[derive(Debug, Default)]
pub(super) struct Found(Vec<SpecFault>);

impl Found {
    pub(super) fn add(&mut self, path: impl Into<String>, message: impl Into<String>, remedy: impl Into<String>) {
        self.0.push(SpecFault { path: path.into(), message: message.into(), remedy: remedy.into() });
    }

    pub(super) fn few(&mut self, path: &str, count: usize) {
        if count > ITEMS {
            self.add(path, format!("{count} items are more than {ITEMS}"), "split it into several resources");
        }
    }

    /// A text for people: a sentence or two without what steers a terminal.
    pub(super) fn prose(&mut self, path: &str, text: &str) {
        if text.chars().count() > TEXT {
            self.add(path, "this text is longer than 500 characters", "shorten it, and link to the rest");
        }
        if text.chars().any(|c| c.is_control() && c != '\n' || crate::condition::is_bidi(c)) {
            self.add(path, "this text has control characters or marks of direction", "write it without them");
        }
    }

    /// Labels that a rule fits; `hole` says what an empty one would be, where it must not be.
    pub(super) fn selector(&mut self, path: &str, labels: &Selector, hole: Option<&str>) {
        self.few(path, labels.len());
        for (key, patterns) in labels {
            let place = format!("{path}.{key}");
            self.few(&place, patterns.len());
            if key == "*" && !patterns.iter().all(Pattern::is_any) {
                self.add(place, "the key * goes only with the pattern *", "name the label's key");
            } else if !is_key(key) {
                self.add(place, "a label's key has 1 to 128 bytes without control characters", "write the key as the node shows it");
            }
        }
        if let Some(hole) = hole
            && (labels.is_empty() || labels.values().any(Vec::is_empty))
        {
            self.add(path.rsplit_once('.').map_or(path, |(rule, _)| rule), hole, "write labels: {\"*\": [\"*\"]} for every target");
        }
    }
}

/// Whether a label can have this key.
pub(super) fn is_key(key: &str) -> bool {
    (1..=128).contains(&key.len()) && !key.chars().any(|c| c.is_control() || crate::condition::is_bidi(c))
}

impl RoleSpec {
    /// Everything that parses and still must not stand in a policy. Empty means good.
    pub fn faults(&self) -> Vec<SpecFault> {
        let mut found = Found::default();
        found.prose("description", &self.description);
        rights(&mut found, "allow", &self.allow, false);
        rights(&mut found, "deny", &self.deny, true);
        found.few("may_request", self.may_request.len());
        options(&mut found, "options", &self.options);
        found.0
    }
}

fn rights(found: &mut Found, side: &str, rights: &Rights, deny: bool) {
    found.few(&format!("{side}.ssh"), rights.ssh.len());
    found.few(&format!("{side}.kubernetes"), rights.kubernetes.len());
    found.few(&format!("{side}.audit"), rights.audit.len());
    for (i, rule) in rights.ssh.iter().enumerate() {
        ssh(found, &format!("{side}.ssh[{i}]"), rule, deny);
    }
    for (i, rule) in rights.kubernetes.iter().enumerate() {
        kubernetes(found, &format!("{side}.kubernetes[{i}]"), rule, deny);
    }
    for (i, rule) in rights.audit.iter().enumerate() {
        let place = format!("{side}.audit[{i}]");
        found.selector(&format!("{place}.labels"), &rule.labels, None);
        if rule.sessions.is_empty() && !rule.events {
            found.add(place, "this rule speaks of nothing", "write sessions: [list, play] or events: true");
        }
    }
    if let Some(condition) = &rights.review.condition {
        tried(found, &format!("{side}.review.where"), condition);
    }
    if rights.review.condition.is_some() && rights.review.roles.is_empty() {
        found.add(format!("{side}.review"), "a condition without roles says nothing", "write roles: [name]");
    }
}

fn tried(found: &mut Found, path: &str, condition: &crate::condition::Condition) {
    if let Err(why) = condition.try_on_examples() {
        let remedy = "use fields of user, target, request, time and network; has(user.traits.x) asks whether a trait is there";
        found.add(path, format!("this condition cannot work: {why}"), remedy);
    }
}

fn ssh(found: &mut Found, place: &str, rule: &SshRule, deny: bool) {
    // A deny that fits nothing is a hole that looks like a wall; an allow that fits nothing is only useless.
    let hole = deny.then_some("this deny rule fits no node, because its labels are empty");
    found.selector(&format!("{place}.labels"), &rule.labels, hole);
    for (list, count) in [("logins", rule.logins.len()), ("commands", rule.commands.len()), ("forwards", rule.forwards.len())] {
        found.few(&format!("{place}.{list}"), count);
    }
    for (i, login) in rule.logins.iter().enumerate() {
        if *login == LoginPattern::Any && !deny {
            let remedy = "name the logins, or take them from a trait as {{logins}}";
            found.add(format!("{place}.logins[{i}]"), "an allow rule cannot allow every login", remedy);
        }
    }
    if deny && rule.logins.is_empty() {
        found.add(place, "this deny rule denies no login", "write logins: [\"*\"] for every login");
    }
    use crate::policy::ChannelKind::{Exec, Forward, SftpRead, SftpWrite};
    let names = |kind| rule.kinds.contains(&kind);
    if deny && !rule.commands.is_empty() {
        let message = "a deny of commands would be a hole that looks like a wall: a shell has many spellings of one thing";
        found.add(format!("{place}.commands"), message, "allow the commands that may run instead");
    } else if !rule.commands.is_empty() && rule.kinds != [Exec] {
        let message = "commands are those of exec, and this rule allows more than that";
        found.add(format!("{place}.commands"), message, "write kinds: [exec] beside them");
    }
    if !deny && names(SftpWrite) && !names(SftpRead) {
        found.add(format!("{place}.kinds"), "sftp cannot write without reading", "write sftp_read beside sftp_write");
    }
    if !deny && names(Forward) && rule.forwards.is_empty() {
        found.add(format!("{place}.kinds"), "this rule allows forwards to nowhere", "write forwards: [\"localhost:5432\"]");
    }
    if !rule.forwards.is_empty() && !rule.kinds.is_empty() && !names(Forward) {
        found.add(format!("{place}.forwards"), "forwards stand here, and kinds leaves them out", "write forward among the kinds");
    }
    if let Some(condition) = &rule.condition {
        tried(found, &format!("{place}.where"), condition);
    }
}

fn kubernetes(found: &mut Found, place: &str, rule: &KubeRule, deny: bool) {
    let hole = deny.then_some("this deny rule fits no cluster, because its labels are empty");
    found.selector(&format!("{place}.labels"), &rule.labels, hole);
    let lists = [
        ("groups", rule.groups.len()),
        ("namespaces", rule.namespaces.len()),
        ("api_groups", rule.api_groups.len()),
        ("resources", rule.resources.len()),
        ("names", rule.names.len()),
    ];
    for (list, count) in lists {
        found.few(&format!("{place}.{list}"), count);
    }
    if deny && rule.namespaces.is_empty() {
        found.add(place, "this deny rule denies in no namespace", "write namespaces: [\"*\"] for all of the cluster");
    }
    if deny && (!rule.groups.is_empty() || rule.user.is_some()) {
        found.add(place, "a deny impersonates nobody", "leave out groups and user");
    }
    if let Some(condition) = &rule.condition {
        tried(found, &format!("{place}.where"), condition);
    }
}

/// The faults of what is demanded.
pub(super) fn options(found: &mut Found, place: &str, options: &RoleOptions) {
    if let Some(notice) = &options.notice {
        found.prose(&format!("{place}.notice"), notice);
    }
    for (name, limit) in [("max_session", options.max_session), ("idle", options.idle), ("extend", options.extend)] {
        if limit.is_some_and(|limit| limit.duration().is_zero()) {
            found.add(format!("{place}.{name}"), "a limit of zero ends every session at once", "leave it out for no limit");
        }
    }
    if options.extend.is_some() && options.max_session.is_none() {
        found.add(format!("{place}.extend"), "there is nothing to extend without max_session", "write max_session beside it");
    }
    if options.max_sessions == Some(0) {
        found.add(format!("{place}.max_sessions"), "with a limit of zero nobody could open a session", "leave it out for no limit");
    }
    found.few(&format!("{place}.networks"), options.networks.len());
    found.few(&format!("{place}.hours"), options.hours.len());
    signing_in(found, place, options);
}

fn signing_in(found: &mut Found, place: &str, options: &RoleOptions) {
    let step_up = options.step_up.clone().unwrap_or_default();
    // A provider is asked for levels as one text with spaces between them (OpenID Connect Core section 3.1.2.1).
    let good = |word: &String| !word.is_empty() && word.len() <= 256 && !word.contains(|c: char| c.is_control() || c.is_whitespace());
    for (name, words) in [("acr", &step_up.acr), ("amr", &step_up.amr)] {
        if words.len() > 16 || !words.iter().all(good) {
            let message = "at most 16 words without spaces can be asked of a provider here";
            found.add(format!("{place}.step_up.{name}"), message, "write each as the provider's tokens have it");
        }
    }
    if step_up.max_age.is_some_and(|most| most.duration().is_zero()) {
        found.add(format!("{place}.step_up.max_age"), "nobody can have signed in at most 0s ago", "write for example 15m");
    }
    if options.max_logins == Some(0) {
        found.add(format!("{place}.max_logins"), "with a limit of zero nobody could sign in", "leave it out for no limit");
    }
    if options.max_logins.is_none() && options.when_full != WhenFull::default() {
        found.add(format!("{place}.when_full"), "when_full says nothing without max_logins", "write max_logins beside it");
    }
}

/// Whether a trait can be spoken of by this name.
pub(super) fn trait_name(found: &mut Found, path: String, name: &str) {
    if !is_trait_name(name) {
        found.add(path, "a trait's name has 1 to 64 of A-Z a-z 0-9 . _ - : /", "write the name as the connector gives it");
    }
}
