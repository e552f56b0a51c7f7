//! The agent's own file: limits that nothing from outside can widen, and the labels that it gives itself.

use std::collections::BTreeMap;

use access::words::Login;

use crate::faults::{Fault, Source, quoted};
use crate::read::Reader;

/// Sessions at once where the file says nothing.
const MAX_SESSIONS: u32 = 1_000;
/// Most that the file may ask for.
const MOST_SESSIONS: u32 = 100_000;

/// What the agent keeps to, whatever a grant says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentFile {
    /// The only logins; absent means every login but root, an empty list means none.
    pub allow_logins: Option<Vec<Login>>,
    /// Whether root is listed there by name.
    pub allow_root: bool,
    /// Sessions at once.
    pub max_sessions: u32,
    /// Labels on the agent's own word.
    pub labels: BTreeMap<String, String>,
}

impl Default for AgentFile {
    fn default() -> Self {
        Self { allow_logins: None, allow_root: false, max_sessions: MAX_SESSIONS, labels: BTreeMap::new() }
    }
}

impl AgentFile {
    /// Whether this host lets a session be this login.
    pub fn allows(&self, login: &Login) -> bool {
        match &self.allow_logins {
            _ if login.as_str() == "root" => self.allow_root,
            Some(only) => only.contains(login),
            None => true,
        }
    }
}

/// Reads the agent's file. An empty text is the default.
///
/// # Errors
/// Every fault in the order of the text.
pub fn agent(file: &str, text: &str) -> Result<AgentFile, Vec<Fault>> {
    let source = Source::new(file, text);
    let (mut read, tree) = Reader::one(&source);
    let fields = read.fields(&tree, "the agent's file", &["allow_logins", "max_sessions", "labels"]);
    let mut meant = AgentFile::default();
    if let Some(node) = fields.get("allow_logins") {
        let remedy = "write a login such as ubuntu; templates belong in roles";
        let logins: Vec<Login> = read.list(node, "allow_logins").iter().filter_map(|item| read.parse(item, "a login", remedy)).collect();
        meant.allow_root = logins.iter().any(|login| login.as_str() == "root");
        meant.allow_logins = Some(logins);
    }
    if let Some(node) = fields.get("max_sessions") {
        meant.max_sessions = read.count(node, "max_sessions", MOST_SESSIONS).unwrap_or(MAX_SESSIONS);
    }
    if let Some(node) = fields.get("labels") {
        for entry in read.map(node, "labels") {
            if entry.key.is_empty() || entry.key.len() > 128 || entry.key == "*" || entry.key.chars().any(char::is_control) {
                let message = format!("{} cannot be a label's key", quoted(&entry.key));
                read.fault(&entry.at, message, "use 1 to 128 bytes without control characters, and not *");
            }
            if let Some(value) = read.text(&entry.value, "a label's value") {
                if value.len() > 256 || value.chars().any(char::is_control) {
                    read.fault(&entry.value.at, "a label's value has at most 256 bytes without control characters", "shorten it");
                }
                meant.labels.insert(entry.key.clone(), value.to_owned());
            }
        }
    }
    read.end(meant)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(text: &str) -> Login {
        text.parse().expect("a login")
    }

    #[test]
    fn root_is_allowed_only_by_name() {
        let none = agent("a.yaml", "").expect("no faults");
        assert_eq!(none, AgentFile::default());
        assert!(none.allows(&login("kim")) && !none.allows(&login("root")));
        let listed = agent("a.yaml", "allow_logins: [root, kim]\nmax_sessions: 5\nlabels: {env: prod}\n").expect("no faults");
        assert!(listed.allows(&login("root")) && listed.allows(&login("kim")) && !listed.allows(&login("ubuntu")));
        assert_eq!((listed.max_sessions, listed.labels["env"].as_str()), (5, "prod"));
        let closed = agent("a.yaml", "allow_logins: []\n").expect("no faults");
        assert!(!closed.allows(&login("kim")));
    }

    #[test]
    fn all_faults_come_at_once() {
        let text = "allow_logins: [\"{{logins}}\", \"-x\"]\nallow_root: true\nmax_sessions: 0\nlabels: {\"*\": x, on: no}\n---\n{}\n";
        let faults = agent("a.yaml", text).expect_err("faults");
        let places: Vec<(usize, usize)> = faults.iter().map(|fault| (fault.line, fault.column)).collect();
        assert_eq!(places, [(1, 16), (1, 30), (2, 1), (3, 15), (4, 10), (4, 22), (6, 1)]);
    }
}
