//! `naru can ssh LOGIN@NODE`: a dry run with the rule that decides.

use access::words::{Login, NodeName, UserName};
use wire::api::{Can, CanAnswer, exit};

use crate::failure::Failure;
use crate::http::Api;
use crate::out::{Answer, Table};

/// `LOGIN@NODE`, or `NODE` where a login is not demanded. A `.naru` behind the node is dropped.
pub fn destination(text: &str) -> Result<(Option<Login>, NodeName), Failure> {
    let (login, node) = match text.rsplit_once('@') {
        Some((login, node)) => (Some(login.parse().map_err(|e| Failure::usage(format!("{e}")))?), node),
        None => (None, text),
    };
    let node = node.strip_suffix(".naru").unwrap_or(node);
    Ok((login, node.parse().map_err(|e| Failure::usage(format!("{e}")))?))
}

/// Asks what `decide` would say.
pub async fn ssh(api: &Api, place: &str, as_user: Option<UserName>) -> Result<Answer, Failure> {
    let (login, node) = destination(place)?;
    let login = login.ok_or_else(|| Failure::usage("a login is needed").hint(format!("naru can ssh LOGIN@{node}")))?;
    let answer: CanAnswer = api.post("/v1/can", &Can { node, login, as_user }).await?;
    Ok(said(&answer))
}

fn said(answer: &CanAnswer) -> Answer {
    let mut facts = vec![
        ("allowed", if answer.allowed { "yes" } else { "no" }.to_owned()),
        ("rule", answer.rule.clone()),
        ("why", answer.sentence.clone()),
    ];
    facts.extend(answer.code.iter().map(|code| ("code", code.clone())));
    facts.extend(answer.hint.iter().map(|hint| ("hint", hint.clone())));
    let rows = facts.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    let exit = match (answer.allowed, answer.exit) {
        (true, _) => exit::OK,
        (false, code @ (exit::NEEDS_APPROVAL | exit::LOCKED)) => code,
        (false, _) => exit::DENIED,
    };
    Answer { exit, ..Answer::new(answer, Table { head: Vec::new(), rows }) }
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
    fn the_exit_code_says_what_would_help() {
        let answer = |allowed, exit| CanAnswer { allowed, code: None, rule: "r".into(), sentence: "s".into(), hint: None, exit };
        for (allowed, said_by_server, exit) in
            [(true, 0, 0), (true, 4, 0), (false, 0, 4), (false, 4, 4), (false, 6, 6), (false, 9, 9), (false, 255, 4)]
        {
            assert_eq!(said(&answer(allowed, said_by_server)).exit, exit);
        }
    }
}
