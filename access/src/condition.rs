//! Conditions of rules, written in CEL: compiled when a policy is read, tried on examples before it holds, bounded in size and depth.
//! What goes wrong while one is looked at is an answer of its own; what that means is for `decide` to say.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use cel::objects::{Key, Map};
use cel::{Context, Env, Program, Value};
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::hours::parts;
use crate::identity::{Identity, Labels};
use crate::time::Timestamp;
use crate::words::{BadName, as_text, cut};

mod bounds;

pub use bounds::is_bidi;

/// Longest source, in bytes.
pub const MAX_SOURCE: usize = 1024;

/// What a condition may speak of.
const VARIABLES: [&str; 5] = ["user", "target", "request", "time", "network"];

static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// A CEL expression that answers true or false over [`Facts`].
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("maxLength" = MAX_SOURCE))]
pub struct Condition {
    source: String,
    program: Arc<Program>,
    speaks_of: BTreeSet<&'static str>,
}

/// What a condition is asked about.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Who asks, from where, with what reason.
    pub identity: &'a Identity,
    /// What it is about; none for what has no target.
    pub target: Option<TargetFacts<'a>>,
    /// `ssh`, `kubernetes`, `review`, `audit`, `administer`, and what of it.
    pub kind: &'a str,
    /// The command of an `exec`.
    pub command: Option<&'a str>,
    /// When.
    pub now: Timestamp,
}

/// A target, for a condition.
#[derive(Debug, Clone, Copy)]
pub struct TargetFacts<'a> {
    /// `node` or `cluster`.
    pub kind: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its labels; what only an agent says of itself is left out by who makes this.
    pub labels: &'a Labels,
    /// The login there, or empty.
    pub login: &'a str,
}

impl Condition {
    /// Whether its answer can change with nothing but the time.
    pub fn depends_on_time(&self) -> bool {
        self.speaks_of("time")
    }

    /// Whether it looks at `user`, `target`, `request`, `time` or `network`.
    pub fn speaks_of(&self, name: &str) -> bool {
        self.speaks_of.contains(name)
    }

    /// Looks at the facts.
    ///
    /// # Errors
    /// Why there is no answer: a field that is not there, a comparison of different types, an answer that is not true or false.
    pub fn holds(&self, facts: &Facts<'_>) -> Result<bool, String> {
        let mut context = Context::with_env(ENV.clone());
        for name in &self.speaks_of {
            context.add_variable_from_value(*name, variable(name, facts));
        }
        match self.program.execute(&context) {
            Ok(Value::Bool(answer)) => Ok(answer),
            Ok(other) => Err(format!("it answers {} and not true or false", other.type_of())),
            Err(error) => Err(cut(&error.to_string())),
        }
    }

    /// Tries it on examples, so that a field that does not exist and a comparison that cannot work are told when it is written.
    ///
    /// # Errors
    /// What goes wrong on an example that has everything, or that it says nothing about the request at all.
    pub fn try_on_examples(&self) -> Result<(), String> {
        if self.speaks_of.is_empty() {
            return Err("it speaks of none of user, target, request, time and network, so it is always the same".into());
        }
        let mut answers = BTreeSet::new();
        for (identity, labels, now) in bounds::examples(&self.source) {
            let target = TargetFacts { kind: "node", name: "db-1", labels: &labels, login: "ubuntu" };
            let facts = Facts { identity: &identity, target: Some(target), kind: "shell", command: Some("uptime"), now };
            answers.insert(self.holds(&facts)?);
        }
        let only_time = self.speaks_of.iter().all(|name| *name == "time");
        if only_time && !answers.contains(&true) { Err("it is true at no hour of any day of the week".into()) } else { Ok(()) }
    }
}

/// Where a text stops being CEL, in bytes, and what is wrong there; none where its spelling is good, or where its size or depth is what
/// is wrong. Only a better answer to a text that is no [`Condition`].
pub fn misspelt(text: &str) -> Option<(usize, String)> {
    bounds::check(text).ok()?;
    let errors = Program::compile(text).err()?.errors;
    let first = errors.iter().min_by_key(|error| error.pos)?;
    let (line, column) = (usize::try_from(first.pos.0).ok()?, usize::try_from(first.pos.1).ok()?);
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let rest = text.get(start..).unwrap_or_default();
    let within = rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |(at, _)| at);
    Some((start + within, cut(first.msg.trim_start_matches("Syntax error: "))))
}

fn variable(name: &str, facts: &Facts<'_>) -> Value {
    let Facts { identity, target, kind, command, now } = facts;
    let text = |text: &str| Value::from(text.to_owned());
    match name {
        "user" => object([
            ("name", text(identity.name.as_str())),
            ("issuer", text(&identity.user.issuer)),
            ("roles", list(identity.roles.iter().map(|role| role.as_str()))),
            ("traits", texts(&identity.traits, |values| list(values.iter().map(String::as_str)))),
            ("method", text(identity.auth.method.as_str())),
            ("acr", text(identity.auth.acr.as_deref().unwrap_or_default())),
            ("amr", list(identity.auth.amr.iter().map(String::as_str))),
        ]),
        "target" => object([
            ("kind", text(target.map_or("", |target| target.kind))),
            ("name", text(target.map_or("", |target| target.name))),
            ("login", text(target.map_or("", |target| target.login))),
            ("labels", target.map_or_else(|| object([]), |target| texts(target.labels, |label| text(&label.value)))),
        ]),
        "request" => object([
            ("kind", text(kind)),
            ("command", text(command.unwrap_or_default())),
            ("reason", text(identity.context.reason.as_deref().unwrap_or_default())),
            ("approved", Value::from(identity.granted.iter().any(|grant| grant.until > *now))),
        ]),
        "time" => {
            let (day, hour, minute) = parts(*now, &TimeZone::UTC)
                .map_or((0, 0, 0), |(day, hour, minute)| (i64::from(day.to_monday_one_offset()), i64::from(hour), i64::from(minute)));
            object([
                ("weekday", Value::from(day)),
                ("hour", Value::from(hour)),
                ("minute", Value::from(minute)),
                ("unix", Value::from(now.as_secs())),
            ])
        }
        _ => {
            let address = identity.context.from.as_ref().map(IpAddr::to_canonical);
            object([("address", text(&address.map(|address| address.to_string()).unwrap_or_default()))])
        }
    }
}

fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let map: HashMap<Key, Value> = fields.into_iter().map(|(name, value)| (Key::from(name), value)).collect();
    Value::Map(Map { map: Arc::new(map) })
}

fn texts<T>(map: &BTreeMap<String, T>, value: impl Fn(&T) -> Value) -> Value {
    let map: HashMap<Key, Value> = map.iter().map(|(name, one)| (Key::from(name.as_str()), value(one))).collect();
    Value::Map(Map { map: Arc::new(map) })
}

fn list<'a>(items: impl Iterator<Item = &'a str>) -> Value {
    Value::List(Arc::new(items.map(|item| Value::from(item.to_owned())).collect()))
}

impl FromStr for Condition {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let bad = |rule| BadName { kind: "condition", rule, text: cut(text) };
        bounds::check(text).map_err(bad)?;
        let program = Program::compile(text).map_err(|_| bad("an expression in CEL, such as 'oncall' in user.traits.groups"))?;
        let references = program.references();
        let loops = bounds::loop_names(text);
        // What a macro makes for itself begins with @.
        let known = |name: &&str| VARIABLES.contains(name) || name.starts_with('@') || loops.iter().any(|own| own == name);
        if !references.variables().iter().all(known) {
            return Err(bad("an expression that speaks of user, target, request, time and network alone"));
        }
        if loops.iter().any(|name| VARIABLES.contains(&name.as_str())) {
            return Err(bad("an expression in which all, exists, map and filter use names of their own"));
        }
        let speaks_of = VARIABLES.into_iter().filter(|name| references.has_variable(name)).collect();
        Ok(Self { source: text.to_owned(), program: Arc::new(program), speaks_of })
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Condition({:?})", self.source)
    }
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}
impl Eq for Condition {}

as_text!(Condition);

#[cfg(test)]
mod tests;
