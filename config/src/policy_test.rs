//! Tables of who may do what, as YAML for CI: `tests:` with one entry for each thing that must be so. Read here with every fault at once;
//! `run` asks `access` what is so. Nothing here decides, and nothing here knows what time it is.

use std::collections::BTreeMap;
use std::net::IpAddr;

use access::identity::Traits;
use access::time::Timestamp;
use access::words::{RoleName, UserName};

use crate::faults::{Fault, Source};
use crate::read::{Fields, Reader};
use crate::tree::{Node, Value};

mod asked;
mod run;
mod world;

pub use asked::{Asked, KubeAsked};
pub use run::{Outcome, Targets, run};
pub use world::World;

/// Most tests of one file.
const MOST: usize = 10_000;

/// One line of the table: who asks what, when and from where, and what must come of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyTest {
    /// What it is about.
    pub name: String,
    /// Who asks.
    pub who: Who,
    /// What.
    pub asked: Asked,
    /// Labels of the target; without them it must be one that is known.
    pub labels: Option<BTreeMap<String, String>>,
    /// When; whenever the test runs where absent.
    pub at: Option<Timestamp>,
    /// From which address.
    pub from: Option<IpAddr>,
    /// With what reason.
    pub reason: Option<String>,
    /// What must come of it.
    pub expect: Expect,
    /// The rule that must decide: `developer/allow.ssh[0]`; any where absent.
    pub rule: Option<String>,
    /// Where it stands in its file, from 1.
    pub line: usize,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// A person or machine that is known.
    User(UserName),
    /// Somebody who has just this.
    Made {
        /// The roles.
        roles: Vec<RoleName>,
        /// The traits.
        traits: Traits,
    },
}

/// What comes of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// A yes.
    Allow,
    /// A no that no access request of the person would lift.
    Deny,
    /// A no that an access request would lift.
    Request,
}

impl Expect {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Allow, Self::Deny, Self::Request];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Request => "request",
        }
    }
}

/// Reads the tests of a text.
///
/// # Errors
/// Every fault in the order of the text, at most 100.
pub fn tests(file: &str, text: &str) -> Result<Vec<PolicyTest>, Vec<Fault>> {
    let source = Source::new(file, text);
    let (mut read, whole) = Reader::one(&source);
    let fields = read.fields(&whole, "a file of tests", &["tests"]);
    let nodes = fields.get("tests").map(|node| read.list(node, "tests")).unwrap_or_default();
    if nodes.is_empty() && read.faults.is_empty() {
        read.fault(&whole.at, "this file has no tests", "write tests: and below it - name, as, can and expect");
    }
    if let Some(first) = nodes.get(MOST) {
        read.fault(&first.at, "a file has at most 10000 tests", "split it into several files");
    }
    let all = nodes.iter().take(MOST).filter_map(|node| test(&mut read, node)).collect();
    read.end(all)
}

fn test(read: &mut Reader<'_>, node: &Node) -> Option<PolicyTest> {
    const FIELDS: [&str; 9] = ["name", "as", "can", "target", "at", "from", "reason", "expect", "rule"];
    let fields = read.fields(node, "a test", &FIELDS);
    for name in ["name", "as", "can", "expect"].into_iter().filter(|name| fields.get(name).is_none()) {
        if matches!(node.value, Value::Map(_)) {
            read.fault(&node.at, format!("this test has no {name}"), "a test has name, as, can and expect");
        }
    }
    let expects = Expect::ALL.map(|expect| (expect.as_str(), expect));
    let line = read.source.text.get(..node.at.start).unwrap_or_default().matches('\n').count() + 1;
    let name = text(read, &fields, "name");
    let who = fields.get("as").and_then(|node| who(read, node));
    let asked = fields.get("can").and_then(|node| read.parse(node, "can", asked::EXAMPLES));
    let labels = fields.get("target").map(|node| target(read, node));
    let at = fields.get("at").and_then(|node| moment(read, node));
    let from = fields.get("from").and_then(|node| read.parse(node, "from", "write an address such as 10.1.2.3"));
    let (reason, rule) = (text(read, &fields, "reason"), text(read, &fields, "rule"));
    let expect = fields.get("expect").and_then(|node| read.word(node, "expect", &expects));
    Some(PolicyTest { name: name?, who: who?, asked: asked?, labels, at, from, reason, expect: expect?, rule, line })
}

fn text(read: &mut Reader<'_>, fields: &Fields<'_>, name: &str) -> Option<String> {
    read.text(fields.get(name)?, name).map(str::to_owned)
}

fn moment(read: &mut Reader<'_>, node: &Node) -> Option<Timestamp> {
    let at = read.text(node, "at")?.parse().ok();
    if at.is_none() {
        read.fault(&node.at, "at is no moment", "write for example 2026-11-20T10:00:00Z");
    }
    at
}

fn who(read: &mut Reader<'_>, node: &Node) -> Option<Who> {
    let fields = read.fields(node, "as", &["user", "roles", "traits"]);
    if let Some(user) = fields.get("user") {
        if fields.get("roles").or(fields.get("traits")).is_some() {
            read.fault(&user.at, "a user has roles and traits already", "write user alone, or roles and traits alone");
        }
        return read.parse(user, "user", "write the user's name").map(Who::User);
    }
    if fields.get("roles").is_none() {
        read.fault(&node.at, "as names nobody", "write {user: alice}, or {roles: [developer], traits: {logins: [alice]}}");
        return None;
    }
    let roles = fields.get("roles").map(|node| read.list(node, "roles")).unwrap_or_default();
    let roles = roles.iter().filter_map(|item| read.parse(item, "a role", "write the role's name")).collect();
    let mut traits = Traits::new();
    for entry in fields.get("traits").map(|node| read.map(node, "traits")).unwrap_or_default() {
        let values = read.list(&entry.value, "a trait").iter();
        let values = values.filter_map(|item| read.text(item, "a trait's value").map(str::to_owned)).collect();
        traits.insert(entry.key.clone(), values);
    }
    Some(Who::Made { roles, traits })
}

fn target(read: &mut Reader<'_>, node: &Node) -> BTreeMap<String, String> {
    let fields = read.fields(node, "target", &["labels"]);
    let Some(labels) = fields.get("labels") else {
        read.fault(&node.at, "target says nothing", "write {labels: {env: staging}}, or leave it out for a known target");
        return BTreeMap::new();
    };
    let entries = read.map(labels, "labels").iter();
    entries.filter_map(|entry| Some((entry.key.clone(), read.text(&entry.value, "a label's value")?.to_owned()))).collect()
}
