//! What a test asks, in one line as at the prompt: `ssh alice@web-1`, `kube get pods -n shop --cluster seoul`.

use std::str::FromStr;

use access::event::SessionKind;
use access::policy::KubeVerb;
use access::words::{BadName, Login, NodeName, ResourceName};

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// A session on a node.
    Session {
        /// Where.
        node: NodeName,
        /// As whom there.
        login: Login,
        /// Which.
        kind: SessionKind,
        /// Of an exec.
        command: Option<String>,
    },
    /// A connection made from a node.
    Forward {
        /// Where it goes.
        host: String,
        /// The port there.
        port: u16,
        /// Out of which node.
        node: NodeName,
        /// As whom there.
        login: Login,
    },
    /// A request to a cluster.
    Kubernetes(KubeAsked),
}

/// A request to a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubeAsked {
    /// Which cluster.
    pub cluster: ResourceName,
    /// What is done.
    pub verb: KubeVerb,
    /// The API group; empty is the core group.
    pub api_group: String,
    /// The resource, with its subresource.
    pub resource: String,
    /// The object; none for lists.
    pub name: Option<String>,
    /// The namespace; none for what belongs to none.
    pub namespace: Option<String>,
}

/// What to write, for whoever wrote something else.
pub(super) const EXAMPLES: &str = "write for example ssh alice@web-1, sftp alice@web-1, ssh alice@web-1 uptime, \
    forward localhost:5432 via alice@db-1, exec -n shop pods/x --cluster seoul, or kube get pods -n shop --cluster seoul";

impl FromStr for Asked {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let (verb, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        let read = match verb {
            "ssh" | "sftp" => session(verb, rest.trim()).ok_or("login@node, and of ssh a command after it"),
            "forward" => forward(rest).ok_or("host:port via login@node"),
            "exec" => kubernetes(&format!("exec {rest}")),
            "kube" => kubernetes(rest),
            _ => Err("ssh, sftp, forward, exec or kube, and what it is about"),
        };
        read.map_err(|rule| BadName { kind: "question", rule, text: text.chars().take(80).collect() })
    }
}

fn place(text: &str) -> Option<(Login, NodeName)> {
    let (login, node) = text.split_once('@')?;
    Some((login.parse().ok()?, node.parse().ok()?))
}

fn session(verb: &str, rest: &str) -> Option<Asked> {
    let (at, command) = rest.split_once(' ').map_or((rest, None), |(at, command)| (at, Some(command.to_owned())));
    let (login, node) = place(at)?;
    let kind = match (verb, &command) {
        ("sftp", None) => SessionKind::Sftp,
        ("ssh", None) => SessionKind::Shell,
        ("ssh", Some(_)) => SessionKind::Exec,
        _ => return None,
    };
    Some(Asked::Session { node, login, kind, command })
}

fn forward(rest: &str) -> Option<Asked> {
    let mut words = rest.split_whitespace();
    let (Some(to), Some("via"), Some(at), None) = (words.next(), words.next(), words.next(), words.next()) else { return None };
    let (host, port) = to.rsplit_once(':')?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let (login, node) = place(at)?;
    let port = port.parse().ok().filter(|port| *port > 0)?;
    (!bare.is_empty()).then(|| Asked::Forward { host: bare.to_owned(), port, node, login })
}

/// `VERB RESOURCE[.GROUP][/NAME] [-n NAMESPACE] [--subresource NAME] --cluster NAME`, options anywhere.
fn kubernetes(text: &str) -> Result<Asked, &'static str> {
    const RULE: &str = "a verb, a resource such as pods, pods/name or deployments.apps, -n namespace, and --cluster name";
    let (mut words, mut plain) = (text.split_whitespace(), Vec::new());
    let (mut namespace, mut cluster, mut subresource) = (None, None, None);
    while let Some(word) = words.next() {
        let slot = match word {
            "-n" | "--namespace" => &mut namespace,
            "--cluster" => &mut cluster,
            "--subresource" => &mut subresource,
            _ if word.starts_with('-') => return Err(RULE),
            _ => {
                plain.push(word);
                continue;
            }
        };
        // What stands twice is a mistake, and no option is the value of another.
        let value = words.next().filter(|value| !value.starts_with('-')).ok_or(RULE)?;
        if slot.replace(value.to_owned()).is_some() {
            return Err(RULE);
        }
    }
    let [verb, what] = plain.as_slice() else { return Err(RULE) };
    let verb = KubeVerb::ALL.into_iter().find(|known| known.as_str() == *verb).ok_or(RULE)?;
    let (kind, name) = what.split_once('/').map_or((*what, None), |(kind, name)| (kind, Some(name.to_owned())));
    let (kind, group) = kind.split_once('.').unwrap_or((kind, ""));
    // The one singular that everybody types; rules name resources in the plural, as Kubernetes does.
    let kind = if kind == "pod" { "pods" } else { kind };
    let resource = subresource.map_or(kind.to_owned(), |sub| format!("{kind}/{sub}"));
    let cluster = cluster.ok_or("a question about a cluster with --cluster and its name")?;
    let cluster = cluster.parse().map_err(|_| "a question about a cluster whose name has only a-z 0-9 . _ -")?;
    if kind.is_empty() || name.as_deref() == Some("") {
        return Err(RULE);
    }
    Ok(Asked::Kubernetes(KubeAsked { cluster, verb, api_group: group.to_owned(), resource, name, namespace }))
}
