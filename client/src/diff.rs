//! `naru diff` and `naru access diff`: who gains and who loses what by a change, and what becomes of the resources themselves.

use serde_json::{Value, json};
use wire::api::{Applied, Apply, Change, Diff, DiffAsk, DiffChange, DiffLine, exit};

use crate::failure::Failure;
use crate::http::Api;
use crate::out::{Answer, Table, plain};

pub mod plan;

/// With `--exit-code`: somebody gains.
pub const GAINS: u8 = 2;
/// With `--exit-code`: a guardrail would break.
pub const BREAKS: u8 = 3;

/// How it is wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Look {
    /// Most lines each way.
    pub lines: Option<u32>,
    /// For a merge request.
    pub markdown: bool,
    /// The exit code says what was found.
    pub exit_code: bool,
}

/// What these resources would do, as `naru apply` would write them.
pub async fn resources(api: &Api, resources: Vec<Value>, look: Look) -> Result<Answer, Failure> {
    let word = |resource: &Value, key: &str| resource.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let change = |object: &Value| DiffChange { kind: word(object, "kind"), name: word(object, "name"), object: Some(object.clone()) };
    let diff = ask(api, resources.iter().map(change).collect(), look).await?;
    // What it takes from whoever asks is told by the diff, and is no refusal here.
    let dry = Apply { resources, dry_run: true, allow_self_lockout: true, managed_by: None };
    let applied = match api.post::<Applied>("/v1/apply", &dry).await {
        // Broken guardrails are in the diff, with everybody concerned.
        Err(_) if !diff.forbidden.is_empty() => Applied { items: Vec::new() },
        other => other?,
    };
    Ok(answer(&diff, &applied, &[], look))
}

/// What a Terraform plan would do; `notes` are what it does not know yet.
pub async fn planned(api: &Api, plan: plan::Plan, look: Look) -> Result<Answer, Failure> {
    let diff = ask(api, plan.changes, look).await?;
    Ok(answer(&diff, &Applied { items: Vec::new() }, &plan.notes, look))
}

async fn ask(api: &Api, changes: Vec<DiffChange>, look: Look) -> Result<Diff, Failure> {
    api.post("/v1/access/diff", &DiffAsk { changes, lines: look.lines, ..DiffAsk::default() }).await
}

fn answer(diff: &Diff, applied: &Applied, notes: &[String], look: Look) -> Answer {
    let mut json = serde_json::to_value(diff).unwrap_or_default();
    if let Some(map) = json.as_object_mut() {
        map.insert("resources".to_owned(), json!(applied.items));
        map.insert("notes".to_owned(), json!(notes));
    }
    let lines = text(diff, applied, notes);
    let shown = if look.markdown { markdown(diff, &lines) } else { lines };
    let table = Table { head: Vec::new(), rows: shown.into_iter().map(|line| vec![line]).collect() };
    let exit = match look.exit_code {
        true if !diff.forbidden.is_empty() => BREAKS,
        true if diff.gained > 0 => GAINS,
        _ => exit::OK,
    };
    Answer { json, table, below: Vec::new(), exit }
}

/// The same as lines, each beginning with what it is: `+`, `-`, `!`, or a sentence.
fn text(diff: &Diff, applied: &Applied, notes: &[String]) -> Vec<String> {
    let mut lines = Vec::new();
    for item in &applied.items {
        let word = match item.change {
            Change::Created => "created",
            Change::Changed => "changed",
            Change::Unchanged => "unchanged",
            Change::Deleted => "deleted",
        };
        lines.push(format!("{word} {}/{}", item.kind, item.name));
    }
    lines.extend(ways("gained", '+', diff.gained, &diff.gains));
    lines.extend(ways("lost", '-', diff.lost, &diff.loses));
    for forbidden in &diff.forbidden {
        lines.push(format!("guardrail {} would break: the change would be refused", forbidden.guardrail));
        lines.extend(forbidden.lines.iter().map(|line| format!("! {}", plain(&line.text))));
    }
    lines.extend(diff.you.iter().map(|you| format!("! {}", plain(you))));
    lines.extend(notes.iter().map(|note| format!("note: {}", plain(note))));
    lines.push(plain(&diff.holds));
    lines
}

/// One way: how many pairs, and the lines of those that are shown.
fn ways(word: &str, sign: char, count: u64, lines: &[DiffLine]) -> Vec<String> {
    if count == 0 {
        return vec![format!("nothing is {word}")];
    }
    let plural = if count == 1 { "right is" } else { "rights are" };
    let head = format!("{count} {plural} {word}");
    std::iter::once(head).chain(lines.iter().map(|line| format!("{sign} {}", plain(&line.text)))).collect()
}

/// For a comment of a merge request: a headline, and the lines in a block that colours them.
fn markdown(diff: &Diff, lines: &[String]) -> Vec<String> {
    let broken = if diff.forbidden.is_empty() { "" } else { ", **and a guardrail would break**" };
    let mut out = vec![format!("### Access: {} gained, {} lost{broken}", diff.gained, diff.lost), String::new(), "```diff".to_owned()];
    // Nothing in a name may end the block.
    out.extend(lines.iter().map(|line| line.replace('`', "'")));
    out.push("```".to_owned());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::login::fake::Fake;

    fn diff(gained: u64, forbidden: bool) -> Diff {
        let line = json!({"users": ["alice"], "how": "ssh", "as": ["root"], "targets": ["db-1"], "text": "alice: ssh root on db-1 ```"});
        let forbidden = if forbidden { json!([{"guardrail": "no-root", "lines": [line]}]) } else { json!([]) };
        let gains = if gained > 0 { json!([line]) } else { json!([]) };
        let value = json!({"gains": gains, "loses": [], "gained": gained, "lost": 0, "forbidden": forbidden, "holds": "now"});
        serde_json::from_value(value).expect("a diff")
    }

    #[test]
    fn the_exit_code_says_what_was_found_where_that_is_wanted() {
        let none = Applied { items: Vec::new() };
        let look = Look { exit_code: true, ..Look::default() };
        for (gained, forbidden, exit) in [(0, false, 0), (1, false, GAINS), (0, true, BREAKS), (2, true, BREAKS)] {
            assert_eq!(answer(&diff(gained, forbidden), &none, &[], look).exit, exit);
            assert_eq!(answer(&diff(gained, forbidden), &none, &[], Look::default()).exit, 0);
        }
    }

    #[test]
    fn it_reads_as_lines_and_a_name_cannot_leave_the_markdown() {
        let said = text(&diff(1, true), &Applied { items: Vec::new() }, &["unknown until apply: x".into()]);
        let wanted = [
            "1 right is gained",
            "+ alice: ssh root on db-1 ```",
            "nothing is lost",
            "guardrail no-root would break: the change would be refused",
            "! alice: ssh root on db-1 ```",
            "note: unknown until apply: x",
            "now",
        ];
        assert_eq!(said, wanted);
        let marked = markdown(&diff(1, true), &said);
        assert_eq!(marked.iter().filter(|line| line.contains("```")).count(), 2, "{marked:?}");
        assert!(marked[0].contains("1 gained, 0 lost, **and a guardrail"));
    }

    #[tokio::test]
    async fn nothing_is_written_and_a_broken_guardrail_is_no_failure_here() {
        let fake = Fake::start(Box::new(|path, _| match path {
            "/v1/access/diff" => Some((200, json!(diff(1, true)))),
            _ => Some((409, json!({"code": "NARU-C042", "title": "No.", "exit": 8}))),
        }))
        .await;
        let role = json!({"kind": "role", "name": "dba", "spec": {}});
        let look = Look { exit_code: true, lines: Some(5), ..Look::default() };
        let answer = resources(&fake.api(), vec![role.clone()], look).await.expect("a diff");
        assert_eq!((answer.exit, &answer.json["resources"]), (BREAKS, &json!([])));
        let asked = fake.asked("/v1/access/diff");
        assert_eq!(asked, [json!({"changes": [{"kind": "role", "name": "dba", "object": role}], "lines": 5})]);
        assert!(fake.asked("/v1/apply").iter().all(|asked| asked["dry_run"] == true));
    }
}
