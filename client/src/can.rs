//! `naru can ssh|exec|kube|forward`: a dry run with the rule that decides, and the access request that would help.

use std::net::IpAddr;

use access::event::SessionKind;
use access::policy::KubeVerb;
use access::time::Timestamp;
use access::words::{Login, NodeName, ResourceName, UserName};
use wire::api::{Can, CanAnswer, CanForward, CanKubernetes, CanSsh, exit};

use crate::failure::Failure;
use crate::http::Api;
use crate::out::{Answer, Table};
use crate::{kinds, offer, when};

/// `LOGIN@NODE`, or `NODE` where a login is not demanded. A `.naru` behind the node is dropped.
pub fn destination(text: &str) -> Result<(Option<Login>, NodeName), Failure> {
    let (login, node) = match text.rsplit_once('@') {
        Some((login, node)) => (Some(login.parse().map_err(|e| Failure::usage(format!("{e}")))?), node),
        None => (None, text),
    };
    let node = node.strip_suffix(".naru").unwrap_or(node);
    Ok((login, node.parse().map_err(|e| Failure::usage(format!("{e}")))?))
}

/// `LOGIN@NODE`, both.
fn account(text: &str) -> Result<(Login, NodeName), Failure> {
    let (login, node) = destination(text)?;
    let login = login.ok_or_else(|| Failure::usage("a login is needed").hint(format!("write it as LOGIN@{node}")))?;
    Ok((login, node))
}

/// The circumstances that are asked about, where they are others than here and now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Around {
    /// Another person.
    pub as_user: Option<UserName>,
    /// At another time.
    pub at: Option<Timestamp>,
    /// From another address.
    pub from: Option<IpAddr>,
    /// With this reason.
    pub reason: Option<String>,
}

/// Of a session: a shell, a command, or sftp.
///
/// # Errors
/// What is no `LOGIN@NODE`.
pub fn ssh(place: &str, command: Option<String>, sftp: bool) -> Result<Can, Failure> {
    let (login, node) = account(place)?;
    let kind = match (&command, sftp) {
        (Some(_), _) => Some(SessionKind::Exec),
        (None, true) => Some(SessionKind::Sftp),
        (None, false) => None,
    };
    Ok(Can { ssh: Some(CanSsh { node, login, kind, command }), ..Can::default() })
}

/// Of a connection to `HOST:PORT` (an IPv6 address in brackets) that is made from `via`, `LOGIN@NODE`.
///
/// # Errors
/// What is no `HOST:PORT` or no `LOGIN@NODE`.
pub fn forward(to: &str, via: &str) -> Result<Can, Failure> {
    let bad = || Failure::usage(format!("{to:?} is no HOST:PORT")).hint("write it as db.internal:5432 or [::1]:5432");
    let (host, port) = to.rsplit_once(':').ok_or_else(bad)?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let port: u16 = port.parse().ok().filter(|port| *port > 0).ok_or_else(bad)?;
    let (login, node) = account(via)?;
    if host.is_empty() {
        return Err(bad());
    }
    Ok(Can { forward: Some(CanForward { node, login, host: host.to_owned(), port }), ..Can::default() })
}

/// Of a request to a cluster, in kubectl's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kube {
    /// Which cluster.
    pub cluster: ResourceName,
    /// What is done.
    pub verb: KubeVerb,
    /// `pods`, `pod/x`, `deploy/web`: short and singular names of what every cluster has are understood.
    pub what: String,
    /// As in `pods/log`.
    pub subresource: Option<String>,
    /// Where.
    pub namespace: Option<String>,
    /// Where it is not the one that such a resource usually has.
    pub api_group: Option<String>,
}

/// What is asked of a cluster.
///
/// # Errors
/// No resource is named.
pub fn kube(asked: Kube) -> Result<Can, Failure> {
    let (word, name) = asked.what.split_once('/').map_or((asked.what.as_str(), None), |(word, name)| (word, Some(name)));
    if word.is_empty() || name == Some("") {
        return Err(Failure::usage(format!("{:?} names no resource", asked.what)).hint("write it as pods, or pod/NAME"));
    }
    let (resource, group) = kinds::of(word);
    let resource = asked.subresource.map_or(resource.to_owned(), |sub| format!("{resource}/{sub}"));
    let of_cluster = CanKubernetes {
        cluster: asked.cluster,
        verb: asked.verb,
        api_group: asked.api_group.unwrap_or_else(|| group.to_owned()),
        resource,
        namespace: asked.namespace,
        name: name.map(str::to_owned),
    };
    Ok(Can { kubernetes: Some(of_cluster), ..Can::default() })
}

/// Asks what `decide` would say.
pub async fn ask(api: &Api, can: Can, around: Around) -> Result<Answer, Failure> {
    let Around { as_user, at, from, reason } = around;
    let answer: CanAnswer = api.post("/v1/can", &Can { as_user, at, from, reason, ..can }).await?;
    Ok(said(&answer))
}

/// What it means for a script, whatever a server says beside it.
pub fn exit_of(answer: &CanAnswer) -> u8 {
    match (answer.allowed, answer.exit) {
        (true, _) => exit::OK,
        (false, code @ (exit::NEEDS_APPROVAL | exit::LOCKED)) => code,
        (false, _) => exit::DENIED,
    }
}

fn said(answer: &CanAnswer) -> Answer {
    let mut facts = vec![
        ("allowed", if answer.allowed { "yes" } else { "no" }.to_owned()),
        ("rule", answer.rule.clone()),
        ("why", answer.sentence.clone()),
    ];
    facts.extend(answer.code.iter().map(|code| ("code", code.clone())));
    facts.extend(answer.hint.iter().map(|hint| ("hint", hint.clone())));
    if let Some(offer) = &answer.offer {
        facts.push(("ask", offer::command(offer, None)));
        facts.push(("approval", offer::approvals(offer)));
    }
    facts.extend(answer.request.iter().map(|request| ("by request", request.to_string())));
    facts.extend(answer.until.map(|until| ("until", when::shown(until))));
    facts.extend((!answer.groups.is_empty()).then(|| ("groups", answer.groups.join(" "))));
    facts.extend(answer.notes.iter().map(|note| ("note", note.clone())));
    let rows = facts.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    Answer { exit: exit_of(answer), ..Answer::new(answer, Table { head: Vec::new(), rows }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations() {
        let of = |text| destination(text).map(|(login, node)| (login.map(String::from), String::from(node)));
        assert_eq!(of("demo"), Ok((None, "demo".into())));
        assert_eq!(of("root@demo.naru"), Ok((Some("root".into()), "demo".into())));
        for bad in ["", "@", "root@", "@demo", "a@b@demo", "-oProxyCommand=x", "demo.naru.naru", "demo\n", "DEMO", "de mo", "$(id)@demo"] {
            assert_eq!(destination(bad).map_err(|e| e.exit), Err(exit::USAGE), "{bad:?}");
        }
    }

    #[test]
    fn forwards_and_requests_to_clusters_in_the_words_of_people() {
        let to = |text| forward(text, "root@db-1").map(|can| can.forward.map(|f| (f.host, f.port)));
        assert_eq!(to("db:5432"), Ok(Some(("db".into(), 5432))));
        assert_eq!(to("[::1]:80"), Ok(Some(("::1".into(), 80))));
        for bad in ["db", "db:0", "db:99999", ":80", "[]:80"] {
            assert_eq!(to(bad).map_err(|e| e.exit), Err(exit::USAGE), "{bad}");
        }
        assert!(forward("db:80", "db-1").is_err(), "a login is needed");
        let of = |what: &str, subresource: Option<&str>| {
            let cluster = "seoul".parse().expect("name");
            let subresource = subresource.map(str::to_owned);
            let asked = Kube { cluster, verb: KubeVerb::Get, what: what.into(), subresource, namespace: None, api_group: None };
            kube(asked).map(|can| can.kubernetes.map(|k| (k.api_group, k.resource, k.name)))
        };
        assert_eq!(of("pod/x", None), Ok(Some(("".into(), "pods".into(), Some("x".into())))));
        assert_eq!(of("deploy", None), Ok(Some(("apps".into(), "deployments".into(), None))));
        assert_eq!(of("pods/x", Some("log")), Ok(Some(("".into(), "pods/log".into(), Some("x".into())))));
        assert_eq!(of("widgets", None), Ok(Some(("".into(), "widgets".into(), None))));
        assert!(of("pod/", None).is_err() && of("", None).is_err());
    }

    fn answer(allowed: bool, exit: u8) -> CanAnswer {
        let json = serde_json::json!({"allowed": allowed, "rule": "r", "sentence": "s", "exit": exit});
        serde_json::from_value(json).expect("an answer")
    }

    #[test]
    fn the_exit_code_says_what_would_help() {
        for (allowed, said_by_server, exit) in
            [(true, 0, 0), (true, 4, 0), (false, 0, 4), (false, 4, 4), (false, 6, 6), (false, 9, 9), (false, 255, 4)]
        {
            assert_eq!(said(&answer(allowed, said_by_server)).exit, exit);
        }
    }

    #[test]
    fn a_no_that_can_be_lifted_shows_the_command() {
        let no = CanAnswer { offer: Some(offer::tests::production(true)), notes: vec!["a".into(), "b".into()], ..answer(false, 6) };
        let rows = said(&no).table.rows;
        let ask = ["ask", "naru request create production --on root@db-1 --reason 'WHY'"].map(str::to_owned).to_vec();
        assert!(rows.contains(&ask), "{rows:?}");
        assert_eq!(rows.iter().filter(|row| row[0] == "note").count(), 2);
    }
}
