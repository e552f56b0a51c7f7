//! `naru doctor oidc`: what keeps people from signing in. The server looks; here it is shown.

use access::words::ConnectorName;
use wire::api::{CheckState, ConnectorReport, ConnectorRow, Items, exit};

use crate::failure::Failure;
use crate::http::{Api, encode};
use crate::out::{Answer, Table};

/// `naru doctor oidc`: one connector, or all. Exit 1 when people cannot sign in through one of them.
pub async fn oidc(api: &Api, name: Option<ConnectorName>) -> Result<Answer, Failure> {
    let names = match name {
        Some(name) => vec![name],
        None => api.all::<ConnectorRow>("/v1/connectors", None).await?.into_iter().map(|row| row.name).collect(),
    };
    let mut reports = Vec::new();
    for name in names {
        let path = format!("/v1/connectors/{}/check", encode(name.as_str()));
        reports.push(api.post::<ConnectorReport>(&path, &serde_json::json!({})).await?);
    }
    Ok(said(reports))
}

fn said(reports: Vec<ConnectorReport>) -> Answer {
    let (mut rows, mut below) = (Vec::new(), Vec::new());
    for report in &reports {
        for check in &report.checks {
            let state = match check.state {
                CheckState::Good => "good",
                CheckState::Doubtful => "doubtful",
                CheckState::Bad => "bad",
            };
            rows.push([report.connector.to_string(), check.name.clone(), state.to_owned(), check.found.clone()]);
            below.extend(check.remedy.as_ref().map(|remedy| format!("{}, {}: {remedy}", report.connector, check.name)));
        }
        below.extend(report.dry_run.as_ref().map(|page| format!("{}, to try a sign-in that signs nobody in: {page}", report.connector)));
    }
    let ok = reports.iter().all(|report| report.ok);
    let table = Table::of(["connector", "check", "state", "found"], rows);
    let answer = Answer::new(&Items { items: reports }, table).below(below);
    Answer { exit: if ok { exit::OK } else { exit::FAILED }, ..answer }
}

#[cfg(test)]
mod tests {
    use wire::api::Check;

    use super::*;
    use crate::out::Out;

    #[test]
    fn what_is_wrong_stands_in_the_table_and_what_to_do_below() {
        let check = |name: &str, state, remedy: Option<&str>| Check {
            name: name.into(),
            state,
            found: format!("found of {name}"),
            remedy: remedy.map(str::to_owned),
        };
        let report = |ok, checks| ConnectorReport {
            connector: "corp".parse().expect("name"),
            ok,
            checks,
            dry_run: Some("https://naru.example/dry-run\x1b[2J".into()),
        };
        let good = said(vec![report(true, vec![check("keys", CheckState::Good, None)])]);
        assert_eq!(good.exit, exit::OK);
        let bad = said(vec![
            report(true, vec![check("keys", CheckState::Good, None)]),
            report(false, vec![check("issuer", CheckState::Bad, Some("write it as the provider does"))]),
        ]);
        assert_eq!((bad.exit, &bad.json["items"][1]["checks"][0]["state"]), (exit::FAILED, &"bad".into()));
        for terminal in [false, true] {
            let text = Out { terminal, ..Out::PLAIN }.render(&bad);
            let rows: Vec<&str> = text.lines().collect();
            assert!(rows[2].contains("issuer") && rows[2].contains("bad") && rows[2].contains("found of issuer"), "{text}");
            assert!(text.contains("\ncorp, issuer: write it as the provider does\n"), "{text}");
            assert!(text.contains("dry-run") && !text.contains('\x1b'), "{text}");
        }
        assert_eq!(said(Vec::new()).exit, exit::OK, "no connector is no fault");
    }
}
